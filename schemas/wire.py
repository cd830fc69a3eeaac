"""Signing and sealing of a lot, and the way back: headers, signature, seal, frames, in that order (DESIGN §4)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec
from cryptography.exceptions import InvalidTag

from schemas import merkle
from schemas.jose import MALFORMED, JoseError, Jwk, b64, parse_jws, unb64
from schemas.lot import (
    CLOCK_TOLERANCE_MS,
    CONTENT_TYPE,
    MAX_DEADLINE_AHEAD_MS,
    MAX_ITEMS,
    MAX_LOT_BYTES,
    SPEC_VERSION,
    Claims,
    Envelope,
    Frames,
    Item,
    LotError,
    SealHeader,
    WireRecord,
    unframe,
)
from schemas.suites import BY_SEAL_ALG, BY_SIGN_ALG, NONCE_BYTES, TAG_BYTES, Aead, CryptoError, Suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MAX_HEADERS = 64
_MAX_HEADER_BYTES = 4_096
_ID = re.compile(r"[0-9a-f]{32}")
_PARTY = re.compile(r"[0-9a-z][0-9a-z-]{0,31}")
_NUMBER = re.compile(r"[0-9]{1,16}")
_FIELDS = {field.encode_name: field for field in msgspec.structs.fields(Envelope)}
_REQUIRED = _FIELDS.keys() - {"ce_replyto"}
_SIGNATURE, _SEAL = "signature", "seal"

_encode = msgspec.json.Encoder().encode
_claims = msgspec.json.Decoder(Claims)
_seal_header = msgspec.json.Decoder(SealHeader)


class Signer(Protocol):
    """A party's private signing key at work; an HSM may stand behind it."""

    suite: Suite
    kid: str

    def sign(self, message: bytes) -> bytes: ...


class Sealing(NamedTuple):
    """A content key ready for one use: wrapped for its recipient, with a nonce that never comes again."""

    suite: Suite
    recipient: str
    kid: str
    ephemeral: Jwk
    encrypted_key: bytes
    cipher: Aead
    nonce: bytes


class Opener(Protocol):
    """A party's private sealing keys at work."""

    def cipher(self, header: SealHeader, encrypted_key: bytes) -> Aead:
        """The unwrapped content key; raises CryptoError when the key is not ours or does not unwrap."""


class Verifying(Protocol):
    """Who may sign: the registry's public keys."""

    def verifier(self, party: str, kid: str, alg: str, now_ms: int) -> Callable[[bytes, bytes], None]:
        """A check of (signature, message) for a key valid now; raises LotError("sender" | "key")."""


class OpenLot(NamedTuple):
    """A lot after all its checks; `jws` and `leaves` are what a later proof needs."""

    envelope: Envelope
    items: list[Item]
    leaves: list[bytes]
    jws: bytes
    evidence: str | None


def sign_compact(signer: Signer, payload: bytes, typ: str | None = None) -> bytes:
    """A compact JWS over exactly these bytes."""
    header: dict[str, str] = {"alg": signer.suite.sign_alg, "kid": signer.kid}
    if typ:
        header["typ"] = typ
    signing_input = f"{b64(_encode(header))}.{b64(payload)}".encode()
    return signing_input + b"." + b64(signer.sign(signing_input)).encode()


def seal(envelope: Envelope, plaintext: bytes, sealing: Sealing) -> tuple[bytes, bytes]:
    """The `seal` header and the value of a lot or a detail record."""
    protected = SealHeader(
        alg=sealing.suite.seal_alg,
        enc=sealing.suite.seal_enc,
        kid=sealing.kid,
        epk={"kty": sealing.ephemeral.kty, "crv": sealing.ephemeral.crv, "x": sealing.ephemeral.x},
        lot=envelope.ce_id,
        sender=envelope.ce_source,
        recipient=sealing.recipient,
    )
    aad = b64(_encode(protected)).encode()
    value = sealing.cipher.encrypt(sealing.nonce, plaintext, aad)
    return b".".join((aad, b64(sealing.encrypted_key).encode(), b64(sealing.nonce).encode())), value


def pack(
    envelope: Envelope, frames: Frames, *, signer: Signer, sealing: Sealing, evidence: bytes | None = None
) -> WireRecord:
    """The record of a lot; `evidence` is the digest of a reply's evidence body. Raises LotError("size")."""
    sealed, value = seal(envelope, frames.plaintext, sealing)
    if len(value) > MAX_LOT_BYTES:
        raise LotError("size")
    headers = _open_headers(envelope)
    claims = Claims(
        headers=headers,
        aud=sealing.recipient,
        root=b64(frames.root),
        body=b64(signer.suite.digest(value)),
        evidence=None if evidence is None else b64(evidence),
    )
    signature = sign_compact(signer, _encode(claims))
    wire = [(name, text.encode()) for name, text in headers.items()]
    return WireRecord([*wire, (_SIGNATURE, signature), (_SEAL, sealed)], value)


def _open_headers(envelope: Envelope) -> dict[str, str]:
    named = {name: getattr(envelope, field.name) for name, field in _FIELDS.items()}
    return {name: text for name, text in named.items() if text}


def parse_headers(raw: Iterable[tuple[str, bytes]]) -> tuple[Envelope, bytes, bytes]:
    """Envelope, `signature` and `seal` of a record; unknown headers are ignored. LotError("header"|"version")."""
    known: dict[str, bytes] = {}
    for place, (name, value) in enumerate(raw):
        if place >= _MAX_HEADERS:
            raise LotError("header")
        if name in _FIELDS or name in (_SIGNATURE, _SEAL):
            if name in known or value is None or len(value) > _MAX_HEADER_BYTES:
                raise LotError("header")
            known[name] = value
    signature, sealed = known.pop(_SIGNATURE, b""), known.pop(_SEAL, b"")
    if known.get("ce_specversion", b"") != SPEC_VERSION.encode():
        raise LotError("version" if "ce_specversion" in known else "header")
    if not known.keys() >= _REQUIRED:  # a default stands for nothing on the wire
        raise LotError("header")
    try:
        envelope = msgspec.convert({name: value.decode("ascii") for name, value in known.items()}, Envelope)
    except (ValueError, msgspec.ValidationError) as error:
        raise LotError("header") from error
    shapes = (
        (_ID, envelope.ce_id),
        (_PARTY, envelope.ce_source),
        (_NUMBER, envelope.ce_deadline),
        (_NUMBER, envelope.ce_items),
    )
    if envelope.content_type != CONTENT_TYPE or not all(shape.fullmatch(text) for shape, text in shapes):
        raise LotError("header")
    return envelope, signature, sealed


def check_open(envelope: Envelope, value: bytes, event_type: str, now_ms: int) -> None:
    """What can be refused without a key: type, time, size, count. Raises LotError."""
    if envelope.ce_type != event_type:
        raise LotError("version")
    if envelope.deadline_ms <= now_ms:
        raise LotError("expired")
    if envelope.deadline_ms > now_ms + MAX_DEADLINE_AHEAD_MS + CLOCK_TOLERANCE_MS:
        raise LotError("deadline")
    if not TAG_BYTES < len(value) <= MAX_LOT_BYTES:
        raise LotError("size")
    if not 0 < envelope.count <= MAX_ITEMS:
        raise LotError("items")


def verify(
    envelope: Envelope, signature: bytes, value: bytes, *, audience: str, keys: Verifying, now_ms: int
) -> tuple[Claims, Suite]:
    """The signed claims, after signature, headers, recipient and value were found to be what was signed."""
    try:
        jws = parse_jws(signature)
    except JoseError as error:
        raise LotError("signature") from error
    suite = BY_SIGN_ALG.get(jws.header.alg)
    if suite is None:
        raise LotError("key")
    try:
        keys.verifier(envelope.ce_source, jws.header.kid, jws.header.alg, now_ms)(jws.signature, jws.signing_input)
        claims = _claims.decode(jws.payload)
    except (CryptoError, *MALFORMED) as error:
        raise LotError("signature") from error
    if claims.headers != _open_headers(envelope):
        raise LotError("signature")
    if claims.aud != audience:
        raise LotError("recipient")
    if claims.body != b64(suite.digest(value)):
        raise LotError("body", trusted=True)
    return claims, suite


def unseal(envelope: Envelope, sealed: bytes, value: bytes, *, me: str, opener: Opener) -> bytes:
    """The plaintext of a sealed value; raises LotError("seal" | "recipient"), trusted: verify comes first."""
    try:
        aad, encrypted_key, nonce = sealed.split(b".")
        header = _seal_header.decode(unb64(aad))
        suite = BY_SEAL_ALG[header.alg]
        if header.enc != suite.seal_enc or len(unb64(nonce)) != NONCE_BYTES:
            raise LotError("seal", trusted=True)
        if (header.lot, header.sender) != (envelope.ce_id, envelope.ce_source):
            raise LotError("seal", trusted=True)
        if header.recipient != me:
            raise LotError("recipient", trusted=True)
        return opener.cipher(header, unb64(encrypted_key)).decrypt(unb64(nonce), value, aad)
    except (ValueError, KeyError, InvalidTag, *MALFORMED) as error:
        raise LotError("seal", trusted=True) from error


def open_lot(
    envelope: Envelope,
    signature: bytes,
    sealed: bytes,
    value: bytes,
    *,
    me: str,
    keys: Verifying,
    opener: Opener,
    now_ms: int,
) -> OpenLot:
    """All checks of a lot in their order: signature, seal, frames, count, root. Raises LotError."""
    claims, suite = verify(envelope, signature, value, audience=me, keys=keys, now_ms=now_ms)
    items, leaves = unframe(unseal(envelope, sealed, value, me=me, opener=opener), suite)
    if not items or len(items) != envelope.count:
        raise LotError("items", trusted=True)
    if claims.root != b64(merkle.root(leaves, suite.digest)):
        raise LotError("root", trusted=True)
    return OpenLot(envelope, items, leaves, signature, claims.evidence)
