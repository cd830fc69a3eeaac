"""The registry's records and its signed manifest (DESIGN §7, DOMAIN §8.2; the record's layout is a design choice)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from schemas.catalogue import CatalogueEntry
from schemas.filing import Filing
from schemas.jose import Jwk, b64
from schemas.kinds import Kind
from schemas.scenes import Scene
from schemas.suites import sha256

_Name = Annotated[str, Meta(min_length=1, max_length=128)]
MANIFEST_KEY = b"manifest"
REFUSAL_KEY = b"refusal"  # what the registrar tells of an intake it did not take; no part of the registry
MAX_MANIFEST_CHARS = 1 << 20
MAX_CHANGED = 4_096  # records of one version


class Distrust(StrEnum):
    """Why something of the registry was not believed."""

    MISSING = "missing"  # a record that a manifest names, or all that Redis held
    CHANGED = "changed"  # other bytes than those that were signed
    FORM = "form"
    SIGNATURE = "signature"
    SIGNER = "signer"  # signed, by somebody else
    ROLLED_BACK = "rolled_back"
    GAP = "gap"  # a version that does not follow ours
    EXPIRED = "expired"
    STALE = "stale"  # nobody has stood at the topic's end for too long
    STRAY = "stray"  # a record that no manifest names
    INTAKE = "intake"  # a wish that the registrar did not take


class PartyKey(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A public key and the time (unix ms) in which it may be used."""

    jwk: Jwk
    not_before: int
    not_after: int
    revoked: bool = False


class Party(Struct, frozen=True, kw_only=True, rename="camel"):
    """A node or a province."""

    id: _Name
    kind: Annotated[str, Meta(pattern="^(node|province)$")]
    name: _Name
    keys: tuple[PartyKey, ...]


class Dialect(StrEnum):
    """How an application wants its answers written."""

    CERTLANE = "certlane"
    NATIONAL = "national"  # names of a certificate in PascalCase, head.status 0 to 99 only


class Application(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """An upstream application: its node, the organisations it acts for, where it may call from, how fast."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]  # as long as an item may carry
    node: _Name
    name: _Name
    org_codes: tuple[_Name, ...]
    addresses: tuple[_Name, ...]  # networks in CIDR form; none: may not call
    per_second: Annotated[int, Meta(ge=1)]
    key: Jwk | None = None
    suspended: bool = False
    dialect: Dialect = Dialect.CERTLANE


class Withdrawal(Struct, frozen=True, kw_only=True, rename="camel"):
    """A consent (`<issuing province>.<consent id>`) that its holder took back; kept until its own end (unix ms)."""

    id: _Name
    until: int


Body = Party | Application | CatalogueEntry | Scene | Filing | Withdrawal

BODIES: dict[Kind, type[Body]] = {
    Kind.PARTY: Party,
    Kind.APPLICATION: Application,
    Kind.CATALOGUE: CatalogueEntry,
    Kind.SCENE: Scene,
    Kind.FILING: Filing,
    Kind.WITHDRAWAL: Withdrawal,
}


class Record(Struct, frozen=True, kw_only=True):
    """One version of one record as it stands on the topic; a null body takes the record away."""

    kind: Kind
    id: _Name
    version: Annotated[int, Meta(ge=1)]
    body: msgspec.Raw

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.id}"


class Manifest(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What the registrar signs: the version and the root over all current records; times in unix ms.

    `changed` maps the key of each record that this version brings to the digest of its bytes ("" takes it away), so
    that a stranger's record on the topic is never taken for one of them; a larger publication is several versions.
    """

    version: Annotated[int, Meta(ge=1)]
    previous: int
    count: int
    root: str
    changed: Annotated[dict[str, str], Meta(max_length=MAX_CHANGED)]
    issued_at: int
    expires_at: int
    intakes: tuple[str, ...] = ()  # the wishes that this version took up


decode_record = msgspec.json.Decoder(Record).decode
decode_manifest = msgspec.json.Decoder(Manifest).decode


def digest_of(value: bytes) -> str:
    """Base64url digest of a record's exact bytes, as `changed` holds it."""
    return b64(sha256(value))
