"""Metrics, one table, and structured logs; neither ever holds a person, an id or free text (invariant I8)."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any

import orjson
from prometheus_client import Counter, Gauge, Histogram, start_http_server

from broker.bus.clock import iso, now_ms

STORE_READS = Counter("certlane_store_reads", "Certificates asked of the province's store.", ["province"])
STORE_UNUSABLE = Counter("certlane_store_unusable", "Certificates the store holds but nobody can read.", ["province"])
QUARANTINED = Counter("certlane_quarantined", "Records put aside, by topic and reason.", ["topic", "reason"])
EXPIRED = Counter("certlane_expired", "Items dropped because their deadline had passed, by stage.", ["stage"])
LATE = Counter("certlane_late_replies", "Replies that came after their request was answered or expired.", ["cause"])
REQUESTS = Counter(
    "certlane_requests", "Requests answered, by interface, province and status.", ["interface", "province", "status"]
)
JUDGED = Counter("certlane_judged", "Items judged by an agent, by interface and status.", ["interface", "status"])
LOTS = Counter("certlane_lots", "Lots sent, by kind.", ["kind"])
LOT_ITEMS = Counter("certlane_lot_items", "Items sent in lots, by kind.", ["kind"])
REQUEST_SECONDS = Histogram(
    "certlane_request_seconds",
    "Time from acceptance to answer as the gateway saw it.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
IN_FLIGHT = Gauge("certlane_in_flight", "Requests accepted by this gateway and not answered yet.")
LOTS_IN_WORK = Gauge("certlane_lots_in_work", "Lots an agent works on.")
SNAPSHOT_VERSION = Gauge("certlane_snapshot_version", "Version of the registry in use.")
SNAPSHOT_AGE = Gauge("certlane_snapshot_age_seconds", "Seconds since the registry was known to be the newest.")
REGISTRY_REFUSED = Counter("certlane_registry_refused", "Manifests or record sets that were not believed.")
READY = Gauge("certlane_ready", "1 when this process takes work.")


class Log:
    """One JSON line an event on stderr; a structured-logging library would cost each process 7 MB for these lines."""

    def __init__(self) -> None:
        self.process = ""

    def info(self, event: str, **fields: object) -> None:
        self._line("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._line("warning", event, fields)

    def error(self, event: str, error: BaseException | None = None, **fields: object) -> None:
        """With the stack of an error, which shows code and never values."""
        if error is not None:
            frames = traceback.extract_tb(error.__traceback__)
            fields["error"] = type(error).__name__
            fields["stack"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        self._line("error", event, fields)

    def _line(self, level: str, event: str, fields: dict[str, object]) -> None:
        line = {"time": iso(now_ms()), "level": level, "process": self.process, "event": event, **fields}
        sys.stderr.buffer.write(orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE))
        sys.stderr.buffer.flush()


log = Log()


class _Frames(logging.Formatter):
    """Log lines of libraries: of an exception the frames and its type, never its text, which may hold anything."""

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's name
        frames = [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(ei[2])]
        return "\n".join([*frames, getattr(ei[0], "__name__", "")])


def configure(name: str, metrics_port: int = 0) -> None:
    """Name this process in its log; serve metrics on loopback when a port is given."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Frames("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # a defect is logged where it is answered
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells each of a thousand retries; we say what is away
    log.process = name
    READY.set(0)
    if metrics_port:
        start_http_server(metrics_port, addr="127.0.0.1")
