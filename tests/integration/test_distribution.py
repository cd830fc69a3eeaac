"""The registry on its way to the agents under every fault, on real Kafka and Redis: never wrong, told, mended."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from msgspec.structs import replace

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.redis import prefix
from broker.registry import follower as follower_module
from broker.registry import reader as reader_module
from broker.registry.follower import Follower
from broker.registry.reader import RegistryReader
from broker.registry.stored import StoredRegistry, Write
from broker.registry.trust import TrustedRecords
from broker.registry.upkeep import Upkeep
from schemas.registry import MANIFEST_KEY, Distrust, Manifest
from tests.contract.agents import until
from tests.support_registry import (
    APPLICATION,
    Body,
    application,
    bodies,
    manifest_of,
    new_party_keys,
    next_manifest,
    record_of,
    signed,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Coroutine

    from aiokafka import AIOKafkaProducer
    from redis.asyncio import Redis

    from tests.integration.parts import Parts

PARTY = "32"
BASE = prefix(PARTY) + "registry"
KEY = f"application/{APPLICATION}"


def rated(per_second: int) -> Body:
    return replace(application(), per_second=per_second)


class Stage:
    """A registrar played by hand, a follower and an agent's reader, on a topic of their own."""

    def __init__(self, topic: str, parts: Parts, kafka: AIOKafkaProducer, redis: Redis) -> None:
        self.topic, self.parts, self.kafka, self.redis = topic, parts, kafka, redis
        self.keys = new_party_keys("registrar")
        self.records: dict[str, bytes] = {}
        self.manifest: Manifest | None = None
        self.jws = b""
        self.tasks: list[asyncio.Task[None]] = []
        self.follower, self.reader = self.new_follower(), self.new_reader()

    def new_follower(self) -> Follower:
        return Follower(
            bootstrap=self.parts.bootstrap,
            name="test",
            registrar=self.keys.signing.public,
            stored=self.stored(),
            topic=self.topic,
        )

    def new_reader(self) -> RegistryReader:
        return RegistryReader(redis=self.redis, stored=self.stored(), registrar=self.keys.signing.public)

    def stored(self) -> StoredRegistry:
        return StoredRegistry(self.redis, PARTY)

    def keep(self, part: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self.tasks.append(asyncio.create_task(part))
        return self.tasks[-1]

    async def send(self, key: bytes, value: bytes) -> None:
        await self.kafka.send_and_wait(self.topic, value, key=key, partition=0)

    def next(self, *changed: Body, expires_at: int | None = None) -> tuple[dict[str, bytes], bytes]:
        """The registrar's next version: its records, and its manifest signed."""
        number = self.manifest.version + 1 if self.manifest else 1
        new = dict(record_of(body, number) for body in changed)
        self.records = self.records | new
        manifest = next_manifest(self.manifest, self.records, new) if self.manifest else manifest_of(self.records)
        self.manifest = replace(manifest, expires_at=expires_at or manifest.expires_at)
        self.jws = signed(self.manifest, self.keys)
        return new, self.jws

    async def publish(self, *changed: Body, without: Collection[str] = (), expires_at: int | None = None) -> None:
        new, jws = self.next(*changed, expires_at=expires_at)
        for key, value in new.items():
            if key not in without:
                await self.send(key.encode(), value)
        await self.send(MANIFEST_KEY, jws)

    @property
    def version(self) -> int:
        return self.reader.snapshot.version if self.reader.snapshot else 0

    @property
    def rate(self) -> int:
        """What the agent would judge by."""
        return self.reader.current().applications[APPLICATION].per_second

    @property
    def good(self) -> bool:
        """The agent stands at the registrar's last version and may judge by it."""
        assert self.manifest
        return self.version == self.manifest.version and self.reader.fresh(now_ms())

    async def holds(self, key: str) -> bytes | None:
        """What Redis holds of a record."""
        found: Any = await self.redis.hget(f"{BASE}:records", key)
        return found  # type: ignore[no-any-return]

    async def mended(self) -> None:
        """Redis holds exactly the registrar's records and manifest, and a new agent takes them."""
        async with asyncio.timeout(20):
            while True:
                stored = await self.stored().load()
                if stored and (stored.records, stored.manifest) == (self.records, self.jws):
                    break
                await asyncio.sleep(0.05)
        fresh = self.new_reader()
        await fresh.refresh()
        assert self.manifest
        assert fresh.current().version == self.manifest.version
        await until(lambda: self.good)


async def end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def stage(parts: Parts, kafka: AIOKafkaProducer, connection: Redis) -> AsyncIterator[Stage]:
    """Everything runs and stands at the second of two versions, whose rates are 1 and 2."""
    topic = await parts.topic()
    made = Stage(topic, parts, kafka, connection)
    made.keep(made.follower.run())
    made.keep(made.reader.run())
    await made.publish(*bodies(), rated(1))
    await made.publish(rated(2))
    await until(lambda: made.good)
    yield made
    await end(*made.tasks)


def refused(reason: Distrust) -> float:
    """How often something was not believed for reasons of this class."""
    return float(telemetry.REGISTRY_REFUSED.labels(reason)._value.get())


def told(capfd: pytest.CaptureFixture[str], *, record: str | None = None) -> set[str]:
    """The reasons in the log lines since it was read last, of this record."""
    lines = [line for line in capfd.readouterr().err.splitlines() if "registry refused" in line]
    return {_field(line, "reason") for line in lines if record is None or _field(line, "record") == record}


def _field(line: str, name: str) -> str:
    return line.partition(f'"{name}":"')[2].partition('"')[0]


# --- in Redis

FAULTS = {
    "deleted": (None, Distrust.MISSING),
    "altered": (record_of(rated(9_999), 2)[1], Distrust.CHANGED),
    "older": (record_of(rated(1), 1)[1], Distrust.ROLLED_BACK),
    "noise": (b"\xff", Distrust.CHANGED),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_record_in_redis(stage: Stage, capfd: pytest.CaptureFixture[str], fault: str) -> None:
    """A record deleted, altered or replaced by an older one in Redis is told by its key and put right in seconds."""
    value, reason = FAULTS[fault]
    before, good = refused(reason), stage.reader.snapshot
    if value is None:
        await stage.redis.hdel(f"{BASE}:records", KEY)
    else:
        await stage.redis.hset(f"{BASE}:records", KEY, value)
    await until(lambda: refused(reason) > before)
    await stage.mended()
    assert reason in told(capfd, record=KEY)
    assert stage.reader.snapshot is good


async def test_a_record_too_much_in_redis(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    """A record that somebody put into Redis is told by its key and taken out again."""
    before = refused(Distrust.STRAY)
    await stage.redis.hset(f"{BASE}:records", "application/mine", record_of(rated(9))[1])
    await until(lambda: refused(Distrust.STRAY) > before)
    await stage.mended()
    assert Distrust.STRAY in told(capfd, record="application/mine")


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_wrong_record_that_comes_with_a_version(
    stage: Stage, capfd: pytest.CaptureFixture[str], fault: str
) -> None:
    """An agent that finds a new version's record wrong keeps the last good snapshot, tells which, and recovers."""
    await end(stage.tasks[0])
    value, _ = FAULTS[fault]
    new, jws = stage.next(rated(3))
    write = Write(
        3,
        jws,
        now_ms(),
        stage.follower.trusted.manifest_jws,
        {3: jws},
        {KEY: value} if value else {},
        (KEY,) * (not value),
    )
    assert await stage.stored().change(write)
    await stage.reader.refresh()
    assert (stage.version, stage.rate) == (2, 2)
    assert told(capfd, record=KEY)
    late = stage.new_reader()
    await late.refresh()
    assert late.snapshot is None
    await stage.send(KEY.encode(), new[KEY])
    await stage.send(MANIFEST_KEY, jws)
    stage.keep(stage.new_follower().run())
    await stage.mended()
    assert stage.rate == 3


async def test_redis_flushed(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    """After a flush nothing is fresh until a new epoch stands, and the verified snapshot needs no second loading."""
    before, good, epoch = refused(Distrust.MISSING), stage.reader.snapshot, stage.reader.epoch
    await stage.redis.flushall()
    await stage.reader.refresh()
    assert not stage.reader.fresh(now_ms()) or stage.reader.epoch != epoch
    await stage.mended()
    assert stage.reader.epoch not in {b"", epoch}
    assert stage.reader.snapshot is good
    assert refused(Distrust.MISSING) > before


async def test_redis_goes_back(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    """Redis as it was a version ago, whole and rightly signed, is told, brings no agent back, and begins a new life."""
    backup = {key: await stage.redis.dump(key) for key in await stage.redis.keys(f"{prefix(PARTY)}*")}
    epoch = stage.reader.epoch
    await stage.publish(rated(3))
    await until(lambda: stage.good)
    before = refused(Distrust.ROLLED_BACK)
    async with stage.redis.pipeline(transaction=True) as pipe:
        pipe.flushall()
        for key, value in backup.items():
            pipe.restore(key, 0, value or b"")
        await pipe.execute()
    await stage.reader.refresh()
    assert (stage.version, stage.rate) == (3, 3)
    await stage.mended()
    assert refused(Distrust.ROLLED_BACK) > before
    assert Distrust.ROLLED_BACK in told(capfd)
    assert (stage.rate, stage.reader.epoch == epoch) == (3, False)


async def test_an_older_manifest_in_redis(stage: Stage) -> None:
    """An older manifest of the registrar over today's records is believed by nobody."""
    first = stage.follower.trusted.history[1].jws
    before = refused(Distrust.ROLLED_BACK)
    await stage.redis.mset({f"{BASE}:manifest": first, f"{BASE}:version": 1})
    late = stage.new_reader()
    await late.refresh()
    assert late.snapshot is None or late.snapshot.version == 2
    await stage.mended()
    assert refused(Distrust.ROLLED_BACK) > before
    assert stage.rate == 2


async def test_a_foreign_signer_in_redis(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    """A registry signed by somebody else in Redis is refused by the agent and overwritten by the follower."""
    before = refused(Distrust.SIGNER)
    evil = stage.records | dict([record_of(rated(9_999), 3)])
    assert stage.manifest
    jws = signed(next_manifest(stage.manifest, evil, {KEY: evil[KEY]}), new_party_keys("registrar"))
    await stage.stored().change(Write(3, jws, now_ms(), stage.jws, {3: jws}, {KEY: evil[KEY]}))
    await stage.reader.refresh()
    assert (stage.version, stage.rate) == (2, 2)
    await stage.mended()
    assert refused(Distrust.SIGNER) > before
    assert {Distrust.SIGNER} <= told(capfd)
    assert stage.rate == 2


@pytest.mark.parametrize(
    "lost", ["registry:records", "registry:manifest", "registry:version", "epoch", "registry:stood"]
)
async def test_a_key_of_the_registry(stage: Stage, lost: str) -> None:
    """Whichever key of the registry is lost, Redis is whole again soon and a new agent judges."""
    await stage.redis.delete(prefix(PARTY) + lost)
    await stage.mended()
    late = stage.new_reader()
    stage.keep(late.run())
    await until(lambda: late.fresh(now_ms()))


async def test_a_version_that_is_none(stage: Stage) -> None:
    """A version key that says more than the manifest does is put right and moves no agent."""
    before, good = refused(Distrust.CHANGED), stage.reader.snapshot
    await stage.redis.set(f"{BASE}:version", 10**6)
    await stage.mended()
    assert refused(Distrust.CHANGED) + refused(Distrust.ROLLED_BACK) > before
    assert stage.reader.snapshot is good


# --- on the topic


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_record_on_the_topic(stage: Stage, capfd: pytest.CaptureFixture[str], fault: str) -> None:
    """A version whose record is missing, altered or older on the topic is not taken until the true one is there."""
    value, _ = FAULTS[fault]
    before = refused(Distrust.MISSING)
    if value is not None:
        await stage.send(KEY.encode(), value)
    await stage.publish(rated(3), without=[KEY])
    await until(lambda: refused(Distrust.MISSING) > before)
    assert Distrust.MISSING in told(capfd, record=KEY)
    assert (stage.version, stage.rate) == (2, 2)
    assert not stage.follower.at_end(now_ms())
    await stage.send(KEY.encode(), stage.records[KEY])
    await stage.mended()
    assert stage.rate == 3


async def test_a_record_that_was_not_read(stage: Stage) -> None:
    """What lies on the topic and did not reach the follower is found by reading it again, without a restart."""
    before, feed, lost = refused(Distrust.MISSING), stage.follower._feed, list[bytes]()

    def losing(key: bytes | None, value: bytes | None) -> None:
        if key == KEY.encode() and not lost:
            lost.append(value or b"")
            return
        feed(key, value)

    stage.follower._feed = losing  # type: ignore[method-assign]
    await stage.publish(rated(3))
    await stage.mended()
    assert stage.rate == 3
    assert refused(Distrust.MISSING) > before
    await stage.publish(rated(4))
    await stage.mended()


async def test_a_manifest_that_was_not_read(stage: Stage) -> None:
    """A gap in the versions is told and closed by reading the topic again."""
    before, feed, lost = refused(Distrust.GAP), stage.follower._feed, list[bytes]()

    def losing(key: bytes | None, value: bytes | None) -> None:
        if key == MANIFEST_KEY and not lost:
            lost.append(value or b"")
            return
        feed(key, value)

    stage.follower._feed = losing  # type: ignore[method-assign]
    await stage.publish(rated(3))
    await stage.publish(rated(4))
    await stage.mended()
    assert stage.rate == 4
    assert refused(Distrust.GAP) > before


async def test_a_foreign_signer_on_the_topic(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    """A stranger's version on the topic is told and changes nothing; the registrar's next is taken."""
    before = refused(Distrust.SIGNER)
    evil = stage.records | dict([record_of(rated(9_999), 3)])
    assert stage.manifest
    await stage.send(KEY.encode(), evil[KEY])
    forged = signed(next_manifest(stage.manifest, evil, {KEY: evil[KEY]}), new_party_keys("registrar"))
    await stage.send(MANIFEST_KEY, forged)
    await until(lambda: refused(Distrust.SIGNER) > before)
    assert Distrust.SIGNER in told(capfd)
    assert (stage.version, stage.rate) == (2, 2)
    await stage.publish(rated(3))
    await until(lambda: stage.good)
    assert stage.rate == 3


async def test_a_lower_version_on_the_topic(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    """An older manifest played again on the topic is told as a roll-back and changes nothing."""
    before = refused(Distrust.ROLLED_BACK)
    await stage.send(MANIFEST_KEY, stage.follower.trusted.history[1].jws)
    await until(lambda: refused(Distrust.ROLLED_BACK) > before)
    assert Distrust.ROLLED_BACK in told(capfd)
    assert stage.good
    assert stage.rate == 2


async def test_a_stray_record_on_the_topic(
    stage: Stage, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record on the topic that no manifest names is told by its key, once, and changes nothing."""
    monkeypatch.setattr(follower_module, "_STRAY_MS", 200)
    before = refused(Distrust.STRAY)
    await stage.send(KEY.encode(), FAULTS["altered"][0] or b"")
    await until(lambda: refused(Distrust.STRAY) > before)
    await stage.publish(rated(3))
    await until(lambda: stage.good)
    assert refused(Distrust.STRAY) == before + 1
    assert Distrust.STRAY in told(capfd, record=KEY)
    assert stage.rate == 3


async def test_a_topic_that_lost_its_history(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    """A topic that is shorter than it was is told, nobody stands at its end, and its whole history brings back all."""
    history = [(record.key, record.value) for record in await stage.parts.records(stage.topic)]
    before = refused(Distrust.ROLLED_BACK)
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.parts.bootstrap)
    await admin.start()
    await admin.delete_topics([stage.topic])
    await admin.close()
    await until_made(stage)
    await until(lambda: refused(Distrust.ROLLED_BACK) > before)
    stood = stage.follower.stood_ms
    assert Distrust.ROLLED_BACK in told(capfd)
    assert (stage.version, stage.rate) == (2, 2)
    for key, value in history:
        await stage.send(key or b"", value or b"")
    await until(lambda: stage.follower.stood_ms > stood)
    await stage.publish(rated(3))
    await stage.mended()
    assert stage.rate == 3


async def until_made(stage: Stage) -> None:
    """The topic is there again, empty, once Kafka has taken the old one away."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(Exception):
                await stage.parts.topic(stage.topic)
                return
            await asyncio.sleep(0.2)


# --- time


async def test_an_expired_manifest(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    """Past its manifest's end nobody judges and it is told; with the renewed manifest everybody does again."""
    ends = now_ms() + 1_500
    await stage.publish(rated(3), expires_at=ends)
    await until(lambda: stage.good)
    before = refused(Distrust.EXPIRED)
    await until(lambda: refused(Distrust.EXPIRED) >= before + 2)  # the follower and the agent
    assert now_ms() >= ends
    assert not stage.reader.fresh(now_ms())
    assert not stage.follower.fresh(now_ms())
    assert Distrust.EXPIRED in told(capfd)
    await stage.publish()
    await until(lambda: stage.good)
    assert stage.rate == 3


async def test_a_follower_that_stopped(
    stage: Stage, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the bound after its follower stopped the agent judges nothing and says so, until the next one stands."""
    monkeypatch.setattr(reader_module, "FRESH_MS", 2_000)
    before = refused(Distrust.STALE)
    await end(stage.tasks[0])
    stood = stage.reader.stood_ms
    await until(lambda: refused(Distrust.STALE) > before)
    assert now_ms() - stood > 2_000
    assert not stage.reader.fresh(now_ms())
    assert Distrust.STALE in told(capfd)
    stage.keep(stage.new_follower().run())
    await until(lambda: stage.good)


# --- two followers


async def test_two_followers_of_one_redis(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    """Two followers that write to the same Redis take nothing for wrong and leave the newest version there."""
    told(capfd)
    stage.keep(stage.new_follower().run())
    for rate in range(3, 13):
        await stage.publish(rated(rate))
        await until(lambda: stage.good)
    await stage.mended()
    assert stage.rate == 12
    assert told(capfd) == set()


async def test_a_follower_that_is_behind(stage: Stage) -> None:
    """A follower that finds a newer version of the registrar in Redis leaves it there."""
    behind = TrustedRecords(stage.keys.signing.public)
    for value in stage.follower.trusted.records.values():
        behind.stage(value)
    behind.stage(record_of(rated(1), 1)[1])
    behind.take(stage.follower.trusted.history[1].jws)
    assert behind.version == 1
    assert not await Upkeep(stage.stored(), behind, stage.keys.signing.public).turn(now_ms())
    await stage.mended()


async def test_many_versions_at_once(stage: Stage) -> None:
    """An agent that was away takes all versions since by their changes, and only what they changed."""
    await end(stage.tasks[1])
    for rate in range(3, 30):
        await stage.publish(rated(rate))
    assert stage.manifest
    wanted = stage.manifest.version
    await until(lambda: stage.follower.stored_ms > 0 and stage.follower.trusted.version == wanted)
    good = stage.reader.current()
    stage.keep(stage.reader.run())
    await until(lambda: stage.good)
    assert stage.rate == 29
    assert all(stage.reader.current().scenes[code] is one for code, one in good.scenes.items())
