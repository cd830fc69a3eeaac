"""The composition root of a worker agent: everything is made here once and handed in."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from broker.bus import kafka, redis, telemetry, tracing
from broker.bus.keys import KeyOpener, KeySigner, Sealer, read_keys
from broker.bus.lots import Packer
from broker.bus.objects import Objects
from broker.registry.reader import RegistryReader
from broker.registry.stored import StoredRegistry
from deploy.details import Details
from deploy.roots.lifetime import until_stopped
from schemas.topics import request_topic
from workers.consents import Consents
from workers.effects import Effects
from workers.engine.bare import BareEngine
from workers.engine.lane import LaneWork
from workers.evidence import EvidenceWriter
from workers.files import FileSender, sweep
from workers.handler import Handler
from workers.issuers.sqlite import SqliteIssuer
from workers.names import RegisteredNames
from workers.presence import PresenceLoop
from workers.rebuilding import Rebuilder
from workers.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from broker.bus.settings import WorkerSettings
    from workers.engine.port import Engine


async def run(settings: WorkerSettings) -> None:
    """Run until SIGTERM; an error ends the process, and whoever keeps it starts it again."""
    telemetry.configure(settings.name, settings.metrics_port, "worker")
    spans = tracing.connect(settings.otlp, role="worker", process=settings.name)
    keys, registrar = read_keys(settings.keys), read_keys(settings.registrar)
    connection = redis.connect(settings.redis)
    stored = StoredRegistry(connection, settings.province)
    registry = RegistryReader(redis=connection, stored=stored, registrar=registrar.signing)
    signer = KeySigner(keys.signing)
    packer = Packer(party=settings.province, signer=signer, sealer=Sealer(), recipients=registry.current)
    producer = kafka.producer(settings.kafka, settings.name)
    await producer.start()
    gate = asyncio.Event()
    effects = Effects(connection, settings.province)
    details = Details(settings.kafka, keys, name=f"rebuilding-{settings.name}")
    rebuilder = Rebuilder(effects=effects, registry=registry, details=details)
    opener = KeyOpener(keys.sealing)
    store, objects = SqliteStore(settings.store), Objects(settings.objects)
    issuer = SqliteIssuer(settings.store)  # the simulated one keeps its codes beside the certificates
    handler = Handler(
        province=settings.province,
        registry=registry,
        opener=opener,
        effects=effects,
        store=store,
        issuer=issuer,
        consents=Consents(keys, opener),
        names=RegisteredNames(),
        files=FileSender(objects=objects, suite=signer.suite),
        evidence=EvidenceWriter(party=settings.province, keys=keys, packer=packer, kafka=producer),
        spans=spans,
    )
    lane = LaneWork(handle=handler, kafka=producer, gate=gate, lots_in_work=settings.lots_in_work)
    presence = PresenceLoop(
        province=settings.province,
        signer=signer,
        kafka=producer,
        redis=connection,
        registry=registry,
        rebuilder=rebuilder,
        gate=gate,
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            engine = _engine(settings, lane, Path(folder))

            async def stop() -> None:
                await presence.leave()
                await engine.stop()

            await until_stopped(
                engine.run(), registry.run(), rebuilder.run(), presence.run(), sweep(objects), stop=stop
            )
    finally:
        await producer.stop()
        await store.close()
        await issuer.close()
        await objects.close()
        await connection.aclose()
        if spans:
            spans.close()


def _engine(settings: WorkerSettings, lane: LaneWork, folder: Path) -> Engine:
    topic, group = request_topic(settings.province), f"certlane.worker.{settings.province}"
    if settings.engine == "aiokafka":
        return BareEngine(bootstrap=settings.kafka, topic=topic, group=group, lane=lane)
    from workers.engine.faust import FaustEngine  # noqa: PLC0415  # 25 MB that the other engine need not carry

    return FaustEngine(bootstrap=settings.kafka, topic=topic, group=group, lane=lane, folder=folder)
