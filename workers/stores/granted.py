"""Which records answer an ask, and what of them: the part that every store has in common."""

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final

from schemas.certificates import CertificateRecord, minimise_surface
from workers.stores.port import Ask, ByFile, ByHolder, ByIdentifier, Look


def granted_records(ask: Ask, records: Iterable[CertificateRecord]) -> tuple[CertificateRecord, ...]:
    """Return those of the records that the ask names and grants, by identifier, their faces minimised.

    What a store found is held to this too: a row may have changed since it was found, or the store may compare texts
    in its own way.
    """
    look, columns = ask.look, ask.columns
    is_named = _NAMED[type(look)]
    granted = [
        minimise_surface(record, columns[record.type_code])
        for record in records
        if record.type_code in columns and is_named(look, record)
    ]
    if len(granted) > 1:
        granted.sort(key=attrgetter("certificate_id"))
        granted = granted[: look.limit if isinstance(look, ByHolder) else 1]
    return tuple(granted)


def _of_identifier(look: ByIdentifier, record: CertificateRecord) -> bool:
    return record.certificate_id == look.certificate_id


def _of_holder(look: ByHolder, record: CertificateRecord) -> bool:
    return (
        record.holder_code == look.holder_code
        and record.holder_type_code == look.holder_type_code
        and record.type_code in look.type_codes
        and look.number in {None, record.number}
    )


def _of_file(look: ByFile, record: CertificateRecord) -> bool:
    return record.type_code == look.type_code and look.certificate_id in {None, record.certificate_id}


_NAMED: Final[Mapping[type[Look], Callable[[Any, CertificateRecord], bool]]] = MappingProxyType(
    {ByIdentifier: _of_identifier, ByHolder: _of_holder, ByFile: _of_file}
)
