"""A node of its own that speaks Kafka, made of the product's wire; hostile tests bend what it sends."""

from __future__ import annotations

import time
import uuid
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from broker.bus.clock import iso, now_ms
from broker.bus.keys import KeyOpener, KeySigner, Sealer
from schemas.items import ReplyItem, decode_reply
from schemas.jose import Jwk
from schemas.lot import REPLY_TYPE, REQUEST_TYPE, Envelope, WireRecord, frame
from schemas.suites import BY_SIGN_ALG, ED
from schemas.topics import dlq_topic
from schemas.wire import open_lot, pack, parse_headers

REPLY_PARTITION = 7


class Province(NamedTuple):
    topic: str
    signing: Jwk
    sealing: Jwk


class KafkaNode:
    """Node `31-sdk` of demo.json."""

    def __init__(self, document: dict[str, Any]) -> None:
        node = document["node"]
        self.id: str = node["id"]
        self.items: list[dict[str, Any]] = node["items"]
        self.reply_topic: str = node["replyTopic"]
        self.signer = KeySigner(msgspec.convert(node["signingKey"], Jwk))
        self.opener = KeyOpener(msgspec.convert(node["sealingKey"], Jwk))
        self.sealer = Sealer()
        self.provinces = {
            name: Province(
                row["topic"], msgspec.convert(row["signingKey"], Jwk), msgspec.convert(row["sealingKey"], Jwk)
            )
            for name, row in node["provinces"].items()
        }
        self.bootstrap: str = document["kafka"]

    def verifier(self, party: str, kid: str, alg: str, _now_ms: int) -> Any:
        key = self.provinces[party].signing
        assert (kid, alg) == (key.kid, key.alg)
        return BY_SIGN_ALG[alg].verifier(key)

    def item(self, name: str, deadline: int | None = None, **changed: Any) -> dict[str, Any]:
        """An item of demo.json by its name, with an id and a deadline."""
        found = next(one["item"] for one in self.items if one["name"] == name)
        return {"id": uuid.uuid4().hex, "deadline": deadline or now_ms() + 60_000, **found, **changed}

    def lot(self, province: str, items: list[dict[str, Any]], **changed: Any) -> WireRecord:
        """A signed and sealed lot; `changed` bends the envelope before it is signed."""
        bodies = [msgspec.json.encode(item) for item in items]
        deadline = max([item["deadline"] for item in items], default=now_ms() + 60_000)
        fields: dict[str, Any] = {
            "ce_id": uuid.uuid4().hex,
            "ce_type": REQUEST_TYPE,
            "ce_source": self.id,
            "ce_time": iso(now_ms()),
            "ce_deadline": str(deadline),
            "ce_items": str(len(items)),
            "ce_replyto": f"{self.reply_topic}/{REPLY_PARTITION}",
        }
        to = changed.pop("to", province)
        sealing = self.sealer.next(to, self.provinces[province].sealing)
        signer = changed.pop("signer", self.signer)
        return pack(Envelope(**(fields | changed)), frame(bodies, ED), signer=signer, sealing=sealing)

    async def exchange(
        self, sends: list[tuple[str, WireRecord]], wanted: set[str], seconds: float = 60
    ) -> dict[str, ReplyItem]:
        """Publish records to topics and collect the replies to these ids."""
        reader = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        place = TopicPartition(self.reply_topic, REPLY_PARTITION)
        reader.assign([place])
        await reader.start()
        found: dict[str, ReplyItem] = {}
        try:
            await reader.seek_to_end(place)
            await reader.position(place)
            await self.publish(sends)
            ends = time.monotonic() + seconds
            while wanted - set(found) and time.monotonic() < ends:
                for record in (await reader.getmany(timeout_ms=200)).get(place, []):
                    found |= self._open(record)
        finally:
            await reader.stop()
        return found

    def _open(self, record: Any) -> dict[str, ReplyItem]:
        if dict(record.headers).get("ce_type") != REPLY_TYPE.encode():
            return {}
        envelope, signature, sealed = parse_headers(record.headers)
        lot = open_lot(
            envelope, signature, sealed, record.value, me=self.id, keys=self, opener=self.opener, now_ms=now_ms()
        )
        return {(reply := decode_reply(item.body)).id: reply for item in lot.items}

    async def publish(self, sends: list[tuple[str, WireRecord]]) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all", max_request_size=4 << 20)
        await producer.start()
        try:
            for topic, record in sends:
                await producer.send_and_wait(topic, record.value, headers=record.headers, partition=0)
        finally:
            await producer.stop()

    async def quarantine(self, topic: str) -> list[tuple[str, int]]:
        """Reason and size of everything in a topic's quarantine, in order."""
        reader = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        place = TopicPartition(dlq_topic(topic), 0)
        reader.assign([place])
        await reader.start()
        found: list[tuple[str, int]] = []
        try:
            end = (await reader.end_offsets([place]))[place]
            reader.seek(place, 0)
            while await reader.position(place) < end:
                for record in (await reader.getmany(timeout_ms=200)).get(place, []):
                    told = dict(record.headers)
                    found.append((told["certlane_reason"].decode(), int(told["certlane_bytes"])))
        finally:
            await reader.stop()
        return found
