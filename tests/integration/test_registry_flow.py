"""The registry's way from an intake to an agent's snapshot, on real Kafka and Redis; and what is not believed on it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.keys import KeyFile, KeySigner
from broker.bus.redis import prefix
from broker.registry import reader as reader_module
from broker.registry.follower import Follower
from broker.registry.intake import IntakeError, read_refusal, sign_intake
from broker.registry.reader import RegistryReader
from broker.registry.registrar import Registrar
from broker.registry.stored import StoredRegistry
from broker.registry.transitions import REGISTRAR, Standing
from broker.registry.walk import new_intake, walk
from deploy.local.publish import played_draft
from schemas.filing import UNCHANGED
from schemas.record_tree import RecordTree
from schemas.registry import MANIFEST_KEY, Distrust, Manifest, decode_record, digest_of
from schemas.scenes import Scene
from schemas.topics import INTAKE, REGISTRY
from tests.contract.agents import until
from tests.support_life import PARTIES, applied, bodies
from tests.support_registry import (
    APPLICATION,
    CARD,
    NODE,
    SCENE,
    Body,
    application,
    new_party_keys,
    record_of,
    signed,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from aiokafka import AIOKafkaProducer
    from redis.asyncio import Redis

    from broker.registry.snapshot import Snapshot
    from tests.integration.parts import Parts

PARTY = "32"
RENEWS_NEVER = 86_400
CLASSES = (Distrust.CHANGED, Distrust.SIGNER, Distrust.GAP)  # one of each class that the metric tells


@pytest.fixture(scope="module")
def keys() -> KeyFile:
    return new_party_keys("registrar")


@pytest.fixture(scope="module")
async def topics(parts: Parts) -> None:
    """The registry's topics; they keep their history from test to test, as they do in life."""
    await parts.topic(REGISTRY)
    await parts.topic(INTAKE)


class Way:
    """Registrar, follower and an agent's reader, each as its process has it."""

    def __init__(self, parts: Parts, keys: KeyFile, kafka: AIOKafkaProducer, redis: Redis) -> None:
        self.parts, self.keys, self.kafka, self.redis = parts, keys, kafka, redis
        self.tasks: list[asyncio.Task[None]] = []
        self.follower = Follower(
            bootstrap=parts.bootstrap,
            name="test-follower",
            registrar=keys.signing.public,
            stored=StoredRegistry(redis, PARTY),
            on_refusal=self._hear,
        )
        self.unchanged: set[str] = set()  # intakes that asked for what stood there already
        self.reader = self.new_reader()

    def _hear(self, text: bytes) -> None:
        with suppress(IntakeError):  # of another test's registrar
            refused = read_refusal(text, self.keys.signing.public)
            assert refused.code == UNCHANGED, refused
            self.unchanged.add(refused.intake)

    def new_reader(self) -> RegistryReader:
        stored = StoredRegistry(self.redis, PARTY)
        return RegistryReader(redis=self.redis, stored=stored, registrar=self.keys.signing.public)

    def registrar(self, *, renew_seconds: int = RENEWS_NEVER, follows_after: float = 0) -> asyncio.Task[None]:
        made = Registrar(
            bootstrap=self.parts.bootstrap,
            name="test-registrar",
            key=self.keys.signing.public,
            signer=KeySigner(self.keys.signing),
            kafka=self.kafka,
            renew_seconds=renew_seconds,
        )
        follow = made.follower.run

        async def late() -> None:
            await asyncio.sleep(follows_after)
            await follow()

        made.follower.run = late  # type: ignore[method-assign]
        return self.keep(made.run())

    def keep(self, part: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(part)
        self.tasks.append(task)
        return task

    async def intake(self, *wanted: Body, by: KeyFile) -> str:
        """Hand a signed wish to the registrar; its id."""
        made = new_intake(REGISTRAR, [applied(*wanted)], now_ms())
        await self.kafka.send_and_wait(INTAKE, sign_intake(KeySigner(by.signing), made), partition=0)
        return made.id

    async def apply(self, *wanted: Body) -> Manifest:
        """Hand in a wish, a scenario on its whole way, and wait until the agent has the version that holds it."""
        name = await self.intake(*(body for body in wanted if not isinstance(body, Scene)), by=self.keys)
        manifest = await self.arrived(name)
        for body in wanted:
            key = record_of(body)[0]
            if isinstance(body, Scene) and key not in self.follower.trusted.records:
                for step in walk([(Standing(), played_draft(body))], lambda _: NODE, now_ms()):
                    keys = self.keys if step.by == REGISTRAR else PARTIES[step.by]
                    text = sign_intake(KeySigner(keys.signing), step)
                    await self.kafka.send_and_wait(INTAKE, text, partition=0)
                manifest = await self.arrived(step.id)
        return manifest

    async def arrived(self, name: str) -> Manifest:
        trusted = self.follower.trusted
        await until(lambda: name in trusted.intakes | self.unchanged and self.version == trusted.version)
        assert trusted.manifest
        return trusted.manifest

    @property
    def snapshot(self) -> Snapshot:
        assert self.reader.snapshot
        return self.reader.snapshot

    @property
    def version(self) -> int:
        return self.reader.snapshot.version if self.reader.snapshot else 0

    def record_version(self, body: Body) -> int:
        return decode_record(self.follower.trusted.records[record_of(body)[0]]).version


async def end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def way(
    parts: Parts, topics: None, keys: KeyFile, kafka: AIOKafkaProducer, connection: Redis
) -> AsyncIterator[Way]:
    """Follower and reader run; the registrar is a test's own, because it may be two of them."""
    made = Way(parts, keys, kafka, connection)
    made.keep(made.follower.run())
    made.keep(made.reader.run())
    yield made
    await end(*made.tasks)


def refused(*classes: Distrust) -> float:
    """How many manifests, records and intakes were not believed; records of other tests' registrars come late."""
    return sum(float(telemetry.REGISTRY_REFUSED.labels(one)._value.get()) for one in classes or CLASSES)


async def test_an_intake_becomes_a_snapshot(way: Way) -> None:
    """What the registrar's intake asks for is what an agent judges by, verified and fresh, within seconds."""
    way.registrar()
    manifest = await way.apply(*bodies())
    snapshot = way.snapshot
    assert snapshot.version == manifest.version
    assert (set(snapshot.scenes), snapshot.applications[APPLICATION].per_second) == ({SCENE}, 1_000)
    assert snapshot.scenes[SCENE].types[CARD].granted
    assert way.reader.fresh(now_ms())
    assert not way.reader.fresh(snapshot.expires_at)


async def test_only_what_differs_gets_a_version(way: Way) -> None:
    """A second intake changes only those records that differ, each one version higher, and its manifest follows."""
    way.registrar()
    first = await way.apply(*bodies())
    before = {body.id: way.record_version(body) for body in bodies()}
    changed = replace(application(), per_second=before[APPLICATION] + 7)
    second = await way.apply(*(changed if body.id == APPLICATION else body for body in bodies()))
    assert (second.previous, second.version) == (first.version, first.version + 1)
    assert set(second.changed) == {f"application/{APPLICATION}"}
    after = {body.id: way.record_version(body) for body in bodies()}
    assert after == before | {APPLICATION: before[APPLICATION] + 1}
    assert way.snapshot.applications[APPLICATION].per_second == changed.per_second


async def test_the_manifest_is_renewed_in_time(way: Way) -> None:
    """Without any intake the registrar signs the same records anew, and the agent has the later expiry."""
    running = way.registrar()
    await way.apply(*bodies())
    await end(running)
    first, root = way.snapshot, dict(way.follower.trusted.records)
    way.registrar(renew_seconds=1)
    await until(lambda: way.version > first.version)
    assert way.snapshot.expires_at > first.expires_at
    assert way.follower.trusted.records == root
    assert way.follower.trusted.manifest
    assert way.follower.trusted.manifest.changed == {}


async def test_a_next_registrar_goes_on_from_the_end(way: Way) -> None:
    """A registrar that is started again knows all that was published before it takes what waits for it."""
    running = way.registrar()
    first = await way.apply(*bodies())
    await end(running)
    waits = await way.intake(replace(application(), name="窗口系统（第二版）"), by=way.keys)
    way.registrar(follows_after=0.8)
    second = await way.arrived(waits)
    assert (second.previous, second.version, second.count) == (first.version, first.version + 1, first.count)
    assert set(second.changed) == {f"application/{APPLICATION}"}


async def test_strangers_on_the_topic_change_nothing(way: Way) -> None:
    """A stranger's record, a forged manifest, an old one and noise leave every snapshot as it is, and are counted."""
    running = way.registrar()
    await way.apply(*bodies())
    old_manifest = way.follower.trusted.manifest_jws
    good = await way.apply(replace(application(), per_second=41))
    unproven = (Distrust.SIGNER, Distrust.GAP)
    before, records = refused(*unproven), refused(Distrust.CHANGED)
    key, evil = record_of(replace(application(), per_second=9_999), version=99)
    forged = replace(
        good,
        version=good.version + 1,
        previous=good.version,
        root=RecordTree(way.follower.trusted.records | {key: evil}).root(),
        changed={key: digest_of(evil)},
    )
    for name, value in (
        (key.encode(), evil),
        (MANIFEST_KEY, signed(forged, new_party_keys("registrar"))),
        (MANIFEST_KEY, b"noise"),
        (MANIFEST_KEY, old_manifest),
    ):
        await way.kafka.send_and_wait(REGISTRY, value, key=name, partition=0)
    # All four, by the follower and by the registrar's own.
    await until(lambda: refused(*unproven) == before + 4 and refused(Distrust.CHANGED) >= records + 4)
    assert (way.version, way.snapshot.applications[APPLICATION].per_second) == (good.version, 41)
    after = await way.apply(replace(application(), per_second=42))
    assert (after.previous, way.snapshot.applications[APPLICATION].per_second) == (good.version, 42)
    assert not running.done()


async def test_a_strangers_intake_is_refused(way: Way) -> None:
    """An intake that the registrar's key has not signed publishes nothing, is counted, and the next one is taken."""
    way.registrar()
    good = await way.apply(*bodies())
    before = refused(Distrust.SIGNER)
    await way.intake(replace(application(), per_second=9_999), by=new_party_keys("registrar"))
    await way.kafka.send_and_wait(INTAKE, b"noise", partition=0)
    await until(lambda: refused(Distrust.SIGNER) == before + 2)
    assert (await way.apply(replace(application(), per_second=43))).previous == good.version


async def test_an_emptied_redis_is_written_again(way: Way) -> None:
    """After a flush nothing is fresh until the follower has written again and the agent has verified it."""
    way.registrar()
    await way.apply(*bodies())
    first, epoch = way.snapshot, way.reader.epoch
    begun = time.monotonic()
    await way.redis.flushall()
    await way.reader.refresh()
    assert way.reader.epoch != epoch
    await until(lambda: way.reader.fresh(now_ms()), seconds=30)
    assert time.monotonic() - begun < 30
    assert way.reader.epoch not in {b"", epoch}
    assert way.snapshot is first  # verified already, and signed as before


@pytest.mark.parametrize("lost", ["registry:records", "registry:manifest", "registry:version", "epoch"])
async def test_a_key_that_is_lost_comes_back(way: Way, lost: str) -> None:
    """Whichever key of the registry Redis has lost, a new agent has a verified snapshot soon after."""
    way.registrar()
    await way.apply(*bodies())
    await way.redis.delete(prefix(PARTY) + lost)
    fresh = way.new_reader()
    way.keep(fresh.run())
    await until(lambda: fresh.fresh(now_ms()), seconds=30)
    assert fresh.snapshot
    assert fresh.snapshot.version == way.version


async def test_altered_records_are_not_believed(way: Way) -> None:
    """Of records that were not signed an agent takes none: it keeps the last good ones, counts it, or has nothing."""
    way.registrar()
    await way.apply(*bodies())
    good, before = way.snapshot, refused()
    key, evil = record_of(replace(application(), per_second=9_999))
    base = prefix(PARTY) + "registry"
    async with way.redis.pipeline(transaction=True) as pipe:
        pipe.hset(f"{base}:records", key, evil)
        pipe.set(f"{base}:version", good.version + 1)
        await pipe.execute()
    await way.reader.refresh()
    assert refused() > before
    assert way.snapshot is good
    fresh = way.new_reader()
    await fresh.refresh()
    assert fresh.snapshot is None
    assert not fresh.fresh(now_ms())


async def test_without_a_follower_the_agent_stops_judging(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past its bound after the follower stopped the agent's snapshot is not fresh; with the next one it is again."""
    bound_ms = 2_500
    monkeypatch.setattr(reader_module, "FRESH_MS", bound_ms)
    way.registrar()
    await way.apply(*bodies())
    assert way.reader.fresh(now_ms())
    following = way.tasks[0]
    await end(following)
    stood = way.reader.stood_ms
    await until(lambda: not way.reader.fresh(now_ms()), seconds=30)
    assert now_ms() - stood > bound_ms
    way.keep(way.follower.run())
    await until(lambda: way.reader.fresh(now_ms()), seconds=30)
