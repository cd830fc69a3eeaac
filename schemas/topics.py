"""The topics of the exchange, one table (DESIGN §4); names, limits and the local stack are generated from it."""

from __future__ import annotations

from typing import NamedTuple

from schemas.regions import PROVINCES

LANE_PARTITIONS = 12
LANE_MAX_RECORD_BYTES = 1 << 20
_HOUR, _MINUTE, _DAY = 3_600_000, 60_000, 86_400_000
_YEARS = 3 * 365 * _DAY  # 个人信息保护法: records at least three years (DOMAIN §9.1)
_FOR_EVER = -1


class Topic(NamedTuple):
    """One kind of topic: `name` may hold {party}; retention in milliseconds, -1 for ever."""

    name: str
    per: str  # "province", "node", "party" or "" for exactly one
    partitions: int
    retention_ms: int
    cleanup: str
    append_time: bool
    writers: str
    readers: str


TOPICS: tuple[Topic, ...] = (
    Topic("certlane.request.{party}", "province", LANE_PARTITIONS, _HOUR, "delete", True, "nodes", "its province"),
    Topic("certlane.reply.{party}", "node", LANE_PARTITIONS, 15 * _MINUTE, "delete", True, "provinces", "its node"),
    Topic("certlane.evidence.{party}", "party", 12, _YEARS, "delete", False, "its party", "all parties"),
    Topic("certlane.detail.{party}", "party", 12, _FOR_EVER, "compact", False, "its party", "its party"),
    Topic("certlane.registry", "", 1, _FOR_EVER, "delete", False, "registrar", "all"),
    Topic("certlane.registry.intake", "", 1, _FOR_EVER, "delete", True, "parties", "registrar"),
    Topic("certlane.presence", "", 1, 10 * _MINUTE, "delete", True, "agents", "all"),
    Topic("certlane.checkpoint", "", 1, _YEARS, "delete", False, "parties", "all"),
)
QUARANTINED = ("province", "node")  # lanes and reply topics have a `.dlq`
_DLQ_DAYS = 7

REGISTRY = "certlane.registry"
INTAKE = "certlane.registry.intake"
PRESENCE = "certlane.presence"


class TopicSpec(NamedTuple):
    """One topic as Kafka is told to make it."""

    name: str
    partitions: int
    config: dict[str, str]


def request_topic(province: str) -> str:
    return f"certlane.request.{province}"


def reply_topic(node: str) -> str:
    return f"certlane.reply.{node}"


def evidence_topic(party: str) -> str:
    return f"certlane.evidence.{party}"


def detail_topic(party: str) -> str:
    return f"certlane.detail.{party}"


def dlq_topic(topic: str) -> str:
    return f"{topic}.dlq"


def specs(nodes: tuple[str, ...], provinces: tuple[str, ...] = PROVINCES) -> list[TopicSpec]:
    """Every topic of an exchange with these parties."""
    parties = {"": ("",), "province": provinces, "node": nodes, "party": provinces + nodes}
    out = []
    for row in TOPICS:
        config = {
            "retention.ms": str(row.retention_ms),
            "cleanup.policy": row.cleanup,
            "max.message.bytes": str(LANE_MAX_RECORD_BYTES),
            "compression.type": "uncompressed",  # what lies there is sealed; and no reader needs a sender's codec
            "message.timestamp.type": "LogAppendTime" if row.append_time else "CreateTime",
        }
        for party in parties[row.per]:
            name = row.name.format(party=party)
            out.append(TopicSpec(name, row.partitions, config))
            if row.per in QUARANTINED:
                out.append(TopicSpec(dlq_topic(name), 1, config | {"retention.ms": str(_DLQ_DAYS * _DAY)}))
    return out
