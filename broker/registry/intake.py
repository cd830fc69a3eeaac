"""Signed wishes to the registrar, and its signed answer to those it does not take: made, read, verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import Struct

from broker.registry.transitions import REGISTRAR
from schemas.filing import INTAKE_TYPE, REFUSAL_TYPE, Intake, Refused
from schemas.jose import MALFORMED, JoseError, Jwk, parse_jws
from schemas.lot import LotError
from schemas.suites import BY_SIGN_ALG, CryptoError
from schemas.wire import Signer, sign_compact

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_INTAKE_BYTES = 1 << 20
MAX_APART_MS = 600_000  # between an intake's own time and when Kafka appended it
_MAX_REFUSAL_BYTES = 8_192
_MAX_REASON_CHARS = 1_500
_encode = msgspec.json.Encoder().encode
_intake = msgspec.json.Decoder(Intake).decode
_refused = msgspec.json.Decoder(Refused).decode


class IntakeError(Exception):
    """Not an intake, or nobody known has signed it: it is counted and answered by nothing."""


class Verifying(Protocol):
    """Who may sign: the registry's parties."""

    def verifier(self, party: str, kid: str, alg: str, now_ms: int) -> Callable[[bytes, bytes], None]:
        """A check of (signature, message) under a key valid now; raises LotError("sender" | "key")."""


def sign_intake(signer: Signer, intake: Intake) -> bytes:
    return sign_compact(signer, _encode(intake), INTAKE_TYPE)


def read_intake(text: bytes, *, registrar: Jwk, parties: Verifying | None, now_ms: int) -> Intake:
    """The intake if the party it names has signed it, the registrar by its pinned key; raises IntakeError."""
    try:
        jws = parse_jws(text, MAX_INTAKE_BYTES)
        if jws.header.typ != INTAKE_TYPE:
            raise IntakeError("not an intake")
        intake = _intake(jws.payload)
        if intake.by == REGISTRAR:
            check = _pinned(registrar, jws.header.kid, jws.header.alg)
        elif parties is None:
            raise IntakeError("no registry yet")
        else:
            check = parties.verifier(intake.by, jws.header.kid, jws.header.alg, now_ms)
        check(jws.signature, jws.signing_input)
        if _has_strange_names(msgspec.json.decode(jws.payload), intake):
            raise IntakeError("an unknown name in it")
    except LotError as error:
        raise IntakeError(f"unknown {error}") from error
    except (JoseError, CryptoError, *MALFORMED) as error:
        raise IntakeError(str(error)) from error
    return intake


def _has_strange_names(raw: Any, read: object) -> bool:
    """Whether the JSON says more than was read of it: a misspelt `accept` is no yes, a misspelt limit not none."""
    if isinstance(read, Struct):
        names = dict(zip(read.__struct_encode_fields__, read.__struct_fields__, strict=True))
        return any(
            name not in names or _has_strange_names(one, getattr(read, names[name])) for name, one in raw.items()
        )
    if isinstance(read, tuple):
        return any(map(_has_strange_names, raw, read))
    return isinstance(read, dict) and any(_has_strange_names(raw[name], one) for name, one in read.items())


def sign_refusal(signer: Signer, refused: Refused) -> bytes:
    """The registrar's answer; a reason that is too long is cut."""
    short = msgspec.structs.replace(refused, reason=refused.reason[:_MAX_REASON_CHARS])
    return sign_compact(signer, _encode(short), REFUSAL_TYPE)


def read_refusal(text: bytes, registrar: Jwk) -> Refused:
    """What the registrar has refused; raises IntakeError for what it has not signed."""
    try:
        jws = parse_jws(text, _MAX_REFUSAL_BYTES)
        if jws.header.typ != REFUSAL_TYPE:
            raise IntakeError("not a refusal")
        _pinned(registrar, jws.header.kid, jws.header.alg)(jws.signature, jws.signing_input)
        return _refused(jws.payload)
    except (JoseError, CryptoError, *MALFORMED) as error:
        raise IntakeError(str(error)) from error


def _pinned(registrar: Jwk, kid: str, alg: str) -> Callable[[bytes, bytes], None]:
    if kid != registrar.kid or alg != registrar.alg:
        raise IntakeError("not the registrar's key")
    return BY_SIGN_ALG[alg].verifier(registrar)
