"""The evidence record, which tells nothing, and its detail, which is sealed to its own party (DESIGN §9)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from schemas.items import encode
from schemas.suites import sha256

SIGNATURE_HEADER = "signature"  # the reply's JWS stands beside the body, which stays byte-exact


class EvidenceItem(Struct, gc=False, frozen=True, kw_only=True, rename="camel"):
    """The request and the salted hash (hex, Merkle leaf) of its detail."""

    request_id: str
    detail: str


class EvidenceBody(Struct, gc=False, frozen=True, kw_only=True, rename="camel"):
    """One reply lot: `writer` and `number` place it in its chain, `root` (hex) commits to the reply's items."""

    writer: str
    number: int
    previous: str
    request_lot: str
    reply_lot: str
    root: str
    time: int
    attempt: int
    items: tuple[EvidenceItem, ...]


class Detail(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What was judged and released: the request item exactly as it came (who, whose, for what), and the outcome.

    The holder is a keyed hash, the digests are hex, times unix ms. `registry` is the version that was judged by and
    `judged` the judge's clock; `taken` says when effects were taken (0: none were) and `uses` what they used up.
    """

    request: msgspec.Raw
    node: str
    scenario: str
    holder: str
    fields: msgspec.Raw
    status: int
    condition: str
    request_digest: str
    reply_leaf: str
    attempt: int
    hops: Mapping[str, int]
    registry: int = 0
    judged: int = 0
    taken: int = 0
    uses: tuple[str, ...] = ()


def body_digest(body: bytes) -> bytes:
    """What the reply's signature carries and the next record of the chain names as `previous`."""
    return sha256(body)


def evidence_id(party: str, reply_lot: str, place: int) -> str:
    """The name of one judgement: party, reply lot, place in it."""
    return f"{party}:{reply_lot}:{place}"


def encode_body(body: EvidenceBody) -> bytes:
    return encode(body)
