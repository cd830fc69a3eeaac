"""From the bytes of an HTTP body to a typed request: one pass folds the letter case of names (DOMAIN §11)."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import orjson
from msgspec import Meta, Struct

from schemas.sharing import Asked, CodeOperator, Head, Short

if TYPE_CHECKING:
    from schemas.interfaces import Interface


class BodyError(ValueError):
    """The body is not JSON, or not the JSON it should be (400, 102); the message names the place, never the value."""


class HttpHead(Head, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """`head` as callers send it: the common head and what concerns this one message."""

    version: Short | None = None
    request_id: Short | None = None
    access_id: Short | None = None
    access_token: Annotated[str, Meta(max_length=4_096)] | None = None
    timestamp: int | None = None
    nonce: Annotated[str, Meta(min_length=16, max_length=64)] | None = None
    sign_alg: Short | None = None
    sign: Annotated[str, Meta(max_length=4_096)] | None = None
    deadline: int | None = None


class Request(NamedTuple):
    """A typed request."""

    head: HttpHead
    data: Asked


_BELOW = {"operator": CodeOperator}  # objects within data


@cache
def _names(kind: type[Struct]) -> dict[str, str]:
    return {name.lower(): name for name in kind.__struct_encode_fields__}


def read_body(raw: bytes, interface: Interface) -> Request:
    """The typed request in this body; unknown names, case twins and wrong types raise BodyError."""
    try:
        loose = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BodyError("请求体不是 UTF-8 编码的 JSON") from error
    if not isinstance(loose, dict):
        raise BodyError('请求体应为 {"head": {…}, "data": {…}}')
    parts = _fold(loose, {"head": "head", "data": "data"}, "$")
    head, data = parts.get("head"), parts.get("data")
    names = {**_names(interface.request), **interface.aliases}
    return Request(_typed(head, HttpHead, _names(HttpHead), "head"), _typed(data, interface.request, names, "data"))


def _typed(loose: object, kind: type[Struct], names: dict[str, str], place: str) -> Any:
    if loose is None:
        loose = {}
    if not isinstance(loose, dict):
        raise BodyError(f"{place} 应为 JSON 对象")
    folded = {name: value for name, value in _fold(loose, names, place).items() if value is not None}
    for name, below in _BELOW.items():
        if isinstance(inner := folded.get(name), dict):
            folded[name] = _fold(inner, _names(below), f"{place}.{name}")
    try:
        return msgspec.convert(folded, kind)
    except msgspec.ValidationError as error:
        raise BodyError(_complaint(place, str(error))) from error


_EXPECTED = re.compile(r"Expected `([^`]+)`(.*?)(?:, got `[^`]*`)?(?: - at `\$([^`]*)`)?", re.DOTALL)
_KINDS = {"str": "文本", "int": "整数", "bool": "true 或 false", "array": "数组", "object": "JSON 对象"}
_RULES = {"of length <=": "，长度不超过", "of length >=": "，长度不少于", ">=": "，不小于", "<=": "，不大于"}


def _complaint(place: str, text: str) -> str:
    """What msgspec says is wrong, in Chinese: the place and what should stand there, never the value."""
    found = _EXPECTED.fullmatch(text)
    if found is None:
        return f"{place} 的值不符合接口定义"
    kind = found[1].removesuffix(" | null")
    rule, _, bound = found[2].strip().rpartition(" ")
    limit = f"{_RULES[rule]} {bound}" if rule in _RULES else ""
    return f"{place}{found[3] or ''} 应为{_KINDS.get(kind, kind)}{limit}"


def _fold(loose: dict[str, Any], names: dict[str, str], place: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in loose.items():
        known = names.get(name.lower())
        if known is None:
            raise BodyError(f"{place} 中有本接口没有的名称；本接口的名称有 {', '.join(dict.fromkeys(names.values()))}")
        if known in out:
            raise BodyError(f"{place}.{known} 以不同大小写或别名重复出现")
        out[known] = value
    return out
