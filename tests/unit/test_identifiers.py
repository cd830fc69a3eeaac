import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.checks import USCC_ALPHABET
from schemas.holders import HOLDER_TYPES, HolderCategory, holder_code_is_right
from schemas.identifiers import (
    CertificateId,
    IdentifierError,
    citizen_check,
    is_citizen_id,
    is_item_code,
    is_scene_code,
    is_uscc,
    make_certificate_id,
    mod37_36,
    normalise_citizen_id,
    parse_certificate_id,
    uscc_check,
)
from schemas.regions import PROVINCES, REGIONS, province_of_area

ALPHANUMERIC = string.digits + string.ascii_uppercase
ROOT = "1.2.156.3005.2."
RIGHT = ROOT + "11100000000013338W011.11430000006122244L.20230000403.001.U"
LEGACY = ROOT + "11100000MB03271699022.340100.000000016.001.9"
WRONG_CHECK = ROOT + "11100000000013661B006.113700000045046442.209FA4E88F9E4C878F3E9BED2CE7EA49.001.M"

usccs = st.builds(
    lambda head, area, body: head + area + body + uscc_check(head + area + body),
    st.text(USCC_ALPHABET, min_size=2, max_size=2),
    st.text(string.digits, min_size=6, max_size=6),
    st.text(USCC_ALPHABET, min_size=9, max_size=9),
)
serials = st.text(ALPHANUMERIC, min_size=1, max_size=32)


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text(string.digits, min_size=count, max_size=count)


def outcome(compute: Callable[[], object]) -> object:
    """Return what is computed, or the code of the refusal; any other error is a failure of the test."""
    try:
        return compute()
    except IdentifierError as refused:
        return refused.code


certificate_ids = st.builds(
    lambda body, kind, issuer, serial, version: make_certificate_id(body + kind, issuer, serial, version),
    usccs,
    digits(3),
    usccs,
    serials,
    digits(3),
)


@pytest.mark.parametrize(
    ("text", "check"),
    [("A12425GABC1234002", "M"), ("11100000000013338W00211320482014138860P201807250201001", "M")],
)
def test_published_check_characters(text: str, check: str) -> None:
    """MOD 37,36 gives the check characters of the published samples."""
    assert mod37_36(text) == check


@pytest.mark.parametrize(
    "text",
    [
        RIGHT,
        ROOT + "11100000000013338W032.11220000013544541J.2430599.001.F",
        ROOT + "11100000000013338W009.11330105002500287C.2025052201.002.0",
        LEGACY,
    ],
)
def test_published_identifiers(text: str) -> None:
    """The published identifiers are read, found right, and written back as they were."""
    parsed = parse_certificate_id(text)
    assert parsed.check_is_right
    assert str(parsed) == text


def test_parts_of_an_identifier() -> None:
    """An identifier comes apart into type, issuer, serial, version and check character."""
    assert parse_certificate_id(RIGHT) == CertificateId(
        type_code="11100000000013338W011",
        issuer_code="11430000006122244L",
        serial="20230000403",
        version="001",
        check="U",
    )


def test_wrong_check_character_is_read() -> None:
    """An identifier with a wrong check character is read, and says that its check is wrong."""
    assert not parse_certificate_id(WRONG_CHECK).check_is_right
    assert mod37_36("11100000000013661B006113700000045046442209FA4E88F9E4C878F3E9BED2CE7EA49001") == "D"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ROOT + "062301.1101101102.0624_001.001.U",
        RIGHT + "\n",
        RIGHT.lower(),
        RIGHT.replace("001.U", "٠٠١.U"),  # digits, but of another script
        RIGHT.replace("1.2.156", "1x2x156"),
        RIGHT.replace("20230000403", "2" * 33),
        "2" + RIGHT[1:],
        " " + RIGHT,
        RIGHT + "A" * 100,
    ],
)
def test_malformed_identifier(text: str) -> None:
    """Any text of another shape is refused with 4001, and the refusal does not repeat it."""
    with pytest.raises(IdentifierError) as refused:
        parse_certificate_id(text)
    assert refused.value.code == 4001
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "area"),
    [(RIGHT, "430000"), (LEGACY, "340100"), (LEGACY.replace("340100", "34A100"), None)],
)
def test_issuer_area(text: str, area: str | None) -> None:
    """The issuer's area is read from its USCC or is its legacy code, and is None when it has no digits."""
    assert parse_certificate_id(text).issuer_area == area


@pytest.mark.parametrize(
    ("type_code", "issuer", "serial", "version", "code"),
    [
        ("11100000000013338W011", "340100", "1", "001", 4003),
        ("11100000000013338W011", "11430000006122244M", "1", "001", 4003),
        ("11100000000013338X011", "11430000006122244L", "1", "001", 4003),
        ("11100000000013338W01", "11430000006122244L", "1", "001", 4001),
        ("11100000000013338W011", "11430000006122244L", "", "001", 4001),
        ("11100000000013338W011", "11430000006122244L", "a", "001", 4001),
        ("11100000000013338W011", "11430000006122244L", "1.1", "001", 4001),
        ("11100000000013338W011", "11430000006122244L", "1", "1", 4001),
    ],
)
def test_unlawful_identifier_is_not_made(type_code: str, issuer: str, serial: str, version: str, code: int) -> None:
    """No identifier is made for a legacy or wrong issuer, or of a malformed part."""
    with pytest.raises(IdentifierError) as refused:
        make_certificate_id(type_code, issuer, serial, version)
    assert refused.value.code == code


@given(certificate_ids)
def test_round_trip(made: str) -> None:
    """Whatever is made is read back the same, with a right check character."""
    parsed = parse_certificate_id(made)
    assert parsed.check_is_right
    assert str(parsed) == made


@given(st.text(ALPHANUMERIC, min_size=1, max_size=80), st.data())
def test_single_change_is_detected(text: str, data: st.DataObject) -> None:
    """The check character tells any change of one single character."""
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(ALPHANUMERIC.replace(text[place], "")))
    assert mod37_36(text[:place] + other + text[place + 1 :]) != mod37_36(text)


@given(st.text() | st.text(ALPHANUMERIC + ".", max_size=140) | st.builds(ROOT.__add__, st.text(ALPHANUMERIC + ".")))
def test_hostile_identifier(text: str) -> None:
    """No text whatever makes the parser raise anything but an IdentifierError."""
    assert outcome(lambda: str(parse_certificate_id(text))) in {text, 4001}


@given(certificate_ids, st.integers(0, 127), st.sampled_from(ALPHANUMERIC + ".x٣\n"))
def test_nearly_right_identifier(made: str, place: int, other: str) -> None:
    """One character changed anywhere leaves an identifier that is refused, wrong in its check, or the same."""
    changed = made[:place] + other + made[place + 1 :]
    right = outcome(lambda: parse_certificate_id(changed).check_is_right)
    assert right in {changed == made, 4001}


@pytest.mark.parametrize(
    "text",
    [
        "91350100M000100Y43",
        "11100000000013127D",
        "11100000000013338W",
        "11100000MB03271699",
        "11100000MB0143028R",
        "111000000000131433",
        "11100000717823004M",
        "1131000068735121X0",
    ],
)
def test_published_usccs(text: str) -> None:
    """The published USCCs are right."""
    assert is_uscc(text)


@pytest.mark.parametrize(
    "text",
    ["91310115MA1H8R7C6D", "", "91350100M000100Y4", "91350100m000100y43", "9135O100M000100Y43", "91350100M000100Y43\n"],
)
def test_wrong_usccs(text: str) -> None:
    """A USCC with a wrong check character, length, letter case or alphabet is none."""
    assert not is_uscc(text)


def test_check_of_a_wrong_uscc() -> None:
    """The sample that circulates with D as its check character has 7."""
    assert uscc_check("91310115MA1H8R7C6") == "7"


@given(usccs, st.integers(0, 17), st.sampled_from(USCC_ALPHABET))
def test_single_change_of_a_uscc(text: str, place: int, other: str) -> None:
    """Any change of one character of a USCC is told."""
    changed = text[:place] + other + text[place + 1 :]
    assert is_uscc(changed) == (changed == text)


def test_right_citizen_ids() -> None:
    """The example of GB 11643 is right, and so is a number whose area is assigned to nobody."""
    assert is_citizen_id("11010519491231002X")
    assert is_citizen_id("99010119900101123" + citizen_check("99010119900101123"))


@pytest.mark.parametrize(
    "text",
    ["", "110105194912310021", "11010519491231002x", "11010519491231002", "1101051949123100２X", "01010519491231002X"],
)
def test_wrong_citizen_ids(text: str) -> None:
    """A number with a wrong check character, length, script or area is none, nor is one with a small x."""
    assert not is_citizen_id(text)


@pytest.mark.parametrize("born", ["19490229", "19491301", "19490431", "17991231", "21000101", "19490100"])
def test_impossible_births(born: str) -> None:
    """A number whose date of birth never was is none, even with a right check character."""
    first17 = f"110105{born}002"
    assert not is_citizen_id(first17 + citizen_check(first17))


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("11010519491231002x", "11010519491231002X"),
        ("11010519491231002X", "11010519491231002X"),
        ("110105491231002", "11010519491231002X"),
    ],
)
def test_normalised_citizen_ids(text: str, stored: str) -> None:
    """A small x becomes large, and fifteen digits become eighteen characters."""
    assert normalise_citizen_id(text) == stored


@pytest.mark.parametrize("text", ["", "x", "110105491331002", "110105194912310021", "１10105491231002"])
def test_numbers_that_cannot_be_normalised(text: str) -> None:
    """What is no citizen's number in any form is refused with 4004."""
    with pytest.raises(IdentifierError) as refused:
        normalise_citizen_id(text)
    assert refused.value.code == 4004


@pytest.mark.parametrize(
    ("compute", "code"), [(mod37_36, 4001), (uscc_check, 4003), (citizen_check, 4004)], ids=["id", "uscc", "citizen"]
)
@given(text=st.text())
def test_foreign_text(compute: Callable[[str], str], code: int, text: str) -> None:
    """A check character of foreign text is refused with the code of its kind, never with another error."""
    assert outcome(lambda: len(compute(text))) in {1, code}


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("11100000000013338W" + "0" * 13, True),
        ("11100000000013338W" + "A" * 15, True),
        ("11100000000013338W" + "0" * 14, False),
        ("11100000000013338W" + "0" * 16, False),
        ("11100000000013338W" + "a" * 13, False),
        ("11100000000013338W" + "٣" * 13, False),
        ("11100000000013338X" + "0" * 13, False),
        ("", False),
    ],
)
def test_item_codes(text: str, *, right: bool) -> None:
    """An item code is a valid USCC with 13 or 15 digits or capital letters behind it."""
    assert is_item_code(text) == right


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("YRD-310000-2026-00001", True),
        ("YRD-320600-2026-99999", True),
        ("YRD-440000-2026-00001", False),
        ("YRD-310000-2026-0001", False),
        ("YRD-310000-2026-00001\n", False),
        ("yrd-310000-2026-00001", False),
        ("YRD-310000-2026-0000１", False),
    ],
)
def test_scene_codes(text: str, *, right: bool) -> None:
    """A scene code names a region of the four provinces, a year and a number of five digits."""
    assert is_scene_code(text) == right


@pytest.mark.parametrize(
    ("code", "province"),
    [
        ("310000", "31"),
        ("320600", "32"),
        ("330000000000", "33"),
        ("340100", "34"),
        ("110000", None),
        ("31", None),
        ("31000", None),
        ("３１0000", None),
        ("31000٠", None),
        ("31000a", None),
        ("", None),
    ],
)
def test_province_of_an_area(code: str, province: str | None) -> None:
    """An area code of six or twelve digits lies in one of the four provinces or in none."""
    assert province_of_area(code) == province


def test_regions() -> None:
    """Every region's own code lies in its province, and there are four."""
    assert PROVINCES == ("31", "32", "33", "34")
    assert all(province_of_area(region.code) == region.province for region in REGIONS)


@pytest.mark.parametrize(
    ("type_code", "code", "right"),
    [
        ("111", "11010519491231002X", True),
        ("111", "91350100M000100Y43", False),
        ("001", "91350100M000100Y43", True),
        ("001", "11010519491231002X", False),
        ("414", "E00000000", True),
        ("414", "", False),
        ("414", "E" * 65, False),
        ("414", "E 0000", False),
        ("414", "护照", False),
        ("10", "11010519491231002X", False),
    ],
)
def test_holder_codes(type_code: str, code: str, *, right: bool) -> None:
    """A holder's code is held to the form of its type, and an unknown type has no right code."""
    assert holder_code_is_right(type_code, code) == right


def test_holder_types() -> None:
    """There are sixteen types of holder codes, two of them for bodies."""
    assert len(HOLDER_TYPES) == 16
    bodies = {code for code, kind in HOLDER_TYPES.items() if kind.category is HolderCategory.ORGANISATION}
    assert bodies == {"001", "099"}
