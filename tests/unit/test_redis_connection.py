"""What a broken connection to Redis looks like to us."""

import asyncio

import pytest
import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError

from broker.bus.redis import RedisFailure, _Connection


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def write_to_a_closed_connection() -> None:
    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    place = server.sockets[0].getsockname()
    connection = _Connection(host=place[0], port=place[1])
    connection._reader, connection._writer = await asyncio.open_connection(*place)
    connection._writer.transport.abort()
    await asyncio.sleep(0.05)
    try:
        await connection.send_packed_command([b"PING"], check_health=False)
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.05)


def test_a_connection_that_is_closed_under_our_hands() -> None:
    """A write to a transport that uvloop has closed is Redis being away, like every other broken connection."""
    with pytest.raises(RedisConnectionError) as error:
        uvloop.run(write_to_a_closed_connection())
    assert isinstance(error.value, RedisFailure)
