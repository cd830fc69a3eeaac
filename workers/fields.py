"""Where each name of the answer comes from, and how a value that stays is shortened (DOMAIN §9.4)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from schemas.catalogue import Mask
from schemas.holders import HOLDER_TYPES, HolderCategory

if TYPE_CHECKING:
    from collections.abc import Callable

# response name -> (attribute of the record, attribute of the answer, mask)
CORE: dict[str, tuple[str, str, Mask]] = {
    "certificateType": ("type_name", "certificate_type", Mask.NONE),
    "certificateName": ("name", "certificate_name", Mask.NONE),
    "certificateNumber": ("number", "certificate_number", Mask.NUMBER),
    "certificateHolder": ("holder_name", "certificate_holder", Mask.NAME),
    "certificateHolderCode": ("holder_code", "certificate_holder_code", Mask.CITIZEN_ID),
    "certificateHolderType": ("holder_type_code", "certificate_holder_type", Mask.NONE),
    "certificateAreaCode": ("area_code", "certificate_area_code", Mask.NONE),
    "issueDept": ("issuer_name", "issue_dept", Mask.NONE),
    "issueDeptCode": ("issuer_code", "issue_dept_code", Mask.NONE),
    "issueDate": ("issue_date", "issue_date", Mask.NONE),
    "certificateValidateStart": ("valid_from", "certificate_validate_start", Mask.NONE),
    "certificateValidateEnd": ("valid_to", "certificate_validate_end", Mask.NONE),
}


def _name(value: str) -> str:
    """张* for two characters, 张*明 for three and more."""
    if len(value) <= 1:
        return "*"
    return value[0] + "*" * (len(value) - 2) + value[-1] if len(value) > 2 else value[0] + "*"


def _citizen_id(value: str) -> str:
    return value[0] + "*" * (len(value) - 2) + value[-1] if len(value) > 2 else "*" * len(value)


def _mobile(value: str) -> str:
    return value[:3] + "*" * (len(value) - 7) + value[-4:] if len(value) > 7 else "*" * len(value)


_DISTRICT = re.compile(
    "(?:[^省市区县旗]{1,8}(?:省|自治区))?(?:[^省市区县旗]{1,10}市)?(?:[^省市区县旗]{1,8}(?<![小社园校厂库景街片])(?:区|县|市|旗))?"
)


def _address(value: str) -> str:
    """To district level (区, 县, 县级市, 旗); what does not begin like an address is hidden whole."""
    match = _DISTRICT.match(value)
    return (match[0] if match else "") + "****"


def _number(value: str) -> str:
    return "*" * (len(value) - 4) + value[-4:] if len(value) > 4 else "*" * len(value)


MASKS: dict[Mask, Callable[[str], str]] = {
    Mask.NONE: lambda _: "****",  # granted only shortened, and nobody said how: hidden whole
    Mask.NAME: _name,
    Mask.CITIZEN_ID: _citizen_id,
    Mask.MOBILE: _mobile,
    Mask.ADDRESS: _address,
    Mask.NUMBER: _number,
}


def masked_holder_code(holder_type_code: str, code: str) -> str:
    """A person's code shortened, whatever document gave it; a body's is not personal and stays whole (DOMAIN §9.4)."""
    if HOLDER_TYPES[holder_type_code].category is HolderCategory.ORGANISATION:
        return code
    return MASKS[Mask.CITIZEN_ID](code)
