"""The registry as it lies in a party's Redis: transport between follower and agents, never believed unverified."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from broker.bus.redis import prefix

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from redis.asyncio import Redis

_CHUNK_BYTES, _CHUNK_RECORDS = 512 * 1024, 512
_FRESH_SECONDS = 120  # a whole write that was broken off does not stay

# KEYS: records, manifest, version, epoch, stood, manifests, fresh (or nothing).
# ARGV: SHA-1 of the manifest that must be there ("": none), version, manifest, now, epoch, new life, channel,
#   how many manifests, how many puts, then (version, manifest) ..., (key, value) ..., dropped keys.
# Keeps the last 256 manifests. Compares and sets on the manifest, so that of two followers none overwrites what the
# other has just brought.
_WRITE = """
local have = redis.call('GET', KEYS[2])
if (have and redis.sha1hex(have) or '') ~= ARGV[1] then return 0 end
if KEYS[7] then
  redis.call('UNLINK', KEYS[1], KEYS[6])
  if redis.call('EXISTS', KEYS[7]) == 1 then redis.call('RENAME', KEYS[7], KEYS[1]) end
  redis.call('PERSIST', KEYS[1])
elseif redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
local at = 10
for i = 1, tonumber(ARGV[8]) do
  redis.call('HSET', KEYS[6], ARGV[at], ARGV[at + 1])
  redis.call('HDEL', KEYS[6], tonumber(ARGV[at]) - 256)
  at = at + 2
end
for i = 1, tonumber(ARGV[9]) do redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]); at = at + 2 end
for i = at, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
redis.call('SET', KEYS[2], ARGV[3])
redis.call('SET', KEYS[3], ARGV[2])
if ARGV[6] == '1' then redis.call('DEL', KEYS[4]) end
redis.call('SET', KEYS[4], ARGV[5], 'NX')
redis.call('SET', KEYS[5], ARGV[4])
redis.call('PUBLISH', ARGV[7], ARGV[2])
return 1
"""

# KEYS: records, manifest, version, epoch, stood. ARGV: version, now. 1 when all is there and the follower stands at it.
_STOOD = """
if redis.call('EXISTS', KEYS[1], KEYS[2], KEYS[4]) ~= 3 then return 0 end
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return 0 end
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


class Head(NamedTuple):
    """What stands beside the records, read at one moment; empty where it is missing."""

    manifest: bytes
    version: bytes
    epoch: bytes
    records: int  # how many


class Held(NamedTuple):
    """Some records (None: not there), and the head of that very moment."""

    head: Head
    values: dict[str, bytes | None]


class Write(NamedTuple):
    """A version on top of what is there: `found` is the manifest that must still stand there.

    `history` are manifests by version that readers may still need; `new_life` makes a new epoch.
    """

    version: int
    manifest: bytes
    now_ms: int
    found: bytes
    history: Mapping[int, bytes] = {}
    put: Mapping[str, bytes] = {}
    dropped: tuple[str, ...] = ()
    new_life: bool = False


class StoredRegistry:
    """One party's keys in its Redis."""

    def __init__(self, redis: Redis, party: str) -> None:
        base = prefix(party) + "registry"
        self._redis, self._base = redis, base
        self._keys = [
            f"{base}:records",
            f"{base}:manifest",
            f"{base}:version",
            prefix(party) + "epoch",
            f"{base}:stood",
        ]
        self._manifests = f"{base}:manifests"
        self.channel = f"{base}:changed"
        self._write = redis.register_script(_WRITE)
        self._stood = redis.register_script(_STOOD)

    async def replace(self, write: Write, records: Mapping[str, bytes]) -> bool:
        """These records instead of all that lie there, at one moment; False when `found` no longer stands there."""
        fresh = f"{self._base}:fresh:{uuid.uuid4().hex}"
        for chunk in _chunks(records.items()):
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hset(fresh, mapping=dict[Any, Any](chunk))
                pipe.expire(fresh, _FRESH_SECONDS)
                await pipe.execute()
        done = await self._run(write, [fresh])
        if not done:
            await self._redis.unlink(fresh)
        return done

    async def change(self, write: Write) -> bool:
        """Put and drop records in what lies there; False when `found` no longer stands there, or no records."""
        return await self._run(write, [])

    async def _run(self, write: Write, fresh: list[str]) -> bool:
        found = hashlib.sha1(write.found, usedforsecurity=False).hexdigest() if write.found else ""
        pairs = [
            *itertools.chain.from_iterable(write.history.items()),
            *itertools.chain.from_iterable(write.put.items()),
            *write.dropped,
        ]
        head = [found, write.version, write.manifest, write.now_ms, uuid.uuid4().hex, int(write.new_life), self.channel]
        args: list[Any] = [*head, len(write.history), len(write.put), *pairs]
        return bool(await self._write(keys=[*self._keys, self._manifests, *fresh], args=args))

    async def stood(self, version: int, now_ms: int) -> bool:
        """Say that this version stood at the topic's end now; False when Redis has lost it or has another."""
        return bool(await self._stood(keys=self._keys, args=[version, now_ms]))

    async def beat(self) -> Beat:
        found: list[Any] = await self._redis.mget(self._keys[2:])
        version, epoch, stood = found
        return Beat(_number(version), epoch or b"", None if stood is None else _number(stood))

    async def records(self, keys: Iterable[str] = ()) -> Held:
        """These records and the head of the same moment."""
        names = list(keys)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.mget(self._keys[1:4])
            pipe.hlen(self._keys[0])
            if names:
                pipe.hmget(self._keys[0], names)
            (manifest, version, epoch), count, *values = await pipe.execute()
        head = Head(manifest or b"", version or b"", epoch or b"", count)
        return Held(head, dict(zip(names, values[0] if values else (), strict=True)))

    async def manifests(self, first: int, last: int) -> list[bytes | None]:
        """The manifests of these versions, both included, as far as they are kept."""
        found: Any = self._redis.hmget(self._manifests, [f"{one}" for one in range(first, last + 1)])
        return list(await found)

    async def scan(self) -> AsyncIterator[dict[str, bytes]]:
        """All records in pieces, not of one moment: what changes meanwhile may come old, new, or not at all."""
        cursor = 0
        while True:
            answer: Any = await self._redis.hscan(self._keys[0], cursor, count=_CHUNK_RECORDS)
            cursor, found = answer
            yield {key.decode(errors="replace"): value for key, value in found.items()}
            if not cursor:
                return

    async def load(self) -> Stored | None:
        """Everything, or None when nothing is stored; of one moment only while nobody writes."""
        head = (await self.records()).head
        if not head.manifest or not head.epoch:
            return None
        records: dict[str, bytes] = {}
        async for piece in self.scan():
            records.update(piece)
        return Stored(records, head.manifest, head.epoch)


def _number(text: bytes | None) -> int:
    """What stands in a key that anybody in Redis could have written: -1 for what is no number."""
    return int(text) if text and len(text) <= 18 and text.isdigit() else -1 if text else 0


def _chunks(pairs: Iterable[tuple[str, bytes]]) -> Iterable[dict[str, bytes]]:
    """Pieces that Redis takes in a few milliseconds each."""
    piece: dict[str, bytes] = {}
    held = 0
    for key, value in pairs:
        piece[key] = value
        held += len(value)
        if held >= _CHUNK_BYTES or len(piece) >= _CHUNK_RECORDS:
            yield piece
            piece, held = {}, 0
    if piece:
        yield piece
