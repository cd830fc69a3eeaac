"""The judgement, condition by condition and in the order of DOMAIN §8.4."""

from collections.abc import Callable
from itertools import combinations
from typing import Final, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.registry.snapshot import Snapshot
from schemas.identifiers import parse_certificate_id
from schemas.items import RequestItem, encode
from schemas.registry import PURPOSES, Application, CatalogueEntry, Scene, SceneStatus, SceneType
from schemas.sharing import ALWAYS_TOLD, CertificateDataByIdRequest, Head
from tests.support_registry import (
    ADDRESS,
    APPLICATION,
    CARD,
    ITEM,
    LICENCE,
    NODE,
    ORG,
    OTHER_NODE,
    OTHER_ORG,
    PROVINCE,
    PURPOSE,
    SCENE,
    UNSHARED,
    application,
    compiled,
    entry,
    granted,
    identifier_of,
    scene,
)
from workers.judge import Asked, Grant, Refusal, judge

NOW: Final = 1_780_000_000_000


class Case(NamedTuple):
    """All that a judgement looks at."""

    application: Application | None
    catalogue: tuple[CatalogueEntry, ...]
    scene: Scene | None
    node: str
    item: RequestItem
    data: CertificateDataByIdRequest
    province: str


def good() -> Case:
    """A request that is granted."""
    head = Head(
        scene_code=SCENE,
        org_name="企业服务中心（测试）",
        org_code=ORG,
        username="窗口一号（测试）",
        item_name="企业设立登记",
        item_code=ITEM,
        business_code="TEST-1",
        use_for=PURPOSE,
    )
    item = RequestItem(
        id="0" * 32,
        interface="I4",
        application=APPLICATION,
        deadline=NOW + 60_000,
        head=head,
        data=msgspec.Raw(b"{}"),
        address=ADDRESS,
    )
    data = CertificateDataByIdRequest(certificate_id=identifier_of(1))
    return Case(application(), (entry(CARD), entry(LICENCE)), scene(), NODE, item, data, PROVINCE)


def snapshot(case: Case) -> Snapshot:
    there = [body for body in (case.application, case.scene) if body is not None]
    return compiled(*there, *case.catalogue)


def judged(case: Case) -> Grant | Refusal:
    identifier = parse_certificate_id(case.data.certificate_id or "")
    asked = Asked(case.node, b"{}", case.item, case.data, identifier, "digest")
    return judge(asked, snapshot(case), case.province, NOW)


def refused(case: Case) -> tuple[int, str]:
    result = judged(case)
    assert isinstance(result, Refusal)
    return result.code, result.condition


def of_head(**changes: str | None) -> Callable[[Case], Case]:
    return lambda case: case._replace(item=replace(case.item, head=replace(case.item.head, **changes)))


def of_item(**changes: object) -> Callable[[Case], Case]:
    return lambda case: case._replace(item=replace(case.item, **changes))


def of_application(**changes: object) -> Callable[[Case], Case]:
    return lambda case: case._replace(application=case.application and replace(case.application, **changes))


def of_scene(**changes: object) -> Callable[[Case], Case]:
    return lambda case: case._replace(scene=case.scene and replace(case.scene, **changes))


def of_type(**changes: object) -> Callable[[Case], Case]:
    def change(case: Case) -> Case:
        if case.scene is None:
            return case
        types = tuple(replace(one, **changes) for one in case.scene.types)
        return case._replace(scene=replace(case.scene, types=types))

    return change


def of_data(**changes: object) -> Callable[[Case], Case]:
    return lambda case: case._replace(data=replace(case.data, **changes))


class Breaker(NamedTuple):
    """What spoils a good request: the step of the judgement it fails at, and what is said of it."""

    step: int
    code: int
    condition: str
    spoil: Callable[[Case], Case]


# Steps in the order of DOMAIN §8.4; inside a step in the order of its codes there, 13 just before 3005 (DESIGN §6).
BREAKERS: Final = {
    "application unknown": Breaker(10, 3004, "application", of_item(application="nobody")),
    "application suspended": Breaker(10, 3004, "application", of_application(suspended=True)),
    "application of another node": Breaker(10, 3004, "application", lambda case: case._replace(node=OTHER_NODE)),
    "no address": Breaker(11, 2006, "address", of_item(address=None)),
    "address outside": Breaker(11, 2006, "address", of_item(address="198.51.100.7")),
    "address unreadable": Breaker(11, 2006, "address", of_item(address="localhost")),
    "no address registered": Breaker(11, 2006, "address", of_application(addresses=())),
    "scene unknown": Breaker(20, 3001, "scene", of_head(scene_code="YRD-310000-2026-99999")),
    "scene suspended": Breaker(20, 3001, "scene", of_scene(status=SceneStatus.SUSPENDED)),
    "before the window": Breaker(21, 3002, "window", of_scene(valid_from=NOW + 1)),
    "after the window": Breaker(21, 3002, "window", of_scene(valid_to=NOW)),
    "item": Breaker(30, 3003, "item", of_head(item_code=f"{ORG}2000999001001")),
    "organisation of another scene": Breaker(31, 3004, "organisation", of_head(org_code=OTHER_ORG)),
    "organisation not the application's": Breaker(31, 3004, "organisation", of_application(org_codes=(OTHER_ORG,))),
    "application not in the scene": Breaker(32, 3004, "application", of_scene(applications=("another",))),
    "no operator": Breaker(40, 3013, "operator", of_head(username=None)),
    "blank operator": Breaker(40, 3013, "operator", of_head(username=" \t")),
    "purpose": Breaker(50, 3011, "purpose", of_head(use_for="SUPERVISION")),
    "type unknown to the catalogue": Breaker(60, 13, "catalogue", of_data(certificate_id=identifier_of(1, UNSHARED))),
    "type not shared here": Breaker(
        60,
        13,
        "catalogue",
        lambda case: case._replace(catalogue=tuple(replace(e, provinces=("31",)) for e in case.catalogue)),
    ),
    "type not in the scene": Breaker(61, 3005, "type", of_data(certificate_id=identifier_of(1, LICENCE))),
    "region": Breaker(62, 3005, "region", of_type(source_provinces=("31",))),
    "interface": Breaker(63, 3006, "interface", of_type(interfaces=("I1",))),
    "field": Breaker(70, 3007, "field", of_data(fields=("KZ_XM", "KZ_ZZ"))),
}
PAIRS: Final = [
    (first, second) for first, second in combinations(BREAKERS, 2) if BREAKERS[first].step != BREAKERS[second].step
]


def test_good_request() -> None:
    """A request that meets every condition is granted."""
    assert isinstance(judged(good()), Grant)


@pytest.mark.parametrize("name", BREAKERS)
def test_each_condition(name: str) -> None:
    """One failing condition refuses the request with its own code and names itself."""
    broken = BREAKERS[name]
    assert refused(broken.spoil(good())) == (broken.code, broken.condition)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_earlier_condition_decides(first: str, second: str) -> None:
    """Of two failing conditions the one that comes first in DOMAIN §8.4 decides."""
    earlier = min(BREAKERS[first], BREAKERS[second], key=lambda breaker: breaker.step)
    case = BREAKERS[second].spoil(BREAKERS[first].spoil(good()))
    if "type unknown to the catalogue" in (first, second) and "type not in the scene" in (first, second):
        case = BREAKERS["type unknown to the catalogue"].spoil(case)  # both name the type: the unknown one stands
    assert refused(case) == (earlier.code, earlier.condition)


def test_scenario_is_named_as_soon_as_it_is_known() -> None:
    """A refusal names the scenario and its version from the window on, and not before."""
    named = {name for name, broken in BREAKERS.items() if _scenario(broken.spoil(good())) == f"{SCENE}@1"}
    assert named == {name for name, broken in BREAKERS.items() if broken.step > 20}


def _scenario(case: Case) -> str:
    return judged(case).scenario


@pytest.mark.parametrize(("valid_from", "valid_to", "granted_now"), [(NOW, NOW + 1, True), (NOW - 1, NOW, False)])
def test_edges_of_the_window(*, valid_from: int, valid_to: int, granted_now: bool) -> None:
    """The window holds its first millisecond and not its last."""
    assert isinstance(judged(of_scene(valid_from=valid_from, valid_to=valid_to)(good())), Grant) is granted_now


@pytest.mark.parametrize("purpose", [PURPOSE, PURPOSES[PURPOSE], scene().purpose_text])
@pytest.mark.parametrize("place", ["head", "data"])
def test_ways_to_name_the_purpose(purpose: str, place: str) -> None:
    """The purpose is a code of the fixed list, its text or the scenario's own, in head or in data."""
    case = (
        of_head(use_for=purpose)(good()) if place == "head" else of_data(use_for=purpose)(of_head(use_for=None)(good()))
    )
    assert isinstance(judged(case), Grant)


def test_purpose_of_head_goes_first() -> None:
    """A purpose in data cannot stand in for another one in head."""
    assert refused(of_data(use_for=PURPOSE)(of_head(use_for="SUPERVISION")(good()))) == (3011, "purpose")


@pytest.mark.parametrize("address", ["192.0.2.255", "2001:db8::1"])
def test_addresses_of_the_networks(address: str) -> None:
    """Every address of a registered network may call, of either family."""
    assert isinstance(judged(of_item(address=address)(good())), Grant)


def test_grant_of_the_whole_scene() -> None:
    """Without names the grant is all that the scenario grants, tells what it shortens, and lists what it withholds."""
    result = judged(good())
    assert isinstance(result, Grant)
    assert result.scenario == f"{SCENE}@1"
    assert result.fields == {*granted().fields, *granted().masked_fields}
    assert result.masked == set(granted().masked_fields)
    assert "KZ_ZZ" in result.withheld
    assert "certificateNumber" in result.withheld
    assert not result.fields & set(result.withheld)


def test_grant_of_named_fields() -> None:
    """With names the grant is those and no other, a shortened one still shortened, and nothing is called withheld."""
    result = judged(of_data(fields=("KZ_XM", "KZ_GMSFHM"))(good()))
    assert isinstance(result, Grant)
    assert result.fields == {"KZ_XM", "KZ_GMSFHM"}
    assert "KZ_GMSFHM" in result.masked
    assert "KZ_XM" not in result.masked
    assert result.withheld == ()


def test_shortened_wins() -> None:
    """A field that a scenario names both in full and shortened is shortened."""
    result = judged(of_type(fields=("KZ_XM",), masked_fields=("KZ_XM",))(good()))
    assert isinstance(result, Grant)
    assert result.masked == {"KZ_XM"}


def test_what_the_catalogue_does_not_have() -> None:
    """A scenario cannot grant a column that the catalogue does not know."""
    result = judged(of_type(fields=("KZ_XM", "KZ_ANY", "surface"))(good()))
    assert isinstance(result, Grant)
    assert not result.fields & {"KZ_ANY", "surface"}


def test_what_is_always_told_may_be_named() -> None:
    """A name that every answer holds may be asked for."""
    assert isinstance(judged(of_data(fields=(*ALWAYS_TOLD, "certificateName"))(good())), Grant)


NAMES: Final = st.text(min_size=1, max_size=20)


@given(scene_code=NAMES, item_code=NAMES, purpose=NAMES, fields=st.lists(NAMES, max_size=3))
def test_nothing_registered(scene_code: str, item_code: str, purpose: str, fields: list[str]) -> None:
    """With an empty registry nothing is granted, whatever is asked."""
    case = of_head(scene_code=scene_code, item_code=item_code, use_for=purpose)(good())
    case = of_data(fields=tuple(fields))(case)._replace(application=None, catalogue=(), scene=None)
    assert isinstance(judged(case), Refusal)


EMPTY: Final = {
    "applications": st.just(()),
    "types": st.sampled_from([(), (SceneType(type_code=CARD, source_provinces=(), interfaces=(), fields=()),)]),
    "purposes": st.just(()),
}


@given(data=st.data(), left=st.sets(st.sampled_from(sorted(EMPTY)), min_size=1), fields=st.lists(NAMES, max_size=3))
def test_whatever_is_left_empty(data: st.DataObject, left: set[str], fields: list[str]) -> None:
    """A scenario that leaves a list empty grants nothing by it."""
    case = of_data(fields=tuple(fields))(good())
    assert isinstance(judged(of_scene(**{name: data.draw(EMPTY[name]) for name in left})(case)), Refusal)


@given(
    wanted=st.sets(st.sampled_from(sorted({"KZ_XM", "KZ_XB", "KZ_ZZ", "KZ_GMSFHM", "certificateName", "issueDept"})))
)
def test_never_more_than_the_scene(wanted: set[str]) -> None:
    """Whatever fields are asked for, the grant never goes beyond the scenario."""
    result = judged(of_data(fields=tuple(sorted(wanted)))(good()))
    allowed = {*granted().fields, *granted().masked_fields}
    assert isinstance(result, Grant) is (wanted <= allowed)
    if isinstance(result, Grant):
        assert result.fields <= allowed
        assert result.fields == (wanted or allowed)


def test_judging_changes_nothing() -> None:
    """The same request judged twice has the same result, and the request is what it was."""
    case = good()
    before = encode(case.item)
    assert judged(case) == judged(case)
    assert encode(case.item) == before
