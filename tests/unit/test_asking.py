"""What the store is asked: by what each interface looks, how much it may return, and never more than is granted."""

from typing import Any, Final

import pytest
from msgspec.structs import replace

from schemas.form import check_form, sm3_hex
from schemas.interfaces import INTERFACES
from schemas.items import decode_data
from tests.support import file_of, request
from tests.support_registry import CARD, CITIZEN_ID, LICENCE, NODE, PROVINCE, SCENE, compiled, identifier_of
from workers.asking import ask
from workers.judge import Case, Grant, judge
from workers.stores.port import Ask, ByFile, ByHolder, ByIdentifier, Look

FILE: Final = sm3_hex(file_of(1))
BY_ID: Final = ByIdentifier(certificate_id=identifier_of(1))


def by_holder(number: str | None = "TEST-000001", limit: int = 50) -> ByHolder:
    return ByHolder(
        holder_code=CITIZEN_ID, holder_type_code="111", type_codes=frozenset({CARD}), number=number, limit=limit
    )


def asked(interface: str, grant: Grant | None = None, **data: Any) -> Ask:
    """The ask for a request about serial 1."""
    item = request(1, interface)
    typed = decode_data(item)
    assert typed is not None
    typed = replace(typed, **data)
    case = Case(NODE, b"{}", item, typed, check_form(INTERFACES[interface], item.head, typed), "digest")
    result = grant or judge(case, compiled(), PROVINCE, 1)
    assert isinstance(result, Grant)
    return ask(7, case, result)


LOOKS: Final[list[tuple[str, dict[str, Any], Look]]] = [
    ("I1", {}, by_holder(limit=200)),
    ("I1", {"page_no": 1, "page_size": 1}, by_holder(limit=200)),
    ("I1", {"number": None}, by_holder(None, 200)),
    ("I1", {"number": ""}, by_holder(None, 200)),
    ("I2", {}, BY_ID),
    ("I3", {}, by_holder()),
    ("I4", {}, BY_ID),
    ("I5", {}, by_holder()),
    ("I6", {}, ByFile(type_code=CARD, digest=FILE, certificate_id=None)),
    ("I6", {"certificate_id": ""}, ByFile(type_code=CARD, digest=FILE, certificate_id=None)),
    (
        "I6",
        {"certificate_id": identifier_of(1)},
        ByFile(type_code=CARD, digest=FILE, certificate_id=identifier_of(1)),
    ),
]


@pytest.mark.parametrize(("interface", "data", "look"), LOOKS)
def test_looks(interface: str, data: dict[str, Any], look: Look) -> None:
    """Each interface looks by what it asks for, a search for as many as a search may tell whatever the page."""
    assert asked(interface, **data).look == look


@pytest.mark.parametrize("interface", INTERFACES.keys() - {"I7"})
def test_key(interface: str) -> None:
    """An ask bears the key of its item."""
    assert asked(interface).key == 7


@pytest.mark.parametrize("interface", ["I4", "I5"])
def test_columns_of_data(interface: str) -> None:
    """Where data is wanted the store is asked for the granted columns and for no other."""
    columns = asked(interface).columns
    assert columns.keys() == {CARD}
    assert columns[CARD] >= {"KZ_XM", "KZ_XB", "KZ_GMSFHM"}
    assert "KZ_ZZ" not in columns[CARD]


@pytest.mark.parametrize("interface", ["I4", "I5"])
def test_columns_asked_for_by_name(interface: str) -> None:
    """Of the granted columns only those are asked for that the request names."""
    assert asked(interface, fields=("KZ_XM",)).columns == {CARD: {"KZ_XM"}}


@pytest.mark.parametrize("interface", ["I1", "I2", "I3", "I6"])
def test_no_columns(interface: str) -> None:
    """Where no data is wanted no column of a face is asked for."""
    assert asked(interface).columns == {CARD: frozenset()}


def test_types_that_are_granted() -> None:
    """Only the types that are granted are asked for."""
    card = compiled().scenes[SCENE].types[CARD]
    made = asked("I1", Grant("", {CARD: card, LICENCE: card}))
    assert isinstance(made.look, ByHolder)
    assert made.look.type_codes == made.columns.keys() == {CARD, LICENCE}


def test_codes_are_not_the_stores() -> None:
    """A service code is never asked of the store of certificates."""
    with pytest.raises(AssertionError):
        asked("I7")
