"""HTTP on the wire: a head that is bounded in bytes and time, refusals with `head.status`, and a line to be watched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from broker.gateway.answers import Problem, problem
from broker.gateway.line import LINE, Line
from schemas import statuses

if TYPE_CHECKING:
    import asyncio

MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 15.0


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol; llhttp itself takes a head of any size for as long as somebody sends one."""

    _head_bytes = 0
    _in_head = True
    _timer: asyncio.TimerHandle | None = None
    _line: Line

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._line = Line(transport)
        self._begin_head()

    def eof_received(self) -> None:
        self._line.hung_up()
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        self._line.end(exc)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(Problem(431, statuses.OTHER))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"][LINE] = self._line
        self._line.asked_again()
        if not self._in_head:
            self._begin_head()

    def on_headers_complete(self) -> None:
        self._end_head()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words are not for our callers
        self._refuse(Problem(400, statuses.BAD_VALUE))

    def _begin_head(self) -> None:
        self._head_bytes, self._in_head = 0, True
        self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _end_head(self) -> None:
        self._in_head = False
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if self._in_head and not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, error: Problem) -> None:
        answer = problem(error)
        lines = [
            f"HTTP/1.1 {error.http} ",
            *(f"{name.decode()}: {value.decode()}" for name, value in answer.raw_headers),
        ]
        self.transport.write("\r\n".join([*lines, "connection: close", "", ""]).encode() + bytes(answer.body))
        self.transport.close()
