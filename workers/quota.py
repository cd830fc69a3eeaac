"""Quota: the counters that a grant counts in, by day and hour of Shanghai; their names hold no personal data."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from broker.bus.clock import SHANGHAI

if TYPE_CHECKING:
    from schemas.scenes import Limits

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


class Counter(NamedTuple):
    """How often something was granted: its name within the party's keys, its limit, and until when it is kept (ms)."""

    key: str
    limit: int
    ends_ms: int


class Windows(NamedTuple):
    """The day and the hour of Shanghai: their names and their beginnings (unix ms)."""

    day: str
    hour: str
    day_ms: int
    hour_ms: int


@lru_cache(maxsize=256)
def _windows(hour: int) -> Windows:
    begun = datetime.fromtimestamp(hour * HOUR_MS / 1000, SHANGHAI)
    midnight = begun.replace(hour=0)
    return Windows(f"{begun:%Y%m%d}", f"{begun:%Y%m%d%H}", int(midnight.timestamp()) * 1000, hour * HOUR_MS)


def windows(now_ms: int) -> Windows:
    """The windows in which this moment lies; Shanghai is whole hours apart from UTC."""
    return _windows(now_ms // HOUR_MS)


def counters(scene: str, limits: Limits, holder: str, now_ms: int) -> tuple[Counter, ...]:
    """What one grant of this scene to this holder (keyed hash, "": unknown) counts in now; kept two days, two hours."""
    common = _of_scene(scene, limits, now_ms // HOUR_MS)
    if limits.per_holder_per_day is None or not holder:
        return common
    at = windows(now_ms)
    return (
        *common,
        Counter(f"quota:{scene}:{at.day}:{holder}", limits.per_holder_per_day, at.day_ms + 2 * DAY_MS),
    )


@lru_cache(maxsize=4_096)
def _of_scene(scene: str, limits: Limits, hour: int) -> tuple[Counter, ...]:
    at = _windows(hour)
    day = Counter(f"quota:{scene}:{at.day}", limits.per_day, at.day_ms + 2 * DAY_MS)
    if limits.per_hour is None:
        return (day,)
    return day, Counter(f"quota:{scene}:{at.hour}", limits.per_hour, at.hour_ms + 2 * HOUR_MS)
