"""The processes of an installation: `gateway`, `worker`, `follower`, `registrar`, each with its settings file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.bus.settings import FollowerSettings, GatewaySettings, RegistrarSettings, WorkerSettings, read_settings

if TYPE_CHECKING:
    from collections.abc import Coroutine

_Settings = Annotated[Path, typer.Option(help="the process's TOML file")]


def add_to(app: typer.Typer) -> None:
    """Add the process commands; a root is imported only when it runs, so that each carries only its own libraries."""

    @app.command()
    def gateway(settings: _Settings) -> None:
        """Run one gateway instance."""
        from deploy.roots.gateway import run  # noqa: PLC0415

        _live(run(read_settings(settings, GatewaySettings)))

    @app.command()
    def worker(settings: _Settings) -> None:
        """Run one worker agent."""
        from deploy.roots.worker import run  # noqa: PLC0415

        _live(run(read_settings(settings, WorkerSettings)))

    @app.command()
    def follower(settings: _Settings) -> None:
        """Run a province's registry follower."""
        from deploy.roots.follower import run  # noqa: PLC0415

        _live(run(read_settings(settings, FollowerSettings)))

    @app.command()
    def registrar(settings: _Settings) -> None:
        """Run the registrar."""
        from deploy.roots.registrar import run  # noqa: PLC0415

        _live(run(read_settings(settings, RegistrarSettings)))


def _live(root: Coroutine[Any, Any, None]) -> None:
    import uvloop  # noqa: PLC0415

    uvloop.run(root)
