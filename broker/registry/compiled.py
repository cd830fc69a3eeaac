"""Catalogue and scenarios as the judge asks them: sets and maps, made once a version of a record.

Thousands of scenarios grant alike: parts that are equal are kept once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from msgspec.structs import replace

from schemas.answers import GRANTABLE
from schemas.catalogue import CatalogueEntry, Mask
from schemas.holders import HOLDER_TYPES
from schemas.scenes import PURPOSES, ConsentMode, HolderKind, Scene, SceneStatus, SceneType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.registry import Application
    from schemas.scenes import ConsentRule, Limits, TimeOfDay

MINUTES_A_DAY = 1_440
T = TypeVar("T")
_KEPT = 1 << 16  # equal parts that are remembered


@dataclass(frozen=True, slots=True, eq=False)  # each is itself alone, so that what rests on it may be kept by it
class CompiledEntry:
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


class CompiledConsent(NamedTuple):
    """Which consents will do: of these ways, of at least this level, no older than this."""

    modes: tuple[ConsentMode, ...]
    level: int
    life_ms: int
    once: bool


class CompiledHours(NamedTuple):
    """When in a day: minutes in Asia/Shanghai; hours that end before they begin go on after midnight."""

    start: int
    length: int


@dataclass(frozen=True, slots=True, eq=False)
class CompiledScene:
    """A scenario as the judge asks it; without service codes it has no `code_sources`.

    What every judgement looks at stands first and together: of a million rules none is in the processor's cache.
    """

    published: bool
    valid_from: int
    valid_to: int
    hours: CompiledHours | None  # None: at all hours
    items: frozenset[str]
    organisation: str
    applications: frozenset[str]
    purposes: frozenset[str]  # codes of the fixed list and their texts
    purpose_text: str  # its own
    types: Mapping[str, CompiledType]
    holder_types: frozenset[str]  # codes of the holders whose certificates may be asked for
    consent: CompiledConsent | None  # None: needs none
    max_records: int  # of one request
    limits: Limits
    name: str  # scene code and version
    code_sources: frozenset[str]
    code_fields: frozenset[str]  # of a code's holder, in full
    scene: Scene
    version: int


def compile_entry(entry: CatalogueEntry) -> CompiledEntry:
    return CompiledEntry(
        entry=entry,
        names=entry.names,
        provinces=_set(entry.provinces),
        interfaces=_set(entry.interfaces),
        possible=GRANTABLE | {field.column for field in entry.fields},
        masks={field.column: field.mask for field in entry.fields},
    )


def compile_application(application: Application) -> Application:
    """The same application, its parts the ones that others have too."""
    return replace(
        application,
        id=intern(application.id),
        node=intern(application.node),
        org_codes=_kept(application.org_codes),
        addresses=_kept(application.addresses),
    )


def compile_scene(scene: Scene, version: int, catalogue: Mapping[str, CompiledEntry]) -> CompiledScene:
    """A scenario's sets, made once; it rests on the catalogue's entries of its types."""
    scene = _sharing_parts(scene)
    code, limits = scene.service_code, scene.limits
    return CompiledScene(
        scene=scene,
        version=version,
        name=f"{scene.scene_code}@{version}",
        published=scene.status is SceneStatus.PUBLISHED,
        valid_from=_kept(scene.valid_from),
        valid_to=_kept(scene.valid_to),
        hours=_hours(limits.time_of_day),
        items=_set(tuple([item.item_code for item in scene.items])),
        organisation=intern(scene.use_org_code),
        applications=_set(tuple([intern(one) for one in scene.applications])),
        purposes=_purposes(scene.purposes),
        purpose_text=_kept(scene.purpose_text),
        types=_types(scene.types, tuple([catalogue.get(granted.type_code) for granted in scene.types])),
        holder_types=_holder_types(scene.holder_kinds),
        consent=_consent(scene.consent, agents=scene.agent_allowed),
        limits=limits,
        max_records=limits.max_records or _NO_BOUND,
        code_sources=_set(code.source_provinces if code else ()),
        code_fields=_set(code.fields if code else ()),
    )


_NO_BOUND = 1 << 31
_set = lru_cache(_KEPT)(frozenset[str])


def _kept(part: T) -> T:
    """The first of all equal parts."""
    return _first(part)  # type: ignore[return-value] # equal parts are of one type


@lru_cache(_KEPT)
def _first(part: object) -> object:
    return part


def _sharing_parts(scene: Scene) -> Scene:
    """The same scenario, its parts the ones that others have too."""
    return replace(
        scene,
        items=_kept(scene.items),
        applications=_kept(scene.applications),
        purposes=_kept(scene.purposes),
        legal_basis=_kept(scene.legal_basis),
        consent=_kept(scene.consent),
        types=tuple([_kept(granted) for granted in scene.types]),
        limits=_kept(scene.limits),
        retention=_kept(scene.retention),
        service_code=_kept(scene.service_code),
    )


@lru_cache(_KEPT)
def _common(named: tuple[str, ...], offered: frozenset[str]) -> frozenset[str]:
    return frozenset(named) & offered


@lru_cache(_KEPT)
def _type(granted: SceneType, entry: CompiledEntry | None) -> CompiledType:
    possible = entry.possible if entry else GRANTABLE
    fields = possible & {*granted.fields, *granted.masked_fields}
    return CompiledType(
        sources=_set(granted.source_provinces),
        interfaces=_common(granted.interfaces, entry.interfaces) if entry else _set(()),
        granted=fields,
        masked=_set(granted.masked_fields),
        withheld=tuple(sorted(possible - fields)),
        formats=_set(granted.file_formats),
        original=granted.allow_original,
        by_holder_only=granted.by_holder_only,
        masks=entry.masks if entry else {},
    )


@lru_cache(_KEPT)
def _types(types: tuple[SceneType, ...], entries: tuple[CompiledEntry | None, ...]) -> Mapping[str, CompiledType]:
    return {intern(granted.type_code): _type(granted, entry) for granted, entry in zip(types, entries, strict=True)}


@lru_cache(_KEPT)
def _purposes(codes: tuple[str, ...]) -> frozenset[str]:
    """The codes and their texts; a blank one names no purpose."""
    return frozenset((*filter(str.strip, codes), *(PURPOSES[code] for code in codes if code in PURPOSES)))


@lru_cache(_KEPT)
def _holder_types(kinds: tuple[HolderKind, ...]) -> frozenset[str]:
    allowed = {kind.value for kind in kinds}
    return frozenset(code for code, row in HOLDER_TYPES.items() if row.category.value in allowed)


@lru_cache(_KEPT)
def _consent(rule: ConsentRule, *, agents: bool) -> CompiledConsent | None:
    if rule.mode is ConsentMode.NONE:
        return None
    modes = (rule.mode, ConsentMode.AGENT) if agents else (rule.mode,)
    return CompiledConsent(modes, rule.level, rule.ttl_seconds * 1_000, rule.one_time)


@lru_cache(_KEPT)
def _hours(day: TimeOfDay | None) -> CompiledHours | None:
    if day is None:
        return None
    start = _minute(day.start)
    return CompiledHours(start, (_minute(day.end) - start) % MINUTES_A_DAY)


def _minute(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)
