"""A certificate as a province's store holds it."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec


class CertificateStatus(StrEnum):
    """The system's own states of a certificate (design choice, DOMAIN §5.6)."""

    VALID = "VALID"
    NOT_ACTIVE = "NOT_ACTIVE"
    SUSPENDED = "SUSPENDED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"
    REVOKED = "REVOKED"
    SUPERSEDED = "SUPERSEDED"
    UNKNOWN = "UNKNOWN"


INTERFACE_CODES: Final[Mapping[CertificateStatus, int]] = MappingProxyType(
    {
        CertificateStatus.VALID: 0,
        CertificateStatus.NOT_ACTIVE: 23,
        CertificateStatus.SUSPENDED: 23,
        CertificateStatus.EXPIRED: 22,
        CertificateStatus.CANCELLED: 21,
        CertificateStatus.REVOKED: 21,
        CertificateStatus.SUPERSEDED: 21,
        CertificateStatus.UNKNOWN: 99,
    }
)
"""`head.status` of an answer about a certificate in each state (DOMAIN §3.2, §5.6)."""


class SurfaceField(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """One field of the face (照面信息): its Chinese label, its KZ_ column and its value (DOMAIN §4 I4, §6.2)."""

    name: str
    column_name: str
    value: str
    value_type: str = "string"


class CertificateRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One certificate with its metadata (GB/T 36903-2018) and its face; days are ISO `yyyy-mm-dd`.

    `certificate_id` is the 证照标识 exactly as stored, its check character possibly wrong. No `valid_to` means without
    a term. `area_code` is the six-digit area that issued it.
    """

    certificate_id: str
    type_code: str
    type_name: str
    name: str
    number: str
    holder_name: str
    holder_code: str
    holder_type_code: str
    issuer_name: str
    issuer_code: str
    issue_date: str
    valid_from: str
    valid_to: str | None
    status: CertificateStatus
    area_code: str
    surface: tuple[SurfaceField, ...]


def minimise_surface(record: CertificateRecord, columns: frozenset[str]) -> CertificateRecord:
    """Return the record with only those fields of its face whose column is named."""
    kept = tuple([field for field in record.surface if field.column_name in columns])
    return record if len(kept) == len(record.surface) else msgspec.structs.replace(record, surface=kept)
