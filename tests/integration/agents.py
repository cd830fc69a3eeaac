"""A province's agent whose Redis and Kafka are real, and whose life of Redis a test can end."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from broker.bus.keys import KeyOpener, KeySigner, Sealer
from broker.bus.lots import Packer
from broker.bus.redis import prefix
from deploy.details import Details
from schemas.suites import ED
from schemas.topics import LANE_PARTITIONS, detail_topic, evidence_topic
from tests.contract.agents import until
from tests.support import KEYS, Province, request
from tests.support_registry import PROVINCE, scene
from tests.support_store import certificate
from workers.effects import Effects
from workers.evidence import EvidenceWriter
from workers.files import FileSender
from workers.handler import Handler
from workers.rebuilding import Rebuilder
from workers.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiokafka import AIOKafkaProducer
    from redis.asyncio import Redis

    from schemas.items import RequestItem
    from schemas.scenes import Limits
    from tests.integration.parts import Parts
    from workers.issuers.port import CodeRecord
    from workers.stores.port import Store

STORED = [certificate(serial) for serial in range(1, 9)]


async def make_evidence_topics(parts: Parts) -> None:
    for name in (evidence_topic(PROVINCE), detail_topic(PROVINCE)):
        await parts.topic(name, partitions=LANE_PARTITIONS)


class RealProvince(Province):
    """Marks, codes and counters in a real Redis, evidence on a real Kafka; only the registry is handed over by hand.

    Each has a scenario of its own, so that what others left on the topics is not counted in it.
    """

    def __init__(
        self,
        connection: Redis,
        kafka: AIOKafkaProducer,
        bootstrap: str,
        *,
        store: Store | None = None,
        codes: Mapping[str, CodeRecord | None] | None = None,
    ) -> None:
        super().__init__(store or MemoryStore(STORED), codes=codes or {})
        self.connection = connection
        self.scene_code = f"YRD-310000-2026-{uuid.uuid4().int % 10**8:08}"
        keys = KEYS[PROVINCE]
        packer = Packer(
            party=PROVINCE, signer=KeySigner(keys.signing), sealer=Sealer(), recipients=self.registry.current
        )
        self.real = Effects(connection, PROVINCE)
        self.details_read = Details(bootstrap, keys)
        self.rebuilder = Rebuilder(effects=self.real, registry=self.registry, details=self.details_read)
        self.handler = Handler(
            province=PROVINCE,
            registry=self.registry,
            opener=KeyOpener(keys.sealing),
            effects=self.real,
            store=self.store,
            issuer=self.issuer,
            consents=self.consents,
            names=self.names,
            files=FileSender(objects=self.objects, suite=ED),
            evidence=EvidenceWriter(party=PROVINCE, keys=keys, packer=packer, kafka=kafka),
        )

    async def limited(self, limits: Limits) -> RealProvince:
        """Ready, with its scenario under these limits."""
        await self.ready()
        await self.publish(replace(scene(), scene_code=self.scene_code, limits=limits))
        await self.new_life()
        return self

    async def new_life(self) -> None:
        """The follower has written the registry into the Redis that is there now."""
        self.redis.epoch = uuid.uuid4().hex.encode()
        await self.connection.set(f"{prefix(PROVINCE)}epoch", self.redis.epoch)
        await self.registry.refresh()

    async def emptied(self) -> None:
        """Redis loses all that it holds."""
        await self.connection.flushall()
        await self.new_life()

    def asks(self, serial: int = 1, interface: str = "I4", **head: str | None) -> RequestItem:
        """A new request under this scenario."""
        made = request(serial, interface)
        return replace(made, id=uuid.uuid4().hex, head=replace(made.head, scene_code=self.scene_code, **head))

    async def statuses(self, *asked: RequestItem) -> list[int]:
        told = await self.answers(*asked)
        return [told[item.id].status for item in asked]

    @asynccontextmanager
    async def rebuilding(self) -> AsyncIterator[None]:
        """With its rebuilder at work, and the effects whole."""
        running = asyncio.ensure_future(self.rebuilder.run())
        try:
            await until(lambda: self.rebuilder.standing or running.done())
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            self.rebuilder.standing = False

    async def rebuilt(self) -> None:
        """Whole once, by a rebuilder that then stops."""
        async with self.rebuilding():
            pass
