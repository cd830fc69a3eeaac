"""The tree over the registry's records, and snapshots made by changes: equal to those made at once (DESIGN §7)."""

from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.registry.snapshot import Snapshot
from broker.registry.trust import TrustedRecords
from schemas.record_tree import BUCKETS, RecordTree, bucket_of
from tests.support_registry import (
    CARD,
    LICENCE,
    Body,
    alias_of,
    application,
    entry,
    manifest_of,
    new_party_keys,
    next_manifest,
    party,
    record_of,
    scene,
    signed,
)

RECORDS: Final = {f"scene/{number:05}": f"value {number}".encode() for number in range(300)}
KEYS: Final = [new_party_keys("31"), new_party_keys("31")]
REGISTRAR: Final = new_party_keys("registrar")


def beside(key: str) -> str:
    """Another key of the same bucket."""
    return next(other for number in range(1 << 20) if bucket_of(other := f"scene/x{number}") == bucket_of(key))


def test_the_order_does_not_matter() -> None:
    """The root is that of the records, whatever came first and whatever stood there before."""
    one = RecordTree()
    for key in sorted(RECORDS, reverse=True):
        one.put(key, b"before")
        one.put(key, RECORDS[key])
    one.put("scene/more", b"x")
    one.drop("scene/more")
    assert (one.root(), one.count) == (RecordTree(RECORDS).root(), len(RECORDS))
    assert sorted(one.keys()) == sorted(RECORDS)


@pytest.mark.parametrize("key", ["scene/00000", "scene/00299"])
def test_every_change_changes_the_root(key: str) -> None:
    """A record that is gone, altered, moved to another key or joined by another makes another root."""
    rest = {name: value for name, value in RECORDS.items() if name != key}
    changed = [
        rest,
        rest | {key: RECORDS[key] + b" "},
        rest | {beside(key): RECORDS[key]},
        RECORDS | {beside(key): RECORDS[key]},
        {},
    ]
    assert len({RecordTree(RECORDS).root(), *(RecordTree(one).root() for one in changed)}) == len(changed) + 1


def test_keys_are_bound_to_their_values() -> None:
    """Two records of one bucket that change places make another root, and so do two that share their bytes."""
    key = "scene/a"
    other = beside(key)
    assert RecordTree({key: b"1", other: b"2"}).root() != RecordTree({key: b"2", other: b"1"}).root()
    assert RecordTree({"ab": b"c"}).root() != RecordTree({"a": b"bc"}).root()


def test_undo() -> None:
    """What was tried and undone leaves root, count and leaves as they were."""
    tree = RecordTree(RECORDS)
    root = tree.root()
    before = tree.apply({"scene/00001": None, "scene/00002": b"other", "scene/new": b"new", "scene/gone": None})
    assert (tree.root() != root, tree.count) == (True, len(RECORDS))
    tree.undo(before)
    assert (tree.root(), tree.count, tree.leaf("scene/new")) == (root, len(RECORDS), None)


def test_buckets_are_used() -> None:
    """Keys as the registry has them spread over the buckets."""
    numbers = [bucket_of(f"scene/YRD-310000-2026-{number:05}") for number in range(20_000)]
    assert max(numbers) < BUCKETS
    assert max(map(numbers.count, set(numbers[:200]))) < 25


Changes = dict[str, bytes | None]
NAMES: Final = st.sampled_from(["a", "b", "c"])


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    """Some body of a small registry, often one that is there already."""
    name = draw(NAMES)
    made: list[Body] = [
        replace(application(), id=name, per_second=draw(st.integers(1, 3))),
        replace(
            entry(draw(st.sampled_from([CARD, LICENCE]))),
            interfaces=tuple(draw(st.sets(st.sampled_from(["I1", "I2", "I4"]), min_size=1))),
            aliases={"31": (alias_of(draw(st.sampled_from([CARD, LICENCE]))),)},
        ),
        replace(scene(), scene_code=f"YRD-310000-2026-0000{'abc'.index(name)}", purposes=(name,)),
        party(draw(st.sampled_from(KEYS))),
    ]
    return draw(st.sampled_from(made))


@st.composite
def versions(draw: st.DrawFn) -> list[Changes]:
    """Changes version by version: records put or taken away."""
    out: list[Changes] = []
    for number in range(draw(st.integers(1, 6))):
        changes: Changes = {}
        for body in draw(st.lists(bodies(), min_size=0, max_size=4)):
            key, value = record_of(body, number + 1)
            changes[key] = value if draw(st.integers(0, 3)) else None
        out.append(changes)
    return out


def contents(snapshot: Snapshot) -> dict[str, Any]:
    """All that can be asked of a snapshot."""
    return {
        "parties": snapshot.parties,
        "applications": snapshot.applications,
        "catalogue": {code: one.entry for code, one in snapshot.catalogue.items()},
        "scenes": {code: [getattr(one, name) for name in FACTS] for code, one in snapshot.scenes.items()},
        "withdrawn": snapshot.withdrawn,
        "named": {alias: snapshot.types_named(alias) for alias in (alias_of(CARD), alias_of(LICENCE), "测试证照")},
        "bounds": (snapshot.version, snapshot.expires_at),
        "allowed": {name: snapshot.address_allowed(name, "192.0.2.9") for name in "abc"},
    }


FACTS: Final = ("scene", "version", "items", "applications", "purposes", "types", "code_sources", "code_fields")


@settings(max_examples=150, deadline=None)
@given(versions())
def test_by_changes_or_at_once(changes: list[Changes]) -> None:
    """Whatever changes version by version, root, records and snapshot equal those made at once."""
    trusted = TrustedRecords(REGISTRAR.signing.public)
    records: dict[str, bytes] = {}
    for number, changed in enumerate(changes, 1):
        put = {key: value for key, value in changed.items() if value is not None}
        records = {key: value for key, value in (records | put).items() if key in put or key not in changed}
        before = trusted.manifest or manifest_of({})
        manifest = next_manifest(before, records, put)
        gone = {key: "" for key in changed if key not in put}
        manifest = replace(manifest, version=number, previous=number - 1, changed=manifest.changed | gone)
        for value in put.values():
            trusted.stage(value)
        snapshot = trusted.take(signed(manifest, REGISTRAR))
        assert snapshot is not None
        assert trusted.records == records
        assert (trusted.tree.root(), trusted.tree.count) == (RecordTree(records).root(), len(records))
        assert contents(snapshot) == contents(Snapshot(manifest, records))


def test_what_did_not_change_stays_the_same() -> None:
    """After a change the untouched scenarios are the same objects, and verifiers of untouched parties are kept."""
    keys = [new_party_keys("32"), new_party_keys("33")]
    some: list[Body] = [
        scene(),
        replace(scene(), scene_code="YRD-310000-2026-00002"),
        entry(),
        application(),
        *map(party, keys),
    ]
    records = dict(record_of(body) for body in some)
    first = Snapshot(manifest_of(records), records)
    checks = {name.party: first.verifier(name.party, name.signing.kid, "EdDSA", 1) for name in keys}
    changed = dict(
        [record_of(replace(scene(), scene_code="YRD-310000-2026-00002", scene_name="另一")), record_of(party(keys[1]))]
    )
    second = first.after(manifest_of(records), changed)
    assert second.scenes[scene().scene_code] is first.scenes[scene().scene_code]
    assert second.scenes["YRD-310000-2026-00002"].scene.scene_name == "另一"
    assert first.scenes["YRD-310000-2026-00002"].scene.scene_name != "另一"
    assert second.verifier("32", keys[0].signing.kid, "EdDSA", 1) is checks["32"]
    assert second.verifier("33", keys[1].signing.kid, "EdDSA", 1) is not checks["33"]
    assert second.address_allowed is first.address_allowed


def test_a_changed_type_changes_its_scenarios() -> None:
    """A catalogue entry that changes alone is what every scenario that names it grants by."""
    some: tuple[Body, ...] = (scene(), entry(), application())
    records = dict(record_of(body) for body in some)
    first = Snapshot(manifest_of(records), records)
    second = first.after(manifest_of(records), dict([record_of(replace(entry(), interfaces=("I1",)))]))
    code = scene().scene_code
    assert first.scenes[code].types[CARD].interfaces > second.scenes[code].types[CARD].interfaces == {"I1"}
