"""What the registry once was, told from the topic's records as the registrar signed them."""

from typing import Final

import pytest
from msgspec.structs import replace

from broker.registry import staging
from broker.registry.chronicle import Chronicle
from schemas.registry import MANIFEST_KEY
from schemas.scenes import SceneStatus
from tests.support_registry import (
    SCENE,
    bodies,
    manifest_of,
    new_party_keys,
    next_manifest,
    records_of,
    scene,
    signed,
)

REGISTRAR: Final = new_party_keys("registrar")
KEY: Final = f"scene/{SCENE}"
FIRST: Final = records_of(bodies())
MANIFEST: Final = manifest_of(FIRST)
NEW: Final = records_of([replace(scene(), status=SceneStatus.SUSPENDED)], 2)
NEXT: Final = replace(next_manifest(MANIFEST, FIRST | NEW, NEW), intakes=("a" * 32,))
GONE: Final = replace(next_manifest(NEXT, FIRST, {}), changed={KEY: ""})


def fed(*strange: bytes) -> Chronicle:
    """Somebody who asks about one scenario; strangers write under its key too."""
    one = Chronicle(REGISTRAR.signing.public, {KEY}.__contains__)
    for records, manifest in ((FIRST, MANIFEST), (NEW, NEXT), ({}, GONE)):
        for value in strange:
            one.feed(KEY.encode(), value)
        for key, value in records.items():
            one.feed(key.encode(), value)
        one.feed(MANIFEST_KEY, signed(manifest, REGISTRAR))
    return one


def test_every_version_of_a_record() -> None:
    """Each version of the record is told with the intakes behind it, and that it was taken away; of no other record."""
    told = [(one.version, one.key, one.record.version if one.record else 0, one.intakes) for one in fed().changes]
    assert told == [(1, KEY, 1, ()), (2, KEY, 2, ("a" * 32,)), (3, KEY, 0, ())]


def test_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody signed is not told, a foreign manifest neither, and a flood of it is not remembered."""
    monkeypatch.setattr(staging, "MAX_STAGED_BYTES", 100_000)
    one = fed(b"{}", b"\xff", *(f"{number}".encode() * 1_000 for number in range(200)))
    one.feed(MANIFEST_KEY, signed(replace(NEXT, version=4, previous=3), new_party_keys("registrar")))
    assert one.changes == fed().changes
    assert one._staging.bytes <= 100_000
