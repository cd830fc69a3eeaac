"""The processes of an installation; a root is imported only when it runs, so that each carries only its libraries."""

from __future__ import annotations

import asyncio
import importlib
import resource
from typing import TYPE_CHECKING, Any

from broker.bus.settings import FollowerSettings, GatewaySettings, RegistrarSettings, WorkerSettings, read_settings

if TYPE_CHECKING:
    from pathlib import Path

# name of the command -> its settings, and what it is
ROOTS: dict[str, tuple[Any, str]] = {
    "gateway": (GatewaySettings, "Run one gateway instance."),
    "worker": (WorkerSettings, "Run one worker agent."),
    "follower": (FollowerSettings, "Run a province's registry follower."),
    "registrar": (RegistrarSettings, "Run the registrar."),
}
_QUICK = ("gateway", "worker")  # those on the way of a request run on uvloop


def live(name: str, settings: Path) -> None:
    """Run a process until it ends; raises SettingsError."""
    _allow_many_files()
    run = importlib.import_module(f"deploy.roots.{name}").run
    root = run(read_settings(settings, ROOTS[name][0]))
    if name in _QUICK:
        importlib.import_module("uvloop").run(root)
    else:
        asyncio.run(root)


def _allow_many_files() -> None:
    """As many open connections as the system lets us have; many start with 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
