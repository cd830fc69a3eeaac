"""The whole fake: a store in dictionaries, under the contract of the real ones."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from schemas.certificates import CertificateRecord
from schemas.form import sm3_hex
from workers.stores.granted import granted_records
from workers.stores.port import Ask, ByFile, ByHolder, ByIdentifier, Found, StoreError

_CHUNK_BYTES: Final = 1 << 20

NO_FILES: Final[Mapping[tuple[str, str], bytes]] = MappingProxyType({})


class MemoryStore:
    """Holds what it is given; `reachable = False` plays a store that is down.

    `files`, by identifier and format, may be changed while it is read.
    """

    def __init__(
        self, records: Iterable[CertificateRecord], *, files: Mapping[tuple[str, str], bytes] = NO_FILES
    ) -> None:
        self.reachable = True
        self.files = dict(files)
        self._records = {record.certificate_id: record for record in records}

    async def fetch(self, asks: Sequence[Ask]) -> AsyncIterator[Sequence[Found]]:
        """Yield everything at once; see `Store.fetch`."""
        self.check_reachable()
        if asks:
            yield [self._find(ask) for ask in asks]

    async def file(self, certificate_id: str, file_format: str) -> "MemoryFile | None":
        """See `Store.file`."""
        self.check_reachable()
        key = (certificate_id, file_format)
        return MemoryFile(self, key) if key in self.files else None

    async def close(self) -> None:
        """Nothing is held; see `Store.close`."""

    def check_reachable(self) -> None:
        """Raise StoreError while the store plays one that is down."""
        if not self.reachable:
            raise StoreError("the store cannot be reached")

    def _find(self, ask: Ask) -> Found:
        records = granted_records(ask, self._candidates(ask.look))
        if isinstance(ask.look, ByFile):
            digests = [digest for record in records for digest in self._digests(record.certificate_id)]
            return Found(key=ask.key, records=records, digests=tuple(digests))
        return Found(key=ask.key, records=records)

    def _candidates(self, look: ByIdentifier | ByHolder | ByFile) -> Iterable[CertificateRecord]:
        if isinstance(look, ByHolder):
            return self._records.values()
        if look.certificate_id is not None:
            found = self._records.get(look.certificate_id)
            return () if found is None else (found,)
        names = {name for (name, _), content in self.files.items() if sm3_hex(content) == look.digest}
        return [self._records[name] for name in names & self._records.keys()]

    def _digests(self, certificate_id: str) -> list[str]:
        return [sm3_hex(content) for (name, _), content in sorted(self.files.items()) if name == certificate_id]


class MemoryFile:
    """One file of a MemoryStore; see `StoredFile`."""

    def __init__(self, store: MemoryStore, key: tuple[str, str]) -> None:
        self._store, self._key, self._content = store, key, store.files[key]
        self.size, self.digest = len(self._content), sm3_hex(self._content)

    async def chunks(self) -> AsyncIterator[bytes]:
        """See `StoredFile.chunks`."""
        for start in range(0, self.size, _CHUNK_BYTES):
            self._store.check_reachable()
            if self._store.files.get(self._key) != self._content:
                raise StoreError("the file has changed while it was read")
            yield self._content[start : start + _CHUNK_BYTES]
