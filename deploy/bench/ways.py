"""The two ways of the product: through the topics as a node of its own, and through HTTP at the gateways."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import msgspec
import orjson
from aiokafka import TopicPartition

from broker.bus.clock import now_ms
from broker.bus.kafka import consumer, producer
from broker.bus.keys import KeyOpener, KeySigner, Sealer
from broker.bus.lots import Lane, Packer
from schemas.items import RequestItem, decode_reply, encode
from schemas.jose import Jwk
from schemas.lot import REPLY_TYPE, REQUEST_TYPE
from schemas.sharing import Head
from schemas.suites import BY_SIGN_ALG
from schemas.wire import open_lot, parse_headers

if TYPE_CHECKING:
    from collections.abc import Callable

_PARTITION = 11


class _Province:
    """One province's public keys, as demo.json tells them."""

    def __init__(self, row: dict[str, Any]) -> None:
        signing = msgspec.convert(row["signingKey"], Jwk)
        self._sealing = msgspec.convert(row["sealingKey"], Jwk)
        self._verify = BY_SIGN_ALG[signing.alg or ""].verifier(signing)

    def sealing_key(self, _party: str, _now_ms: int) -> Jwk:
        return self._sealing

    def verifier(self, _party: str, _kid: str, _alg: str, _now_ms: int) -> Callable[[bytes, bytes], None]:
        return self._verify


class TopicsWay:
    """Node `31-sdk` on one province's lane: sign, seal, judge, effects, SQLite, evidence, verify, all on."""

    name = "through the topics"

    def __init__(self, document: dict[str, Any], province: str, certificates: list[str]) -> None:
        node = document["node"]
        self._node: str = node["id"]
        self._application: str = node["application"]
        self._peer = _Province(node["provinces"][province])
        self._opener = KeyOpener(msgspec.convert(node["sealingKey"], Jwk))
        self._writer = producer(document["kafka"], "bench-topics")
        self._reader = consumer(document["kafka"], "bench-topics")
        self._place = TopicPartition(node["replyTopic"], _PARTITION)
        self._lane = Lane(
            topic=node["provinces"][province]["topic"],
            to=province,
            event_type=REQUEST_TYPE,
            reply_to=f"{node['replyTopic']}/{_PARTITION}",
            packer=Packer(
                party=self._node,
                signer=KeySigner(msgspec.convert(node["signingKey"], Jwk)),
                sealer=Sealer(),
                recipients=lambda: self._peer,
            ),
            kafka=self._writer,
        )
        template = node["items"][0]["item"]
        self._head = msgspec.convert(template["head"], Head)
        self._data = itertools.cycle([msgspec.Raw(msgspec.json.encode({"certificateID": one})) for one in certificates])
        self._waiting: dict[str, asyncio.Future[bool]] = {}

    async def __aenter__(self) -> Self:
        self._reader.assign([self._place])
        await self._reader.start()
        await self._writer.start()
        await self._reader.seek_to_end()
        await self._reader.position(self._place)
        self._task = asyncio.ensure_future(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await self._writer.stop()
        await self._reader.stop()

    def ask(self, _number: int) -> asyncio.Future[bool]:
        name, deadline = uuid.uuid4().hex, now_ms() + 60_000
        future = self._waiting[name] = asyncio.get_running_loop().create_future()
        item = RequestItem(
            id=name,
            interface="I4",
            application=self._application,
            address="127.0.0.1",
            deadline=deadline,
            head=self._head,
            data=next(self._data),
        )
        self._lane.put(encode(item), deadline)
        return future

    async def _read(self) -> None:
        while True:
            for records in (await self._reader.getmany(timeout_ms=250)).values():
                for record in records:
                    self._open(record)

    def _open(self, record: Any) -> None:
        envelope, signature, sealed = parse_headers(record.headers)
        if envelope.ce_type != REPLY_TYPE:
            return
        lot = open_lot(
            envelope,
            signature,
            sealed,
            record.value,
            me=self._node,
            keys=self._peer,
            opener=self._opener,
            now_ms=record.timestamp,
        )
        for item in lot.items:
            reply = decode_reply(item.body)
            if waiting := self._waiting.pop(reply.id, None):
                waiting.set_result(reply.status == 0)


class HttpWay:
    """Both gateways in turn, over kept connections."""

    name = "through HTTP"

    def __init__(self, document: dict[str, Any], certificates: list[str]) -> None:
        self._urls = itertools.cycle([url + document["requests"][0]["path"] for url in document["gateways"]])
        self._head = document["requests"][0]["body"]["head"]
        self._token = document["token"]
        self._certificates = itertools.cycle(certificates)

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json", "Prefer": "wait=30"}
        self._session = aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def ask(self, _number: int) -> asyncio.Future[bool]:
        return asyncio.ensure_future(self._ask())

    async def _ask(self) -> bool:
        body = {
            "head": self._head | {"requestId": uuid.uuid4().hex},
            "data": {"certificateID": next(self._certificates)},
        }
        async with self._session.post(next(self._urls), data=orjson.dumps(body)) as answer:
            told = orjson.loads(await answer.read())
            return bool(answer.status == 200 and told["head"]["status"] == 0)  # HTTP
