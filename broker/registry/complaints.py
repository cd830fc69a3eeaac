"""What the types alone cannot say of a record: within it, and against the records that it names (DOMAIN §8.2, §8.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from broker.registry.documents import node_of
from broker.registry.scene_checks import of_scene, of_scene_with
from broker.registry.shapes import Path, Shape, Wrong, first_at_each_place, guess, indexed
from schemas.answers import ALWAYS_TOLD, GRANTABLE
from schemas.catalogue import CatalogueEntry
from schemas.kinds import Kind
from schemas.regions import PROVINCES
from schemas.registry import Application, Party
from schemas.scenes import Scene

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from schemas.registry import Body

__all__ = ["MAX_COMPLAINTS", "Complaint", "Known", "known_of", "of_body", "of_names", "path_text", "wrongs_of"]

MAX_COMPLAINTS = 50  # told at once


class Complaint(NamedTuple):
    """What is wrong, where, and the remedy; without a file for what did not come from one."""

    file: str
    line: int
    path: str
    message: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file else ""
        return (
            f"{place}{self.path}: {self.message}。{self.remedy}"
            if self.path
            else f"{place}{self.message}。{self.remedy}"
        )


class Known(NamedTuple):
    """The records that others may name, by id; None: of this kind nothing is known, and nothing is said of it.

    `unreadable` are keys (`kind/id`) of records that are there but wrong themselves.
    """

    parties: Mapping[str, Party] | None = None
    applications: Mapping[str, Application] | None = None
    catalogue: Mapping[str, CatalogueEntry] | None = None
    unreadable: frozenset[str] = frozenset()

    def lacks(self, kind: Kind, name: str) -> bool:
        """Whether this name surely stands for nothing."""
        rows = {Kind.PARTY: self.parties, Kind.APPLICATION: self.applications, Kind.CATALOGUE: self.catalogue}[kind]
        return rows is not None and name not in rows and f"{kind}/{name}" not in self.unreadable

    def under(self, own: Known) -> Known:
        """These records, and over them those of `own`."""
        return Known(
            {**(self.parties or {}), **(own.parties or {})},
            {**(self.applications or {}), **(own.applications or {})},
            {**(self.catalogue or {}), **(own.catalogue or {})},
            self.unreadable | own.unreadable,
        )


def known_of(bodies: Iterable[Body]) -> Known:
    """All parties, applications and catalogue entries among these records in force."""
    some = list(bodies)
    return Known(
        {one.id: one for one in some if isinstance(one, Party)},
        {one.id: one for one in some if isinstance(one, Application)},
        {one.id: one for one in some if isinstance(one, CatalogueEntry)},
    )


def path_text(path: Path) -> str:
    """A path as people read it: scenes[2].types[0].fields[3]."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def wrongs_of(body: Any, known: Known) -> Iterator[Wrong]:
    """All that is wrong with a typed record or draft: its values, what they say together, and whom it names."""
    shape = Shape(None)
    shape.read(node_of(msgspec.to_builtins(body)), type(body))
    yield from shape.wrong
    yield from first_at_each_place(of_body(body, known), {wrong.path: wrong for wrong in shape.wrong})
    if isinstance(body, CatalogueEntry):
        catalogue = {**(known.catalogue or {}), body.type_code: body}
        yield from (wrong for code, wrong in of_names(catalogue) if code == body.type_code)


def of_body(body: object, known: Known) -> Iterator[Wrong]:
    """What is wrong with a record whose every single value has its form."""
    if isinstance(body, Party):
        yield from _of_party(body)
    elif isinstance(body, Application):
        yield from _of_application(body, known)
    elif isinstance(body, CatalogueEntry):
        yield from _of_entry(body)
    elif isinstance(body, Scene):
        yield from of_scene(body)
        yield from of_scene_with(body, known)


def of_names(catalogue: Mapping[str, CatalogueEntry]) -> Iterator[tuple[str, Wrong]]:
    """By type code, the aliases that mean another type as well, there or everywhere.

    Two types may have one standard name: asked for by it, both are meant.
    """
    used: dict[str, list[tuple[str, str]]] = {}  # name -> type code, province ("": all)
    for code, entry in catalogue.items():
        used.setdefault(entry.type_name, []).append((code, ""))
        for province, names in entry.aliases.items():
            for name in names:
                used.setdefault(name, []).append((code, province))
    for code, entry in catalogue.items():
        for province, names in entry.aliases.items():
            for path, name in indexed(names, "aliases", province):
                others = sorted(one for one, where in used[name] if one != code and where in {province, ""})
                if others:
                    message = f"名称“{name}”也是 {others[0]} 的名称 (ambiguous alias)"
                    yield code, Wrong(path, message, "同一省内一个别名只能指一种证照，请改用可区分的名称")


def _of_party(party: Party) -> Iterator[Wrong]:
    if party.kind == "province" and party.id not in PROVINCES:
        yield Wrong(("id",), f"没有省 {party.id} (unknown province)", f"可写：{'、'.join(PROVINCES)}")
    elif party.kind == "node" and (party.id[:2] not in PROVINCES or party.id[2:3] != "-"):
        message = f"节点编号 {party.id} 没有以省份开头 (a node's id begins with its province)"
        yield Wrong(("id",), message, f"应为 <{'|'.join(PROVINCES)}>-<名称>，例如 31-yct")
    for path, key in indexed(party.keys, "keys"):
        if key.not_after <= key.not_before:
            yield Wrong((*path, "notAfter"), "密钥的有效期为空 (empty period)", "notAfter 应晚于 notBefore")


def _of_application(application: Application, known: Known) -> Iterator[Wrong]:
    if known.lacks(Kind.PARTY, application.node):
        near = guess(application.node, known.parties or ())
        yield Wrong(("node",), f"没有节点 {application.node} (unknown node)", f"{near}请先登记该节点（parties）")
    elif (party := (known.parties or {}).get(application.node)) and party.kind != "node":
        yield Wrong(("node",), f"{application.node} 不是节点 (not a node)", "应用只能登记在 kind 为 node 的参与方之下")
    if not application.org_codes:
        yield Wrong(("orgCodes",), "没有用证单位 (no organisation)", "请列出该应用所代表单位的统一社会信用代码")


def _of_entry(entry: CatalogueEntry) -> Iterator[Wrong]:
    if entry.type_code[:18] != entry.defining_body_code:
        message = f"与证照类型代码的前 18 位 {entry.type_code[:18]} 不一致 (not the type code's body)"
        yield Wrong(("definingBodyCode",), message, "证照类型代码以证照定义机构的统一社会信用代码开头")
    seen: set[str] = set()
    for path, field in indexed(entry.fields, "fields"):
        if field.column in seen:
            yield Wrong((*path, "column"), f"{field.column} 重复 (given twice)", "请删去其一")
        if field.column in GRANTABLE or field.column in ALWAYS_TOLD:
            message = f"{field.column} 是通用字段的名称 (a common name)"
            yield Wrong((*path, "column"), message, "照面字段以 KZ_ 开头，例如 KZ_XM")
        seen.add(field.column)
    if not entry.provinces:
        yield Wrong(("provinces",), "没有省份共享 (shared by nobody)", '请列出共享该证照的省份，例如 ["31"]')
    for province in entry.aliases:
        if province not in entry.provinces and province in PROVINCES:
            message = f"{province} 不共享该证照，却有别名 (alias of a province that does not share it)"
            yield Wrong(("aliases", province), message, f"请删去，或在 provinces 中加上 {province}")
