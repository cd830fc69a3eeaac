"""The judgement, condition by condition and in the order of DOMAIN §8.4, for each interface."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.registry.compiled import CompiledType
from schemas.answers import ALWAYS_TOLD
from schemas.items import encode
from schemas.scenes import PURPOSES, Limits, SceneCode, SceneType, TimeOfDay
from tests.support_registry import (
    CARD,
    LICENCE,
    PROVINCE,
    PURPOSE,
    SCENE,
    UNSHARED,
    alias_of,
    entry,
    granted,
    identifier_of,
    scene,
)
from tests.unit.judging import (
    ALL,
    BREAKERS,
    BY_HOLDER,
    NOW,
    Breaker,
    Change,
    Setting,
    case_of,
    good,
    judged,
    of_data,
    of_head,
    of_item,
    of_limits,
    of_scene,
    of_type,
    refused,
    snapshot,
)
from workers.judge import Grant, Refusal, judge


def types_of(setting: Setting) -> dict[str, CompiledType]:
    """What was granted, by type."""
    result = judged(setting)
    assert isinstance(result, Grant)
    return dict(result.types)


def of_card(setting: Setting) -> CompiledType:
    """What was granted of the one type."""
    types = types_of(setting)
    assert types.keys() == {CARD}
    return types[CARD]


BY_ITSELF: Final = [(interface, name) for name, one in BREAKERS.items() for interface in one.interfaces]
SAME_VALUE: Final = (  # these name the type: the one that is applied last stands; an unknown application is of no node
    {"application unknown", "application of another node"},
    {"type unknown to the catalogue", "type not in the scene"},
    {"type unknown to the catalogue", "name unknown"},
    {"type not in the scene", "name unknown"},
    {"type unknown to the catalogue", "identifier of another type"},
    {"type not in the scene", "identifier of another type"},
)


def pairs(interface: str) -> Iterator[tuple[Breaker, Breaker]]:
    """Every two that spoil a request of this interface at different steps, the earlier one first."""
    there = {name: one for name, one in BREAKERS.items() if interface in one.interfaces}
    for first, second in combinations(there, 2):
        if there[first].step != there[second].step and {first, second} not in SAME_VALUE:
            early, late = sorted((there[first], there[second]), key=lambda one: one.step)
            yield early, late


@pytest.mark.parametrize("interface", ALL)
def test_good_request(interface: str) -> None:
    """A request that meets every condition is granted, whatever it asks for."""
    assert isinstance(judged(good(interface)), Grant)


@pytest.mark.parametrize(("interface", "name"), BY_ITSELF)
def test_each_condition(interface: str, name: str) -> None:
    """One failing condition refuses the request with its own code and names itself."""
    broken = BREAKERS[name]
    assert refused(broken.spoil(good(interface))) == (broken.code, broken.condition)


@pytest.mark.parametrize("interface", ALL)
def test_earlier_condition_decides(interface: str) -> None:
    """Of two failing conditions the one that comes first in DOMAIN §8.4 decides, in whichever order they came about."""
    wrong = [
        (early, late)
        for early, late in pairs(interface)
        for setting in (late.spoil(early.spoil(good(interface))), early.spoil(late.spoil(good(interface))))
        if refused(setting) != (early.code, early.condition)
    ]
    assert wrong == []


@pytest.mark.parametrize("interface", ALL)
def test_scenario_is_named_as_soon_as_it_is_known(interface: str) -> None:
    """A refusal names the scenario and its version from the window on, and not before."""
    there = {name: one for name, one in BREAKERS.items() if interface in one.interfaces}
    named = {name for name, one in there.items() if judged(one.spoil(good(interface))).scenario == f"{SCENE}@1"}
    assert named == {name for name, one in there.items() if one.step > 20}


@pytest.mark.parametrize(("valid_from", "valid_to", "granted_now"), [(NOW, NOW + 1, True), (NOW - 1, NOW, False)])
def test_edges_of_the_window(*, valid_from: int, valid_to: int, granted_now: bool) -> None:
    """The window holds its first millisecond and not its last."""
    assert isinstance(judged(of_scene(valid_from=valid_from, valid_to=valid_to)(good())), Grant) is granted_now


@pytest.mark.parametrize(
    ("start", "end", "granted_now"),
    [
        ("04:26", "04:27", True),
        ("04:00", "04:26", False),
        ("04:27", "23:59", False),
        ("22:00", "04:27", True),
        ("22:00", "04:26", False),
        ("04:26", "00:00", True),
        ("04:26", "04:26", False),
    ],
)
def test_hours_of_the_day(*, start: str, end: str, granted_now: bool) -> None:
    """Hours hold their first minute in Shanghai and not their last, go on after midnight, and are none when empty."""
    setting = of_limits(time_of_day=TimeOfDay(start=start, end=end))(good())
    assert isinstance(judged(setting), Grant) is granted_now


@pytest.mark.parametrize("purpose", [PURPOSE, PURPOSES[PURPOSE], scene().purpose_text])
@pytest.mark.parametrize("place", ["head", "data"])
def test_ways_to_name_the_purpose(purpose: str, place: str) -> None:
    """The purpose is a code of the fixed list, its text or the scenario's own, in head or in data."""
    case = (
        of_head(use_for=purpose)(good()) if place == "head" else of_data(use_for=purpose)(of_head(use_for=None)(good()))
    )
    assert isinstance(judged(case), Grant)


@pytest.mark.parametrize("blank", [" ", "\t"])
def test_blank_purposes(blank: str) -> None:
    """A scenario that lists a blank purpose grants nothing to who tells none."""
    setting = of_scene(purposes=(blank,), purpose_text=blank)(of_head(use_for=blank)(good()))
    assert refused(setting) == (3011, "purpose")


def test_purpose_of_head_goes_first() -> None:
    """A purpose in data cannot stand in for another one in head."""
    assert refused(of_data(use_for=PURPOSE)(of_head(use_for="SUPERVISION")(good()))) == (3011, "purpose")


@pytest.mark.parametrize("address", ["192.0.2.255", "2001:db8::1"])
def test_addresses_of_the_networks(address: str) -> None:
    """Every address of a registered network may call, of either family."""
    assert isinstance(judged(of_item(address=address)(good())), Grant)


@pytest.mark.parametrize("interface", ["I4", "I5"])
def test_grant_of_the_whole_scene(interface: str) -> None:
    """Without names the grant is all that the scenario grants, tells what it shortens, and lists what it withholds."""
    result = of_card(good(interface))
    assert result.granted == {*granted().fields, *granted().masked_fields}
    assert result.masked == set(granted().masked_fields)
    assert "KZ_ZZ" in result.withheld
    assert "certificateNumber" in result.withheld
    assert not result.granted & set(result.withheld)


@pytest.mark.parametrize("interface", ["I4", "I5"])
def test_grant_of_named_fields(interface: str) -> None:
    """With names the grant is those and no other, a shortened one still shortened, and nothing is called withheld."""
    result = of_card(of_data(fields=("KZ_XM", "KZ_GMSFHM"))(good(interface)))
    assert result.granted == {"KZ_XM", "KZ_GMSFHM"}
    assert "KZ_GMSFHM" in result.masked
    assert "KZ_XM" not in result.masked
    assert result.withheld == ()


def test_shortened_wins() -> None:
    """A field that a scenario names both in full and shortened is shortened."""
    assert of_card(of_type(fields=("KZ_XM",), masked_fields=("KZ_XM",))(good())).masked == {"KZ_XM"}


def test_what_the_catalogue_does_not_have() -> None:
    """A scenario cannot grant a column that the catalogue does not know."""
    result = of_card(of_type(fields=("KZ_XM", "KZ_ANY", "surface"))(good()))
    assert not result.granted & {"KZ_ANY", "surface"}


def test_interface_that_the_catalogue_does_not_have() -> None:
    """A scenario cannot grant an interface that the catalogue does not offer for the type."""
    shut = good()._replace(catalogue=(replace(entry(CARD), interfaces=("I1",)),))
    assert refused(shut) == (3006, "interface")


def test_what_is_always_told_may_be_named() -> None:
    """A name that every answer holds may be asked for."""
    assert isinstance(judged(of_data(fields=(*ALWAYS_TOLD, "certificateName"))(good())), Grant)


def test_only_what_is_always_told() -> None:
    """Asked for nothing but what every answer holds, nothing else is granted."""
    assert of_card(of_data(fields=ALWAYS_TOLD)(good())).granted == set()


@pytest.mark.parametrize("interface", BY_HOLDER)
@pytest.mark.parametrize("name", [entry(CARD).type_name, alias_of(CARD)])
def test_type_by_its_name(interface: str, name: str) -> None:
    """A type may be asked for by its name or by what a province calls it."""
    assert types_of(of_data(type_code=None, type_name=name)(good(interface))).keys() == {CARD}


def test_code_goes_before_name() -> None:
    """Where a type's code is told its name decides nothing."""
    assert types_of(of_data(type_name=alias_of(LICENCE))(good("I5"))).keys() == {CARD}


def two_types(**changes: Any) -> Setting:
    """A request by a name that two types of the scenario bear; `changes` are of the second."""
    both = (granted(), replace(granted(), **{"type_code": LICENCE, "fields": ("KZ_XB",), **changes}))
    return of_data(type_code=None, type_name=entry(CARD).type_name)(of_scene(types=both)(good("I5")))


def test_name_of_two_types() -> None:
    """A name that several types bear grants of each what the scenario grants of it."""
    types = types_of(two_types())
    assert types.keys() == {CARD, LICENCE}
    assert "KZ_XM" in types[CARD].granted
    assert "KZ_XM" not in types[LICENCE].granted


@pytest.mark.parametrize("changes", [{"interfaces": ("I4",)}, {"source_provinces": ("31",)}])
def test_name_of_which_one_is_granted(changes: dict[str, Any]) -> None:
    """Of several types of one name those that are not granted are left out."""
    assert types_of(two_types(**changes)).keys() == {CARD}


def test_name_of_which_none_is_granted() -> None:
    """When no type of a name is granted, the one that came furthest says why."""
    assert refused(of_type(interfaces=("I4",))(two_types(source_provinces=("31",)))) == (3006, "interface")
    assert refused(of_data(fields=("KZ_ZZ",))(two_types(interfaces=("I4",)))) == (3007, "field")
    turned = (replace(granted(), source_provinces=("31",)), replace(granted(), type_code=LICENCE))
    assert refused(of_data(fields=("KZ_ZZ",))(of_scene(types=turned)(two_types()))) == (3007, "field")


def test_name_narrowed_by_fields() -> None:
    """Of several types of one name those remain that grant every field asked for."""
    assert types_of(of_data(fields=("KZ_XM",))(two_types())).keys() == {CARD}


def search(**changes: Any) -> Setting:
    """A search that names no type, in a scenario with two."""
    both = (granted(), replace(granted(), **{"type_code": LICENCE, **changes}))
    return of_data(type_code=None, number=None)(of_scene(types=both)(good("I1")))


def test_search_without_a_type() -> None:
    """A search for no type asks for every one of the scenario's."""
    assert types_of(search()).keys() == {CARD, LICENCE}


@pytest.mark.parametrize("changes", [{"interfaces": ("I5",)}, {"source_provinces": ("31",)}, {"type_code": UNSHARED}])
def test_search_asks_for_no_more_than_granted(changes: dict[str, Any]) -> None:
    """A search for no type leaves out what may not be searched for here, or what the catalogue does not know."""
    assert types_of(search(**changes)).keys() == {CARD}


@pytest.mark.parametrize("change", [of_scene(types=()), of_type(interfaces=("I5",)), of_type(source_provinces=("31",))])
def test_search_of_nothing(change: Change) -> None:
    """A search for no type where nothing may be searched for is 3006."""
    assert refused(change(search())) == (3006, "interface")


def test_search_needs_no_number() -> None:
    """A search goes by the holder alone."""
    assert isinstance(judged(of_data(number=None)(good("I1"))), Grant)


@pytest.mark.parametrize(("page_no", "granted_now"), [(1, True), (2, True), (3, False)])
def test_records_of_a_search(*, page_no: int, granted_now: bool) -> None:
    """A search may go as far as the scenario's number of records, and no page beyond."""
    setting = of_data(page_no=page_no, page_size=10)(of_limits(max_records=20)(good("I1")))
    assert isinstance(judged(setting), Grant) is granted_now


@pytest.mark.parametrize("interface", ["I2", "I3", "I4", "I5", "I6", "I7"])
def test_records_of_what_is_no_search(interface: str) -> None:
    """The number of records refuses nothing but searches."""
    assert isinstance(judged(of_limits(max_records=1)(good(interface))), Grant)


@pytest.mark.parametrize("interface", ALL)
def test_limits_are_handed_on(interface: str) -> None:
    """A grant names the limits of its scenario, which are counted next."""
    result = judged(of_limits(per_hour=7)(good(interface)))
    assert isinstance(result, Grant)
    assert result.limits == Limits(per_day=1_000, per_hour=7)


@pytest.mark.parametrize("interface", ["I3", "I5"])
def test_by_holder_only(interface: str) -> None:
    """Where the scenario asks for a type by its holder only, no certificate number is needed."""
    assert isinstance(judged(of_type(by_holder_only=True)(of_data(number=None)(good(interface)))), Grant)


@pytest.mark.parametrize("interface", ["I2", "I3"])
@pytest.mark.parametrize("file_format", [None, "ofd", "pdf"])
def test_formats(interface: str, file_format: str | None) -> None:
    """A format that the scenario grants may be asked for; unless told it is OFD."""
    assert isinstance(judged(of_data(file_format=file_format)(good(interface))), Grant)


@pytest.mark.parametrize("interface", ["I2", "I3"])
def test_originals(interface: str) -> None:
    """An original is given where the scenario allows it, asked for or not, and a cause changes nothing of that."""
    assert isinstance(judged(of_data(original=True)(good(interface))), Grant)
    assert isinstance(judged(of_data(original=True, copy_cause="归档")(good(interface))), Grant)


@pytest.mark.parametrize("interface", ["I2", "I3"])
def test_original_that_is_not_allowed(interface: str) -> None:
    """An original asked for where only copies are allowed is outside the scenario, and the answer says so."""
    result = judged(of_data(original=True)(of_type(allow_original=False)(good(interface))))
    assert isinstance(result, Refusal)
    assert (result.code, result.condition, result.detail) == (3006, "original", "该场景未授权提供原件")


def test_annotated_copies_are_not_made_yet() -> None:
    """Whoever may only have an annotated copy learns that there is none yet."""
    result = judged(of_type(allow_original=False)(good("I2")))
    assert isinstance(result, Refusal)
    assert (result.code, result.detail) == (2, "暂不能出具加注件")


def test_file_and_identifier_of_one_type() -> None:
    """A file may be verified with the identifier of a certificate of its type."""
    assert types_of(of_data(certificate_id=identifier_of(1))(good("I6"))).keys() == {CARD}


@pytest.mark.parametrize("fields", [(), ("holderName",), ("holderCode", "mobile")])
def test_service_codes(fields: tuple[str, ...]) -> None:
    """A scenario with service codes of this province grants what it names of their holder, and no type."""
    code = SceneCode(source_provinces=(PROVINCE,), fields=fields)
    result = judged(of_scene(service_code=code, types=())(good("I7")))
    assert isinstance(result, Grant)
    assert result == Grant(f"{SCENE}@1", {}, frozenset(fields), scene().limits)


NAMES: Final = st.text(min_size=1, max_size=20)
INTERFACE: Final = st.sampled_from(ALL)


@settings(deadline=None)
@given(interface=INTERFACE, scene_code=NAMES, item_code=NAMES, purpose=NAMES)
def test_nothing_registered(interface: str, scene_code: str, item_code: str, purpose: str) -> None:
    """With an empty registry nothing is granted, whatever is asked."""
    setting = of_head(scene_code=scene_code, item_code=item_code, use_for=purpose)(good(interface))
    assert isinstance(judged(setting._replace(application=None, catalogue=(), scene=None)), Refusal)


NO_TYPES: Final = ((), (SceneType(type_code=CARD, source_provinces=(), interfaces=(), fields=()),))
NO_CODES: Final = (None, SceneCode(source_provinces=()))
EMPTY: Final[dict[str, st.SearchStrategy[dict[str, object]]]] = {
    "applications": st.just({"applications": ()}),
    "what is granted": st.fixed_dictionaries(
        {"types": st.sampled_from(NO_TYPES), "service_code": st.sampled_from(NO_CODES)}
    ),
    "purposes": st.just({"purposes": ()}),
}


@settings(deadline=None)
@given(data=st.data(), interface=INTERFACE, left=st.sets(st.sampled_from(sorted(EMPTY)), min_size=1))
def test_whatever_is_left_empty(data: st.DataObject, interface: str, left: set[str]) -> None:
    """A scenario that leaves a list empty grants nothing by it."""
    setting = good(interface)
    for name in left:
        setting = of_scene(**data.draw(EMPTY[name]))(setting)
    assert isinstance(judged(setting), Refusal)


@settings(deadline=None)
@given(
    interface=st.sampled_from(["I4", "I5"]),
    wanted=st.sets(st.sampled_from(sorted({"KZ_XM", "KZ_XB", "KZ_ZZ", "KZ_GMSFHM", "certificateName", "issueDept"}))),
)
def test_never_more_than_the_scene(interface: str, wanted: set[str]) -> None:
    """Whatever fields are asked for, the grant never goes beyond the scenario."""
    result = judged(of_data(fields=tuple(sorted(wanted)))(good(interface)))
    allowed = {*granted().fields, *granted().masked_fields}
    assert isinstance(result, Grant) is (wanted <= allowed)
    if isinstance(result, Grant):
        assert result.types[CARD].granted == (wanted or allowed)


@pytest.mark.parametrize("interface", ALL)
def test_judging_changes_nothing(interface: str) -> None:
    """The same request judged twice has the same result, and the request is what it was."""
    setting = good(interface)
    before = encode(setting.item), encode(setting.data)
    assert judged(setting) == judged(setting)
    assert (encode(setting.item), encode(setting.data)) == before


def test_what_is_granted_is_the_scenes_own() -> None:
    """A grant that nothing narrows is the scenario's compiled type itself, and is not made anew for each request."""
    setting = good()
    there = snapshot(setting)
    result = judge(case_of(setting), there, PROVINCE, NOW)
    assert isinstance(result, Grant)
    assert result.types[CARD] is there.scenes[SCENE].types[CARD]
