"""The lot: one Kafka record with 1 to 256 items, signed once and sealed once (DESIGN §4). Pure: no clock, no I/O.

A record is headers (CloudEvents 1.0 Kafka binding, binary mode, then `signature` and `seal`) and a value. The value is
the ciphertext of the frames; with the `seal` header it is a JWE (RFC 7516), and `signature` is a compact JWS (RFC 7515)
whose payload repeats the headers. docs/lot.md tells it for other languages; tests/vectors/ holds exact bytes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from schemas import merkle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.suites import Suite

SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/vnd.certlane.lot"
REQUEST_TYPE = "certlane.request.v1"
REPLY_TYPE = "certlane.reply.v1"
DETAIL_TYPE = "certlane.detail.v1"
PROBE_TYPE = "certlane.probe.v1"

MAX_ITEMS = 256
MAX_LOT_BYTES = 512 * 1024
SALT_BYTES = 16
_LENGTH_BYTES = 4
FRAME_OVERHEAD_BYTES = SALT_BYTES + _LENGTH_BYTES
MAX_DEADLINE_AHEAD_MS = 600_000
CLOCK_TOLERANCE_MS = 2_000

REASONS = (
    "header",  # a header is absent, doubled, too long or not what the table says
    "version",  # an event type or version that this program does not know
    "expired",  # every item's deadline has passed
    "deadline",  # a deadline further ahead than ten minutes
    "sender",  # no such party in the registry
    "key",  # the party has no such valid key
    "signature",  # the signature is wrong, or the headers are not those that were signed
    "recipient",  # signed or sealed for somebody else
    "body",  # the value is not the one that was signed
    "seal",  # the seal cannot be opened
    "frame",  # the plaintext is not a row of frames
    "items",  # none, more than 256, or not as many as the header says
    "root",  # the items are not those that were signed
    "form",  # an item is not what its type says
    "replyto",  # the reply address is not one of its sender's
    "replayed",  # the same lot stood at another place of the topic
    "size",  # larger than a lot may be
    "defect",  # our own program failed on it
)


class LotError(Exception):
    """The lot is refused; `reason` is one of REASONS, `trusted` whether its sender and reply address were verified."""

    def __init__(self, reason: str, *, trusted: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.trusted = trusted


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What travels in the open: the CloudEvents headers, all text, as they stand on the wire."""

    ce_id: str
    ce_type: str
    ce_source: str
    ce_time: str
    ce_deadline: str
    ce_items: str
    ce_replyto: str = ""
    ce_specversion: str = SPEC_VERSION
    content_type: str = msgspec.field(name="content-type", default=CONTENT_TYPE)

    @property
    def deadline_ms(self) -> int:
        return int(self.ce_deadline)

    @property
    def count(self) -> int:
        return int(self.ce_items)


class Claims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The signed payload: recipient, Merkle root of the items, digest of the value; of a reply also its evidence."""

    headers: dict[str, str]
    aud: str
    root: str
    body: str
    evidence: str | None = None


class SealHeader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The JWE protected header; its exact bytes are the additional data of the seal."""

    alg: str
    enc: str
    kid: str
    epk: dict[str, str]
    lot: str
    sender: str = msgspec.field(name="from")
    recipient: str = msgspec.field(name="to")
    crit: None = None  # RFC 7516 §4.1.13: we understand no extension, so any is a wrong type
    apu: None = None  # the profile derives keys without party information and does not compress
    apv: None = None
    zip: None = None


class WireRecord(NamedTuple):
    """A record as Kafka carries it."""

    headers: list[tuple[str, bytes]]
    value: bytes


class Frames(NamedTuple):
    """Items with their salts, ready to seal; `leaves` and `root` commit to them."""

    plaintext: bytes
    leaves: list[bytes]
    root: bytes


class Item(NamedTuple):
    salt: bytes
    body: bytes


def frame(items: Sequence[bytes], suite: Suite, salts: bytes | None = None) -> Frames:
    """Frames of 4-byte big-endian length, 16-byte salt and item bytes; `salts` are 16 random bytes an item."""
    salts = os.urandom(SALT_BYTES * len(items)) if salts is None else salts
    parts: list[bytes] = []
    leaves: list[bytes] = []
    digest = suite.digest
    for place, body in enumerate(items):
        salted = salts[place * SALT_BYTES : (place + 1) * SALT_BYTES] + body
        parts.append(len(body).to_bytes(_LENGTH_BYTES, "big"))
        parts.append(salted)
        leaves.append(digest(b"\0" + salted))
    return Frames(b"".join(parts), leaves, merkle.root(leaves, digest))


def unframe(plaintext: bytes, suite: Suite) -> tuple[list[Item], list[bytes]]:
    """Items and leaf hashes of a plaintext; raises LotError("frame"|"items")."""
    items: list[Item] = []
    leaves: list[bytes] = []
    digest = suite.digest
    place, end = 0, len(plaintext)
    while place < end:
        start = place + FRAME_OVERHEAD_BYTES
        stop = start + int.from_bytes(plaintext[place : place + _LENGTH_BYTES], "big")
        if start > end or stop > end:
            raise LotError("frame", trusted=True)
        if len(items) == MAX_ITEMS:
            raise LotError("items", trusted=True)
        items.append(Item(plaintext[start - SALT_BYTES : start], plaintext[start:stop]))
        leaves.append(digest(b"\0" + plaintext[start - SALT_BYTES : stop]))
        place = stop
    return items, leaves
