"""Where a request was, and when: read from the sealed answer while it is kept, else from the provinces' details."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from broker.bus import redis
from broker.bus.keys import KeyOpener, read_keys
from broker.exchange.ledger import Ledger, RebuildingError
from broker.exchange.replies import ReplyOpener
from broker.registry.stored import StoredRegistry
from broker.registry.trust import RegistryError, verified_snapshot
from deploy.details import Details
from deploy.local import ports, processes
from schemas.items import decode_request
from schemas.lot import LotError
from schemas.regions import PROVINCES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from broker.exchange.ledger import Pointer
    from deploy.local.home import Home
    from schemas.evidence import Detail
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
    bootstrap = ports.remembered(home).bootstrap
    for province in PROVINCES:
        details = Details(bootstrap, read_keys(home.keys / f"{province}.json"), name="trace")
        async for recorded in details.read(about={request_id}):
            detail = recorded.detail
            hops = {**_hops_of(detail), **detail.hops}
            yield Trace(
                request_id,
                "detail",
                province,
                detail.status,
                detail.scenario,
                recorded.evidence,
                detail.attempt,
                hops,
            )


def _hops_of(detail: Detail) -> dict[str, int]:
    """The hops the request brought along; a request that could not be read has none."""
    try:
        return dict(decode_request(detail.request).hops)
    except msgspec.DecodeError:
        return {}
