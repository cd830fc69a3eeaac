"""The sharing interfaces over HTTP: read, check, route, ask, answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec.structs import replace

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.tracing import HEADER, begun
from broker.exchange.errors import ConflictError, GoneError, NonceError, RateError, UnavailableError
from broker.exchange.exchange import Asking
from broker.exchange.routing import chosen, route, sources_of
from broker.exchange.state import Answer
from broker.gateway.answers import Problem, accepted, answered, plain
from broker.gateway.body import BodyError, HttpHead, read_body
from broker.gateway.doors import rate_headers, too_fast, unavailable
from broker.gateway.merging import alone, merged
from broker.gateway.reading import (
    LARGE_BODY_BYTES,
    BodyReader,
    deadline_of,
    is_json,
    normal_id,
    request_id_of,
    wait_seconds_of,
)
from broker.gateway.telling import tell, trace
from schemas import statuses
from schemas.form import check_complete, check_form, normalised, purpose
from schemas.interfaces import Subject
from schemas.items import RequestItem, encode, request_digest
from schemas.regions import province_of_area
from schemas.sharing import Asked, Head
from schemas.statuses import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from broker.bus.spans import Spans
    from broker.exchange.exchange import Exchange
    from broker.exchange.state import State
    from broker.gateway.merging import Told
    from broker.gateway.tokens import TokenDesk
    from broker.registry.snapshot import Snapshot
    from schemas.form import Form
    from schemas.interfaces import Interface
    from schemas.registry import Application

_WINDOW_MS = 300_000  # ±5 minutes (DOMAIN §3.4)
_HEAD_FIELDS = tuple(Head.__struct_fields__)


class _Read(NamedTuple):
    """A request as it was read; `refused` when its values are not as they should be."""

    head: HttpHead
    data: Asked
    form: Form | None
    refused: RefusedError | None


class Desk:
    """Takes the seven interfaces' requests, and tells what became of one."""

    def __init__(
        self,
        *,
        exchange: Exchange,
        tokens: TokenDesk,
        snapshot: Callable[[], Snapshot],
        unready: Callable[[], str],
        bodies: BodyReader,
        public_url: str,
        spans: Spans | None = None,
    ) -> None:
        self._exchange, self._tokens, self._snapshot, self._unready = exchange, tokens, snapshot, unready
        self._bodies, self._public_url, self._spans = bodies, public_url.rstrip("/"), spans

    async def share(self, request: Request, interface: Interface) -> Response:
        """One call of one interface."""
        received = now_ms()
        application = self.application(request)
        if self._exchange.hot(application.id):
            raise too_fast(application)
        if not is_json(request):
            raise Problem(415, statuses.OTHER)
        async with self._bodies.reading(request, whose=application.id) as raw:
            head, data, form, refused = await _read(raw, interface)
        request_id = request_id_of(head)
        if not request_id:
            refused = RefusedError(statuses.REQUIRED_EMPTY, "请填写 head.requestId（32 位十六进制）")
        else:
            self._check_message(head, request, application.id, received, request_id)
        if refused or form is None:
            return _refusal(interface, request_id, refused or RefusedError(statuses.BAD_VALUE), received)
        deadline = deadline_of(head, received, request_id)
        try:
            provinces = self._route(interface, head, data, form)
        except RefusedError as error:
            return _refusal(interface, request_id, error, received)
        here = begun(request.headers.getlist(HEADER), sampled=self._spans is not None and self._spans.admits())
        wire_head = Head(**{name: getattr(head, name) for name in _HEAD_FIELDS})
        wire_head = replace(wire_head, use_for=purpose(head, data))
        data = replace(data, use_for=None)
        item = RequestItem(
            id=request_id,
            interface=interface.key,
            application=application.id,
            deadline=deadline,
            head=wire_head,
            data=msgspec.Raw(encode(data)),
            address=request.client.host if request.client else None,
            trace=here.header,
            sources=provinces if len(provinces) > 1 or chosen(interface, form) else (),
            hops={"received": received},
        )
        digest = request_digest(interface.key, application.id, wire_head, data)
        asking = Asking(item, provinces, digest, application.per_second, head.nonce or "")
        wait_seconds = wait_seconds_of(request)
        state = await self._ask(asking, application, wait_seconds)
        told = _told(state)
        if told.status == statuses.TIMED_OUT and deadline <= received:
            told = told._replace(message="head.deadline 在提交时已过；应为毫秒时间戳")
        response = self._written(request_id, state, told, waited=wait_seconds > 0)
        response.headers[HEADER] = here.header
        if state.final or wait_seconds > 0:
            tell(interface, state, told.status, received)
        if self._spans:
            trace(self._spans, here, interface=interface, state=state, status=told.status, received_ms=received)
        if state.left >= 0:
            response.headers.update(rate_headers(application, state.left))
        return response

    async def look(self, request: Request) -> Response:
        """The state of a request: 200 final, 202 not yet, 404, 410."""
        application = self.application(request)
        request_id = normal_id(request.path_params["request_id"])
        if not request_id:
            raise Problem(404, statuses.OTHER)
        state = await self.state(request_id, application.id)
        if state is None:
            raise Problem(404, statuses.OTHER, request_id=request_id)
        response = self._written(request_id, state, _told(state), waited=True)
        if not state.final:
            response.status_code = 202
        return response

    async def state(self, request_id: str, application: str) -> State | None:
        """What is known of an application's request; raises Problem(410), Problem(503)."""
        try:
            return await self._exchange.look(request_id, application)
        except GoneError as error:
            raise Problem(410, statuses.OTHER, request_id=request_id) from error
        except UnavailableError as error:
            raise unavailable(error, request_id) from error

    def application(self, request: Request) -> Application:
        """Whose token this call bears; raises Problem(401). Whatever is answered from here on is in its dialect."""
        snapshot = self._snapshot()
        try:
            name = self._tokens.application_of(request.headers.get("authorization", ""), snapshot, now_ms() // 1000)
        except RefusedError as error:
            headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            raise Problem(401, error.code, error.detail, headers=headers) from error
        application = snapshot.applications[name]
        request.state.dialect = application.dialect
        return application

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
            (head.sign is not None, statuses.SIGN_WRONG, "本节点尚不接受 head.sign，请去掉后重试"),
        )
        for wrong, code, detail in refusals:
            if wrong:
                raise Problem(401, code, detail, request_id=request_id)

    def _route(self, interface: Interface, head: HttpHead, data: Asked, form: Form) -> tuple[str, ...]:
        """The provinces to ask; raises RefusedError when there is none."""
        snapshot = self._snapshot()
        named = [province_of_area(code) for code in data.region_codes or ()]
        if None in named:
            raise RefusedError(statuses.BAD_VALUE, "data.regionCodes 中有本交换区域以外的地区")
        provinces = route(form, data.region_codes, sources_of(snapshot, head.scene_code, interface, data))
        if provinces and named and not set(provinces) <= set(named):
            raise RefusedError(statuses.BAD_VALUE, "所查标识或政务服务码不属于 data.regionCodes 中的地区")
        if provinces:
            return provinces
        if interface.subject is Subject.CODE:
            raise RefusedError(statuses.CODE_UNKNOWN, "签发地区不在本交换区域内")
        if head.scene_code not in snapshot.scenes:
            raise RefusedError(statuses.SCENE_UNKNOWN, "请核对 head.sceneCode")
        raise RefusedError(statuses.NOT_FOUND, "颁发机构不在本交换区域内")

    async def _ask(self, asking: Asking, application: Application, wait_seconds: float) -> State:
        request_id = asking.item.id
        if away := self._unready():
            raise unavailable(UnavailableError(away), request_id)
        try:
            return await self._exchange.ask(asking, wait_seconds=wait_seconds)
        except ConflictError as error:
            raise Problem(409, statuses.OTHER, request_id=request_id) from error
        except GoneError as error:
            raise Problem(410, statuses.OTHER, request_id=request_id) from error
        except NonceError as error:
            raise Problem(401, statuses.REPLAYED, "head.nonce 已用于另一个请求", request_id=request_id) from error
        except RateError as error:
            raise too_fast(application, request_id) from error
        except UnavailableError as error:
            raise unavailable(error, request_id) from error

    def _written(self, request_id: str, state: State, told: Told, *, waited: bool) -> Response:
        """200 with what there is, 202 when there is nothing yet."""
        if state.final:
            return answered(request_id, told, links=self._links(request_id, state))
        if told.status == statuses.PARTIAL:
            links = self._links(request_id, state)
            return answered(request_id, told, deadline_ms=state.deadline_ms, links=links)
        if told.data is not None and waited:
            return answered(request_id, told, http=202, deadline_ms=state.deadline_ms)
        return accepted(request_id, state.deadline_ms)

    def _links(self, request_id: str, state: State) -> dict[str, str]:
        """The address of each sealed file by its name on the wire."""
        return {
            ticket.address: f"{self._public_url}/v1/files/{request_id}{ticket.address}"
            for part in state.parts.values()
            if isinstance(part, Answer)
            for ticket in part.item.tickets
        }


def _told(state: State) -> Told:
    """What is known by now; of provinces that were our choice, or several, what came of each."""
    return merged(state) if state.chosen or len(state.parts) > 1 else alone(next(iter(state.parts.values())))


async def _read(raw: bytes, interface: Interface) -> _Read:
    """The typed request in its one form; what is large is read beside the loop."""
    if len(raw) > LARGE_BODY_BYTES:
        return await asyncio.to_thread(_read_now, raw, interface)
    return _read_now(raw, interface)


def _read_now(raw: bytes, interface: Interface) -> _Read:
    try:
        head, data = read_body(raw, interface)
    except BodyError as error:
        raise Problem(400, statuses.BAD_VALUE, str(error)) from error
    try:
        check_complete(interface, head, data)  # a value that is not there goes before one that is wrong
        data = normalised(data)
        return _Read(head, data, check_form(interface, head, data), None)
    except RefusedError as error:
        return _Read(head, data, None, error)


def _refusal(interface: Interface, request_id: str, error: RefusedError, received: int) -> Response:
    """200 with the reason: refused before any province was asked."""
    telemetry.answered(interface.key, error.code, (now_ms() - received) / 1000)
    message = statuses.STATUSES[error.code].message
    return plain(error.code, request_id, f"{message}：{error.detail}" if error.detail else "")
