"""One download on its way: segments opened and verified one by one, the last one only for who may have it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import Response

from broker.bus import telemetry
from broker.bus.objects import NoObjectError, ObjectsError
from broker.bus.redis import RedisFailure
from broker.gateway.answers import Problem
from broker.gateway.claims import SpentError
from broker.gateway.line import LINE
from schemas import statuses
from schemas.sealed_files import SEGMENT_BYTES
from schemas.suites import CryptoError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from broker.bus.objects import Objects
    from broker.gateway.claims import Claims
    from broker.gateway.line import Line
    from schemas.items import Ticket
    from schemas.sealed_files import SealedFile

_STALL_SECONDS = 30.0  # for a segment to go out, and for anything of the last one to move
_QUIET_SECONDS = 5.0  # a client that goes and leaves something unread is noticed within it
_ANEW = "请使用新的 requestId 重新提交请求"
_AGAIN = "请在 Retry-After 所示秒数后使用同一地址重试"

# what stands in the way: error -> HTTP status, code, detail; the first row that fits
_REFUSALS: tuple[tuple[tuple[type[Exception], ...], int, int, str], ...] = (
    ((SpentError,), 410, statuses.OTHER, f"文件已取走，每个下载地址只能取一次；如仍需要，{_ANEW}"),
    ((NoObjectError,), 410, statuses.OTHER, f"文件已不再保留；{_ANEW}"),
    ((CryptoError,), 410, statuses.OTHER, f"文件在存储中已损坏，未予提供；{_ANEW}"),
    ((ObjectsError,), 503, statuses.UNREACHABLE, f"文件存储暂不可达；{_AGAIN}"),
    (RedisFailure, 503, statuses.UNREACHABLE, f"Redis 暂不可达；{_AGAIN}"),
)
FAILURES = tuple(error for row in _REFUSALS for error in row[0])


def refused(error: Exception) -> Problem:
    """The answer to one of `FAILURES` as long as nothing was sent."""
    _, http, status, detail = next(row for row in _REFUSALS if isinstance(error, row[0]))
    return Problem(http, status, detail, headers={"Retry-After": "2"} if http == 503 else None)


class Span(NamedTuple):
    """The file's bytes from `start` up to `stop`; `partial` when the client asked for a range."""

    start: int
    stop: int
    partial: bool


class Download(Response):
    """Sends a part of a file, with one segment of it in memory.

    What fails before the first byte is a refusal; what fails later ends the connection before `Content-Length`, so
    that nobody takes a part for the whole.
    """

    def __init__(
        self,
        *,
        ticket: Ticket,
        sealed: SealedFile,
        span: Span,
        headers: Mapping[str, str],
        objects: Objects,
        claims: Claims,
        turns: tuple[asyncio.Semaphore, asyncio.Semaphore],
    ) -> None:
        super().__init__(status_code=206 if span.partial else 200, headers=headers)
        self._ticket, self._sealed, self._span = ticket, sealed, span
        self._objects, self._claims = objects, claims
        self._turns = turns  # of its application, of all
        self._started = False
        self._token = ""  # of the claim on the last byte

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        own, all_of_them = self._turns
        if own.locked() or all_of_them.locked():
            telemetry.REFUSED.labels("files").inc()
            raise Problem(503, statuses.UNREACHABLE, f"同时下载的文件过多；{_AGAIN}", headers={"Retry-After": "2"})
        line: Line = scope["state"][LINE]
        fetched = False
        try:
            async with own, all_of_them:
                sent = await self._send(line, send)
            fetched = sent and await self._fetched(line)
            telemetry.FILES.labels("sent" if fetched else "broken").inc()
        except FAILURES as error:
            telemetry.FILES.labels("gone" if isinstance(error, SpentError | NoObjectError) else "failed").inc()
            if not self._started:
                raise refused(error) from error
            telemetry.log.warning("download ended early", error=type(error).__name__)
        finally:
            if self._token and not fetched:
                await self._give_back()
        if fetched:
            await self._finish(send)

    async def _send(self, line: Line, send: Send) -> bool:
        """Whether all of it went out; the kernel and the client may still lose it."""
        for number in self._sealed.holding(self._span.start, self._span.stop):
            body = await self._opened(number)
            if line.lost:
                return False
            if number == self._sealed.segments - 1 and self._span.stop == self._sealed.size:
                self._token = await self._claims.take(self._ticket)
            if not self._started:
                self._started = True
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if not await _push(body, line, send):
                return False
        await _push(b"", line, send)  # waits until there is room for more, so that little is left in memory
        return True

    async def _fetched(self, line: Line) -> bool:
        """Whether the client has what it came for.

        The last word of the response is held back until then: so the connection stays open to be watched, however the
        client wants it to end.
        """
        return not self._token or await line.taken(quiet_seconds=_QUIET_SECONDS, stall_seconds=_STALL_SECONDS)

    async def _opened(self, number: int) -> bytes:
        """What is asked for of this segment."""
        sealed = await self._objects.read(self._ticket.address, *self._sealed.place(number))
        plain = self._sealed.open(number, sealed)
        first = number * SEGMENT_BYTES
        return plain[max(0, self._span.start - first) : self._span.stop - first]

    async def _finish(self, send: Send) -> None:
        if self._token:
            with contextlib.suppress(*RedisFailure):  # the claim itself keeps everybody else out
                await self._claims.spend(self._ticket)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        if self._token:
            with contextlib.suppress(ObjectsError):  # it will be swept
                await self._objects.delete(self._ticket.address)

    async def _give_back(self) -> None:
        try:
            await self._claims.give_back(self._ticket, self._token)
        except RedisFailure as error:
            telemetry.log.warning("claim not given back", error=type(error).__name__)


async def _push(body: bytes, line: Line, send: Send) -> bool:
    """Send bytes as soon as the client makes room, and let go of one that does not; whether they surely went out."""
    try:
        async with asyncio.timeout(_STALL_SECONDS):
            await send({"type": "http.response.body", "body": body, "more_body": True})
            telemetry.FILE_BYTES.inc(len(body))
    except TimeoutError:
        line.abort()
    return not line.lost
