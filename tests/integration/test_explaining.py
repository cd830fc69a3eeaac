"""A thousand recorded judgements of older registry versions, explained from real topics; and a record that lies."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec.structs import replace

from broker.bus.clock import now_ms
from deploy import details, history
from deploy.details import Details, Progress
from deploy.explaining import Explained, Place, explain_many
from deploy.history import in_force
from deploy.planning import changes, planned
from deploy.shadow import shadow
from schemas.filing import Wanted
from schemas.items import RequestItem, encode
from schemas.kinds import Kind
from schemas.registry import Withdrawal
from schemas.scenes import ConsentMode, ConsentRule, HolderKind, Limits, Scene, SceneStatus
from schemas.service_codes import parse_service_code
from schemas.topics import LANE_PARTITIONS
from tests.recorded import Remembering, lines, recorded, sealed
from tests.support import KEYS, by_holder, by_id, consent_token, request, service_code, until
from tests.support_registry import (
    CARD,
    CITIZEN_ID,
    LICENCE,
    OTHER_ORG,
    PROVINCE,
    SCENE,
    application,
    entry,
    granted,
    identifier_of,
    new_party_keys,
    party,
    scene,
)
from tests.support_store import certificate
from workers.issuers.port import CodeRecord
from workers.judge import Grant
from workers.steps import State
from workers.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from aiokafka import AIOKafkaProducer

    from schemas.evidence import Detail
    from tests.integration.parts import Parts
    from tests.support_registry import Body

OF_CONSENT, OF_FEW = "YRD-310000-2026-00002", "YRD-310000-2026-00003"
JUDGEMENTS, A_LOT = 1_000, 25
LATER_ISSUER = new_party_keys("31")  # the keys that 31 has from some version on


def by_consent(**changes: object) -> Scene:
    rule = ConsentRule(mode=ConsentMode.ONLINE)
    return replace(scene(), scene_code=OF_CONSENT, consent=rule, holder_kinds=(HolderKind.PERSON,), **changes)


def of_few() -> Scene:
    return replace(scene(), scene_code=OF_FEW, limits=Limits(per_day=20, max_records=10))


token = partial(consent_token, scene=OF_CONSENT)


# What is published before each tenth of the requests.
CHANGES: tuple[tuple[Body, ...], ...] = (
    (by_consent(), of_few()),
    (replace(scene(), status=SceneStatus.SUSPENDED),),
    (replace(scene(), types=(replace(granted(), fields=("KZ_XM",)),)), by_consent(purposes=("SUPERVISION",))),
    (replace(entry(CARD), provinces=("31",)),),
    (entry(CARD), scene(), by_consent()),
    (replace(application(), suspended=True),),
    (application(), party(LATER_ISSUER)),
    (replace(scene(), purposes=("GOV_SERVICE",), valid_to=1), replace(by_consent(), agent_allowed=True)),
    (scene(), Withdrawal(id=f"31.{7:032x}", until=1 << 50)),
    (replace(scene(), types=(), service_code=None), by_consent(types=(replace(granted(), interfaces=("I4",)),))),
)


class Callers:
    """Whoever asks: well, badly, with consents and codes, again and again."""

    def __init__(self, seed: int) -> None:
        self._drawn, self._serial = random.Random(seed), 0
        self.issuer = KEYS["31"]
        self._ways: Sequence[Callable[[int], RequestItem]] = (
            *(self._good for _ in range(4)),
            self._head,
            self._data,
            self._item,
            self._consented,
            self._consented,
            self._few,
            self._code,
        )

    def asked(self) -> RequestItem:
        self._serial += 1
        return self._drawn.choice(self._ways)(self._serial)

    def _good(self, serial: int) -> RequestItem:
        return request(serial, self._drawn.choice(("I1", "I2", "I3", "I4", "I5", "I6")))

    def _head(self, serial: int) -> RequestItem:
        wrong: dict[str, Any] = {
            "scene_code": "YRD-310000-2026-99999",
            "org_code": OTHER_ORG,
            "username": None,
            "item_code": f"{OTHER_ORG}2000142001001",
            "use_for": "SUPERVISION",
            "business_code": None,
        }
        name = self._drawn.choice(list(wrong))
        return request(serial, **{name: wrong[name]})

    def _data(self, serial: int) -> RequestItem:
        bodies = (
            by_id(serial + 100_000),
            by_id(serial) | {"fields": [self._drawn.choice(("KZ_XM", "KZ_XB", "KZ_ZZ"))]},
            {"certificateID": identifier_of(serial, LICENCE)},
            {"certificateID": "1.2.3"},
            {"certificateID": identifier_of(serial)[:-1] + "#"},
        )
        return request(serial, data=encode(self._drawn.choice(bodies)))

    def _item(self, serial: int) -> RequestItem:
        return replace(
            request(serial),
            **self._drawn.choice(({"address": "203.0.113.9"}, {"application": "nobody"}, {"interface": "I9"})),
        )

    def _consented(self, serial: int) -> RequestItem:
        item = request(serial, self._drawn.choice(("I4", "I5")), scene_code=OF_CONSENT)
        now = item.deadline - 60_000
        same = self._drawn.choice((serial, serial, 7))  # the seventh is one that many show, and that is withdrawn
        changes = self._drawn.choice(({}, {}, {"exp": now - 1}, {"scene": SCENE}, {"types": ()}, {"level": 3}))
        code = self._drawn.choice((token(same, self.issuer, now=now, **changes), None, "no.consent.this"))
        return replace(item, head=replace(item.head, auth_code=code))

    def _few(self, serial: int) -> RequestItem:
        body = by_holder(serial) | {"pageNo": self._drawn.choice((1, 2))}
        return request(serial, "I1", scene_code=OF_FEW, data=encode(body))

    def _code(self, serial: int) -> RequestItem:
        code = self._drawn.choice((service_code(serial), service_code(3), service_code(serial, province="31")))
        return request(serial, "I7", data=encode({"certQrCode": code, "pos": "示例大厅", "use": "企业设立登记"}))


async def asked_of() -> tuple[Remembering, dict[str, tuple[int, str]]]:
    """A province that has judged a thousand requests by eleven versions, and what each was answered."""
    shown = CodeRecord(
        holder_code=CITIZEN_ID, holder_type_code="111", holder_name="测小试", mobile=None, expires_at=1 << 50
    )
    codes = {parse_service_code(service_code(one)).digest: shown for one in range(1, JUDGEMENTS, 2)}
    province = Remembering(MemoryStore([certificate(one) for one in range(1, JUDGEMENTS)]), codes=codes)
    await province.ready()
    callers = Callers(20_260)
    answers: dict[str, tuple[int, str]] = {}
    for changed in CHANGES:
        await province.publish(*changed)
        await province.registry.refresh()
        callers.issuer = LATER_ISSUER if party(LATER_ISSUER) in changed else callers.issuer
        for _ in range(JUDGEMENTS // len(CHANGES) // A_LOT):
            told = await province.answers(*[callers.asked() for _ in range(A_LOT)])
            answers |= {name: (item.status, item.scenario) for name, item in told.items()}
    return province, answers


class Topics:
    """The registry's topic and a province's details in real Kafka, of their own for each test."""

    def __init__(self, parts: Parts, kafka: AIOKafkaProducer, registry: str, detail: str) -> None:
        self.parts, self._kafka, self._registry, self._detail = parts, kafka, registry, detail
        self.place = Place(parts.bootstrap, KEYS["registrar"].signing.public, {PROVINCE: KEYS[PROVINCE]})

    async def hold(self, province: Remembering) -> None:
        for key, value in province.topic:
            await self._kafka.send(self._registry, value, key=key, partition=0)
        for line in lines(province):
            await self._kafka.send(self._detail, line.value, key=line.key, headers=line.headers)
        await self._kafka.flush()

    async def add(self, detail: Detail) -> None:
        """A detail that somebody who knows the province's public key wrote."""
        line = sealed(detail)
        await self._kafka.send_and_wait(self._detail, line.value, key=line.key, headers=line.headers)

    async def explained(self, asked: Collection[str]) -> list[Explained]:
        async with aclosing(explain_many(self.place, asked)) as found:
            return [one async for one in found]


@pytest.fixture
async def topics(parts: Parts, kafka: AIOKafkaProducer, monkeypatch: pytest.MonkeyPatch) -> Topics:
    registry, detail = await parts.topic(), await parts.topic(partitions=LANE_PARTITIONS)
    monkeypatch.setattr(history, "REGISTRY", registry)
    monkeypatch.setattr(details, "detail_topic", lambda _: detail)
    return Topics(parts, kafka, registry, detail)


async def test_a_thousand_recorded_judgements_are_explained_as_recorded(topics: Topics) -> None:
    """Of eleven versions, of every kind of end: each is judged again from the topics alone as it was answered."""
    province, answers = await asked_of()
    await topics.hold(province)
    found = await topics.explained(answers)
    assert len(found) == JUDGEMENTS
    assert [(one.recorded.evidence, one.unknown, one.replay) for one in found if not one.equal] == []
    assert {
        one.recorded.request_id: (one.recorded.detail.status, one.recorded.detail.scenario) for one in found
    } == answers
    for one in found:
        assert one.replay is not None
        decided = [step.name for step in one.steps if step.state is State.DECIDED]
        assert decided == ([one.recorded.detail.condition] if one.recorded.detail.status else [])
    ends = Counter((one.recorded.detail.status, one.recorded.detail.condition) for one in found)
    assert ends[0, ""] > JUDGEMENTS // 10
    assert len(ends) > 20, ends
    assert len({one.recorded.detail.registry for one in found} - {0}) == len(CHANGES)
    assert sum(one.replay is not None and isinstance(one.replay.judged, Grant) for one in found) > ends[0, ""]


async def test_few_of_many_are_found_in_the_same_pass(topics: Topics) -> None:
    """Some ids among a thousand give their own records, an unknown one gives none."""
    province, answers = await asked_of()
    await topics.hold(province)
    some = [*list(answers)[::97], "f" * 32]
    assert {one.recorded.request_id for one in await topics.explained(some)} == set(some[:-1])


async def test_a_record_that_lies_is_told_beside_the_true_one(topics: Topics) -> None:
    """A second detail of a request with another outcome, or of a version that never was, is not called equal."""
    province = Remembering(MemoryStore([certificate(1)]))
    await province.ready()
    await province.answers(request(1))
    await topics.hold(province)
    (true,) = recorded(province)
    await topics.add(replace(true.detail, status=3001, condition="scene"))
    await topics.add(replace(true.detail, registry=99))
    found = await topics.explained({true.request_id})
    assert [
        (one.recorded.detail.status, one.recorded.detail.registry, one.equal) for one in sorted(found, key=_order)
    ] == [
        (0, 1, True),
        (3001, 1, False),
        (0, 99, False),
    ]
    assert ["99" in one.unknown for one in found if one.replay is None] == [True]


def _order(one: Explained) -> tuple[int, int]:
    return one.recorded.detail.registry, one.recorded.detail.status


async def test_details_are_read_from_a_time_on(topics: Topics) -> None:
    """Reading since a time passes over what was written before it, whatever the partition."""
    province = Remembering(MemoryStore([certificate(1), certificate(2)]))
    await province.ready()
    await province.answers(request(1))
    await topics.hold(province)
    since = now_ms() + 1
    await until(lambda: now_ms() > since)
    province.kafka.sent.clear()
    await province.answers(request(2))
    await topics.hold(province)
    read = Details(topics.parts.bootstrap, KEYS[PROVINCE])
    async with aclosing(read.read(since_ms=since)) as found:
        assert [one.request_id async for one in found] == [f"{2:032x}"]
    async with aclosing(read.read(since_ms=now_ms() + 60_000)) as found:
        assert [one async for one in found] == []


async def test_the_version_in_force_is_the_last_that_is_proven(topics: Topics) -> None:
    """A folded topic ends at its newest version; a plan of it reads the details once and tells who would be refused."""
    province = Remembering(MemoryStore([certificate(one) for one in range(1, 9)]))
    assert await in_force(topics.parts.bootstrap, topics.place.registrar) is None
    await province.ready()
    await province.publish(by_consent())
    await province.registry.refresh()
    await province.answers(*[request(one) for one in range(1, 9)])
    await topics.hold(province)
    current = await in_force(topics.parts.bootstrap, topics.place.registrar)
    assert current is not None
    assert current.snapshot.version == 2
    body = msgspec.Raw(encode(replace(scene(), purposes=("SUPERVISION",))))
    after = planned(current, changes(current.records, [Wanted(kind=Kind.SCENE, id=SCENE, body=body)]))
    seen: list[Progress] = []
    told = await shadow(
        topics.parts.bootstrap, KEYS[PROVINCE], current.snapshot, after, since_ms=now_ms() - 60_000, say=seen.append
    )
    assert (told.judged, told.otherwise, told.strange) == (8, 8, 0)
    assert {(shift.before, shift.after, count) for shift, (count, _) in told.shifts.items()} == {
        ("0", "3011 purpose", 8)
    }
    assert seen[-1].read == seen[-1].of
