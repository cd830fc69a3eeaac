"""The table of topics: what DESIGN §4 says of each, and the names and limits that are made of it."""

from collections import Counter
from typing import Final

import pytest

from schemas.lot import MAX_DEADLINE_AHEAD_MS, MAX_LOT_BYTES
from schemas.regions import PROVINCES
from schemas.topics import (
    INTAKE,
    LANE_MAX_RECORD_BYTES,
    LANE_PARTITIONS,
    PRESENCE,
    REGISTRY,
    TOPICS,
    TopicSpec,
    detail_topic,
    dlq_topic,
    evidence_topic,
    reply_topic,
    request_topic,
    specs,
)

NODES: Final = ("31-yct", "31-sdk")
SPECS: Final = {spec.name: spec for spec in specs(NODES)}
HOUR_MS, YEAR_MS = 3_600_000, 365 * 24 * 3_600_000


def retention(name: str) -> int:
    return int(SPECS[name].config["retention.ms"])


def test_names() -> None:
    """Exactly the topics of DESIGN §4 are there, each once."""
    lanes = [request_topic(province) for province in PROVINCES]
    back = [reply_topic(node) for node in NODES]
    kept = [make(party) for party in (*PROVINCES, *NODES) for make in (evidence_topic, detail_topic)]
    asides = [dlq_topic(name) for name in (*lanes, *back)]
    expected = [*lanes, *back, *kept, *asides, REGISTRY, INTAKE, PRESENCE, "certlane.checkpoint"]
    assert Counter(spec.name for spec in specs(NODES)) == Counter(expected)


def test_functions_and_table_agree() -> None:
    """The names that functions make are those of the table."""
    made = {request_topic("32"), reply_topic("31-yct"), evidence_topic("32"), detail_topic("31-yct")}
    assert made | {REGISTRY, INTAKE, PRESENCE} <= SPECS.keys()
    assert dlq_topic(request_topic("32")) == "certlane.request.32.dlq"


@pytest.mark.parametrize(
    ("name", "partitions"),
    [
        (request_topic("32"), 12),
        (reply_topic("31-yct"), 12),
        (evidence_topic("32"), 12),
        (detail_topic("32"), 12),
        (REGISTRY, 1),
        (INTAKE, 1),
        (PRESENCE, 1),
        ("certlane.checkpoint", 1),
        (dlq_topic(request_topic("32")), 1),
    ],
)
def test_partitions(name: str, partitions: int) -> None:
    """Lanes, replies, evidence and detail have twelve partitions, everything else has one."""
    assert SPECS[name].partitions == partitions
    assert LANE_PARTITIONS == 12


def test_retention() -> None:
    """Requests are kept an hour, replies fifteen minutes, the registry for ever and evidence three years at least."""
    assert retention(request_topic("32")) == HOUR_MS
    assert retention(reply_topic("31-yct")) == HOUR_MS // 4
    assert retention(REGISTRY) == retention(INTAKE) == -1
    assert retention(evidence_topic("32")) >= 3 * YEAR_MS
    assert retention("certlane.checkpoint") >= 3 * YEAR_MS


def test_replies_outlive_their_deadline() -> None:
    """A request and its reply are kept longer than any deadline can lie ahead."""
    assert min(retention(request_topic("32")), retention(reply_topic("31-yct"))) > MAX_DEADLINE_AHEAD_MS


def test_compaction() -> None:
    """Only detail is compacted: the history of the registry and of evidence is never rewritten."""
    compacted = {name for name, spec in SPECS.items() if "compact" in spec.config["cleanup.policy"]}
    assert compacted == {detail_topic(party) for party in (*PROVINCES, *NODES)}


def test_append_time() -> None:
    """Kafka's own time stands on requests, replies and presence, where it is compared, and nowhere else."""
    appended = {row.name.removesuffix(".{party}") for row in TOPICS if row.append_time}
    assert appended == {"certlane.request", "certlane.reply", "certlane.registry.intake", "certlane.presence"}


def test_a_lot_fits() -> None:
    """The largest lot with its headers fits in a record of every topic."""
    assert LANE_MAX_RECORD_BYTES >= 2 * MAX_LOT_BYTES
    assert {spec.config["max.message.bytes"] for spec in SPECS.values()} == {str(LANE_MAX_RECORD_BYTES)}


def test_quarantine() -> None:
    """Lanes and reply topics have a quarantine, kept for days, and its own quarantine has none."""
    asides = {name for name in SPECS if name.endswith(".dlq")}
    assert {name.removesuffix(".dlq") for name in asides} == {
        *(request_topic(province) for province in PROVINCES),
        *(reply_topic(node) for node in NODES),
    }
    assert all(retention(name) > 24 * HOUR_MS for name in asides)


def test_no_personal_name() -> None:
    """A topic's name is made of nothing but the ids of provinces and nodes (I8)."""
    parties = {*PROVINCES, *NODES}
    for name in SPECS:
        rest = [part for part in name.split(".") if part not in parties]
        assert all(part.isalpha() for part in rest)


def test_configurations_are_their_own() -> None:
    """Changing one topic's configuration does not change another's quarantine."""
    lane: TopicSpec = SPECS[request_topic("32")]
    assert lane.config is not SPECS[dlq_topic(lane.name)].config
    assert lane.config["retention.ms"] != SPECS[dlq_topic(lane.name)].config["retention.ms"]
