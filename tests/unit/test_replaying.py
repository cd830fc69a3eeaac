"""A recorded judgement judged again: equal to the record whatever happened, told as different when the record lies."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from msgspec.structs import replace

from broker.bus.clock import now_ms
from broker.bus.keys import KeyOpener
from deploy.details import Details
from deploy.history import History
from schemas.items import encode
from schemas.registry import MANIFEST_KEY
from schemas.scenes import SceneStatus
from tests.recorded import Line, Remembering, fields, lines, nothing, recorded, sealed
from tests.support import KEYS, by_holder, by_id, request, service_code
from tests.support_registry import (
    CARD,
    CITIZEN_ID,
    LICENCE,
    NODE,
    OTHER_ORG,
    PROVINCE,
    SCENE,
    UNSHARED,
    application,
    identifier_of,
    new_party_keys,
    scene,
)
from tests.support_store import certificate
from workers.conditions import BY_NAME
from workers.consents import Consents
from workers.judge import Grant, Refusal
from workers.replaying import ReplayError, released, replay
from workers.steps import LATER, State, steps
from workers.stores.memory import MemoryStore
from workers.wording import Look, told

if TYPE_CHECKING:
    from deploy.details import Recorded
    from schemas.items import RequestItem
    from tests.support_registry import Body
    from workers.replaying import Replay

PROOFS = Consents(KEYS[PROVINCE], KeyOpener(KEYS[PROVINCE].sealing))
CERTIFICATES = [certificate(serial) for serial in range(1, 60)]
PERSON = {"certificateHolderCode": CITIZEN_ID, "certificateHolderTypeCode": "111"}


@pytest.fixture
async def province() -> Remembering:
    made = Remembering(MemoryStore(CERTIFICATES))
    await made.ready()
    return made


def again(province: Remembering, one: Recorded) -> Replay:
    return replay(one.detail, PROVINCE, province.snapshots.get(one.detail.registry), PROOFS)


def body(data: dict[str, Any]) -> bytes:
    return encode(data)


class Kind(NamedTuple):
    """A request and how it ends: its status and the condition that decides ("": it is released)."""

    item: RequestItem
    status: int
    condition: str


KINDS = {
    "data": Kind(request(1), 0, ""),
    "search": Kind(request(2, "I1"), 0, ""),
    "by holder": Kind(request(3, "I5"), 0, ""),
    "two fields": Kind(request(4, data=body(by_id(4) | {"fields": ["KZ_XM", "certificateName"]})), 0, ""),
    "nothing found": Kind(request(5, data=body(by_id(999))), 10, "store"),
    "no file": Kind(request(6, "I2"), 10, "file"),
    "other name": Kind(request(7, "I5", data=body(by_holder(7) | {"certificateHolderName": "他人"})), 3012, "name"),
    "unknown scene": Kind(request(8, scene_code="YRD-310000-2026-99999"), 3001, "scene"),
    "other item": Kind(request(9, item_code=f"{OTHER_ORG}2000142001001"), 3003, "item"),
    "other organisation": Kind(request(10, org_code=OTHER_ORG), 3004, "organisation"),
    "no operator": Kind(request(11, username=None), 3013, "operator"),
    "other purpose": Kind(request(12, use_for="SUPERVISION"), 3011, "purpose"),
    "type not shared": Kind(request(13, data=body({"certificateID": identifier_of(1, UNSHARED)})), 13, "catalogue"),
    "type not granted": Kind(request(14, data=body({"certificateID": identifier_of(1, LICENCE)})), 3005, "type"),
    "field": Kind(request(15, data=body(by_id(15) | {"fields": ["KZ_ZZ"]})), 3007, "field"),
    "no number": Kind(request(16, "I5", data=body({**PERSON, "certificateTypeCode": CARD})), 12, "number"),
    "format": Kind(request(17, "I2", data=body(by_id(17) | {"fileFormat": "png"})), 3006, "format"),
    "copy": Kind(request(18, "I2", data=body(by_id(18) | {"original": False})), 2, "original"),
    "no case number": Kind(request(19, business_code=None), 12, "form"),
    "bad identifier": Kind(request(20, data=body({"certificateID": "1.2.3"})), 4001, "form"),
    "bad item code": Kind(request(21, item_code="123"), 4005, "form"),
    "wrong types": Kind(request(22, data=b'{"certificateID":7}'), 102, "form"),
    "no such interface": Kind(replace(request(23), interface="I9"), 2, "offered"),
    "other issuer": Kind(
        request(24, "I7", data=body({"certQrCode": service_code(24, province="31"), "pos": "一", "use": "二"})),
        6001,
        "issuer",
    ),
    "elsewhere": Kind(replace(request(25), address="203.0.113.9"), 2006, "address"),
    "unknown application": Kind(replace(request(26), application="nobody"), 3004, "application"),
}


def kind_of(name: str) -> Kind:
    """One of the kinds with a fresh deadline: the table may be older than a minute."""
    kind = KINDS[name]
    return kind._replace(item=replace(kind.item, deadline=now_ms() + 60_000))


@pytest.mark.parametrize("name", KINDS)
async def test_each_kind_of_end_is_reproduced(province: Remembering, name: str) -> None:
    """Released or refused, before, by or after the judge: judged again it ends as recorded, at the same condition."""
    kind = kind_of(name)
    await province.answers(kind.item)
    (one,) = recorded(province)
    replayed = again(province, one)
    assert (one.detail.status, one.detail.condition) == (kind.status, kind.condition)
    assert (replayed.equal, replayed.decided, replayed.differences) == (True, kind.condition, ())
    way = steps(replayed.decided, granted=isinstance(replayed.judged, Grant))
    assert [step.name for step in way if step.state is State.DECIDED] == ([kind.condition] if kind.condition else [])


async def test_an_item_that_could_not_be_typed_is_reproduced(province: Remembering) -> None:
    """An item of which only id and deadline could be read is refused again for its form."""
    item = request(1)
    await province.answers(b'{"id":"%s","deadline":%d,"head":7}' % (item.id.encode(), item.deadline))
    (one,) = recorded(province)
    assert (again(province, one).equal, one.request_id) == (True, item.id)


async def test_a_lot_refused_as_a_whole_is_told_as_such(province: Remembering) -> None:
    """The record of a lot that could not be opened names the lot, and no judge is asked."""
    record = province.lot([request(1)])
    spoiled = record._replace(value=record.value[:-1] + bytes([record.value[-1] ^ 1]))
    await province.work(spoiled)
    (one,) = recorded(province)
    replayed = again(province, one)
    assert (replayed.decided, replayed.judged, replayed.equal) == ("lot", None, True)
    (lie,) = (replace(one.detail, request=msgspec.Raw(encode(request(1)))),)
    assert not replay(lie, PROVINCE, None, PROOFS).equal


async def test_a_judgement_is_reproduced_from_the_version_it_cites(province: Remembering) -> None:
    """A scenario suspended, narrowed and brought back: each record is judged by the version of its time."""
    versions: list[tuple[RequestItem, tuple[Body, ...]]] = [
        (request(1), ()),
        (request(2), (replace(scene(), status=SceneStatus.SUSPENDED),)),
        (request(3), (replace(scene(), types=()),)),
        (request(4), (replace(application(), suspended=True),)),
        (request(5), (scene(), application())),
    ]
    for item, changed in versions:
        if changed:
            await province.publish(*changed)
            await province.registry.refresh()
        await province.answers(item)
    found = recorded(province)
    assert [one.detail.status for one in found] == [0, 3001, 3005, 3004, 0]
    assert [one.detail.registry for one in found] == [1, 2, 3, 4, 5]
    assert all(again(province, one).equal for one in found)
    assert not replay(found[0].detail, PROVINCE, province.snapshots[2], PROOFS).equal


LIES: dict[str, dict[str, Any]] = {
    "refused": {"status": 3001, "condition": "scene"},
    "refused elsewhere": {"status": 3007, "condition": "field"},
    "other scenario": {"scenario": f"{SCENE}@9"},
    "other fields": {"fields": fields("KZ_ZZ")},
    "unreadable fields": {"fields": msgspec.Raw(b"7")},
    "other digest": {"request_digest": "0" * 64},
    "used up": {"uses": ("use:31.1:I4:x",)},
    "later and unknown": {"status": 3010, "condition": "scene"},
    "lot": {"status": 102, "condition": "lot", "scenario": ""},
    "a condition without a refusal": {"condition": "store"},
    "fields that no refusal releases": {"status": 10, "condition": "store"},
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_record_that_lies_is_told(province: Remembering, lie: str) -> None:
    """Whatever of a released request's outcome is recorded otherwise, the replay differs."""
    await province.answers(request(1))
    (one,) = recorded(province)
    assert again(province, one).equal
    replayed = replay(replace(one.detail, **LIES[lie]), PROVINCE, province.snapshots[1], PROOFS)
    assert not replayed.equal
    assert all(difference.recorded != difference.judged for difference in replayed.differences)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.condition in BY_NAME and kind.status])
async def test_a_refusal_that_is_recorded_as_released_is_told(province: Remembering, name: str) -> None:
    """No refusal of the judge or of the form passes for a release."""
    await province.answers(kind_of(name).item)
    (one,) = recorded(province)
    if (one.detail.condition, one.detail.status) in LATER:
        return  # what a store said is nobody's to reproduce
    lie = replace(one.detail, status=0, condition="", fields=fields("KZ_XM"))
    assert not replay(lie, PROVINCE, province.snapshots.get(lie.registry), PROOFS).equal


async def test_without_its_version_a_judgement_is_not_guessed(province: Remembering) -> None:
    """A record whose version is not at hand, or that names no clock, is not reproduced at all."""
    await province.answers(request(1))
    (one,) = recorded(province)
    with pytest.raises(ReplayError):
        replay(one.detail, PROVINCE, None, PROOFS)
    with pytest.raises(ReplayError):
        replay(replace(one.detail, judged=0), PROVINCE, province.snapshots[1], PROOFS)
    with pytest.raises(ReplayError):
        replay(replace(one.detail, request=msgspec.Raw(b"{}")), PROVINCE, province.snapshots[1], PROOFS)


async def test_what_is_told_holds_no_person(province: Remembering) -> None:
    """Holder, number and operator are told shortened, and whole only when asked for."""
    item = request(1, "I5")
    await province.answers(item)
    (one,) = recorded(province)
    replayed = again(province, one)
    look = Look(replayed.case, province.snapshots[1], PROVINCE, one.detail.judged)
    secrets = (CITIZEN_ID, "TEST-000001", str(item.head.username))
    shortened = "\n".join("\n".join(told(look, name)) for name in BY_NAME)
    whole = "\n".join("\n".join(told(look._replace(full=True), name)) for name in BY_NAME)
    assert [one for one in secrets if one in shortened] == []
    assert [one for one in secrets if one not in whole] == []


@pytest.mark.parametrize("name", KINDS)
async def test_every_condition_can_be_told_of_every_request(province: Remembering, name: str) -> None:
    """No request, in a registry with or without its scenario, is one whose conditions cannot be told."""
    await province.answers(kind_of(name).item)
    (one,) = recorded(province)
    case = again(province, one).case
    for snapshot in (province.snapshots[1], nothing()):
        for step in steps("", Look(case, snapshot, PROVINCE, 1 << 62)):
            assert isinstance(step.asked, str)
            assert isinstance(step.says, str)


@pytest.mark.parametrize(
    ("interface", "aside"), [("I4", {"code", "expiry", "format", "number"}), ("I2", {"number", "field"})]
)
async def test_what_does_not_apply_is_not_called_passed(province: Remembering, interface: str, aside: set[str]) -> None:
    """Conditions that had nothing to look at in a request stand aside; the others passed."""
    await province.answers(request(1, interface))
    (one,) = recorded(province)
    look = Look(again(province, one).case, province.snapshots[1], PROVINCE, one.detail.judged)
    states = {(step.part, step.name): step.state for step in steps("", look)}
    beside = {name for (_, name), state in states.items() if state is State.ASIDE}
    assert aside | {"hours", "records", "consent", "tag"} <= beside
    assert {states["judge", name] for name in ("scene", "purpose", "type", "interface")} == {State.PASSED}
    assert {state for (part, name), state in states.items() if name in {"form", "mark", "store", "status"}} == {
        State.PASSED
    }


def test_the_decided_condition_divides_the_way() -> None:
    """Before it everything passed, behind it nothing was reached; of an unknown one the rest passed."""
    for name in BY_NAME:
        for granted in (False, True):
            states = [step.state for step in steps(name, granted=granted)]
            place = states.index(State.DECIDED)
            assert set(states[:place]) <= {State.PASSED}
            assert set(states[place + 1 :]) <= {State.NOT_REACHED}
    assert {step.state for step in steps("")} == {State.PASSED}
    assert [step.name for step in steps("strange") if step.state is State.DECIDED] == ["strange"]


def test_every_condition_of_a_refusal_is_in_the_table() -> None:
    """Each condition that the province's half refuses with is told in both languages."""
    named = set()
    for path in (Path(__file__).parents[2] / "workers").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Refusal" and len(node.args) > 1:
                condition = node.args[1]
                named |= {condition.value} if isinstance(condition, ast.Constant) else set()
    assert "scene" in named
    assert named - BY_NAME.keys() == set()


async def test_details_that_are_not_ours_are_passed_over(province: Remembering) -> None:
    """A record sealed to another, of another sender, garbled or not a detail is counted and tells nothing."""
    await province.answers(request(1))
    (line,) = lines(province)
    headers = dict(line.headers)
    strange = [
        line._replace(value=(line.value or b"")[:-1]),
        line._replace(value=None),
        line._replace(key=b"\x1b[2J"),
        line._replace(headers=[]),
        line._replace(headers=list((headers | {"ce_source": b"31"}).items())),
        line._replace(headers=list((headers | {"ce_type": b"certlane.request.v1"}).items())),
        line._replace(headers=list((headers | {"seal": b"\xff.\xff.\xff"}).items())),
        Line([], None, None),
    ]
    details = Details("", KEYS[PROVINCE])
    assert [one for line in strange for one in details.opened(line)] == []
    assert details.strange == len(strange)
    (one,) = recorded(province)
    for lie in ({"judged": 1 << 60}, {"hops": {"opened": -1}}, {"request": msgspec.Raw(b"[]")}):
        assert list(details.opened(sealed(replace(one.detail, **lie)))) == []
    assert details.strange == len(strange) + 3
    other = Details("", new_party_keys(PROVINCE))
    assert (list(other.opened(line)), other.strange) == ([], 1)
    assert len(list(details.opened(line, {f"{1:032x}"}))) == 1
    assert list(details.opened(line, {f"{2:032x}"})) == []


async def test_history_proves_each_version_and_believes_nobody_else(province: Remembering) -> None:
    """Folded from the topic, strangers' records in between, every version is the one that was published."""
    await province.publish(replace(scene(), status=SceneStatus.SUSPENDED))
    await province.publish(scene())
    history, found = History(KEYS["registrar"].signing.public), {}
    stranger = Remembering(MemoryStore([]))
    foreign = [(b"scene/x", b"{"), (MANIFEST_KEY, b"a.b.c"), (None, b""), (MANIFEST_KEY, province.topic[0][1])]
    await stranger.publish()
    for key, value in province.topic:
        for other, noise in foreign:
            assert history.feed(other, noise) is None
        if version := history.feed(key, value):
            found[version.snapshot.version] = version.snapshot.scenes[SCENE].scene.status
    assert found == {1: SceneStatus.PUBLISHED, 2: SceneStatus.SUSPENDED, 3: SceneStatus.PUBLISHED}


async def test_released_fields_are_read_in_order(province: Remembering) -> None:
    """The names of what went out come back sorted, and what is no list of names says so."""
    await province.answers(request(1))
    (one,) = recorded(province)
    assert "KZ_XM" in released(one.detail) == sorted(released(one.detail))
    assert released(replace(one.detail, fields=msgspec.Raw(b"{}"))) == ["(unreadable)"]


async def test_two_attempts_are_two_records(province: Remembering) -> None:
    """A request that came twice has two records, each reproduced by itself."""
    await province.answers(request(1))
    await province.answers(request(1))
    found = recorded(province)
    assert [one.detail.attempt for one in found] == [1, 2]
    assert all(again(province, one).equal for one in found)
    assert all(isinstance(again(province, one).judged, Grant) for one in found)
    assert not isinstance(again(province, found[0]).judged, Refusal)
    assert found[0].detail.node == NODE
