"""The follower: reads the registry topic, verifies every version, hands it on, and says that it stands at the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka import TopicPartition

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.kafka import KafkaFailure, consumer
from broker.bus.redis import RedisFailure
from broker.registry.trust import RegistryError, TrustedRecords
from schemas.registry import MANIFEST_KEY
from schemas.topics import REGISTRY

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer

    from broker.registry.snapshot import Snapshot
    from broker.registry.stored import StoredRegistry
    from schemas.jose import Jwk

_PARTITION = TopicPartition(REGISTRY, 0)
_POLL_MS = 500
FRESH_MS = 60_000


class Follower:
    """Keeps `snapshot` at the newest version the topic proves; with `stored`, the party's Redis too."""

    def __init__(self, *, bootstrap: str, name: str, registrar: Jwk, stored: StoredRegistry | None = None) -> None:
        self._bootstrap, self._name, self._stored = bootstrap, name, stored
        self.trusted = TrustedRecords(registrar)
        self.snapshot: Snapshot | None = None
        self.stood_ms = 0
        self.stored_ms = 0
        self.moved = asyncio.Event()

    def fresh(self, now: int) -> bool:
        """Whether the snapshot may be used: at the end within the last 60 s, manifest not expired."""
        return self.snapshot is not None and now - self.stood_ms <= FRESH_MS and now < self.snapshot.expires_at

    def at_end(self, now: int) -> bool:
        """Note that we stood at the topic's end; a version that we could not take leaves us behind it."""
        if self.trusted.version < self.trusted.newest:
            return False
        self.stood_ms = now
        return True

    async def run(self) -> None:
        """Follow for ever; an error of Kafka ends the process's task and so the process, which is started again."""
        telemetry.SNAPSHOT_AGE.set_function(self._age_seconds)  # so that it grows even while nothing runs here
        reader = consumer(self._bootstrap, self._name)
        reader.assign([_PARTITION])
        await reader.start()
        try:
            await reader.seek_to_beginning(_PARTITION)
            while True:
                await self._turn(reader)
        finally:
            await reader.stop()

    async def _turn(self, reader: AIOKafkaConsumer) -> None:
        for record in (await reader.getmany(_PARTITION, timeout_ms=_POLL_MS)).get(_PARTITION, []):
            self._feed(record.key, record.value)
        try:
            async with asyncio.timeout(5):
                end = (await reader.end_offsets([_PARTITION]))[_PARTITION]
                stands = await reader.position(_PARTITION) >= end
        except (*KafkaFailure, TimeoutError):
            stands = False
        if stands and self.at_end(now_ms()):
            await self._hand_on()

    def _age_seconds(self) -> float:
        return (now_ms() - self.stood_ms) / 1000 if self.stood_ms else 0.0

    def _feed(self, key: bytes | None, value: bytes | None) -> None:
        try:
            if key != MANIFEST_KEY:
                self.trusted.stage(value or b"")
            elif taken := self.trusted.take(value or b""):
                self.snapshot = taken
                telemetry.SNAPSHOT_VERSION.set(taken.version)
                self.moved.set()
        except RegistryError as error:
            telemetry.REGISTRY_REFUSED.inc()
            telemetry.log.error("registry refused", reason=str(error), kept_version=self.trusted.version)

    async def _hand_on(self) -> None:
        if self._stored is None or self.snapshot is None:
            return
        trusted = self.trusted
        try:
            if not await self._stored.stood(trusted.version, self.stood_ms):
                await self._stored.store(trusted.version, trusted.manifest_jws, trusted.records, self.stood_ms)
            self.stored_ms = self.stood_ms
        except RedisFailure as error:
            telemetry.log.warning("redis is away", part="follower", error=type(error).__name__)
