"""The composition root of a province's registry follower."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from broker.bus import redis, telemetry
from broker.bus.clock import now_ms
from broker.bus.keys import read_keys
from broker.registry.follower import Follower
from broker.registry.stored import StoredRegistry
from deploy.roots.lifetime import until_signalled

if TYPE_CHECKING:
    from broker.bus.settings import FollowerSettings

_STALE_MS = 5_000


async def run(settings: FollowerSettings) -> None:
    """Run until SIGTERM."""
    telemetry.configure(settings.name, settings.metrics_port, "follower")
    connection = redis.connect(settings.redis)
    follower = Follower(
        bootstrap=settings.kafka,
        name=settings.name,
        registrar=read_keys(settings.registrar).signing,
        stored=StoredRegistry(connection, settings.party),
    )
    try:
        await until_signalled(follower.run(), _tell(follower))
    finally:
        await connection.aclose()


async def _tell(follower: Follower) -> None:
    """Ready means: in the last five seconds it stood at the end and Redis knew it."""
    while True:
        telemetry.READY.set(1 if now_ms() - follower.stored_ms < _STALE_MS else 0)
        await asyncio.sleep(0.5)
