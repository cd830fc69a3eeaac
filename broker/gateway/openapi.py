"""The OpenAPI 3.1 document, generated from the table of interfaces and the typed messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.gateway import examples
from broker.gateway.answers import PROBLEMS
from broker.gateway.components import HEX_ID, schemas
from broker.gateway.specimens import SCENES, TYPES
from schemas import statuses
from schemas.interfaces import INTERFACES
from schemas.names import OURS
from schemas.oauth import ASSERTION_TYPE, GRANT_TYPE, TOKEN_PATH
from schemas.sharing import DEFAULT_WAIT_SECONDS, MAX_WAIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schemas.interfaces import Interface
    from schemas.offers import ScenesAnswer, TypesAnswer

_SHARING = (400, 401, 409, 410, 413, 415, 429, 431, 500, 503)
_LOOK = (401, 404, 410, 431, 500, 503)
_FILES = (401, 404, 410, 416, 431, 500, 503)
_OFFERS = (401, 431, 500, 503)
_TOKEN = (413, 431, 500, 503)
_DESCRIPTION = f"""长三角电子证照共享：请求经 Kafka 通道送达来源省份，答复可从本节点任一网关获取。

- 请求中的名称不分大小写（`certificateID` 即 `CertificateId`），同一名称不得出现两次；未知名称答复 400。答复用驼峰式。
- HTTP 200 只说明有了答复，结果见 `head.status`：0 为成功，7003 为部分省份未答复，其余为拒绝或未找到。
- 202 表示已受理：请求已写入 Kafka，凭 `head.requestId` 到 `Location` 所示地址取结果，十分钟内有效。
- 没有收到答复、502、503 或 504：用同一 `requestId` 和同样的内容，向任一网关重发；这仍是同一个请求，只答复一次。
- 名称后注有“{OURS}”的，不是标准的规定。标“必填”的，是本网关要求必填；标准全文未能取得，必填与否不代表标准的规定。
- 应用登记为国家接口形式（dialect: national）的，`dataList` 中的名称首字母大写，`head.status` 只用 0 至 99。
- 地址所不支持的方法答复 405，不存在的地址答复 404，请求头超过 64 KiB 答复 431。
"""

# HTTP status -> head.status of its example
PROBLEM_STATUS = {
    400: statuses.BAD_VALUE,
    401: statuses.TOKEN_EXPIRED,
    404: statuses.OTHER,
    405: statuses.OTHER,
    409: statuses.OTHER,
    410: statuses.OTHER,
    413: statuses.OTHER,
    415: statuses.OTHER,
    416: statuses.BAD_VALUE,
    429: statuses.RATE_LIMITED,
    431: statuses.OTHER,
    500: statuses.OTHER,
    503: statuses.UNREACHABLE,
}


def document() -> dict[str, Any]:
    """The whole document as JSON values."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Certlane 证照通道", "version": "1", "description": _DESCRIPTION},
        "security": [{"bearer": []}],
        "tags": [{"name": name} for name in ("七个接口", "结果与文件", "可用范围", "令牌")],
        "paths": {
            **{row.path: {"post": _sharing(row)} for row in INTERFACES.values()},
            "/v1/requests/{requestId}": {"get": _look()},
            "/v1/files/{ticket}": {"get": _file()},
            "/v1/scenes": {"get": _offers("scenes", "可用的场景、事项与证照类型", "ScenesTold", SCENES)},
            "/v1/types": {"get": _offers("types", "可用的证照类型与字段", "TypesTold", TYPES)},
            TOKEN_PATH: {"post": _token()},
        },
        "components": {
            "schemas": schemas(),
            "responses": {f"Problem{http}": _problem(http) for http in PROBLEMS},
            "headers": _HEADERS,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _integer(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "integer", "minimum": 0}}


def _text(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


_HEADERS = {
    "Location": _text("结果的地址：/v1/requests/{requestId}"),
    "RetryAfter": _integer("多少秒之后再来"),
    "RateLimitPolicy": _text(
        '每秒可调用的次数，例如 "application";q=5000;w=1（draft-ietf-httpapi-ratelimit-headers-10）'
    ),
    "RateLimit": _text('本秒还可调用的次数，例如 "application";r=4999;t=1'),
    "Traceparent": _text("本次调用的追踪标识（W3C Trace Context）"),
    "WWWAuthenticate": _text("需要 Bearer 令牌"),
    "ContentRange": _text("这一段在文件中的位置，例如 bytes 1000-1999/2000"),
}
_NAMED = {
    "Location": "Location",
    "RetryAfter": "Retry-After",
    "RateLimitPolicy": "RateLimit-Policy",
    "RateLimit": "RateLimit",
    "Traceparent": "traceparent",
    "WWWAuthenticate": "WWW-Authenticate",
    "ContentRange": "Content-Range",
}
_PROBLEM_HEADERS = {
    401: ("WWWAuthenticate",),
    416: ("ContentRange",),
    429: ("RetryAfter", "RateLimitPolicy", "RateLimit"),
    503: ("RetryAfter",),
}


def _headers(*names: str) -> dict[str, Any]:
    return {_NAMED[name]: {"$ref": f"#/components/headers/{name}"} for name in names}


def _json(name: str, shown: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}, "examples": shown}}


def _problem(http: int) -> dict[str, Any]:
    shown = examples.problem(http, PROBLEM_STATUS[http])
    content = {"schema": {"$ref": "#/components/schemas/ProblemDetail"}, "examples": shown}
    out = {"description": "：".join(PROBLEMS[http]), "content": {"application/problem+json": content}}
    return out | ({"headers": _headers(*_PROBLEM_HEADERS[http])} if http in _PROBLEM_HEADERS else {})


def _problems(codes: Iterable[int]) -> dict[str, Any]:
    return {str(http): {"$ref": f"#/components/responses/Problem{http}"} for http in codes}


def _sharing(row: Interface) -> dict[str, Any]:
    prefer = {
        "name": "Prefer",
        "in": "header",
        "schema": {"type": "string", "maxLength": 64},
        "description": (
            f"wait=N：最多等待 N 秒（默认 {DEFAULT_WAIT_SECONDS:.0f}，最多 {MAX_WAIT_SECONDS:.0f}）；"
            "respond-async：立即返回 202"
        ),
    }
    trace = {
        "name": "traceparent",
        "in": "header",
        "schema": {"type": "string", "maxLength": 128},
        "description": "调用方的追踪标识（W3C Trace Context）",
    }
    ask, tell = f"{row.operation}Request", f"{row.operation}Answer"
    told = ("RateLimitPolicy", "RateLimit", "Traceparent")
    return {
        "operationId": row.operation,
        "tags": ["七个接口"],
        "summary": f"{row.key} {row.name}",
        "parameters": [prefer, trace],
        "requestBody": {"required": True, "content": _json(ask, examples.asked(row.key))},
        "responses": {
            "200": {
                "description": "已有结果；head.final 为 false 时仍有省份可能补充",
                "headers": _headers(*told, "Location", "RetryAfter"),
                "content": _json(tell, examples.answered(row.key)),
            },
            "202": {
                "description": "已受理，尚无可给出的结果；见 Location",
                "headers": _headers(*told, "Location", "RetryAfter"),
                "content": _json(tell, examples.accepted(row.key)),
            },
            **_problems(_SHARING),
        },
    }


def _look() -> dict[str, Any]:
    answers = [{"$ref": f"#/components/schemas/{row.operation}Answer"} for row in INTERFACES.values()]

    def told(shown: dict[str, Any]) -> dict[str, Any]:
        return {"application/json": {"schema": {"anyOf": answers}, "examples": shown}}

    place = {"name": "requestId", "in": "path", "required": True, "schema": {"type": "string", "pattern": HEX_ID}}
    return {
        "operationId": "lookUpRequest",
        "tags": ["结果与文件"],
        "summary": "查询请求的状态与结果",
        "parameters": [place],
        "responses": {
            "200": {"description": "最终结果", "content": told(examples.answered("I1"))},
            "202": {
                "description": "尚非最终结果；已到的部分见 data",
                "headers": _headers("Location", "RetryAfter"),
                "content": told(examples.accepted("I1")),
            },
            **_problems(_LOOK),
        },
    }


def _file() -> dict[str, Any]:
    ticket = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    span = {"type": "string", "maxLength": 64}
    content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return {
        "operationId": "fetchFile",
        "tags": ["结果与文件"],
        "summary": "取文件：十分钟内、由同一应用取用一次；中断后用 Range 续传",
        "parameters": [
            {"name": "ticket", "in": "path", "required": True, "schema": ticket},
            {"name": "Range", "in": "header", "schema": span, "description": "从第几个字节起，例如 bytes=1000-"},
        ],
        "responses": {
            "200": {"description": "整个文件", "content": content},
            "206": {"description": "文件的其余部分", "headers": _headers("ContentRange"), "content": content},
            **_problems(_FILES),
        },
    }


def _offers(operation: str, summary: str, name: str, data: ScenesAnswer | TypesAnswer) -> dict[str, Any]:
    return {
        "operationId": operation,
        "tags": ["可用范围"],
        "summary": summary,
        "responses": {
            "200": {"description": "本应用可用的范围", "content": _json(name, examples.offered(data))},
            **_problems(_OFFERS),
        },
    }


def _token() -> dict[str, Any]:
    names = ("grant_type", "client_assertion_type", "client_assertion", "client_id")
    form: dict[str, Any] = {name: {"type": "string", "maxLength": 8_192} for name in names}
    form["grant_type"] = {"const": GRANT_TYPE}
    form["client_assertion_type"] = {"const": ASSERTION_TYPE}
    form["client_assertion"]["description"] = (
        "应用密钥签名的 JWT（EdDSA）：iss、sub 为应用标识，aud 为节点标识或本地址，exp 在五分钟以内，jti 每次不同"
    )
    shape = {"type": "object", "required": list(names[:3]), "properties": form}
    text, number = {"type": "string"}, {"type": "integer"}
    told = {"access_token": text, "token_type": text, "expires_in": number}
    wrong = {"error": text, "error_description": text, "head": {"$ref": "#/components/schemas/AnswerHead"}}
    shown = examples.token()
    return {
        "operationId": "token",
        "tags": ["令牌"],
        "summary": "以应用密钥签名的断言换取令牌（RFC 7523）",
        "security": [],
        "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": shape}}},
        "responses": {
            "200": {"description": "令牌，两小时有效", "content": _plain(told, shown["issued"])},
            "400": {"description": "参数不对", "content": _plain(wrong, shown["invalid"])},
            "401": {"description": "断言不被接受", "content": _plain(wrong, shown["refused"])},
            **_problems(_TOKEN),
        },
    }


def _plain(properties: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": list(properties), "properties": properties}
    return {"application/json": {"schema": schema, "example": example}}
