"""Who reads which reply partition: a home for each instance, and whatever has no owner, by leases in Redis."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from schemas.topics import LANE_PARTITIONS

if TYPE_CHECKING:
    from broker.exchange.ledger import Ledger

LEASE_MS = 5_000

# ARGV: me, life ms, wish (home partition, -1 for any), partitions. Free partitions first, then those only drained.
_HOME = """
local function try(p, steal)
  local key = KEYS[1] .. 'lease:' .. p
  local held = redis.call('GET', key)
  local mine = held and string.sub(held, 1, #ARGV[1]) == ARGV[1]
  if not held or mine or (steal and string.sub(held, -6) == ':drain') then
    redis.call('SET', key, ARGV[1] .. ':home', 'PX', ARGV[2])
    return true
  end
end
local wish = tonumber(ARGV[3])
if wish >= 0 then return try(wish, true) and wish or -1 end
for _, steal in ipairs({false, true}) do
  for p = 0, tonumber(ARGV[4]) - 1 do if try(p, steal) then return p end end
end
return -1
"""

# ARGV: me, life ms, partitions. Takes what is free, renews what is mine, and says which those are.
_DRAIN = """
local out = {}
for p = 0, tonumber(ARGV[3]) - 1 do
  local key = KEYS[1] .. 'lease:' .. p
  local held = redis.call('GET', key)
  if not held or held == ARGV[1] .. ':drain' then
    redis.call('SET', key, ARGV[1] .. ':drain', 'PX', ARGV[2])
    out[#out + 1] = p
  end
end
return out
"""

_RELEASE = """
for p = 0, tonumber(ARGV[2]) - 1 do
  local key = KEYS[1] .. 'lease:' .. p
  local held = redis.call('GET', key)
  if held and string.sub(held, 1, #ARGV[1]) == ARGV[1] then redis.call('DEL', key) end
end
"""


class Leases:
    """The leases of one incarnation of one gateway instance."""

    def __init__(self, ledger: Ledger) -> None:
        self.incarnation = uuid.uuid4().hex
        self._base = ledger.base
        self._home = ledger.redis.register_script(_HOME)
        self._drain = ledger.redis.register_script(_DRAIN)
        self._release = ledger.redis.register_script(_RELEASE)

    async def home(self, wish: int = -1) -> int | None:
        """Take or renew the home partition; None when all (or the wished one) are some other instance's home."""
        place = int(await self._home(keys=[self._base], args=[self.incarnation, LEASE_MS, wish, LANE_PARTITIONS]))
        return None if place < 0 else place

    async def drains(self) -> list[int]:
        """Take or renew every partition without an owner."""
        return [
            int(p) for p in await self._drain(keys=[self._base], args=[self.incarnation, LEASE_MS, LANE_PARTITIONS])
        ]

    async def release(self) -> None:
        await self._release(keys=[self._base], args=[self.incarnation, LANE_PARTITIONS])
