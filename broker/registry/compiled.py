"""Catalogue and scenarios as the judge asks them: sets and maps, made once a version of a record."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from schemas.answers import GRANTABLE
from schemas.catalogue import CatalogueEntry, Mask
from schemas.scenes import PURPOSES, Scene, SceneType

if TYPE_CHECKING:
    from collections.abc import Mapping


class CompiledEntry(NamedTuple):
    """A type of the catalogue: its provinces, every field a scenario may name, and how each column is shortened."""

    entry: CatalogueEntry
    names: frozenset[str]
    provinces: frozenset[str]
    interfaces: frozenset[str]
    possible: frozenset[str]
    masks: Mapping[str, Mask]


class CompiledType(NamedTuple):
    """What one scenario grants of one type."""

    sources: frozenset[str]
    interfaces: frozenset[str]
    granted: frozenset[str]  # in full or shortened
    masked: frozenset[str]
    withheld: tuple[str, ...]
    formats: frozenset[str]
    original: bool
    by_holder_only: bool
    masks: Mapping[str, Mask]  # by column of the face; what stands here is all that a face may show


class CompiledScene(NamedTuple):
    """A scenario as the judge asks it; without service codes it has no `code_sources`."""

    scene: Scene
    version: int
    items: frozenset[str]
    applications: frozenset[str]
    purposes: frozenset[str]
    types: Mapping[str, CompiledType]
    code_sources: frozenset[str]
    code_fields: frozenset[str]  # of a code's holder, in full

    @property
    def name(self) -> str:
        return f"{self.scene.scene_code}@{self.version}"


def compile_entry(entry: CatalogueEntry) -> CompiledEntry:
    return CompiledEntry(
        entry=entry,
        names=entry.names,
        provinces=frozenset(entry.provinces),
        interfaces=frozenset(entry.interfaces),
        possible=GRANTABLE | {field.column for field in entry.fields},
        masks={field.column: field.mask for field in entry.fields},
    )


def compile_type(granted: SceneType, catalogue: Mapping[str, CompiledEntry]) -> CompiledType:
    entry = catalogue.get(granted.type_code)
    possible = entry.possible if entry else GRANTABLE
    fields = possible & {*granted.fields, *granted.masked_fields}
    return CompiledType(
        sources=frozenset(granted.source_provinces),
        interfaces=frozenset(granted.interfaces) & (entry.interfaces if entry else frozenset()),
        granted=fields,
        masked=frozenset(granted.masked_fields),
        withheld=tuple(sorted(possible - fields)),
        formats=frozenset(granted.file_formats),
        original=granted.allow_original,
        by_holder_only=granted.by_holder_only,
        masks=entry.masks if entry else {},
    )


def compile_scene(scene: Scene, version: int, catalogue: Mapping[str, CompiledEntry]) -> CompiledScene:
    """A scenario's sets, made once."""
    service_code = scene.service_code
    return CompiledScene(
        scene=scene,
        version=version,
        items=frozenset(item.item_code for item in scene.items),
        applications=frozenset(scene.applications),
        purposes=frozenset(
            (*scene.purposes, *(PURPOSES[code] for code in scene.purposes if code in PURPOSES), scene.purpose_text)
        ),
        types={granted.type_code: compile_type(granted, catalogue) for granted in scene.types},
        code_sources=frozenset(service_code.source_provinces if service_code else ()),
        code_fields=frozenset(service_code.fields if service_code else ()),
    )
