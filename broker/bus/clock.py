"""The one place that asks what time it is."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def iso(ms: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def apart_ms(sent_ms: int, appended_ms: int, acknowledged_ms: int) -> int:
    """How far Kafka's clock is from ours by one acknowledged record: 0 when it lies between sending and answer."""
    early, late = appended_ms - sent_ms, appended_ms - acknowledged_ms
    return 0 if late <= 0 <= early else min(early, late, key=abs)


def today(ms: int | None = None) -> date:
    """The day in Shanghai at this unix time (ms), now unless told."""
    return datetime.fromtimestamp((now_ms() if ms is None else ms) / 1000, SHANGHAI).date()
