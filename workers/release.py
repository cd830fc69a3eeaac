"""The release: pure; checks that the store returned what was asked for, then minimises, masks and shapes it."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from schemas import statuses
from schemas.certificates import INTERFACE_CODES
from schemas.holders import CITIZEN_ID_TYPE, holder_code_is_right
from schemas.items import encode
from schemas.registry import Mask
from schemas.sharing import CertificateData, CertificateDataAnswer
from workers.fields import CORE, MASKS
from workers.judge import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from schemas.certificates import CertificateRecord, SurfaceField
    from schemas.identifiers import CertificateId
    from workers.judge import Grant


class Released(NamedTuple):
    """What leaves: the answer's bytes, whose it is, and which fields went out."""

    data: bytes
    holder_code: str
    fields: frozenset[str]


def release(
    grant: Grant, records: Sequence[CertificateRecord], masks: Mapping[str, Mask], today: date
) -> Released | Refusal:
    """The answer to I4 from what the store returned; `masks` by column of the type's face, `today` in Asia/Shanghai."""
    identifier = grant.identifier
    if not records:
        wrong = not identifier.check_is_right
        return Refusal(statuses.ID_CHECK_WRONG if wrong else statuses.NOT_FOUND, "store", grant.scenario)
    if len(records) > 1 or not _is_what_was_asked(records[0], identifier):
        return Refusal(statuses.OTHER, "store", grant.scenario, "证照源返回的数据未通过核对，已停止提供")
    record = records[0]
    if code := _status_code(record, today):
        return Refusal(code, "status", grant.scenario)
    data = _shape(record, grant, masks)
    answer = CertificateDataAnswer(total=1, data_list=(data,), withheld=grant.withheld)
    return Released(encode(answer), record.holder_code, grant.fields)


def _is_what_was_asked(record: CertificateRecord, identifier: CertificateId) -> bool:
    """Whether identifier, type, issuer, holder and dates agree with each other and with what was asked."""
    if record.certificate_id != str(identifier):
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


def _is_date(text: str) -> bool:
    """Whether this is a day as yyyy-mm-dd: week dates are ISO too, and would compare wrongly as text."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10 and text[4] == text[7] == "-"


def _status_code(record: CertificateRecord, today: date) -> int:
    """0, or why its status or its dates forbid to hand it out; ISO dates compare as text."""
    if code := INTERFACE_CODES[record.status]:
        return code
    day = today.isoformat()
    if record.valid_to is not None and record.valid_to < day:
        return 22
    return 23 if record.valid_from > day else 0


def _shape(record: CertificateRecord, grant: Grant, masks: Mapping[str, Mask]) -> CertificateData:
    values: dict[str, str] = {}
    for source, target, mask in _core_plan(grant.fields, grant.masked):
        if (value := getattr(record, source)) is not None:
            values[target] = _core_value(value, mask, record) if mask else value
    fields, masked = grant.fields, grant.masked
    surface = tuple(
        [
            field if field.column_name not in masked else _shortened(field, masks[field.column_name])
            for field in record.surface
            if field.column_name in fields and field.column_name in masks
        ]
    )
    return CertificateData(
        certificate_id=record.certificate_id,
        certificate_type_code=record.type_code,
        certificate_status=record.status.value,
        surface=surface or None,
        **values,
    )


@lru_cache(maxsize=4_096)
def _core_plan(fields: frozenset[str], masked: frozenset[str]) -> tuple[tuple[str, str, Mask | None], ...]:
    """Attribute of the record, attribute of the answer and mask of each granted name; a few plans serve all items."""
    return tuple(
        (source, target, mask if name in masked else None)
        for name, (source, target, mask) in CORE.items()
        if name in fields
    )


def _shortened(field: SurfaceField, mask: Mask) -> SurfaceField:
    return replace(field, value=MASKS[mask](field.value))


def _core_value(value: str, mask: Mask, record: CertificateRecord) -> str:
    """Shortened; but a USCC is not personal and stays whole (DOMAIN §9.4)."""
    if mask is Mask.CITIZEN_ID and record.holder_type_code != CITIZEN_ID_TYPE:
        return value
    return MASKS[mask](value)
