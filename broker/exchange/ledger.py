"""The node's book in Redis: who asked what (ids), what was answered (sealed), how far the reply topic was read.

Every script carries the epoch: a Redis that was emptied has another one or none, and nothing is written to it before
the in-flight records are written again. Offsets lie beside the answers, so that a Redis that lost answers has also
lost the place, and the reply topic is read again from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from broker.bus.clock import now_ms
from broker.bus.redis import prefix
from schemas.lot import CLOCK_TOLERANCE_MS, WireRecord
from schemas.topics import LANE_PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

_FULL = 0.9  # of Redis' memory: beyond it nothing new is accepted, so that answers can still be written


class EpochError(Exception):
    """Redis is not the one we knew: nothing was written."""


class RebuildingError(Exception):
    """Redis was emptied and the reply topic has not been read again yet: an unknown id may be a known one."""


# A request is a hash: d digest, x deadline, i incarnation, t claimed at, p reply partitions (a taken-over request has
# several, the latest last), v provinces, u application, f "1" once its produce failed, s "1" once it is durable in
# Kafka, and of each province that has ended a<province>: its answer (lot/place/append ms/written ms), or "-" when it
# was not asked because it had no agent.
# ARGV: epoch, incarnation, home partition, partitions in all, now, then of each item
# id, digest, deadline, provinces, those of them without an agent, application, rate, nonce, "1" when we chose them.
_CLAIM = """
local base = KEYS[1]
if redis.call('GET', base .. 'epoch') ~= ARGV[1] then return 'epoch' end
local whole = redis.call('HLEN', base .. 'rebuilt') >= tonumber(ARGV[4])
local now, out = tonumber(ARGV[5]), {}
local function unanswered(key, provinces)
  local left = {}
  for p in string.gmatch(provinces, '[^,]+') do
    if redis.call('HEXISTS', key, 'a' .. p) == 0 then left[#left + 1] = p end
  end
  return table.concat(left, ',')
end
for n = 6, #ARGV, 9 do
  local id, digest, deadline, provinces, away = ARGV[n], ARGV[n + 1], ARGV[n + 2], ARGV[n + 3], ARGV[n + 4]
  local application, rate, nonce, chosen = ARGV[n + 5], tonumber(ARGV[n + 6]), ARGV[n + 7], ARGV[n + 8]
  local key = base .. 'req:' .. id
  local r = redis.call('HMGET', key, 'd', 'x', 'i', 'p', 'f', 'v', 's', 't')
  local verdict
  if r[1] then
    local left = unanswered(key, r[6])
    if r[1] ~= digest then verdict = {'conflict'}
    elseif left == '' then verdict = {'answered', '', r[2]}
    elseif tonumber(r[2]) <= now then verdict = {'join', '', r[2]}
    elseif r[3] == ARGV[2] and r[5] ~= '1' then verdict = {'mine', left, r[2]}
    elseif r[5] ~= '1' and (r[7] == '1' or now - tonumber(r[8] or '0') < 10000)
        and redis.call('GET', base .. 'lease:' .. string.match(r[4], '%d+$')) == r[3] .. ':home' then
      redis.call('SET', base .. 'join:' .. id, '1', 'PX', 700000)
      verdict = {'join', '', r[2]}
    else
      redis.call('HSET', key, 'i', ARGV[2], 'p', r[4] .. ',' .. ARGV[3], 'f', '0', 't', now)
      verdict = {'again', left, r[2]}
    end
    verdict[4], verdict[5] = '-1', r[6]
  elseif tonumber(deadline) <= now then verdict = {'expired'}
  elseif not whole then verdict = {'rebuilding'}
  elseif away == provinces and not string.find(provinces, ',', 1, true) then verdict = {'away'}
  else
    local second = base .. 'rate:' .. application .. ':' .. math.floor(now / 1000)
    local used = redis.call('INCR', second)
    if used == 1 then redis.call('PEXPIRE', second, 2000) end
    if used > rate then verdict = {'rate'} end
    if not verdict and nonce ~= '' then
      local seen = redis.call('SET', base .. 'nonce:' .. application .. ':' .. nonce, id, 'NX', 'GET', 'PX', 600000)
      if seen and seen ~= id then verdict = {'nonce'} end
    end
    if not verdict then
      redis.call('HSET', key, 'd', digest, 'x', deadline, 'i', ARGV[2], 'p', ARGV[3], 'v', provinces, 'u', application,
        't', now, 'c', chosen)
      for p in string.gmatch(away, '[^,]+') do redis.call('HSET', key, 'a' .. p, '-') end
      redis.call('PEXPIREAT', key, tonumber(deadline) + 1200000)
      local to_ask = away == '' and provinces or unanswered(key, provinces)
      verdict = {'new', to_ask, deadline, tostring(rate - used), provinces}
    end
  end
  out[#out + 1] = verdict
end
return out
"""

# ARGV: epoch, partition, next offset, read up to (append ms), now, then of each lot its id and bytes and the number
# of its items, then of each item id, place, append ms, digest, deadline, province, application, all provinces of the
# request, those of them that were not asked, "1" when we chose them.
# Of each item: 1 taken, 0 answered by another reply, -1 came too late, -2 another request's or another province's.
_ANSWER = """
local base = KEYS[1]
if redis.call('GET', base .. 'epoch') ~= ARGV[1] then return 'epoch' end
local now, out, n = tonumber(ARGV[5]), {}, 6
while n <= #ARGV do
  local lot, items, kept = ARGV[n], tonumber(ARGV[n + 2]), false
  local bytes = ARGV[n + 1]
  n = n + 3
  for _ = 1, items do
    local id, place, at, digest = ARGV[n], ARGV[n + 1], ARGV[n + 2], ARGV[n + 3]
    local deadline, province, application = ARGV[n + 4], ARGV[n + 5], ARGV[n + 6]
    local asked, away, chosen = ARGV[n + 7], ARGV[n + 8], ARGV[n + 9]
    n = n + 10
    local key, pointer = base .. 'req:' .. id, lot .. '/' .. place .. '/' .. at .. '/'
    local r = redis.call('HMGET', key, 'a' .. province, 'x', 'd', 'v', 'u')
    local verdict = 1
    if r[1] then verdict = (string.sub(r[1], 1, #pointer) == pointer) and 1 or 0
    elseif tonumber(at) > tonumber(r[2] or deadline) then verdict = -1
    elseif r[3] and digest ~= '' and (r[3] ~= digest or r[5] ~= application) then verdict = -2
    elseif r[4] and not string.find(',' .. r[4] .. ',', ',' .. province .. ',', 1, true) then verdict = -2
    else
      redis.call('HSET', key, 'a' .. province, pointer .. now)
      if not r[3] then
        redis.call('HSET', key, 'd', digest, 'x', deadline, 'i', '', 'p', ARGV[2], 'v', asked, 'u', application,
          'c', chosen)
        for p in string.gmatch(away, '[^,]+') do redis.call('HSET', key, 'a' .. p, '-') end
      end
      redis.call('PEXPIREAT', key, math.max(now, tonumber(r[2] or deadline)) + 1200000)
      if redis.call('EXISTS', base .. 'join:' .. id) == 1 then redis.call('PUBLISH', base .. 'answered', id) end
      kept = true
    end
    out[#out + 1] = verdict
  end
  if kept then redis.call('SET', base .. 'lot:' .. lot, bytes, 'PX', 600000) end
end
redis.call('HSET', base .. 'offset', ARGV[2], ARGV[3])
if tonumber(ARGV[4]) > tonumber(redis.call('HGET', base .. 'drained', ARGV[2]) or '0') then
  redis.call('HSET', base .. 'drained', ARGV[2], ARGV[4])
end
return out
"""

# ARGV: ids whose produce was acknowledged.
_SENT = """
for _, id in ipairs(ARGV) do
  local key = KEYS[1] .. 'req:' .. id
  if redis.call('EXISTS', key) == 1 then redis.call('HSET', key, 's', '1') end
end
"""

_FAIL = """
local key = KEYS[1] .. 'req:' .. ARGV[1]
if redis.call('EXISTS', key) == 1 then redis.call('HSET', key, 'f', '1') end
"""

# ARGV: epoch, partition.
_REBUILT = """
if redis.call('GET', KEYS[1] .. 'epoch') ~= ARGV[1] then return end
redis.call('HSET', KEYS[1] .. 'rebuilt', ARGV[2], ARGV[1])
"""

# ARGV: epoch, home partition, incarnation, now, then of each item id, digest, deadline, provinces, those without an
# agent, application, "1" when it is durable in Kafka, "1" when we chose the provinces.
_REWRITE = """
local base = KEYS[1]
if redis.call('GET', base .. 'epoch') ~= ARGV[1] then return 'epoch' end
for n = 5, #ARGV, 8 do
  local key = base .. 'req:' .. ARGV[n]
  if redis.call('HSETNX', key, 'd', ARGV[n + 1]) == 1 then
    redis.call('HSET', key, 'x', ARGV[n + 2], 'i', ARGV[3], 't', ARGV[4], 'p', ARGV[2])
    redis.call('HSET', key, 'v', ARGV[n + 3], 'u', ARGV[n + 5], 'c', ARGV[n + 7])
    redis.call('PEXPIREAT', key, tonumber(ARGV[n + 2]) + 1200000)
  end
  if redis.call('HGET', key, 'd') == ARGV[n + 1] then  -- also where a reply has brought it back before us
    for p in string.gmatch(ARGV[n + 4], '[^,]+') do redis.call('HSETNX', key, 'a' .. p, '-') end
    if redis.call('HGET', key, 'i') == '' then redis.call('HSET', key, 'i', ARGV[3], 't', ARGV[4]) end
    if ARGV[n + 6] == '1' then redis.call('HSET', key, 's', '1') end
  end
end
return 1
"""

_AWAY = "-"


class Claim(NamedTuple):
    """One request to be written into the book before it is produced; `away` are those provinces without an agent."""

    request_id: str
    digest: str
    deadline_ms: int
    provinces: tuple[str, ...]
    application: str
    away: tuple[str, ...] = ()
    per_second: int = 0
    nonce: str = ""
    sent: bool = False  # durable in Kafka, as far as we know
    chosen: bool = False  # the provinces are our choice: each is named in the answer


class Claimed(NamedTuple):
    """What the book says: `verdict` is new, again, mine, join, answered, away, expired, conflict, rate, nonce.

    `to_ask` are the provinces that have not ended, of all `provinces` in the book; `left` is the rest of the
    application's rate in this second, -1 where it was not asked.
    """

    verdict: str
    to_ask: tuple[str, ...] = ()
    deadline_ms: int = 0
    left: int = -1
    provinces: tuple[str, ...] = ()


class ReplyEntry(NamedTuple):
    """One item of a reply lot as the book takes it."""

    request_id: str
    place: int
    appended_ms: int
    digest: str
    deadline_ms: int
    province: str
    application: str
    sources: tuple[str, ...]


class ReplyLot(NamedTuple):
    """A verified reply lot, sealed as it came."""

    lot_id: str
    record: WireRecord
    entries: Sequence[ReplyEntry]


class Pointer(NamedTuple):
    """Where an answer lies: its reply lot and the place in it, when Kafka appended it and when we wrote it (ms)."""

    lot_id: str
    place: int
    appended_ms: int
    written_ms: int


class Known(NamedTuple):
    """What the book holds of one request; `parts` are the provinces that have ended."""

    deadline_ms: int
    provinces: tuple[str, ...]
    application: str
    parts: dict[str, Pointer | None]  # None: it had no agent
    sent: bool
    chosen: bool
    drained_ms: int  # how far all of its reply partitions were read

    @property
    def expired(self) -> bool:
        """Whether a part without an end has none: everything was read past the deadline."""
        return self.drained_ms > self.deadline_ms

    @property
    def final(self) -> bool:
        return self.expired or len(self.parts) == len(self.provinces)


_lot_encode = msgspec.msgpack.Encoder().encode
_lot_decode = msgspec.msgpack.Decoder(WireRecord).decode


class Ledger:
    """The book of one node; `epoch` is the life of Redis that this instance writes to."""

    def __init__(self, redis: Redis, node: str) -> None:
        self.redis, self.base = redis, prefix(node)
        self.epoch = b""
        self._claim = redis.register_script(_CLAIM)
        self._answer = redis.register_script(_ANSWER)
        self._sent = redis.register_script(_SENT)
        self._fail = redis.register_script(_FAIL)
        self._rebuilt = redis.register_script(_REBUILT)
        self._rewrite = redis.register_script(_REWRITE)

    async def claim(
        self, claims: Sequence[Claim], *, incarnation: str, partition: int, now: int
    ) -> list[Claimed | Exception]:
        """One verdict a claim; RebuildingError in the place of an unknown id. Raises EpochError, RedisError."""
        args: list[str | bytes | int] = [self.epoch, incarnation, partition, LANE_PARTITIONS, now]
        for one in claims:
            args += [
                one.request_id,
                one.digest,
                one.deadline_ms,
                ",".join(one.provinces),
                ",".join(one.away),
                one.application,
                one.per_second,
                one.nonce,
                int(one.chosen),
            ]
        rows = await self._claim(keys=[self.base], args=args)
        if rows == b"epoch":
            raise EpochError
        return [_claimed([part.decode() for part in row]) for row in rows]

    async def sent(self, request_ids: Sequence[str]) -> None:
        """Say that these are durable in Kafka, so that who joins one may be told that it is accepted."""
        await self._sent(keys=[self.base], args=request_ids)

    async def fail(self, request_id: str) -> None:
        """Say that a produce failed for good, so that a repeat may produce again."""
        await self._fail(keys=[self.base], args=[request_id])

    async def answer(
        self, lots: Sequence[ReplyLot], *, epoch: bytes, partition: int, next_offset: int, read_ms: int, now: int
    ) -> list[int]:
        """Write answers, place and drained mark together; a verdict an item, see _ANSWER.

        `epoch` is the one in which the reader took its place; in another one the place says nothing. Raises EpochError.
        """
        args: list[str | bytes | int] = [epoch, partition, next_offset, read_ms, now]
        for lot in lots:
            args += [lot.lot_id, _lot_encode(lot.record), len(lot.entries)]
            for entry in lot.entries:
                provinces, away = _marked(entry.sources or (entry.province,))
                args += [*entry[:-1], provinces, away, int(bool(entry.sources))]
        verdicts = await self._answer(keys=[self.base], args=args)
        if verdicts == b"epoch":
            raise EpochError
        return list(verdicts)

    async def rewrite(self, claims: Sequence[Claim], *, epoch: bytes, incarnation: str, partition: int) -> None:
        """Write in-flight records again after Redis was emptied, into this life of it."""
        args: list[str | bytes | int] = [epoch, partition, incarnation, now_ms()]
        for one in claims:
            args += [one.request_id, one.digest, one.deadline_ms]
            args += [",".join(one.provinces), ",".join(one.away), one.application, int(one.sent), int(one.chosen)]
        if await self._rewrite(keys=[self.base], args=args) == b"epoch":
            raise EpochError

    async def offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        """Where to read on, for those partitions that were read before in this life of Redis."""
        places = await self.redis.hmget(f"{self.base}offset", [str(p) for p in partitions])
        return {p: int(place) for p, place in zip(partitions, places, strict=True) if place is not None}

    async def rebuilt(self, partition: int, epoch: bytes) -> None:
        """Say that this partition was read to its end in this life of Redis."""
        await self._rebuilt(keys=[self.base], args=[epoch, partition])

    async def rebuilt_count(self) -> int:
        return int(await self.redis.hlen(f"{self.base}rebuilt"))

    async def current_epoch(self, fresh: str) -> bytes:
        """The life of Redis as it stands; a Redis without one begins it with `fresh`."""
        await self.redis.set(f"{self.base}epoch", fresh, nx=True)
        epoch: Any = await self.redis.get(f"{self.base}epoch")
        return epoch or b""

    async def away(self) -> str:
        """Empty when Redis can take more: not nearly full, and its clock agrees with ours."""
        memory = await self.redis.info("memory")
        if memory["maxmemory"] and memory["used_memory"] > _FULL * memory["maxmemory"]:
            return "full"
        seconds, micros = await self.redis.time()
        apart = seconds * 1000 + micros // 1000 - now_ms()
        return "clock" if abs(apart) > CLOCK_TOLERANCE_MS else ""

    async def find(self, request_id: str) -> Known | None:
        """What is known of a request; raises RebuildingError for an unknown one while the book is not whole."""
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(f"{self.base}req:{request_id}")
            pipe.hgetall(f"{self.base}drained")
            pipe.hlen(f"{self.base}rebuilt")
            row, drained, rebuilt = await pipe.execute()
        if not row:
            if rebuilt < LANE_PARTITIONS:
                raise RebuildingError
            return None
        told = {name.decode(): value.decode() for name, value in row.items()}
        provinces = tuple(told["v"].split(","))
        return Known(
            deadline_ms=int(told["x"]),
            provinces=provinces,
            application=told["u"],
            parts={one: _pointer(told[f"a{one}"]) for one in provinces if f"a{one}" in told},
            sent=told.get("s") == "1",
            chosen=told.get("c") == "1",
            drained_ms=min(int(drained.get(place.encode(), 0)) for place in told["p"].split(",")),
        )

    async def lot(self, lot_id: str) -> WireRecord | None:
        """A reply lot sealed as it came, None when it is no longer kept."""
        raw: Any = await self.redis.get(f"{self.base}lot:{lot_id}")
        return None if raw is None else _lot_decode(raw)


def _claimed(row: list[str]) -> Claimed | Exception:
    if row[0] == "rebuilding":
        return RebuildingError()
    if len(row) == 1:
        return Claimed(row[0])
    verdict, to_ask, deadline, left, provinces = row
    return Claimed(verdict, _names(to_ask), int(deadline), int(left), _names(provinces))


def _marked(sources: Sequence[str]) -> tuple[str, str]:
    """All provinces of a request, and those that were not asked: an item has a hyphen before them."""
    away = [one[1:] for one in sources if one.startswith(_AWAY)]
    return ",".join(one.removeprefix(_AWAY) for one in sources), ",".join(away)


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _pointer(text: str) -> Pointer | None:
    if text == _AWAY:
        return None
    lot_id, place, appended, written = text.split("/")
    return Pointer(lot_id, int(place), int(appended), int(written))
