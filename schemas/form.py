"""Whether a request is complete and well formed: what can be said without registry or store (12, 103, 113, 400x)."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, NamedTuple

from cryptography.hazmat.primitives import hashes
from msgspec.structs import replace

from schemas.holders import CITIZEN_ID_TYPE, HOLDER_TYPES, USCC_TYPE, holder_code_is_right
from schemas.identifiers import IdentifierError, is_item_code, is_uscc, normalise_citizen_id, parse_certificate_id
from schemas.service_codes import ServiceCode, parse_service_code
from schemas.sharing import DIGEST, VerifyCodeRequest, VerifyFileRequest
from schemas.statuses import (
    BAD_VALUE,
    CITIZEN_ID_WRONG,
    HOLDER_TYPE_WRONG,
    ITEM_CODE_MALFORMED,
    REQUIRED_EMPTY,
    TYPE_CODE_WRONG,
    USCC_WRONG,
    RefusedError,
)

if TYPE_CHECKING:
    from schemas.identifiers import CertificateId
    from schemas.interfaces import Interface
    from schemas.sharing import Asked, Head

# attribute, name as the caller wrote it; username is not here: its absence is 3013, the judge's
REQUIRED_HEAD = (
    ("scene_code", "sceneCode"),
    ("org_name", "orgName"),
    ("org_code", "orgCode"),
    ("item_name", "itemName"),
    ("item_code", "itemCode"),
    ("business_code", "businessCode"),
)
FILE_FORMATS = ("ofd", "pdf", "png")
_BASE64 = "base64"
_SM3_HEX = re.compile("[0-9a-f]{64}")
_TYPE_CODE = re.compile("[0-9A-HJ-NPQRTUWXY]{18}[0-9]{3}")
_HOLDER_CODE_WRONG = {CITIZEN_ID_TYPE: CITIZEN_ID_WRONG, USCC_TYPE: USCC_WRONG}


class Form(NamedTuple):
    """What a well-formed request names besides its fields: an identifier or a service code, taken apart."""

    identifier: CertificateId | None = None
    code: ServiceCode | None = None


def purpose(head: Head, data: Asked) -> str:
    """head.useFor, or data.UseFor in its place."""
    told = head.use_for
    if told is not None and not blank(told):
        return told
    instead = data.use_for
    return "" if instead is None or blank(instead) else instead


def sm3_hex(content: bytes) -> str:
    """SM3 in hex (GB/T 32905), by which the exchange names a file."""
    hasher = hashes.Hash(hashes.SM3())
    hasher.update(content)
    return hasher.finalize().hex()


def normalised(data: Asked) -> Asked:
    """The request as it travels: a citizen's number as stored, a code without line ends, a file as its SM3.

    Raises RefusedError 4004, 102. A file's digest costs some milliseconds a megabyte.
    """
    if isinstance(data, VerifyFileRequest):
        data = _digested(data)
    data = _trimmed(data)
    code = getattr(data, "holder_code", None)
    if not code or getattr(data, "holder_type_code", None) != CITIZEN_ID_TYPE:
        return data
    try:
        return replace(data, holder_code=normalise_citizen_id(code.strip()))
    except IdentifierError as error:
        raise RefusedError(CITIZEN_ID_WRONG, "请核对 data.certificateHolderCode") from error


def _trimmed(data: Asked) -> Asked:
    """Without the white space around its values: scanners and forms leave line ends there."""
    texts = {name: value for name in data.__struct_fields__ if isinstance(value := getattr(data, name), str)}
    changed = {name: trimmed for name, value in texts.items() if (trimmed := value.strip()) != value}
    return replace(data, **changed) if changed else data


def _digested(data: VerifyFileRequest) -> VerifyFileRequest:
    kind = (data.content_type or "").lower()
    if not data.content or kind not in (_BASE64, DIGEST):
        return data
    if kind == DIGEST:
        return replace(data, content_type=DIGEST, content=data.content.strip().lower())
    try:
        content = base64.b64decode("".join(data.content.split()), validate=True)  # MIME breaks its lines
    except (binascii.Error, ValueError) as error:
        raise RefusedError(BAD_VALUE, "data.content 应为 base64 编码的文件") from error
    return replace(data, content_type=DIGEST, content=sm3_hex(content))


def check_form(interface: Interface, head: Head, data: Asked) -> Form:
    """What the request names; raises RefusedError: 12 for the first empty value, else the first that is malformed."""
    check_complete(interface, head, data)
    _check_texts("head", head)
    _check_texts("data", data)
    if not is_uscc(head.org_code or ""):
        raise RefusedError(USCC_WRONG, "请核对 head.orgCode")
    if not is_item_code(head.item_code or ""):
        raise RefusedError(ITEM_CODE_MALFORMED, "head.itemCode 应为 31 或 33 位，前 18 位为统一社会信用代码")
    if isinstance(data, VerifyCodeRequest):
        return Form(code=parse_service_code(data.code or ""))
    _check_values(data)
    return Form(identifier=_identifier(getattr(data, "certificate_id", None)))


def _check_texts(place: str, part: Head | Asked) -> None:
    """No control characters in any value: what they hide would be compared and shown otherwise than it looks."""
    for attribute, name in zip(part.__struct_fields__, part.__struct_encode_fields__, strict=True):
        value = getattr(part, attribute)
        if isinstance(value, str) and not value.isprintable() and any(one < " " or one == "\x7f" for one in value):
            raise RefusedError(BAD_VALUE, f"{place}.{name} 含有控制字符")


def check_complete(interface: Interface, head: Head, data: Asked) -> None:
    """Every required value is there; raises RefusedError(12) naming the first that is not."""
    if empty := _first_empty(interface, head, data):
        raise RefusedError(REQUIRED_EMPTY, f"请填写 {empty}")


def _identifier(text: str | None) -> CertificateId | None:
    if not text:
        return None
    try:
        return parse_certificate_id(text)
    except IdentifierError as error:
        raise RefusedError(error.code, "请核对 data.certificateID") from error


def _check_values(data: Asked) -> None:
    """Holder, type, format and digest, each where its interface has it; empty is absent."""
    holder_type = getattr(data, "holder_type_code", None)
    if holder_type is not None:
        if holder_type not in HOLDER_TYPES:
            raise RefusedError(HOLDER_TYPE_WRONG, "请核对 data.certificateHolderTypeCode")
        if not holder_code_is_right(holder_type, getattr(data, "holder_code", None) or ""):
            raise RefusedError(_HOLDER_CODE_WRONG.get(holder_type, BAD_VALUE), "请核对 data.certificateHolderCode")
    type_code = getattr(data, "type_code", None)
    if type_code and not _TYPE_CODE.fullmatch(type_code):
        raise RefusedError(TYPE_CODE_WRONG, "证照类型代码为 18 位统一社会信用代码加 3 位数字")
    if (getattr(data, "file_format", None) or FILE_FORMATS[0]) not in FILE_FORMATS:
        raise RefusedError(BAD_VALUE, f"data.fileFormat 可为 {'、'.join(FILE_FORMATS)}")
    if isinstance(data, VerifyFileRequest):
        if data.content_type != DIGEST:
            raise RefusedError(BAD_VALUE, "data.contentType 可为 base64 或 digest")
        if not _SM3_HEX.fullmatch(data.content or ""):
            raise RefusedError(BAD_VALUE, "data.content 应为 64 位十六进制的 SM3 摘要")


def _first_empty(interface: Interface, head: Head, data: Asked) -> str:
    """The place of the first required value that is absent, null, empty or blank; "" when there is none."""
    for attribute, name in REQUIRED_HEAD:
        if _empty(getattr(head, attribute)):
            return f"head.{name}"
    if _empty(head.use_for) and _empty(data.use_for):
        return "head.useFor"
    for attributes in interface.required:
        either = attributes.split("|")
        if all(_empty(getattr(data, attribute)) for attribute in either):
            return "data." + " 或 ".join(wire_name(type(data), attribute) for attribute in either)
    return ""


def _empty(text: str | None) -> bool:
    return not text or text.isspace()


def blank(text: str | None) -> bool:
    """Whether a text says nothing: absent, empty, only white space, or with control characters in it."""
    return not text or text.isspace() or (not text.isprintable() and min(text) < " ")


def wire_name(kind: type[Asked], attribute: str) -> str:
    """The name of an attribute as callers write it."""
    return kind.__struct_encode_fields__[kind.__struct_fields__.index(attribute)]
