"""HTTP on the wire: a head that is bounded in bytes and time, refusals with `head.status`, and a line to be watched."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from broker.gateway.answers import Problem, problem
from broker.gateway.line import LINE, Line
from schemas import statuses

if TYPE_CHECKING:
    import asyncio

MAX_HEAD_BYTES = 64 * 1024
MAX_FRUITLESS_BYTES = 1 << 20
MAX_DRAINED_BYTES = 16 << 20  # more than a body may have: who is answered early can send all and read the answer
HEAD_SECONDS = 15.0
LINGER_SECONDS = 30.0
_UPGRADE = re.compile(rb"(\r\n)upgrade:", re.IGNORECASE)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol; llhttp itself takes heads and trailers of any size for as long as somebody sends them.

    An offer to speak another protocol is passed over (RFC 9110 §7.8): Java's client makes one with its first request,
    and llhttp would then leave the body unread.
    """

    _head_bytes = _header_bytes = 0
    _fruitless_bytes = 0  # read since anything came of it: a trailer
    _drained_bytes = 0  # of a body that nobody wants any more
    _in_head = True
    _in_message = False
    _timer: asyncio.TimerHandle | None = None
    _line: Line

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._line = Line(transport)
        self._begin_head()

    def eof_received(self) -> bool:  # type: ignore[override]
        self._line.hung_up()
        if self.cycle is None or self.cycle.response_complete:
            return False
        self.cycle.keep_alive = False  # it will send nothing more, and still wants its answer
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        self._line.end(exc)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        if self._in_head or not self._in_message:
            head, end, rest = data.partition(b"\r\n\r\n")
            data = _UPGRADE.sub(rb"\1x-not-upgraded:", head) + end + rest
        self._fruitless_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(Problem(431, statuses.OTHER))
        elif self._fruitless_bytes > MAX_FRUITLESS_BYTES:
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._fruitless_bytes = self._header_bytes = self._drained_bytes = 0
        self._in_message = True
        self.scope["state"][LINE] = self._line
        self._line.asked_again()
        if not self._in_head:
            self._begin_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # what comes later is a trailer, and nobody reads those
            self._header_bytes += len(name) + len(value)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._end_head()
        if self._header_bytes > MAX_HEAD_BYTES:  # all of them came in one read
            self._refuse(Problem(431, statuses.OTHER))
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self.transport.is_closing():
            return
        self._fruitless_bytes = 0
        if self.cycle is not None and self.cycle.response_complete:
            self._drained_bytes += len(body)
            if self._drained_bytes > MAX_DRAINED_BYTES:
                self.transport.close()
                return
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        self._end_head()  # or the linger of one that was answered early
        if not self.transport.is_closing():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.pipeline and self.cycle is not None and self.cycle.more_body and not self.transport.is_closing():
            # Answered before its body was there: some time and room to read the answer, then it ends.
            self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)

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
