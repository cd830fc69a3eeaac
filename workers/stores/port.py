"""The port every certificate store is reached through: fetch many, results as they come."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec

from schemas.certificates import CertificateRecord


class Ask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is asked of the store for one item: the certificate with exactly this identifier.

    `key` is the item's place in its lot, `certificate_id` a text that `parse_certificate_id` has let through, `fields`
    the granted columns of the face: no other is to be returned.
    """

    key: int
    certificate_id: str
    fields: frozenset[str]


class Found(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The store's answer to one ask; no records: there is none.

    `unusable` says that there is one, but what the store holds of it cannot be read: the answer is then 99 (其他异常),
    never 10, which would tell the requester that the holder has no such certificate.
    """

    key: int
    records: tuple[CertificateRecord, ...]
    unusable: bool = False


class StoreError(Exception):
    """The store is out of reach, or what it answered is nonsense as a whole; the same ask may succeed later.

    The message never repeats what the store said: it may hold personal data.
    """


class Store(Protocol):
    """A province's certificate store (证照库).

    `unusable_rows` counts, since the start, the rows that could not be read.
    """

    unusable_rows: int

    def fetch(self, asks: Sequence[Ask]) -> AsyncIterator[Sequence[Found]]:
        """Yield what was found, in any order and grouping; every key exactly once. Raises StoreError."""
        ...

    async def close(self) -> None:
        """Let go of the store; a second time does nothing."""
        ...
