"""Lots on their way out: packing for a party, and a lane whose lots grow only while Kafka is busy."""

from __future__ import annotations

import itertools
import random
import uuid
from typing import TYPE_CHECKING, NamedTuple, Protocol

from broker.bus import telemetry
from broker.bus.clock import iso, now_ms
from broker.bus.greedy import Greedy
from broker.bus.kafka import send
from schemas.lot import FRAME_OVERHEAD_BYTES, MAX_ITEMS, MAX_LOT_BYTES, Envelope, Frames, WireRecord, frame
from schemas.suites import TAG_BYTES
from schemas.topics import LANE_PARTITIONS
from schemas.wire import pack, seal

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from aiokafka import AIOKafkaProducer

    from broker.bus.keys import KeySigner, Sealer
    from schemas.jose import Jwk

MAX_BODY_BYTES = MAX_LOT_BYTES - TAG_BYTES


class ExpiredError(Exception):
    """The item's deadline passed before its lot was closed; nothing was produced."""


class Recipients(Protocol):
    """Where the sealing key of a party comes from: the registry."""

    def sealing_key(self, party: str, now_ms: int) -> Jwk:
        """The key to seal to; raises LotError("sender" | "key")."""


class Packer:
    """Signs and seals as one party."""

    def __init__(self, *, party: str, signer: KeySigner, sealer: Sealer, recipients: Callable[[], Recipients]) -> None:
        self.party = party
        self._signer, self._sealer, self._recipients = signer, sealer, recipients

    def frames(self, bodies: Sequence[bytes]) -> Frames:
        return frame(bodies, self._signer.suite)

    def envelope(self, event_type: str, count: int, deadline_ms: int, reply_to: str = "") -> Envelope:
        """A fresh lot's open part."""
        return Envelope(
            ce_id=uuid.uuid4().hex,
            ce_type=event_type,
            ce_source=self.party,
            ce_time=iso(now_ms()),
            ce_deadline=str(deadline_ms),
            ce_items=str(count),
            ce_replyto=reply_to,
        )

    def pack(self, envelope: Envelope, frames: Frames, to: str, evidence: bytes | None = None) -> WireRecord:
        """The signed and sealed record for this recipient; raises LotError("sender" | "key" | "size")."""
        sealing = self._sealer.next(to, self._recipients().sealing_key(to, now_ms()))
        return pack(envelope, frames, signer=self._signer, sealing=sealing, evidence=evidence)

    def seal(self, envelope: Envelope, plaintext: bytes, key: Jwk) -> WireRecord:
        """An unsigned record sealed to ourselves, for the detail topic."""
        sealed, value = seal(envelope, plaintext, self._sealer.next(self.party, key))
        headers = [("ce_id", envelope.ce_id.encode()), ("ce_type", envelope.ce_type.encode())]
        headers += [("ce_source", envelope.ce_source.encode()), ("seal", sealed)]
        return WireRecord(headers, value)


class _Ready(NamedTuple):
    body: bytes
    deadline_ms: int


class Lane:
    """One province's requests on their way out."""

    def __init__(
        self,
        *,
        topic: str,
        to: str,
        event_type: str,
        reply_to: str,
        packer: Packer,
        kafka: AIOKafkaProducer,
    ) -> None:
        self._topic, self._to, self._event_type, self._reply_to = topic, to, event_type, reply_to
        self._packer, self._kafka = packer, kafka
        self._partitions = itertools.cycle(random.sample(range(LANE_PARTITIONS), LANE_PARTITIONS))
        self.lots: Greedy[_Ready, int] = Greedy(
            self._ship,
            max_items=MAX_ITEMS,
            max_bytes=MAX_BODY_BYTES,
            size=lambda item: len(item.body) + FRAME_OVERHEAD_BYTES,
        )

    def put(self, body: bytes, deadline_ms: int) -> asyncio.Future[int]:
        """Hand over one encoded item; the future gives the append time (ms), ExpiredError, LotError or KafkaError."""
        return self.lots.put(_Ready(body, deadline_ms))

    async def _ship(self, lot: list[_Ready]) -> list[int | Exception]:
        now = now_ms()
        live = [item for item in lot if item.deadline_ms > now]
        appended = 0
        if live:
            envelope = self._packer.envelope(
                self._event_type, len(live), max(item.deadline_ms for item in live), self._reply_to
            )
            record = self._packer.pack(envelope, self._packer.frames([item.body for item in live]), self._to)
            appended = await send(self._kafka, self._topic, record, partition=next(self._partitions))
            telemetry.LOT_SIZE.labels("request").observe(len(live))
        telemetry.EXPIRED.labels("lane").inc(len(lot) - len(live))
        return [appended if item.deadline_ms > now else ExpiredError() for item in lot]
