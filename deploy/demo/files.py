"""The files of the demonstration: a small OFD (GB/T 33190) for every certificate, and a few of exact sizes as PDF.

No OFD bears a stamp (电子印章) yet: sealing them, and verifying the seal, come later.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from deploy.demo.holders import seeded
from deploy.demo.types import TYPES
from schemas.certificates import CertificateStatus
from schemas.form import sm3_hex
from schemas.identifiers import parse_certificate_id
from workers.stores.sqlite_layout import NewFile, list_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from schemas.certificates import CertificateRecord

OFD, PDF = "ofd", "pdf"
SIZES: Final = (20, 255 << 10, 257 << 10)  # around the bound to which a file travels inline
LARGE_BYTES: Final = 20_000_000
LARGE_PROVINCE: Final = "34"  # of one province only: the disk is small
_SIZED_TYPE: Final = next(kind.type_code for kind in TYPES if kind.type_name == "营业执照")
_PASSED_OVER: Final = 10  # the first of a type are asked for by the demonstration's other requests

_XML: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE: Final = 'xmlns:ofd="http://www.ofdspec.org/2016"'
_BOX: Final = "<ofd:PhysicalBox>0 0 210 297</ofd:PhysicalBox>"  # A4, millimetres

_DOCUMENT: Final = (
    f"{_XML}<ofd:Document {_NAMESPACE}><ofd:CommonData><ofd:MaxUnitID>99</ofd:MaxUnitID><ofd:PageArea>{_BOX}"
    "</ofd:PageArea><ofd:PublicRes>PublicRes.xml</ofd:PublicRes></ofd:CommonData>"
    '<ofd:Pages><ofd:Page ID="1" BaseLoc="Pages/Page_0/Content.xml"/></ofd:Pages></ofd:Document>'
)
_RESOURCES: Final = (
    f'{_XML}<ofd:Res {_NAMESPACE} BaseLoc="Res"><ofd:Fonts>'
    '<ofd:Font ID="2" FontName="宋体" FamilyName="宋体"/></ofd:Fonts></ofd:Res>'
)

# metadata of the file (GB/T 36903, DOMAIN §6.2), field of the record
_METADATA: Final = (
    ("ZZMC", "name"),
    ("ZZLXDM", "type_code"),
    ("ZZBH", "number"),
    ("ZZBS", "certificate_id"),
    ("ZZBFJG", "issuer_name"),
    ("ZZBFJGDM", "issuer_code"),
    ("ZZBFRQ", "issue_date"),
    ("CZZT", "holder_name"),
    ("CZZTDM", "holder_code"),
    ("CZZTDMLXDM", "holder_type_code"),
)
# what the page shows: label, field of the record
_LINES: Final = (
    ("证照类型", "type_name"),
    ("证照编号", "number"),
    ("持证主体", "holder_name"),
    ("颁发机构", "issuer_name"),
)


def demo_files(province: str, records: Sequence[CertificateRecord]) -> Iterator[NewFile]:
    """Yield every file of a province's store; the same for the same certificates."""
    for record in records:
        yield NewFile(record.certificate_id, OFD, ofd_of(record))
    sizes = (*SIZES, LARGE_BYTES) if province == LARGE_PROVINCE else SIZES
    bearers = [r for r in records if r.type_code == _SIZED_TYPE and r.status is CertificateStatus.VALID and _right(r)]
    for record, size in zip(bearers[_PASSED_OVER:], sizes, strict=False):
        yield NewFile(record.certificate_id, PDF, _sized(province, size))


def sized_files(store: Path) -> list[tuple[str, str, int, str]]:
    """Return identifier, type, size and SM3 of a store's files of exact sizes, the smallest first.

    Raises sqlite3.Error when the file is no store.
    """
    return sorted(list_files(store, PDF), key=lambda file: file[2])


def _right(record: CertificateRecord) -> bool:
    return parse_certificate_id(record.certificate_id).check_is_right


def _sized(province: str, size: int) -> bytes:
    head = b"%PDF-1.7\n"  # and nothing that a reader could show
    return head + seeded("file", province, size).randbytes(size - len(head))


def ofd_of(record: CertificateRecord) -> bytes:
    """Return a certificate's file: one page that names it, and its metadata."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, text in (
            ("OFD.xml", _root(record)),
            ("Doc_0/Document.xml", _DOCUMENT),
            ("Doc_0/PublicRes.xml", _RESOURCES),
            ("Doc_0/Pages/Page_0/Content.xml", _page(record)),
        ):
            archive.writestr(zipfile.ZipInfo(name), text)  # ZipInfo: of 1980, so that the bytes are always the same
    return packed.getvalue()


def _root(record: CertificateRecord) -> str:
    data = "".join(
        f'<ofd:CustomData Name="{name}">{escape(getattr(record, field))}</ofd:CustomData>' for name, field in _METADATA
    )
    return (
        f'{_XML}<ofd:OFD {_NAMESPACE} Version="1.0" DocType="OFD"><ofd:DocBody><ofd:DocInfo>'
        f"<ofd:DocID>{sm3_hex(record.certificate_id.encode())[:32]}</ofd:DocID>"
        f"<ofd:CustomDatas>{data}</ofd:CustomDatas></ofd:DocInfo>"
        "<ofd:DocRoot>Doc_0/Document.xml</ofd:DocRoot></ofd:DocBody></ofd:OFD>"
    )


def _page(record: CertificateRecord) -> str:
    texts = "".join(
        _text(place, 20, label) + _text(place + 50, 55, getattr(record, field))
        for place, (label, field) in enumerate(_LINES)
    )
    return (
        f"{_XML}<ofd:Page {_NAMESPACE}><ofd:Area>{_BOX}</ofd:Area><ofd:Content>"
        f'<ofd:Layer ID="3" Type="Body">{texts}</ofd:Layer></ofd:Content></ofd:Page>'
    )


def _text(place: int, left: int, text: str) -> str:
    step = 2 if text.isascii() else 5
    return (
        f'<ofd:TextObject ID="{place + 4}" Boundary="{left} {30 + place % 50 * 10} {190 - left} 7" Font="2" Size="5">'
        f'<ofd:TextCode X="0" Y="5" DeltaX="g {len(text) - 1} {step}">{escape(text)}</ofd:TextCode></ofd:TextObject>'
    )
