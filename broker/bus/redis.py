"""How we connect to Redis: bounded in time, one quiet retry for a stale connection, keys under the party's name."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

RedisFailure = (RedisError, OSError, TimeoutError)


def connect(url: str) -> Redis:
    """A client whose every command ends within a second; scripts are safe to run twice, so one retry is allowed.

    More callers than connections wait their turn: that is load, not absence.
    """
    pool = BlockingConnectionPool.from_url(
        url,
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
