"""The whole fake: a store in a dictionary, under the contract of the real ones."""

from collections.abc import AsyncIterator, Iterable, Sequence

from schemas.certificates import CertificateRecord, minimise_surface
from workers.stores.port import Ask, Found, StoreError


class MemoryStore:
    """Holds the records it is given; `reachable = False` plays a store that is down."""

    def __init__(self, records: Iterable[CertificateRecord]) -> None:
        self.unusable_rows = 0
        self.reachable = True
        self._records = {record.certificate_id: record for record in records}

    async def fetch(self, asks: Sequence[Ask]) -> AsyncIterator[Sequence[Found]]:
        """Yield everything at once; see `Store.fetch`."""
        if not self.reachable:
            raise StoreError("the store cannot be reached")
        if asks:
            yield [self._find(ask) for ask in asks]

    def _find(self, ask: Ask) -> Found:
        record = self._records.get(ask.certificate_id)
        return Found(key=ask.key, records=() if record is None else (minimise_surface(record, ask.fields),))

    async def close(self) -> None:
        """Nothing is held; see `Store.close`."""
