"""Which registry is believed: the registrar's, in its order, whole, and only while it is fresh (DESIGN §7)."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from broker.bus import labels
from broker.bus.clock import now_ms
from broker.bus.keys import KeySigner
from broker.bus.stopping import stop_if_cancelled
from broker.registry import staging
from broker.registry.follower import Follower
from broker.registry.reader import RegistryReader
from broker.registry.refusing import FRESH_MS
from broker.registry.stored import Write
from broker.registry.trust import RegistryError, TrustedRecords, verified_snapshot, verify_manifest
from schemas.jose import b64
from schemas.registry import MANIFEST_KEY, REFUSAL_KEY, Distrust, Manifest
from schemas.scenes import SceneStatus
from schemas.wire import sign_compact
from tests.support import MemoryStored, PartyRedis
from tests.support_registry import (
    CARD,
    FAR_AHEAD,
    SCENE,
    Body,
    application,
    bodies,
    entry,
    manifest_of,
    new_party_keys,
    next_manifest,
    record_of,
    records_of,
    scene,
    signed,
)

NOW: Final = 1_780_000_000_000
REGISTRAR, FOREIGN = new_party_keys("registrar"), new_party_keys("registrar")
KEY: Final = REGISTRAR.signing.public
FIRST: Final = records_of(bodies())
MANIFEST: Final = manifest_of(FIRST)
JWS: Final = signed(MANIFEST, REGISTRAR)
SUSPENDED: Final = replace(scene(), status=SceneStatus.SUSPENDED)


def moved(*changed: Body, version: int = 2) -> tuple[dict[str, bytes], dict[str, bytes], Manifest]:
    """The changed records, all records after them, and the manifest that brings them."""
    new = records_of(changed, version)
    after = {**FIRST, **new}
    return new, after, next_manifest(MANIFEST, after, new)


NEW, AFTER, NEXT = moved(SUSPENDED)


def trusted(*, at_first: bool = True) -> TrustedRecords:
    """Somebody who follows the topic and stands at the first version."""
    one = TrustedRecords(KEY)
    if at_first:
        for value in FIRST.values():
            one.stage(value)
        one.take(JWS)
    return one


def why(call: Callable[[], object]) -> str:
    with pytest.raises(RegistryError) as error:
        call()
    return str(error.value)


def reason(call: Callable[[], object]) -> Distrust:
    with pytest.raises(RegistryError) as error:
        call()
    return error.value.reason


def test_every_reason_has_a_class() -> None:
    """Each reason is told by the metric in one of its classes, and no class is empty."""
    assert {labels.distrust_of(one) for one in Distrust} == set(labels.DISTRUST.listed)


def test_first_version() -> None:
    """Records and then a manifest by the registrar make the first version."""
    one = TrustedRecords(KEY)
    for value in FIRST.values():
        one.stage(value)
    snapshot = one.take(JWS)
    assert snapshot is not None
    assert (snapshot.version, one.version, one.records) == (1, 1, FIRST)
    assert snapshot.scenes.keys() == {SCENE}


def test_next_version() -> None:
    """The next manifest brings its changed records and keeps the others."""
    one = trusted()
    one.stage(NEW[f"scene/{SCENE}"])
    snapshot = one.take(signed(NEXT, REGISTRAR))
    assert snapshot is not None
    assert snapshot.scenes[SCENE].scene.status is SceneStatus.SUSPENDED
    assert snapshot.scenes[SCENE].name == f"{SCENE}@2"
    assert (one.version, one.records) == (2, AFTER)


def test_record_taken_away() -> None:
    """An empty digest takes a record away."""
    one = trusted()
    after = {key: value for key, value in FIRST.items() if key != f"scene/{SCENE}"}
    manifest = replace(next_manifest(MANIFEST, after, {}), changed={f"scene/{SCENE}": ""})
    snapshot = one.take(signed(manifest, REGISTRAR))
    assert snapshot is not None
    assert snapshot.scenes == {}
    assert one.records == after


def forged(**changes: Any) -> bytes:
    return signed(replace(NEXT, **changes), REGISTRAR)


def test_foreign_signer() -> None:
    """A manifest signed by anybody but the registrar is refused, and so is one that only names its key."""
    assert "foreign signer" in why(lambda: verify_manifest(signed(MANIFEST, FOREIGN), KEY))
    pretending = replace(FOREIGN, signing=replace(FOREIGN.signing, kid=KEY.kid))
    why(lambda: verify_manifest(signed(MANIFEST, pretending), KEY))


PARTS: Final = JWS.split(b".")


@pytest.mark.parametrize(
    "jws",
    [
        b"",
        b"a.b.c",
        b".".join((*PARTS[:2], b64(bytes(64)).encode())),
        JWS + b".x",
        b".".join((PARTS[0], b64(b"{}").encode(), PARTS[2])),
        JWS + b"=",
    ],
)
def test_spoilt_manifest(jws: bytes) -> None:
    """A manifest that is not exactly what was signed is refused, and nothing else is ever raised."""
    why(lambda: verify_manifest(jws, KEY))


def test_not_a_manifest() -> None:
    """What the registrar signed for another purpose is no manifest."""
    why(lambda: verify_manifest(sign_compact(KeySigner(REGISTRAR.signing), b'{"id":"x","time":1,"records":[]}'), KEY))


def test_older_version() -> None:
    """A manifest of a lower version, or another one of ours, is a roll-back and changes nothing."""
    one = trusted()
    one.stage(NEW[f"scene/{SCENE}"])
    one.take(signed(NEXT, REGISTRAR))
    assert one.take(signed(NEXT, REGISTRAR)) is None
    assert reason(lambda: one.take(JWS)) is Distrust.ROLLED_BACK
    assert reason(lambda: one.take(forged(expires_at=FAR_AHEAD + 1))) is Distrust.ROLLED_BACK
    assert (one.version, one.records) == (2, AFTER)


def test_gap_in_versions() -> None:
    """A manifest that does not follow the one we have is refused, and we stay where we are."""
    one = trusted()
    one.stage(NEW[f"scene/{SCENE}"])
    assert "does not follow 1" in why(lambda: one.take(forged(version=3, previous=2)))
    assert (one.version, one.records) == (1, FIRST)
    assert one.take(signed(NEXT, REGISTRAR)) is not None


def test_beginning_in_the_middle() -> None:
    """Nobody begins with a later version: history is read from its start."""
    one = trusted(at_first=False)
    one.stage(NEW[f"scene/{SCENE}"])
    assert "does not follow 0" in why(lambda: one.take(signed(NEXT, REGISTRAR)))


def test_missing_record() -> None:
    """A manifest whose record did not come is refused naming it, and is taken as soon as it has come."""
    one = trusted()
    with pytest.raises(RegistryError) as error:
        one.take(signed(NEXT, REGISTRAR))
    assert (error.value.reason, error.value.record) == (Distrust.MISSING, f"scene/{SCENE}")
    assert (one.version, one.records) == (1, FIRST)
    assert one.stage(NEW[f"scene/{SCENE}"]) is not None
    assert (one.version, one.records) == (2, AFTER)


def test_what_follows_a_late_record() -> None:
    """Versions that wait behind a missing record are all taken when it has come, in their order."""
    one = trusted()
    third = records_of([replace(application(), per_second=7)], 3)
    manifest = next_manifest(NEXT, AFTER | third, third)
    why(lambda: one.take(signed(NEXT, REGISTRAR)))
    one.stage(next(iter(third.values())))
    assert reason(lambda: one.take(signed(manifest, REGISTRAR))) is Distrust.MISSING
    assert one.stage(NEW[f"scene/{SCENE}"]) is not None
    assert (one.version, one.records) == (3, AFTER | third)


def test_a_later_manifest_than_the_missing_one() -> None:
    """A gap is closed by the manifest that was missing, also when it comes after the next one."""
    one = trusted()
    third = records_of([replace(application(), per_second=7)], 3)
    for value in (*NEW.values(), *third.values()):
        one.stage(value)
    manifest = next_manifest(NEXT, AFTER | third, third)
    assert reason(lambda: one.take(signed(manifest, REGISTRAR))) is Distrust.GAP
    assert one.take(signed(NEXT, REGISTRAR)) is not None
    assert (one.version, one.records) == (3, AFTER | third)


def test_only_the_first_of_two_manifests_counts() -> None:
    """Of two manifests of one version the second never replaces the first, not even while that one waits."""
    one = trusted()
    why(lambda: one.take(signed(NEXT, REGISTRAR)))
    other = replace(next_manifest(MANIFEST, FIRST, {}), version=2)
    assert reason(lambda: one.take(signed(other, REGISTRAR))) is Distrust.ROLLED_BACK
    assert one.version == 1
    assert one.stage(NEW[f"scene/{SCENE}"]) is not None
    assert one.records == AFTER


def test_strays_are_told_once() -> None:
    """A record that no manifest names is told once after its time, and is still taken when a manifest names it."""
    one = trusted()
    one.stage(NEW[f"scene/{SCENE}"], f"scene/{SCENE}", NOW)
    assert one.staging.strays(NOW) == []
    assert one.staging.strays(NOW + 1) == [f"scene/{SCENE}"]
    assert one.staging.strays(NOW + 1) == []
    assert one.take(signed(NEXT, REGISTRAR)) is not None


def test_a_record_under_anothers_key() -> None:
    """A record that says another key of itself than the signed one is refused, and so is one whose body does."""
    value = NEW[f"scene/{SCENE}"]
    other = "scene/YRD-310000-2026-00009"
    after = {**FIRST, other: value}
    one = trusted()
    one.stage(value)
    manifest = next_manifest(MANIFEST, after, {other: value})
    assert reason(lambda: one.take(signed(manifest, REGISTRAR))) is Distrust.FORM
    filing = {"filing/x": value}  # nobody but the registrar looks into it
    manifest = next_manifest(MANIFEST, FIRST | filing, filing)
    one = trusted()
    one.stage(value)
    assert reason(lambda: one.take(signed(manifest, REGISTRAR))) is Distrust.FORM
    inner = value.replace(b'"id":"' + SCENE.encode(), b'"id":"YRD-310000-2026-00009', 1)
    assert inner != value
    records = {other: inner}
    assert reason(lambda: verified_snapshot(signed(manifest_of(records), REGISTRAR), records, KEY)) is Distrust.FORM
    assert one.records == FIRST


def test_strangers_record() -> None:
    """A record that no manifest names is ignored, also when it claims the place of one that is named."""
    one = trusted()
    stranger = record_of(replace(scene(), purposes=("SUPERVISION",)), 2)[1]
    one.stage(NEW[f"scene/{SCENE}"])
    one.stage(stranger)
    one.stage(b"\xff not a record")
    snapshot = one.take(signed(NEXT, REGISTRAR))
    assert snapshot is not None
    assert stranger not in one.records.values()
    assert snapshot.scenes[SCENE].scene.status is SceneStatus.SUSPENDED


@pytest.fixture
def flooded(monkeypatch: pytest.MonkeyPatch) -> TrustedRecords:
    """Somebody who remembers 10 kB at the most and was sent more than that without a manifest."""
    monkeypatch.setattr(staging, "MAX_STAGED_BYTES", 10_000)
    one = trusted()
    for number in range(100):
        one.stage(b"x" * 200 + str(number).encode())
    return one


def test_strangers_flood(flooded: TrustedRecords) -> None:
    """What is remembered of records without a manifest is bounded, the oldest go, and the version stays as it was."""
    assert flooded.records == FIRST
    held = [len(one.value) for one in flooded.staging._staged.values()]
    assert sum(held) < flooded.staging.bytes <= 10_000
    for digest in list(flooded.staging._staged):
        flooded.staging.drop(digest)
    assert flooded.staging.bytes == 0


def test_after_a_flood(flooded: TrustedRecords) -> None:
    """A flood of strangers' records does not keep the registrar's next version out."""
    flooded.stage(NEW[f"scene/{SCENE}"])
    assert flooded.take(signed(NEXT, REGISTRAR)) is not None


LIES: Final = {
    "missing": {key: value for key, value in FIRST.items() if key != f"catalogue/{CARD}"},
    "changed": {**FIRST, **records_of([replace(entry(), provinces=("31",))])},
    "extra": {**FIRST, **records_of([replace(scene(), scene_code="YRD-310000-2026-00009")])},
    "replaced": {**FIRST, f"scene/{SCENE}": record_of(SUSPENDED)[1]},
    "one byte": {**FIRST, f"scene/{SCENE}": FIRST[f"scene/{SCENE}"] + b" "},
    "none": {},
}


@pytest.mark.parametrize("name", LIES)
def test_other_records(name: str) -> None:
    """Records that are not exactly those that the manifest was signed over are refused."""
    assert "are not those of version 1" in why(lambda: verified_snapshot(JWS, LIES[name], KEY))


def test_wrong_root_of_the_registrar() -> None:
    """A manifest whose root or count is not that of its records is refused and changes nothing."""
    one = trusted()
    one.stage(NEW[f"scene/{SCENE}"])
    why(lambda: one.take(forged(root=MANIFEST.root)))
    why(lambda: one.take(forged(count=NEXT.count + 1)))
    assert (one.version, one.records) == (1, FIRST)
    assert one.tree.root() == MANIFEST.root


def test_record_that_is_none() -> None:
    """Signed records that are no records are refused, whoever signed them."""
    records = {"scene/x": b'{"kind":"scene","id":"x","version":1,"body":{}}'}
    why(lambda: verified_snapshot(signed(manifest_of(records), REGISTRAR), records, KEY))


def follower(*values: tuple[bytes | None, bytes]) -> Follower:
    """A follower that was fed with these records of the topic and stood at its end at NOW."""
    one = Follower(bootstrap="", name="test", registrar=KEY)
    for key, value in values:
        one._feed(key, value)
    one.at_end(NOW)
    return one


def on_topic(records: Mapping[str, bytes], jws: bytes) -> list[tuple[bytes | None, bytes]]:
    return [*((key.encode(), value) for key, value in records.items()), (MANIFEST_KEY, jws)]


def test_follower_is_fresh() -> None:
    """A follower is fresh for sixty seconds after it stood at the topic's end."""
    one = follower(*on_topic(FIRST, JWS))
    assert one.fresh(NOW)
    assert one.fresh(NOW + FRESH_MS)
    assert not one.fresh(NOW + FRESH_MS + 1)
    assert not follower().fresh(NOW)


def test_follower_with_an_expired_manifest() -> None:
    """Past its manifest's end nobody is fresh, however lately it stood at the topic's end."""
    one = follower(*on_topic(FIRST, signed(replace(MANIFEST, expires_at=NOW + 5), REGISTRAR)))
    assert one.fresh(NOW + 4)
    assert not one.fresh(NOW + 5)


def test_follower_goes_on_after_a_stranger() -> None:
    """Strangers' records and manifests on the topic do not stop a follower."""
    strange = [(MANIFEST_KEY, b"x"), (MANIFEST_KEY, signed(NEXT, FOREIGN)), (None, b""), (b"scene/x", b"x")]
    one = follower(*on_topic(FIRST, JWS), *strange, *on_topic(NEW, signed(NEXT, REGISTRAR)))
    assert one.snapshot is not None
    assert one.snapshot.version == 2


def test_follower_hears_refusals() -> None:
    """What the registrar tells of intakes is handed on as it came and is no part of the registry."""
    heard: list[bytes] = []
    one = Follower(bootstrap="", name="test", registrar=KEY, on_refusal=heard.append)
    for key, value in (*on_topic(FIRST, JWS), (REFUSAL_KEY, b"no")):
        one._feed(key, value)
    assert heard == [b"no"]
    assert one.trusted.staging.strays(now_ms() + 1) == []


async def test_a_cancellation_that_was_lost() -> None:
    """A task whose cancellation a library has caught stops where it is asked, and no other does."""
    stop_if_cancelled()

    async def losing() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        stop_if_cancelled()

    task = asyncio.create_task(losing())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_follower_that_cannot_follow() -> None:
    """Who knows of a newer version by the registrar and cannot take it is not fresh."""
    one = follower(*on_topic(FIRST, JWS), (MANIFEST_KEY, signed(NEXT, REGISTRAR)))
    assert one.snapshot is not None
    assert one.snapshot.version == 1
    assert not one.fresh(NOW)


def reader(redis: PartyRedis) -> RegistryReader:
    return RegistryReader(redis=Redis(), stored=MemoryStored(redis), registrar=KEY)


async def test_reader_loads() -> None:
    """An agent loads what its party's Redis holds, and is as fresh as the follower says."""
    redis = PartyRedis()
    one = reader(redis)
    await one.refresh()
    assert one.snapshot is None
    assert not one.fresh(NOW)
    await MemoryStored(redis).store(1, JWS, FIRST, NOW)
    await one.refresh()
    assert one.current().version == 1
    assert one.fresh(NOW + FRESH_MS)
    assert not one.fresh(NOW + FRESH_MS + 1)


async def test_reader_with_a_follower_from_the_future() -> None:
    """A follower whose clock was far ahead, and that stopped, keeps nobody fresh."""
    redis = PartyRedis()
    one = reader(redis)
    await MemoryStored(redis).store(1, JWS, FIRST, NOW + FRESH_MS)
    await one.refresh()
    assert one.fresh(NOW)
    assert not one.fresh(NOW - 1)


async def test_reader_with_an_expired_manifest() -> None:
    """Past its manifest's end an agent is not fresh."""
    redis = PartyRedis()
    one = reader(redis)
    await MemoryStored(redis).store(1, signed(replace(MANIFEST, expires_at=NOW + 5), REGISTRAR), FIRST, NOW)
    await one.refresh()
    assert one.fresh(NOW + 4)
    assert not one.fresh(NOW + 5)


async def test_reader_moves_on() -> None:
    """An agent takes a newer version, and never goes back to an older one."""
    redis = PartyRedis()
    one, stored = reader(redis), MemoryStored(redis)
    await stored.store(2, signed(NEXT, REGISTRAR), AFTER, NOW)
    await one.refresh()
    assert one.current().version == 2
    redis.wipe()
    await stored.store(1, JWS, FIRST, NOW + 1)
    await one.refresh()
    assert one.current().version == 2
    assert not one.fresh(NOW + FRESH_MS + 1)


async def test_reader_of_an_emptied_redis() -> None:
    """An agent whose Redis was emptied grants nothing until a follower has written again."""
    redis = PartyRedis()
    one, stored = reader(redis), MemoryStored(redis)
    await stored.store(1, JWS, FIRST, NOW)
    await one.refresh()
    redis.wipe()
    await one.refresh()
    assert not one.fresh(NOW)
    await stored.store(1, JWS, FIRST, NOW)
    await one.refresh()
    assert one.fresh(NOW)


@pytest.mark.parametrize("name", LIES)
async def test_reader_does_not_believe_redis(name: str) -> None:
    """An agent never uses records that the registrar did not sign, whatever lies in Redis."""
    redis = PartyRedis()
    one = reader(redis)
    await MemoryStored(redis).store(1, JWS, LIES[name], NOW)
    await one.refresh()
    assert one.snapshot is None
    assert not one.fresh(NOW)


async def test_reader_after_a_wrong_root() -> None:
    """A version whose root is not that of its records leaves an agent's tree as it was; the next one is taken."""
    redis = PartyRedis()
    one, stored = reader(redis), MemoryStored(redis)
    await stored.store(1, JWS, FIRST, NOW)
    await one.refresh()
    assert one._loaded
    wrong = forged(root=MANIFEST.root)
    await stored.change(Write(2, wrong, NOW, JWS, {2: wrong}, NEW))
    await one.refresh()
    assert (one.current().version, one._loaded.tree.root()) == (1, MANIFEST.root)
    right = signed(NEXT, REGISTRAR)
    await stored.change(Write(2, right, NOW, wrong, {2: right}, NEW))
    one._not_before = 0.0
    await one.refresh()
    assert (one.current().version, one._loaded.tree.root()) == (2, NEXT.root)


async def test_reader_that_cannot_load_a_newer_version() -> None:
    """An agent that cannot verify the version its follower stands at is not fresh."""
    redis = PartyRedis()
    one, stored = reader(redis), MemoryStored(redis)
    await stored.store(1, JWS, FIRST, NOW)
    await one.refresh()
    await stored.store(2, signed(NEXT, REGISTRAR), FIRST, NOW + FRESH_MS)  # the suspended scene did not arrive
    await one.refresh()
    assert one.current().version == 1
    assert not one.fresh(NOW + FRESH_MS + 1)
