"""Access tokens: issued for an assertion signed by the application (RFC 7523), self-contained, verified in process."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Struct

from schemas import statuses
from schemas.jose import MALFORMED, JoseError, parse_jws
from schemas.statuses import RefusedError
from schemas.suites import BY_SIGN_ALG, CryptoError
from schemas.wire import sign_compact

if TYPE_CHECKING:
    from broker.bus.keys import KeySigner
    from broker.registry.snapshot import Snapshot
    from schemas.jose import Jwk

TOKEN_SECONDS = 7_200
MAX_ASSERTION_SECONDS = 300
_SKEW_SECONDS = 5
_REMEMBERED = 4_096
_Id = Annotated[str, Meta(min_length=1, max_length=128)]


class Claims(Struct, frozen=True, kw_only=True):
    """A JWT as we issue and accept it; times in seconds."""

    iss: _Id
    sub: _Id
    aud: _Id
    exp: int
    iat: int = 0
    jti: _Id


_decode = msgspec.json.Decoder(Claims).decode
_encode = msgspec.json.Encoder().encode


def sign_claims(signer: KeySigner, claims: Claims) -> str:
    return sign_compact(signer, _encode(claims), "JWT").decode()


def issue(signer: KeySigner, *, node: str, application: str, now: int, seconds: int = TOKEN_SECONDS) -> str:
    """An access token of this node for this application."""
    claims = Claims(iss=node, sub=application, aud=node, iat=now, exp=now + seconds, jti=uuid.uuid4().hex)
    return sign_claims(signer, claims)


def read_claims(token: str, key: Jwk) -> Claims:
    """The claims of a JWT signed by this key; raises RefusedError(11)."""
    try:
        jws = parse_jws(token.encode())
        if jws.header.alg != key.alg or jws.header.kid not in (key.kid, ""):
            raise RefusedError(statuses.UNAUTHENTICATED, "令牌不是由本节点或该应用的密钥签发")
        BY_SIGN_ALG[jws.header.alg].verifier(key)(jws.signature, jws.signing_input)
        return _decode(jws.payload)
    except (JoseError, CryptoError, *MALFORMED) as error:
        raise RefusedError(statuses.UNAUTHENTICATED, "令牌无法读取或签名不正确") from error


class TokenDesk:
    """Reads tokens; remembers those whose signature it has verified."""

    def __init__(self, *, node: str, key: Jwk) -> None:
        self._node, self._key = node, key
        self._verified: OrderedDict[str, Claims] = OrderedDict()

    def application_of(self, authorization: str, snapshot: Snapshot, now: int) -> str:
        """The application a bearer token belongs to; raises RefusedError(11 | 2004)."""
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise RefusedError(statuses.UNAUTHENTICATED, "请在 Authorization 中提供 Bearer 令牌")
        claims = self._claims(token.strip())
        if claims.iss != self._node or claims.aud != self._node:
            raise RefusedError(statuses.UNAUTHENTICATED, "令牌不是由本节点签发")
        if claims.exp <= now:
            raise RefusedError(statuses.TOKEN_EXPIRED)
        application = snapshot.applications.get(claims.sub)
        if application is None or application.suspended or application.node != self._node:
            raise RefusedError(statuses.UNAUTHENTICATED, "应用未登记或已停用")
        return claims.sub

    def _claims(self, token: str) -> Claims:
        claims = self._verified.get(token)
        if claims is None:
            claims = self._verified[token] = read_claims(token, self._key)
            if len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)
        return claims


def check_assertion(
    assertion: str, *, client_id: str, node: str, audiences: frozenset[str], snapshot: Snapshot, now: int
) -> Claims:
    """The claims of a client's assertion (RFC 7523 §3): its own, for us, short-lived; raises RefusedError(11)."""
    claimed = client_id or _unverified_subject(assertion)
    application = snapshot.applications.get(claimed)
    if application is None or application.key is None or application.suspended or application.node != node:
        raise RefusedError(statuses.UNAUTHENTICATED, "应用未登记、已停用或没有登记密钥")
    claims = read_claims(assertion, application.key)
    right = claims.iss == claims.sub == claimed and claims.aud in audiences
    if not right or not now - _SKEW_SECONDS < claims.exp <= now + MAX_ASSERTION_SECONDS + _SKEW_SECONDS:
        raise RefusedError(statuses.UNAUTHENTICATED, f"断言的 iss、sub 应为应用标识，aud 应为 {node}，exp 在五分钟以内")
    return claims


def _unverified_subject(assertion: str) -> str:
    """Whose key to verify with; believed only after that key has verified it."""
    try:
        return _decode(parse_jws(assertion.encode()).payload).sub
    except (JoseError, *MALFORMED) as error:
        raise RefusedError(statuses.UNAUTHENTICATED, "断言无法读取") from error
