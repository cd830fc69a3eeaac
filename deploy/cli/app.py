"""The commands that people call, in one application."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.cli import call, consent, doctor, explain, metrics, registry, registry_plan, stack, store, tracing
from deploy.cli.processes import ROOTS, live

app = typer.Typer(
    name="certlane",
    help="Certlane 证照通道",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
stack.add_to(app)
registry_plan.add_to(registry.app)
app.add_typer(registry.app, name="registry")
app.add_typer(store.app, name="store")
app.add_typer(consent.app, name="consent")
tracing.add_to(app)
explain.add_to(app)
metrics.add_to(app)
call.add_to(app)
doctor.add_to(app)


def _process(name: str) -> None:
    @app.command(name, help=ROOTS[name][1])
    def command(settings: Annotated[Path, typer.Option(help="the process's TOML file")]) -> None:
        live(name, settings)


for _name in ROOTS:
    _process(_name)
