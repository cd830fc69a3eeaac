"""The registry's records and its signed manifest (DESIGN §7, DOMAIN §8.2; the record's layout is a design choice)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Struct

from schemas import merkle
from schemas.jose import Jwk, b64
from schemas.suites import sha256

if TYPE_CHECKING:
    from collections.abc import Mapping

_Name = Annotated[str, Meta(min_length=1, max_length=128)]
MANIFEST_KEY = b"manifest"
MAX_MANIFEST_CHARS = 1 << 20


class Kind(StrEnum):
    PARTY = "party"
    APPLICATION = "application"
    CATALOGUE = "catalogue"
    SCENE = "scene"


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


class Mask(StrEnum):
    """How a value that stays is shortened (DOMAIN §9.4, design choice)."""

    NONE = "none"
    NAME = "name"
    CITIZEN_ID = "citizen_id"
    MOBILE = "mobile"
    ADDRESS = "address"
    NUMBER = "number"


class CatalogueField(Struct, frozen=True, kw_only=True, rename="camel"):
    column: _Name
    label: _Name
    mask: Mask = Mask.NONE


class CatalogueEntry(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One certificate type and which provinces share it (GB/T 36902; codeVerified false: a made-up serial).

    `aliases` are other names that provinces have for it.
    """

    type_code: _Name
    type_name: _Name
    code_verified: bool
    defining_body: _Name
    defining_body_code: _Name
    holder_category: Annotated[str, Meta(pattern="^(person|organisation)$")]
    provinces: tuple[_Name, ...]
    interfaces: tuple[_Name, ...]
    fields: tuple[CatalogueField, ...]
    aliases: tuple[_Name, ...] = ()

    @property
    def id(self) -> str:
        return self.type_code


class SceneItem(Struct, frozen=True, kw_only=True, rename="camel"):
    item_code: _Name
    item_name: _Name


class SceneType(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What a scenario grants of one type: nothing that is not named here.

    `by_holder_only`: asked for by its holder, it needs no certificate number.
    """

    type_code: _Name
    source_provinces: tuple[_Name, ...]
    interfaces: tuple[_Name, ...]
    fields: tuple[_Name, ...]
    masked_fields: tuple[_Name, ...] = ()
    file_formats: tuple[_Name, ...] = ()
    allow_original: bool = False
    by_holder_only: bool = False


class SceneCode(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Whose service codes (政务服务码) a scenario may verify, and what of the holder it gets unmasked."""

    source_provinces: tuple[_Name, ...]
    fields: tuple[_Name, ...] = ()


class SceneStatus(StrEnum):
    PUBLISHED = "PUBLISHED"
    SUSPENDED = "SUSPENDED"


class Scene(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One published entry of the 用证清单 (DOMAIN §8.2); the window in unix ms, from inclusive, to exclusive."""

    scene_code: _Name
    scene_name: _Name
    items: Annotated[tuple[SceneItem, ...], Meta(min_length=1)]
    use_org_code: _Name
    use_org_name: _Name
    applications: tuple[_Name, ...]
    purposes: tuple[_Name, ...]  # codes of the fixed list
    purpose_text: _Name
    legal_basis: _Name
    types: tuple[SceneType, ...]
    per_day: Annotated[int, Meta(ge=0)]
    valid_from: int
    valid_to: int
    status: SceneStatus = SceneStatus.PUBLISHED
    service_code: SceneCode | None = None

    @property
    def id(self) -> str:
        return self.scene_code


BODIES: dict[Kind, type[Party | Application | CatalogueEntry | Scene]] = {
    Kind.PARTY: Party,
    Kind.APPLICATION: Application,
    Kind.CATALOGUE: CatalogueEntry,
    Kind.SCENE: Scene,
}

# The fixed list of purposes (design choice: no list of the standard was obtainable).
PURPOSES = {
    "GOV_SERVICE": "政务服务事项办理",
    "BUSINESS_REGISTRATION": "市场主体登记办理",
    "REAL_ESTATE": "不动产登记办理",
    "QUALIFICATION": "资质资格审查",
    "SUPERVISION": "行政监管与执法检查",
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
    that a stranger's record on the topic is never taken for one of them.
    """

    version: Annotated[int, Meta(ge=1)]
    previous: int
    count: int
    root: str
    changed: dict[str, str]
    issued_at: int
    expires_at: int
    intake: str = ""


decode_record = msgspec.json.Decoder(Record).decode
decode_manifest = msgspec.json.Decoder(Manifest).decode


def digest_of(value: bytes) -> str:
    """Base64url digest of a record's exact bytes, as `changed` holds it."""
    return b64(sha256(value))


def root_of(records: Mapping[str, bytes]) -> str:
    """Base64url Merkle root over the records' exact bytes in the order of their keys."""
    return b64(merkle.root([merkle.leaf(records[key], sha256) for key in sorted(records)], sha256))
