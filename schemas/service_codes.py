"""The service code (政务服务码) of this exchange: no personal data inside, its issuer readable (design choice).

`CERTLANE:<province>:<26 characters>`; real codes' inner formats are secret to their issuers (DOMAIN §8.6).
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import NamedTuple

from schemas.statuses import CODE_UNKNOWN, RefusedError

_REUSABLE = "R"
_CODE = re.compile(f"CERTLANE:([0-9]{{2}}):({_REUSABLE}?)([A-Z2-7]{{26}})")


class ServiceCode(NamedTuple):
    """One code: who issued it, whether it is redeemed once, and the digest (hex) a store knows it by."""

    province: str
    once: bool
    digest: str


def new_service_code(province: str, *, once: bool = True) -> str:
    """A fresh code of 128 random bits; one that is not used up at once is for demonstrations only."""
    drawn = base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=")
    return f"CERTLANE:{province}:{'' if once else _REUSABLE}{drawn}"


def parse_service_code(text: str) -> ServiceCode:
    """The issuer and the digest of a code; raises RefusedError(6001)."""
    match = _CODE.fullmatch(text)
    if match is None:
        raise RefusedError(CODE_UNKNOWN, "请核对 data.certQrCode")
    return ServiceCode(match[1], not match[2], hashlib.sha256(text.encode()).hexdigest())
