"""The release: what a lying store cannot bring out, and how a value that stays is shortened (DOMAIN §9.4)."""

from datetime import date
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.certificates import INTERFACE_CODES, CertificateRecord, CertificateStatus, SurfaceField
from schemas.identifiers import parse_certificate_id
from schemas.registry import Mask
from schemas.sharing import ALWAYS_TOLD, GRANTABLE, CertificateDataAnswer
from tests.support_registry import CITIZEN_ID, ISSUER, LICENCE, ORG, SCENE, entry, identifier_of
from tests.support_store import certificate
from workers.fields import CORE, MASKS
from workers.judge import Grant, Refusal
from workers.release import Released, release

TODAY: Final = date(2026, 6, 1)
RECORD: Final = certificate(1)
COLUMNS: Final = {field.column: field.mask for field in entry().fields}
EVERYTHING: Final = frozenset(GRANTABLE | COLUMNS.keys())
OTHER_CHECK: Final = RECORD.certificate_id[:-1] + ("0" if RECORD.certificate_id[-1] != "0" else "1")


def grant(fields: frozenset[str] = EVERYTHING, masked: frozenset[str] = frozenset(), identifier: str = "") -> Grant:
    asked = parse_certificate_id(identifier or RECORD.certificate_id)
    return Grant(f"{SCENE}@1", asked, fields, masked, ("KZ_NOT",))


def refused(*records: CertificateRecord, today: date = TODAY, identifier: str = "") -> tuple[int, str]:
    result = release(grant(identifier=identifier), records, COLUMNS, today)
    assert isinstance(result, Refusal)
    assert result.scenario == f"{SCENE}@1"
    return result.code, result.condition


def answer(record: CertificateRecord, granted: Grant, today: date = TODAY) -> dict[str, Any]:
    """The one certificate of a successful answer, as its reader sees it."""
    result = release(granted, [record], COLUMNS, today)
    assert isinstance(result, Released)
    msgspec.json.decode(result.data, type=CertificateDataAnswer)
    told: dict[str, Any] = msgspec.json.decode(result.data)
    assert told["total"] == len(told["dataList"]) == 1
    shown: dict[str, Any] = told["dataList"][0]
    return shown


def of(**changes: Any) -> CertificateRecord:
    return replace(RECORD, **changes)


LIES: Final = {
    "another identifier": of(certificate_id=identifier_of(2)),
    "another check character": of(certificate_id=OTHER_CHECK),
    "another spelling": of(certificate_id=RECORD.certificate_id.lower()),
    "another type": of(type_code=LICENCE),
    "another issuer": of(issuer_code=ORG),
    "no type name": of(type_name=""),
    "no name": of(name=""),
    "no number": of(number=""),
    "no holder": of(holder_name=""),
    "no issuer name": of(issuer_name=""),
    "holder code with a wrong check character": of(
        holder_code=CITIZEN_ID[:-1] + ("0" if CITIZEN_ID[-1] != "0" else "1")
    ),
    "holder code of another type": of(holder_type_code="001"),
    "holder type unknown": of(holder_type_code="000"),
    "holder code absent": of(holder_code=""),
    "issue date absent": of(issue_date=""),
    "issue date in another form": of(issue_date="20240101"),
    "issue date impossible": of(issue_date="2023-02-29"),
    "start with a time": of(valid_from="2024-01-01T00:00:00"),
    "start in words": of(valid_from="2024年1月1日"),
    "end impossible": of(valid_to="2030-13-01"),
    "end a word": of(valid_to="长期"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lying_store(name: str) -> None:
    """A record that is not what was asked for, or does not agree with itself, releases nothing: 99."""
    assert refused(LIES[name]) == (99, "store")


@pytest.mark.parametrize("field", ["issue_date", "valid_from", "valid_to"])
def test_week_dates(field: str) -> None:
    """A day written as an ISO week, which would not compare as text, releases nothing."""
    assert refused(of(**{field: "2026-W01-1"}))[0] == 99


def test_empty_end() -> None:
    """An end that is an empty text is a wrong date, and not a certificate that has expired."""
    assert refused(of(valid_to="")) == (99, "store")


def test_blank_texts() -> None:
    """A text of nothing but spaces releases nothing."""
    assert refused(of(holder_name="  "))[0] == 99


def test_two_records() -> None:
    """Two records for one identifier release neither."""
    assert refused(RECORD, RECORD) == (99, "store")


def test_a_lie_hides_nothing_of_the_record() -> None:
    """The refusal of a wrong record says nothing that stands in it."""
    result = release(grant(), [of(certificate_id=identifier_of(2))], COLUMNS, TODAY)
    assert isinstance(result, Refusal)
    told = "".join(map(str, result))
    assert not any(text in told for text in (RECORD.holder_name, RECORD.holder_code, RECORD.number, identifier_of(2)))


def test_nothing_found() -> None:
    """Nothing found is 10 when the identifier is right, and 4002 when its check character is wrong."""
    assert refused() == (10, "store")
    assert refused(identifier=OTHER_CHECK) == (4002, "store")


def test_wrong_check_character_that_is_stored() -> None:
    """An identifier with a wrong check character is answered when the store holds exactly it."""
    wrong = of(certificate_id=OTHER_CHECK)
    assert answer(wrong, grant(identifier=OTHER_CHECK))["certificateID"] == OTHER_CHECK


@pytest.mark.parametrize("status", CertificateStatus)
def test_statuses(status: CertificateStatus) -> None:
    """Each status but VALID refuses with its own code."""
    result = release(grant(), [of(status=status)], COLUMNS, TODAY)
    assert (result.code if isinstance(result, Refusal) else 0) == INTERFACE_CODES[status]
    assert isinstance(result, Released) is (status is CertificateStatus.VALID)


@pytest.mark.parametrize(
    ("status", "code"),
    [("REVOKED", 21), ("CANCELLED", 21), ("SUPERSEDED", 21), ("EXPIRED", 22), ("SUSPENDED", 23), ("NOT_ACTIVE", 23)],
)
def test_national_codes(status: str, code: int) -> None:
    """Revoked, cancelled and superseded are 21, expired 22, suspended and not yet active 23 (DOMAIN §3.2)."""
    assert refused(of(status=CertificateStatus(status))) == (code, "status")


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "code"),
    [
        ("2020-01-01", "2026-05-31", 22),
        ("2020-01-01", "2026-06-01", 0),
        ("2026-06-01", None, 0),
        ("2026-06-02", None, 23),
        ("2026-06-02", "2027-06-01", 23),
    ],
)
def test_dates(valid_from: str, valid_to: str | None, code: int) -> None:
    """A certificate is released from its first day to its last, whatever its status claims."""
    result = release(grant(), [of(valid_from=valid_from, valid_to=valid_to)], COLUMNS, TODAY)
    assert (result.code if isinstance(result, Refusal) else 0) == code


def test_status_before_dates() -> None:
    """A revoked certificate is revoked, not expired."""
    assert refused(of(status=CertificateStatus.REVOKED, valid_to="2020-01-01")) == (21, "status")


def test_everything() -> None:
    """With everything granted the answer holds every name, in full."""
    shown = answer(RECORD, grant())
    for name, (source, _, _) in CORE.items():
        assert shown[name] == getattr(RECORD, source)
    assert [(one["columnName"], one["name"], one["value"], one["valueType"]) for one in shown["surface"]] == [
        (field.column_name, field.name, field.value, field.value_type) for field in RECORD.surface
    ]
    assert shown.keys() == {*ALWAYS_TOLD, *CORE, "surface"}


def test_nothing_granted() -> None:
    """With nothing granted the answer holds the identifier, the type and the status alone."""
    shown = answer(RECORD, grant(frozenset()))
    assert shown == {
        "certificateID": RECORD.certificate_id,
        "certificateTypeCode": RECORD.type_code,
        "certificateStatus": "VALID",
    }


@pytest.mark.parametrize("name", sorted(EVERYTHING))
def test_one_field_alone(name: str) -> None:
    """A field that is not granted is absent, name and value."""
    shown = answer(RECORD, grant(frozenset({name})))
    told = {*shown.keys() - {"surface", *ALWAYS_TOLD}, *(one["columnName"] for one in shown.get("surface", ()))}
    assert told == {name}


@given(st.sets(st.sampled_from(sorted(EVERYTHING))))
def test_never_more_than_granted(names: set[str]) -> None:
    """Whatever is granted, exactly that is told, and the evidence names exactly that."""
    result = release(grant(frozenset(names)), [RECORD], COLUMNS, TODAY)
    assert isinstance(result, Released)
    shown = msgspec.json.decode(result.data)["dataList"][0]
    told = {*shown.keys() - {"surface", *ALWAYS_TOLD}, *(one["columnName"] for one in shown.get("surface", ()))}
    assert told == names == set(result.fields)


def test_columns_that_the_catalogue_does_not_know() -> None:
    """A column of the face that the catalogue does not know is dropped, even when a grant names it."""
    more = of(surface=(*RECORD.surface, SurfaceField(name="附注", column_name="KZ_FZ", value="不应出现")))
    shown = answer(more, grant(EVERYTHING | {"KZ_FZ"}))
    assert "不应出现" not in str(shown)


def test_without_a_term() -> None:
    """A certificate without a term has no end in its answer."""
    assert "certificateValidateEnd" not in answer(of(valid_to=None), grant())


def test_whose_it_is() -> None:
    """What leaves says to the evidence whose certificate it is, and lists what is withheld."""
    result = release(grant(frozenset({"certificateName"})), [RECORD], COLUMNS, TODAY)
    assert isinstance(result, Released)
    assert result.holder_code == CITIZEN_ID
    assert CITIZEN_ID.encode() not in result.data
    assert msgspec.json.decode(result.data)["withheld"] == ["KZ_NOT"]


@pytest.mark.parametrize(
    ("mask", "value", "shortened"),
    [
        (Mask.NONE, "全文", "****"),
        (Mask.NAME, "张", "*"),
        (Mask.NAME, "张明", "张*"),
        (Mask.NAME, "张小明", "张*明"),
        (Mask.NAME, "欧阳小明", "欧**明"),
        (Mask.NAME, "", "*"),
        (Mask.CITIZEN_ID, CITIZEN_ID, CITIZEN_ID[0] + "*" * 16 + CITIZEN_ID[-1]),
        (Mask.CITIZEN_ID, "12", "**"),
        (Mask.MOBILE, "19900000123", "199****0123"),
        (Mask.MOBILE, "1234567", "*******"),
        (Mask.ADDRESS, "某某市示例区演示路1号", "某某市示例区****"),
        (Mask.ADDRESS, "某某省示例县演示镇1号", "某某省示例县****"),
        (Mask.ADDRESS, "某某县示例区演示路1号", "某某县****"),
        (Mask.ADDRESS, "演示路1号", "****"),
        (Mask.NUMBER, "TEST-20260001", "*********0001"),
        (Mask.NUMBER, "0001", "****"),
    ],
)
def test_masks(mask: Mask, value: str, shortened: str) -> None:
    """Each value is shortened as DOMAIN §9.4 says."""
    assert MASKS[mask](value) == shortened


def test_address_in_a_county_level_city() -> None:
    """Of an address without a district nothing below the city stays."""
    assert "样本小区" not in MASKS[Mask.ADDRESS]("某某省示例市演示镇样本小区1幢101室")


@given(value=st.text(max_size=40), mask=st.sampled_from([Mask.CITIZEN_ID, Mask.MOBILE, Mask.NUMBER]))
def test_masks_keep_length(value: str, mask: Mask) -> None:
    """A shortened code keeps its length, and at most seven characters of a mobile, four of a number, two of an id."""
    kept = {Mask.CITIZEN_ID: 2, Mask.MOBILE: 7, Mask.NUMBER: 4}[mask]
    shortened = MASKS[mask](value)
    assert len(shortened) == len(value)
    assert sum(old == new != "*" for old, new in zip(value, shortened, strict=True)) <= kept


@given(st.text(min_size=1, max_size=40))
def test_masked_name(value: str) -> None:
    """A shortened name shows at most its first and its last character."""
    assert set(MASKS[Mask.NAME](value)[1:-1]) <= {"*"}
    assert "*" in MASKS[Mask.NAME](value)


def test_masked_fields() -> None:
    """What is granted shortened is shortened in its place, and the same value stays whole where it is granted whole."""
    shown = answer(RECORD, grant(masked=frozenset({"certificateHolder", "certificateHolderCode", "KZ_GMSFHM"})))
    face = {one["columnName"]: one["value"] for one in shown["surface"]}
    short = CITIZEN_ID[0] + "*" * 16 + CITIZEN_ID[-1]
    assert shown["certificateHolder"] == MASKS[Mask.NAME](RECORD.holder_name)
    assert (shown["certificateHolderCode"], face["KZ_GMSFHM"]) == (short, short)
    assert face["KZ_XM"] == RECORD.holder_name


def test_masked_number() -> None:
    """Of a masked certificate number the last four characters stay."""
    shown = answer(RECORD, grant(masked=frozenset({"certificateNumber"})))
    assert shown["certificateNumber"] == "*" * (len(RECORD.number) - 4) + RECORD.number[-4:]


def test_a_body_is_not_a_person() -> None:
    """A body's 统一社会信用代码 is not personal and stays whole, shortened or not."""
    body = of(holder_type_code="001", holder_code=ISSUER)
    shown = answer(body, grant(masked=frozenset({"certificateHolderCode"})))
    assert shown["certificateHolderCode"] == ISSUER


@pytest.mark.parametrize("name", ["issueDate", "KZ_XB"])
def test_masked_without_a_mask(name: str) -> None:
    """A field granted shortened never leaves in full because nobody said how to shorten it."""
    shown = answer(RECORD, grant(frozenset({name}), masked=frozenset({name})))
    whole = {"issueDate": RECORD.issue_date, "KZ_XB": RECORD.surface[1].value}[name]
    assert whole not in str(shown)
