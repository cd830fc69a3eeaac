"""`certlane targets`: what Prometheus has to scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from deploy.cli.stack import Home
from deploy.local.home import home_of
from deploy.prometheus.targets import targets as of_stack

if TYPE_CHECKING:
    import typer


def add_to(app: typer.Typer) -> None:
    """Add `targets`."""

    @app.command()
    def targets(home: Home = None) -> None:
        """Print where the processes tell their metrics, for Prometheus's `file_sd_configs`."""
        print(orjson.dumps(of_stack(home_of(home)), option=orjson.OPT_INDENT_2).decode())
