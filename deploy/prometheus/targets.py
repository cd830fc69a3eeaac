"""Where the processes of a local stack tell their metrics, as Prometheus finds targets in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from deploy.local import ports, processes

if TYPE_CHECKING:
    from deploy.local.home import Home
    from deploy.local.processes import Settings


class Target(TypedDict):
    """One entry of a `file_sd_configs` file; rules and dashboard go by these labels."""

    targets: list[str]
    labels: dict[str, str]


def targets(home: Home) -> list[Target]:
    """Every process of this stack; raises LocalStackError when it never was up."""
    return [
        {
            "targets": [f"127.0.0.1:{part.settings.get('metrics_port') or part.settings['port']}"],
            "labels": {"job": part.command, "party": _party(part.settings), "instance": part.name},
        }
        for part in processes.table(home, ports.remembered(home))
    ]


def _party(settings: Settings) -> str:
    """Whose process it is: a province's, a node's, or the registrar's."""
    return str(next((settings[name] for name in ("province", "party", "node") if name in settings), "registrar"))
