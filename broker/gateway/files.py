"""GET /v1/files/{ticket}: a sealed file to the application that asked for it, once, and resumable."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from starlette.responses import Response

from broker.bus.clock import now_ms
from broker.exchange.state import Answer
from broker.gateway.answers import Problem
from broker.gateway.claims import Claims
from broker.gateway.download import FAILURES, Download, Span, refused
from schemas import statuses
from schemas.sealed_files import SealedFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis
    from starlette.requests import Request

    from broker.bus.objects import Objects
    from broker.exchange.state import State
    from schemas.items import Ticket

_TICKET = re.compile(r"([0-9a-f]{32})([0-9a-f]{32})")  # request id, address
_RANGE = re.compile(r"bytes=([0-9]{1,19})-([0-9]{0,19})", re.IGNORECASE)
_AT_ONCE = 64  # each holds a few segments in memory
_OF_ONE = 16  # one application's slow downloads leave room for others'
_EXPIRED = "文件下载地址已过期；请使用新的 requestId 重新提交请求"


class FileDesk:
    """Hands files out to whom they belong.

    `application_of` tells whose call it is and `look` the state of that application's request, None when it has none
    with this id; both raise Problem.
    """

    def __init__(
        self,
        *,
        application_of: Callable[[Request], str],
        look: Callable[[str, str], Awaitable[State | None]],
        objects: Objects,
        redis: Redis,
        node: str,
    ) -> None:
        self._application_of, self._look, self._objects = application_of, look, objects
        self._claims = Claims(redis, node)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._own: dict[str, asyncio.Semaphore] = {}

    async def download(self, request: Request) -> Response:
        """The file or a part of it; raises Problem: 401, 404, 410 (expired, fetched, no longer kept), 416, 503."""
        application = self._application_of(request)
        found = _TICKET.fullmatch(request.path_params["ticket"])
        if found is None:
            raise Problem(404, statuses.OTHER)
        request_id, address = found.groups()
        ticket = _ticket(await self._look(request_id, application), address)
        if ticket is None:
            raise Problem(404, statuses.OTHER, request_id=request_id)
        if ticket.expires <= now_ms():
            raise Problem(410, statuses.OTHER, _EXPIRED, request_id=request_id)
        try:
            await self._claims.check(ticket)
            sealed = SealedFile(ticket)
        except FAILURES as error:
            raise refused(error) from error
        span = _span(request, ticket)
        headers = _headers(ticket, span)
        if request.method == "HEAD":
            return Response(headers=headers)
        return Download(
            ticket=ticket,
            sealed=sealed,
            span=span,
            headers=headers,
            objects=self._objects,
            claims=self._claims,
            turns=(self._own.setdefault(application, asyncio.Semaphore(_OF_ONE)), self._turns),
        )


def _ticket(state: State | None, address: str) -> Ticket | None:
    """The ticket with this address in the answer of any province."""
    answers = [part for part in state.parts.values() if isinstance(part, Answer)] if state else []
    return next((one for answer in answers for one in answer.item.tickets if one.address == address), None)


def _span(request: Request, ticket: Ticket) -> Span:
    """What of the file is asked for; raises Problem(416).

    A Range is passed over when it is not one range with a beginning, or meant for another file (RFC 9110 §13.1.5,
    §14.2: a server may).
    """
    whole = Span(0, ticket.size, partial=False)
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if found is None or request.method != "GET" or request.headers.get("if-range", _etag(ticket)) != _etag(ticket):
        return whole
    start, stop = int(found[1]), int(found[2]) + 1 if found[2] else ticket.size
    if found[2] and stop <= start:
        return whole
    if start >= ticket.size:
        raise Problem(416, statuses.BAD_VALUE, headers={"Content-Range": f"bytes */{ticket.size}"})
    return Span(start, min(stop, ticket.size), partial=True)


def _etag(ticket: Ticket) -> str:
    return f'"{ticket.address}"'


def _headers(ticket: Ticket, span: Span) -> dict[str, str]:
    """What is told of a file beside its bytes; its name and type tell nothing of whose or what it is."""
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": 'attachment; filename="certificate-file"',
        "Content-Length": str(span.stop - span.start),
        "Accept-Ranges": "bytes",
        "ETag": _etag(ticket),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    if span.partial:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{ticket.size}"
    return headers
