"""One connection as an endpoint may watch it: whether what it was given has arrived."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import struct
import termios

LINE = "line"
"""Where a request's `scope["state"]` has its connection's line."""


class Line:
    """The protocol tells it what happens, an endpoint asks it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._broken = self._ended = False
        self._news: asyncio.Future[bool] | None = None

    @property
    def lost(self) -> bool:
        """Whether nothing can be sent any more: what is written to a closing transport is dropped without a word."""
        return self._transport.is_closing()

    def asked_again(self) -> None:
        """The client asks for something more: what it was given before, it has."""
        if not self._unsent():
            self._tell(taken=True)

    def hung_up(self) -> None:
        """The client says that it will send nothing more; it may have left before everything had come."""
        # A reset that follows a FIN is never reported by a read, so the kernel is asked what the client has not taken.
        self._broken = self._broken or self._unsent() > 0
        self._tell(taken=not self._broken)

    def end(self, error: Exception | None) -> None:
        """The connection is gone; with an error when the client closed it and left something unread."""
        self._ended, self._broken = True, self._broken or error is not None
        self._tell(taken=not self._broken)

    def abort(self) -> None:
        """End the connection now, whatever waits to be sent."""
        self._broken = True
        self._transport.abort()

    async def taken(self, *, quiet_seconds: float, stall_seconds: float) -> bool:
        """Whether the client has taken all it was given.

        True once it asks again, closes in peace, or has acknowledged everything and been quiet for so long. False
        once the connection breaks; one on which nothing moves for `stall_seconds` is broken by us.
        """
        if self._ended:
            return not self._broken
        loop = asyncio.get_running_loop()
        news: asyncio.Future[bool] = loop.create_future()
        self._news = news
        least, since = self._unsent(), loop.time()
        while True:
            await asyncio.wait([news], timeout=quiet_seconds)
            if news.done():
                return news.result()
            unsent = self._unsent()
            if not unsent:
                return True
            if unsent < least:
                least, since = unsent, loop.time()
            elif loop.time() - since > stall_seconds:
                self.abort()
                return False

    def _tell(self, *, taken: bool) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(taken)

    def _unsent(self) -> int:
        """Bytes that the client's side has not acknowledged: ours and the kernel's (Linux, tcp(7) SIOCOUTQ)."""
        kernel = bytearray(4)
        with contextlib.suppress(OSError, AttributeError):  # not a socket, or gone already
            fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, kernel)
        return self._transport.get_write_buffer_size() + int(struct.unpack("i", kernel)[0])
