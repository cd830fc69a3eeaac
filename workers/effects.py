"""What a lot takes in the province's Redis, once: its own mark, each granted request's, its code; one script."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from broker.bus.redis import prefix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

MARK_KEPT_MS = 600_000  # after the deadline (DESIGN §5)
CODE_KEPT_MS = 86_400_000  # a redeemed code stays redeemed far beyond its own life (DOMAIN §8.6: 60 s)
MARK_HELD, CODE_USED = 0, -1

# KEYS: epoch, lot mark, then a mark for each granted item, then the codes that some of them redeem.
# ARGV: epoch, place of the lot on its topic, its end (unix ms), how many items, how long a code is kept (ms), then
# digest and end for each item, then for each code whose it becomes and the number of its item.
# Answers: 'epoch' | 'replayed' | for each item the attempt that this is, 0 when another request holds the mark,
# -1 when another one has used the code: then its mark is not taken either.
_TAKE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'epoch' end
local place = redis.call('SET', KEYS[2], ARGV[2], 'NX', 'GET', 'PXAT', ARGV[3])
if place and place ~= ARGV[2] then return 'replayed' end
local count, codes = tonumber(ARGV[4]), {}
for i = 3 + count, #KEYS do
  local at = 2 * i
  codes[tonumber(ARGV[at + 1])] = {KEYS[i], ARGV[at]}
end
local out = {}
for i = 1, count do
  local key, digest, ends = KEYS[i + 2], ARGV[2 * i + 4], ARGV[2 * i + 5]
  local held = redis.call('SET', key, '1:' .. digest, 'NX', 'GET', 'PXAT', ends)
  local attempt = 1
  if held then
    local at = string.find(held, ':', 1, true)
    attempt = string.sub(held, at + 1) == digest and tonumber(string.sub(held, 1, at - 1)) + 1 or 0
  end
  local code = codes[i]
  if code and attempt > 0 then
    local user = redis.call('SET', code[1], code[2], 'NX', 'GET', 'PX', ARGV[5])
    if user and user ~= code[2] then
      if not held then redis.call('DEL', key) end
      attempt = -1
    end
  end
  if attempt > 1 then redis.call('SET', key, attempt .. ':' .. digest, 'PXAT', ends) end
  out[i] = attempt
end
return out
"""


# KEYS: codes. ARGV: whose each is.
_GIVE_BACK = """
for i, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[i] then redis.call('DEL', key) end
end
"""


class EpochError(Exception):
    """Redis is not the one the snapshot was read from: nothing was taken, verify again and judge again."""


class ReplayedError(Exception):
    """The same lot stood at another place of the topic before."""


class Mark(NamedTuple):
    """One granted request: who asked, its id, its digest, its deadline (unix ms), and the code it uses up if any."""

    node: str
    request_id: str
    digest: str
    deadline_ms: int
    code: str = ""

    @property
    def user(self) -> str:
        """By whom a code was used: this very request."""
        return f"{self.node}:{self.request_id}:{self.digest}"


class Effects:
    """The province's marks and redeemed codes."""

    def __init__(self, redis: Redis, province: str) -> None:
        self._base = prefix(province)
        self._take = redis.register_script(_TAKE)
        self._give_back = redis.register_script(_GIVE_BACK)

    async def take(
        self, epoch: bytes, *, node: str, lot: str, place: str, ends_ms: int, marks: Sequence[Mark]
    ) -> list[int]:
        """The attempt number of each mark; MARK_HELD or CODE_USED where another request has it: then nothing is taken.

        Safe to repeat: the same request only raises its attempt. Raises EpochError, ReplayedError, RedisError.
        """
        keys = [f"{self._base}epoch", f"{self._base}lot:{node}:{lot}"]
        keys += [f"{self._base}mark:{mark.node}:{mark.request_id}" for mark in marks]
        args: list[str | bytes | int] = [epoch, place, ends_ms + MARK_KEPT_MS, len(marks), CODE_KEPT_MS]
        for mark in marks:
            args += [mark.digest, mark.deadline_ms + MARK_KEPT_MS]
        for number, mark in enumerate(marks, 1):
            if mark.code:
                keys.append(f"{self._base}code:{mark.code}")
                args += [mark.user, number]
        answer = await self._take(keys=keys, args=args)
        if answer == b"epoch":
            raise EpochError
        if answer == b"replayed":
            raise ReplayedError
        return list(answer)

    async def give_back(self, marks: Sequence[Mark]) -> None:
        """Let these codes be used again: nobody learned anything from them. Safe to repeat; raises RedisError."""
        keys = [f"{self._base}code:{mark.code}" for mark in marks]
        await self._give_back(keys=keys, args=[mark.user for mark in marks])
