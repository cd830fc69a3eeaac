"""The composition root of the registrar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.bus import kafka, telemetry
from broker.bus.keys import KeySigner, read_keys
from broker.registry.registrar import Registrar
from deploy.roots.lifetime import until_signalled

if TYPE_CHECKING:
    from broker.bus.settings import RegistrarSettings


async def run(settings: RegistrarSettings) -> None:
    """Run until SIGTERM."""
    telemetry.configure(settings.name, settings.metrics_port, "registrar")
    keys = read_keys(settings.keys)
    producer = kafka.producer(settings.kafka, settings.name)
    await producer.start()
    registrar = Registrar(
        bootstrap=settings.kafka,
        name=settings.name,
        key=keys.signing.public,
        signer=KeySigner(keys.signing),
        kafka=producer,
        renew_seconds=settings.renew_seconds,
    )
    try:
        await until_signalled(registrar.run())
    finally:
        await producer.stop()
