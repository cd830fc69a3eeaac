"""The port every certificate store is reached through: look up many, results as they come; files one by one."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

import msgspec

from schemas.certificates import CertificateRecord


class ByIdentifier(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The certificate with exactly this identifier, a text that `parse_certificate_id` has let through."""

    certificate_id: str


class ByHolder(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A holder's certificates of these types, and with this number if one is given; at most `limit`, by identifier."""

    holder_code: str
    holder_type_code: str
    type_codes: frozenset[str]
    number: str | None
    limit: int


class ByFile(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The certificate of this type with this identifier, or without one that whose file has this SM3 (hex)."""

    type_code: str
    digest: str
    certificate_id: str | None


Look = ByIdentifier | ByHolder | ByFile


class Ask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is asked of the store for one item.

    `key` is the item's place in its lot, `columns` the granted columns of each granted type's face: no other column,
    and no certificate of another type, is to be returned.
    """

    key: int
    look: Look
    columns: Mapping[str, frozenset[str]]


class Found(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The store's answer to one ask; no records: there is none.

    `digests` are the SM3 (hex) of the files of the record that `ByFile` asked for.
    `unusable` says that there is something, but what the store holds of it cannot be read: the answer is then 99
    (其他异常), never 10, which would tell the requester that the holder has no such certificate.
    """

    key: int
    records: tuple[CertificateRecord, ...] = ()
    digests: tuple[str, ...] = ()
    unusable: bool = False


class StoreError(Exception):
    """The store is out of reach, or what it answered is nonsense as a whole; the same ask may succeed later.

    The message never repeats what the store said: it may hold personal data.
    """


class StoredFile(Protocol):
    """A certificate's file as the store holds it: its size in bytes and its SM3 in hex."""

    size: int
    digest: str

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield its bytes in order, at most 1 MiB at a time; who reads them proves the digest. Raises StoreError."""
        ...


class Store(Protocol):
    """A province's certificate store (证照库)."""

    def fetch(self, asks: Sequence[Ask]) -> AsyncIterator[Sequence[Found]]:
        """Yield what was found, in any order and grouping; every key exactly once. Raises StoreError."""
        ...

    async def file(self, certificate_id: str, file_format: str) -> StoredFile | None:
        """The file of a certificate in this format, None when there is none; raises StoreError."""
        ...

    async def close(self) -> None:
        """Let go of the store; a second time does nothing."""
        ...
