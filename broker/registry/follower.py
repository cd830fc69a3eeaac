"""The follower: reads the registry topic, verifies every version, hands it on, and says that it stands at the end."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from typing import TYPE_CHECKING

from aiokafka import TopicPartition

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.kafka import KafkaFailure, consumer
from broker.bus.redis import RedisFailure
from broker.bus.stopping import stop_if_cancelled
from broker.registry.refusing import FRESH_MS, Bounds, past_bound, refuse, refuse_all
from broker.registry.trust import RegistryError, TrustedRecords
from broker.registry.upkeep import Upkeep
from schemas.registry import MANIFEST_KEY, REFUSAL_KEY, Distrust
from schemas.topics import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import AIOKafkaConsumer

    from broker.registry.snapshot import Snapshot
    from broker.registry.stored import StoredRegistry
    from schemas.jose import Jwk

_POLL_MS = 500
_STRAY_MS = 5_000
_REREAD_MS, _MAX_REREAD_MS = 1_000, 60_000
_PART = "topic"


class Follower:
    """Keeps `snapshot` at the newest version the topic proves; with `stored`, the party's Redis too.

    `on_refusal` is handed what the registrar tells of intakes it did not take, not verified.
    """

    def __init__(
        self,
        *,
        bootstrap: str,
        name: str,
        registrar: Jwk,
        stored: StoredRegistry | None = None,
        on_refusal: Callable[[bytes], None] | None = None,
        topic: str = REGISTRY,
    ) -> None:
        self._partition = TopicPartition(topic, 0)
        self._bootstrap, self._name, self._registrar, self._on_refusal = bootstrap, name, registrar, on_refusal
        self.trusted = TrustedRecords(registrar)
        self._upkeep = Upkeep(stored, self.trusted, registrar) if stored else None
        self.stood_ms = 0
        self.stored_ms = 0
        self.moved = asyncio.Event()
        self._again: TrustedRecords | None = None  # the topic read anew from its beginning, beside what we trust
        self._again_ms, self._pause_ms = 0, _REREAD_MS
        self._read_to = self._end = 0
        self._bounds, self._ends = Bounds(_PART), Bounds(_PART)

    @property
    def snapshot(self) -> Snapshot | None:
        return self.trusted.snapshot

    def fresh(self, now: int) -> bool:
        """Whether the snapshot may be used: at the end within the last 60 s, manifest not expired."""
        return self.snapshot is not None and past_bound(self.snapshot, self.stood_ms, now, FRESH_MS) is None

    def at_end(self, now: int) -> bool:
        """Note that we stood at the topic's end; a version that we could not take leaves us behind it."""
        again = self._again
        if again is not None and again.version > self.trusted.version:
            again.staging.know(self.trusted.staging)
            self.trusted.adopt(again)
            self._again = None
            self._took()
        if self.trusted.version < self.trusted.newest:
            return False
        self._again, self._pause_ms = None, _REREAD_MS
        self.stood_ms = now
        return True

    async def run(self) -> None:
        """Follow for ever; an error of Kafka ends the process's task and so the process, which is started again."""
        telemetry.SNAPSHOT_AGE.set_function(self._age_seconds)  # so that it grows even while nothing runs here
        reader = consumer(self._bootstrap, self._name)
        reader.assign([self._partition])
        await reader.start()
        try:
            await reader.seek_to_beginning(self._partition)
            while True:
                await self._turn(reader)
                stop_if_cancelled()
        finally:
            await reader.stop()

    async def _turn(self, reader: AIOKafkaConsumer) -> None:
        for record in (await reader.getmany(self._partition, timeout_ms=_POLL_MS)).get(self._partition, []):
            if self._again is not None:
                with suppress(RegistryError):  # what is wrong was told when it was read first
                    self._put(self._again, record.key, record.value)
            if record.offset >= self._read_to:
                self._read_to = record.offset + 1
                self._feed(record.key, record.value)
        now = now_ms()
        if await self._stands(reader):
            first = not self.stood_ms
            if self.at_end(now):
                if first:
                    gc.freeze()  # what is loaded stays: no collection need walk through it again
                await self._hand_on()
            elif now - self._again_ms >= self._pause_ms:
                await self._read_again(reader, now)
            strays = self.trusted.staging.strays(now - _STRAY_MS)
            told = [RegistryError(Distrust.STRAY, "a record that no manifest names", key) for key in strays]
            refuse_all(told, self.trusted.version, part=_PART)
        if self.snapshot is not None and self.stood_ms:
            self._bounds.tell(past_bound(self.snapshot, self.stood_ms, now_ms(), FRESH_MS), self.trusted.version)

    async def _stands(self, reader: AIOKafkaConsumer) -> bool:
        """Whether all that is on the topic was read; a topic shorter than it was is not believed."""
        try:
            async with asyncio.timeout(5):
                end = (await reader.end_offsets([self._partition]))[self._partition]
                stands = bool(await reader.position(self._partition) >= end)
        except (*KafkaFailure, TimeoutError):
            return False
        shorter = RegistryError(Distrust.ROLLED_BACK, f"the topic ends at {end} and ended at {self._end} before")
        self._ends.tell(shorter if end < self._end else None, self.trusted.version)
        if end < self._end:
            return False
        self._end = end
        return stands

    async def _read_again(self, reader: AIOKafkaConsumer, now: int) -> None:
        """From the beginning, beside what we trust, which stays until the new reading is as far; later each time."""
        telemetry.log.warning("registry read again", version=self.trusted.version, newest=self.trusted.newest)
        self._again = TrustedRecords(self._registrar)
        self._again_ms, self._pause_ms = now, min(self._pause_ms * 2, _MAX_REREAD_MS)
        await reader.seek_to_beginning(self._partition)

    def _age_seconds(self) -> float:
        return (now_ms() - self.stood_ms) / 1000 if self.stood_ms else 0.0

    def _feed(self, key: bytes | None, value: bytes | None) -> None:
        if key == REFUSAL_KEY:
            if self._on_refusal is not None:
                self._on_refusal(value or b"")
            return
        try:
            if self._put(self.trusted, key, value):
                self._took()
        except RegistryError as error:
            refuse(error, self.trusted.version, part=_PART)

    @staticmethod
    def _put(trusted: TrustedRecords, key: bytes | None, value: bytes | None) -> bool:
        """Whether this brought a new version; raises RegistryError."""
        if key == REFUSAL_KEY:
            return False
        if key == MANIFEST_KEY:
            return trusted.take(value or b"") is not None
        return trusted.stage(value or b"", (key or b"")[:200].decode(errors="replace"), now_ms()) is not None

    def _took(self) -> None:
        telemetry.SNAPSHOT_VERSION.set(self.trusted.version)
        self.moved.set()

    async def _hand_on(self) -> None:
        if self._upkeep is None or self.snapshot is None:
            return
        try:
            if await self._upkeep.turn(self.stood_ms):
                self.stored_ms = self.stood_ms
        except RedisFailure as error:
            telemetry.log.warning("redis is away", part="follower", error=type(error).__name__)
