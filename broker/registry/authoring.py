"""The registry as people write it: a folder of YAML or JSON files, or one draft of a scenario; read and checked."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from broker.bus.clock import SHANGHAI
from broker.bus.keys import read_keys
from broker.registry.complaints import (
    MAX_COMPLAINTS,
    Complaint,
    Known,
    known_of,
    of_body,
    of_names,
    path_text,
    wrongs_of,
)
from broker.registry.documents import ENDINGS, MAX_FILE_BYTES, Node, line_of, node_of, read_document
from broker.registry.drafts import check_draft, of_draft
from broker.registry.shapes import Shape, Wrong, first_at_each_place, guess
from schemas.filing import Draft, Wanted
from schemas.jose import MALFORMED
from schemas.kinds import Kind
from schemas.registry import BODIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date
    from pathlib import Path

    from broker.registry import shapes
    from schemas.registry import Body

__all__ = [
    "MAX_COMPLAINTS",
    "AuthoringError",
    "Complaint",
    "Known",
    "check_draft",
    "check_record",
    "known_of",
    "read_draft",
    "read_folder",
]

SECTIONS = {"parties": Kind.PARTY, "applications": Kind.APPLICATION, "catalogue": Kind.CATALOGUE, "scenes": Kind.SCENE}
_FORM = "见 docs/registry.md 与 schemas/json/"
_encode = msgspec.json.Encoder().encode


class AuthoringError(ValueError):
    """What people wrote is wrong: up to 50 complaints, each with file, line, path and remedy; a line for each."""

    def __init__(self, complaints: Iterable[Complaint]) -> None:
        found = sorted(complaints, key=lambda one: (one.file, one.line))
        self.complaints, more = tuple(found[:MAX_COMPLAINTS]), len(found) - MAX_COMPLAINTS
        lines = [str(one) for one in self.complaints]
        super().__init__("\n".join([*lines, f"……另有 {more} 处 (and {more} more)"] if more > 0 else lines))


class _Entry(NamedTuple):
    """One entry of a file; no body: it could not be read."""

    file: str
    path: shapes.Path
    node: Node
    kind: Kind
    id: str
    body: Body | None
    wrong: tuple[Wrong, ...]

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.id}"


def read_folder(folder: Path, keys: Path, today: date, known: Known | None = None) -> list[Wanted]:
    """Every record that the files of this folder describe; public keys are taken from `keys`.

    What a record names must stand in the folder or in `known`, the records in force; without `known` a kind of which
    the folder has nothing is not asked after. Raises AuthoringError with all that is wrong.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix in ENDINGS and path.is_file())
    if not files:
        message = f"{folder} 中没有 .yaml、.yml 或 .json 文件 (no files)"
        raise AuthoringError([Complaint("", 0, "", message, f"写法可参照 deploy/demo/registry，{_FORM}")])
    complaints: list[Complaint] = []
    entries: list[_Entry] = []
    for file in files:
        entries += _entries(file, keys, today, complaints)
    complaints += _twice(entries)
    whole = _with(entries, known)
    clashes = list(of_names(whole.catalogue or {}))
    for one in entries:
        found = [] if one.body is None else [*of_body(one.body, whole)]
        found += [wrong for code, wrong in clashes if one.kind is Kind.CATALOGUE and code == one.id]
        further = first_at_each_place(found, {wrong.path: wrong for wrong in one.wrong})
        complaints += [_complaint(one, wrong) for wrong in (*one.wrong, *further)]
    if complaints:
        raise AuthoringError(complaints)
    return [Wanted(kind=one.kind, id=one.id, body=msgspec.Raw(_encode(one.body))) for one in entries]


def read_draft(file: Path, today: date, known: Known | None = None) -> Draft:
    """The draft of a scenario that this file describes, checked like `check_draft` does, against what is known.

    Raises AuthoringError with all that is wrong.
    """
    complaints: list[Complaint] = []
    node = _document(file, complaints)
    if node is None:
        message = "没有内容 (nothing in it)"
        raise AuthoringError(complaints or [Complaint(file.name, 1, "", message, f"写法{_FORM}")])
    shape = Shape(today)
    draft: Draft | None = _converted(shape, node, Draft)
    now_ms = int(datetime(today.year, today.month, today.day, tzinfo=SHANGHAI).timestamp() * 1000)
    further = [] if draft is None else of_draft(draft, known or Known(), now_ms)
    wrongs = (*shape.wrong, *first_at_each_place(further, {wrong.path: wrong for wrong in shape.wrong}))
    if complaints or wrongs or draft is None:
        raise AuthoringError([*complaints, *(_placed(file.name, (), node, wrong) for wrong in wrongs)])
    return draft


def check_record(wanted: Wanted, known: Known) -> Iterator[Complaint]:
    """What is wrong with a record that did not come from a file, up to 50 complaints."""
    try:
        body = msgspec.json.decode(wanted.body, type=BODIES[wanted.kind])
    except MALFORMED as error:
        yield Complaint("", 0, f"{wanted.kind}/{wanted.id}", f"不合形式：{error} (wrong form)", _FORM)
        return
    for wrong in islice(wrongs_of(body, known), MAX_COMPLAINTS):
        yield Complaint("", 0, path_text((f"{wanted.kind}/{wanted.id}", *wrong.path)), wrong.message, wrong.remedy)


def _document(file: Path, complaints: list[Complaint]) -> Node | None:
    with file.open("rb") as opened:
        raw = opened.read(MAX_FILE_BYTES + 1)
    node, faults = read_document(file.name, raw)
    complaints += [Complaint(file.name, fault.line, "", fault.message, fault.remedy) for fault in faults]
    return node


def _entries(file: Path, keys: Path, today: date, complaints: list[Complaint]) -> Iterator[_Entry]:
    node = _document(file, complaints)
    if node is None or node.value is None:
        return

    def say(line: int, path: shapes.Path, message: str, remedy: str) -> None:
        complaints.append(Complaint(file.name, line, path_text(path), message, remedy))

    if not isinstance(node.value, dict):
        say(node.line, (), "应为各部分的映射 (sections are expected)", f"可写：{'、'.join(SECTIONS)}")
        return
    for section, entries in node.value.items():
        if section not in SECTIONS:
            line = node.names.get(section, node.line)
            remedy = f"{guess(section, SECTIONS)}可写：{'、'.join(SECTIONS)}"
            say(line, (section,), f"没有名为 {section} 的部分 (unknown section)", remedy)
        elif not isinstance(entries.value, list | None):
            say(entries.line, (section,), "应为列表 (a list of entries)", "每条记录以 - 开头")
        else:
            for place, entry in enumerate(entries.value or ()):
                if isinstance(entry.value, dict):
                    yield _entry(file.name, (section, place), entry, keys, today)
                else:
                    say(entry.line, (section, place), "应为映射 (each entry is a mapping)", f"逐项书写，{_FORM}")


def _entry(file: str, path: shapes.Path, node: Node, keys: Path, today: date) -> _Entry:
    kind, shape = SECTIONS[str(path[0])], Shape(today)
    name = _name_of(node)
    if kind in {Kind.PARTY, Kind.APPLICATION}:
        node = _with_keys(node, kind, name, keys, shape)
    body = _converted(shape, node, BODIES[kind])
    return _Entry(file, path, node, kind, body.id if body else name, body, tuple(shape.wrong))


def _name_of(node: Node) -> str:
    assert isinstance(node.value, dict)  # looked at before
    named = (node.value.get(name) for name in ("id", "sceneCode", "typeCode"))
    return next((str(one.value) for one in named if one is not None), "")


def _converted(shape: Shape, node: Node, kind: type[Any]) -> Any:
    """The typed value, None when there is none; whatever the shape did not see is told as msgspec tells it."""
    value = shape.read(node, kind)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        if not shape.wrong:
            shape.wrong.append(Wrong((), f"不合形式：{error} (wrong form)", _FORM, node.line))
        return None


def _with_keys(node: Node, kind: Kind, name: str, keys: Path, shape: Shape) -> Node:
    """The entry with its public keys from their file, where it has none of its own."""
    assert isinstance(node.value, dict)  # looked at before
    field = "keys" if kind is Kind.PARTY else "key"
    public = keys / f"{name}.public.json"
    if field in node.value or "/" in name or not name:
        return node
    try:
        found = read_keys(public)
    except FileNotFoundError:
        if kind is Kind.APPLICATION:
            return node  # one whose tokens nobody checks by a key
        message, remedy = f"没有公钥文件 {public} (no public keys)", "请取得该参与方的公钥文件，或在 keys 中写明公钥"
    except (OSError, *MALFORMED) as error:
        message, remedy = f"公钥文件 {public} 不可用：{error} (unusable)", "请重新取得该参与方的公钥文件"
    else:
        return _bearing(node, field, _party_keys(found) if kind is Kind.PARTY else found.signing.public)
    shape.wrong.append(Wrong((field,), message, remedy, node.line))
    return _bearing(node, field, [])


def _party_keys(found: Any) -> list[dict[str, Any]]:
    return [
        {"jwk": key.public, "notBefore": "1970-01-02", "notAfter": "2100-01-01"}
        for key in (found.signing, found.sealing)
    ]


def _bearing(node: Node, field: str, value: object) -> Node:
    assert isinstance(node.value, dict)  # looked at before
    return node._replace(value={**node.value, field: node_of(msgspec.to_builtins(value), node.line)})


def _twice(entries: list[_Entry]) -> Iterator[Complaint]:
    first: dict[str, _Entry] = {}
    for one in entries:
        before = first.setdefault(one.key, one)
        if before is not one and one.id:
            message = f"{one.id} 出现了两次，第一次在 {before.file}:{before.node.line} (given twice)"
            yield _complaint(one, Wrong((), message, "每个编号只写一条记录，请删去其一", one.node.line))


def _with(entries: list[_Entry], known: Known | None) -> Known:
    """What the records of a folder may name: each other, and what is in force."""
    bodies = [one.body for one in entries if one.body is not None]
    own = known_of(bodies)._replace(unreadable=frozenset(one.key for one in entries if one.body is None))
    if known is not None:
        return known.under(own)
    kinds = {one.kind for one in entries}
    return own._replace(
        parties=own.parties if Kind.PARTY in kinds else None,
        applications=own.applications if Kind.APPLICATION in kinds else None,
        catalogue=own.catalogue if Kind.CATALOGUE in kinds else None,
    )


def _complaint(entry: _Entry, wrong: Wrong) -> Complaint:
    return _placed(entry.file, entry.path, entry.node, wrong)


def _placed(file: str, path: shapes.Path, node: Node, wrong: Wrong) -> Complaint:
    line = wrong.line or line_of(node, wrong.path)
    return Complaint(file, line, path_text((*path, *wrong.path)), wrong.message, wrong.remedy)
