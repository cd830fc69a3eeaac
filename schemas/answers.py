"""What is answered, typed: `data` of each interface as a province sends it and a caller gets it (DOMAIN §4)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct, field

from schemas.certificates import SurfaceField


class CertificateHit(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I1: one certificate that a holder has, without content; `dataSource` is 1 and the province (DOMAIN §5.5)."""

    certificate_id: str = field(name="certificateID")
    certificate_name: str
    certificate_number: str
    certificate_type: str
    certificate_type_code: str
    certificate_area_code: str
    data_source: str
    issue_dept: str
    issue_date: str
    certificate_status: str


class CertificateData(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I4, I5: what a source tells of one certificate; a name that was not granted is absent (DOMAIN §4, I4)."""

    certificate_id: str = field(name="certificateID")
    certificate_type_code: str
    certificate_status: str
    certificate_type: str | None = None
    certificate_name: str | None = None
    certificate_number: str | None = None
    certificate_holder: str | None = None
    certificate_holder_code: str | None = None
    certificate_holder_type: str | None = None
    certificate_area_code: str | None = None
    issue_dept: str | None = None
    issue_dept_code: str | None = None
    issue_date: str | None = None
    certificate_validate_start: str | None = None
    certificate_validate_end: str | None = None
    surface: tuple[SurfaceField, ...] | None = None


ALWAYS_TOLD = ("certificateID", "certificateTypeCode", "certificateStatus")
GRANTABLE = frozenset(CertificateData.__struct_encode_fields__) - {*ALWAYS_TOLD, "surface"}
"""Names of the answer that a scenario may grant; columns of a type's face come on top."""


class CertificateFile(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I2, I3: a file, as base64 in `content` or behind `fileUrl`; digest SM3 in hex, size in bytes, expiry unix ms.

    On the wire `fileUrl` is the 32 hex digits that name the sealed file; the gateway makes it an address.
    """

    certificate_id: str = field(name="certificateID")
    certificate_type_code: str
    certificate_status: str
    certificate_type: str
    certificate_number: str
    issue_dept: str
    issue_date: str
    file_format: str
    file_kind: str
    file_digest: str
    file_size: int
    content_type: str | None = None
    content: str | None = None
    file_url: str | None = None
    url_expire_time: int | None = None


class Check(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I6: one thing that was looked at: `passed`, `failed` or `unknown`, and why (design choice)."""

    item: str
    result: str
    reason: str = ""


class FileVerdict(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I6: the verdict 0 to 7 with what it follows from; `statusTime` is when the source looked, unix ms."""

    result: int
    message: str
    checks: tuple[Check, ...]
    certificate_id: str | None = field(name="certificateID", default=None)
    certificate_status: str | None = None
    status_time: int


class CodeHolder(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I7: who shows the code, masked unless the scenario grants the whole; expiries unix ms.

    `authToken` is for `head.authCode` of what is then asked of these types (`authScope`), where the scenario lives on
    such consents (亮码).
    """

    holder_name: str
    holder_code: str
    holder_type_code: str
    mobile: str | None = None
    code_status: str
    code_type: str
    issue_region: str
    expire_time: int
    auth_token: str | None = None
    auth_scope: tuple[str, ...] | None = None
    auth_expires: int | None = None


class SourceState(StrEnum):
    """What became of asking one province (DOMAIN §3.4)."""

    ANSWERED = "answered"
    EMPTY = "empty"
    REFUSED = "refused"
    LATE = "late"
    UNAVAILABLE = "unavailable"


MISSING: Final = frozenset({SourceState.LATE, SourceState.UNAVAILABLE})
"""States of a province of which nobody knows what it has."""


class Source(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One province that was asked, and what became of it."""

    region_code: str
    state: SourceState
    status: int
    message: str
    elapsed_ms: int | None = None
    evidence: str | None = None
    scenario: str | None = None


# Of every answer: `withheld` names what the scenario does not grant; `sources` stands where several were asked.


class SearchAnswer(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I1; a province sends what the page may need, the gateway cuts the page out of all that came (DOMAIN §3.5)."""

    total: int
    data_list: tuple[CertificateHit, ...]
    page_no: Annotated[int, Meta(ge=1)]
    page_size: Annotated[int, Meta(ge=1)]
    withheld: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()


class DataAnswer(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I4, I5."""

    total: int
    data_list: tuple[CertificateData, ...]
    withheld: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()


class FileAnswer(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I2, I3."""

    total: int
    data_list: tuple[CertificateFile, ...]
    withheld: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()


class VerdictAnswer(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I6."""

    total: int
    data_list: tuple[FileVerdict, ...]
    withheld: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()


class CodeAnswer(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I7."""

    total: int
    data_list: tuple[CodeHolder, ...]
    withheld: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
