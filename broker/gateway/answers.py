"""How the gateway answers: every body has `head.status`; a refusal of HTTP is a problem detail (RFC 9457) with it."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

from broker.bus.clock import now_ms
from schemas import statuses
from schemas.remedies import REMEDIES
from schemas.statuses import STATUSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.gateway.merging import Told

_encode = msgspec.json.Encoder().encode
_JSON, _PROBLEM = "application/json", "application/problem+json"
_FILE_URL = re.compile(rb'("fileUrl"\s*:\s*)"([0-9a-f]{32})"')  # a province may write white space

# HTTP status -> title and what to do next
PROBLEMS: dict[int, tuple[str, str]] = {
    400: ("请求格式不正确", "请按 /openapi.json 检查请求体"),
    401: ("身份验证不通过", "请通过 POST /oauth2/token 获取令牌，并放入 Authorization: Bearer"),
    404: ("没有这个请求或地址", "请核对 requestId 与调用方应用"),
    405: ("不支持该方法", "请使用 Allow 中列出的方法"),
    409: ("requestId 已用于另一个请求", "请为新的请求使用新的 requestId"),
    410: ("答复已不再保留", "请使用新的 requestId 重新提交"),
    413: ("请求体过大", "请求体不得超过 10 MiB"),
    415: ("媒体类型不支持", "请使用 Content-Type: application/json"),
    416: ("所请求的范围不存在", "请按 Content-Range 所示大小重新请求"),
    431: ("请求头过大", "请求头不得超过 64 KiB"),
    429: ("调用过于频繁", "请在 Retry-After 所示秒数后重试"),
    500: ("系统内部错误", "请使用同一 requestId 重试；仍失败请联系节点运维人员"),
    503: ("服务暂不可用", "请在 Retry-After 所示秒数后，使用同一 requestId 重试"),
}


class Problem(Exception):  # noqa: N818  # it is an answer, not an error of ours
    """A refusal on the level of HTTP."""

    def __init__(
        self,
        http: int,
        status: int,
        detail: str = "",
        *,
        request_id: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.http, self.status, self.detail = http, status, detail
        self.request_id, self.headers = request_id, dict(headers or {})


def _remedy(status: int) -> dict[str, object]:
    """What to do about a final status; nothing about a success."""
    return {"remedy": REMEDIES[status]} if status in REMEDIES else {}


def head_of(status: int, request_id: str = "", message: str = "", **more: object) -> dict[str, Any]:
    """`head` of an answer; `gbStatus` is the nearest national code."""
    row = STATUSES[status]
    out: dict[str, Any] = {"status": status, "gbStatus": row.gb, "message": message or row.message}
    if request_id:
        out["requestId"] = request_id
    out["timestamp"] = now_ms()
    return out | more


def problem(error: Problem) -> Response:
    title, remedy = PROBLEMS[error.http]
    body = {
        "type": "about:blank",
        "title": title,
        "status": error.http,
        "detail": error.detail or remedy,
        "head": head_of(error.status, error.request_id),
    }
    return Response(_encode(body), error.http, error.headers, _PROBLEM)


def plain(status: int, request_id: str = "", message: str = "") -> Response:
    """200 with a status and no data: refused before anybody was asked."""
    head = head_of(status, request_id, message, **_remedy(status))
    return Response(_encode({"head": head}), 200, media_type=_JSON)


def accepted(request_id: str, deadline_ms: int) -> Response:
    """202: accepted, nothing of it to be told yet."""
    message = "已受理，结果可稍后查询"
    head = head_of(statuses.OK, request_id, message, deadline=deadline_ms, final=False)
    return Response(_encode({"head": head}), 202, _later(request_id), _JSON)


def answered(
    request_id: str,
    told: Told,
    *,
    http: int = 200,
    deadline_ms: int | None = None,
    links: Mapping[str, str] = MappingProxyType({}),
) -> Response:
    """What the provinces said; with a deadline it is not final, and says where to look again.

    `links` are the addresses of files by the 32 random hex digits that stand in their place on the wire.
    """
    more: dict[str, object] = {}
    if told.evidence:
        more["evidence"] = told.evidence
    if told.scenario:
        more["scenario"] = told.scenario
    if deadline_ms is not None:
        more |= {"deadline": deadline_ms, "final": False}
    else:
        more |= _remedy(told.status)
    body: dict[str, object] = {"head": head_of(told.status, request_id, told.message, **more)}
    if told.data is not None:
        body["data"] = told.data
    content = _encode(body)
    if links:
        content = _FILE_URL.sub(lambda found: _addressed(found, links), content)
    return Response(content, http, None if deadline_ms is None else _later(request_id), _JSON)


def _addressed(found: re.Match[bytes], links: Mapping[str, str]) -> bytes:
    """The address in the place of the name that stands here; a name of no file of ours stays."""
    address = links.get(found[2].decode())
    return found[0] if address is None else found[1] + b'"' + address.encode() + b'"'


def _later(request_id: str) -> dict[str, str]:
    return {"Location": f"/v1/requests/{request_id}", "Retry-After": "1"}
