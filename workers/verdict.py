"""The verdict on a file (I6): its digest against the source's files, and its certificate's state (DOMAIN §4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.answers import Check, FileVerdict
from schemas.certificates import CertificateStatus
from schemas.identifiers import parse_certificate_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.certificates import CertificateRecord

PASSED, FAILED, UNKNOWN = "passed", "failed", "unknown"
TOO_LITTLE, DIFFERENT = 4, 7

# Of a file that is the source's own: the verdict by the state of its certificate, and what an official reads of it.
_BY_STATE = {
    CertificateStatus.VALID: (0, "证照在有效状态"),
    CertificateStatus.NOT_ACTIVE: (1, "证照尚未生效"),
    CertificateStatus.SUSPENDED: (2, "证照暂停使用"),
    CertificateStatus.EXPIRED: (3, "证照已过期"),
    CertificateStatus.CANCELLED: (3, "证照已注销"),
    CertificateStatus.REVOKED: (3, "证照已撤销"),
    CertificateStatus.SUPERSEDED: (3, "证照已被新证照取代"),
    CertificateStatus.UNKNOWN: (TOO_LITTLE, "证照源未提供证照状态"),
}
_MESSAGES = {
    0: "文件与证照源记录一致，证照有效",
    1: "文件与证照源记录一致，证照尚未生效",
    2: "文件与证照源记录一致，证照暂时无效",
    3: "文件与证照源记录一致，证照已失效",
    TOO_LITTLE: "证照源信息不足，无法得出结论",
    DIFFERENT: "文件与证照源记录不一致",
}


def verdict(
    digest: str, record: CertificateRecord, digests: Sequence[str], state: CertificateStatus, now_ms: int
) -> FileVerdict:
    """What is to be held of a file with this digest (SM3, hex) when the source has these files of the certificate."""
    by_state, told_of_state = _BY_STATE[state]
    if not digests:
        result, metadata = TOO_LITTLE, Check(item="metadata", result=UNKNOWN, reason="证照源没有可供比对的文件")
    elif digest in digests:
        result, metadata = by_state, Check(item="metadata", result=PASSED)
    else:
        result, metadata = DIFFERENT, Check(item="metadata", result=FAILED, reason="文件摘要与证照源所存文件不同")
    return FileVerdict(
        result=result,
        message=_MESSAGES[result],
        checks=(_identifier(record), metadata, _status(state, told_of_state)),
        certificate_id=record.certificate_id,
        certificate_status=state.value,
        status_time=now_ms,
    )


def _identifier(record: CertificateRecord) -> Check:
    if parse_certificate_id(record.certificate_id).check_is_right:
        return Check(item="identifier", result=PASSED)
    return Check(item="identifier", result=FAILED, reason="证照标识校验位不正确")


def _status(state: CertificateStatus, told: str) -> Check:
    if state is CertificateStatus.VALID:
        return Check(item="status", result=PASSED)
    return Check(item="status", result=UNKNOWN if state is CertificateStatus.UNKNOWN else FAILED, reason=told)
