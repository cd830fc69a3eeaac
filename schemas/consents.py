"""A consent as a token, signed by the holder's province, its holder sealed to each source (DOMAIN §8.5)."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from schemas.scenes import ConsentMode

CONSENT_TYPE = "certlane-consent"
MAX_CONSENT_CHARS = 8_192
_Short = Annotated[str, Meta(max_length=128)]


class Consent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The token's claims: who consented in which way to what, for whom, in which case; times in unix ms.

    `holder` maps each source province to the holder's code, sealed to it; an empty `case` means any case of the scene,
    `once` that each source province, interface and type uses it up.
    """

    id: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    iss: _Short
    mode: ConsentMode
    scene: _Short
    node: _Short
    application: _Short
    org: _Short
    types: Annotated[tuple[_Short, ...], Meta(max_length=64)]
    holder: Annotated[dict[_Short, str], Meta(max_length=64)]
    iat: int
    exp: int
    case: _Short = ""
    once: bool = True
    level: int = 0

    @property
    def name(self) -> str:
        """By which it is withdrawn and used up."""
        return f"{self.iss}.{self.id}"


class OpenedConsent(NamedTuple):
    """A consent whose issuer's signature was verified, and its holder as sealed to us."""

    claims: Consent
    holder_code: str
    holder_type_code: str
