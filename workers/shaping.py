"""From a record to what is told of it: only granted names, a value that stays shortened where the grant says so."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from schemas.answers import CertificateData, CertificateHit, CodeHolder
from schemas.catalogue import Mask
from schemas.certificates import CertificateStatus
from schemas.regions import BY_PROVINCE
from workers.fields import CORE, MASKS, masked_holder_code

if TYPE_CHECKING:
    from broker.registry.compiled import CompiledType
    from schemas.certificates import CertificateRecord, SurfaceField
    from workers.consents import Authorization
    from workers.issuers.port import CodeRecord


class Here(NamedTuple):
    """Where and when something is released: the province, unix ms, the day in Asia/Shanghai as yyyy-mm-dd."""

    province: str
    now_ms: int
    day: str


def state(record: CertificateRecord, day: str) -> CertificateStatus:
    """In which state a certificate is on this day: a valid one only inside its term; ISO dates compare as text."""
    if record.status is not CertificateStatus.VALID:
        return record.status
    if record.valid_to is not None and record.valid_to < day:
        return CertificateStatus.EXPIRED
    return CertificateStatus.NOT_ACTIVE if record.valid_from > day else CertificateStatus.VALID


def number(record: CertificateRecord, granted: CompiledType) -> str:
    """The certificate's number where every answer has one: whole only if granted so (DOMAIN §4, I1)."""
    whole = "certificateNumber" in granted.granted and "certificateNumber" not in granted.masked
    return record.number if whole else MASKS[Mask.NUMBER](record.number)


def hit(record: CertificateRecord, granted: CompiledType, here: Here) -> CertificateHit:
    """One certificate in a list, without content."""
    return CertificateHit(
        certificate_id=record.certificate_id,
        certificate_name=record.name,
        certificate_number=number(record, granted),
        certificate_type=record.type_name,
        certificate_type_code=record.type_code,
        certificate_area_code=record.area_code,
        data_source=f"1{here.province}",
        issue_dept=record.issuer_name,
        issue_date=record.issue_date,
        certificate_status=state(record, here.day).value,
    )


def shape(record: CertificateRecord, granted: CompiledType) -> CertificateData:
    """The data of one valid certificate."""
    values: dict[str, str] = {}
    fields, masked, masks = granted.granted, granted.masked, granted.masks
    for source, target, mask in _core_plan(fields, masked):
        if (value := getattr(record, source)) is not None:
            values[target] = _core_value(value, mask, record) if mask else value
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
    if mask is Mask.CITIZEN_ID or value == record.holder_code:  # shortened in two ways it would show more than in one
        return masked_holder_code(record.holder_type_code, value)
    return MASKS[mask](value)


def code_holder(
    code: CodeRecord, whole: frozenset[str], authorization: Authorization | None, *, once: bool, province: str
) -> CodeHolder:
    """Who shows a service code, shortened but for what is granted in full, and what they agreed to (DOMAIN §4, I7)."""
    name, holder_code, mobile = code.holder_name, code.holder_code, code.mobile or None
    if "holderName" not in whole:
        name = MASKS[Mask.NAME](name)
    if "holderCode" not in whole:
        holder_code = masked_holder_code(code.holder_type_code, holder_code)
    if mobile and "mobile" not in whole:
        mobile = MASKS[Mask.MOBILE](mobile)
    return CodeHolder(
        holder_name=name,
        holder_code=holder_code,
        holder_type_code=code.holder_type_code,
        mobile=mobile,
        code_status="VALID",
        code_type="ONE_TIME" if once else "REUSABLE",
        issue_region=BY_PROVINCE[province].code,
        expire_time=code.expires_at,
        auth_token=authorization.token if authorization else None,
        auth_scope=authorization.types if authorization else None,
        auth_expires=authorization.expires_at if authorization else None,
    )
