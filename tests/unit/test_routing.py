"""Which province is asked: the issuer's, else the regions named, else the scenario's sources (DESIGN §6)."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.exchange.routing import route
from schemas.checks import uscc_check
from schemas.identifiers import CERTIFICATE_ID_ROOT, CertificateId, parse_certificate_id
from schemas.regions import PROVINCES
from tests.support_registry import CARD

CENTRAL: Final = "100000"


def issued_in(area: str, *, legacy: bool = False) -> CertificateId:
    """An identifier whose issuer lies in this area, by its USCC or by a legacy area code."""
    first17 = f"11{area}MB9A00011"[:17]
    issuer = area if legacy else first17 + uscc_check(first17)
    return parse_certificate_id(f"{CERTIFICATE_ID_ROOT}.{CARD}.{issuer}.TEST1.001.0")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(("area", "province"), [("310115", "31"), ("320500", "32"), ("330000", "33"), ("340100", "34")])
def test_issuers_area(area: str, province: str, *, legacy: bool) -> None:
    """The area of the issuer decides, whatever regions are named and whatever the scenario's sources are."""
    identifier = issued_in(area, legacy=legacy)
    for regions in (None, (), ("310000", "340000")):
        assert route(identifier, regions, ("31", "32")) == (province,)


@pytest.mark.parametrize("area", [CENTRAL, "110000", "990001"])
def test_named_regions(area: str) -> None:
    """When the issuer lies in no province of the exchange the regions named are asked, each once, in their order."""
    named = ("330000", "320000", "330100", "320000000000")
    assert route(issued_in(area), named, ("31",)) == ("33", "32")


def test_regions_that_are_none() -> None:
    """Regions outside the exchange and texts that are none are passed over."""
    assert route(issued_in(CENTRAL), ("110000", "x", "", "32", "３２００００", "340000"), ("31",)) == ("34",)


@pytest.mark.parametrize("regions", [None, (), ("110000",)])
def test_sources_of_the_scenario(regions: tuple[str, ...] | None) -> None:
    """When no region of the exchange is named the scenario's sources are asked, as far as they take part."""
    assert route(issued_in(CENTRAL), regions, ("34", "35", "31", "")) == ("34", "31")


def test_nobody() -> None:
    """When nothing of it belongs to the exchange nobody is asked."""
    assert route(issued_in(CENTRAL), ("110000",), ("11",)) == ()


def test_issuer_without_digits() -> None:
    """A legacy issuer code that is no area falls back on the regions."""
    assert route(issued_in("3A0000", legacy=True), ("320000",), ()) == ("32",)


@given(
    area=st.text("0123456789", min_size=6, max_size=6),
    regions=st.none() | st.lists(st.text(max_size=12), max_size=4),
    sources=st.lists(st.sampled_from([*PROVINCES, "11", "99"]), max_size=4, unique=True),
)
def test_only_provinces(area: str, regions: list[str] | None, sources: list[str]) -> None:
    """Whatever is asked, only provinces of the exchange are, each once."""
    asked = route(issued_in(area, legacy=True), regions, sources)
    assert set(asked) <= set(PROVINCES)
    assert len(set(asked)) == len(asked)
