"""The composition root of one gateway instance."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import uvicorn

from broker.bus import kafka, redis, telemetry, tracing
from broker.bus.clock import now_ms
from broker.bus.keys import KeyOpener, KeySigner, Sealer, read_keys
from broker.bus.lots import Packer
from broker.bus.objects import Objects
from broker.exchange.flights import Bounds
from broker.exchange.instance import Instance
from broker.exchange.ledger import Ledger
from broker.exchange.presence import PresenceReader
from broker.exchange.replies import ReplyOpener
from broker.gateway.app import build
from broker.gateway.files import FileDesk
from broker.gateway.offers import Offers
from broker.gateway.protocol import BoundedProtocol
from broker.gateway.reading import BodyReader
from broker.gateway.sharing import Desk
from broker.gateway.token_endpoint import TokenEndpoint
from broker.gateway.tokens import TokenDesk
from broker.registry.follower import Follower
from broker.registry.stored import StoredRegistry
from deploy.roots.lifetime import until_stopped
from schemas.lot import LotError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.bus.settings import GatewaySettings
    from broker.registry.snapshot import Snapshot

_DRAIN_SECONDS = 7  # within the ten seconds before SIGKILL


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process has one place for them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run(settings: GatewaySettings) -> None:
    """Run until SIGTERM, then answer whom we hold, send what was taken, and go."""
    telemetry.configure(settings.name, settings.metrics_port, "gateway")
    spans = tracing.connect(settings.otlp, role="gateway", process=settings.name)
    keys, registrar = read_keys(settings.keys), read_keys(settings.registrar)
    connection = redis.connect(settings.redis)
    follower = Follower(
        bootstrap=settings.kafka,
        name=f"{settings.name}-follower",
        registrar=registrar.signing,
        stored=StoredRegistry(connection, settings.node),
    )

    def snapshot() -> Snapshot:
        if follower.snapshot is None:
            raise LotError("sender")
        return follower.snapshot

    signer, ledger = KeySigner(keys.signing), Ledger(connection, settings.node)
    producer = kafka.producer(settings.kafka, settings.name)
    await producer.start()
    instance = Instance(
        node=settings.node,
        bootstrap=settings.kafka,
        name=settings.name,
        ledger=ledger,
        packer=Packer(party=settings.node, signer=signer, sealer=Sealer(), recipients=snapshot),
        opener=ReplyOpener(node=settings.node, opener=KeyOpener(keys.sealing), snapshot=snapshot),
        kafka=producer,
        presence=PresenceReader(bootstrap=settings.kafka, name=f"{settings.name}-presence", snapshot=snapshot),
        bounds=Bounds(settings.max_in_flight, settings.max_in_flight_per_lane, settings.max_in_flight_per_application),
    )

    def unready() -> str:
        return instance.unready() or ("" if follower.fresh(now_ms()) else "registry")

    bodies = BodyReader()
    desk = Desk(
        exchange=instance.exchange,
        tokens=TokenDesk(node=settings.node, key=keys.signing.public),
        snapshot=snapshot,
        unready=unready,
        bodies=bodies,
        public_url=settings.public_url,
        spans=spans,
    )
    objects = Objects(settings.objects)
    files = FileDesk(
        application_of=lambda request: desk.application(request).id,
        look=desk.state,
        objects=objects,
        redis=connection,
        node=settings.node,
    )
    token = TokenEndpoint(
        node=settings.node,
        public_url=settings.public_url,
        signer=signer,
        redis=connection,
        snapshot=snapshot,
        bodies=bodies,
    )
    server = _Server(
        uvicorn.Config(
            build(
                desk=desk,
                offers=Offers(application=desk.application, snapshot=snapshot),
                files=files,
                token=token,
                unready=unready,
            ),
            host=settings.host,
            port=settings.port,
            loop="none",
            http=BoundedProtocol,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,  # the address is judged (2006): nobody may write it into a header
            timeout_graceful_shutdown=_DRAIN_SECONDS,
            limit_concurrency=4_096,
            backlog=2_048,
        )
    )

    async def stop() -> None:
        instance.exchange.close()
        server.should_exit = True

    async def exchange() -> None:
        while not follower.fresh(now_ms()):  # noqa: ASYNC110  # replies can be judged only by a registry at its end
            await asyncio.sleep(0.05)
        await instance.run()

    try:
        await until_stopped(server.serve(), follower.run(), exchange(), stop=stop)
    finally:
        with contextlib.suppress(*redis.RedisFailure, TimeoutError):
            await instance.stop()
        await producer.stop()
        await objects.close()
        await connection.aclose()
        if spans:
            spans.close()
