"""The form of a request: what is said of it before anybody looks into a registry or a store."""

import base64
import string
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.checks import citizen_check
from schemas.form import FILE_FORMATS, REQUIRED_HEAD, Form, check_form, normalised, purpose, sm3_hex, wire_name
from schemas.holders import HOLDER_TYPES
from schemas.interfaces import INTERFACES, Interface
from schemas.service_codes import new_service_code
from schemas.sharing import (
    DIGEST,
    Asked,
    DataByHolderRequest,
    DataByIdRequest,
    FileByHolderRequest,
    FileByIdRequest,
    Head,
    SearchRequest,
    VerifyCodeRequest,
    VerifyFileRequest,
)
from schemas.statuses import STATUSES, RefusedError
from tests.support_registry import CARD, CITIZEN_ID, ITEM, ORG, PURPOSE, SCENE, identifier_of

I4: Final = INTERFACES["I4"]
HEAD: Final = Head(
    scene_code=SCENE,
    org_name="企业服务中心（测试）",
    org_code=ORG,
    item_name="企业设立登记",
    item_code=ITEM,
    business_code="TEST-1",
    use_for=PURPOSE,
)
DATA: Final = DataByIdRequest(certificate_id=identifier_of(1))
ORDER: Final = (*(attribute for attribute, _ in REQUIRED_HEAD), "use_for", "certificate_id")
WIRE: Final = {**dict(REQUIRED_HEAD), "use_for": "useFor", "certificate_id": "certificateID"}

ABC: Final = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"  # SM3("abc"), GB/T 32905, A.1
HOLDER: Final[dict[str, Any]] = {"holder_code": CITIZEN_ID, "holder_type_code": "111"}
GOOD: Final[dict[str, Asked]] = {
    "I1": SearchRequest(**HOLDER),
    "I2": FileByIdRequest(certificate_id=identifier_of(1)),
    "I3": FileByHolderRequest(**HOLDER, type_code=CARD),
    "I4": DATA,
    "I5": DataByHolderRequest(**HOLDER, type_code=CARD),
    "I6": VerifyFileRequest(type_code=CARD, content_type=DIGEST, content=ABC),
    "I7": VerifyCodeRequest(code=new_service_code("32", bytes(32)), pos="窗口（测试）", use="办事（测试）"),
}
OF_HOLDER: Final = ("I1", "I3", "I5")
REQUIRED: Final = [(key, required) for key, row in INTERFACES.items() for required in row.required]
EMPTY: Final = (None, "", " ", "\t\n", "\u3000")


def spoilt(**changes: Any) -> tuple[Head, DataByIdRequest]:
    """The good request with these values, each in the part where it belongs."""
    of_data = {name: value for name, value in changes.items() if name == "certificate_id"}
    of_head = {name: value for name, value in changes.items() if name != "certificate_id"}
    return replace(HEAD, **of_head), replace(DATA, **of_data)


def refused(head: Head, data: Asked, interface: Interface = I4) -> RefusedError:
    with pytest.raises(RefusedError) as error:
        check_form(interface, head, data)
    return error.value


def refused_data(key: str, **changes: Any) -> RefusedError:
    """What is said of the good request of an interface with these data changed."""
    return refused(HEAD, replace(GOOD[key], **changes), INTERFACES[key])


@pytest.mark.parametrize("key", INTERFACES)
def test_good_form(key: str) -> None:
    """A complete request is let through, with its identifier or its service code taken apart."""
    data = GOOD[key]
    assert normalised(data) == data
    form = check_form(INTERFACES[key], HEAD, data)
    assert (str(form.identifier) if form.identifier else None) == getattr(data, "certificate_id", None)
    assert (form.code.province if form.code else None) == ("32" if key == "I7" else None)


def test_required_values() -> None:
    """Scenario, organisation, item and case are required of every head, whatever the interface (DOMAIN §3.4)."""
    assert {wire for _, wire in REQUIRED_HEAD} == {
        "sceneCode",
        "orgName",
        "orgCode",
        "itemName",
        "itemCode",
        "businessCode",
    }


@pytest.mark.parametrize("value", EMPTY)
@pytest.mark.parametrize("name", ORDER)
def test_required_value_is_empty(name: str, value: str | None) -> None:
    """A required value that is absent, null, empty or blank is 12, and the message names it as the caller writes it."""
    error = refused(*spoilt(**{name: value}))
    assert error.code == 12
    assert error.detail.endswith(f".{WIRE[name]}")


@pytest.mark.parametrize("value", EMPTY)
@pytest.mark.parametrize(("key", "required"), REQUIRED)
def test_required_value_of_an_interface_is_empty(key: str, required: str, value: str | None) -> None:
    """Of each interface every required value is 12 when it says nothing, and both names of a choice are told."""
    either = required.split("|")
    data = replace(GOOD[key], **dict.fromkeys(either, value))
    error = refused(HEAD, data, INTERFACES[key])
    assert error.code == 12
    assert error.detail == "请填写 data." + " 或 ".join(wire_name(type(data), one) for one in either)


def test_names_of_required_values() -> None:
    """What is required of each interface bears the names of the standard's clients (DOMAIN §4)."""
    told = {
        key: tuple("|".join(wire_name(row.request, one) for one in required.split("|")) for required in row.required)
        for key, row in INTERFACES.items()
    }
    holder = ("certificateHolderCode", "certificateHolderTypeCode")
    assert told == {
        "I1": holder,
        "I2": ("certificateID",),
        "I3": (*holder, "certificateTypeCode|certificateType"),
        "I4": ("certificateID",),
        "I5": (*holder, "certificateTypeCode|certificateType"),
        "I6": ("certTypeCode", "contentType", "content"),
        "I7": ("certQrCode", "pos", "use"),
    }


@pytest.mark.parametrize("key", ["I3", "I5"])
@pytest.mark.parametrize("code", [None, "", " "])
def test_one_of_two_names_is_enough(key: str, code: str | None) -> None:
    """A certificate type is named by its code or by its name, and an empty code beside a name is no code."""
    if code == " ":
        assert refused_data(key, type_code=code, type_name="测试证照").code == 113
    else:
        check_form(INTERFACES[key], HEAD, replace(GOOD[key], type_code=code, type_name="测试证照"))


@pytest.mark.parametrize(
    ("key", "name"), [("I1", "type_code"), ("I1", "type_name"), ("I6", "certificate_id"), ("I2", "file_format")]
)
def test_optional_value_is_empty(key: str, name: str) -> None:
    """An optional value that is empty is an absent one."""
    assert check_form(INTERFACES[key], HEAD, replace(GOOD[key], **{name: ""})) == check_form(
        INTERFACES[key], HEAD, replace(GOOD[key], **{name: None})
    )


@pytest.mark.parametrize(("first", "second"), list(pairwise(ORDER)))
def test_first_empty_value_is_named(first: str, second: str) -> None:
    """Of two empty values the first is named."""
    assert refused(*spoilt(**{first: None, second: None})).detail.endswith(f".{WIRE[first]}")


@pytest.mark.parametrize("name", ["username", "user_code", "auth_code", "region_code"])
def test_values_that_are_not_required(name: str) -> None:
    """The operator is not the form's business (3013 is the judge's), and the rest of head is optional."""
    check_form(I4, *spoilt(**{name: None}))


@pytest.mark.parametrize("key", INTERFACES)
def test_purpose_in_data(key: str) -> None:
    """data.UseFor stands in for an absent or empty head.useFor, and never for another one."""
    data = replace(GOOD[key], use_for="SUPERVISION")
    for absent in (None, ""):
        head = replace(HEAD, use_for=absent)
        check_form(INTERFACES[key], head, data)
        assert purpose(head, data) == "SUPERVISION"
    assert purpose(HEAD, data) == PURPOSE
    assert purpose(replace(HEAD, use_for=None), GOOD[key]) == ""


def test_purpose_in_data_beside_a_blank_one() -> None:
    """data.UseFor stands in for a blank head.useFor as it does for an empty one."""
    check_form(I4, replace(HEAD, use_for=" "), replace(DATA, use_for=PURPOSE))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"org_code": ORG[:-1] + "0"}, 4003),
        ({"org_code": ORG[:-1]}, 4003),
        ({"org_code": ORG.lower()}, 4003),
        ({"org_code": f" {ORG}"}, 4003),
        ({"item_code": ITEM[:-1]}, 4005),
        ({"item_code": ITEM + "00"}, None),
        ({"item_code": ITEM + "0"}, 4005),
        ({"item_code": ORG}, 4005),
        ({"item_code": ITEM.replace(ORG, ORG[:-1] + "0")}, 4005),
        ({"certificate_id": "1.2.156.3005.2"}, 4001),
        ({"certificate_id": identifier_of(1) + " "}, 4001),
        ({"certificate_id": identifier_of(1).lower()}, 4001),
        ({"certificate_id": identifier_of(1) * 3}, 4001),
    ],
)
def test_codes(changes: dict[str, str], code: int | None) -> None:
    """A wrong USCC is 4003, a wrong item code 4005, a text that is no 证照标识 4001."""
    head, data = spoilt(**changes)
    if code is None:
        check_form(I4, head, data)
    else:
        assert refused(head, data).code == code


def test_identifier_of_a_file() -> None:
    """The identifier that I6 may name is held to the same form as any other."""
    assert refused_data("I6", certificate_id="x").code == 4001
    named = check_form(INTERFACES["I6"], HEAD, replace(GOOD["I6"], certificate_id=identifier_of(1)))
    assert str(named.identifier) == identifier_of(1)


def test_check_character_is_not_looked_at() -> None:
    """A wrong check character passes the form: the store is asked for the exact text first (DOMAIN §5.1)."""
    wrong = identifier_of(1)[:-1] + ("0" if identifier_of(1)[-1] != "0" else "1")
    found = check_form(I4, HEAD, replace(DATA, certificate_id=wrong)).identifier
    assert found is not None
    assert not found.check_is_right


@pytest.mark.parametrize("key", OF_HOLDER)
@pytest.mark.parametrize("code", ["000", "11", "11A", "１１１", "112", "10"])
def test_holder_types(key: str, code: str) -> None:
    """A holder type outside the list of GB/T 36903 is 103, before the holder's code is looked at."""
    error = refused_data(key, holder_type_code=code, holder_code="x")
    assert (error.code, error.detail) == (103, "请核对 data.certificateHolderTypeCode")


@pytest.mark.parametrize("key", OF_HOLDER)
@pytest.mark.parametrize(
    ("holder_type", "holder_code", "code"),
    [
        ("111", CITIZEN_ID, None),
        ("111", CITIZEN_ID[:-1], 4004),
        ("111", CITIZEN_ID[:-1] + "0", 4004),
        ("111", ORG, 4004),
        ("111", "99000119901301001X", 4004),
        ("001", ORG, None),
        ("001", ORG[:-1] + "0", 4003),
        ("001", CITIZEN_ID, 4003),
        ("414", "E12345678", None),
        ("414", "E1234 5678", 102),
        ("999", "护照", 102),
        ("099", "x" * 65, 102),
    ],
)
def test_holder_codes(key: str, holder_type: str, holder_code: str, code: int | None) -> None:
    """A holder's code has the form of its type: a citizen's number 4004, a USCC 4003, any other 102."""
    changes = {"holder_type_code": holder_type, "holder_code": holder_code}
    if code is None:
        assert check_form(INTERFACES[key], HEAD, replace(GOOD[key], **changes)) == Form()
    else:
        assert refused_data(key, **changes).code == code


def test_every_holder_type() -> None:
    """Each type of the list is taken with a code of its form."""
    codes = {"111": CITIZEN_ID, "001": ORG}
    for code in HOLDER_TYPES:
        data = replace(GOOD["I1"], holder_type_code=code, holder_code=codes.get(code, "TEST-1"))
        check_form(INTERFACES["I1"], HEAD, data)


@pytest.mark.parametrize("key", ["I1", "I3", "I5", "I6"])
@pytest.mark.parametrize(
    "code", [CARD[:-1], CARD + "1", CARD.lower(), f" {CARD}", CARD.replace("D", "I"), "测试证照", CARD[:-1] + "٣"]
)
def test_type_codes(key: str, code: str) -> None:
    """A type code is a USCC's eighteen characters and three digits, and anything else is 113."""
    assert refused_data(key, type_code=code).code == 113


@pytest.mark.parametrize("key", ["I2", "I3"])
def test_file_formats(key: str) -> None:
    """A file may be wanted as ofd, pdf or png, in these letters, and any other format is 102."""
    for good in (None, *FILE_FORMATS):
        check_form(INTERFACES[key], HEAD, replace(GOOD[key], file_format=good))
    for bad in ("OFD", "exe", ".pdf", "pdf "):
        assert refused_data(key, file_format=bad).code == 102


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"content_type": "base64"}, "contentType"),
        ({"content_type": "link"}, "contentType"),
        ({"content_type": "DIGEST"}, "contentType"),
        ({"content": ABC[:-1]}, "content "),
        ({"content": ABC + "0"}, "content "),
        ({"content": ABC.upper()}, "content "),
        ({"content": f"{ABC[:-1]}g"}, "content "),
        ({"content": f"{ABC}\u3000"}, "content "),
    ],
)
def test_digests(changes: dict[str, str], part: str) -> None:
    """On a lane a file is its SM3 in 64 small hexadecimal digits and nothing else."""
    error = refused_data("I6", **changes)
    assert (error.code, part in error.detail) == (102, True)


@pytest.mark.parametrize("code", ["http://test.invalid/code", "CERTLANE:32:", "32", "certlane:32:" + "A" * 26])
def test_service_codes(code: str) -> None:
    """A scanned text that is no service code of this exchange is 6001."""
    assert refused_data("I7", code=code).code == 6001


@pytest.mark.parametrize("key", OF_HOLDER)
@pytest.mark.parametrize("told", ["x", " {} ", "{}\r\n"])
def test_citizens_numbers_as_they_travel(key: str, told: str) -> None:
    """A citizen's number travels as it is stored: a small x made large, without white space about it."""
    number = next(
        first17 + "X"
        for first17 in (f"99000119900101{serial:03}" for serial in range(100))
        if citizen_check(first17) == "X"
    )
    written = number.lower() if told == "x" else told.format(number)
    data = normalised(replace(GOOD[key], holder_code=written))
    assert data == replace(GOOD[key], holder_code=number)
    check_form(INTERFACES[key], HEAD, data)


def test_old_citizens_numbers() -> None:
    """Fifteen digits of an old citizen's number travel as the eighteen of today (GB 11643-1999)."""
    old = CITIZEN_ID[:6] + CITIZEN_ID[8:17]
    data = normalised(replace(GOOD["I1"], holder_code=old))
    assert data == GOOD["I1"]


@pytest.mark.parametrize("code", ["x", CITIZEN_ID[:-1], "990001990101", CITIZEN_ID[:-1] + "0"])
def test_wrong_citizens_numbers(code: str) -> None:
    """A text that cannot be made a citizen's number is 4004."""
    with pytest.raises(RefusedError) as error:
        normalised(replace(GOOD["I1"], holder_code=code))
    assert error.value.code == 4004


@pytest.mark.parametrize("code", ["E12345678", "e1x"])
def test_other_codes_stay(code: str) -> None:
    """The code of any other type of holder travels as it was written."""
    data = replace(GOOD["I1"], holder_type_code="414", holder_code=code)
    assert normalised(data) == data


@pytest.mark.parametrize("kind", ["base64", "BASE64", "Base64"])
def test_a_file_travels_as_its_digest(kind: str) -> None:
    """A file is digested before it goes on: the same request as with its digest."""
    told = VerifyFileRequest(type_code=CARD, content_type=kind, content=base64.b64encode(b"abc").decode())
    assert sm3_hex(b"abc") == ABC
    assert normalised(told) == GOOD["I6"]


def test_a_digest_in_capitals() -> None:
    """A digest in capitals, with white space about it, is the same digest."""
    assert normalised(replace(GOOD["I6"], content_type="Digest", content=f" {ABC.upper()}\n")) == GOOD["I6"]


@pytest.mark.parametrize("content", ["YWJ", "-_-_", "%%%%", "=", "证照"])
def test_a_file_that_is_no_base64(content: str) -> None:
    """A file in broken base64 is 102."""
    with pytest.raises(RefusedError) as error:
        normalised(replace(GOOD["I6"], content_type="base64", content=content))
    assert error.value.code == 102


@pytest.mark.parametrize("tail", ["\r\n", "\n", " ", "\r"])
def test_line_ends_of_a_scanner(tail: str) -> None:
    """The line ends that a scanner puts about a service code are no part of it."""
    code = GOOD["I7"]
    assert isinstance(code, VerifyCodeRequest)
    assert normalised(replace(code, code=f"{tail}{code.code}{tail}")) == code


@pytest.mark.parametrize("key", INTERFACES)
def test_normal_is_normal(key: str) -> None:
    """A request in its one form has no other: what travels is not changed again."""
    assert normalised(normalised(GOOD[key])) == normalised(GOOD[key])
    assert normalised(INTERFACES[key].request()) == INTERFACES[key].request()


WRONG: Final = {"org_code": "x", "item_code": "x", "certificate_id": "x"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({**WRONG, "use_for": None}, 12),
        ({**WRONG, "certificate_id": None}, 12),
        (WRONG, 4003),
        ({"item_code": "x", "certificate_id": "x"}, 4005),
        ({"certificate_id": "x"}, 4001),
    ],
)
def test_order(changes: dict[str, str | None], code: int) -> None:
    """12 goes before 4003, that before 4005, that before 4001."""
    assert refused(*spoilt(**changes)).code == code


CANARY: Final = "99000119900101001x"
TEXTS: Final = [
    (key, name)
    for key, row in INTERFACES.items()
    for name in row.request.__struct_fields__
    if name not in ("fields", "region_codes", "requested_types", "operator", "original", "page_no", "page_size")
]


def said(key: str, head: Head, data: Asked) -> str:
    """All that an error says, and all that it comes from; empty when there is none."""
    try:
        check_form(INTERFACES[key], head, normalised(data))
    except RefusedError as error:
        told = [error.detail, STATUSES[error.code].message]
        inner: BaseException | None = error
        while inner is not None:
            told.append(str(inner))
            inner = inner.__cause__ or inner.__context__
        return " ".join(told)
    return ""


@pytest.mark.parametrize(("key", "name"), TEXTS)
def test_no_value_is_repeated(key: str, name: str) -> None:
    """A refusal never repeats the value that it refuses, nor does the error that it comes from."""
    assert "9900" not in said(key, HEAD, replace(GOOD[key], **{name: CANARY}))
    for kind in ("base64", "digest"):
        if key == "I6":
            data = replace(GOOD[key], **{"content_type": kind, name: CANARY})
            assert "9900" not in said(key, HEAD, data)


@pytest.mark.parametrize("key", OF_HOLDER)
@pytest.mark.parametrize("holder_type", ["001", "111", "414", "990", CANARY])
def test_no_holder_is_repeated(key: str, holder_type: str) -> None:
    """A refusal never repeats a holder's code, whatever its type."""
    data = replace(GOOD[key], holder_type_code=holder_type, holder_code=f"{CANARY} 9900")
    assert said(key, HEAD, data)
    assert "9900" not in said(key, HEAD, data)


@pytest.mark.parametrize("name", Head.__struct_fields__)
def test_no_value_of_the_head_is_repeated(name: str) -> None:
    """A refusal never repeats a value of the head."""
    assert "9900" not in said("I4", replace(HEAD, **{name: CANARY}), DATA)


ANY_TEXT: Final = st.none() | st.text(max_size=40) | st.text(string.hexdigits + "CERTLANE:.", max_size=80)


@given(key=st.sampled_from(list(INTERFACES)), values=st.lists(ANY_TEXT, min_size=24, max_size=24))
def test_any_texts(key: str, values: list[str | None]) -> None:
    """Whatever texts stand in a request, it has a form or is refused with a code of the table."""
    told = dict(zip([name for one, name in TEXTS if one == key], values, strict=False))
    found: object
    try:
        found = check_form(INTERFACES[key], HEAD, normalised(replace(GOOD[key], **told)))
    except RefusedError as error:
        found = STATUSES[error.code]
    assert found


@pytest.mark.parametrize("key", GOOD)
def test_control_characters(key: str) -> None:
    """A value with a control character in it is 102, and the place is named."""
    data = GOOD[key]
    for attribute, name in zip(data.__struct_fields__, data.__struct_encode_fields__, strict=True):
        if isinstance(getattr(data, attribute), str):
            with pytest.raises(RefusedError) as error:
                check_form(INTERFACES[key], HEAD, replace(data, **{attribute: "a\0b"}))
            assert (error.value.code, name in error.value.detail) == (102, True)
    with pytest.raises(RefusedError) as error:
        check_form(INTERFACES[key], replace(HEAD, org_name="a\x7fb"), data)
    assert error.value.code == 102


def test_white_space_about_a_value() -> None:
    """What a scanner or a form leaves about a value goes, a name and a number included; base64 may have line ends."""
    told = replace(GOOD["I1"], holder_name="测小试\n", number=" 1 ")
    assert normalised(told) == replace(GOOD["I1"], holder_name="测小试", number="1")
    file = replace(GOOD["I6"], content_type="base64", content="YW\r\nJj\n")
    assert normalised(file) == GOOD["I6"]
