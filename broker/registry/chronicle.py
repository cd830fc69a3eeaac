"""What the registry once was: every version of single records, read from the topic as the registrar signed it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aiokafka import TopicPartition

from broker.bus.kafka import consumer
from broker.registry.staging import Staging
from broker.registry.trust import RegistryError, verify_manifest
from schemas.registry import MANIFEST_KEY, Record, decode_record
from schemas.topics import REGISTRY

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from schemas.jose import Jwk


class Change(NamedTuple):
    """One record in one version of the registry (None: it was taken away), when (unix ms), and by which intakes."""

    version: int
    time: int
    intakes: tuple[str, ...]
    key: str
    record: Record | None


class Chronicle:
    """Fed with the topic's records in order; keeps the changes of those records that somebody asks about."""

    def __init__(self, registrar: Jwk, wanted: Callable[[str], bool]) -> None:
        self._registrar, self._wanted = registrar, wanted
        self._staging = Staging()
        self._version = 0
        self.changes: list[Change] = []

    def feed(self, key: bytes | None, value: bytes | None) -> None:
        """A record or a manifest; what is a stranger's or does not follow is passed over."""
        if key == MANIFEST_KEY:
            self._take(value or b"")
        elif key is not None and value and self._wanted(key.decode(errors="replace")):
            self._staging.put(value)

    def _take(self, jws: bytes) -> None:
        try:
            manifest = verify_manifest(jws, self._registrar)
        except RegistryError:
            return
        if manifest.previous != self._version:
            return
        self._version = manifest.version
        for key, digest in manifest.changed.items():
            value = self._staging.get(digest) if digest else None
            if self._wanted(key) and (value or not digest):
                record = decode_record(value) if value else None
                self.changes.append(Change(manifest.version, manifest.issued_at, manifest.intakes, key, record))


async def read_changes(bootstrap: str, registrar: Jwk, wanted: Callable[[str], bool]) -> list[Change]:
    """Every change of these records up to now, the oldest first."""
    chronicle = Chronicle(registrar, wanted)
    async for key, value, _ in read_all(bootstrap, REGISTRY):
        chronicle.feed(key, value)
    return chronicle.changes


async def read_all(bootstrap: str, topic: str) -> AsyncGenerator[tuple[bytes | None, bytes | None, int], None]:
    """Key, value and time (unix ms) of all that lies on a topic of one partition now."""
    partition = TopicPartition(topic, 0)
    reader = consumer(bootstrap, "certlane-chronicle")
    reader.assign([partition])
    await reader.start()
    try:
        end = (await reader.end_offsets([partition]))[partition]
        await reader.seek_to_beginning(partition)
        while await reader.position(partition) < end:
            for record in (await reader.getmany(partition, timeout_ms=500)).get(partition, []):
                yield record.key, record.value, record.timestamp
    finally:
        await reader.stop()
