"""The registrar: takes signed intake, makes versions of it, signs a manifest over all, and renews it in time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from aiokafka import TopicPartition
from msgspec import Struct

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.kafka import consumer
from broker.registry.follower import Follower
from schemas.filing import Wanted
from schemas.jose import JoseError, parse_jws
from schemas.registry import BODIES, MANIFEST_KEY, MAX_MANIFEST_CHARS, Manifest, Record, digest_of, root_of
from schemas.suites import BY_SIGN_ALG, CryptoError
from schemas.topics import INTAKE, REGISTRY
from schemas.wire import sign_compact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka import AIOKafkaProducer

    from broker.bus.keys import KeySigner
    from schemas.jose import Jwk

MANIFEST_LIFE_MS = 24 * 3_600_000
INTAKE_TYPE = "certlane-intake"
_INTAKE_PARTITION = TopicPartition(INTAKE, 0)
_encode = msgspec.json.Encoder().encode


class Intake(Struct, frozen=True, kw_only=True):
    """A signed wish to the registrar: these records, as they stand here; others stay as they are."""

    id: str
    time: int
    records: tuple[Wanted, ...]


def sign_intake(signer: KeySigner, intake: Intake) -> bytes:
    return sign_compact(signer, _encode(intake), INTAKE_TYPE)


def read_intake(text: bytes, key: Jwk) -> Intake:
    """The intake if this key signed it and each body is of its kind; raises JoseError, CryptoError, DecodeError."""
    jws = parse_jws(text, MAX_MANIFEST_CHARS)
    if jws.header.typ != INTAKE_TYPE or jws.header.kid != key.kid:
        raise JoseError("not an intake of the registrar")
    BY_SIGN_ALG[key.alg or ""].verifier(key)(jws.signature, jws.signing_input)
    intake = msgspec.json.decode(jws.payload, type=Intake)
    for wanted in intake.records:
        msgspec.json.decode(wanted.body, type=BODIES[wanted.kind])
    return intake


def changes(current: Mapping[str, bytes], wanted: Sequence[Wanted]) -> dict[str, bytes]:
    """New versions of those records that are new or differ."""
    out: dict[str, bytes] = {}
    for wish in wanted:
        key = f"{wish.kind}/{wish.id}"
        old = msgspec.json.decode(current[key], type=Record) if key in current else None
        if old is None or bytes(old.body) != bytes(wish.body):
            version = old.version + 1 if old else 1
            out[key] = _encode(Record(kind=wish.kind, id=wish.id, version=version, body=wish.body))
    return out


class Registrar:
    """The one who publishes; there is one of it."""

    def __init__(
        self, *, bootstrap: str, name: str, key: Jwk, signer: KeySigner, kafka: AIOKafkaProducer, renew_seconds: int
    ) -> None:
        self._bootstrap, self._name, self._key, self._signer, self._kafka = bootstrap, name, key, signer, kafka
        self._renew_seconds = renew_seconds
        self.follower = Follower(bootstrap=bootstrap, name=f"{name}-follower", registrar=key)

    async def run(self) -> None:
        """Stand at the topic's end, then take intake one by one and renew the manifest in time, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.follower.run())
            tasks.create_task(self._serve())

    async def _serve(self) -> None:
        reader = consumer(self._bootstrap, f"{self._name}-intake", group="certlane.registrar")
        reader.assign([_INTAKE_PARTITION])
        await reader.start()
        try:
            await self._catch_up()
            telemetry.READY.set(1)
            while True:
                for record in (await reader.getmany(timeout_ms=500)).get(_INTAKE_PARTITION, []):
                    await self._take(record.value or b"")
                    await reader.commit({_INTAKE_PARTITION: record.offset + 1})
                if self._renewal_due():
                    await self.publish({}, "")
        finally:
            await reader.stop()

    async def _catch_up(self) -> None:
        """Wait until our own follower has read all that was ever published."""
        reader = consumer(self._bootstrap, f"{self._name}-ends")
        await reader.start()
        try:
            end = (await reader.end_offsets([TopicPartition(REGISTRY, 0)]))[TopicPartition(REGISTRY, 0)]
        finally:
            await reader.stop()
        while end and not self.follower.stood_ms:  # noqa: ASYNC110  # once, at start
            await asyncio.sleep(0.05)

    def _renewal_due(self) -> bool:
        manifest = self.follower.trusted.manifest
        return manifest is not None and now_ms() - manifest.issued_at >= self._renew_seconds * 1000

    async def _take(self, text: bytes) -> None:
        try:
            intake = read_intake(text, self._key)
        except (JoseError, CryptoError, msgspec.DecodeError) as error:
            telemetry.REGISTRY_REFUSED.inc()
            telemetry.log.error("intake refused", reason=str(error))
            return
        await self.publish(changes(self.follower.trusted.records, intake.records), intake.id)

    async def publish(self, changed: Mapping[str, bytes], intake: str) -> None:
        """Records first, the manifest last; then wait until our own follower believes it."""
        trusted = self.follower.trusted
        after = {**trusted.records, **changed}
        now = now_ms()
        manifest = Manifest(
            version=trusted.version + 1,
            previous=trusted.version,
            count=len(after),
            root=root_of(after),
            changed={key: digest_of(value) for key, value in changed.items()},
            issued_at=now,
            expires_at=now + MANIFEST_LIFE_MS,
            intakes=(intake,) if intake else (),
        )
        sends = [
            await self._kafka.send(REGISTRY, value, key=key.encode(), partition=0) for key, value in changed.items()
        ]
        await asyncio.gather(*sends)
        jws = sign_compact(self._signer, _encode(manifest))
        await self._kafka.send_and_wait(REGISTRY, jws, key=MANIFEST_KEY, partition=0)
        while trusted.version < manifest.version:
            self.follower.moved.clear()
            await self.follower.moved.wait()
        telemetry.log.info("registry published", version=manifest.version, changed=len(changed), count=len(after))
