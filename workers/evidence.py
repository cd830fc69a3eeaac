"""The evidence writer: one chain, one partition, one incarnation; evidence and detail are durable before a reply."""

from __future__ import annotations

import asyncio
import hmac
import uuid
import zlib
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from broker.bus.clock import now_ms
from schemas.evidence import SIGNATURE_HEADER, Detail, EvidenceBody, EvidenceItem, body_digest, encode_body
from schemas.items import encode
from schemas.jose import unb64
from schemas.lot import DETAIL_TYPE, REPLY_TYPE, WireRecord
from schemas.topics import LANE_PARTITIONS, detail_topic, evidence_topic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiokafka import AIOKafkaProducer

    from broker.bus.keys import KeyFile
    from broker.bus.lots import Packer
    from schemas.lot import Envelope, Frames

_SIGNATURE = "signature"


class Evident(NamedTuple):
    """A reply record and the writes that must be acknowledged before it may leave."""

    record: WireRecord
    writes: tuple[asyncio.Future[object], asyncio.Future[object]]

    async def durable(self) -> WireRecord:
        """The reply, once its evidence and its detail are written; an error here ends the writer's incarnation."""
        await asyncio.gather(*self.writes)
        return self.record


class EvidenceWriter:
    """Chains the records of one agent's life; whoever starts again starts a new chain."""

    def __init__(self, *, party: str, keys: KeyFile, packer: Packer, kafka: AIOKafkaProducer) -> None:
        self._party, self._packer, self._kafka = party, packer, kafka
        self._own_key = keys.sealing.public
        self._holder_key = unb64(keys.holder_key)
        self.writer = uuid.uuid4().hex
        self._partition = zlib.crc32(self.writer.encode()) % LANE_PARTITIONS
        self._number = 0
        self._previous = b""
        self._in_order = asyncio.Lock()  # numbers and places on the topic rise together

    def holder_hash(self, holder_code: str) -> str:
        """A holder as evidence knows them: HMAC-SHA-256 under the province's own key, hex."""
        return hmac.digest(self._holder_key, holder_code.encode(), "sha256").hex() if holder_code else ""

    async def write(
        self,
        *,
        reply: Envelope,
        to: str,
        frames: Frames,
        request_lot: str,
        details: Sequence[tuple[str, Detail]],
        still: Callable[[], bool] = lambda: True,
    ) -> Evident | None:
        """Put one reply lot into the chain and start its two writes; each detail stands behind its request's id.

        Nothing is written when it is no longer so when its turn has come (`still`): then there is None.
        """
        detail_frames = self._packer.frames([encode(detail) for _, detail in details])
        detail_envelope = self._packer.envelope(DETAIL_TYPE, len(details), reply.deadline_ms)
        sealed = self._packer.seal(detail_envelope, detail_frames.plaintext, self._own_key)
        items = tuple(
            EvidenceItem(request_id=request_id, detail=leaf.hex())
            for (request_id, _), leaf in zip(details, detail_frames.leaves, strict=True)
        )
        async with self._in_order:
            if not still():
                return None
            body = self._body(reply.ce_id, frames.root, request_lot, [detail for _, detail in details], items)
            digest = body_digest(body)
            record = self._packer.pack(reply, frames, to, evidence=digest)  # may be refused: then nothing was written
            signature = next(value for name, value in record.headers if name == _SIGNATURE)
            evidence = await self._kafka.send(
                evidence_topic(self._party), body, partition=self._partition, headers=[(SIGNATURE_HEADER, signature)]
            )
            self._number, self._previous = self._number + 1, digest
            detail = await self._kafka.send(
                detail_topic(self._party), sealed.value, key=reply.ce_id.encode(), headers=sealed.headers
            )
        return Evident(record, (evidence, detail))

    def _body(
        self,
        reply_lot: str,
        root: bytes,
        request_lot: str,
        details: Sequence[Detail],
        items: tuple[EvidenceItem, ...],
    ) -> bytes:
        """The next record of the chain; whoever calls holds its turn."""
        return encode_body(
            EvidenceBody(
                writer=self.writer,
                number=self._number,
                previous=self._previous.hex(),
                request_lot=request_lot,
                reply_lot=reply_lot,
                root=root.hex(),
                time=now_ms(),
                attempt=max(detail.attempt for detail in details),
                items=items,
            )
        )

    def frames(self, bodies: Sequence[bytes]) -> Frames:
        return self._packer.frames(bodies)

    def reply_envelope(self, lot_id: str, count: int, deadline_ms: int) -> Envelope:
        return replace(self._packer.envelope(REPLY_TYPE, count, deadline_ms), ce_id=lot_id)
