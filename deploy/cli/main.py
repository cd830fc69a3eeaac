"""The `certlane` command: talk on stderr, data on stdout; exit 0 done, 1 not done, 2 called wrongly."""

from __future__ import annotations

import sys
from pathlib import Path

from broker.bus.settings import SettingsError
from deploy.cli.processes import ROOTS, live


def run() -> None:
    """Run the command; an error that a person can mend is one line."""
    try:
        match sys.argv[1:]:
            case [name, "--settings", settings] if name in ROOTS:
                live(name, Path(settings))  # without the command line's own libraries
            case _:
                _converse()
    except SettingsError as error:
        print(f"certlane: {error}", file=sys.stderr)
        sys.exit(1)


def _converse() -> None:
    from broker.registry.authoring import AuthoringError  # noqa: PLC0415
    from deploy.cli.app import app  # noqa: PLC0415
    from deploy.local.home import LocalStackError  # noqa: PLC0415

    try:
        app()
    except (LocalStackError, AuthoringError) as error:
        print(f"certlane: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run()
