"""Metrics, one table, and structured logs; neither ever holds a person, an id or free text (invariant I8)."""

from __future__ import annotations

import logging
import sys

import orjson
import structlog
from prometheus_client import Counter, Gauge, Histogram, start_http_server

STORE_READS = Counter("certlane_store_reads", "Certificates asked of the province's store.", ["province"])
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

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def configure(name: str, metrics_port: int = 0) -> None:
    """JSON lines on stderr for this process; serve metrics on loopback when a port is given."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=lambda event, **_: orjson.dumps(event, default=str).decode()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=name)
    READY.set(0)
    if metrics_port:
        start_http_server(metrics_port, addr="127.0.0.1")
