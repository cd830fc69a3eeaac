"""Which provinces are asked: a code's issuer, an identifier's, else the regions named, else the sources (DESIGN §6)."""

from itertools import permutations
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.exchange.routing import chosen, route, sources_of
from schemas.checks import uscc_check
from schemas.form import Form
from schemas.identifiers import CERTIFICATE_ID_ROOT, parse_certificate_id
from schemas.interfaces import INTERFACES
from schemas.regions import PROVINCES
from schemas.service_codes import new_service_code, parse_service_code
from schemas.sharing import DataByHolderRequest, SearchRequest, VerifyFileRequest
from tests.support_registry import CARD, LICENCE, SCENE, UNSHARED, compiled, entry, granted, scene

CENTRAL: Final = "100000"
NOTHING_NAMED: Final = Form()


def issued_in(area: str, *, legacy: bool = False) -> Form:
    """An identifier whose issuer lies in this area, by its USCC or by a legacy area code."""
    first17 = f"11{area}MB9A00011"[:17]
    issuer = area if legacy else first17 + uscc_check(first17)
    return Form(identifier=parse_certificate_id(f"{CERTIFICATE_ID_ROOT}.{CARD}.{issuer}.TEST1.001.0"))


def code_of(province: str) -> Form:
    return Form(code=parse_service_code(new_service_code(province, bytes(32))))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(("area", "province"), [("310115", "31"), ("320500", "32"), ("330000", "33"), ("340100", "34")])
def test_issuers_area(area: str, province: str, *, legacy: bool) -> None:
    """The area of the issuer decides, whatever regions are named and whatever the scenario's sources are."""
    identifier = issued_in(area, legacy=legacy)
    for regions in (None, (), ("310000", "340000"), ("110000",)):
        assert route(identifier, regions, ("31", "32")) == (province,)


@pytest.mark.parametrize("province", PROVINCES)
def test_issuer_of_a_code(province: str) -> None:
    """A service code goes to its issuer, whatever regions are named."""
    for regions in (None, ("310000", "340000")):
        assert route(code_of(province), regions, PROVINCES) == (province,)


@pytest.mark.parametrize("province", ["11", "00", "99", "35"])
def test_a_code_from_elsewhere(province: str) -> None:
    """A service code that no province of the exchange issued goes to nobody."""
    assert route(code_of(province), ("310000",), PROVINCES) == ()


@pytest.mark.parametrize("area", [CENTRAL, "110000", "990001"])
def test_named_regions(area: str) -> None:
    """When the issuer lies in no province of the exchange the regions named are asked, each once, in their order."""
    named = ("330000", "320000", "330100", "320000000000")
    assert route(issued_in(area), named, ("31",)) == ("33", "32")
    assert route(NOTHING_NAMED, named, ("31",)) == ("33", "32")


def test_regions_that_are_none() -> None:
    """Regions outside the exchange and texts that are none are passed over."""
    assert route(NOTHING_NAMED, ("110000", "x", "", "32", "３２００００", "340000"), ("31",)) == ("34",)


@pytest.mark.parametrize("regions", [("110000",), ("",), ("x", "990000")])
def test_no_region_of_the_exchange(regions: tuple[str, ...]) -> None:
    """Who names regions, none of which belongs to the exchange, asks nobody, and never everybody."""
    assert route(NOTHING_NAMED, regions, PROVINCES) == ()
    assert route(issued_in(CENTRAL), regions, PROVINCES) == ()


@pytest.mark.parametrize("regions", [None, ()])
@pytest.mark.parametrize("sources", list(permutations(("34", "35", "31", ""))))
def test_sources_of_the_scenario(regions: tuple[str, ...] | None, sources: tuple[str, ...]) -> None:
    """When no region is named the scenario's sources are asked, as far as they take part, in the provinces' order."""
    assert route(NOTHING_NAMED, regions, sources) == ("31", "34")
    assert route(issued_in(CENTRAL), regions, sources) == ("31", "34")


def test_nobody() -> None:
    """When nothing of it belongs to the exchange nobody is asked."""
    assert route(issued_in(CENTRAL), None, ("11",)) == ()
    assert route(NOTHING_NAMED, None, ()) == ()


def test_issuer_without_digits() -> None:
    """A legacy issuer code that is no area falls back on the regions."""
    assert route(issued_in("3A0000", legacy=True), ("320000",), ()) == ("32",)


@given(
    form=st.none() | st.text("0123456789", min_size=6, max_size=6),
    regions=st.none() | st.lists(st.text(max_size=12) | st.sampled_from(["310000", "340000"]), max_size=4),
    sources=st.lists(st.sampled_from([*PROVINCES, "11", "99"]), max_size=4, unique=True),
)
def test_only_provinces(form: str | None, regions: list[str] | None, sources: list[str]) -> None:
    """Whatever is asked, only provinces of the exchange are, each once."""
    asked = route(issued_in(form, legacy=True) if form else NOTHING_NAMED, regions, sources)
    assert set(asked) <= set(PROVINCES)
    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize(
    ("key", "form", "ours"),
    [
        ("I1", NOTHING_NAMED, True),
        ("I2", issued_in("320500"), False),
        ("I3", NOTHING_NAMED, True),
        ("I4", issued_in(CENTRAL), False),
        ("I5", NOTHING_NAMED, True),
        ("I6", NOTHING_NAMED, True),
        ("I6", issued_in("320500"), False),
        ("I7", code_of("32"), False),
    ],
)
def test_whose_choice(key: str, form: Form, *, ours: bool) -> None:
    """The provinces are our choice unless the request names a certificate or a code."""
    assert chosen(INTERFACES[key], form) is ours


CARD_TYPE: Final = replace(granted(), source_provinces=("31", "32"), interfaces=("I1", "I4"))
LICENCE_TYPE: Final = replace(granted(), type_code=LICENCE, source_provinces=("33",), interfaces=("I3",))
REGISTRY: Final = compiled(
    replace(entry(CARD), aliases={"31": ("测试卡",)}),
    replace(entry(LICENCE), type_name="测试执照", aliases={"31": ("测试卡",)}),
    replace(entry(UNSHARED), type_name="未共享"),
    replace(scene(), types=(CARD_TYPE, LICENCE_TYPE)),
)
HOLDER: Final[dict[str, Any]] = {"holder_code": "x", "holder_type_code": "111"}


@pytest.mark.parametrize(
    ("key", "data", "sources"),
    [
        ("I1", SearchRequest(**HOLDER), {"31", "32"}),  # of the types that may be searched
        ("I1", SearchRequest(**HOLDER, type_code=CARD), {"31", "32"}),
        ("I1", SearchRequest(**HOLDER, type_name="测试证照"), {"31", "32"}),
        ("I3", DataByHolderRequest(**HOLDER, type_code=LICENCE), {"33"}),
        ("I3", DataByHolderRequest(**HOLDER, type_name="测试卡"), {"33"}),  # another province's name for both of them
        ("I6", VerifyFileRequest(type_code=CARD), {"31", "32", "33"}),  # not granted: they say so themselves
        ("I3", DataByHolderRequest(**HOLDER, type_code=CARD), {"31", "32", "33"}),
        ("I5", DataByHolderRequest(**HOLDER, type_code=UNSHARED), {"31", "32", "33"}),
        ("I1", SearchRequest(**HOLDER, type_name="没有这种证照"), {"31", "32", "33"}),
        ("I1", SearchRequest(**HOLDER, type_code=CARD, type_name="测试执照"), {"31", "32"}),  # the code goes first
    ],
)
def test_sources_for_what_is_asked(key: str, data: Any, sources: set[str]) -> None:
    """The scenario's provinces are those that share what is asked, all of them when it grants that nowhere."""
    assert sources_of(REGISTRY, SCENE, INTERFACES[key], data) == sources


@pytest.mark.parametrize("code", [None, "", "YRD-310000-2026-99999"])
def test_sources_of_no_scenario(code: str | None) -> None:
    """A scenario that there is not has no provinces."""
    assert sources_of(REGISTRY, code, INTERFACES["I1"], SearchRequest()) == frozenset()
