"""The OpenAPI 3.1 document, generated from the table of interfaces and the typed messages."""

from __future__ import annotations

from typing import Any, Optional

import msgspec
from msgspec import Struct, defstruct

from broker.gateway.answers import PROBLEMS
from broker.gateway.body import HttpHead
from schemas.form import REQUIRED_HEAD
from schemas.interfaces import TYPED
from schemas.statuses import STATUSES

_REF = "#/components/schemas/{name}"
_SHARING_PROBLEMS = (400, 401, 409, 410, 413, 415, 429, 500, 503)
_LOOK_PROBLEMS = (401, 404, 410, 500, 503)


class AnswerHead(Struct, kw_only=True, omit_defaults=True, rename="camel"):
    """`head` of every answer."""

    status: int
    gb_status: int
    message: str
    timestamp: int
    request_id: str | None = None
    evidence: str | None = None
    scenario: str | None = None
    deadline: int | None = None
    final: bool | None = None


class ProblemDetail(Struct, kw_only=True):
    """RFC 9457 with `head` as an extension member."""

    type: str
    title: str
    status: int
    detail: str
    head: AnswerHead


def document() -> dict[str, Any]:
    """The whole document as JSON values."""
    kinds: list[Any] = [HttpHead, AnswerHead, ProblemDetail]
    bodies: dict[str, tuple[str, str]] = {}
    for row in TYPED.values():
        ask = defstruct(f"{row.operation}Request", [("head", HttpHead), ("data", row.request)])
        tell = defstruct(f"{row.operation}Answer", [("head", AnswerHead), ("data", Optional[row.answer], None)])  # noqa: UP045  # a type of run time
        kinds += [ask, tell]
        bodies[row.key] = (ask.__name__, tell.__name__)
    _, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    for name in ("requestId", *(wire for _, wire in REQUIRED_HEAD), "username"):
        components["HttpHead"].setdefault("required", []).append(name)
    for row in TYPED.values():
        assert row.request is not None
        wire = dict(zip(row.request.__struct_fields__, row.request.__struct_encode_fields__, strict=True))
        components[row.request.__name__]["required"] = [wire[name] for name in row.required]
    paths: dict[str, Any] = {
        row.path: {"post": _operation(row.operation, row.name, *bodies[row.key])} for row in TYPED.values()
    }
    paths["/v1/requests/{requestId}"] = {"get": _look(next(iter(bodies.values()))[1])}
    paths["/oauth2/token"] = {"post": _token()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Certlane 证照通道",
            "version": "1",
            "description": "长三角电子证照共享：请求经 Kafka 通道送达来源省份，答复可从本节点任一网关获取。",
        },
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(name=name)}}}


def _problems(codes: tuple[int, ...]) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": _REF.format(name="ProblemDetail")}}}
    return {str(code): {"description": "：".join(PROBLEMS[code]), "content": content} for code in codes}


def _operation(operation: str, name: str, ask: str, tell: str) -> dict[str, Any]:
    codes = "；".join(f"{row.code} {row.message}" for row in STATUSES.values())
    prefer = {
        "name": "Prefer",
        "in": "header",
        "schema": {"type": "string"},
        "description": "wait=N：等待秒数（默认 5）；respond-async：立即返回 202",
    }
    return {
        "operationId": operation,
        "summary": name,
        "description": f"head.status：{codes}",
        "parameters": [prefer],
        "requestBody": {"required": True, "content": _json(ask)},
        "responses": {
            "200": {"description": "已有最终结果", "content": _json(tell)},
            "202": {"description": "已受理，尚无结果；见 Location", "content": _json(tell)},
            **_problems(_SHARING_PROBLEMS),
        },
    }


def _look(tell: str) -> dict[str, Any]:
    place = {
        "name": "requestId",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9a-fA-F]{32}$"},
    }
    return {
        "operationId": "lookUpRequest",
        "summary": "查询请求的状态与结果",
        "parameters": [place],
        "responses": {
            "200": {"description": "已有最终结果", "content": _json(tell)},
            "202": {"description": "已受理，尚无结果", "content": _json(tell)},
            **_problems(_LOOK_PROBLEMS),
        },
    }


def _token() -> dict[str, Any]:
    form = {
        "type": "object",
        "required": ["grant_type", "client_assertion_type", "client_assertion"],
        "properties": {
            "grant_type": {"const": "client_credentials"},
            "client_assertion_type": {"type": "string"},
            "client_assertion": {"type": "string"},
            "client_id": {"type": "string"},
        },
    }
    return {
        "operationId": "token",
        "summary": "以应用密钥签名的断言换取令牌（RFC 7523）",
        "security": [],
        "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": form}}},
        "responses": {
            "200": {"description": "令牌，两小时有效"},
            "400": {"description": "参数不对"},
            "401": {"description": "断言不被接受"},
        },
    }
