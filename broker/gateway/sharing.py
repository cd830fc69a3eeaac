"""The sharing interfaces over HTTP: read, check, route, ask, answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.exchange.exchange import (
    ConflictError,
    GoneError,
    NonceError,
    Pending,
    RateError,
    UnavailableError,
)
from broker.exchange.flights import Expired
from broker.exchange.routing import route
from broker.gateway.answers import Problem, accepted, answered, plain
from broker.gateway.body import BodyError, read_body
from schemas import statuses
from schemas.form import check_form, purpose
from schemas.items import MAX_TRACE_CHARS, RequestItem, encode, request_digest
from schemas.lot import MAX_DEADLINE_AHEAD_MS
from schemas.sharing import Head
from schemas.statuses import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from broker.exchange.exchange import Exchange
    from broker.exchange.replies import Answer
    from broker.gateway.body import HttpHead
    from broker.gateway.tokens import TokenDesk
    from broker.registry.snapshot import Snapshot
    from schemas.identifiers import CertificateId
    from schemas.interfaces import Interface

MAX_BODY_BYTES = 10 << 20
DEFAULT_WAIT_SECONDS = 5.0
MAX_WAIT_SECONDS = 60.0
DEFAULT_DEADLINE_MS = 60_000
_BODY_SECONDS = 30.0
_WINDOW_MS = 300_000  # ±5 minutes (DOMAIN §3.4)
_HEX = frozenset("0123456789abcdef")
_HEAD_FIELDS = tuple(Head.__struct_fields__)


class Desk:
    """Takes the seven interfaces' requests, and tells what became of one."""

    def __init__(
        self, *, exchange: Exchange, tokens: TokenDesk, snapshot: Callable[[], Snapshot], unready: Callable[[], str]
    ) -> None:
        self._exchange, self._tokens, self._snapshot, self._unready = exchange, tokens, snapshot, unready

    async def share(self, request: Request, interface: Interface) -> Response:
        """One call of one interface."""
        received = now_ms()
        application = self._application(request)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Problem(415, statuses.OTHER)
        raw = await bounded(request, MAX_BODY_BYTES)
        try:
            head, data = read_body(raw, interface)
        except BodyError as error:
            raise Problem(400, statuses.BAD_VALUE, str(error)) from error
        request_id = _request_id(head)
        if not request_id:
            return self._told(interface, "", statuses.REQUIRED_EMPTY, "", "请填写 head.requestId（32 位十六进制）")
        self._check_message(head, request, application, received, request_id)
        try:
            identifier = check_form(interface, head, data)
        except RefusedError as error:
            return self._told(interface, "", error.code, request_id, error.detail)
        deadline = _deadline(head, received, request_id)
        wire_head = Head(**{name: getattr(head, name) for name in _HEAD_FIELDS})
        wire_head = msgspec.structs.replace(wire_head, use_for=purpose(head, data))
        data = msgspec.structs.replace(data, use_for=None)
        item = RequestItem(
            id=request_id,
            interface=interface.key,
            application=application,
            deadline=deadline,
            head=wire_head,
            data=msgspec.Raw(encode(data)),
            address=request.client.host if request.client else None,
            trace=_traceparent(request),
            hops={"received": received},
        )
        province = self._route(identifier, data, head)
        if not province:
            return self._told(interface, "", statuses.NOT_FOUND, request_id, "颁发机构不在本交换区域内")
        digest = request_digest(interface.key, application, wire_head, data)
        state = await self._ask(item, province, digest, head.nonce or "", _wait_seconds(request))
        return self._answer(interface, province, request_id, received, state)

    async def look(self, request: Request) -> Response:
        """The state of a request: 200 final, 202 not yet, 404, 410."""
        application = self._application(request)
        request_id = _normal(request.path_params["request_id"])
        if not request_id:
            raise Problem(404, statuses.OTHER)
        try:
            state = await self._exchange.look(request_id, application)
        except GoneError as error:
            raise Problem(410, statuses.OTHER, request_id=request_id) from error
        except UnavailableError as error:
            raise _unavailable(error, request_id) from error
        if state is None:
            raise Problem(404, statuses.OTHER, request_id=request_id)
        return _state(request_id, state)

    def _application(self, request: Request) -> str:
        try:
            return self._tokens.application_of(
                request.headers.get("authorization", ""), self._snapshot(), now_ms() // 1000
            )
        except RefusedError as error:
            headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            raise Problem(401, error.code, error.detail, headers=headers) from error

    def _check_message(self, head: HttpHead, request: Request, application: str, now: int, request_id: str) -> None:
        """What a message may carry besides its token is checked when it is there (401)."""
        _, _, token = request.headers.get("authorization", "").partition(" ")
        refusals = (
            (head.access_id not in (None, application), statuses.UNAUTHENTICATED, "head.accessId 与令牌不一致"),
            (head.access_token not in (None, token.strip()), statuses.UNAUTHENTICATED, "head.accessToken 与令牌不一致"),
            (
                head.timestamp is not None and abs(head.timestamp - now) > _WINDOW_MS,
                statuses.CLOCK_WINDOW,
                "head.timestamp 与服务器时间相差超过 5 分钟",
            ),
            (head.sign is not None, 2001, "本节点尚不接受 head.sign，请去掉后重试"),
        )
        for wrong, code, detail in refusals:
            if wrong:
                raise Problem(401, code, detail, request_id=request_id)

    def _route(self, identifier: CertificateId | None, data: object, head: HttpHead) -> str:
        scene = self._snapshot().scenes.get(head.scene_code or "")
        sources = sorted({p for granted in scene.types.values() for p in granted.sources}) if scene else ()
        assert identifier is not None
        provinces = route(identifier, getattr(data, "region_codes", None), sources)
        return provinces[0] if provinces else ""  # one source until fan-out stands

    async def _ask(
        self, item: RequestItem, province: str, digest: str, nonce: str, wait_seconds: float
    ) -> Answer | Expired | Pending:
        if away := self._unready():
            raise _unavailable(UnavailableError(away), item.id)
        application = self._snapshot().applications[item.application]
        try:
            return await self._exchange.ask(
                item,
                province=province,
                digest=digest,
                per_second=application.per_second,
                nonce=nonce,
                wait_seconds=wait_seconds,
            )
        except ConflictError as error:
            raise Problem(409, statuses.OTHER, request_id=item.id) from error
        except GoneError as error:
            raise Problem(410, statuses.OTHER, request_id=item.id) from error
        except NonceError as error:
            raise Problem(401, statuses.REPLAYED, "head.nonce 已用于另一个请求", request_id=item.id) from error
        except RateError as error:
            raise Problem(429, statuses.RATE_LIMITED, request_id=item.id, headers={"Retry-After": "1"}) from error
        except UnavailableError as error:
            raise _unavailable(error, item.id) from error

    def _answer(
        self, interface: Interface, province: str, request_id: str, received: int, state: Answer | Expired | Pending
    ) -> Response:
        if not isinstance(state, Pending):
            status = statuses.TIMED_OUT if isinstance(state, Expired) else state.item.status
            known = status if status in statuses.STATUSES else statuses.OTHER
            telemetry.REQUESTS.labels(interface.key, province, known).inc()
            telemetry.REQUEST_SECONDS.observe((now_ms() - received) / 1000)
        return _state(request_id, state)

    @staticmethod
    def _told(interface: Interface, province: str, status: int, request_id: str, detail: str = "") -> Response:
        telemetry.REQUESTS.labels(interface.key, province, status).inc()
        return plain(status, request_id, f"{statuses.STATUSES[status].message}：{detail}" if detail else "")


def _state(request_id: str, state: Answer | Expired | Pending) -> Response:
    if isinstance(state, Pending):
        return accepted(request_id, state.deadline_ms)
    if isinstance(state, Expired):
        return plain(statuses.TIMED_OUT, request_id)
    return answered(state)


def _traceparent(request: Request) -> str | None:
    """The caller's trace context; what cannot be one is passed over (W3C Trace Context)."""
    told = request.headers.get("traceparent", "")
    return told if 0 < len(told) <= MAX_TRACE_CHARS and told.isascii() else None


async def bounded(request: Request, max_bytes: int) -> bytes:
    """The body, at most so long whatever its length header says; raises Problem(413)."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise Problem(413, statuses.OTHER)
    out = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in request.stream():
                out += part
                if len(out) > max_bytes:
                    raise Problem(413, statuses.OTHER)
    except TimeoutError as error:
        raise Problem(400, statuses.BAD_VALUE, "请求体未在 30 秒内送达", headers={"Connection": "close"}) from error
    return bytes(out)


def _normal(text: str) -> str:
    """A request id in lower case, empty when it is not 32 hex digits."""
    lower = text.lower()
    return lower if len(lower) == 32 and _HEX.issuperset(lower) else ""


def _request_id(head: HttpHead) -> str:
    """Empty when there is none; raises Problem(400) when it is not 32 hex digits."""
    if not (head.request_id or "").strip():
        return ""
    normal = _normal(head.request_id or "")
    if not normal:
        raise Problem(400, statuses.BAD_VALUE, "head.requestId 应为 32 位十六进制数字")
    return normal


def _deadline(head: HttpHead, now: int, request_id: str) -> int:
    """Absolute, unix ms; 60 s from now unless told; raises Problem(400) beyond ten minutes."""
    if head.deadline is None:
        return now + DEFAULT_DEADLINE_MS
    if head.deadline > now + MAX_DEADLINE_AHEAD_MS:
        raise Problem(
            400, statuses.BAD_VALUE, "head.deadline 不得晚于 10 分钟之后（毫秒时间戳）", request_id=request_id
        )
    return head.deadline


def _wait_seconds(request: Request) -> float:
    """How long the caller holds the line (RFC 7240): wait=N, respond-async, else five seconds."""
    for preference in request.headers.get("prefer", "").lower().replace(" ", "").split(","):
        name, _, value = preference.partition("=")
        if name == "respond-async":
            return 0.0
        if name == "wait" and value.isdecimal() and len(value) < 6:
            return min(float(value), MAX_WAIT_SECONDS)
    return DEFAULT_WAIT_SECONDS


_PARTS = {
    "redis": "Redis 暂不可达",
    "kafka": "Kafka 暂不可达",
    "answers": "正在重建答复记录",
    "registry": "登记信息已过期",
    "lane": "在途请求过多",
    "clock": "时钟偏差过大",
}


def _unavailable(error: UnavailableError, request_id: str) -> Problem:
    remedy = "未提交，请稍后重试" if error.known else "是否已提交未知，请使用同一 requestId 重试"
    return Problem(
        503,
        statuses.UNREACHABLE,
        f"{_PARTS.get(error.part, error.part)}；{remedy}",
        request_id=request_id,
        headers={"Retry-After": str(error.retry_after)},
    )
