"""Whether a request is complete and well formed: what can be said without registry or store (12, 400x)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.identifiers import IdentifierError, is_item_code, is_uscc, parse_certificate_id
from schemas.statuses import ITEM_CODE_MALFORMED, REQUIRED_EMPTY, USCC_WRONG, RefusedError

if TYPE_CHECKING:
    from msgspec import Struct

    from schemas.identifiers import CertificateId
    from schemas.interfaces import Interface
    from schemas.sharing import Head

# attribute, name as the caller wrote it; username is not here: its absence is 3013, the judge's
REQUIRED_HEAD = (
    ("scene_code", "sceneCode"),
    ("org_name", "orgName"),
    ("org_code", "orgCode"),
    ("item_name", "itemName"),
    ("item_code", "itemCode"),
    ("business_code", "businessCode"),
)


def purpose(head: Head, data: Struct) -> str:
    """head.useFor, or data.UseFor in its place."""
    told = head.use_for
    if told is not None and not blank(told):
        return told
    instead: str | None = getattr(data, "use_for", None)
    return "" if instead is None or blank(instead) else instead


def check_form(interface: Interface, head: Head, data: Struct) -> CertificateId | None:
    """The identifier asked for, if any; raises RefusedError: 12 for the first empty value, else 4003, 4005, 4001."""
    if empty := _first_empty(interface, head, data):
        raise RefusedError(REQUIRED_EMPTY, f"请填写 {empty}")
    if not is_uscc(head.org_code or ""):
        raise RefusedError(USCC_WRONG, "请核对 head.orgCode")
    if not is_item_code(head.item_code or ""):
        raise RefusedError(ITEM_CODE_MALFORMED, "head.itemCode 应为 31 或 33 位，前 18 位为统一社会信用代码")
    identifier = getattr(data, "certificate_id", None)
    if identifier is None:
        return None
    try:
        return parse_certificate_id(identifier)
    except IdentifierError as error:
        raise RefusedError(error.code, "请核对 data.certificateID") from error


def _first_empty(interface: Interface, head: Head, data: Struct) -> str:
    """The place of the first required value that is absent, null, empty or blank; "" when there is none."""
    for attribute, name in REQUIRED_HEAD:
        value = getattr(head, attribute)
        if blank(value):
            return f"head.{name}"
    if _empty(purpose(head, data)):
        return "head.useFor"
    for attribute in interface.required:
        if _empty(getattr(data, attribute)):
            return f"data.{_wire_name(data, attribute)}"
    return ""


def blank(text: str | None) -> bool:
    """Whether a text says nothing: absent, empty, only white space, or with control characters in it."""
    return not text or text.isspace() or min(text) < " "


def _empty(value: object) -> bool:
    return blank(value) if isinstance(value, str | None) else value == ()


def _wire_name(data: Struct, attribute: str) -> str:
    return data.__struct_encode_fields__[data.__struct_fields__.index(attribute)]
