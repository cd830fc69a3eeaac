"""How an agent takes the registry out of Redis: by changes or whole, verified, never long at a time."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, NamedTuple

from broker.registry.snapshot import RecordError, Snapshot
from broker.registry.trust import KEPT_MANIFESTS, RegistryError, Signed, check_record, verify_manifest, verify_records
from schemas.record_tree import RecordTree
from schemas.registry import Distrust

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from broker.registry.stored import Head, StoredRegistry
    from schemas.jose import Jwk
    from schemas.registry import Manifest

_MOST_CHANGED = 8_192  # more than that is read whole
_TRIES = 8  # while a follower writes
_MANY = 1_000  # records from which on a collection would be felt


class Loaded(NamedTuple):
    """A verified version: compiled, the hashes of its records, the signed manifest, and the life of Redis it is of."""

    snapshot: Snapshot
    tree: RecordTree
    jws: bytes
    epoch: bytes


class Loader:
    """Everything here raises RegistryError for what must not be believed, and RedisError."""

    def __init__(self, stored: StoredRegistry, registrar: Jwk) -> None:
        self._stored, self._registrar = stored, registrar

    async def changes(self, ours: Loaded, newest: int) -> Loaded | None:
        """What follows ours, asking only for the records that changed; None: it must be loaded whole."""
        chain: list[Signed] = []
        for _ in range(_TRIES):
            since = chain[-1].manifest.version if chain else ours.snapshot.version
            more = await self._chain(since, newest)
            if more is None:
                return None
            chain += more
            digests = {key: digest for one in chain for key, digest in one.manifest.changed.items()}
            if len(digests) > _MOST_CHANGED:
                return None
            held = await self._stored.records(digests)
            if held.head.manifest == (chain[-1].jws if chain else ours.jws):
                for key, digest in digests.items():
                    check_record(key, held.values[key], digest)
                return await self._moved(ours, chain, held.values, held.head.epoch)
            newest = self._newer(held.head, chain[-1].manifest.version if chain else ours.snapshot.version)
        return None

    async def _chain(self, since: int, newest: int) -> list[Signed] | None:
        """The manifests from one version to another, each verified; None: not all of them are kept."""
        if newest - since > KEPT_MANIFESTS:
            return None
        chain: list[Signed] = []
        for jws in await self._stored.manifests(since + 1, newest) if newest > since else ():
            if jws is None:
                return None
            manifest = verify_manifest(jws, self._registrar)
            if (manifest.version, manifest.previous) != (since + 1, since):
                raise RegistryError(Distrust.GAP, f"version {manifest.version} does not follow {since}")
            chain.append(Signed(manifest, jws))
            since += 1
        return chain

    def _newer(self, head: Head, than: int) -> int:
        """The version of a manifest that came while we read; raises RegistryError when it is not newer."""
        version = verify_manifest(head.manifest, self._registrar).version
        if version <= than:
            raise RegistryError(Distrust.ROLLED_BACK, f"another manifest than that of version {than}")
        return version

    async def _moved(
        self, ours: Loaded, chain: list[Signed], changed: Mapping[str, bytes | None], epoch: bytes
    ) -> Loaded:
        """Try it on the tree; what does not make the signed root leaves the tree as it was."""
        if not chain:
            return ours._replace(epoch=epoch)  # a new life of Redis, and the same registry
        manifest, jws = chain[-1]
        before = ours.tree.apply(changed)
        try:
            verify_records(manifest, ours.tree)
            snapshot = ours.snapshot.after(manifest, changed, sliced=True)
            await _go(snapshot.steps, manifest)
        except BaseException:
            ours.tree.undo(before)
            raise
        return Loaded(snapshot, ours.tree, jws, epoch)

    async def whole(self, ours: Loaded | None) -> Loaded | None:
        """All records; None when there are none, or when they moved too fast to be read."""
        head = (await self._stored.records()).head
        if not head.manifest or not head.epoch:
            return None
        manifest = verify_manifest(head.manifest, self._registrar)
        least = ours.snapshot.version if ours else 0
        if manifest.version < least or (ours and manifest.version == least and head.manifest != ours.jws):
            raise RegistryError(Distrust.ROLLED_BACK, f"version {manifest.version} is older or another than {least}")
        records, tree = dict[str, bytes](), RecordTree()
        async for piece in self._stored.scan():
            records.update(piece)
            tree.apply(piece)
            await asyncio.sleep(0)
        signed = await self._caught_up(Signed(manifest, head.manifest), records, tree)
        if signed is None:
            return None
        try:
            verify_records(signed.manifest, tree)
        except RegistryError as error:
            raise await self._named(error, signed.manifest, records, ours) from error
        snapshot = Snapshot(signed.manifest, records, sliced=True)
        await _go(snapshot.steps, signed.manifest, many=len(records) > _MANY)
        return Loaded(snapshot, tree, signed.jws, head.epoch)

    async def _caught_up(self, signed: Signed, records: dict[str, bytes], tree: RecordTree) -> Signed | None:
        """Read again what changed while we read; None when that has no end or its manifests are not kept."""
        keys: set[str] = set()
        for _ in range(_TRIES):
            held = await self._stored.records(keys)
            if held.head.manifest == signed.jws:
                tree.apply(held.values)
                for key, value in held.values.items():
                    if value is None:
                        records.pop(key, None)
                    else:
                        records[key] = value
                return signed
            if not held.head.manifest:
                return None
            chain = await self._chain(signed.manifest.version, self._newer(held.head, signed.manifest.version))
            if not chain:
                return None
            keys.update(key for one in chain for key in one.manifest.changed)
            signed = chain[-1]
        return None

    async def _named(
        self, error: RegistryError, manifest: Manifest, records: Mapping[str, bytes], ours: Loaded | None
    ) -> RegistryError:
        """The same error with the record it is about, as far as the kept manifests or our last good records tell."""
        first = max(1, manifest.version - KEPT_MANIFESTS + 1)
        digests: dict[str, str] = {}
        for jws in reversed(await self._stored.manifests(first, manifest.version)):
            for key, digest in self._changed(jws).items():
                digests.setdefault(key, digest)
        for key, digest in digests.items():
            try:
                check_record(key, records.get(key), digest)
            except RegistryError as wrong:
                return wrong
        for key in _differing(ours.tree, records, digests) if ours else ():
            reason = Distrust.CHANGED if key in records else Distrust.MISSING
            return RegistryError(reason, str(error), key)  # a key in Redis is anybody's text
        return error

    def _changed(self, jws: bytes | None) -> Mapping[str, str]:
        """What a kept manifest names; nothing where it is not one."""
        try:
            return verify_manifest(jws, self._registrar).changed if jws else {}
        except RegistryError:
            return {}


def _differing(tree: RecordTree, records: Mapping[str, bytes], known: Mapping[str, str]) -> Iterable[str]:
    """Records that no manifest changed and that are not what they were."""
    now = RecordTree(records)
    return (key for key in {*tree.keys(), *records} if key not in known and tree.leaf(key) != now.leaf(key))


async def _go(steps: Iterator[None], manifest: Manifest, *, many: bool = False) -> None:
    """Compile, letting others run between the steps; a large registry is frozen, no collection walks through it."""
    try:
        for number, _ in enumerate(steps):
            if many and number % 32 == 0:
                gc.freeze()
            await asyncio.sleep(0)
    except RecordError as error:
        raise RegistryError(Distrust.FORM, f"version {manifest.version}: {error}", error.key) from error
    if many:
        gc.freeze()
