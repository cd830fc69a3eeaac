"""JSON Object Signing and Encryption, as little of it as we use: base64url, JWK, compact JWS (RFC 7515, 7517, 7638)."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Literal

import msgspec

MAX_JWS_CHARS = 8_192
MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""All that decoding JSON from a stranger can raise: msgspec tells bad UTF-8 and deep nesting by Python's own errors."""


class JoseError(ValueError):
    """The text is not the JOSE object it should be; the sender's fault."""


class Jwk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One key (RFC 7517, RFC 8037); `d` is there only in private keys and never shown."""

    kty: Literal["OKP"] = msgspec.field(default_factory=lambda: "OKP")  # a plain default would not be written
    crv: Literal["Ed25519", "X25519"]
    x: str
    d: str | None = None
    kid: str = ""
    use: Literal["sig", "enc"] | None = None
    alg: str | None = None

    def __repr__(self) -> str:
        return f"Jwk({self.crv} {self.kid})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("kid", self.kid)]

    @property
    def public(self) -> Jwk:
        return msgspec.structs.replace(self, d=None)


def b64(raw: bytes) -> str:
    """Base64url without padding (RFC 7515 §2)."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str | bytes) -> bytes:
    """Bytes of a base64url text without padding; raises JoseError for anything but its one canonical spelling."""
    raw = text.encode() if isinstance(text, str) else text
    try:
        out = urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    except ValueError as error:
        raise JoseError("not base64url") from error
    if b64(out).encode() != raw:  # urlsafe_b64decode skips strange characters; we do not
        raise JoseError("not canonical base64url")
    return out


def thumbprint(jwk: Jwk) -> str:
    """The key's id: SHA-256 over its required members in order (RFC 7638 §3)."""
    return b64(hashlib.sha256(f'{{"crv":"{jwk.crv}","kty":"{jwk.kty}","x":"{jwk.x}"}}'.encode()).digest())


class JwsHeader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    alg: str
    kid: str
    typ: str | None = None
    crit: None = None  # RFC 7515 §4.1.11: we understand no extension, so any is a wrong type


class Jws(msgspec.Struct, frozen=True, kw_only=True):
    """A compact JWS taken apart, not yet verified."""

    header: JwsHeader
    payload: bytes
    signing_input: bytes
    signature: bytes


_header = msgspec.json.Decoder(JwsHeader)


def parse_jws(text: bytes, max_chars: int = MAX_JWS_CHARS) -> Jws:
    """Take a compact JWS apart without judging it; raises JoseError."""
    if len(text) > max_chars:
        raise JoseError("signature is too long")
    parts = text.split(b".")
    if len(parts) != 3:
        raise JoseError("not a compact JWS")
    try:
        header = _header.decode(unb64(parts[0]))
    except MALFORMED as error:
        raise JoseError("bad JWS header") from error
    return Jws(
        header=header,
        payload=unb64(parts[1]),
        signing_input=parts[0] + b"." + parts[1],
        signature=unb64(parts[2]),
    )
