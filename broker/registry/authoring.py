"""The registry as people write it: a folder of YAML files, checked, with relative days and public keys filled in."""

from __future__ import annotations

import ipaddress
import re
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from broker.bus.clock import SHANGHAI
from broker.bus.keys import read_keys
from schemas.catalogue import CatalogueEntry
from schemas.filing import Wanted
from schemas.form import FILE_FORMATS
from schemas.identifiers import is_item_code, is_scene_code, is_uscc
from schemas.interfaces import INTERFACES
from schemas.kinds import Kind
from schemas.regions import PROVINCES
from schemas.registry import BODIES, Application
from schemas.scenes import PURPOSES, Scene, SceneCode, SceneItem, SceneType

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from schemas.registry import Body

_RELATIVE = re.compile(r"today([+-][0-9]{1,4})?")
_NEVER_MS = 4_102_444_800_000  # 2100-01-01: keys end when they are rotated or revoked
_SECTIONS = {"parties": Kind.PARTY, "applications": Kind.APPLICATION, "catalogue": Kind.CATALOGUE, "scenes": Kind.SCENE}
_BELOW: dict[str, type[msgspec.Struct]] = {"items": SceneItem, "types": SceneType, "serviceCode": SceneCode}
_DAYS = ("validFrom", "validTo")
_encode = msgspec.json.Encoder().encode


class AuthoringError(ValueError):
    """A file of the registry is wrong; the message names file and entry and says what should stand there."""


def read_folder(folder: Path, keys: Path, today: date) -> list[Wanted]:
    """Every record that the YAML files of this folder describe; raises AuthoringError."""
    wanted: dict[tuple[Kind, str], Wanted] = {}
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise AuthoringError(f"{folder} has no .yaml files; deploy/demo/registry shows their form")
    for file in files:
        for section, entry in _entries(file):
            where = f"{file.name}: {section} {_id_of(entry)}"
            one = _wanted(_SECTIONS[section], entry, where, keys, today)
            if (one.kind, one.id) in wanted:
                raise AuthoringError(f"{where}: stands there twice; each id has one entry")
            wanted[one.kind, one.id] = one
    return list(wanted.values())


def _entries(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        content = yaml.safe_load(file.read_bytes()) or {}
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a day that no calendar has
        raise AuthoringError(f"{file.name}: not YAML: {error}") from error
    if not isinstance(content, dict) or not set(content) <= set(_SECTIONS):
        raise AuthoringError(f"{file.name}: the sections are {', '.join(_SECTIONS)}")
    for section, entries in content.items():
        if not isinstance(entries, list | None):
            raise AuthoringError(f"{file.name}: {section} is a list of entries")
        for entry in entries or []:
            if not isinstance(entry, dict):
                raise AuthoringError(f"{file.name}: each entry of {section} is a mapping")
            yield section, entry


def _id_of(entry: dict[str, Any]) -> str:
    return str(entry.get("id") or entry.get("sceneCode") or entry.get("typeCode") or "(no id)")


def _wanted(kind: Kind, entry: dict[str, Any], where: str, keys: Path, today: date) -> Wanted:
    entry = dict(entry)
    for strange in _strange_names(entry, BODIES[kind]):
        raise AuthoringError(f"{where}: there is no {strange}")
    for name in _DAYS:
        if name in entry:
            entry[name] = _day(entry[name], today, where)
    public = keys / f"{_id_of(entry)}.public.json"
    if kind is Kind.PARTY:
        entry["keys"] = _party_keys(public, where)
    elif kind is Kind.APPLICATION and public.exists():
        entry["key"] = msgspec.to_builtins(read_keys(public).signing)
    try:
        body = msgspec.convert(entry, BODIES[kind])
    except msgspec.ValidationError as error:
        raise AuthoringError(f"{where}: {error}") from error
    for complaint in _complaints(body):
        raise AuthoringError(f"{where}: {complaint}")
    return Wanted(kind=kind, id=_id_of(entry), body=msgspec.Raw(_encode(body)))


def _strange_names(entry: dict[str, Any], kind: type[msgspec.Struct]) -> Iterator[str]:
    """Names that the type does not know, here or one level below: a misspelt one must not pass for a wish."""
    known = kind.__struct_encode_fields__
    yield from (f"{name}; there are {', '.join(known)}" for name in entry if name not in known)
    for name, below in _BELOW.items():
        parts = entry.get(name) if name in known else None
        for part in parts if isinstance(parts, list) else [parts]:
            if isinstance(part, dict):
                yield from (f"{name}.{strange}" for strange in _strange_names(part, below))


def _party_keys(public: Path, where: str) -> list[dict[str, Any]]:
    if not public.exists():
        raise AuthoringError(f"{where}: no public keys in {public}; `make up` makes those of the demonstration")
    found = read_keys(public)
    return [
        {"jwk": msgspec.to_builtins(key), "notBefore": 0, "notAfter": _NEVER_MS}
        for key in (found.signing, found.sealing)
    ]


def _day(text: object, today: date, where: str) -> int:
    """Midnight in Shanghai of a day, unix ms."""
    if isinstance(text, date):
        day = text
    elif isinstance(text, str) and (match := _RELATIVE.fullmatch(text)):
        day = today + timedelta(days=int(match[1] or 0))
    else:
        raise AuthoringError(f"{where}: a day is yyyy-mm-dd, today, today-30 or today+300")
    return int(datetime(day.year, day.month, day.day, tzinfo=SHANGHAI).timestamp() * 1000)


def _complaints(body: Body) -> Iterator[str]:
    """What the types alone cannot say."""
    if isinstance(body, Application):
        yield from (f"{code} is not a 统一社会信用代码" for code in body.org_codes if not is_uscc(code))
        yield from (f"{net} is not a network such as 192.0.2.0/24" for net in body.addresses if not _is_network(net))
    elif isinstance(body, CatalogueEntry):
        yield from (f"there is no interface {key}" for key in body.interfaces if key not in INTERFACES)
        yield from (f"there is no province {one}" for one in body.provinces if one not in PROVINCES)
        if not is_uscc(body.defining_body_code):
            yield f"{body.defining_body_code} is not a 统一社会信用代码"
    elif isinstance(body, Scene):
        if not is_scene_code(body.scene_code):
            yield "sceneCode should be YRD-<region6>-<yyyy>-<seq5>"
        yield from (f"{item.item_code} is not an item code" for item in body.items if not is_item_code(item.item_code))
        yield from (
            f"there is no purpose {code}; there are {', '.join(PURPOSES)}"
            for code in body.purposes
            if code not in PURPOSES
        )
        yield from (
            f"there is no interface {key}" for entry in body.types for key in entry.interfaces if key not in INTERFACES
        )
        sources = [one for kind in body.types for one in kind.source_provinces]
        sources += body.service_code.source_provinces if body.service_code else ()
        yield from (f"there is no province {one}" for one in sources if one not in PROVINCES)
        yield from (
            f"there is no file format {one}; there are {', '.join(FILE_FORMATS)}"
            for entry in body.types
            for one in entry.file_formats
            if one not in FILE_FORMATS
        )
        if not is_uscc(body.use_org_code):
            yield f"{body.use_org_code} is not a 统一社会信用代码"
        if body.valid_to <= body.valid_from:
            yield "validTo should be after validFrom"


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True
