"""What a lot takes in the province's Redis, once: its own mark, each item's mark, consents, code, quota; one script."""

from __future__ import annotations

import hashlib
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import NoScriptError

from broker.bus.redis import prefix
from workers.taking import BEGIN, GIVE_BACK, RESTORE, TAKE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis.asyncio import Redis

    from workers.quota import Counter

MARK_KEPT_MS = 600_000  # after the deadline (DESIGN §5)
USED_KEPT_MS = 86_400_000  # a code or a consent stays used far beyond a code's own life (DOMAIN §8.6: 60 s)
MARK_HELD, CODE_USED, CONSENT_USED, QUOTA_USED_UP = 0, -1, -2, -3
_SHA = hashlib.sha1(TAKE.encode(), usedforsecurity=False).hexdigest()  # by which Redis knows a script


class EpochError(Exception):
    """Redis is not the one that was verified and rebuilt: nothing was taken, verify again and judge again."""


class ReplayedError(Exception):
    """The same lot stood at another place of the topic before."""


class Mark(NamedTuple):
    """One granted request: who asked, its id, its digest, its deadline (unix ms); and what is taken with its mark.

    `code` and `uses` are what it uses up (kept until `uses_end_ms` at least), `counters` what it counts in. `attempt`
    is 0 for a delivery, else the attempt that is only made sure of: it stays what it is.
    """

    node: str
    request_id: str
    digest: str
    deadline_ms: int
    code: str = ""
    uses: tuple[str, ...] = ()
    uses_end_ms: int = 0
    counters: tuple[Counter, ...] = ()
    attempt: int = 0

    @property
    def name(self) -> str:
        """Whose mark: the request id of that node."""
        return f"{self.node}:{self.request_id}"

    @property
    def user(self) -> str:
        """By whom a code or a consent was used: this very request."""
        return f"{self.name}:{self.digest}"

    @property
    def used(self) -> tuple[str, ...]:
        """The names of what it uses up: consents, then its code; they follow each other in the script too."""
        uses = tuple([f"use:{name}" for name in self.uses])
        return (*uses, f"code:{self.code}") if self.code else uses


class Effect(NamedTuple):
    """What became of a mark: its attempt (at most 0: refused, and nothing taken), and when it was first taken (ms)."""

    attempt: int
    taken_ms: int = 0


class Restored(NamedTuple):
    """One key as evidence tells it: how it goes together with what stands there, its value, its end (unix ms)."""

    key: str
    rule: str  # "mark": the higher attempt; "used": the first; "count": the higher
    value: str
    ends_ms: int


class Effects:
    """The province's marks, codes, consents and counters; `life` is the one of Redis that is known to be whole."""

    def __init__(self, redis: Redis, province: str) -> None:
        self._redis, self._base = redis, prefix(province)
        self._whole = [f"{self._base}epoch", f"{self._base}rebuilt"]
        self.life = b""

    async def take(
        self, epoch: bytes, *, node: str, lot: str, place: str, ends_ms: int, marks: Sequence[Mark], now_ms: int
    ) -> list[Effect]:
        """What became of each mark; an attempt of at most 0 says why nothing was taken for it.

        Safe to repeat: the same request only raises its attempt. Raises EpochError, ReplayedError, RedisError.
        """
        keys = [*self._whole, f"{self._base}lot:{node}:{lot}"]
        args: list[str | bytes | int] = [epoch, self.life, place, ends_ms + MARK_KEPT_MS, now_ms, len(marks)]
        names = self._counted(keys, args, marks)
        base, lasting = self._base, now_ms + USED_KEPT_MS
        for mark in marks:
            keys.append(f"{base}mark:{mark.node}:{mark.request_id}")
            row, ends = names[id(mark.counters)], mark.deadline_ms + MARK_KEPT_MS
            if mark.attempt or mark.code or mark.uses:
                used = mark.used
                keys += [base + name for name in used]
                args += (mark.digest, ends, f"+{row}", mark.attempt, len(used), len(mark.uses), mark.user)
                args.append(max(mark.uses_end_ms, lasting))
            else:
                args += (mark.digest, ends, row)
        try:
            answer: Any = await self._redis.evalsha(_SHA, len(keys), *keys, *args)
        except NoScriptError:  # scripts are never persisted: this life of Redis began without us
            raise EpochError from None
        if answer == b"epoch":
            raise EpochError
        if answer == b"replayed":
            raise ReplayedError
        return [Effect(*one) if isinstance(one, list) else Effect(one, now_ms if one > 0 else 0) for one in answer]

    def _counted(self, keys: list[str], args: list[str | bytes | int], marks: Sequence[Mark]) -> dict[int, str]:
        """Tell each counter once and each row of counters once; the rows' names by their identity, for speed."""
        rows = {id(mark.counters): mark.counters for mark in marks}
        names = {counter.key: counter.ends_ms for row in rows.values() for counter in row}
        place_of = {name: place for place, name in enumerate(names, 1)}
        keys += [self._base + name for name in names]
        args += (len(names), *names.values(), len(rows))
        for row in rows.values():
            args += (len(row), *chain.from_iterable((place_of[one.key], one.limit) for one in row))
        return {name: str(number) for number, name in enumerate(rows, 1)}

    async def give_back(self, marks: Sequence[Mark]) -> None:
        """Let what these used up be used again, if they were delivered only once: nobody learned anything for it.

        Safe to repeat; raises RedisError.
        """
        base = self._base
        keys = [key for mark in marks for name in mark.used for key in (f"{base}mark:{mark.name}", base + name)]
        await self._redis.eval(GIVE_BACK, len(keys), *keys, *(mark.user for mark in marks for _ in mark.used))

    async def run_id(self) -> bytes:
        """This run of the Redis process; together with the epoch it names a life. Raises RedisError."""
        told: Any = await self._redis.info("server")
        return str(told.get("run_id", "")).encode()

    async def whole(self, epoch: bytes, life: bytes) -> bool:
        """Whether everything was rebuilt in this life, and the script stands ready. Raises RedisError."""
        (loaded,) = await self._redis.script_exists(_SHA)
        return bool(loaded) and await self._redis.mget(self._whole) == [epoch, life]

    async def restore(self, epoch: bytes, life: bytes, some: Iterable[Restored]) -> None:
        """Bring back what evidence tells, unless this life was rebuilt meanwhile. Raises EpochError, RedisError."""
        rows = list(some)
        keys = [*self._whole, *(self._base + row.key for row in rows)]
        args: list[str | int] = [part for row in rows for part in (row.rule, row.value, row.ends_ms)]
        if await self._redis.eval(RESTORE, len(keys), *keys, epoch, life, *args) == b"epoch":
            raise EpochError

    async def begin(self, epoch: bytes, life: bytes) -> None:
        """Say that this life is whole, and load the script; only who has rebuilt may. Raises EpochError, RedisError."""
        if not await self._redis.eval(BEGIN, 2, *self._whole, epoch, life):
            raise EpochError
        if life != life_of(epoch, await self.run_id()):
            raise EpochError  # it was started again under our hands
        await self._redis.script_load(TAKE)
        self.life = life


def life_of(epoch: bytes, run_id: bytes) -> bytes:
    """A life of Redis: it ends when its data are flushed (epoch) and when its process ends (run id)."""
    return epoch + b"." + run_id
