"""How a vector comes about, step by step as docs/lot.md tells it; schemas.wire must arrive at the same bytes.

Nothing of `schemas` is used here: the files would otherwise only say that the program agrees with itself.
"""

import json
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from msgspec import Struct

FOLDER: Final = Path(__file__).parent
NAMES: Final = ("lot-ed-1", "lot-ed-64", "lot-ed-reply")


class Party(Struct, frozen=True, kw_only=True, rename="camel"):
    """A party with its private test keys (JWK)."""

    id: str
    signing_key: dict[str, str]
    sealing_key: dict[str, str]


class Inputs(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """All that a lot is made of; hex where it is not text, `now` in unix milliseconds."""

    now: int
    sender: Party
    recipient: Party
    headers: dict[str, str]
    items: list[str]
    salts: list[str]
    content_key: str
    ephemeral_key: dict[str, str]
    nonce: str
    evidence: str | None = None


class Proof(Struct, frozen=True, kw_only=True, rename="camel"):
    """The path of one item: from its leaf to the root, the sister hash (hex) of each level and the side it is on."""

    place: int
    path: list[tuple[str, str]]


class Expected(Struct, frozen=True, kw_only=True, rename="camel"):
    """What must come out; `plaintext` and `value` in base64, hashes and keys in hex, the rest as it travels."""

    plaintext: str
    leaves: list[str]
    root: str
    shared_secret: str
    other_info: str
    wrapping_key: str
    wrapped_key: str
    protected: str
    aad: str
    body: str
    jws_header: str
    claims: str
    headers: list[tuple[str, str]]
    value: str
    proof: Proof


class Vector(Struct, frozen=True, kw_only=True, rename="camel"):
    about: str
    inputs: Inputs
    expected: Expected


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def dumps(members: dict[str, Any]) -> str:
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"))


def tree(leaves: list[bytes]) -> bytes:
    """Root, as RFC 9162 §2.1.1 writes it: split at the largest power of two below the number of leaves."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + tree(leaves[:split]) + tree(leaves[split:])).digest()


def path(place: int, leaves: list[bytes]) -> list[tuple[str, str]]:
    """Inclusion path, as RFC 9162 §2.1.3.1 writes it, with the side of each sister."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if place < split:
        return [*path(place, leaves[:split]), ("right", tree(leaves[split:]).hex())]
    return [*path(place - split, leaves[split:]), ("left", tree(leaves[:split]).hex())]


def make(inputs: Inputs) -> Expected:
    """What docs/lot.md says about these inputs."""
    sender, recipient, envelope = inputs.sender, inputs.recipient, inputs.headers

    bodies = [text.encode() for text in inputs.items]
    salted = [bytes.fromhex(salt) + body for salt, body in zip(inputs.salts, bodies, strict=True)]
    plaintext = b"".join(len(body).to_bytes(4, "big") + entry for body, entry in zip(bodies, salted, strict=True))
    leaves = [sha256(b"\0" + entry).digest() for entry in salted]
    root = b64(tree(leaves))

    ephemeral = inputs.ephemeral_key
    shared = X25519PrivateKey.from_private_bytes(unb64(ephemeral["d"])).exchange(
        X25519PublicKey.from_public_bytes(unb64(recipient.sealing_key["x"]))
    )
    other_info = b"\0\0\0\x0eECDH-ES+A256KW" + bytes(4) + bytes(4) + b"\0\0\1\0"
    wrapping_key = ConcatKDFHash(hashes.SHA256(), 32, other_info).derive(shared)
    wrapped_key = aes_key_wrap(wrapping_key, bytes.fromhex(inputs.content_key))
    protected = dumps(
        {
            "alg": "ECDH-ES+A256KW",
            "enc": "A256GCM",
            "kid": recipient.sealing_key["kid"],
            "epk": {"kty": "OKP", "crv": "X25519", "x": ephemeral["x"]},
            "lot": envelope["ce_id"],
            "from": sender.id,
            "to": recipient.id,
        }
    )
    aad = b64(protected.encode())
    nonce = bytes.fromhex(inputs.nonce)
    value = AESGCM(bytes.fromhex(inputs.content_key)).encrypt(nonce, plaintext, aad.encode())
    seal = f"{aad}.{b64(wrapped_key)}.{b64(nonce)}"

    body = b64(sha256(value).digest())
    members: dict[str, Any] = {"headers": envelope, "aud": recipient.id, "root": root, "body": body}
    if inputs.evidence:
        members["evidence"] = inputs.evidence
    jws_header, claims = dumps({"alg": "EdDSA", "kid": sender.signing_key["kid"]}), dumps(members)
    signing_input = f"{b64(jws_header.encode())}.{b64(claims.encode())}"
    key = Ed25519PrivateKey.from_private_bytes(unb64(sender.signing_key["d"]))
    signature = f"{signing_input}.{b64(key.sign(signing_input.encode()))}"

    place = len(leaves) // 3
    return Expected(
        plaintext=b64encode(plaintext).decode(),
        leaves=[leaf.hex() for leaf in leaves],
        root=root,
        shared_secret=shared.hex(),
        other_info=other_info.hex(),
        wrapping_key=wrapping_key.hex(),
        wrapped_key=wrapped_key.hex(),
        protected=protected,
        aad=aad,
        body=body,
        jws_header=jws_header,
        claims=claims,
        headers=[*envelope.items(), ("signature", signature), ("seal", seal)],
        value=b64encode(value).decode(),
        proof=Proof(place=place, path=path(place, leaves)),
    )
