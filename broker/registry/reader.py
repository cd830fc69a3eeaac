"""The agent's side: load from the party's Redis, verify, swap the snapshot; woken by Redis, at least each second."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.redis import RedisFailure
from broker.bus.stopping import stop_if_cancelled
from broker.registry.loading import Loaded, Loader
from broker.registry.refusing import FRESH_MS, Bounds, past_bound, refuse
from broker.registry.trust import RegistryError
from schemas.lot import LotError
from schemas.registry import Distrust

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from broker.registry.snapshot import Snapshot
    from broker.registry.stored import Beat, StoredRegistry
    from schemas.jose import Jwk

_NET_SECONDS = 0.5
_MIN_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.5, 30.0
_PART = "agent"


class RegistryReader:
    """`snapshot` is the verified version in use, `epoch` the life of Redis it was read in, `heard` when that told."""

    def __init__(self, *, redis: Redis, stored: StoredRegistry, registrar: Jwk) -> None:
        self._redis, self._stored = redis, stored
        self._loader = Loader(stored, registrar)
        self._loaded: Loaded | None = None
        self.epoch = b""
        self.stood_ms = 0
        self.heard = 0.0  # by the monotonic clock
        self._lock = asyncio.Lock()
        self._not_before = 0.0  # after what was wrong: a whole load costs seconds in a large registry
        self._bounds, self._older = Bounds(_PART), Bounds(_PART)

    @property
    def snapshot(self) -> Snapshot | None:
        return self._loaded.snapshot if self._loaded else None

    def fresh(self, now: int) -> bool:
        """Whether the snapshot may be used: follower at the end within the last 60 s, manifest not expired."""
        return (
            self._loaded is not None
            and bool(self.epoch)
            and past_bound(self._loaded.snapshot, self.stood_ms, now, FRESH_MS) is None
        )

    def current(self) -> Snapshot:
        """The snapshot in use; raises LotError("sender") before there is one."""
        if self._loaded is None:
            raise LotError("sender")
        return self._loaded.snapshot

    async def run(self) -> None:
        """Keep up for ever: on each push and at least each second."""
        telemetry.SNAPSHOT_AGE.set_function(self._age_seconds)  # so that it grows even while nothing runs here
        while True:
            try:
                async with self._redis.pubsub() as pushes:
                    await pushes.subscribe(self._stored.channel)
                    while True:
                        await self.refresh()
                        self._tell()
                        await pushes.get_message(ignore_subscribe_messages=True, timeout=_NET_SECONDS)
                        stop_if_cancelled()
            except RedisFailure as error:
                telemetry.log.warning("redis is away", part="registry", error=type(error).__name__)
                self._tell()
                await asyncio.sleep(_NET_SECONDS)

    async def refresh(self) -> None:
        """Compare with what Redis holds and load where it moved; raises RedisError."""
        async with self._lock:
            asked = time.monotonic()
            beat = await self._stored.beat()
            ours = self._loaded.snapshot.version if self._loaded else 0
            self._tell_older(beat, ours)
            if not beat.epoch:
                self.epoch = b""  # Redis was emptied: nothing is granted until a follower has written again
            elif beat.version > ours or (beat.version == ours and beat.epoch != self.epoch):
                await self._catch_up(beat)
            newest = self._loaded is not None and self._loaded.snapshot.version == beat.version
            if newest and beat.epoch and beat.epoch == self.epoch and beat.stood_ms is not None:
                self.stood_ms = beat.stood_ms
            self.heard = asked

    def _tell_older(self, beat: Beat, ours: int) -> None:
        wrong = None
        if self._loaded and not (beat.epoch and beat.version):
            wrong = RegistryError(Distrust.MISSING, "redis has lost the registry or a part of it")
        elif beat.version < ours:
            wrong = RegistryError(Distrust.ROLLED_BACK, f"redis says version {beat.version}, we have {ours}")
        self._older.tell(wrong, ours)

    async def _catch_up(self, beat: Beat) -> None:
        """By changes where that can be, else whole; what is wrong is told, and what we have stays."""
        begun = time.monotonic()
        if begun < self._not_before:
            return
        for load in (self._changes, self._whole):
            try:
                loaded = await load(beat)
            except RegistryError as error:
                refuse(error, self._loaded.snapshot.version if self._loaded else 0, part=_PART)
                continue
            if loaded is not None:
                self._loaded, self.epoch = loaded, loaded.epoch
                telemetry.SNAPSHOT_VERSION.set(loaded.snapshot.version)
                return
        pause = min(max(_MIN_PAUSE_SECONDS, 4 * (time.monotonic() - begun)), _MAX_PAUSE_SECONDS)
        self._not_before = time.monotonic() + pause

    async def _changes(self, beat: Beat) -> Loaded | None:
        return await self._loader.changes(self._loaded, beat.version) if self._loaded else None

    async def _whole(self, _beat: Beat) -> Loaded | None:
        return await self._loader.whole(self._loaded)

    def _tell(self) -> None:
        """Once each time the snapshot in use passes a bound."""
        if self._loaded is not None and self.stood_ms:
            snapshot = self._loaded.snapshot
            self._bounds.tell(past_bound(snapshot, self.stood_ms, now_ms(), FRESH_MS), snapshot.version)

    def _age_seconds(self) -> float:
        return (now_ms() - self.stood_ms) / 1000 if self.stood_ms else 0.0
