"""Reading reply partitions into answers: verify, write to the book, then tell those who wait, then go on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from aiokafka import TopicPartition

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.kafka import KafkaFailure, consumer, incoming, send
from broker.bus.quarantine import quarantined
from broker.bus.redis import RedisFailure
from broker.exchange.ledger import EpochError, ReplyEntry, ReplyLot
from broker.exchange.state import Answer
from schemas.items import decode_reply
from schemas.jose import JoseError
from schemas.lot import MAX_LOT_BYTES, PROBE_TYPE, REPLY_TYPE, LotError, WireRecord
from schemas.wire import open_lot, parse_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    from broker.bus.keys import KeyOpener
    from broker.exchange.ledger import Ledger
    from broker.registry.snapshot import Snapshot
    from schemas.lot import Envelope

_RETRY_SECONDS = 0.2
_LOTS_A_POLL = 64


class ReplyOpener:
    """Opens the reply lots of one node."""

    def __init__(self, *, node: str, opener: KeyOpener, snapshot: Callable[[], Snapshot]) -> None:
        self._node, self._opener, self._snapshot = node, opener, snapshot

    def open(self, record: WireRecord, appended_ms: int) -> tuple[Envelope, list[Answer]]:
        """The answers of a reply lot; a key must have been valid when the lot was appended. Raises LotError."""
        envelope, signature, sealed = parse_headers(record.headers)
        if envelope.ce_type != REPLY_TYPE:
            raise LotError("version")
        if len(record.value) > MAX_LOT_BYTES:
            raise LotError("size")
        snapshot = self._snapshot()
        try:
            lot = open_lot(
                envelope,
                signature,
                sealed,
                record.value,
                me=self._node,
                keys=snapshot,
                opener=self._opener,
                now_ms=appended_ms,
            )
            items = [decode_reply(item.body) for item in lot.items]
        except (JoseError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LotError("form") from error
        if snapshot.parties[envelope.ce_source].kind != "province":
            raise LotError("sender")
        return envelope, [Answer(item, envelope.ce_source, appended_ms) for item in items]


class _Batch(NamedTuple):
    """What one poll of one partition brought."""

    lots: list[ReplyLot]
    answers: list[Answer]
    next_offset: int
    read_ms: int
    probes: list[bytes]


class ReplyReader:
    """Reads the partitions it is told to; one for an instance's home, one for what it drains."""

    def __init__(
        self,
        *,
        bootstrap: str,
        name: str,
        topic: str,
        ledger: Ledger,
        opener: ReplyOpener,
        kafka: AIOKafkaProducer,
        taken: Callable[[Answer, int], None],
        drained: Callable[[int, int], None],
        replaced: Callable[[], None],
    ) -> None:
        self._bootstrap, self._name, self._topic, self._ledger = bootstrap, name, topic, ledger
        self._opener, self._kafka = opener, kafka
        self._taken, self._drained, self._replaced = taken, drained, replaced
        self._wanted: tuple[int, ...] = ()
        self._placed: tuple[tuple[int, ...], bytes] = ((), b"")  # partitions and the epoch in which we took our place

    def hold(self, partitions: Sequence[int]) -> None:
        """Read these partitions from now on, each from where the book says."""
        self._wanted = tuple(sorted(partitions))

    async def run(self) -> None:
        """Read for ever; waits while Redis is away."""
        reader = consumer(self._bootstrap, self._name)
        await reader.start()
        try:
            while True:
                try:
                    await self._turn(reader)
                except (*RedisFailure, EpochError, *KafkaFailure) as error:
                    telemetry.log.warning("reply reader waits", part=self._name, error=type(error).__name__)
                    self._placed = ((), b"")  # what was read and not written is read again
                    await asyncio.sleep(_RETRY_SECONDS)
        finally:
            await reader.stop()

    async def _turn(self, reader: AIOKafkaConsumer) -> None:
        wanted = self._wanted
        if not wanted or not self._ledger.epoch:
            await asyncio.sleep(_RETRY_SECONDS)
            return
        await self._place(reader, wanted)
        for tp, records in (await reader.getmany(timeout_ms=200, max_records=_LOTS_A_POLL)).items():
            batch = await self._read(records)
            await self._write(tp.partition, batch)

    async def _place(self, reader: AIOKafkaConsumer, wanted: tuple[int, ...]) -> None:
        """Assign, and seek every partition that is new to us, or to this life of Redis, to its place in the book."""
        epoch = self._ledger.epoch
        if self._placed == (wanted, epoch):
            return
        places = await self._ledger.offsets(wanted)
        reader.assign([TopicPartition(self._topic, place) for place in wanted])
        for place in wanted:
            tp = TopicPartition(self._topic, place)
            if place in places:
                reader.seek(tp, places[place])
            else:
                await reader.seek_to_beginning(tp)
            await reader.position(tp)
        self._placed = (wanted, epoch)
        self._replaced()
        for place in wanted:
            await self.probe(place)

    async def probe_all(self) -> None:
        for place in self._wanted:
            await self.probe(place)

    async def probe(self, partition: int) -> int:
        """Append a probe and say when (ms); when it is read back, everything appended before it has been read."""
        headers = [("ce_type", PROBE_TYPE.encode()), ("certlane_epoch", self._ledger.epoch)]
        return await send(self._kafka, self._topic, WireRecord(headers, b""), partition=partition)

    async def _read(self, records: Sequence[object]) -> _Batch:
        batch = _Batch([], [], 0, 0, [])
        for record in map(incoming, records):
            batch = batch._replace(next_offset=record.offset + 1, read_ms=record.appended_ms)
            named = dict(record.headers[:4])
            if named.get("ce_type") == PROBE_TYPE.encode():
                batch.probes.append(named.get("certlane_epoch", b""))
                continue
            wire = WireRecord(record.headers, record.value)
            try:
                envelope, answers = self._opener.open(wire, record.appended_ms)
            except LotError as error:
                out = quarantined(record, error.reason)
                await send(self._kafka, out.topic, out.record, partition=out.partition)
                continue
            telemetry.LOT_SIZE.labels("reply").observe(len(answers))
            batch.answers.extend(answers)
            batch.lots.append(ReplyLot(envelope.ce_id, wire, [_entry(place, a) for place, a in enumerate(answers)]))
        return batch

    async def _write(self, partition: int, batch: _Batch) -> None:
        epoch = self._placed[1]
        verdicts = await self._ledger.answer(
            batch.lots,
            epoch=epoch,
            partition=partition,
            next_offset=batch.next_offset,
            read_ms=batch.read_ms,
            now=now_ms(),
        )
        for answer, verdict in zip(batch.answers, verdicts, strict=True):
            if verdict < 1:
                telemetry.LATE.labels({0: "second", -1: "late"}.get(verdict, "stranger")).inc()
            self._taken(answer, verdict)
        if epoch in batch.probes:
            await self._ledger.rebuilt(partition, epoch)
        self._drained(partition, batch.read_ms)


def _entry(place: int, answer: Answer) -> ReplyEntry:
    item = answer.item
    return ReplyEntry(
        item.id,
        place,
        answer.appended_ms,
        item.digest,
        item.deadline,
        answer.province,
        item.application,
        item.sources,
    )
