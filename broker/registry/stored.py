"""The registry as it lies in a party's Redis: transport between follower and agents, never believed unverified."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from broker.bus.redis import prefix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis.asyncio import Redis

# KEYS: records, manifest, version, epoch, stood. ARGV: version, manifest, now, epoch, channel, then key, value ...
# A lower or equal version never replaces a higher one, unless the manifest's bytes are gone.
_STORE = """
local have = tonumber(redis.call('GET', KEYS[3]) or '0')
if have >= tonumber(ARGV[1]) and redis.call('EXISTS', KEYS[1], KEYS[2], KEYS[4]) == 3 then
  redis.call('SET', KEYS[5], ARGV[3])
  return 0
end
redis.call('DEL', KEYS[1])
for i = 6, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('SET', KEYS[3], ARGV[1])
redis.call('SET', KEYS[4], ARGV[4], 'NX')
redis.call('SET', KEYS[5], ARGV[3])
redis.call('PUBLISH', ARGV[5], ARGV[1])
return 1
"""

# KEYS: records, manifest, version, epoch, stood. ARGV: version, now. 1 when all is there and the follower stands at it.
_STOOD = """
if redis.call('EXISTS', KEYS[1], KEYS[2], KEYS[4]) ~= 3 then return 0 end
if tonumber(redis.call('GET', KEYS[3]) or '0') < tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[5], ARGV[2])
return 1
"""


class Stored(NamedTuple):
    """What an agent finds; nothing of it is verified yet."""

    records: dict[str, bytes]
    manifest: bytes
    epoch: bytes


class Beat(NamedTuple):
    """What changes each second: version, epoch, when the follower stood at the topic's end (ms, None: never)."""

    version: int
    epoch: bytes
    stood_ms: int | None


class StoredRegistry:
    """One party's keys in its Redis."""

    def __init__(self, redis: Redis, party: str) -> None:
        base = prefix(party) + "registry"
        self._redis = redis
        self._keys = [
            f"{base}:records",
            f"{base}:manifest",
            f"{base}:version",
            prefix(party) + "epoch",
            f"{base}:stood",
        ]
        self.channel = f"{base}:changed"
        self._store = redis.register_script(_STORE)
        self._stood = redis.register_script(_STOOD)

    async def store(self, version: int, manifest: bytes, records: Mapping[str, bytes], now_ms: int) -> None:
        """Compare and set on the version; makes the party's epoch where there is none."""
        pairs = [part for key, value in records.items() for part in (key, value)]
        await self._store(keys=self._keys, args=[version, manifest, now_ms, uuid.uuid4().hex, self.channel, *pairs])

    async def stood(self, version: int, now_ms: int) -> bool:
        """Say that this version stood at the topic's end now; False when Redis has lost it."""
        return bool(await self._stood(keys=self._keys, args=[version, now_ms]))

    async def load(self) -> Stored | None:
        """Everything, or None when nothing is stored."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(self._keys[0])
            pipe.get(self._keys[1])
            pipe.get(self._keys[3])
            records, manifest, epoch = await pipe.execute()
        if not manifest or not epoch:
            return None
        return Stored({key.decode(): value for key, value in records.items()}, manifest, epoch)

    async def beat(self) -> Beat:
        found: list[Any] = await self._redis.mget(self._keys[2:])
        version, epoch, stood = found
        return Beat(int(version or 0), epoch or b"", None if stood is None else int(stood))
