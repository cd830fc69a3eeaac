"""What a lot takes in the province's Redis, once: its own mark, and the mark of each granted request; one script."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from broker.bus.redis import prefix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

MARK_KEPT_MS = 600_000  # after the deadline (DESIGN §5)

# KEYS: epoch, lot mark, then a mark for each granted item.
# ARGV: epoch, place of the lot on its topic, its end (unix ms), then digest and end for each item.
# Answers: 'epoch' | 'replayed' | for each item the attempt that this is, 0 when another request holds the mark.
_TAKE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'epoch' end
local place = redis.call('SET', KEYS[2], ARGV[2], 'NX', 'GET', 'PXAT', ARGV[3])
if place and place ~= ARGV[2] then return 'replayed' end
local out = {}
for i = 3, #KEYS do
  local digest, ends = ARGV[2 * i - 2], ARGV[2 * i - 1]
  local held = redis.call('SET', KEYS[i], '1:' .. digest, 'NX', 'GET', 'PXAT', ends)
  if not held then
    out[i - 2] = 1
  else
    local at = string.find(held, ':', 1, true)
    if string.sub(held, at + 1) == digest then
      local attempt = tonumber(string.sub(held, 1, at - 1)) + 1
      redis.call('SET', KEYS[i], attempt .. ':' .. digest, 'PXAT', ends)
      out[i - 2] = attempt
    else
      out[i - 2] = 0
    end
  end
end
return out
"""


class EpochError(Exception):
    """Redis is not the one the snapshot was read from: nothing was taken, verify again and judge again."""


class ReplayedError(Exception):
    """The same lot stood at another place of the topic before."""


class Mark(NamedTuple):
    """One granted request: who asked, its id, its digest, its deadline (unix ms)."""

    node: str
    request_id: str
    digest: str
    deadline_ms: int


class Effects:
    """The province's marks."""

    def __init__(self, redis: Redis, province: str) -> None:
        self._base = prefix(province)
        self._take = redis.register_script(_TAKE)

    async def take(
        self, epoch: bytes, *, node: str, lot: str, place: str, ends_ms: int, marks: Sequence[Mark]
    ) -> list[int]:
        """The attempt number of each mark, 0 where another request holds it.

        Safe to repeat: the same digest only raises its attempt. Raises EpochError, ReplayedError, RedisError.
        """
        keys = [f"{self._base}epoch", f"{self._base}lot:{node}:{lot}"]
        keys += [f"{self._base}mark:{mark.node}:{mark.request_id}" for mark in marks]
        args: list[str | bytes | int] = [epoch, place, ends_ms + MARK_KEPT_MS]
        for mark in marks:
            args += [mark.digest, mark.deadline_ms + MARK_KEPT_MS]
        answer = await self._take(keys=keys, args=args)
        if answer == b"epoch":
            raise EpochError
        if answer == b"replayed":
            raise ReplayedError
        return list(answer)
