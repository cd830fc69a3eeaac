"""Quarantine: a record that cannot be processed, put aside with its reason; its topic goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.bus import telemetry
from broker.bus.kafka import Outgoing
from schemas.lot import MAX_LOT_BYTES, WireRecord
from schemas.topics import dlq_topic

if TYPE_CHECKING:
    from broker.bus.kafka import Incoming


def quarantined(record: Incoming, reason: str) -> Outgoing:
    """The record for the `.dlq` topic: the value that came, bounded, and in headers where it stood and why it is here.

    What a stranger wrote into headers is not copied: it could be anything.
    """
    telemetry.QUARANTINED.labels(record.topic, reason).inc()
    where = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    telemetry.log.warning("quarantined", reason=reason, **where)
    told = {
        "certlane_reason": reason,
        "certlane_partition": str(record.partition),
        "certlane_offset": str(record.offset),
        "certlane_bytes": str(len(record.value)),
    }
    value = record.value if len(record.value) <= MAX_LOT_BYTES else b""
    return Outgoing(
        dlq_topic(record.topic), 0, WireRecord([(name, text.encode()) for name, text in told.items()], value)
    )
