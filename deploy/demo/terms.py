"""The states and dates of the demonstration's certificates, told from the day they are made for."""

from datetime import date, timedelta
from typing import Final, NamedTuple

from schemas.certificates import CertificateStatus

# Every 97 certificates; 97 is prime, so that each state comes to each type in time. The other 88 are valid.
CYCLE: Final = 97
_STATUSES: Final = {
    5: CertificateStatus.NOT_ACTIVE,
    16: CertificateStatus.SUSPENDED,
    27: CertificateStatus.EXPIRED,
    38: CertificateStatus.EXPIRED,
    49: CertificateStatus.CANCELLED,
    60: CertificateStatus.REVOKED,
    71: CertificateStatus.SUPERSEDED,
    82: CertificateStatus.SUPERSEDED,
    93: CertificateStatus.UNKNOWN,
}
_USED_AT_MOST: Final = 0.6  # of its term, so that a valid certificate stays valid for months
_AGE_WITHOUT_TERM: Final = 10  # years


class Term(NamedTuple):
    """A status and the days that go with it; `ends` None: without a term."""

    status: CertificateStatus
    issued: date
    begins: date
    ends: date | None


def term(index: int, *, years: int | None, today: date, share: float) -> Term:
    """Return the term of the certificate with this index; `share`, 0 to 1, places it within what its status allows."""
    status = _STATUSES.get(index % CYCLE, CertificateStatus.VALID)
    if status is CertificateStatus.EXPIRED and years is None:
        status = CertificateStatus.CANCELLED  # what has no term does not expire
    if status is CertificateStatus.EXPIRED and years is not None:
        ends = today - timedelta(days=1 + int(share * 365))
        issued = _years_after(ends, -years)
        return Term(status, issued, issued, ends)
    if status is CertificateStatus.NOT_ACTIVE:
        issued, begins = today - timedelta(days=2), today + timedelta(days=5 + int(share * 25))
    else:
        used = share * _USED_AT_MOST * 365 * (years or _AGE_WITHOUT_TERM)
        issued = begins = today - timedelta(days=1 + int(used))
    return Term(status, issued, begins, None if years is None else _years_after(begins, years))


def _years_after(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:  # 29 February
        return day.replace(year=day.year + years, day=28)
