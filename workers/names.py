"""The real-name check (实名核验, DOMAIN §8.4 step 7): whether the name that is told is the holder's; behind a port.

The default compares with the names in the store's records; a province that has a real-name service asks that instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from schemas.form import blank

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from schemas.certificates import CertificateRecord
    from schemas.sharing import Asked


class NameAsk(NamedTuple):
    """One holder, the name that was told of them, and the names that the store's records have."""

    holder_code: str
    holder_type_code: str
    told: str
    registered: frozenset[str]


class NameCheckError(Exception):
    """Nobody could be asked; the message never repeats a name."""


class NameCheck(Protocol):
    """Who knows whose name is whose."""

    async def right(self, asks: Sequence[NameAsk]) -> Sequence[frozenset[str]]:
        """For each ask those of the registered names that the name told is right for; raises NameCheckError."""
        ...


class RegisteredNames:
    """The store itself: a name is right for the records that have exactly this one."""

    async def right(self, asks: Sequence[NameAsk]) -> Sequence[frozenset[str]]:
        """See `NameCheck.right`."""
        return [one.registered & {one.told} for one in asks]


def name_ask(data: Asked, records: Iterable[CertificateRecord]) -> NameAsk | None:
    """What there is to check: None where no name is told, or there is nothing that it could be right for."""
    told: str | None = getattr(data, "holder_name", None)
    registered = frozenset(record.holder_name for record in records)
    if told is None or blank(told) or not registered:
        return None
    code, kind = getattr(data, "holder_code", None), getattr(data, "holder_type_code", None)
    return NameAsk(code or "", kind or "", told.strip(), registered)
