"""How we connect to Redis: bounded in time, one quiet retry for a stale connection, keys under the party's name."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

RedisFailure = (RedisError, OSError, TimeoutError)


def connect(url: str) -> Redis:
    """A client whose every command ends within a second; scripts are safe to run twice, so one retry is allowed."""
    return Redis.from_url(
        url,
        protocol=3,
        socket_connect_timeout=0.5,
        socket_timeout=0.8,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        max_connections=64,
    )


def prefix(party: str) -> str:
    """Beginning of every key of a party; the local stack keeps all parties in one Redis process."""
    return f"certlane:{party}:"


__all__ = ["RedisFailure", "RedisTimeoutError", "connect", "prefix"]
