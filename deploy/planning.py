"""What a folder would change in the registry in force: record by record, value by value, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec.structs import replace

from schemas.filing import Filing, State
from schemas.kinds import Kind
from schemas.registry import Manifest, Record, decode_record
from schemas.scenes import Scene, SceneStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from broker.registry.snapshot import Snapshot
    from deploy.history import Version
    from schemas.filing import Wanted

_ON_ITS_WAY = frozenset((State.SUBMITTED, State.PROVINCE_CHECKED, State.SOURCE_REVIEW, State.APPROVED))
_encode = msgspec.json.Encoder().encode
_NAMED_BY = ("typeCode", "itemCode", "column", "kid", "id")  # of the entries of a list, the one there is


class FieldChange(NamedTuple):
    """One value of a record: its path, what goes and what comes ("" where nothing did)."""

    path: str
    removed: str
    added: str


class Change(NamedTuple):
    """One record that the folder would change; `version` is the one in force, 0 for a new record.

    `filed` is the state of a scenario's filing that is on its way, "" when there is none.
    """

    key: str
    kind: Kind
    version: int
    body: bytes
    fields: tuple[FieldChange, ...]
    filed: str = ""

    @property
    def needs(self) -> tuple[str, str]:
        """What it takes to bring it into force, in Chinese and in English."""
        if self.kind is not Kind.SCENE:
            return "登记方执行 certlane registry apply", "the registrar: certlane registry apply"
        if self.filed:
            return f"申请在途（{self.filed}）certlane registry show", f"its filing is on its way: {self.filed}"
        if self.version:
            return "提交续期申请 certlane registry submit", "a filing of renewal: certlane registry submit"
        return "提交申请 certlane registry submit", "a filing: certlane registry submit"


def changes(current: Mapping[str, bytes], wanted: Sequence[Wanted]) -> list[Change]:
    """The records that are new or would differ; what only the life cycle sets stays as it is in force."""
    out = []
    for wish in wanted:
        key = f"{wish.kind}/{wish.id}"
        old = decode_record(current[key]) if key in current else None
        body = _in_force(wish, old)
        fields = tuple(_fields("", _plain(old.body) if old else None, _plain(body)))
        if fields:
            filed = _filed(current.get(f"{Kind.FILING}/{wish.id}")) if wish.kind is Kind.SCENE else ""
            out.append(Change(key, wish.kind, old.version if old else 0, body, fields, filed))
    return out


def planned(current: Version, changed: Sequence[Change]) -> Snapshot:
    """The registry as it would be with these changes in force; raises RecordError."""
    records = {
        one.key: _encode(
            Record(kind=one.kind, id=one.key.partition("/")[2], version=one.version + 1, body=msgspec.Raw(one.body))
        )
        for one in changed
    }
    version = current.snapshot.version
    manifest = Manifest(
        version=version + 1,
        previous=version,
        count=len(current.records.keys() | records.keys()),
        root="",
        changed={},
        issued_at=0,
        expires_at=current.snapshot.expires_at,
    )
    return current.snapshot.after(manifest, records)


def _in_force(wish: Wanted, old: Record | None) -> bytes:
    """The body as it would stand: whether a scenario is suspended is no folder's to say."""
    if wish.kind is not Kind.SCENE:
        return bytes(wish.body)
    scene = msgspec.json.decode(wish.body, type=Scene)
    stands = msgspec.json.decode(old.body, type=Scene) if old else None
    status, by = (stands.status, stands.suspended_by) if stands else (SceneStatus.PUBLISHED, "")
    return _encode(replace(scene, status=status, suspended_by=by))


def _filed(record: bytes | None) -> str:
    """The state of a filing that still waits for somebody."""
    state = msgspec.json.decode(decode_record(record).body, type=Filing).state if record else State.DRAFT
    return state.value if state in _ON_ITS_WAY else ""


def _plain(body: bytes) -> Any:
    return msgspec.json.decode(body)


def _fields(path: str, old: Any, new: Any) -> Iterator[FieldChange]:
    """Value by value; entries of lists are matched by what names them, lists of names by their members."""
    if old == new:
        return
    if isinstance(new, dict) and isinstance(old, dict | None):
        before = old or {}
        for name in [*new, *(one for one in before if one not in new)]:
            yield from _fields(f"{path}.{name}" if path else name, before.get(name), new.get(name))
    elif _entries(old) and _entries(new):
        before, after = _by_name(old), _by_name(new)
        for name in dict.fromkeys((*after, *before)):
            yield from _fields(f"{path}[{name}]", before.get(name), after.get(name))
    elif isinstance(old, list) and isinstance(new, list):
        gone, come = [one for one in old if one not in new], [one for one in new if one not in old]
        yield FieldChange(path, "、".join(map(_text, gone)), "、".join(map(_text, come)))
    else:
        yield FieldChange(path, _text(old), _text(new))


def _entries(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _by_name(entries: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for place, entry in enumerate(entries):
        key = entry.get("jwk")
        inner = key if isinstance(key, dict) else entry
        name = next((str(inner[one]) for one in _NAMED_BY if one in inner), str(place))
        out[name if name not in out else f"{name}#{place}"] = entry
    return out


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
