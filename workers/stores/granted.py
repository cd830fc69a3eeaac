"""Which records answer an ask, and what of them: the part that every store has in common."""

from collections.abc import Iterable
from operator import attrgetter

from schemas.certificates import CertificateRecord, minimise_surface
from workers.stores.port import Ask, ByCode, ByFile, ByHolder, ByIdentifier, Look


def granted_records(ask: Ask, records: Iterable[CertificateRecord]) -> tuple[CertificateRecord, ...]:
    """Return those of the records that the ask names and grants, by identifier, their faces minimised.

    What a store found is held to this too: a row may have changed since it was found, or the store may compare texts
    in its own way.
    """
    named = [record for record in records if record.type_code in ask.columns and _is_named(ask.look, record)]
    if len(named) > 1:
        named.sort(key=attrgetter("certificate_id"))
        named = named[: ask.look.limit if isinstance(ask.look, ByHolder) else 1]
    return tuple([minimise_surface(record, ask.columns[record.type_code]) for record in named])


def _is_named(look: Look, record: CertificateRecord) -> bool:
    match look:
        case ByIdentifier():
            return record.certificate_id == look.certificate_id
        case ByHolder():
            return (
                record.holder_code == look.holder_code
                and record.holder_type_code == look.holder_type_code
                and record.type_code in look.type_codes
                and look.number in {None, record.number}
            )
        case ByFile():
            return record.type_code == look.type_code and look.certificate_id in {None, record.certificate_id}
        case ByCode():
            return False
