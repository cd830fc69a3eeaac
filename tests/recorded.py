"""What a province on fakes has recorded, as whoever holds its key reads it, and the registry's history beside it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from broker.bus.keys import KeySigner, Sealer
from broker.bus.lots import Packer
from broker.registry.snapshot import Snapshot
from deploy.details import Details, Recorded
from schemas.items import encode
from schemas.lot import DETAIL_TYPE
from schemas.registry import MANIFEST_KEY, Manifest
from schemas.topics import detail_topic
from tests.support import KEYS, Province
from tests.support_registry import PROVINCE, manifest_of, signed

if TYPE_CHECKING:
    from schemas.evidence import Detail
    from tests.support_registry import Body


class Line(NamedTuple):
    """A record as a consumer hands it out."""

    headers: list[tuple[str, bytes]]
    key: bytes | None
    value: bytes | None


class Remembering(Province):
    """A province whose registry's records and manifests are remembered as the topic holds them, in their order."""

    topic: list[tuple[bytes, bytes]]
    snapshots: dict[int, Snapshot]

    async def publish(self, *changed: Body) -> None:
        before = dict(self._records) if hasattr(self, "topic") else {}
        if not before:
            self.topic, self.snapshots = [], {}
        await super().publish(*changed)
        manifest = self._manifest
        new = {key: value for key, value in self._records.items() if before.get(key) != value}
        if manifest.version in self.snapshots:
            return
        self.topic += [(key.encode(), value) for key, value in new.items()]
        self.topic.append((MANIFEST_KEY, signed(manifest, KEYS["registrar"])))
        self.snapshots[manifest.version] = Snapshot(manifest, self._records)


def lines(province: Province) -> list[Line]:
    """The records of its detail topic."""
    return [Line(list(one.headers.items()), one.key, one.value) for one in province.kafka.on(detail_topic(PROVINCE))]


def recorded(province: Province) -> list[Recorded]:
    """Everything that it has recorded, in its order."""
    details = Details("", KEYS[PROVINCE])
    found = [one for line in lines(province) for one in details.opened(line)]
    assert not details.strange
    return found


def sealed(detail: Detail) -> Line:
    """A detail as whoever knows the province's public key could write it."""
    keys = KEYS[PROVINCE]
    packer = Packer(party=PROVINCE, signer=KeySigner(keys.signing), sealer=Sealer(), recipients=nothing)
    envelope, frames = packer.envelope(DETAIL_TYPE, 1, 0), packer.frames([encode(detail)])
    record = packer.seal(envelope, frames.plaintext, keys.sealing.public)
    return Line(record.headers, uuid.uuid4().hex.encode(), record.value)


def nothing() -> Snapshot:
    """A version with no records in it."""
    manifest: Manifest = manifest_of({})
    return Snapshot(manifest, {})


def fields(*names: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(sorted(names)))
