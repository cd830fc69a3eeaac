"""The `certlane` command: talk on stderr, data on stdout; exit 0 done, 1 not done, 2 called wrongly."""

from __future__ import annotations

import sys

import typer

from broker.bus.settings import SettingsError
from broker.registry.authoring import AuthoringError
from deploy.cli import processes, registry, stack, store, tracing
from deploy.local.home import LocalStackError

app = typer.Typer(
    name="certlane",
    help="Certlane 证照通道",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
stack.add_to(app)
processes.add_to(app)
app.add_typer(registry.app, name="registry")
app.add_typer(store.app, name="store")
tracing.add_to(app)


def run() -> None:
    """Run the command; an error that a person can mend is one line."""
    try:
        app()
    except (LocalStackError, SettingsError, AuthoringError) as error:
        print(f"certlane: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run()
