"""The compiled registry: immutable, in process, what every judgement and every signature check looks into."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from schemas.answers import GRANTABLE
from schemas.lot import LotError
from schemas.registry import BODIES, PURPOSES, Application, CatalogueEntry, Party, Record, Scene, decode_record
from schemas.suites import BY_SIGN_ALG

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemas.jose import Jwk
    from schemas.registry import Manifest, Mask, SceneType


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


class Snapshot:
    """One verified version of the registry; parties, applications, catalogue and scenarios by their ids."""

    def __init__(self, manifest: Manifest, records: Mapping[str, bytes]) -> None:
        self.version = manifest.version
        self.expires_at = manifest.expires_at
        self.parties: dict[str, Party] = {}
        self.applications: dict[str, Application] = {}
        self.catalogue: dict[str, CompiledEntry] = {}
        self.scenes: dict[str, CompiledScene] = {}
        self._named: dict[str, tuple[str, ...]] = {}
        for raw in (records[key] for key in sorted(records)):  # "catalogue/" comes before "scene/"
            self._add(decode_record(raw))
        self._verifiers: dict[tuple[str, str], Callable[[bytes, bytes], None]] = {}
        self.address_allowed = lru_cache(maxsize=4_096)(self._address_allowed)

    def _add(self, record: Record) -> None:
        body = msgspec.json.decode(record.body, type=BODIES[record.kind])
        if isinstance(body, Party):
            self.parties[body.id] = body
        elif isinstance(body, Application):
            self.applications[body.id] = body
        elif isinstance(body, CatalogueEntry):
            entry = self.catalogue[body.type_code] = compile_entry(body)
            for name in entry.names:
                self._named[name] = (*self._named.get(name, ()), body.type_code)
        else:
            self.scenes[body.scene_code] = compile_scene(body, record.version, self.catalogue)

    def types_named(self, name: str) -> tuple[str, ...]:
        """The codes of the types that some province calls so; none: no type of the catalogue has this name."""
        return self._named.get(name, ())

    def verifier(self, party: str, kid: str, alg: str, now_ms: int) -> Callable[[bytes, bytes], None]:
        """A check of (signature, message) under a key of this party valid now; raises LotError("sender"|"key")."""
        jwk = self._key(party, "sig", now_ms, kid)
        if jwk.alg != alg:
            raise LotError("key")
        check = self._verifiers.get((party, kid))
        if check is None:
            check = self._verifiers[party, kid] = BY_SIGN_ALG[alg].verifier(jwk)
        return check

    def sealing_key(self, party: str, now_ms: int) -> Jwk:
        """The key to seal to this party with; raises LotError("sender"|"key")."""
        return self._key(party, "enc", now_ms)

    def _key(self, party: str, use: str, now_ms: int, kid: str | None = None) -> Jwk:
        known = self.parties.get(party)
        if known is None:
            raise LotError("sender")
        for key in known.keys:
            named = kid is None or key.jwk.kid == kid
            if named and key.jwk.use == use and not key.revoked and key.not_before <= now_ms < key.not_after:
                return key.jwk
        raise LotError("key")

    def _address_allowed(self, application: str, address: str) -> bool:
        """Whether the application may call from this address; nothing registered: from nowhere."""
        try:
            host = ipaddress.ip_address(address)
            host = getattr(host, "ipv4_mapped", None) or host  # ::ffff:192.0.2.1 is 192.0.2.1
            return any(host in ipaddress.ip_network(net) for net in self.applications[application].addresses)
        except (ValueError, KeyError):
            return False


def compile_entry(entry: CatalogueEntry) -> CompiledEntry:
    return CompiledEntry(
        entry=entry,
        names=frozenset((entry.type_name, *entry.aliases)),
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
