"""Whether what a store returned is what it was asked for, and agrees with itself."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from schemas.holders import holder_code_is_right
from schemas.identifiers import IdentifierError, parse_certificate_id
from workers.stores.port import ByHolder, ByIdentifier

if TYPE_CHECKING:
    from schemas.certificates import CertificateRecord
    from schemas.identifiers import CertificateId
    from workers.issuers.port import CodeRecord
    from workers.stores.port import ByFile, Found, Look


def is_what_was_asked(look: Look, found: Found, identifier: CertificateId | None) -> bool:
    """Whether holder, type, number, identifier and digest are those asked for; `identifier` is the one asked for."""
    records = found.records
    if isinstance(look, ByIdentifier):
        return not records or (len(records) == 1 and _is(records[0], look.certificate_id, identifier))
    if isinstance(look, ByHolder):
        alone = len({record.certificate_id for record in records}) == len(records) <= look.limit
        return alone and all(_is_of(record, look) for record in records)
    return not records or (len(records) == 1 and _is_by_file(records[0], look, found, identifier))


def _is(record: CertificateRecord, certificate_id: str, identifier: CertificateId | None) -> bool:
    return identifier is not None and record.certificate_id == certificate_id and _is_sound(record, identifier)


def _is_of(record: CertificateRecord, look: ByHolder) -> bool:
    if record.holder_code != look.holder_code or record.holder_type_code != look.holder_type_code:
        return False
    if record.type_code not in look.type_codes or (look.number is not None and record.number != look.number):
        return False
    return _is_sound(record, _parsed(record))


def _is_by_file(record: CertificateRecord, look: ByFile, found: Found, identifier: CertificateId | None) -> bool:
    """Found by its identifier a certificate may have another file; found by a file it has that one."""
    if record.type_code != look.type_code:
        return False
    if look.certificate_id is None:
        return look.digest in found.digests and _is_sound(record, _parsed(record))
    return _is(record, look.certificate_id, identifier)


def _parsed(record: CertificateRecord) -> CertificateId | None:
    try:
        return parse_certificate_id(record.certificate_id)
    except IdentifierError:
        return None


def _is_sound(record: CertificateRecord, identifier: CertificateId | None) -> bool:
    """Whether type and issuer are those of its identifier, and texts, holder and dates have the form they must have."""
    if identifier is None:
        return False
    if record.type_code != identifier.type_code or record.issuer_code != identifier.issuer_code:
        return False
    texts = (record.type_name, record.name, record.number, record.holder_name, record.issuer_name)
    if not all(texts) or any(map(str.isspace, texts)):
        return False
    if not holder_code_is_right(record.holder_type_code, record.holder_code):
        return False
    days = (record.issue_date, record.valid_from, record.valid_from if record.valid_to is None else record.valid_to)
    return all(map(_is_date, days))


def is_sound_code(code: CodeRecord) -> bool:
    """Whether the holder of a code has the form that a holder must have."""
    name = code.holder_name
    return bool(name) and not name.isspace() and holder_code_is_right(code.holder_type_code, code.holder_code)


def _is_date(text: str) -> bool:
    """Whether this is a day as yyyy-mm-dd: week dates are ISO too, and would compare wrongly as text."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10 and text[4] == text[7] == "-"
