"""A consent as a token, signed by the holder's province, its holder sealed to each source (DOMAIN §8.5).

The token is a compact JWS; each holder in it is sealed as a lot is (docs/lot.md §3), the consent's id and issuer in the
place of the lot's. All reasons for which a token is none are told without what is in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple, Protocol

import msgspec
from msgspec import Meta, Struct

from schemas.jose import MALFORMED, JoseError, b64, parse_jws, unb64
from schemas.lot import Envelope, LotError
from schemas.scenes import ConsentMode
from schemas.suites import BY_SIGN_ALG, CryptoError
from schemas.wire import Verifying, seal, sign_compact, unseal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.jose import Jws
    from schemas.registry import Party
    from schemas.wire import Opener, Sealing, Signer

CONSENT_TYPE = "certlane-consent"
MAX_CONSENT_CHARS = 8_192
_SHORT_CHARS = 128
_Short = Annotated[str, Meta(max_length=_SHORT_CHARS)]
_Millis = Annotated[int, Meta(ge=0, le=1 << 53)]

_encode = msgspec.json.Encoder().encode


class Consent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The token's claims: who consented in which way to what, for whom, in which case; times in unix ms.

    `holder` maps each source province to the holder's code, sealed to it; an empty `case` means any case of the scene,
    `once` that each source province, interface and type uses it up.
    """

    id: Annotated[str, Meta(pattern="^[0-9a-f]{32}$", max_length=32)]
    iss: _Short
    mode: ConsentMode
    scene: _Short
    node: _Short
    application: _Short
    org: _Short
    types: Annotated[tuple[_Short, ...], Meta(max_length=64)]
    holder: Annotated[dict[_Short, Annotated[str, Meta(max_length=2_048)]], Meta(max_length=64)]
    iat: _Millis
    exp: _Millis
    case: _Short = ""
    once: bool = True
    level: Annotated[int, Meta(ge=0, le=4)] = 0

    @property
    def name(self) -> str:
        """By which it is withdrawn and used up."""
        return f"{self.iss}.{self.id}"


class Consenting(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who consented, as it is sealed to each source: the holder, and who acted for them (代办人) if anybody did."""

    code: _Short
    type_code: Annotated[str, Meta(max_length=3)]
    agent: _Short = ""


class OpenedConsent(NamedTuple):
    """A consent whose issuer's signature was verified, and its holder as sealed to us."""

    claims: Consent
    holder_code: str
    holder_type_code: str
    agent_code: str = ""


class ConsentError(ValueError):
    """What came as a consent is none; `reason` is "form", "signature", "not for us" or "agent"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Issuers(Verifying, Protocol):
    """Who may issue consents: the registry's provinces and their keys."""

    @property
    def parties(self) -> Mapping[str, Party]: ...


_decode = msgspec.json.Decoder(Consent).decode
_decode_holder = msgspec.json.Decoder(Consenting).decode


def seal_holder(whose: Consenting, sealing: Sealing, *, issuer: str, consent: str) -> str:
    """Who consented, for `sealing.recipient` alone and in this consent alone."""
    header, value = seal(_sealed(issuer, consent), _encode(whose), sealing)
    return f"{header.decode()}.{b64(value)}"


def sign_consent(consent: Consent, signer: Signer) -> str:
    """The token of these claims; raises ValueError when it would be longer than a token may be."""
    token = sign_compact(signer, _encode(consent), CONSENT_TYPE).decode()
    if len(token) > MAX_CONSENT_CHARS:
        raise ValueError(f"a consent of {len(consent.holder)} provinces and {len(consent.types)} types is too long")
    return token


def open_consent(text: str, snapshot: Issuers, opener: Opener, province: str, now_ms: int) -> OpenedConsent:
    """The consent in this token, its signature verified, its holder unsealed; raises ConsentError.

    Whether it has ended, and whether it allows what is asked, is the judge's to say.
    """
    jws = _parsed(text)
    try:
        claims = _decode(jws.payload)
    except MALFORMED as error:
        raise ConsentError("form") from error
    _verify(jws, claims, snapshot, now_ms)
    whose = _opened(claims, opener, province)
    if (claims.mode is ConsentMode.AGENT) != bool(whose.agent):
        raise ConsentError("agent")  # who acts for a holder is named, and only by a mandate for that
    return OpenedConsent(claims, whose.code, whose.type_code, whose.agent)


def _parsed(text: str) -> Jws:
    try:
        jws = parse_jws(text.encode("ascii"), MAX_CONSENT_CHARS)
    except (UnicodeEncodeError, JoseError) as error:
        raise ConsentError("form") from error
    if jws.header.typ != CONSENT_TYPE:
        raise ConsentError("form")
    return jws


def _verify(jws: Jws, claims: Consent, snapshot: Issuers, now_ms: int) -> None:
    """By a key that its issuer, a province, had when it was made; a revoked key never counts."""
    issuer, alg = snapshot.parties.get(claims.iss), jws.header.alg
    if issuer is None or issuer.kind != "province" or alg not in BY_SIGN_ALG:
        raise ConsentError("signature")
    try:
        check = snapshot.verifier(claims.iss, jws.header.kid, alg, min(claims.iat, now_ms))
        check(jws.signature, jws.signing_input)
    except (LotError, CryptoError) as error:
        raise ConsentError("signature") from error


def _opened(claims: Consent, opener: Opener, province: str) -> Consenting:
    header, _, value = claims.holder.get(province, "").rpartition(".")
    if not header:
        raise ConsentError("not for us")
    try:
        plaintext = unseal(_sealed(claims.iss, claims.id), header.encode(), unb64(value), me=province, opener=opener)
        return _decode_holder(plaintext)
    except (ValueError, LotError, *MALFORMED) as error:
        raise ConsentError("not for us") from error


def _sealed(issuer: str, consent: str) -> Envelope:
    """What the seal is bound to: the consent stands where a lot would."""
    return Envelope(ce_id=consent, ce_type=CONSENT_TYPE, ce_source=issuer, ce_time="", ce_deadline="0", ce_items="0")
