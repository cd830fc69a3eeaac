"""The service code (政务服务码) of this exchange: no personal data inside, its issuer readable (design choice).

`CERTLANE:<province>:<26 characters>.<26 characters>`: 128 random bits and the issuer's tag over all before it
(HMAC-SM3, 128 bits), both in base 32; a QR code holds it in its alphanumeric mode. Real codes' inner formats are secret
to their issuers (DOMAIN §8.6).
"""

from __future__ import annotations

import base64
import hashlib
import hmac as compare
import re
import secrets
from typing import NamedTuple

from cryptography.hazmat.primitives.hashes import SM3
from cryptography.hazmat.primitives.hmac import HMAC

from schemas.statuses import CODE_UNKNOWN, RefusedError

CODE_LIFE_MS = 60_000  # as long as a code may be shown (DOMAIN §8.6)
MIN_SECRET_BYTES = 16
_REUSABLE = "R"
_DRAWN_BYTES = _TAG_BYTES = 16
_CODE = re.compile(f"(CERTLANE:([0-9]{{2}}):({_REUSABLE}?)[A-Z2-7]{{26}})\\.([A-Z2-7]{{26}})")


class ServiceCode(NamedTuple):
    """One code: who issued it, whether it is redeemed once, the digest (hex) its issuer knows it by, and its tag."""

    province: str
    once: bool
    digest: str
    tagged: str
    tag: str


def code_key(secret: bytes) -> bytes:
    """The key of a province's tags, from its secret; raises ValueError when that is no secret."""
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError("the province's secret is too short")
    return _hmac_sm3(secret, b"certlane service code")


def new_service_code(province: str, key: bytes, *, once: bool = True) -> str:
    """A fresh code of 128 random bits; one that is not used up at once is for demonstrations only."""
    return tagged_code(province, secrets.token_bytes(_DRAWN_BYTES), key, once=once)


def tagged_code(province: str, drawn: bytes, key: bytes, *, once: bool = True) -> str:
    """The code of these random bytes under the issuer's key."""
    tagged = f"CERTLANE:{province}:{'' if once else _REUSABLE}{_base32(drawn)}"
    return f"{tagged}.{_tag(tagged, key)}"


def parse_service_code(text: str) -> ServiceCode:
    """The issuer and the digest of a code, whose tag only its issuer can check; raises RefusedError(6001)."""
    match = _CODE.fullmatch(text)
    if match is None:
        raise RefusedError(CODE_UNKNOWN, "请核对 data.certQrCode")
    return ServiceCode(match[2], not match[3], hashlib.sha256(text.encode()).hexdigest(), match[1], match[4])


def is_genuine(code: ServiceCode, key: bytes) -> bool:
    """Whether the tag is this issuer's: what nobody issued is told so without looking anything up."""
    return compare.compare_digest(_tag(code.tagged, key), code.tag)


def _tag(tagged: str, key: bytes) -> str:
    return _base32(_hmac_sm3(key, tagged.encode())[:_TAG_BYTES])


def _hmac_sm3(key: bytes, message: bytes) -> bytes:
    made = HMAC(key, SM3())
    made.update(message)
    return made.finalize()


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode().rstrip("=")
