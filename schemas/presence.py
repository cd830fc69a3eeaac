"""The heartbeat of an agent: a compact JWS on the presence topic each second (DESIGN §4)."""

from __future__ import annotations

from msgspec import Struct

PERIOD_SECONDS = 1.0
SILENT_SECONDS = 3.0  # an agent not heard of for so long is gone
JWS_TYPE = "certlane-presence"


class Presence(Struct, frozen=True, kw_only=True, rename="camel"):
    """One agent: whether it takes work, on which registry version, with which suites, and its clock (unix ms)."""

    province: str
    incarnation: str
    ready: bool
    reason: str
    snapshot_version: int
    suites: tuple[str, ...]
    clock: int
