"""What the gateway tells an application it may ask: data of GET /v1/scenes and GET /v1/types (design choice)."""

from __future__ import annotations

from msgspec import Struct

from schemas.scenes import SceneItem


class OfferedGrant(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a scenario grants of one type; `numberRequired`: asked for by holder, it needs the certificate's number."""

    certificate_type_code: str
    region_codes: tuple[str, ...]
    interfaces: tuple[str, ...]
    fields: tuple[str, ...]
    masked_fields: tuple[str, ...]
    file_formats: tuple[str, ...]
    original: bool
    number_required: bool


class OfferedCode(Struct, frozen=True, kw_only=True, rename="camel"):
    """Whose service codes a scenario may verify, and what of the holder it gets unmasked."""

    region_codes: tuple[str, ...]
    fields: tuple[str, ...]


class OfferedScene(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One scenario that the application may name now; times are RFC 3339 in UTC, to exclusive."""

    scene_code: str
    scene_name: str
    version: int
    items: tuple[SceneItem, ...]
    org_code: str
    org_name: str
    use_for: tuple[str, ...]
    purpose_text: str
    valid_from: str
    valid_to: str
    types: tuple[OfferedGrant, ...]
    service_code: OfferedCode | None = None


class OfferedField(Struct, frozen=True, kw_only=True, rename="camel"):
    column_name: str
    name: str


class OfferedType(Struct, frozen=True, kw_only=True, rename="camel"):
    """A certificate type that some scenario of the application grants, with all that is granted of it anywhere."""

    certificate_type_code: str
    certificate_type: str
    aliases: tuple[str, ...]
    holder_category: str
    region_codes: tuple[str, ...]
    interfaces: tuple[str, ...]
    fields: tuple[OfferedField, ...]


class ScenesAnswer(Struct, frozen=True, kw_only=True, rename="camel"):
    total: int
    data_list: tuple[OfferedScene, ...]


class TypesAnswer(Struct, frozen=True, kw_only=True, rename="camel"):
    total: int
    data_list: tuple[OfferedType, ...]
