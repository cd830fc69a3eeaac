"""How we connect to Kafka: idempotent producer, consumers by assignment; the defaults that must be overridden."""

from __future__ import annotations

from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from broker.bus import unpacking
from schemas.lot import WireRecord

unpacking.install()
KafkaFailure = (KafkaError, OSError)
_MAX_FETCH_BYTES = 4 << 20
# A batch must fit in max.message.bytes (1 MiB); a single lot is at most 512 KiB and its headers.
_MAX_BATCH_BYTES = 768 * 1024


class Incoming(NamedTuple):
    """One Kafka record, nothing of it believed yet; `appended_ms` is Kafka's own time where the topic says so."""

    topic: str
    partition: int
    offset: int
    appended_ms: int
    headers: list[tuple[str, bytes]]
    value: bytes


class Outgoing(NamedTuple):
    """A record to publish: a reply lot, or one put into quarantine."""

    topic: str
    partition: int | None
    record: WireRecord


def incoming(record: Any) -> Incoming:
    """What aiokafka hands out, as a value."""
    return Incoming(
        record.topic, record.partition, record.offset, record.timestamp, list(record.headers), record.value or b""
    )


def producer(bootstrap: str, name: str) -> AIOKafkaProducer:
    """An idempotent producer, acks=all; its sends never expire by themselves while Kafka is away."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        client_id=name,
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=_MAX_BATCH_BYTES,
        max_request_size=(1 << 20) + 65_536,
        request_timeout_ms=10_000,
        retry_backoff_ms=50,
        metadata_max_age_ms=60_000,
    )


def consumer(bootstrap: str, name: str, *, group: str | None = None) -> AIOKafkaConsumer:
    """A consumer without automatic commits; `assign` it, or subscribe within a group."""
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id=name,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=250,
        max_partition_fetch_bytes=_MAX_FETCH_BYTES,
        request_timeout_ms=10_000,
        retry_backoff_ms=50,
        session_timeout_ms=6_000,
        heartbeat_interval_ms=1_500,
        metadata_max_age_ms=60_000,
    )


async def send(
    kafka: AIOKafkaProducer, topic: str, record: WireRecord, *, partition: int | None = None, key: bytes | None = None
) -> int:
    """Publish one record and wait for all acknowledgements; the time (unix ms) it was appended."""
    future = await kafka.send(topic, record.value, key=key, partition=partition, headers=record.headers)
    return int((await future).timestamp)


async def end_offsets(reader: AIOKafkaConsumer, topic: str, partitions: list[int]) -> dict[int, int]:
    """Where each partition ends now."""
    ends = await reader.end_offsets([TopicPartition(topic, place) for place in partitions])
    return {tp.partition: offset for tp, offset in ends.items()}
