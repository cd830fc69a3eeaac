"""Redis in a new life: marks, used codes and consents, and counters are rebuilt from the province's own evidence.

How far that goes back is a day, or as long as a consent of a scenario in force may live.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Protocol

import msgspec
from msgspec import Meta, Struct

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.kafka import KafkaFailure
from broker.bus.redis import RedisFailure
from schemas.items import RequestId
from schemas.jose import MALFORMED
from schemas.lot import CLOCK_TOLERANCE_MS
from schemas.scenes import Limits
from workers.effects import MARK_KEPT_MS, USED_KEPT_MS, EpochError, Mark, Restored, life_of
from workers.fence import WAIT_SECONDS
from workers.quota import counters, windows

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from broker.registry.reader import RegistryReader
    from broker.registry.snapshot import Snapshot
    from schemas.evidence import Detail
    from workers.effects import Effects

_LOOK_SECONDS = 0.25
_MARGIN_MS = 60_000  # a detail is written after what it tells of was taken, at a time that is its writer's
_ROWS = 500  # of one write
_DETAILS = 64  # between two turns of whatever else this process does
_NO_LIMITS = Limits(per_day=0)  # of a scene that is no longer there: its day is counted all the same
_DIGEST, _PARTY = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-z-]{1,64}")
_USED = re.compile(r"(use|code):[0-9A-Za-z.:-]{1,256}")


class _Head(Struct, gc=False, frozen=True, kw_only=True, rename="camel"):
    scene_code: str = ""


class _Asked(Struct, gc=False, frozen=True, kw_only=True):
    """As much of a request as says whose mark it has, and in which scene it counts."""

    id: RequestId
    deadline: Annotated[int, Meta(ge=0, le=1 << 53)]
    head: _Head


_decode = msgspec.json.Decoder(_Asked).decode


class Recorded(Protocol):
    """One judgement as it was recorded."""

    @property
    def detail(self) -> Detail: ...


class Details(Protocol):
    """The province's own details, opened; `strange` counts what was passed over: not ours, or no detail."""

    strange: int

    def read(self, *, since_ms: int) -> AsyncGenerator[Recorded, None]:
        """All that was recorded from this time on until now; raises KafkaError, OSError."""


class Rebuilder:
    """Keeps `effects` in a life of Redis that is whole; `standing` says whether it is, so that work may be taken."""

    def __init__(self, *, effects: Effects, registry: RegistryReader, details: Details) -> None:
        self._effects, self._registry, self._details = effects, registry, details
        self._noticed = (b"", 0.0)  # a life that is not whole, and when it was first seen
        self.standing = False

    async def run(self) -> None:
        """Look for ever; whatever is away is asked again."""
        while True:
            try:
                self.standing = await self._whole()
            except (EpochError, TimeoutError, *RedisFailure, *KafkaFailure) as error:
                self.standing = False
                telemetry.log.warning("effects not whole", part="rebuilding", error=type(error).__name__)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _whole(self) -> bool:
        """Whether the life in which Redis is now is whole: after it was made so, if this is due."""
        snapshot, epoch = self._registry.snapshot, self._registry.epoch
        life = life_of(epoch, await self._effects.run_id())
        if not epoch or snapshot is None:  # the follower has still to write the registry
            return False
        if await self._effects.whole(epoch, life):
            self._effects.life, self._noticed = life, (b"", 0.0)
            return True
        self.standing = False
        if life != self._noticed[0]:
            telemetry.log.warning("redis is new", part="rebuilding")
            self._noticed = life, time.monotonic()
        if time.monotonic() - self._noticed[1] < WAIT_SECONDS:
            return False
        await self._rebuild(epoch, life, snapshot)
        return True

    async def _rebuild(self, epoch: bytes, life: bytes, snapshot: Snapshot) -> None:
        begun, strange = time.monotonic(), self._details.strange
        told = Told(snapshot, now_ms())
        async with aclosing(self._details.read(since_ms=told.since_ms)) as details:
            async for recorded in details:
                told.add(recorded.detail)
                if told.read % _DETAILS == 0:
                    await asyncio.sleep(0)
        rows = list(told.rows(now_ms()))
        for place in range(0, len(rows), _ROWS):
            await self._effects.restore(epoch, life, rows[place : place + _ROWS])
        await self._effects.begin(epoch, life)
        telemetry.log.info(
            "effects rebuilt",
            part="rebuilding",
            items=told.read,
            keys=len(rows),
            strange=told.strange + self._details.strange - strange,
            seconds=round(time.monotonic() - begun, 3),
        )


class Told:
    """What a province's details say was taken, each request once however often it was recorded."""

    def __init__(self, snapshot: Snapshot, now: int) -> None:
        self._scenes, self._now = snapshot.scenes, now
        lives = [scene.consent.life_ms for scene in self._scenes.values() if scene.consent is not None]
        self._kept_ms = max(USED_KEPT_MS, *lives) if lives else USED_KEPT_MS
        self._today_ms = windows(now).day_ms
        self._marks: dict[str, tuple[Mark, int]] = {}  # and when it was first taken
        self._used: dict[str, tuple[str, int]] = {}
        self._counted: set[bytes] = set()
        self._counts: Counter[str] = Counter()
        self._ends: dict[str, int] = {}
        self.read = self.strange = 0

    @property
    def since_ms(self) -> int:
        """From when on details tell what still matters; Shanghai's day is within it."""
        return self._now - self._kept_ms - _MARGIN_MS

    def add(self, detail: Detail) -> None:
        """Take in one detail; of what was refused before anything was taken there is nothing to bring back."""
        self.read += 1
        if not detail.taken:
            return
        try:
            asked = _decode(detail.request)
        except MALFORMED:
            asked = None
        if asked is None or not self._sound(detail):
            self.strange += 1
            return
        mark = Mark(detail.node, asked.id, detail.request_digest, asked.deadline, attempt=detail.attempt)
        known, first_ms = self._marks.get(mark.name, (mark, detail.taken))
        if mark.deadline_ms + MARK_KEPT_MS > self._now and known.digest == mark.digest:
            newer = mark if mark.attempt > known.attempt else known
            self._marks[mark.name] = newer, min(first_ms, detail.taken)
        for name in detail.uses:
            self._used.setdefault(name, (mark.user, detail.taken + self._kept_ms + _MARGIN_MS))
        self._count(detail, asked.head.scene_code, mark.user)

    def _sound(self, detail: Detail) -> bool:
        return (
            detail.taken <= self._now + CLOCK_TOLERANCE_MS + _MARGIN_MS
            and 0 < detail.attempt < 1 << 31
            and _PARTY.fullmatch(detail.node) is not None
            and _DIGEST.fullmatch(detail.request_digest) is not None
            and (not detail.holder or _DIGEST.fullmatch(detail.holder) is not None)
            and all(_USED.fullmatch(name) for name in detail.uses)
        )

    def _count(self, detail: Detail, scene: str, user: str) -> None:
        if detail.taken < self._today_ms:
            return
        name = hashlib.blake2b(user.encode(), digest_size=12).digest()
        if name in self._counted:
            return
        self._counted.add(name)
        known = self._scenes.get(scene)
        for counter in counters(scene, known.limits if known else _NO_LIMITS, detail.holder, detail.taken):
            self._counts[counter.key] += 1
            self._ends[counter.key] = counter.ends_ms

    def rows(self, now: int) -> Iterator[Restored]:
        """The keys that are still of use."""
        for name, (mark, taken_ms) in self._marks.items():
            value = f"{mark.attempt}:{taken_ms}:{mark.digest}"
            yield Restored(f"mark:{name}", "mark", value, mark.deadline_ms + MARK_KEPT_MS)
        for name, (user, ends_ms) in self._used.items():
            yield Restored(name, "used", user, ends_ms)
        for key, count in self._counts.items():
            if self._ends[key] > now:
                yield Restored(key, "count", str(count), self._ends[key])
