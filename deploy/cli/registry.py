"""`certlane registry`: parties, applications, catalogue, and the life of scenarios."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import orjson
import typer

from deploy.cli import registry_history, registry_steps
from deploy.cli.registry_steps import told
from deploy.cli.stack import Home, Json
from deploy.local import ports
from deploy.local.home import home_of
from deploy.local.publish import apply as publish

app = typer.Typer(help="the registry: catalogue, scenarios, applications, parties", no_args_is_help=True)


@app.command()
def apply(
    folder: Path,
    every_party: Annotated[  # noqa: FBT002
        bool,
        typer.Option("--every-party", help="sign every step of its scenarios here: demonstrations and sandboxes only"),
    ] = False,
    home: Home = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Check a folder and publish what changed but scenarios; tell which steps those wait for."""
    where = home_of(home)
    bootstrap = ports.remembered(where).bootstrap
    done = asyncio.run(publish(folder, home=where, bootstrap=bootstrap, every_party=every_party))
    if as_json:
        waiting = {code: told(code, standing) for code, standing in done.waiting.items()}
        print(orjson.dumps({"version": done.version, "changed": done.changed, "waiting": waiting}).decode())
        return
    print(f"version {done.version}: {len(done.changed)} of {done.records} records changed")
    for key in done.changed:
        print(f"  {key}")
    for code, standing in done.waiting.items():
        print(f"  scene/{code} differs: {registry_steps.next_of(code, standing)}")


registry_steps.add_to(app)
registry_history.add_to(app)
