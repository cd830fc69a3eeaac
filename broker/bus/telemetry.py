"""Metrics, one table; no label ever holds a person, an id or free text (STYLE 8, invariant I8).

Label sets are small on purpose: all processes of an exchange with 32 provinces tell at most 5,000 series, however long
they run, and tests/unit/test_metrics.py counts them from this table. So a status is told whole once and else by its
class, whose an agent is stands in its target's `party`, and the times of single stages are sums and counts.
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, REGISTRY, ProcessCollector
from prometheus_client import start_http_server as serve

from broker.bus import labels
from broker.bus.families import Row, Table
from broker.bus.labels import FOLLOWER, GATEWAY, ROLES, WORKER
from broker.bus.logs import Log, hush_libraries

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

log = Log()

_ALL, _BUSY = " ".join(ROLES), f"{GATEWAY} {WORKER}"
_FOLLOWING = f"{GATEWAY} {WORKER} {FOLLOWER}"
_REQUEST_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_LOT_SECONDS = (0.01, 0.1, 1.0, 10.0)
_LOT_ITEMS = (1, 4, 16, 64)  # and 256, which is the most there is

_table = Table(
    Row(
        "counter", "certlane_undeclared_total", "Label values that the table lacks: a defect.", frozenset(_BUSY.split())
    )
)
ROWS = _table.rows

# Whoever runs
READY = _table.gauge("certlane_ready", "1 when this process takes work.", _ALL)
BUILD = _table.gauges("certlane_build_info", "The version that runs.", _ALL, labels.VERSION)
AWAY = _table.gauges("certlane_away", "1 for what keeps this process from taking work.", _BUSY, labels.PART)
SNAPSHOT_VERSION = _table.gauge("certlane_snapshot_version", "Version of the registry in use.", _FOLLOWING)
SNAPSHOT_AGE = _table.gauge(
    "certlane_snapshot_age_seconds", "Seconds since the registry was known to be the newest.", _FOLLOWING
)
REGISTRY_REFUSED = _table.counters(
    "certlane_registry_refused_total", "What of the registry was not believed, by reason.", _ALL, labels.DISTRUST
)

# Gateways and agents
QUARANTINED = _table.counters(
    "certlane_quarantined_total", "Records put aside, by topic and reason.", _BUSY, labels.TOPIC, labels.QUARANTINE
)
EXPIRED = _table.counters(
    "certlane_expired_total", "Items dropped because their deadline had passed, by stage.", _BUSY, labels.EXPIRY
)

# Gateways
REQUESTS_TOLD = _table.counters(
    "certlane_requests_total",
    "Requests answered, by interface and class of status.",
    GATEWAY,
    labels.INTERFACE,
    labels.OUTCOME,
)
STATUSES_TOLD = _table.counters("certlane_statuses_total", "Requests answered, by status.", GATEWAY, labels.STATUS)
LATENCY = _table.histograms(
    "certlane_request_seconds",
    "Seconds from the first byte of a request to its answer.",
    GATEWAY,
    labels.INTERFACE,
    buckets=_REQUEST_SECONDS,
)
IN_FLIGHT = _table.gauge("certlane_in_flight", "Requests accepted by this gateway and not answered yet.", GATEWAY)
REFUSED = _table.counters(
    "certlane_refused_total", "Requests refused at the door (429, 503), by reason.", GATEWAY, labels.DOOR
)
PARTS = _table.counters(
    "certlane_parts_total", "Sources of requests, by province and state.", GATEWAY, labels.PROVINCE, labels.STATE
)
PART_SECONDS = _table.summaries(
    "certlane_part_seconds", "Seconds a province took to answer its part, by province.", GATEWAY, labels.PROVINCE
)
READY_AGENTS = _table.gauges("certlane_ready_agents", "Agents that say they take work.", GATEWAY, labels.PROVINCE)
QUEUE_AGE = _table.gauge(
    "certlane_queue_age_seconds", "Age of the oldest request not yet acknowledged by Kafka.", GATEWAY
)
LOT_SIZE = _table.histograms(
    "certlane_lot_size_items", "Items in lots sent and read, by kind.", GATEWAY, labels.KIND, buckets=_LOT_ITEMS
)
LATE = _table.counters(
    "certlane_late_replies_total", "Replies that no request waited for any more.", GATEWAY, labels.CAUSE
)
FILES = _table.counters(
    "certlane_files_total", "Files asked for by ticket, by what became of them.", GATEWAY, labels.SENT
)
FILE_BYTES = _table.counter("certlane_files_sent_bytes_total", "Bytes of files sent to callers.", GATEWAY)

# Agents
JUDGED = _table.counters(
    "certlane_judged_total",
    "Items judged, by interface and class of status.",
    WORKER,
    labels.ITEM_INTERFACE,
    labels.JUDGEMENT,
)
STAGE_SECONDS = _table.summaries("certlane_stage_seconds", "Seconds lots spent in a stage.", WORKER, labels.STAGE)
LOT_SECONDS = _table.histogram(
    "certlane_lot_seconds", "Seconds from taking a lot into work to its last reply.", WORKER, _LOT_SECONDS
)
LOTS_IN_WORK = _table.gauge("certlane_lots_in_work", "Lots an agent works on.", WORKER)
LAG = _table.gauge(
    "certlane_lane_lag_records", "Records of the lane's partitions of this agent not yet brought.", WORKER
)
STORE_READS = _table.counters(
    "certlane_store_reads_total", "Certificates asked of the province's store.", WORKER, labels.PROVINCE
)
STORE_ANSWERS = _table.counters(
    "certlane_store_answers_total", "Answers of the store, by what was looked up.", WORKER, labels.LOOKUP, labels.FOUND
)
STORE_UNUSABLE = _table.counters(
    "certlane_store_unusable_total", "Certificates the store holds but nobody can read.", WORKER, labels.PROVINCE
)
FILES_SEALED = _table.counters(
    "certlane_files_sealed_total", "Files put into the object store for a reply.", WORKER, labels.SEALED
)


class _Process(ProcessCollector):
    """Of the usual facts about a process those that somebody looks at."""

    _KEPT = ("process_cpu_seconds", "process_resident_memory_bytes")

    def collect(self) -> Iterable[Metric]:
        return [family for family in super().collect() if family.name in self._KEPT]


def answered(interface: str, status: int, seconds: float) -> None:
    """A request has got its final answer, or what is known at the end of its wait."""
    REQUESTS_TOLD.labels(interface, status).inc()
    STATUSES_TOLD.labels(status).inc()
    LATENCY.labels(interface).observe(seconds)


def part(province: str, state: str, seconds: float) -> None:
    """What became of one source of a request, as its answer says."""
    PARTS.labels(province, state).inc()
    PART_SECONDS.labels(province).observe(seconds)


def tell_ready(away: str) -> None:
    """Whether this process takes work: empty, or what keeps it from it."""
    READY.set(0 if away else 1)
    for name in labels.PART.listed:
        AWAY.labels(name).set(1 if name == away else 0)


def configure(name: str, metrics_port: int = 0, role: str = "") -> None:
    """Name this process in its log, tell what its role tells; serve metrics on loopback when a port is given."""
    hush_libraries()
    log.process = name
    if role:
        _table.keep(role)
    READY.set(0)
    try:
        BUILD.labels(metadata.version("certlane")).set(1)
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        BUILD.labels("0").set(1)
    if metrics_port:
        serve(metrics_port, addr="127.0.0.1")


for _usual in (GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR):
    REGISTRY.unregister(_usual)
_Process(registry=REGISTRY)
