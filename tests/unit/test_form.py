"""The form of a request: what is said of it before anybody looks into a registry or a store."""

from itertools import pairwise
from typing import Any, Final

import pytest
from msgspec.structs import replace

from schemas.form import REQUIRED_HEAD, check_form, purpose
from schemas.interfaces import TYPED
from schemas.sharing import CertificateDataByIdRequest, Head
from schemas.statuses import RefusedError
from tests.support_registry import ITEM, ORG, PURPOSE, SCENE, identifier_of

I4: Final = TYPED["I4"]
HEAD: Final = Head(
    scene_code=SCENE,
    org_name="企业服务中心（测试）",
    org_code=ORG,
    item_name="企业设立登记",
    item_code=ITEM,
    business_code="TEST-1",
    use_for=PURPOSE,
)
DATA: Final = CertificateDataByIdRequest(certificate_id=identifier_of(1))
ORDER: Final = (*(attribute for attribute, _ in REQUIRED_HEAD), "use_for", "certificate_id")
WIRE: Final = {**dict(REQUIRED_HEAD), "use_for": "useFor", "certificate_id": "certificateID"}


def spoilt(**changes: Any) -> tuple[Head, CertificateDataByIdRequest]:
    """The good request with these values, each in the part where it belongs."""
    of_data = {name: value for name, value in changes.items() if name == "certificate_id"}
    of_head = {name: value for name, value in changes.items() if name != "certificate_id"}
    return replace(HEAD, **of_head), replace(DATA, **of_data)


def refused(head: Head, data: CertificateDataByIdRequest) -> RefusedError:
    with pytest.raises(RefusedError) as error:
        check_form(I4, head, data)
    return error.value


def test_good_form() -> None:
    """A complete request is let through with its identifier taken apart."""
    assert str(check_form(I4, HEAD, DATA)) == DATA.certificate_id


def test_required_values() -> None:
    """Scenario, organisation, item and case are required of every head, and of I4 the identifier (DOMAIN §3.4)."""
    assert {wire for _, wire in REQUIRED_HEAD} == {
        "sceneCode",
        "orgName",
        "orgCode",
        "itemName",
        "itemCode",
        "businessCode",
    }
    assert I4.required == ("certificate_id",)


@pytest.mark.parametrize("value", [None, "", " ", "\t\n", "\u3000"])
@pytest.mark.parametrize("name", ORDER)
def test_required_value_is_empty(name: str, value: str | None) -> None:
    """A required value that is absent, null, empty or blank is 12, and the message names it as the caller writes it."""
    error = refused(*spoilt(**{name: value}))
    assert error.code == 12
    assert error.detail.endswith(f".{WIRE[name]}")


@pytest.mark.parametrize(("first", "second"), list(pairwise(ORDER)))
def test_first_empty_value_is_named(first: str, second: str) -> None:
    """Of two empty values the first is named."""
    assert refused(*spoilt(**{first: None, second: None})).detail.endswith(f".{WIRE[first]}")


@pytest.mark.parametrize("name", ["username", "user_code", "auth_code", "region_code"])
def test_values_that_are_not_required(name: str) -> None:
    """The operator is not the form's business (3013 is the judge's), and the rest of head is optional."""
    check_form(I4, *spoilt(**{name: None}))


def test_purpose_in_data() -> None:
    """data.UseFor stands in for an absent or empty head.useFor, and never for another one."""
    data = replace(DATA, use_for="SUPERVISION")
    for absent in (None, ""):
        head = replace(HEAD, use_for=absent)
        check_form(I4, head, data)
        assert purpose(head, data) == "SUPERVISION"
    assert purpose(HEAD, data) == PURPOSE
    assert purpose(replace(HEAD, use_for=None), DATA) == ""


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


def test_check_character_is_not_looked_at() -> None:
    """A wrong check character passes the form: the store is asked for the exact text first (DOMAIN §5.1)."""
    wrong = identifier_of(1)[:-1] + ("0" if identifier_of(1)[-1] != "0" else "1")
    found = check_form(I4, HEAD, replace(DATA, certificate_id=wrong))
    assert found is not None
    assert not found.check_is_right


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


@pytest.mark.parametrize("name", WRONG)
def test_no_value_is_repeated(name: str) -> None:
    """A refusal never repeats the value that it refuses."""
    error = refused(*spoilt(**{name: "99000119900101001X"}))
    assert "9900" not in f"{error}{error.detail}"
