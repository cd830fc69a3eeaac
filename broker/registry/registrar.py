"""The registrar: takes signed intake in greedy batches, makes versions of it, signs manifests, renews them in time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from aiokafka import TopicPartition

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.kafka import consumer
from broker.registry.authoring import Known
from broker.registry.chronicle import read_changes
from broker.registry.folding import FOUNDATIONS, Rules, fold
from broker.registry.follower import Follower
from broker.registry.intake import MAX_APART_MS, IntakeError, read_intake, read_refusal, sign_refusal
from broker.registry.lifecycle import LifecycleError
from broker.registry.transitions import REGISTRAR
from schemas.filing import Action, Intake, Refused
from schemas.kinds import Kind
from schemas.registry import (
    MANIFEST_KEY,
    MAX_CHANGED,
    REFUSAL_KEY,
    Distrust,
    Manifest,
    Withdrawal,
    decode_record,
    digest_of,
)
from schemas.topics import INTAKE, REGISTRY
from schemas.wire import sign_compact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka import AIOKafkaProducer

    from broker.bus.keys import KeySigner
    from broker.registry.snapshot import Snapshot
    from schemas.jose import Jwk

MANIFEST_LIFE_MS = 24 * 3_600_000
_BELIEF_SECONDS = 30.0
_REMEMBERED_REFUSALS = 10_000
_INTAKE_PARTITION = TopicPartition(INTAKE, 0)
_encode = msgspec.json.Encoder().encode
_ORDER = {kind: place for place, kind in enumerate((*FOUNDATIONS, Kind.WITHDRAWAL, Kind.FILING, Kind.SCENE))}


class RegistrarError(Exception):
    """What we published is not what stands on the topic: somebody else publishes too; the process starts anew."""


def known_in(snapshot: Snapshot | None) -> Known:
    """The records in force that others may name."""
    if snapshot is None:
        return Known({}, {}, {})
    catalogue = {code: compiled.entry for code, compiled in snapshot.catalogue.items()}
    return Known(snapshot.parties, snapshot.applications, catalogue)


class Batch:
    """What is taken up together: the records it changes, and whose wishes those were."""

    def __init__(self) -> None:
        self.changed: dict[str, bytes] = {}
        self.intakes: list[str] = []

    @property
    def founds(self) -> bool:
        """Whether it changes what later wishes are held against: parties' keys, applications, the catalogue."""
        return any(key.partition("/")[0] in set(FOUNDATIONS) for key in self.changed)

    def has_room_for(self, changed: Mapping[str, bytes]) -> bool:
        return not self.changed or len(self.changed.keys() | changed.keys()) <= MAX_CHANGED


class Registrar:
    """The one who publishes; there is one of it."""

    def __init__(
        self, *, bootstrap: str, name: str, key: Jwk, signer: KeySigner, kafka: AIOKafkaProducer, renew_seconds: int
    ) -> None:
        self._bootstrap, self._name, self._key, self._signer, self._kafka = bootstrap, name, key, signer, kafka
        self._renew_seconds = renew_seconds
        self._refused: OrderedDict[str, None] = OrderedDict()
        self.follower = Follower(bootstrap=bootstrap, name=f"{name}-follower", registrar=key, on_refusal=self._heard)

    async def run(self) -> None:
        """Stand at the topic's end, then take what intake there is and renew the manifest in time, for ever."""
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
                found = (await reader.getmany(timeout_ms=500)).get(_INTAKE_PARTITION, [])
                if found:
                    await self.take(found)
                    await reader.commit({_INTAKE_PARTITION: found[-1].offset + 1})
                if self._renewal_due():
                    await self._publish(self._over(), ())
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

    def _over(self) -> dict[str, bytes | None]:
        """Withdrawals of consents that have ended by themselves: nobody needs them any more."""
        now = now_ms() - MAX_APART_MS
        out: dict[str, bytes | None] = {}
        for key, raw in self.follower.trusted.records.items():
            if key.startswith(f"{Kind.WITHDRAWAL}/") and len(out) < MAX_CHANGED:
                withdrawn = msgspec.json.decode(decode_record(raw).body, type=Withdrawal)
                if withdrawn.until < now:
                    out[key] = None
        return out

    async def take(self, found: Sequence[Any]) -> None:
        """All that lies there, in its order, as one version where that is possible; refusals are told by name."""
        batch, refused = Batch(), list[Refused]()
        for record in found:
            if batch.founds:
                batch = await self._close(batch)
            intake = self._read(record)
            if intake is None or intake.id in batch.intakes:
                continue
            try:
                self._check_time(intake, record.timestamp)
                changed = fold(intake, await self._rules(intake), batch.changed, self.follower.trusted.records)
            except LifecycleError as error:
                refused.append(Refused(intake=intake.id, code=error.code, reason=str(error), time=now_ms()))
                self._remember(intake.id)
                telemetry.log.info("intake not taken", by=intake.by, intake=intake.id, code=error.code)
                continue
            if not batch.has_room_for(changed):
                batch = await self._close(batch)
            batch.changed |= changed
            batch.intakes.append(intake.id)
        await self._close(batch)
        await self._tell(refused)

    def _read(self, record: Any) -> Intake | None:
        """The intake if it is signed and new; a name that was decided upon is never decided upon again."""
        try:
            intake = read_intake(
                record.value or b"", registrar=self._key, parties=self.follower.snapshot, now_ms=record.timestamp
            )
        except IntakeError as error:
            telemetry.REGISTRY_REFUSED.labels(Distrust.INTAKE).inc()
            telemetry.log.error("intake refused", reason=str(error))
            return None
        return None if intake.id in self.follower.trusted.intakes or intake.id in self._refused else intake

    @staticmethod
    def _check_time(intake: Intake, appended_ms: int) -> None:
        if abs(appended_ms - intake.time) > MAX_APART_MS:
            raise LifecycleError(
                "time", "签署时间与收到时间相差超过十分钟", "signed more than ten minutes from its arrival"
            )

    async def _rules(self, intake: Intake) -> Rules:
        """With every version of those records that this intake wants to go back to, if its party ever may."""
        wishes = intake.transitions if intake.by == REGISTRAR else ()  # else anybody could have the whole topic read
        keys = {wish.key for wish in wishes if wish.action is Action.ROLLBACK}
        keys |= {f"{Kind.SCENE}/{key}" for key in keys if "/" not in key}
        changes = await read_changes(self._bootstrap, self._key, keys.__contains__) if keys else []
        earlier = {(one.key, one.record.version): one.record for one in changes if one.record}
        return Rules(known_in(self.follower.snapshot), lambda key, version: earlier.get((key, version)))

    async def _close(self, batch: Batch) -> Batch:
        if batch.intakes:
            await self._publish(batch.changed, batch.intakes)
        return Batch()

    async def _publish(self, changed: Mapping[str, bytes | None], intakes: Sequence[str]) -> None:
        """One version, or several when it is much; only the last of them says that the wishes are fulfilled."""
        keys = sorted(changed, key=lambda key: (_ORDER[Kind(key.partition("/")[0])], key))
        parts = [keys[place : place + MAX_CHANGED] for place in range(0, len(keys) or 1, MAX_CHANGED)]
        for part in parts:
            last = part is parts[-1]
            await self._version({key: changed[key] for key in part}, tuple(intakes) if last else ())

    async def _version(self, changed: Mapping[str, bytes | None], intakes: tuple[str, ...]) -> None:
        """Records first, the manifest last; then wait until our own follower believes it."""
        trusted, now = self.follower.trusted, now_ms()
        before = trusted.tree.apply(changed)
        count, root = trusted.tree.count, trusted.tree.root()
        trusted.tree.undo(before)  # it is our follower's, and moves when that believes the manifest
        manifest = Manifest(
            version=trusted.version + 1,
            previous=trusted.version,
            count=count,
            root=root,
            changed={key: digest_of(value) if value else "" for key, value in changed.items()},
            issued_at=now,
            expires_at=now + MANIFEST_LIFE_MS,
            intakes=intakes,
        )
        sends = [
            await self._kafka.send(REGISTRY, value, key=key.encode(), partition=0)
            for key, value in changed.items()
            if value
        ]
        await asyncio.gather(*sends)
        await self._kafka.send_and_wait(
            REGISTRY, sign_compact(self._signer, _encode(manifest)), key=MANIFEST_KEY, partition=0
        )
        await self._believed(manifest)
        telemetry.log.info(
            "registry published",
            version=manifest.version,
            changed=len(changed),
            count=manifest.count,
            intakes=len(intakes),
        )

    async def _believed(self, manifest: Manifest) -> None:
        try:
            async with asyncio.timeout(_BELIEF_SECONDS):
                while self.follower.trusted.version < manifest.version:
                    self.follower.moved.clear()
                    await self.follower.moved.wait()
        except TimeoutError as error:
            raise RegistrarError(f"our own follower does not take version {manifest.version}") from error
        if self.follower.trusted.manifest != manifest:
            raise RegistrarError(f"version {manifest.version} is somebody else's")

    def _heard(self, text: bytes) -> None:
        """What we have refused before this process began, or in it."""
        with suppress(IntakeError):  # a stranger's
            self._remember(read_refusal(text, self._key).intake)

    def _remember(self, intake: str) -> None:
        self._refused[intake] = None
        if len(self._refused) > _REMEMBERED_REFUSALS:
            self._refused.popitem(last=False)

    async def _tell(self, refused: Sequence[Refused]) -> None:
        sends = [
            await self._kafka.send(REGISTRY, sign_refusal(self._signer, one), key=REFUSAL_KEY, partition=0)
            for one in refused
        ]
        await asyncio.gather(*sends)
