"""The release: what a lying store cannot bring out, and how a value that stays is shortened (DOMAIN §9.4)."""

from datetime import date, timedelta
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.registry.compiled import CompiledType
from schemas.answers import ALWAYS_TOLD, GRANTABLE
from schemas.catalogue import Mask
from schemas.certificates import INTERFACE_CODES, CertificateRecord, CertificateStatus, SurfaceField
from schemas.checks import citizen_check
from schemas.form import check_form, sm3_hex
from schemas.interfaces import INTERFACES
from schemas.items import decode_data
from schemas.scenes import Limits
from tests.support import file_of, request
from tests.support_registry import (
    CARD,
    CITIZEN_ID,
    ISSUER,
    LICENCE,
    NODE,
    ORG,
    PROVINCE,
    SCENE,
    compiled,
    entry,
    identifier_of,
)
from tests.support_store import certificate
from workers.asking import ask
from workers.fields import CORE, MASKS
from workers.judge import Case, Grant, Refusal
from workers.release import HIT_FIELDS, Released, Shipment, release
from workers.shaping import Here
from workers.stores.port import ByHolder, Found

TODAY: Final = date(2026, 6, 1)
NOW: Final = 1_780_300_000_000
RECORD: Final = certificate(1)
FILE: Final = sm3_hex(file_of(1))
COLUMNS: Final = {field.column: field.mask for field in entry().fields}
EVERYTHING: Final = frozenset(GRANTABLE | COLUMNS.keys())
NONE: Final[frozenset[str]] = frozenset()
OTHER_CHECK: Final = RECORD.certificate_id[:-1] + ("0" if RECORD.certificate_id[-1] != "0" else "1")
OTHER_HOLDER: Final = "99000119900101002" + citizen_check("99000119900101002")
SCENARIO: Final = f"{SCENE}@1"


def granted(fields: frozenset[str] = EVERYTHING, masked: frozenset[str] = NONE) -> CompiledType:
    return compiled().scenes[SCENE].types[CARD]._replace(granted=fields, masked=masked, withheld=("KZ_NOT",))


def grant(fields: frozenset[str] = EVERYTHING, masked: frozenset[str] = NONE) -> Grant:
    return Grant(SCENARIO, {CARD: granted(fields, masked)})


def case_of(interface: str, **data: Any) -> Case:
    """A request about the certificate or the code of serial 1."""
    item = request(1, interface)
    typed = decode_data(item)
    assert typed is not None
    typed = replace(typed, **data)
    return Case(NODE, b"{}", item, typed, check_form(INTERFACES[interface], item.head, typed), "digest")


def released(
    case: Case, *records: CertificateRecord, granted: Grant | None = None, today: date = TODAY, **found: Any
) -> Released | Shipment | Refusal:
    """What leaves of these records, as if the store had returned them for what it was asked."""
    granted = granted or grant()
    asked = ask(0, case, granted)
    here = Here(PROVINCE, NOW, today.isoformat())
    names = frozenset({(getattr(case.data, "holder_name", None) or "").strip()})
    return release(case, granted, asked.look, Found(key=0, records=records, **found), here, names=names)


def code_of(result: Released | Shipment | Refusal) -> int:
    return result.code if isinstance(result, Refusal) else 0


def refused(*records: CertificateRecord, today: date = TODAY, identifier: str = "") -> tuple[int, str]:
    """How I4 is refused."""
    case = case_of("I4", certificate_id=identifier or RECORD.certificate_id)
    return refusal(released(case, *records, today=today))


def refusal(result: Released | Shipment | Refusal) -> tuple[int, str]:
    assert isinstance(result, Refusal)
    assert result.scenario == SCENARIO
    return result.code, result.condition


def told(result: Released | Shipment | Refusal, interface: str) -> dict[str, Any]:
    """A successful answer as its reader sees it."""
    assert isinstance(result, Released)
    msgspec.json.decode(result.data, type=INTERFACES[interface].answer)
    answer: dict[str, Any] = msgspec.json.decode(result.data)
    return answer


def answer(record: CertificateRecord, granted: Grant, today: date = TODAY) -> dict[str, Any]:
    """The one certificate of a successful answer to I4."""
    case = case_of("I4", certificate_id=record.certificate_id)
    one = told(released(case, record, granted=granted, today=today), "I4")
    assert one["total"] == len(one["dataList"]) == 1
    shown: dict[str, Any] = one["dataList"][0]
    return shown


def of(**changes: Any) -> CertificateRecord:
    return replace(RECORD, **changes)


def listed(*serials: int, **changes: Any) -> list[CertificateRecord]:
    """Certificates of one holder, with the number that is asked for."""
    return [certificate(serial, **{"number": RECORD.number, **changes}) for serial in serials]


LIES: Final = {
    "another identifier": of(certificate_id=identifier_of(2)),
    "another check character": of(certificate_id=OTHER_CHECK),
    "another spelling": of(certificate_id=RECORD.certificate_id.lower()),
    "another type": of(type_code=LICENCE),
    "another issuer": of(issuer_code=ORG),
    "no identifier": of(certificate_id="1.2.3"),
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
@pytest.mark.parametrize("interface", ["I2", "I4"])
def test_a_lying_store(interface: str, name: str) -> None:
    """A record that is not what was asked for, or does not agree with itself, releases nothing: 99."""
    assert refusal(released(case_of(interface), LIES[name])) == (99, "store")


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
    result = released(case_of("I4"), of(certificate_id=identifier_of(2)))
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
    assert answer(wrong, grant())["certificateID"] == OTHER_CHECK


@pytest.mark.parametrize("status", CertificateStatus)
def test_statuses(status: CertificateStatus) -> None:
    """Each status but VALID refuses with its own code."""
    result = released(case_of("I4"), of(status=status))
    assert code_of(result) == INTERFACE_CODES[status]
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
    assert code_of(released(case_of("I4"), of(valid_from=valid_from, valid_to=valid_to))) == code


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
    result = released(case_of("I4"), RECORD, granted=grant(frozenset(names)))
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
    result = released(case_of("I4"), RECORD, granted=grant(frozenset({"certificateName"})))
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


@pytest.mark.parametrize(("holder_type_code", "holder_code"), [("001", ISSUER), ("099", "TEST-099")])
def test_a_body_is_not_a_person(holder_type_code: str, holder_code: str) -> None:
    """A body's code is not personal and stays whole, shortened or not."""
    body = of(holder_type_code=holder_type_code, holder_code=holder_code)
    shown = answer(body, grant(masked=frozenset({"certificateHolderCode"})))
    assert shown["certificateHolderCode"] == holder_code


@pytest.mark.parametrize("holder_type_code", ["114", "414", "511", "999"])
def test_every_persons_code_is_shortened(holder_type_code: str) -> None:
    """Whatever document gave it, the code of a person that is granted shortened is shortened."""
    person = of(holder_type_code=holder_type_code, holder_code="T12345678")
    shown = answer(person, grant(masked=frozenset({"certificateHolderCode"})))
    assert shown["certificateHolderCode"] == "T*******8"


@pytest.mark.parametrize("name", ["issueDate", "KZ_XB"])
def test_masked_without_a_mask(name: str) -> None:
    """A field granted shortened never leaves in full because nobody said how to shorten it."""
    shown = answer(RECORD, grant(frozenset({name}), masked=frozenset({name})))
    whole = {"issueDate": RECORD.issue_date, "KZ_XB": RECORD.surface[1].value}[name]
    assert whole not in str(shown)


HOLDER_LIES: Final = {
    **{name: lie for name, lie in LIES.items() if name not in ("another identifier", "another check character")},
    "another holder": certificate(2, number=RECORD.number, holder_code=OTHER_HOLDER),
    "the same code of another kind": certificate(2, number=RECORD.number, holder_type_code="999"),
    "a type that was not asked for": certificate(2, LICENCE, number=RECORD.number),
    "another number": certificate(2),
    "the same certificate twice": RECORD,
}


@pytest.mark.parametrize("interface", ["I1", "I3", "I5"])
@pytest.mark.parametrize("name", HOLDER_LIES)
def test_a_lying_store_asked_by_holder(interface: str, name: str) -> None:
    """One record among several that is not what was asked for, or does not agree with itself, stops all."""
    assert refusal(released(case_of(interface), RECORD, HOLDER_LIES[name])) == (99, "store")


def test_more_than_was_asked_for() -> None:
    """A store that returns more records than it was asked for is not believed."""
    case, granted_ = case_of("I5"), grant()
    look = ask(0, case, granted_).look
    assert isinstance(look, ByHolder)
    records = tuple(listed(*range(look.limit + 1)))
    assert refusal(released(case, *records)) == (99, "store")
    assert code_of(released(case, *records[:-1])) == 0


@pytest.mark.parametrize("interface", ["I1", "I2", "I3", "I4", "I5", "I6"])
def test_what_the_store_cannot_read(interface: str) -> None:
    """What the store has but cannot read is 99, never 10."""
    assert refusal(released(case_of(interface), unusable=True)) == (99, "store")


@pytest.mark.parametrize("interface", ["I1", "I2", "I3", "I4", "I5", "I6"])
def test_nothing_found_for_any_interface(interface: str) -> None:
    """Nothing found is 10."""
    assert refusal(released(case_of(interface))) == (10, "store")


@pytest.mark.parametrize("interface", ["I2", "I4", "I6"])
def test_nothing_found_for_a_wrong_identifier(interface: str) -> None:
    """Nothing found for an identifier with a wrong check character is 4002."""
    assert refusal(released(case_of(interface, certificate_id=OTHER_CHECK))) == (4002, "store")


@pytest.mark.parametrize("interface", ["I1", "I3", "I5"])
@pytest.mark.parametrize("told_name", ["测小试", " 测小试 ", "", None])
def test_name_of_the_holder(interface: str, told_name: str | None) -> None:
    """A holder's name that is told right, or not at all, changes nothing."""
    assert code_of(released(case_of(interface, holder_name=told_name), RECORD)) == 0


@pytest.mark.parametrize("interface", ["I1", "I3", "I5"])
def test_another_name(interface: str) -> None:
    """Certificates in another name than the one told stay where they are: 3012, and nothing says whose they are."""
    result = released(case_of(interface, holder_name="另一人"), RECORD)
    assert refusal(result) == (3012, "name")
    assert RECORD.holder_name not in str(result)


def test_one_of_two_names() -> None:
    """Of certificates in two names only those leave that are in the name told."""
    renamed = listed(2, holder_name="测大试")
    shown = told(released(case_of("I5", holder_name="测大试"), RECORD, *renamed), "I5")
    assert [one["certificateHolder"] for one in shown["dataList"]] == ["测大试"]


def test_data_by_holder() -> None:
    """I5 tells what is granted of every valid certificate, with the number of those and what is withheld."""
    shown = told(released(case_of("I5"), *listed(1, 2, 3), granted=grant(frozenset({"certificateName"}))), "I5")
    assert (shown["total"], shown["withheld"]) == (3, ["KZ_NOT"])
    assert [one["certificateID"] for one in shown["dataList"]] == [identifier_of(serial) for serial in (1, 2, 3)]
    assert {frozenset(one) for one in shown["dataList"]} == {frozenset({*ALWAYS_TOLD, "certificateName"})}


@pytest.mark.parametrize("interface", ["I3", "I5"])
def test_only_valid_ones_leave(interface: str) -> None:
    """Of a holder's certificates those leave that are valid today."""
    records = [*listed(1), *listed(2, status=CertificateStatus.REVOKED), *listed(3, valid_to="2026-05-31")]
    result = released(case_of(interface), *records, *listed(4))
    if isinstance(result, Shipment):
        assert [one.certificate_id for one in result.records] == [identifier_of(1), identifier_of(4)]
    else:
        shown = told(result, interface)["dataList"]
        assert [one["certificateID"] for one in shown] == [identifier_of(1), identifier_of(4)]


@pytest.mark.parametrize("interface", ["I3", "I5"])
def test_no_more_records_than_the_scenario_allows(interface: str) -> None:
    """Of a holder's valid certificates no more leave in one answer than the scenario's maxRecords."""
    records = [*listed(1, status=CertificateStatus.REVOKED), *listed(2, 3, 4)]
    few = replace(grant(), limits=Limits(per_day=1, max_records=2))
    result = released(case_of(interface), *records, granted=few)
    if isinstance(result, Shipment):
        assert [one.certificate_id for one in result.records] == [identifier_of(2), identifier_of(3)]
    else:
        assert told(result, interface)["total"] == 2


@pytest.mark.parametrize("interface", ["I3", "I5"])
def test_none_is_valid(interface: str) -> None:
    """When none of a holder's certificates is valid the first one says why."""
    records = [*listed(1, valid_to="2026-05-31"), *listed(2, status=CertificateStatus.REVOKED)]
    assert refusal(released(case_of(interface), *records)) == (22, "status")
    assert refusal(released(case_of(interface), *reversed(records))) == (21, "status")


@pytest.mark.parametrize("status", CertificateStatus)
def test_statuses_of_files(status: CertificateStatus) -> None:
    """A file leaves only of a valid certificate; each other status has its own code."""
    assert code_of(released(case_of("I2"), of(status=status))) == INTERFACE_CODES[status]


@pytest.mark.parametrize("file_format", [None, "ofd", "pdf"])
def test_shipment(file_format: str | None) -> None:
    """A file is still to be sent when it is released: of which certificate, and in which format."""
    result = released(case_of("I2", file_format=file_format), RECORD)
    assert result == Shipment((RECORD,), grant().types, file_format or "ofd", SCENARIO)


def two_types() -> Grant:
    """A grant of two types, of each what the other one does not have."""
    name = frozenset({"certificateName"})
    return Grant(SCENARIO, {CARD: granted(EVERYTHING - name), LICENCE: granted(name)})


def of_two_types() -> list[CertificateRecord]:
    return [RECORD, certificate(1, LICENCE, number=RECORD.number)]


def test_each_type_by_its_own_grant() -> None:
    """When one name stands for two types, of each exactly that is told which is granted of it."""
    result = released(case_of("I5"), *of_two_types(), granted=two_types())
    first, second = told(result, "I5")["dataList"]
    assert first.keys() == {*ALWAYS_TOLD, *CORE, "surface"} - {"certificateName"}
    assert second.keys() == {*ALWAYS_TOLD, "certificateName"}
    assert isinstance(result, Released)
    assert result.fields == EVERYTHING


def test_type_that_was_not_found() -> None:
    """What is granted of a type of which nothing was found is neither called told nor withheld."""
    less = granted(frozenset({"certificateName"}))._replace(withheld=("KZ_XM",))
    result = released(case_of("I5"), RECORD, granted=Grant(SCENARIO, {LICENCE: less, CARD: granted()}))
    assert told(result, "I5")["withheld"] == ["KZ_NOT"]


def test_withheld_of_two_types() -> None:
    """What is withheld of either type is named."""
    less = granted(frozenset({"certificateName"}))._replace(withheld=("KZ_XM",))
    result = released(case_of("I5"), *of_two_types(), granted=Grant(SCENARIO, {CARD: granted(), LICENCE: less}))
    assert told(result, "I5")["withheld"] == ["KZ_NOT", "KZ_XM"]


def hits(*records: CertificateRecord, granted: Grant | None = None, **data: Any) -> dict[str, Any]:
    return told(released(case_of("I1", **{"number": None, **data}), *records, granted=granted), "I1")


def test_hit() -> None:
    """A search tells of a certificate what it is, who issued it and how it stands, and nothing of its content."""
    assert hits(RECORD)["dataList"] == [
        {
            "certificateID": RECORD.certificate_id,
            "certificateName": RECORD.name,
            "certificateNumber": RECORD.number,
            "certificateType": RECORD.type_name,
            "certificateTypeCode": CARD,
            "certificateAreaCode": "320000",
            "dataSource": "132",
            "issueDept": RECORD.issuer_name,
            "issueDate": "2024-01-01",
            "certificateStatus": "VALID",
        }
    ]


@pytest.mark.parametrize(
    ("fields", "masked", "whole"),
    [
        ({"certificateNumber"}, set(), True),
        (set(), set(), False),
        (set(), {"certificateNumber"}, False),
        ({"certificateNumber"}, {"certificateNumber"}, False),
    ],
)
def test_number_of_a_hit(fields: set[str], masked: set[str], *, whole: bool) -> None:
    """A search shows a certificate's number whole only where the scenario grants it in full."""
    only = grant(frozenset(fields | masked), frozenset(masked))
    shown = hits(RECORD, granted=only)["dataList"][0]["certificateNumber"]
    assert (shown == RECORD.number) is whole
    assert shown[-4:] == RECORD.number[-4:]


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"status": CertificateStatus.REVOKED, "valid_to": "2020-01-01"}, "REVOKED"),
        ({"status": CertificateStatus.UNKNOWN}, "UNKNOWN"),
        ({"valid_to": "2026-05-31"}, "EXPIRED"),
        ({"valid_from": "2026-06-02"}, "NOT_ACTIVE"),
        ({"valid_to": "2026-06-01"}, "VALID"),
    ],
)
def test_states_of_hits(changes: dict[str, Any], shown: str) -> None:
    """A search lists certificates that are not valid too, each with the state that it has today."""
    assert [one["certificateStatus"] for one in hits(of(**changes))["dataList"]] == [shown]


def test_hits_are_in_order() -> None:
    """The hits stand in the order of type and identifier, however the store returned them."""
    cards = [certificate(serial) for serial in (3, 1, 2)]
    licence = certificate(1, LICENCE)
    shown = hits(licence, *cards, granted=two_types())["dataList"]
    assert [one["certificateID"] for one in shown] == [
        *(identifier_of(serial) for serial in (1, 2, 3)),
        licence.certificate_id,
    ]


@given(count=st.integers(1, 200), page_no=st.integers(1, 200), page_size=st.integers(1, 50))
def test_pages(count: int, page_no: int, page_size: int) -> None:
    """A province tells how many there are, and as many as the pages up to the one asked for may need."""
    shown = hits(*MANY[:count], page_no=page_no, page_size=page_size)
    assert (shown["total"], shown["pageNo"], shown["pageSize"]) == (count, page_no, page_size)
    assert [one["certificateID"] for one in shown["dataList"]] == [
        one.certificate_id for one in MANY[: min(count, page_no * page_size)]
    ]


MANY: Final = [certificate(serial) for serial in range(200)]


def test_whose_search_it_was() -> None:
    """The evidence of a search names what it tells, and whose certificates."""
    result = released(case_of("I1"), RECORD)
    assert isinstance(result, Released)
    assert (result.fields, result.holder_code) == (HIT_FIELDS, CITIZEN_ID)
    assert CITIZEN_ID.encode() not in result.data
    assert RECORD.holder_name.encode() not in result.data


def verdict(record: CertificateRecord = RECORD, *digests: str, **data: Any) -> dict[str, Any]:
    """The verdict on the file of serial 1."""
    shown = told(released(case_of("I6", **data), record, digests=digests), "I6")
    assert shown["total"] == len(shown["dataList"]) == 1
    one: dict[str, Any] = shown["dataList"][0]
    return one


def checks(one: dict[str, Any]) -> dict[str, str]:
    return {check["item"]: check["result"] for check in one["checks"]}


def test_right_file() -> None:
    """A file that is the source's own, of a valid certificate, is 0, with everything that was looked at."""
    one = verdict(RECORD, "f" * 64, FILE)
    assert (one["result"], one["certificateID"], one["certificateStatus"]) == (0, RECORD.certificate_id, "VALID")
    assert checks(one) == {"identifier": "passed", "metadata": "passed", "status": "passed"}
    assert one["statusTime"] == NOW


@pytest.mark.parametrize(
    ("changes", "result", "status"),
    [
        ({"status": CertificateStatus.NOT_ACTIVE}, 1, "failed"),
        ({"valid_from": "2026-06-02"}, 1, "failed"),
        ({"status": CertificateStatus.SUSPENDED}, 2, "failed"),
        ({"status": CertificateStatus.EXPIRED}, 3, "failed"),
        ({"valid_to": "2026-05-31"}, 3, "failed"),
        ({"status": CertificateStatus.CANCELLED}, 3, "failed"),
        ({"status": CertificateStatus.REVOKED}, 3, "failed"),
        ({"status": CertificateStatus.SUPERSEDED}, 3, "failed"),
        ({"status": CertificateStatus.UNKNOWN}, 4, "unknown"),
    ],
)
def test_right_file_of_another_state(changes: dict[str, Any], result: int, status: str) -> None:
    """Of a file that is the source's own the verdict goes by the state of its certificate."""
    one = verdict(of(**changes), FILE)
    assert (one["result"], checks(one)["metadata"], checks(one)["status"]) == (result, "passed", status)
    assert one["message"]


@pytest.mark.parametrize("changes", [{}, {"status": CertificateStatus.REVOKED}])
def test_source_without_a_file(changes: dict[str, Any]) -> None:
    """Where the source holds no file to compare with, the verdict is too little information: 4."""
    one = verdict(of(**changes), certificate_id=RECORD.certificate_id)
    assert (one["result"], checks(one)["metadata"]) == (4, "unknown")


@pytest.mark.parametrize("changes", [{}, {"status": CertificateStatus.REVOKED}])
def test_another_file(changes: dict[str, Any]) -> None:
    """A file that differs from every one of the source's is 7, whatever the state of the certificate."""
    one = verdict(of(**changes), "f" * 64, certificate_id=RECORD.certificate_id)
    assert (one["result"], checks(one)["metadata"]) == (7, "failed")


def test_file_of_a_wrong_identifier() -> None:
    """A wrong check character of a certificate that the source holds is told among the checks."""
    one = verdict(of(certificate_id=OTHER_CHECK), FILE)
    assert (one["result"], checks(one)["identifier"]) == (0, "failed")


FILE_LIES: Final = {
    name: lie for name, lie in LIES.items() if name not in ("another identifier", "another check character")
}


@pytest.mark.parametrize("name", LIES)
def test_a_lying_store_asked_by_identifier_and_file(name: str) -> None:
    """A record that is not the one whose file is verified gives no verdict."""
    case = case_of("I6", certificate_id=RECORD.certificate_id)
    assert refusal(released(case, LIES[name], digests=(FILE,))) == (99, "store")


@pytest.mark.parametrize("name", FILE_LIES)
def test_a_lying_store_asked_by_file(name: str) -> None:
    """A record that does not agree with itself gives no verdict."""
    assert refusal(released(case_of("I6"), FILE_LIES[name], digests=(FILE,))) == (99, "store")


@pytest.mark.parametrize("asked", [None, certificate(1, LICENCE).certificate_id])
def test_file_of_another_type(asked: str | None) -> None:
    """A certificate of another type than the one asked for gives no verdict on its file."""
    case = case_of("I6", certificate_id=asked)
    assert refusal(released(case, certificate(1, LICENCE), digests=(FILE,))) == (99, "store")


def test_found_by_a_file_that_it_does_not_have() -> None:
    """A certificate that was found by a file must have that file."""
    assert refusal(released(case_of("I6"), RECORD, digests=("f" * 64,))) == (99, "store")


def test_found_twice_by_one_file() -> None:
    """Two certificates with one file give no verdict on either."""
    assert refusal(released(case_of("I6"), RECORD, certificate(2), digests=(FILE,))) == (99, "store")


@given(days=st.integers(-3, 3), from_days=st.integers(-5, 5), length=st.integers(0, 5))
def test_term(days: int, from_days: int, length: int) -> None:
    """On whatever day, a certificate is released exactly inside its term."""
    day, first = TODAY + timedelta(days=days), TODAY + timedelta(days=from_days)
    last = first + timedelta(days=length)
    record = of(valid_from=first.isoformat(), valid_to=last.isoformat())
    assert (code_of(released(case_of("I4"), record, today=day)) == 0) is (first <= day <= last)
