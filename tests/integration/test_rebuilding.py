"""Redis in a new life: what was taken in the old one is brought back from the province's own evidence."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from broker.bus.clock import now_ms
from broker.bus.redis import RedisFailure, prefix
from schemas.evidence import Detail
from schemas.items import encode
from schemas.scenes import Limits, SceneStatus
from schemas.service_codes import parse_service_code
from schemas.topics import detail_topic
from tests.contract.agents import until, until_equal
from tests.integration.agents import STORED, RealProvince, make_evidence_topics
from tests.support import DATA, service_code
from tests.support_registry import CITIZEN_ID, NODE, PROVINCE, SCENE, compiled, scene
from tests.support_store import GatedStore
from workers import rebuilding
from workers.effects import EpochError
from workers.issuers.port import CodeRecord

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer
    from redis.asyncio import Redis

    from schemas.items import RequestItem
    from tests.integration.parts import Parts

BASE = prefix(PROVINCE)
MANY = Limits(per_day=100)


@pytest.fixture(scope="module", autouse=True)
async def topics(parts: Parts) -> None:
    """The province's evidence, which lasts from test to test as it does in life."""
    await make_evidence_topics(parts)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(rebuilding, "WAIT_SECONDS", 0.1)


class Make:
    """Agents of the province, on this Redis and this Kafka."""

    def __init__(self, parts: Parts, connection: Redis, kafka: AIOKafkaProducer) -> None:
        self._parts, self._connection, self._kafka = parts, connection, kafka

    async def __call__(self, limits: Limits = MANY, **more: object) -> RealProvince:
        made = RealProvince(self._connection, self._kafka, self._parts.bootstrap, **more)  # type: ignore[arg-type]
        await made.limited(limits)
        await made.rebuilt()
        return made


@pytest.fixture
def make(parts: Parts, connection: Redis, kafka: AIOKafkaProducer) -> Make:
    return Make(parts, connection, kafka)


async def test_the_first_life_of_all(make: Make) -> None:
    """A Redis that nobody has ever used is made whole like any other, and then takes work."""
    province = await make()
    assert await province.statuses(province.asks()) == [0]


async def test_quota_is_counted_on(make: Make) -> None:
    """What was granted before Redis was emptied counts afterwards, by the day, the hour and the holder."""
    for limits, interface in (
        (Limits(per_day=3), "I4"),
        (Limits(per_day=9, per_hour=3), "I4"),
        (Limits(per_day=9, per_holder_per_day=3), "I4"),
        (Limits(per_day=9, per_holder_per_day=3), "I5"),
    ):
        province = await make(limits)
        asked = [province.asks(serial, interface) for serial in (1, 2)]
        assert await province.statuses(*asked) == [0, 0]
        await province.emptied()
        await province.rebuilt()
        more = [province.asks(serial, interface) for serial in (3, 4)]
        assert sorted(await province.statuses(*more)) == [0, 3010]


async def test_marks_are_known_again(make: Make) -> None:
    """A request that was answered goes on as its next attempt and counts nothing; its id is no other request's."""
    province = await make(Limits(per_day=1))
    first = province.asks()
    await province.answers(first)
    await province.answers(first)
    await province.emptied()
    await province.rebuilt()
    told = (await province.answers(first))[first.id]
    assert (told.status, told.attempt) == (0, 3)
    assert await province.statuses(replace(province.asks(2), id=first.id)) == [2003]
    assert await province.statuses(province.asks(2)) == [3010]


async def test_what_counts_is_what_was_taken(make: Make, connection: Redis) -> None:
    """Refusals before any effect bring back neither mark nor count; what the store did not have counts."""
    province = await make(Limits(per_day=5))
    refused, empty = province.asks(use_for="SUPERVISION"), province.asks(900)
    assert await province.statuses(refused, empty) == [3011, 10]
    await province.emptied()
    await province.rebuilt()
    marked = [await connection.exists(f"{BASE}mark:{NODE}:{one.id}") for one in (refused, empty)]
    assert marked == [0, 1]
    (counted,) = await connection.keys(f"{BASE}quota:{province.scene_code}:*")
    assert await connection.get(counted) == b"1"


def coded(province: RealProvince, code: str) -> RequestItem:
    return replace(province.asks(1, "I7"), data=msgspec.Raw(encode({**DATA["I7"](1), "certQrCode": code})))


async def test_codes_stay_used(make: Make) -> None:
    """A redeemed code stays its request's; one of which nobody learned anything may be shown again."""
    holder = CodeRecord(
        holder_name="测小试",
        holder_code=CITIZEN_ID,
        holder_type_code="111",
        mobile=None,
        expires_at=now_ms() + 3_600_000,
    )
    codes = [service_code(uuid.uuid4().int >> 1) for _ in range(2)]
    province = await make(codes={parse_service_code(codes[0]).digest: holder})
    used, unknown = coded(province, codes[0]), coded(province, codes[1])
    assert await province.statuses(used, unknown) == [0, 6001]
    province.issuer.codes[parse_service_code(codes[1]).digest] = holder
    await province.emptied()
    await province.rebuilt()
    assert await province.statuses(used, coded(province, codes[0]), coded(province, codes[1])) == [0, 6003, 0]


async def test_nothing_is_taken_before_it_is_whole(make: Make) -> None:
    """A lot that comes while Redis is not whole waits, says nothing, and is answered when it is."""
    province = await make(Limits(per_day=1))
    assert await province.statuses(province.asks()) == [0]
    await province.emptied()
    work = asyncio.create_task(province.statuses(province.asks(2)))
    await asyncio.wait([work], timeout=0.5)
    assert not work.done()
    assert not province.rebuilder.standing
    await province.rebuilt()
    assert await work == [3010]


async def test_what_was_in_work_when_it_happened(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A grant of the old life that is recorded after Redis was emptied counts in the new one: who rebuilds waits."""
    monkeypatch.setattr(rebuilding, "WAIT_SECONDS", 1.0)
    store = GatedStore(STORED)
    province = await make(Limits(per_day=1), store=store)
    work = asyncio.create_task(province.statuses(province.asks()))
    await until(lambda: bool(store.asked))
    await province.emptied()
    async with asyncio.TaskGroup() as together:
        rebuilt = together.create_task(province.rebuilt())
        await asyncio.sleep(0.3)
        store.gate.set()
        assert await work == [0]
        assert not rebuilt.done()
    assert await province.statuses(province.asks(2)) == [3010]


async def test_what_was_in_work_for_too_long(make: Make) -> None:
    """A grant of the old life that is not recorded in time is taken in the new one before it is."""
    store = GatedStore(STORED)
    province = await make(Limits(per_day=1), store=store)
    work = asyncio.create_task(province.statuses(province.asks()))
    await until(lambda: bool(store.asked))
    await province.emptied()
    await province.rebuilt()
    store.gate.set()
    assert await work == [0]
    assert await province.statuses(province.asks(2)) == [3010]


async def test_what_was_refused_in_the_end_counts(make: Make) -> None:
    """A grant that was taken, and refused because its scene was suspended before it was recorded, counts on."""
    store = GatedStore(STORED)
    province = await make(Limits(per_day=1), store=store)
    work = asyncio.create_task(province.statuses(province.asks()))
    await until(lambda: bool(store.asked))
    stands = replace(scene(), scene_code=province.scene_code, limits=Limits(per_day=1))
    await province.publish(replace(stands, status=SceneStatus.SUSPENDED))
    await province.registry.refresh()
    store.gate.set()
    assert await work == [3001]
    await province.publish(stands)
    await province.emptied()
    await province.rebuilt()
    assert await province.statuses(province.asks(2)) == [3010]


async def test_two_rebuild_together(make: Make, connection: Redis) -> None:
    """Two agents that rebuild at the same time, and one that comes late, count nothing twice."""
    province = await make(Limits(per_day=3))
    await province.answers(*[province.asks(serial) for serial in (1, 2)])
    await province.emptied()
    others = [rebuilding.Rebuilder(effects=province.real, registry=province.registry, details=province.details_read)]
    others.append(province.rebuilder)
    tasks = [asyncio.ensure_future(one.run()) for one in others]
    await until(lambda: all(one.standing for one in others))
    assert await province.statuses(province.asks(3)) == [0]
    await connection.script_flush()  # now everybody must look again, and has nothing to bring back
    await until_equal(lambda: province.real.whole(province.registry.epoch, province.real.life), wanted=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await province.statuses(province.asks(4)) == [3010]


async def test_a_redis_that_was_killed_and_lost_all(make: Make, parts: Parts, connection: Redis) -> None:
    """Redis killed and started without its data: nothing is taken until it is whole, and then all counts on."""
    province = await make(Limits(per_day=2))
    assert await province.statuses(province.asks()) == [0]
    shutil.rmtree(parts.home.path / "redis" / "appendonlydir")
    await restarted(parts, connection)
    assert await connection.dbsize() == 0
    await province.new_life()
    with pytest.raises(EpochError):
        await province.real.take(
            province.registry.epoch, node=NODE, lot="x", place="", ends_ms=now_ms(), marks=[], now_ms=now_ms()
        )
    await province.rebuilt()
    assert await province.statuses(province.asks(2), province.asks(3)) == [0, 3010]


async def restarted(parts: Parts, connection: Redis) -> None:
    """Redis is killed, and is there again."""

    async def answers() -> bool:
        try:
            return bool(await connection.ping())
        except RedisFailure:
            return False

    parts.kill("redis")
    await until_equal(answers, wanted=True)


async def rewriting(connection: Redis) -> int:
    told = await connection.info("persistence")
    return int(told["aof_rewrite_in_progress"]) + int(told["aof_rewrite_scheduled"])


async def test_a_redis_that_was_rolled_back(make: Make, parts: Parts, connection: Redis) -> None:
    """Redis killed and started with an older state, epoch and all: what it has forgotten is brought back."""
    province = await make(Limits(per_day=2))
    assert await province.statuses(province.asks()) == [0]
    keys = await connection.keys(f"{BASE}quota:{province.scene_code}:*")
    await connection.delete(*keys)
    await connection.bgrewriteaof()
    await until_equal(lambda: rewriting(connection), wanted=0)
    await restarted(parts, connection)
    assert await connection.get(f"{BASE}epoch") == province.registry.epoch
    with pytest.raises(EpochError):
        await province.real.take(
            province.registry.epoch, node=NODE, lot="x", place="", ends_ms=now_ms(), marks=[], now_ms=now_ms()
        )
    await province.rebuilt()
    assert await province.statuses(province.asks(2), province.asks(3)) == [0, 3010]


async def test_strangers_on_the_topic(make: Make, kafka: AIOKafkaProducer) -> None:
    """What is not ours, or no detail, is passed over and counted; the rest is brought back."""
    province = await make(Limits(per_day=1))
    assert await province.statuses(province.asks()) == [0]
    before = province.details_read.strange
    for value, headers in ((b"x", []), (b"", [("seal", b"a.b.c"), ("ce_id", b"1" * 32)])):
        await kafka.send_and_wait(detail_topic(PROVINCE), value, key=b"0" * 32, headers=headers)
    await province.emptied()
    await province.rebuilt()
    assert province.details_read.strange >= before + 2
    assert await province.statuses(province.asks(2)) == [3010]


def test_a_deadline_that_no_clock_shows() -> None:
    """A detail whose request ends later than Redis can count is passed over: it would keep the rebuild from its end."""
    now = now_ms()
    detail = Detail(
        request=msgspec.Raw(encode({"id": "0" * 32, "deadline": now + 1_000, "head": {"sceneCode": SCENE}})),
        node=NODE,
        scenario=f"{SCENE}@1",
        holder="",
        fields=msgspec.Raw(b"[]"),
        status=0,
        condition="",
        request_digest="a" * 64,
        reply_leaf="",
        attempt=1,
        hops={},
        taken=now,
    )
    told = rebuilding.Told(compiled(), now)
    told.add(detail)
    assert (told.strange, len(list(told.rows(now)))) == (0, 2)
    forged = msgspec.Raw(bytes(detail.request).replace(str(now + 1_000).encode(), b"9" * 30))
    told.add(replace(detail, request=forged))
    assert (told.strange, len(list(told.rows(now)))) == (1, 2)
