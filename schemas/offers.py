"""What the gateway tells an application it may ask: data of GET /v1/scenes and GET /v1/types (design choice)."""

from __future__ import annotations

from msgspec import Struct

from schemas.scenes import Limits, Retention, SceneItem


class OfferedGrant(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a scenario grants of one type; `numberRequired`: asked for by holder, it needs the certificate's number.

    Told is what the catalogue shares as well: what the judge would grant.
    """

    certificate_type_code: str
    certificate_type: str
    region_codes: tuple[str, ...]
    interfaces: tuple[str, ...]
    fields: tuple[str, ...]
    masked_fields: tuple[str, ...]
    file_formats: tuple[str, ...]
    original: bool
    copy_max_days: int
    number_required: bool


class OfferedCode(Struct, frozen=True, kw_only=True, rename="camel"):
    """Whose service codes a scenario may verify, and what of the holder it gets unmasked."""

    region_codes: tuple[str, ...]
    fields: tuple[str, ...]


class OfferedBasis(Struct, frozen=True, kw_only=True, rename="camel"):
    """What the scenario rests on: STATUTORY or CONSENT, and the text."""

    kind: str
    text: str


class OfferedConsent(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """How the holder says yes: the modes that are taken, and what the application sends; NONE: nothing."""

    modes: tuple[str, ...]
    send: str
    level: int = 0
    ttl_seconds: int = 0
    one_time: bool = False


class OfferedScene(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One scenario that the application may name, its window open; times are RFC 3339 in UTC, to exclusive.

    SUSPENDED: every request that names it is refused (3001) until it is published again.
    """

    scene_code: str
    scene_name: str
    version: int
    status: str
    items: tuple[SceneItem, ...]
    org_code: str
    org_name: str
    use_for: tuple[str, ...]
    purpose_text: str
    valid_from: str
    valid_to: str
    legal_basis: OfferedBasis
    consent: OfferedConsent
    limits: Limits
    retention: Retention
    holder_kinds: tuple[str, ...]
    types: tuple[OfferedGrant, ...]
    service_code: OfferedCode | None = None


class OfferedField(Struct, frozen=True, kw_only=True, rename="camel"):
    """A column of the face; `masked`: no scenario grants it in full."""

    column_name: str
    name: str
    masked: bool


class OfferedType(Struct, frozen=True, kw_only=True, rename="camel"):
    """A certificate type that some scenario of the application grants now, with all that is granted of it anywhere."""

    certificate_type_code: str
    certificate_type: str
    aliases: tuple[str, ...]
    holder_category: str
    validity_range: str
    scene_codes: tuple[str, ...]
    region_codes: tuple[str, ...]
    interfaces: tuple[str, ...]
    file_formats: tuple[str, ...]
    fields: tuple[OfferedField, ...]


class ScenesAnswer(Struct, frozen=True, kw_only=True, rename="camel"):
    total: int
    data_list: tuple[OfferedScene, ...]


class TypesAnswer(Struct, frozen=True, kw_only=True, rename="camel"):
    total: int
    data_list: tuple[OfferedType, ...]
