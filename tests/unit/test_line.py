"""A connection that is watched: whether the client took what it was given, on real sockets."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Final

import pytest

from broker.gateway.line import Line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE: Final = 60.0
MORE_THAN_THE_KERNEL_TAKES: Final = bytes(64 << 20)


class Server(asyncio.Protocol):
    """A server that says nothing by itself and tells its line what happens, as BoundedProtocol does."""

    transport: asyncio.Transport
    line: Line

    def connection_made(self, transport: Any) -> None:
        self.transport, self.line = transport, Line(transport)

    def data_received(self, _: bytes) -> None:
        self.line.asked_again()

    def eof_received(self) -> None:
        self.line.hung_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self.line.end(exc)


class Both:
    """The two ends of one connection."""

    def __init__(self, server: Server, client: socket.socket) -> None:
        self.server, self.client = server, client

    async def taken(self, *, quiet: float = PATIENCE, stall: float = PATIENCE) -> bool:
        return await self.server.line.taken(quiet_seconds=quiet, stall_seconds=stall)


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    made: asyncio.Future[Server] = asyncio.get_running_loop().create_future()

    def protocol() -> Server:
        server = Server()
        asyncio.get_running_loop().call_soon(made.set_result, server)
        return server

    listening = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    client = socket.create_connection(listening.sockets[0].getsockname())
    server = await made
    yield Both(server, client)
    client.close()
    listening.close()
    if not server.line.lost:
        server.transport.abort()


async def test_asked_again(both: Both) -> None:
    """A client that asks for something more has taken what it was given."""
    both.server.transport.write(b"file")
    waiting = asyncio.create_task(both.taken())
    await asyncio.sleep(0)
    both.client.send(b"more")
    assert await waiting


async def test_closed_in_peace(both: Both) -> None:
    """A client that reads everything and closes has taken it."""
    both.server.transport.write(b"file")
    waiting = asyncio.create_task(both.taken())
    await asyncio.sleep(0)
    both.client.recv(4, socket.MSG_WAITALL)
    both.client.close()
    assert await waiting
    assert await both.taken()


async def test_closed_with_something_unread(both: Both) -> None:
    """A client that closes and leaves something unread has not taken it, however long ago it was given."""
    both.server.transport.write(b"file")
    waiting = asyncio.create_task(both.taken())
    await asyncio.sleep(0)
    both.client.recv(3, socket.MSG_WAITALL)
    both.client.close()
    assert not await waiting
    assert not await both.taken()


async def test_closed_before_anything_came(both: Both) -> None:
    """A client that had closed before it was given anything has not taken it, though no error is ever reported."""
    both.client.close()
    both.server.transport.write(b"file")  # the loop has not seen the end yet
    assert not await both.taken()


async def test_closing(both: Both) -> None:
    """A connection that is being closed is lost at once, before the loop says so: nothing more can be sent on it."""
    assert not both.server.line.lost
    both.server.transport.close()
    assert both.server.line.lost


async def test_half_closed_with_something_on_the_way(both: Both) -> None:
    """A client that says it is done while something is on its way has not taken it."""
    both.server.transport.write(MORE_THAN_THE_KERNEL_TAKES)
    waiting = asyncio.create_task(both.taken())
    await asyncio.sleep(0)
    both.client.shutdown(socket.SHUT_WR)
    await asyncio.to_thread(both.client.recv, len(MORE_THAN_THE_KERNEL_TAKES), socket.MSG_WAITALL)
    assert not await waiting


async def test_quiet(both: Both) -> None:
    """A client whose side has everything and that says nothing for a while has taken it."""
    both.server.transport.write(b"file")
    assert await both.taken(quiet=0.01)


async def test_slow(both: Both) -> None:
    """A client that takes little at a time is waited for, and what it does not take in the end counts."""
    both.server.transport.write(MORE_THAN_THE_KERNEL_TAKES)
    waiting = asyncio.create_task(both.taken(quiet=0.01))
    for _ in range(20):
        await asyncio.to_thread(both.client.recv, 1 << 20, socket.MSG_WAITALL)
        assert not waiting.done()
    both.client.close()
    assert not await waiting


async def test_stalled(both: Both) -> None:
    """A client that takes nothing more is let go and has not taken it."""
    both.server.transport.write(MORE_THAN_THE_KERNEL_TAKES)
    assert not await both.taken(quiet=0.01, stall=0.05)
    assert both.server.line.lost
