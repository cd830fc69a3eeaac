"""Between judgement and record the world moves: the registry, Redis, the quota; nothing leaves that no longer holds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec.structs import replace

from broker.bus.clock import now_ms
from schemas.scenes import ConsentMode, ConsentRule, Limits, SceneStatus
from schemas.topics import evidence_topic
from tests.support import KEYS, Province, consent_token, file_of, opened_detail, request, until
from tests.support_registry import (
    CITIZEN_ID,
    PROVINCE,
    SCENE,
    granted,
    identifier_of,
    party,
    scene,
)
from tests.support_store import GatedStore, certificate
from workers import decisions, handler
from workers.stores.memory import MemoryStore

if TYPE_CHECKING:
    from broker.bus.kafka import Outgoing
    from schemas.items import ReplyItem
    from schemas.scenes import Scene

STORED = [certificate(serial) for serial in range(1, 9)]
FILES = {(identifier_of(serial), "ofd"): file_of(serial) for serial in range(1, 9)}


class Moving:
    """A province whose store waits, with one lot in work that was granted and taken."""

    def __init__(self, province: Province, store: GatedStore, work: asyncio.Task[list[Outgoing]]) -> None:
        self.province, self.store, self.work = province, store, work

    @classmethod
    async def begun(cls, *asked: Any) -> Moving:
        store = GatedStore(STORED)
        province = await Province(store).ready()
        work = asyncio.create_task(province.work(province.lot(list(asked) or [request(1)])))
        await until(lambda: bool(store.asked))
        return cls(province, store, work)

    async def publish(self, *changed: Scene) -> None:
        await self.province.publish(*changed)
        await self.province.registry.refresh()

    async def told(self) -> list[ReplyItem]:
        self.store.gate.set()
        return [item for out in await self.work for item in self.province.reply(out).items]


def details(province: Province) -> list[dict[str, Any]]:
    return [detail for _, found, _ in province.details() for detail in found]


async def test_a_scene_suspended_in_between_releases_nothing() -> None:
    """A grant whose scene is suspended before it is recorded is refused (3001), by the version that says so."""
    moving = await Moving.begun()
    before = now_ms()
    await moving.publish(replace(scene(), status=SceneStatus.SUSPENDED))
    (told,) = await moving.told()
    assert (told.status, bytes(told.data)) == (3001, b"null")
    (detail,) = details(moving.province)
    assert (detail["condition"], detail["registry"], detail["fields"]) == ("scene", 2, [])
    assert detail["taken"] <= before <= detail["judged"]


async def test_other_fields_in_between_release_nothing() -> None:
    """A grant of which another version would tell other fields is told to ask again (7001)."""
    moving = await Moving.begun()
    fewer = replace(granted(), fields=("certificateName",))
    await moving.publish(replace(scene(), types=(fewer,)))
    (told,) = await moving.told()
    assert (told.status, bytes(told.data)) == (7001, b"null")
    assert "请重新提交" in told.message
    (detail,) = details(moving.province)
    assert (detail["condition"], detail["registry"]) == ("registry", 2)


async def test_a_version_that_grants_the_same_holds_nobody_up() -> None:
    """A grant that the next version gives alike is released, and its evidence names that version."""
    moving = await Moving.begun()
    await moving.publish(replace(scene(), valid_to=scene().valid_to - 1))
    (told,) = await moving.told()
    assert (told.status, told.scenario, told.attempt) == (0, f"{SCENE}@2", 1)
    assert details(moving.province)[0]["registry"] == 2


async def test_a_registry_that_grew_stale_in_between() -> None:
    """When the registry may no longer be used nothing is released (7001)."""
    moving = await Moving.begun()
    moving.province.registry.stood_ms = now_ms() - 61_000
    (told,) = await moving.told()
    assert (told.status, bytes(told.data)) == (7001, b"null")
    assert details(moving.province)[0]["condition"] == "registry"


@pytest.mark.parametrize(("revoked", "status"), [(False, 0), (True, 3008)])
async def test_a_consents_key_revoked_in_between(*, revoked: bool, status: int) -> None:
    """A grant whose consent was signed by a key that is revoked before it is recorded releases nothing (3008)."""
    store = GatedStore(STORED)
    online = replace(scene(), consent=ConsentRule(mode=ConsentMode.ONLINE))
    province = await Province(store, parties=[online]).ready()
    work = asyncio.create_task(
        province.work(province.lot([request(1, auth_code=consent_token(1, KEYS["31"], now=now_ms()))]))
    )
    moving = Moving(province, store, work)
    await until(lambda: bool(store.asked) or work.done())
    issuer = party(KEYS["31"])
    await province.publish(replace(issuer, keys=tuple(replace(key, revoked=revoked) for key in issuer.keys)))
    await province.registry.refresh()
    (told,) = await moving.told()
    assert (told.status, told.scenario) == (status, f"{SCENE}@1")


async def test_who_was_frozen_looks_first() -> None:
    """An agent that has not heard of the registry for a while releases nothing before it has looked again (3001)."""
    moving = await Moving.begun()
    await moving.province.publish(replace(scene(), status=SceneStatus.SUSPENDED))
    moving.province.registry.heard -= 5.0
    (told,) = await moving.told()
    assert (told.status, bytes(told.data)) == (3001, b"null")


async def test_nothing_moved_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the registry stands still nothing is judged or taken twice."""
    moving = await Moving.begun(*(request(serial) for serial in range(1, 5)))

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(decisions, "judge", never)
    assert [item.status for item in await moving.told()] == [0] * 4
    assert moving.province.effects.calls == 1


async def test_a_scene_suspended_while_evidence_is_written() -> None:
    """A reply whose scene is suspended before its evidence was acknowledged is not delivered; a refusal is."""
    moving = await Moving.begun()
    moving.province.kafka.held = {evidence_topic(PROVINCE)}
    moving.store.gate.set()
    await until(lambda: bool(moving.province.kafka.sent))
    await moving.publish(replace(scene(), status=SceneStatus.SUSPENDED))
    moving.province.kafka.acknowledge()
    assert [item.status for item in await moving.told()] == [3001]
    assert [detail["status"] for detail in details(moving.province)] == [0, 3001]


async def test_a_new_life_in_between_is_taken_anew() -> None:
    """What was taken in a life of Redis that has ended is taken in the new one before it is recorded, once."""
    moving = await Moving.begun()
    redis = moving.province.redis
    redis.marks.clear()
    redis.counts.clear()
    moving.province.effects.life = b"another"
    assert [(item.status, item.attempt) for item in await moving.told()] == [(0, 1)]
    assert moving.province.effects.calls == 2
    assert [*redis.counts.values()] == [1]


async def test_nothing_leaves_while_redis_is_empty() -> None:
    """A grant whose Redis is emptied waits until it is whole again, and is then told."""
    moving = await Moving.begun()
    moving.province.redis.wipe()
    await moving.province.registry.refresh()
    moving.store.gate.set()
    await asyncio.wait([moving.work], timeout=0.3)
    assert (moving.work.done(), moving.province.kafka.sent) == (False, [])
    await moving.province.publish()
    assert [item.status for item in await moving.told()] == [0]


async def test_a_new_life_without_room_refuses() -> None:
    """Who finds the quota used up in a new life is refused (3010), and its evidence says that nothing was taken."""
    moving = await Moving.begun()
    redis = moving.province.redis
    redis.marks.clear()
    redis.counts.update(dict.fromkeys(redis.counts, 1_000))
    moving.province.effects.life = b"another"
    (told,) = await moving.told()
    assert (told.status, bytes(told.data)) == (3010, b"null")
    (detail,) = details(moving.province)
    assert (detail["condition"], detail.get("taken", 0)) == ("quota", 0)


async def test_evidence_that_comes_late_is_made_sure_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply whose evidence took long leaves only after its effects were found to be taken still."""
    monkeypatch.setattr(handler, "STILL_SURE_SECONDS", -1.0)
    moving = await Moving.begun()
    monkeypatch.setattr(decisions, "SURE_SECONDS", 0.05)
    moving.province.kafka.held = {evidence_topic(PROVINCE)}
    moving.store.gate.set()
    await until(lambda: bool(moving.province.kafka.sent))
    calls = moving.province.effects.calls
    await asyncio.sleep(0.1)
    moving.province.kafka.acknowledge()
    assert [(item.status, item.attempt) for item in await moving.told()] == [(0, 1)]
    assert moving.province.effects.calls == calls + 1
    assert len(moving.province.evidence()) == 1


async def test_evidence_that_comes_too_late_delivers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply whose effects are another's by the time its evidence is there is not delivered; a refusal is."""
    monkeypatch.setattr(handler, "STILL_SURE_SECONDS", -1.0)
    moving = await Moving.begun()
    moving.province.kafka.held = {evidence_topic(PROVINCE)}
    moving.store.gate.set()
    await until(lambda: bool(moving.province.kafka.sent))
    redis = moving.province.redis
    redis.marks.clear()
    redis.counts.update(dict.fromkeys(redis.counts, 1_000))
    moving.province.effects.life = b"another"
    moving.province.kafka.acknowledge()
    assert [item.status for item in await moving.told()] == [3010]
    assert [detail["status"] for detail in details(moving.province)] == [0, 3010]


async def limited(limits: Limits) -> Province:
    province = await Province(MemoryStore(STORED, files=FILES)).ready()
    await province.publish(replace(scene(), limits=limits))
    await province.registry.refresh()
    return province


async def statuses(province: Province, *asked: Any) -> list[int]:
    told = await province.answers(*asked)
    return [told[item.id].status for item in asked]


async def test_the_day_is_full() -> None:
    """So many a day are granted as the scene says; the others are refused (3010) for the quota, and take nothing."""
    province = await limited(Limits(per_day=2))
    assert await statuses(province, *(request(serial) for serial in range(1, 5))) == [0, 0, 3010, 3010]
    assert await statuses(province, request(1)) == [0]
    refused = [detail for detail in details(province) if detail["status"] == 3010]
    assert [(one["condition"], one.get("taken", 0), one["registry"]) for one in refused] == [("quota", 0, 2)] * 2
    assert len(province.redis.marks) == 2


async def test_what_the_store_does_not_have_counts() -> None:
    """Quota counts what was granted, whatever is found."""
    province = await limited(Limits(per_day=1))
    assert await statuses(province, request(900)) == [10]
    assert await statuses(province, request(1)) == [3010]


@pytest.mark.parametrize(("interface", "calls"), [("I4", 2), ("I5", 1)])
async def test_a_holders_day(interface: str, calls: int) -> None:
    """A holder's grants are counted by the day, known before the fetch or only after it, in one script for all."""
    province = await limited(Limits(per_day=100, per_holder_per_day=2))
    asked = [request(serial, interface) for serial in range(1, 5)]
    assert sorted(await statuses(province, *asked)) == [0, 0, 3010, 3010]
    assert province.effects.calls == calls
    assert sorted(province.redis.counts.values()) == [2, 2]
    assert all(CITIZEN_ID not in key for key in province.redis.counts)
    assert len(province.redis.marks) == 2


async def test_by_identifier_and_by_holder_is_one_holder() -> None:
    """What is asked by identifier counts for the same holder as what is asked by holder."""
    province = await limited(Limits(per_day=100, per_holder_per_day=2))
    assert await statuses(province, request(1)) == [0]
    assert await statuses(province, request(2, "I5")) == [0]
    assert await statuses(province, request(3)) == [3010]
    assert await statuses(province, request(4, "I5")) == [3010]


async def test_files_refused_after_the_fetch_do_not_leave() -> None:
    """Of a file whose holder's day is full nothing leaves: no ticket, no content, no field in the evidence."""
    province = await limited(Limits(per_day=100, per_holder_per_day=1))
    assert await statuses(province, request(1, "I2")) == [0]
    told = (await province.answers(request(2, "I2")))[f"{2:032x}"]
    assert (told.status, bytes(told.data), told.tickets) == (3010, b"null", ())
    assert details(province)[-1]["fields"] == []


async def test_redelivery_after_the_fetch_counts_once() -> None:
    """A lot that comes again is answered the same and counts nothing, whenever its effects are taken."""
    province = await limited(Limits(per_day=100, per_holder_per_day=2))
    record = province.lot([request(1), request(2), request(3)])
    first, again = [
        sorted((item.id, item.status) for out in await province.work(record) for item in province.reply(out).items)
        for _ in range(2)
    ]
    assert first == again
    assert sorted(province.redis.counts.values()) == [2, 2]


async def test_the_detail_says_what_was_used_up() -> None:
    """The detail of a grant names when its effects were taken, and opens as it was written."""
    province = await limited(Limits(per_day=1))
    before = now_ms()
    await province.answers(request(1))
    body = opened_detail(province.details()[0][0], KEYS[PROVINCE])[0][0].body
    detail = msgspec.json.decode(body)
    assert before <= detail["taken"] <= now_ms()
    assert "uses" not in detail
