"""Registries of many rules for the benchmark: scenarios that differ in organisation, items, sources and fields."""

from __future__ import annotations

import random
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from schemas.catalogue import CatalogueEntry, CatalogueField, Level
from schemas.kinds import Kind
from schemas.registry import Application, Record, decode_record
from schemas.scenes import Basis, ConsentMode, ConsentRule, LegalBasis, Limits, Retention, Scene, SceneItem, SceneType

_TYPES = 60
_INTERFACES = ("I1", "I2", "I3", "I4", "I5")
_COLUMNS = tuple(f"KZ_{number:02}" for number in range(20))
_PROVINCES = ("31", "32", "33", "34")
_NODE = "31-bench"
_encode = msgspec.json.Encoder().encode


class Shape(NamedTuple):
    """So many scenarios with so many rules each: items x types x interfaces."""

    scenes: int
    rules_each: int

    @property
    def rules(self) -> int:
        return self.scenes * self.rules_each

    @property
    def types(self) -> int:
        return max(1, min(10, self.rules_each // len(_INTERFACES) // 2))

    @property
    def items(self) -> int:
        return self.rules_each // len(_INTERFACES) // self.types


def records_of(shape: Shape) -> dict[str, bytes]:
    """The records of such a registry, the same ones each time."""
    some = random.Random(shape.scenes)  # noqa: S311  # not for secrets
    orgs = [f"11310000MB{number:06}X0" for number in range(max(1, shape.scenes // 20))]
    out = dict(_record(Kind.CATALOGUE, entry.id, entry) for entry in map(_entry, range(_TYPES)))
    for number, org in enumerate(orgs):
        body = Application(
            id=f"app-{number:06}", node=_NODE, name="bench", org_codes=(org,), addresses=("192.0.2.0/24",), per_second=9
        )
        out.update([_record(Kind.APPLICATION, body.id, body)])
    for number in range(shape.scenes):
        place = number % len(orgs)
        scene = _scene(some, shape, number, orgs[place], f"app-{place:06}")
        out.update([_record(Kind.SCENE, scene.id, scene)])
    return out


def renewed(raw: bytes) -> bytes:
    """The next version of a scenario's record, with another limit."""
    record = decode_record(raw)
    scene = msgspec.json.decode(record.body, type=Scene)
    body = replace(scene, limits=replace(scene.limits, per_day=scene.limits.per_day + 1))
    return _encode(replace(record, version=record.version + 1, body=msgspec.Raw(_encode(body))))


def _record(kind: Kind, name: str, body: CatalogueEntry | Application | Scene) -> tuple[str, bytes]:
    record = Record(kind=kind, id=name, version=1, body=msgspec.Raw(_encode(body)))
    return record.key, _encode(record)


def _type_code(number: int) -> str:
    return f"11100000000013{number:04}{number % 1000:03}"


def _entry(number: int) -> CatalogueEntry:
    return CatalogueEntry(
        type_code=_type_code(number),
        type_name=f"证照 {number}",
        code_verified=False,
        defining_body="测试定义机构",
        defining_body_code="111000000000131",
        defining_level=Level.NATION,
        issuing_level=Level.COUNTY,
        validity_range="长期",
        holder_category="person",
        provinces=_PROVINCES,
        interfaces=_INTERFACES,
        fields=tuple(CatalogueField(column=column, label=column) for column in _COLUMNS),
    )


def _scene(some: random.Random, shape: Shape, number: int, org: str, application: str) -> Scene:
    first = some.randrange(10_000)
    items = [f"{org}2000{first + place:09}" for place in range(shape.items)]
    return Scene(
        scene_code=f"YRD-310000-2026-{number:05}",
        scene_name=f"场景 {number}",
        items=tuple(SceneItem(item_code=code, item_name=f"事项 {code[-6:]}") for code in items),
        use_org_code=org,
        use_org_name=f"用证单位 {org[-8:]}",
        applications=(application,),
        purposes=("GOV_SERVICE",),
        purpose_text=f"办理事项 {number} 时核对所持证照",
        legal_basis=LegalBasis(kind=Basis.STATUTORY, text=f"测试用依据 {number % 500}"),
        consent=ConsentRule(mode=ConsentMode.NONE),
        types=tuple(_granted(some, code) for code in some.sample(range(_TYPES), shape.types)),
        limits=Limits(per_day=some.randrange(100, 10_000)),
        retention=Retention(days=30),
        valid_from=0,
        valid_to=4_102_444_800_000,
    )


def _granted(some: random.Random, number: int) -> SceneType:
    return SceneType(
        type_code=_type_code(number),
        source_provinces=tuple(sorted(some.sample(_PROVINCES, some.randrange(1, 4)))),
        interfaces=_INTERFACES,
        fields=tuple(sorted(some.sample(_COLUMNS, some.randrange(4, 12)))),
    )
