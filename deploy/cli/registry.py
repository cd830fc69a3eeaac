"""`certlane registry`: publishing what is shared and for what."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import typer

from deploy.cli.stack import Home, Json
from deploy.local import ports
from deploy.local.home import home_of
from deploy.local.publish import apply as publish

app = typer.Typer(help="the registry: catalogue, scenarios, applications, parties", no_args_is_help=True)


@app.callback()
def _registry() -> None:
    """A group even while it has one command."""


@app.command()
def apply(folder: Path, home: Home = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Check a folder of YAML files and publish what changed; records that it does not name stay as they are."""
    where = home_of(home)
    manifest = asyncio.run(publish(folder, home=where, bootstrap=ports.remembered(where).bootstrap))
    if as_json:
        print(orjson.dumps({"version": manifest.version, "changed": sorted(manifest.changed)}).decode())
        return
    print(f"version {manifest.version}: {len(manifest.changed)} of {manifest.count} records changed")
    for key in sorted(manifest.changed):
        print(f"  {key}")
