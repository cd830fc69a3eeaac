"""The codes of a record, one table: what each must look like, wherever it stands."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from schemas.checks import uscc_check
from schemas.form import FILE_FORMATS
from schemas.identifiers import IdentifierError, is_item_code, is_scene_code, is_uscc
from schemas.interfaces import INTERFACES, Subject
from schemas.regions import PROVINCES, REGIONS
from schemas.scenes import PURPOSES

if TYPE_CHECKING:
    from collections.abc import Callable

    Leaf = Callable[[str], tuple[str, str] | None]

_ID = re.compile("[0-9A-Za-z][0-9A-Za-z._-]*")  # keys lie in a file of this name
TYPE_INTERFACES = tuple(key for key, row in INTERFACES.items() if row.subject is not Subject.CODE)
"""What may be granted of a type: a service code is of no type."""


def _uscc(text: str) -> tuple[str, str] | None:
    if is_uscc(text):
        return None
    try:
        check = uscc_check(text[:17]) if text[2:8].isdigit() and len(text) == 18 else ""
    except IdentifierError:
        check = ""
    if check:
        message = f"统一社会信用代码 {text} 的校验码不对，应为 {check} (USCC: the check character should be {check})"
        return message, "请与登记证书核对全部 18 位"
    message = f"{text} 不是统一社会信用代码 (not a USCC)"
    return message, "应为 18 位数字与大写字母（不含 I、O、S、V、Z），第 3 至 8 位为行政区划码"


def _item(text: str) -> tuple[str, str] | None:
    if is_item_code(text):
        return None
    if len(text) in {31, 33} and (told := _uscc(text[:18])):
        return f"事项编码的前 18 位：{told[0]}", told[1]
    message = f"{text} 不是事项编码，长 {len(text)} 位 (not an item code)"
    return message, "应为 31 位（实施编码）或 33 位（业务办理项编码），前 18 位为统一社会信用代码"


def _type(text: str) -> tuple[str, str] | None:
    if len(text) == 21 and text[18:].isascii() and text[18:].isdigit():
        return (f"证照类型代码的前 18 位：{told[0]}", told[1]) if (told := _uscc(text[:18])) else None
    message = f"{text} 不是证照类型代码，长 {len(text)} 位 (not a type code)"
    return message, "应为 21 位：证照定义机构的统一社会信用代码加 3 位数字"


def _scene(text: str) -> tuple[str, str] | None:
    if is_scene_code(text):
        return None
    regions = "、".join(region.code for region in REGIONS)
    return f"{text} 不是场景编码 (not a scene code)", f"应为 YRD-<省级区划代码>-<年>-<五位序号>，区划为 {regions}"


def _one_of(what: str, english: str, known: tuple[str, ...]) -> Leaf:
    def look(text: str) -> tuple[str, str] | None:
        if text in known:
            return None
        return f"没有{what} {text} (unknown {english})", f"可写：{'、'.join(known)}"

    return look


def _interface(text: str) -> tuple[str, str] | None:
    if text in TYPE_INTERFACES:
        return None
    code = " ；政务服务码的验证写在场景的 serviceCode 中" if text in INTERFACES else ""
    return f"没有接口 {text} 可供证照类型使用 (unknown interface)", f"可写：{'、'.join(TYPE_INTERFACES)}{code}"


def _network(text: str) -> tuple[str, str] | None:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return f"{text} 不是网段 (not a network)", f"{_network_meant(text)}请写成 192.0.2.0/24 或 2001:db8::/32 的形式"
    return None


def _network_meant(text: str) -> str:
    try:
        return f"是否想写 {ipaddress.ip_network(text, strict=False)}？(did you mean it?) "
    except ValueError:
        return ""


def _id(text: str) -> tuple[str, str] | None:
    if _ID.fullmatch(text):
        return None
    return f"{text[:64]} 不是编号 (not an id)", "只用字母、数字、点、下划线与连字符，以字母或数字开头"


def _private(_: str) -> tuple[str, str]:
    return "登记中不得有私钥 (a private key)", "请立即更换这把密钥；登记中只写公钥"


_province = _one_of("省", "province", PROVINCES)
LEAVES: dict[str, Leaf] = {
    "useOrgCode": _uscc,
    "orgCodes": _uscc,
    "definingBodyCode": _uscc,
    "itemCode": _item,
    "typeCode": _type,
    "sceneCode": _scene,
    "provinces": _province,
    "sourceProvinces": _province,
    "interfaces": _interface,
    "fileFormats": _one_of("文件格式", "file format", FILE_FORMATS),
    "purposes": _one_of("用途", "purpose", tuple(PURPOSES)),
    "addresses": _network,
    "id": _id,
    "d": _private,
}
"""By the name of the field."""

NAMES: dict[str, Leaf] = {"aliases": _province, "justifications": _type}
"""What the names in a mapping are, by the name of the field that holds it."""
