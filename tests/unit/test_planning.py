"""`registry plan`: what a folder would change, value by value, and what recorded requests say would come of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from broker.registry.snapshot import Snapshot
from deploy.details import Recorded
from deploy.history import Version
from deploy.planning import Change, FieldChange, changes, planned
from deploy.shadow import OTHERS, Both
from schemas.evidence import Detail
from schemas.filing import Draft, Filing, State, Wanted
from schemas.items import RequestItem, encode
from schemas.kinds import Kind
from schemas.registry import Record
from schemas.scenes import SceneStatus
from tests.support import KEYS, by_id, request
from tests.support_registry import (
    CARD,
    LICENCE,
    NODE,
    PROVINCE,
    SCENE,
    Body,
    application,
    bodies,
    compiled,
    entry,
    granted,
    manifest_of,
    new_party_keys,
    party,
    record_of,
    records_of,
    scene,
)

if TYPE_CHECKING:
    from schemas.scenes import Scene

RECORDS = records_of(bodies())
CURRENT = Version(Snapshot(manifest_of(RECORDS), RECORDS), RECORDS)


def wanted(*some: Body) -> list[Wanted]:
    keys = [record_of(one)[0].partition("/") for one in some]
    return [
        Wanted(kind=Kind(kind), id=name, body=msgspec.Raw(encode(one)))
        for (kind, _, name), one in zip(keys, some, strict=True)
    ]


def changed(*some: Body) -> list[Change]:
    return changes(RECORDS, wanted(*some))


def test_what_is_in_force_is_no_change() -> None:
    """A folder that says what is in force plans nothing."""
    assert changed(*bodies()) == []


def test_a_change_is_told_value_by_value() -> None:
    """A scalar by old and new, names by what goes and comes, entries of a list by what names them."""
    wider = replace(granted(), fields=(*granted().fields[1:], "KZ_ZZ"))
    (one,) = changed(replace(scene(), scene_name="新名称", types=(wider,)))
    assert (one.key, one.version) == (f"scene/{SCENE}", 1)
    assert one.fields == (
        FieldChange("sceneName", scene().scene_name, "新名称"),
        FieldChange(f"types[{CARD}].fields", granted().fields[0], "KZ_ZZ"),
    )


def test_entries_of_lists_come_and_go() -> None:
    """A type that is added and one that is taken away are told as such."""
    (one,) = changed(replace(scene(), types=(replace(granted(), type_code=LICENCE),)))
    assert {field.path.split(".")[0] for field in one.fields} == {f"types[{LICENCE}]", f"types[{CARD}]"}
    assert all(bool(field.removed) is (CARD in field.path) for field in one.fields)


def test_whether_a_scenario_is_suspended_is_no_folders_to_say() -> None:
    """What the life cycle sets stays as it is in force."""
    suspended = replace(scene(), status=SceneStatus.SUSPENDED, suspended_by="registrar")
    assert changed(suspended) == []
    records = records_of((*bodies()[:-1], suspended))
    (one,) = changes(records, wanted(replace(scene(), scene_name="新名称")))
    assert [field.path for field in one.fields] == ["sceneName"]
    assert msgspec.json.decode(one.body, type=type(scene())).status is SceneStatus.SUSPENDED


def test_what_a_change_needs() -> None:
    """Scenarios need a filing, everything else the registrar."""
    new = replace(scene(), scene_code="YRD-310000-2026-00009")
    told = {
        one.key: one.needs[1] for one in changed(new, replace(scene(), scene_name="新"), entry("111000000000131433001"))
    }
    assert [needs.split(":")[0] for needs in told.values()] == ["a filing", "a filing of renewal", "the registrar"]


@pytest.mark.parametrize(
    ("state", "needs"), [(State.SUBMITTED, "its filing is on its way"), (State.PUBLISHED, "a filing")]
)
def test_a_filing_on_its_way_is_waited_for(state: State, needs: str) -> None:
    """A scenario that was filed already needs no second filing, one whose filing ended needs a new one."""
    draft = Draft(scene=scene(), org_proof="测试", security_level=3, expected_per_day=1, justifications={})
    body = msgspec.Raw(encode(Filing(applicant="31", state=state, draft=draft)))
    filing = Record(kind=Kind.FILING, id=SCENE, version=1, body=body)
    (one,) = changes({**RECORDS, filing.key: encode(filing)}, wanted(replace(scene(), scene_name="新名称")))
    assert one.needs[1].startswith(needs)


def test_a_new_key_of_a_party_is_named_by_its_id() -> None:
    """Of keys the one that comes and the one that goes are told by their key ids."""
    old, new = new_party_keys(NODE), new_party_keys(NODE)
    (one,) = changes(records_of([party(old)]), wanted(party(new)))
    told = " ".join(field.path for field in one.fields)
    assert old.signing.kid in told
    assert new.signing.kid in told


def recorded(item: RequestItem, now: int = 1_780_000_000_000) -> Recorded:
    detail = Detail(
        request=msgspec.Raw(encode(replace(item, deadline=now + 60_000))),
        node=NODE,
        scenario="",
        holder="",
        fields=msgspec.Raw(b"[]"),
        status=0,
        condition="",
        request_digest="",
        reply_leaf="",
        attempt=1,
        hops={"opened": now},
        registry=1,
        judged=now,
    )
    return Recorded(PROVINCE, "0" * 32, 0, item.id, detail)


def shifted(after: Scene, item: RequestItem) -> tuple[str, str] | None:
    both = Both(KEYS[PROVINCE], CURRENT.snapshot, planned(CURRENT, changed(after)))
    shift = both.judge(recorded(item))
    return None if shift is None else (shift.before, shift.after)


PERSONAL = replace(granted(), fields=(*granted().fields, "KZ_ZZ"))
FEWER = replace(granted(), fields=("KZ_XM",), masked_fields=())
MASKED = replace(
    granted(), fields=granted().fields[:-2], masked_fields=(*granted().masked_fields, *granted().fields[-2:])
)


@pytest.mark.parametrize(
    ("after", "before", "then"),
    [
        (scene(), "0", "0"),
        (replace(scene(), scene_name="新", limits=replace(scene().limits, per_day=1)), "0", "0"),
        (replace(scene(), types=()), "0", "3005 type"),
        (replace(scene(), purposes=("SUPERVISION",)), "0", "3011 purpose"),
        (replace(scene(), types=(PERSONAL,)), "0", "0 +KZ_ZZ"),
        (
            replace(scene(), types=(FEWER,)),
            "0",
            "0 -KZ_GMSFHM* -KZ_XB -certificateHolder -certificateHolderCode* -certificateName",
        ),
        (replace(scene(), types=(MASKED,)), "0", "0 +KZ_XB* +KZ_XM* -KZ_XB -KZ_XM"),
    ],
)
def test_a_request_is_judged_by_both(after: Scene, before: str, then: str) -> None:
    """What would be refused, or told more, less or shortened, is told; a new name or limit changes no judgement."""
    assert shifted(after, request(1)) == (before, then)


def test_what_no_judge_saw_is_not_compared() -> None:
    """A request refused for its form is neither in the one count nor in the other."""
    assert shifted(replace(scene(), types=()), request(1, business_code=None)) is None


def test_what_callers_write_makes_no_rows_without_bound() -> None:
    """Scenes and types that no registry knows are told together."""
    both = Both(KEYS[PROVINCE], CURRENT.snapshot, compiled(application()))
    strange = request(1, scene_code="YRD-999999-2026-00001", data=encode({"certificateID": by_id(1)["certificateID"]}))
    shift = both.judge(recorded(strange))
    assert shift is not None
    assert (shift.scene, shift.type_code) == (OTHERS, CARD)


def test_an_unreadable_record_is_counted() -> None:
    """A record whose request cannot be read is strange, and the rest goes on."""
    both = Both(KEYS[PROVINCE], CURRENT.snapshot, CURRENT.snapshot)
    one = recorded(request(1))
    assert both.judge(one._replace(detail=replace(one.detail, request=msgspec.Raw(b"7")))) is None
    assert both.strange == 1
