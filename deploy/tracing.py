"""Where a request was, and when: read from the sealed answer while it is kept, else from the provinces' details."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from aiokafka import TopicPartition

from broker.bus import kafka, redis
from broker.bus.keys import KeyOpener, read_keys
from broker.exchange.ledger import Ledger, RebuildingError
from broker.exchange.replies import ReplyOpener
from broker.registry.stored import StoredRegistry
from broker.registry.trust import RegistryError, verified_snapshot
from deploy.local import ports, processes
from schemas.evidence import Detail
from schemas.items import decode_bare, decode_request
from schemas.jose import JoseError
from schemas.lot import Envelope, LotError, unframe
from schemas.regions import PROVINCES
from schemas.suites import ED
from schemas.topics import LANE_PARTITIONS, detail_topic
from schemas.wire import unseal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from broker.exchange.ledger import Pointer
    from deploy.local.home import Home
    from schemas.lot import WireRecord

# hop -> where it was and what it means
HOPS = {
    "received": "网关收到",
    "lane": "Kafka 请求通道",
    "opened": "省级代理拆封验签",
    "judged": "授权判定与防重标记",
    "fetched": "证照库答复",
    "replied": "Kafka 答复通道",
    "collected": "网关写入答复",
}


class Trace(NamedTuple):
    """One request's way; hop times in unix ms."""

    request_id: str
    found_in: str
    province: str
    status: int
    scenario: str
    evidence: str
    attempt: int
    hops: Mapping[str, int]


async def trace(home: Home, request_id: str) -> list[Trace]:
    """What the answer tells; when it is no longer kept, what each province's detail tells. Empty: unknown."""
    told = await _of_answers(home, request_id)
    return told or [one async for one in _of_details(home, request_id)]


async def _of_answers(home: Home, request_id: str) -> list[Trace]:
    """One trace for each province that has answered, while its answer is kept."""
    connection = redis.connect(ports.remembered(home).redis_url)
    try:
        ledger = Ledger(connection, processes.NODE)
        known = await ledger.find(request_id)
        pointers = [pointer for pointer in known.parts.values() if pointer] if known else []
        kept = [(pointer, await ledger.lot(pointer.lot_id)) for pointer in pointers]
        stored = await StoredRegistry(connection, processes.NODE).load()
    except (RebuildingError, *redis.RedisFailure):
        return []
    finally:
        await connection.aclose()
    if stored is None:
        return []
    registrar = read_keys(home.keys / "registrar.public.json").signing
    opener = KeyOpener(read_keys(home.keys / f"{processes.NODE}.json").sealing)
    try:
        snapshot = verified_snapshot(stored.manifest, stored.records, registrar)
        replies = ReplyOpener(node=processes.NODE, opener=opener, snapshot=lambda: snapshot)
        return [_of_reply(replies, pointer, record) for pointer, record in kept if record]
    except (RegistryError, LotError):
        return []


def _of_reply(replies: ReplyOpener, pointer: Pointer, record: WireRecord) -> Trace:
    answer = replies.open(record, pointer.appended_ms)[1][pointer.place]
    item = answer.item
    hops = dict(item.hops) | {"replied": pointer.appended_ms, "collected": pointer.written_ms}
    return Trace(item.id, "answer", answer.province, item.status, item.scenario, item.evidence, item.attempt, hops)


async def _of_details(home: Home, request_id: str) -> AsyncIterator[Trace]:
    for province in PROVINCES:
        keys = read_keys(home.keys / f"{province}.json")
        opener = KeyOpener(keys.sealing)
        async for envelope, sealed, value, lot in _records(ports.remembered(home).bootstrap, detail_topic(province)):
            try:
                items, _ = unframe(unseal(envelope, sealed, value, me=province, opener=opener), ED)
            except (LotError, JoseError):
                continue
            for place, raw in enumerate(items):
                detail = msgspec.json.decode(raw.body, type=Detail)
                request = decode_bare(detail.request)
                if request.id == request_id:
                    evidence = f"{province}:{lot}:{place}"
                    yield Trace(
                        request_id,
                        "detail",
                        province,
                        detail.status,
                        detail.scenario,
                        evidence,
                        detail.attempt,
                        {**_hops_of(detail), **detail.hops},
                    )


def _hops_of(detail: Detail) -> dict[str, int]:
    """The hops the request brought along; a request that could not be read has none."""
    try:
        return dict(decode_request(detail.request).hops)
    except msgspec.DecodeError:
        return {}


async def _records(bootstrap: str, topic: str) -> AsyncIterator[tuple[Envelope, bytes, bytes, str]]:
    """Every record of a detail topic from its beginning to where it ends now."""
    reader = kafka.consumer(bootstrap, "certlane-trace")
    await reader.start()
    try:
        places = [TopicPartition(topic, place) for place in range(LANE_PARTITIONS)]
        ends = await reader.end_offsets(places)
        filled = [place for place in places if ends[place]]
        if not filled:
            return
        reader.assign(filled)
        await reader.seek_to_beginning(*filled)
        while [place for place in reader.assignment() if await reader.position(place) < ends[place]]:
            for records in (await reader.getmany(timeout_ms=500)).values():
                for record in records:
                    named = {name: (value or b"").decode("latin-1") for name, value in record.headers}
                    envelope = Envelope(
                        ce_id=named.get("ce_id", ""),
                        ce_type=named.get("ce_type", ""),
                        ce_source=named.get("ce_source", ""),
                        ce_time="",
                        ce_deadline="0",
                        ce_items="0",
                    )
                    yield (
                        envelope,
                        named.get("seal", "").encode(),
                        record.value or b"",
                        (record.key or b"").decode("latin-1"),
                    )
    finally:
        await reader.stop()
