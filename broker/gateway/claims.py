"""Which files were fetched: one mark a file in the node's Redis, so that of all downloads only one comes to the end."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

from broker.bus.redis import prefix

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from schemas.items import Ticket

_SPENT = b"spent"
_KEPT_MS = 600_000  # after the ticket's end: a download that began in time may end after it
_CLAIM_MS = 120_000  # longer than a last segment takes; a process that dies meanwhile gives nothing back
_GRACE_SECONDS = 2.0  # who broke a download off and asks again may be faster than we notice the break
_LOOK_SECONDS = 0.05

_GIVE_BACK = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class SpentError(Exception):
    """Another download has the last byte, or is about to get it."""


class Claims:
    """The marks of one node's files: none, the token of the download that sends the last byte, or spent.

    Every call may raise RedisError.
    """

    def __init__(self, redis: Redis, node: str) -> None:
        self._redis, self._prefix = redis, f"{prefix(node)}file:"
        self._give_back = redis.register_script(_GIVE_BACK)

    async def check(self, ticket: Ticket) -> None:
        """Nobody has the last byte; raises SpentError."""
        key = self._prefix + ticket.address

        async def holder() -> Any:
            return await self._redis.get(key)

        await _patiently(holder)

    async def take(self, ticket: Ticket) -> str:
        """The token of the one download that may send the last byte; raises SpentError when it is another one."""
        key, token = self._prefix + ticket.address, uuid.uuid4().hex

        async def other() -> Any:
            found = await self._redis.set(key, token, nx=True, get=True, px=_CLAIM_MS)
            return None if found == token.encode() else found  # ours: the command was sent twice

        await _patiently(other)
        return token

    async def give_back(self, ticket: Ticket, token: str) -> None:
        """That download broke: another one may come to the end."""
        await self._give_back(keys=[self._prefix + ticket.address], args=[token])

    async def spend(self, ticket: Ticket) -> None:
        """The file was fetched for good."""
        await self._redis.set(self._prefix + ticket.address, _SPENT, pxat=ticket.expires + _KEPT_MS)


async def _patiently(holder: Callable[[], Awaitable[Any]]) -> None:
    """Return once nobody else holds the mark; raises SpentError when it is not given back within the grace."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _GRACE_SECONDS
    while (found := await holder()) is not None:
        if found == _SPENT or loop.time() > until:
            raise SpentError
        await asyncio.sleep(_LOOK_SECONDS)
