"""From the bytes of an HTTP body to a typed answer, or to the refusal that it is."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from broker.client.errors import MalformedError, RefusedError
from broker.client.steps import Got
from schemas.answers import Source
from schemas.items import NO_DATA
from schemas.statuses import OK, PARTIAL

D = TypeVar("D")


class Answer(Struct, Generic[D], frozen=True, kw_only=True, rename="camel"):
    """What was granted, and what it rests on: `evidence` names the record of the first source, `scenario` its rule.

    `status` is 0, or 7003 where a source is missing (`sources` tells which); `final` is False while its part may come.
    """

    status: int
    message: str
    request_id: str
    evidence: str = ""
    scenario: str = ""
    final: bool = True
    data: D

    @property
    def partial(self) -> bool:
        return self.status == PARTIAL

    @property
    def sources(self) -> tuple[Source, ...]:
        """The provinces that were asked, where there were several to choose from."""
        told: tuple[Source, ...] = getattr(self.data, "sources", ())
        return told


class _Head(Struct, frozen=True, kw_only=True, rename="camel"):
    status: int
    message: str = ""
    request_id: str = ""
    evidence: str = ""
    scenario: str = ""
    final: bool = True
    remedy: str = ""


class _Body(Struct, frozen=True, kw_only=True):
    """Both forms: an answer, and a problem detail (RFC 9457), whose `detail` says what to do."""

    head: _Head
    data: msgspec.Raw = NO_DATA
    detail: str = ""


class _Sources(Struct, frozen=True, kw_only=True):
    sources: tuple[Source, ...] = ()


# strict=False: a status comes as a string from some systems (DOMAIN §3.1)
_body = msgspec.json.Decoder(_Body, strict=False).decode
_sources = msgspec.json.Decoder(_Sources | None).decode
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_answer(got: Got, kind: type[D]) -> Answer[D]:
    """The answer in this body; raises RefusedError for any other, MalformedError for what is none."""
    body = _read(got)
    head = body.head
    if head.status not in (OK, PARTIAL) or got.http >= 300:
        raise refusal(got)
    try:
        data = _typed(body.data, kind)
    except _BROKEN as error:
        raise MalformedError("the answer's data are not of its interface", request_id=head.request_id) from error
    return Answer(
        status=head.status,
        message=head.message,
        request_id=head.request_id,
        evidence=head.evidence,
        scenario=head.scenario,
        final=head.final,
        data=data,
    )


def _typed(raw: bytes, kind: type[D]) -> D:
    """In either dialect: the national one writes the names of a certificate in PascalCase (DOMAIN §3.1)."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError:
        return msgspec.convert(_camel(msgspec.json.decode(raw)), kind)


def _camel(value: Any) -> Any:
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: _camel(one) for name, one in value.items()}
    return [_camel(one) for one in value] if isinstance(value, list) else value


def partial_answer(got: Got, kind: type[D]) -> Answer[D] | None:
    """What an unfinished request (202) can already show; None while that is nothing."""
    head = _read(got).head
    return read_answer(got, kind) if head.status == PARTIAL else None


def refusal(got: Got) -> RefusedError:
    """The refusal in this body; raises MalformedError."""
    body = _read(got)
    head = body.head
    try:
        told = _sources(body.data)
    except _BROKEN:
        told = None
    return RefusedError(
        head.status,
        head.message,
        http=got.http,
        remedy=body.detail or head.remedy,
        request_id=head.request_id,
        evidence=head.evidence,
        scenario=head.scenario,
        sources=told.sources if told else (),
    )


def _read(got: Got) -> Any:
    try:
        return _body(got.body)
    except _BROKEN as error:
        raise MalformedError(f"HTTP {got.http} without an answer of a gateway in it") from error
