"""Older versions of the registry: its topic folded from the beginning, each version verified as a follower does."""

from __future__ import annotations

from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, NamedTuple

from broker.registry.chronicle import read_all
from broker.registry.trust import RegistryError, TrustedRecords
from schemas.registry import MANIFEST_KEY
from schemas.topics import REGISTRY

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping

    from broker.registry.snapshot import Snapshot
    from schemas.jose import Jwk


class Version(NamedTuple):
    """One proven version: compiled, and the exact bytes of its records; good until the next one is asked for."""

    snapshot: Snapshot
    records: Mapping[str, bytes]


class History:
    """What the registrar's manifests prove, version by version, of a topic's records in their order."""

    def __init__(self, registrar: Jwk) -> None:
        self._trusted = TrustedRecords(registrar)

    def feed(self, key: bytes | None, value: bytes | None) -> Version | None:
        """The version that this record completes; what is not proven is passed over, as a follower passes it over."""
        trusted, before = self._trusted, self._trusted.version
        with suppress(RegistryError):
            if key == MANIFEST_KEY:
                trusted.take(value or b"")
            else:
                trusted.stage(value or b"")
        if trusted.version == before or trusted.snapshot is None:
            return None
        return Version(trusted.snapshot, trusted.records)


async def versions(bootstrap: str, registrar: Jwk, wanted: Collection[int]) -> AsyncGenerator[Version, None]:
    """Those of the wanted versions that the topic proves, rising, in one pass. Raises KafkaError, OSError."""
    left, history = set(wanted), History(registrar)
    async with aclosing(read_all(bootstrap, REGISTRY)) as records:
        async for key, value, _ in records:
            if not left:
                return
            version = history.feed(key, value)
            if version is not None and version.snapshot.version in left:
                left.discard(version.snapshot.version)
                yield version


async def in_force(bootstrap: str, registrar: Jwk) -> Version | None:
    """The newest version that the topic proves; None before there is one. Raises KafkaError, OSError."""
    newest, history = None, History(registrar)
    async for key, value, _ in read_all(bootstrap, REGISTRY):
        newest = history.feed(key, value) or newest
    return newest
