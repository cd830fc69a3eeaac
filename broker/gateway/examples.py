"""The examples of the OpenAPI document: each interface, each outcome, made of typed messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from broker.gateway.answers import PROBLEMS
from broker.gateway.merging import message_of
from broker.gateway.specimens import ANSWERED, EVIDENCE, HEAD, LATE, NOW, REQUEST_ID, SCENE, SHOWN
from schemas.interfaces import INTERFACES, Subject
from schemas.remedies import REMEDIES
from schemas.statuses import NOT_FOUND, OK, PARTIAL, STATUSES, TIMED_OUT

if TYPE_CHECKING:
    from schemas.answers import Source
    from schemas.offers import ScenesAnswer, TypesAnswer


def asked(key: str) -> dict[str, Any]:
    """The examples of an interface's request."""
    return {"request": _example(INTERFACES[key].name, {"head": HEAD, "data": SHOWN[key].asked})}


def answered(key: str) -> dict[str, Any]:
    """The examples of a 200: granted, not found, refused, and partial; a service code has only one issuer to ask."""
    row = SHOWN[key]
    told = {
        "granted": _example("查得", _answer(OK, _sourced(row.granted, ANSWERED) if row.fans_out else row.granted)),
        "notFound": _example("未找到", _answer(NOT_FOUND, remedy=REMEDIES[NOT_FOUND])),
        "refused": _example("被拒绝", _answer(row.refusal, remedy=REMEDIES[row.refusal])),
    }
    if INTERFACES[key].subject is not Subject.CODE:
        sources = (ANSWERED, LATE)
        head = {"message": message_of(PARTIAL, sources, final=False), "final": False, "deadline": NOW + 60_000}
        told["partial"] = _example("部分省份未答复", _answer(PARTIAL, _sourced(row.granted, *sources), **head))
    return told


def accepted(key: str) -> dict[str, Any]:
    """The examples of a 202: nothing to be told yet, and of several provinces which have answered."""
    head = {"final": False, "deadline": NOW + 60_000}
    told = {"accepted": _example("已受理", _answer(OK, message="已受理，结果可稍后查询", evidence="", **head))}
    if INTERFACES[key].subject is not Subject.CODE:
        nothing: dict[str, Any] = {"total": 0, "dataList": [], "sources": [msgspec.to_builtins(LATE)]}
        told["waiting"] = _example(
            "尚无省份答复",
            _answer(TIMED_OUT, nothing, evidence="", message=message_of(TIMED_OUT, (LATE,), final=False), **head),
        )
    return told


def problem(http: int, status: int) -> dict[str, Any]:
    """The example of a problem detail."""
    title, remedy = PROBLEMS[http]
    body = {"type": "about:blank", "title": title, "status": http, "detail": remedy, "head": _head(status, evidence="")}
    return {"problem": _example(title, body)}


def offered(data: ScenesAnswer | TypesAnswer) -> dict[str, Any]:
    """The example of what an application may ask."""
    head = _head(OK, evidence="")
    del head["requestId"]
    return {"offered": _example("可用范围", {"head": head, "data": data})}


def _sourced(data: Any, *sources: Source) -> Any:
    return replace(data, sources=sources)


def _answer(status: int, data: object = None, **head: Any) -> dict[str, Any]:
    told = {"head": _head(status, **head)}
    return told if data is None else told | {"data": data}


def _head(status: int, *, message: str = "", evidence: str = EVIDENCE, **more: Any) -> dict[str, Any]:
    row = STATUSES[status]
    out = {"status": status, "gbStatus": row.gb, "message": message or row.message, "requestId": REQUEST_ID}
    if evidence:
        out |= {"evidence": evidence, "scenario": f"{SCENE}@3"}
    return out | {"timestamp": NOW} | more


def _example(summary: str, value: Any) -> dict[str, Any]:
    return {"summary": summary, "value": msgspec.to_builtins(value)}


def token() -> dict[str, Any]:
    """The examples of the token's answers, as they are."""
    head = {"timestamp": NOW}
    return {
        "issued": {"access_token": "eyJhbGciOiJFZERTQSJ9.e30.c2ln", "token_type": "Bearer", "expires_in": 7_200},
        "invalid": {
            "error": "unsupported_grant_type",
            "error_description": "grant_type 应为 client_credentials",
            "head": {"status": 11, "message": "grant_type 应为 client_credentials", **head},
        },
        "refused": {
            "error": "invalid_client",
            "error_description": "该断言已使用过，请重新签发",
            "head": {"status": 2003, "message": "该断言已使用过，请重新签发", **head},
        },
    }
