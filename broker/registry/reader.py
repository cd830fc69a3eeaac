"""The agent's side: load from the party's Redis, verify, swap the snapshot; woken by Redis, at least each second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.redis import RedisFailure
from broker.registry.follower import FRESH_MS
from broker.registry.trust import RegistryError, verified_snapshot
from schemas.lot import LotError

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from broker.registry.snapshot import Snapshot
    from broker.registry.stored import StoredRegistry
    from schemas.jose import Jwk

_NET_SECONDS = 1.0


class RegistryReader:
    """`snapshot` is the verified version in use, `epoch` the life of Redis it was read in."""

    def __init__(self, *, redis: Redis, stored: StoredRegistry, registrar: Jwk) -> None:
        self._redis, self._stored, self._registrar = redis, stored, registrar
        self.snapshot: Snapshot | None = None
        self.epoch = b""
        self.stood_ms = 0
        self._lock = asyncio.Lock()

    def fresh(self, now: int) -> bool:
        """Whether the snapshot may be used: follower at the end within the last 60 s, manifest not expired."""
        return (
            self.snapshot is not None
            and bool(self.epoch)
            and now - self.stood_ms <= FRESH_MS
            and now < self.snapshot.expires_at
        )

    def current(self) -> Snapshot:
        """The snapshot in use; raises LotError("sender") before there is one."""
        if self.snapshot is None:
            raise LotError("sender")
        return self.snapshot

    async def run(self) -> None:
        """Keep up for ever: on each push and at least each second."""
        telemetry.SNAPSHOT_AGE.set_function(self._age_seconds)  # so that it grows even while nothing runs here
        while True:
            try:
                async with self._redis.pubsub() as pushes:
                    await pushes.subscribe(self._stored.channel)
                    while True:
                        await self.refresh()
                        await pushes.get_message(ignore_subscribe_messages=True, timeout=_NET_SECONDS)
            except RedisFailure as error:
                telemetry.log.warning("redis is away", part="registry", error=type(error).__name__)
                await asyncio.sleep(_NET_SECONDS / 2)

    async def refresh(self) -> None:
        """Compare with what Redis holds and load where it moved; raises RedisError."""
        async with self._lock:
            beat = await self._stored.beat()
            if self.snapshot is None or beat.epoch != self.epoch or beat.version > self.snapshot.version:
                await self._load()
            newest = self.snapshot is not None and self.snapshot.version >= beat.version
            if newest and beat.epoch and beat.epoch == self.epoch and beat.stood_ms is not None:
                self.stood_ms = beat.stood_ms

    async def _load(self) -> None:
        stored = await self._stored.load()
        if stored is None:
            self.epoch = b""  # Redis was emptied: nothing is granted until a follower has written again
            return
        at_least = self.snapshot.version if self.snapshot else 0
        try:
            self.snapshot = verified_snapshot(stored.manifest, stored.records, self._registrar, at_least=at_least)
            self.epoch = stored.epoch
            telemetry.SNAPSHOT_VERSION.set(self.snapshot.version)
        except RegistryError as error:
            telemetry.REGISTRY_REFUSED.inc()
            telemetry.log.error("registry refused", reason=str(error), kept_version=at_least)

    def _age_seconds(self) -> float:
        return (now_ms() - self.stood_ms) / 1000 if self.stood_ms else 0.0
