"""What is asked, typed: the common head and the data of each interface (DOMAIN §3.4, §4)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

Short = Annotated[str, Meta(max_length=128)]
Text = Annotated[str, Meta(max_length=200)]  # 200 characters: the limit seen for a purpose (DOMAIN §3.4)
_FileFormat = Annotated[str, Meta(max_length=8)]
_Consent = Annotated[str, Meta(max_length=8_192)]
_Code = Annotated[str, Meta(max_length=512)]
_File = Annotated[str, Meta(max_length=10 << 20)]  # base64; on a lane there is only a digest
_FieldNames = Annotated[tuple[Short, ...], Meta(max_length=128)]
Regions = Annotated[tuple[Annotated[str, Meta(max_length=12)], ...], Meta(max_length=32)]
_PageNo = Annotated[int, Meta(ge=1, le=200)]
_PageSize = Annotated[int, Meta(ge=1, le=50)]

MAX_HITS = 200  # of one search (DOMAIN §3.5, design choice)
DEFAULT_PAGE_SIZE = 10
DEFAULT_DEADLINE_MS = 60_000  # after a request came in, unless it says otherwise (DESIGN §5)
DEFAULT_WAIT_SECONDS, MAX_WAIT_SECONDS = 5.0, 60.0  # for which a gateway holds the line (RFC 7240)
DIGEST = "digest"  # the content type of a file that travels as its SM3 alone


class Head(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Who asks, for what, in which scenario: the five accountability elements (五要素), scene and purpose."""

    scene_code: Short | None = None
    org_name: Text | None = None
    org_code: Short | None = None
    username: Short | None = None
    user_code: Short | None = None
    item_name: Text | None = None
    item_code: Short | None = None
    business_code: Short | None = None
    use_for: Text | None = None
    auth_code: _Consent | None = None
    region_code: Short | None = None


class _Asked(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What every request may carry: a purpose in the head's place, and the provinces to be asked."""

    use_for: Text | None = None
    region_codes: Regions | None = None


class _ByIdentifier(_Asked, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    certificate_id: Annotated[str, Meta(max_length=256)] | None = field(name="certificateID", default=None)


class _ByHolder(_Asked, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Whose certificates; the type by its code, or by its name or a province's name for it."""

    holder_code: Short | None = field(name="certificateHolderCode", default=None)
    holder_type_code: Annotated[str, Meta(max_length=3)] | None = field(name="certificateHolderTypeCode", default=None)
    holder_name: Short | None = field(name="certificateHolderName", default=None)
    type_code: Short | None = field(name="certificateTypeCode", default=None)
    type_name: Short | None = field(name="certificateType", default=None)
    number: Short | None = field(name="certificateNumber", default=None)


class SearchRequest(_ByHolder, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I1: which certificates a holder has; pages from 1, of at most 50 (DOMAIN §3.5)."""

    page_no: _PageNo = 1
    page_size: _PageSize = DEFAULT_PAGE_SIZE


class FileByIdRequest(_ByIdentifier, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I2: the file of the certificate with this identifier."""

    file_format: _FileFormat | None = None
    original: bool | None = None  # 原件; cause and expiry are for an annotated copy (加注件)
    copy_cause: Text | None = None
    copy_expiring_time: Short | None = None


class FileByHolderRequest(_ByHolder, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I3: the files of a holder's certificates of one type."""

    file_format: _FileFormat | None = None
    original: bool | None = None
    copy_cause: Text | None = None
    copy_expiring_time: Short | None = None


class DataByIdRequest(_ByIdentifier, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I4: data of the certificate with this identifier; `fields` narrows what the scenario grants (design choice)."""

    fields: _FieldNames | None = None


class DataByHolderRequest(_ByHolder, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I5: data of a holder's certificates of one type."""

    fields: _FieldNames | None = None


class VerifyFileRequest(_ByIdentifier, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I6: a file as base64, or only its SM3 (`contentType` digest, 64 hex digits), against the source's record."""

    type_code: Short | None = field(name="certTypeCode", default=None)
    content_type: Annotated[str, Meta(max_length=16)] | None = None
    content: _File | None = None


class CodeOperator(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True):
    """Who scanned (names as seen in Jiangsu, DOMAIN §4 I7)."""

    account: Short | None = None
    name: Short | None = None
    identity_num: Short | None = None
    role: Short | None = None
    division: Short | None = None
    division_code: Short | None = None
    service_org: Text | None = None
    service_org_code: Short | None = None


class VerifyCodeRequest(_Asked, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I7: the raw text of a scanned service code (政务服务码), where and what for it was scanned."""

    code: _Code | None = field(name="certQrCode", default=None)
    pos: Text | None = None
    use: Text | None = None
    code_region: Annotated[str, Meta(max_length=12)] | None = None
    requested_types: Annotated[tuple[Short, ...], Meta(max_length=32)] | None = None
    operator: CodeOperator | None = None
    equipment_name: Text | None = None
    equipment_code: Short | None = None
    case_id: Short | None = field(name="caseid", default=None)
    num: Short | None = None
    case_code: Short | None = field(name="casecode", default=None)
    case_name: Text | None = field(name="casename", default=None)


Asked = (
    SearchRequest
    | FileByIdRequest
    | FileByHolderRequest
    | DataByIdRequest
    | DataByHolderRequest
    | VerifyFileRequest
    | VerifyCodeRequest
)
