"""The types of holder codes (持证主体代码类型; the code list of GB/T 36903 as in use, DOMAIN §5.4)."""

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from schemas.identifiers import is_citizen_id, is_uscc

CITIZEN_ID_TYPE: Final = "111"
USCC_TYPE: Final = "001"


class HolderCategory(StrEnum):
    """Whether a holder is a natural person (自然人) or a body (法人和其他组织)."""

    PERSON = "person"
    ORGANISATION = "organisation"


class HolderType(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One type of holder code: its three digits, the code's name, whom it is given to."""

    code: str
    name: str
    detail: str
    category: HolderCategory


_ORGANISATION: Final = HolderCategory.ORGANISATION
_PERSON: Final = HolderCategory.PERSON

_ROWS: Final = (
    (USCC_TYPE, "统一社会信用代码", "法人和其他组织", _ORGANISATION),
    ("099", "其他法人或其他组织有效证件代码", "", _ORGANISATION),
    (CITIZEN_ID_TYPE, "公民身份号码", "一般公民", _PERSON),
    ("114", "中国人民解放军军官证编号", "军人", _PERSON),
    ("115", "中国人民武装警察部队警官证编号", "军人", _PERSON),
    ("118", "中国人民解放军士兵证编号", "军人", _PERSON),
    ("119", "中国人民武装警察部队士兵证编号", "军人", _PERSON),
    ("120", "中国人民解放军文职人员证编号", "军人", _PERSON),
    ("122", "中国人民武装警察部队文职人员证编号", "军人", _PERSON),
    ("411", "外交护照护照号", "华侨和外籍人士", _PERSON),
    ("412", "公务护照护照号", "华侨和外籍人士", _PERSON),
    ("413", "公务普通护照护照号", "华侨和外籍人士", _PERSON),
    ("414", "普通护照护照号", "华侨和外籍人士", _PERSON),
    ("511", "台湾居民来往大陆通行证号码", "台湾人士", _PERSON),
    ("516", "港澳居民来往内地通行证号码", "港澳人士", _PERSON),
    ("999", "其他自然人有效证件代码", "", _PERSON),  # newer documents too, until their codes are confirmed
)

HOLDER_TYPES: Final[Mapping[str, HolderType]] = MappingProxyType(
    {code: HolderType(code=code, name=name, detail=detail, category=category) for code, name, detail, category in _ROWS}
)

_OTHER_CODE: Final = re.compile("[!-~]{1,64}")  # printable ASCII without the space; the bound is a design choice


def holder_code_is_right(type_code: str, code: str) -> bool:
    """Whether a holder's code has the form its type asks for; False for a type outside the list.

    111 is a citizen's number as stored, 001 a USCC; of the others no form is confirmed, so they are only bounded.
    """
    if type_code == CITIZEN_ID_TYPE:
        return is_citizen_id(code)
    if type_code == USCC_TYPE:
        return is_uscc(code)
    return type_code in HOLDER_TYPES and _OTHER_CODE.fullmatch(code) is not None
