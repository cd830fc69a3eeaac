import zipfile
from collections import Counter
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import msgspec
import pytest
import yaml

import deploy.demo
from deploy.demo.certificates import demo_certificates, sample, write_demo_store
from deploy.demo.files import LARGE_BYTES, LARGE_PROVINCE, OFD, PDF, SIZES, demo_files, ofd_of, sized_files
from deploy.demo.holders import demo_holders
from deploy.demo.types import TYPES
from schemas.catalogue import CatalogueEntry
from schemas.certificates import INTERFACE_CODES, CertificateRecord, CertificateStatus
from schemas.form import sm3_hex
from schemas.holders import HOLDER_TYPES, holder_code_is_right
from schemas.identifiers import is_uscc, parse_certificate_id
from schemas.regions import PROVINCES, province_of_area
from workers.stores.sqlite_layout import list_files, read_store

TODAY: Final = date(2024, 2, 29)  # a day that most years do not have
CATALOGUE: Final = Path(deploy.demo.__file__).parent / "registry" / "catalogue.yaml"


@pytest.fixture(scope="module")
def stores() -> dict[str, list[CertificateRecord]]:
    return {province: demo_certificates(province, today=TODAY) for province in PROVINCES}


@pytest.fixture(scope="module")
def everything(stores: dict[str, list[CertificateRecord]]) -> list[CertificateRecord]:
    return [record for records in stores.values() for record in records]


def test_catalogue_matches_types() -> None:
    """The published catalogue says of every type what the table says."""
    published = msgspec.convert(yaml.safe_load(CATALOGUE.read_text())["catalogue"], list[CatalogueEntry])
    told = [
        (e.type_code, e.type_name, e.code_verified, e.defining_body, e.defining_body_code, e.holder_category)
        for e in published
    ]
    assert told == [kind[:6] for kind in TYPES]
    assert [entry.provinces for entry in published] == [kind.provinces for kind in TYPES]
    faces = [[(field.column, field.label, field.mask) for field in entry.fields] for entry in published]
    assert faces == [[field[:3] for field in kind.fields] for kind in TYPES]
    assert all(set(entry.interfaces) <= {"I1", "I2", "I3", "I4", "I5", "I6"} for entry in published)
    for entry, kind in zip(published, TYPES, strict=True):
        assert ("长期" if kind.years is None else f"{kind.years}年") in entry.validity_range


def test_related_items_are_those_of_the_scenarios() -> None:
    """The items that the catalogue says a certificate comes from are items of the demonstration's scenarios."""
    scenes = yaml.safe_load(CATALOGUE.with_name("scenes.yaml").read_text())["scenes"]
    items = {(item["itemCode"], item["itemName"]) for scene in scenes for item in scene["items"]}
    published = msgspec.convert(yaml.safe_load(CATALOGUE.read_text())["catalogue"], list[CatalogueEntry])
    related = {(item.item_code, item.item_name) for entry in published for item in entry.related_items}
    assert related
    assert related <= items


def test_types() -> None:
    """Every type code is its defining body's USCC and three digits, a made-up one 9xx."""
    for kind in TYPES:
        assert is_uscc(kind.defining_body_code)
        assert kind.type_code[:18] == kind.defining_body_code
        assert kind.code_verified == (kind.type_code[18] != "9")
    assert len({kind.type_code for kind in TYPES}) == len(TYPES) >= 8


def test_columns() -> None:
    """Every column has the KZ_ prefix and occurs once in its type."""
    for kind in TYPES:
        columns = [field.column for field in kind.fields]
        assert len(set(columns)) == len(columns)
        assert all(column.startswith("KZ_") for column in columns)


def test_same_seed_and_day() -> None:
    """The same seed and day give the same certificates, another seed gives others."""
    again = demo_certificates("33", today=TODAY, count=200)
    assert again == demo_certificates("33", today=TODAY, count=200)
    assert again != demo_certificates("33", today=TODAY, count=200, seed=1)


def test_identifiers_do_not_depend_on_the_day() -> None:
    """A certificate keeps its identifier and holder from day to day."""
    later = demo_certificates("33", today=TODAY + timedelta(days=400), count=200)
    now = demo_certificates("33", today=TODAY, count=200)
    assert [(r.certificate_id, r.holder_code) for r in later] == [(r.certificate_id, r.holder_code) for r in now]


def test_every_status_everywhere(stores: dict[str, list[CertificateRecord]]) -> None:
    """Every status occurs in every province, and most certificates are valid."""
    for records in stores.values():
        counted = Counter(record.status for record in records)
        assert set(counted) == set(CertificateStatus)
        assert counted[CertificateStatus.VALID] > 0.85 * len(records)


def test_interface_codes() -> None:
    """Every status has its code at the interface."""
    assert set(INTERFACE_CODES) == set(CertificateStatus)
    assert set(INTERFACE_CODES.values()) == {0, 21, 22, 23, 99}


def test_status_and_dates_agree(everything: list[CertificateRecord]) -> None:
    """What is expired has ended, what is not active has not begun, and what is valid stays so for months."""
    today, soon = TODAY.isoformat(), (TODAY + timedelta(days=120)).isoformat()
    for record in everything:
        assert record.issue_date <= record.valid_from
        assert record.issue_date < today
        assert (record.valid_from > today) == (record.status is CertificateStatus.NOT_ACTIVE)
        ended = record.valid_to is not None and record.valid_to < today
        assert ended == (record.status is CertificateStatus.EXPIRED)
        if record.status is CertificateStatus.VALID:
            assert record.valid_to is None or record.valid_to > soon


def test_issuers(stores: dict[str, list[CertificateRecord]]) -> None:
    """Every identifier names a lawful issuer in the province that holds the certificate."""
    for province, records in stores.items():
        for record in records:
            parsed = parse_certificate_id(record.certificate_id)
            assert parsed.issuer_code == record.issuer_code
            assert is_uscc(record.issuer_code)
            assert parsed.issuer_area == record.area_code
            assert province_of_area(record.area_code) == province


def test_three_wrong_checks(stores: dict[str, list[CertificateRecord]]) -> None:
    """Exactly three certificates of a province carry a wrong check character, and they are valid."""
    for records in stores.values():
        wrong = [r for r in records if not parse_certificate_id(r.certificate_id).check_is_right]
        assert [record.status for record in wrong] == [CertificateStatus.VALID] * 3


def test_identifiers_are_unique(everything: list[CertificateRecord]) -> None:
    """No two certificates of any provinces have one identifier."""
    assert len({record.certificate_id for record in everything}) == len(everything)


def test_holders_are_right_and_nobody(everything: list[CertificateRecord]) -> None:
    """Every holder's code is right in form, of the category of its type, and of an area assigned to nobody."""
    category = {kind.type_code: kind.holder_category for kind in TYPES}
    for record in everything:
        assert holder_code_is_right(record.holder_type_code, record.holder_code)
        assert HOLDER_TYPES[record.holder_type_code].category is category[record.type_code]
        area = record.holder_code[:6] if record.holder_type_code == "111" else record.holder_code[2:8]
        assert area.startswith("990")


def test_holders_are_unique() -> None:
    """No two holders of the pool have one code."""
    codes = [holder.code for pool in demo_holders(1).values() for holder in pool]
    assert len(set(codes)) == len(codes)


def test_holders_cross_borders(everything: list[CertificateRecord]) -> None:
    """A good share of the holders hold certificates in several provinces."""
    held = {(record.holder_code, province_of_area(record.area_code)) for record in everything}
    provinces = Counter(holder for holder, _ in held)
    assert sum(count > 1 for count in provinces.values()) > 0.1 * len(provinces)


def test_faces_are_filled(everything: list[CertificateRecord]) -> None:
    """Every face has exactly the fields of its type, all with a value and none with a template left in it."""
    columns = {kind.type_code: [field.column for field in kind.fields] for kind in TYPES}
    for record in everything:
        assert [field.column_name for field in record.surface] == columns[record.type_code]
        assert all(field.value and not set(field.value) & set("{}|") for field in record.surface)


def test_types_offered(stores: dict[str, list[CertificateRecord]]) -> None:
    """A province holds certificates of the types it offers, of all of them and of no other."""
    for province, records in stores.items():
        offered = {kind.type_code for kind in TYPES if province in kind.provinces}
        assert {record.type_code for record in records} == offered


def test_written_store_and_sample(tmp_path: Path) -> None:
    """A written store gives back its certificates, and the sample of it valid ones of several types, right in check."""
    path = tmp_path / "store.sqlite"
    write_demo_store(path, "31", TODAY)
    assert list(read_store(path)) == demo_certificates("31", today=TODAY)
    chosen = sample(path, 20, [kind.type_code for kind in TYPES])
    assert len(chosen) == 20
    assert {one["status"] for one in chosen} == {"VALID"}
    assert all(parse_certificate_id(one["certificateID"]).check_is_right for one in chosen)
    assert len({one["typeCode"] for one in chosen}) == len(TYPES)
    assert [entry.name for entry in tmp_path.iterdir()] == ["store.sqlite"]


OFD_NAMES: Final = {"ofd": "http://www.ofdspec.org/2016"}
OFD_MEMBERS: Final = ["OFD.xml", "Doc_0/Document.xml", "Doc_0/PublicRes.xml", "Doc_0/Pages/Page_0/Content.xml"]


def members_of(ofd: bytes) -> dict[str, ET.Element]:
    """Every member of an OFD, its checksum verified, parsed, and of the standard's namespace."""
    with zipfile.ZipFile(BytesIO(ofd)) as archive:
        assert archive.testzip() is None
        parsed = {name: ET.fromstring(archive.read(name)) for name in archive.namelist()}
    assert {root.tag.partition("}")[0] for root in parsed.values()} == {"{" + OFD_NAMES["ofd"]}
    return parsed


def test_ofd(everything: list[CertificateRecord]) -> None:
    """A certificate's OFD is whole, its page names type, number and holder, and its metadata the identifier."""
    for record in everything[::37]:
        members = members_of(ofd_of(record))
        assert list(members) == OFD_MEMBERS
        page = [text.text for text in members[OFD_MEMBERS[3]].iterfind(".//ofd:TextCode", OFD_NAMES)]
        assert {record.type_name, record.number, record.holder_name, record.issuer_name} <= set(page)
        metadata = {one.get("Name"): one.text for one in members["OFD.xml"].iterfind(".//ofd:CustomData", OFD_NAMES)}
        assert metadata["ZZBS"] == record.certificate_id
        assert metadata["CZZTDM"] == record.holder_code


def test_ofd_parts_lead_to_each_other(everything: list[CertificateRecord]) -> None:
    """From OFD.xml one comes to the document, and from there to resources and page."""
    members = members_of(ofd_of(everything[0]))
    root = members["OFD.xml"].findtext(".//ofd:DocRoot", namespaces=OFD_NAMES)
    assert root == OFD_MEMBERS[1]
    resources = members[root].findtext(".//ofd:PublicRes", namespaces=OFD_NAMES)
    page = members[root].find(".//ofd:Page", OFD_NAMES)
    assert page is not None
    assert [f"Doc_0/{resources}", f"Doc_0/{page.get('BaseLoc')}"] == OFD_MEMBERS[2:]


def test_ofd_escapes(everything: list[CertificateRecord]) -> None:
    """What XML would take for its own stays text in an OFD."""
    name = "</ofd:Page>&lt;\"'"
    members = members_of(ofd_of(msgspec.structs.replace(everything[0], holder_name=name)))
    assert name in {text.text for text in members[OFD_MEMBERS[3]].iterfind(".//ofd:TextCode", OFD_NAMES)}


def test_same_files(stores: dict[str, list[CertificateRecord]]) -> None:
    """The same certificates give the same files, another certificate another."""
    some = stores["31"][:200]
    files = list(demo_files("31", some))
    assert files == list(demo_files("31", some))
    assert len({sm3_hex(file.content) for file in files}) == len(files)


@pytest.mark.parametrize("province", ["31", LARGE_PROVINCE])
def test_written_files(tmp_path: Path, province: str) -> None:
    """A written store has an OFD of every certificate, and files of exact sizes of valid ones that no sample shows."""
    path = tmp_path / "store.sqlite"
    write_demo_store(path, province, TODAY)
    records = {record.certificate_id: record for record in read_store(path)}
    ofds = list_files(path, OFD)
    assert [file[:3] for file in ofds] == [
        (name, record.type_code, len(ofd_of(record))) for name, record in records.items()
    ]
    sized = sized_files(path)
    assert [file[2] for file in sized] == [*SIZES, *([LARGE_BYTES] if province == LARGE_PROVINCE else [])]
    content = {
        file.certificate_id: file.content for file in demo_files(province, list(records.values())) if file[1] == PDF
    }
    shown = {one["certificateID"] for one in sample(path, 20, [kind.type_code for kind in TYPES])}
    for name, type_code, size, digest in sized:
        assert (len(content[name]), sm3_hex(content[name]), content[name][:8]) == (size, digest, b"%PDF-1.7")
        assert records[name].status is CertificateStatus.VALID
        assert records[name].type_code == type_code
        assert parse_certificate_id(name).check_is_right
        assert name not in shown
