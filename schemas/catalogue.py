"""The catalogue (共享目录): which certificate types there are and what may be told of them by whom (DOMAIN §6.1)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct, field

_Name = Annotated[str, Meta(min_length=1, max_length=128)]


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


class Level(StrEnum):
    """Of an authority (GB/T 36902 as a licence console shows it, DOMAIN §6.1)."""

    NATION = "国家级"
    PROVINCE = "省级"
    CITY = "地市级"
    COUNTY = "区县级"
    TOWN = "乡镇级"
    OTHER = "其他"


class RelatedItem(Struct, frozen=True, kw_only=True, rename="camel"):
    """An item (事项) that the certificate comes from."""

    item_code: _Name
    item_name: _Name


class CatalogueEntry(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One certificate type and which provinces share it (GB/T 36902; codeVerified false: a made-up serial).

    `aliases` are what single provinces call it, by province; `validity_range` is the standard's text, such as 2年.
    """

    type_code: _Name
    type_name: _Name
    code_verified: bool
    defining_body: _Name
    defining_body_code: _Name
    defining_level: Level
    issuing_level: Level
    validity_range: _Name
    holder_category: Annotated[str, Meta(pattern="^(person|organisation)$")]
    provinces: tuple[_Name, ...]
    interfaces: tuple[_Name, ...]
    fields: tuple[CatalogueField, ...]
    file_formats: tuple[_Name, ...] = ()
    related_items: tuple[RelatedItem, ...] = ()
    aliases: dict[str, tuple[_Name, ...]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.type_code

    @property
    def names(self) -> frozenset[str]:
        """Every name somebody has for it."""
        return frozenset((self.type_name, *(name for names in self.aliases.values() for name in names)))
