"""The table of cryptographic suites a lot can be signed and sealed with.

`ED` is complete: Ed25519 (RFC 8032), SHA-256, X25519 with ECDH-ES+A256KW (RFC 7518 §4.6, RFC 8037), AES-256-GCM.
`GM` (SM2 with SM3, SM4-GCM) has its place in the table and is refused by name until it stands.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from msgspec.structs import replace

from schemas.jose import Jwk, b64, thumbprint, unb64

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT_KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16


class CryptoError(ValueError):
    """A signature, a wrapped key or a sealed body is not what it claims to be."""


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


class Aead(Protocol):
    """Authenticated encryption under one content key; `decrypt` raises InvalidTag."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


class Wrapped(NamedTuple):
    """A content key on its way to one recipient: the sender's one-time public key and the wrapped key."""

    ephemeral: Jwk
    encrypted_key: bytes


class Suite(NamedTuple):
    """One row: names as they stand in JOSE headers, and the five things a lot needs."""

    name: str
    sign_alg: str
    seal_alg: str
    seal_enc: str
    digest: Callable[[bytes], bytes]
    signer: Callable[[Jwk], Callable[[bytes], bytes]]
    verifier: Callable[[Jwk], Callable[[bytes, bytes], None]]
    wrap: Callable[[Jwk, bytes], Wrapped]
    unwrapper: Callable[[Jwk], Callable[[Wrapped], bytes]]
    cipher: Callable[[bytes], Aead]


def _ed_signer(key: Jwk) -> Callable[[bytes], bytes]:
    return Ed25519PrivateKey.from_private_bytes(unb64(key.d or "")).sign


def _ed_verifier(key: Jwk) -> Callable[[bytes, bytes], None]:
    public = Ed25519PublicKey.from_public_bytes(unb64(key.x))

    def verify(signature: bytes, message: bytes) -> None:
        try:
            public.verify(signature, message)
        except InvalidSignature as error:
            raise CryptoError("signature is wrong") from error

    return verify


def _concat_kdf(shared: bytes) -> bytes:
    """Key-wrapping key of ECDH-ES+A256KW without party information (RFC 7518 §4.6.2)."""
    alg = b"ECDH-ES+A256KW"
    other = len(alg).to_bytes(4, "big") + alg + bytes(8) + (256).to_bytes(4, "big")
    return sha256((1).to_bytes(4, "big") + shared + other)


def _ed_wrap(recipient: Jwk, content_key: bytes) -> Wrapped:
    ephemeral = X25519PrivateKey.generate()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(unb64(recipient.x)))
    public = Jwk(crv="X25519", x=b64(ephemeral.public_key().public_bytes_raw()))
    return Wrapped(public, aes_key_wrap(_concat_kdf(shared), content_key))


def _ed_unwrapper(key: Jwk) -> Callable[[Wrapped], bytes]:
    private = X25519PrivateKey.from_private_bytes(unb64(key.d or ""))

    def unwrap(wrapped: Wrapped) -> bytes:
        try:
            shared = private.exchange(X25519PublicKey.from_public_bytes(unb64(wrapped.ephemeral.x)))
            content_key = aes_key_unwrap(_concat_kdf(shared), wrapped.encrypted_key)
        except (ValueError, InvalidUnwrap) as error:
            raise CryptoError("content key cannot be unwrapped") from error
        if len(content_key) != CONTENT_KEY_BYTES:
            raise CryptoError("content key has the wrong length")
        return content_key

    return unwrap


ED = Suite(
    "ED", "EdDSA", "ECDH-ES+A256KW", "A256GCM", sha256, _ed_signer, _ed_verifier, _ed_wrap, _ed_unwrapper, AESGCM
)

SUITES: tuple[Suite, ...] = (ED,)
BY_SIGN_ALG = {suite.sign_alg: suite for suite in SUITES}
BY_SEAL_ALG = {suite.seal_alg: suite for suite in SUITES}


def new_keys() -> tuple[Jwk, Jwk]:
    """A fresh signing and a fresh sealing key (private) of suite ED."""
    sign, seal = os.urandom(32), os.urandom(32)
    signing = Jwk(
        crv="Ed25519",
        x=b64(Ed25519PrivateKey.from_private_bytes(sign).public_key().public_bytes_raw()),
        d=b64(sign),
        use="sig",
        alg="EdDSA",
    )
    sealing = Jwk(
        crv="X25519",
        x=b64(X25519PrivateKey.from_private_bytes(seal).public_key().public_bytes_raw()),
        d=b64(seal),
        use="enc",
        alg="ECDH-ES+A256KW",
    )
    return _named(signing), _named(sealing)


def _named(key: Jwk) -> Jwk:
    return replace(key, kid=thumbprint(key))
