"""How a process tells that it did not believe something of the registry: a metric, and a line naming the record."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from broker.bus import telemetry
from broker.registry.trust import RegistryError
from schemas.kinds import Kind
from schemas.registry import Distrust

if TYPE_CHECKING:
    from broker.registry.snapshot import Snapshot

FRESH_MS = 60_000
_RECORD_KEY = re.compile(f"({'|'.join(Kind)})/[0-9A-Za-z._-]{{1,128}}")
_MOST_LINES = 16


def refuse(error: RegistryError, kept_version: int, *, part: str) -> None:
    """Count it and say which record, which version stays in use, and in whose sight (`part`)."""
    telemetry.REGISTRY_REFUSED.labels(error.reason).inc()
    telemetry.log.error(
        "registry refused",
        part=part,
        reason=f"{error.reason}",
        record=shown(error.record),
        detail=str(error),
        kept_version=kept_version,
    )


def refuse_all(errors: list[RegistryError], kept_version: int, *, part: str) -> None:
    """Count each; a flood of them does not fill the log."""
    for error in errors[:_MOST_LINES]:
        refuse(error, kept_version, part=part)
    for error in errors[_MOST_LINES:]:
        telemetry.REGISTRY_REFUSED.labels(error.reason).inc()


def shown(key: str) -> str:
    """A record's key as a log may hold it: a stranger's text is never repeated."""
    return key if not key or _RECORD_KEY.fullmatch(key) else "?"


def past_bound(snapshot: Snapshot, stood_ms: int, now: int, fresh_ms: int) -> RegistryError | None:
    """Why this snapshot may no longer be used: its manifest's end, or nobody stood at the topic's end for too long.

    Whoever says to have stood there in the future is believed as little: a clock that is ahead proves nothing.
    """
    if now >= snapshot.expires_at:
        return RegistryError(Distrust.EXPIRED, f"version {snapshot.version} has expired and was not renewed")
    if abs(now - stood_ms) > fresh_ms:
        return RegistryError(Distrust.STALE, f"nobody has stood at the topic's end for {fresh_ms} ms")
    return None


class Bounds:
    """Tells once, each time a snapshot has passed one of its bounds."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._told: Distrust | None = None

    def tell(self, past: RegistryError | None, version: int) -> None:
        if past is not None and past.reason is not self._told:
            refuse(past, version, part=self._part)
        self._told = past.reason if past else None
