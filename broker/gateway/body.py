"""From the bytes of an HTTP body to a typed request: one pass folds the letter case of names (DOMAIN §11)."""

from __future__ import annotations

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
        raise BodyError("the body is not JSON") from error
    if not isinstance(loose, dict):
        raise BodyError('the body should be {"head": {…}, "data": {…}}')
    parts = _fold(loose, {"head": "head", "data": "data"}, "$")
    head, data = parts.get("head"), parts.get("data")
    names = {**_names(interface.request), **interface.aliases}
    return Request(_typed(head, HttpHead, _names(HttpHead), "head"), _typed(data, interface.request, names, "data"))


def _typed(loose: object, kind: type[Struct], names: dict[str, str], place: str) -> Any:
    if loose is None:
        loose = {}
    if not isinstance(loose, dict):
        raise BodyError(f"{place} should be an object")
    folded = {name: value for name, value in _fold(loose, names, place).items() if value is not None}
    for name, below in _BELOW.items():
        if isinstance(inner := folded.get(name), dict):
            folded[name] = _fold(inner, _names(below), f"{place}.{name}")
    try:
        return msgspec.convert(folded, kind)
    except msgspec.ValidationError as error:
        raise BodyError(f"{place}: {error}") from error


def _fold(loose: dict[str, Any], names: dict[str, str], place: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in loose.items():
        known = names.get(name.lower())
        if known is None:
            raise BodyError(
                f"{place} has a name that this interface does not know; it knows {', '.join(names.values())}"
            )
        if known in out:
            raise BodyError(f"{place}.{known} is there twice in different letter case")
        out[known] = value
    return out
