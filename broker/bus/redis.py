"""How we connect to Redis: bounded in time, one quiet retry for a stale connection, keys under the party's name."""

from __future__ import annotations

from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

RedisFailure = (RedisError, OSError, TimeoutError)


class _Connection(Connection):
    """A connection that was closed under our hands says so as Redis being away.

    uvloop raises RuntimeError for a write to a transport that is closed; nobody takes that for an outage, and an agent
    would put the lot aside as a defect of ours.
    """

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002  # theirs
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            raise RedisConnectionError("the connection was closed") from error


def connect(url: str) -> Redis:
    """A client whose every command ends within a second; scripts are safe to run twice, so one retry is allowed.

    More callers than connections wait their turn: that is load, not absence.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        connection_class=_Connection,
        max_connections=64,
        timeout=5,
        protocol=3,
        socket_connect_timeout=0.5,
        socket_timeout=0.8,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )
    return Redis.from_pool(pool)


def prefix(party: str) -> str:
    """Beginning of every key of a party; the local stack keeps all parties in one Redis process."""
    return f"certlane:{party}:"
