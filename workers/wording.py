"""What each condition of the judge was asked in one case, and what the registry says to it, in words; pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from broker.bus.clock import SHANGHAI
from schemas.catalogue import Mask
from schemas.form import purpose
from schemas.holders import HOLDER_TYPES
from schemas.scenes import ConsentMode
from schemas.sharing import (
    DataByHolderRequest,
    DataByIdRequest,
    FileByHolderRequest,
    FileByIdRequest,
    SearchRequest,
    VerifyFileRequest,
)
from workers.fields import MASKS, masked_holder_code
from workers.judge import file_format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from broker.registry.compiled import CompiledScene, CompiledType
    from broker.registry.snapshot import Snapshot
    from workers.judge import Case

_MANY = 12  # of a list, more is told by its number


class Look(NamedTuple):
    """All that a step may tell of: the case, the version, where and when; `full` tells personal data too."""

    case: Case
    snapshot: Snapshot
    province: str
    now_ms: int
    full: bool = False

    @property
    def scene(self) -> CompiledScene | None:
        return self.snapshot.scenes.get(self.case.item.head.scene_code or "")

    @property
    def types(self) -> Sequence[str]:
        """The types that are asked for, by code or by name; a search for none asks for all of the scenario."""
        data, identifier = self.case.data, self.case.form.identifier
        if identifier is not None:
            return (identifier.type_code,)
        if type_code := getattr(data, "type_code", None):
            return (type_code,)
        if type_name := getattr(data, "type_name", None):
            return self.snapshot.types_named(type_name)
        return tuple(self.scene.types) if self.scene and isinstance(data, SearchRequest) else ()

    @property
    def granted(self) -> dict[str, CompiledType]:
        """What the scenario grants of the types that are asked for."""
        scene = self.scene
        return {one: scene.types[one] for one in self.types if one in scene.types} if scene else {}


def told(look: Look, name: str) -> tuple[str, str]:
    """What the condition of this name was asked and what the registry says; both "" where it does not apply."""
    telling = _TELLING.get(name)
    if telling is None or (name not in _WITHOUT_SCENE and look.scene is None):
        return "", ""
    return telling(look)


def _application(look: Look) -> tuple[str, str]:
    found = look.snapshot.applications.get(look.case.item.application)
    if found is None:
        return look.case.item.application, "未登记 / not registered"
    return found.id, "已暂停 / suspended" if found.suspended else f"已登记 / registered: {found.node}"


def _node(look: Look) -> tuple[str, str]:
    found = look.snapshot.applications.get(look.case.item.application)
    return look.case.node, found.node if found else "—"


def _address(look: Look) -> tuple[str, str]:
    found = look.snapshot.applications.get(look.case.item.application)
    return look.case.item.address or "—", _list(found.addresses if found else ())


def _scene(look: Look) -> tuple[str, str]:
    asked, found = look.case.item.head.scene_code or "—", look.scene
    return asked, f"{found.name} {found.scene.status}" if found else "没有该场景 / no such scenario"


def _window(look: Look) -> tuple[str, str]:
    scene = _of(look).scene
    return clock(look.now_ms), f"{clock(scene.valid_from)} – {clock(scene.valid_to)}"


def _hours(look: Look) -> tuple[str, str]:
    hours = _of(look).scene.limits.time_of_day
    return (clock(look.now_ms)[11:16], f"{hours.start}–{hours.end}") if hours else ("", "")


def _item(look: Look) -> tuple[str, str]:
    return look.case.item.head.item_code or "—", _list(_of(look).items)


def _organisation(look: Look) -> tuple[str, str]:
    found = look.snapshot.applications.get(look.case.item.application)
    of_application = f"；应用可代 / application for: {_list(found.org_codes)}" if found else ""
    return look.case.item.head.org_code or "—", f"{_of(look).scene.use_org_code}{of_application}"


def _applications(look: Look) -> tuple[str, str]:
    return look.case.item.application, _list(_of(look).applications)


def _operator(look: Look) -> tuple[str, str]:
    name = look.case.item.head.username or ""
    return (name if look.full or not name else MASKS[Mask.NAME](name)) or "—", "必填 / required"


def _purpose(look: Look) -> tuple[str, str]:
    return purpose(look.case.item.head, look.case.data) or "—", _list(
        (*sorted(_of(look).purposes), _of(look).purpose_text)
    )


def _identifier(look: Look) -> tuple[str, str]:
    data, identifier = look.case.data, look.case.form.identifier
    if not isinstance(data, VerifyFileRequest) or identifier is None:
        return "", ""
    return data.type_code or "—", identifier.type_code


def _catalogue(look: Look) -> tuple[str, str]:
    asked = _list(look.types) if look.types else getattr(look.case.data, "type_name", None) or ""
    entries = [(one, look.snapshot.catalogue.get(one)) for one in look.types]
    says = _list(f"{one}: {_list(found.provinces) if found else '未发布 / unpublished'}" for one, found in entries)
    return (asked, says or "目录中没有 / not in the catalogue") if asked else ("", "")


def _type(look: Look) -> tuple[str, str]:
    return _list(look.types), _list(_of(look).types)


def _region(look: Look) -> tuple[str, str]:
    granted = _list(f"{one}: {_list(found.sources)}" for one, found in look.granted.items())
    return look.province, granted or _list(_of(look).code_sources)


def _interface(look: Look) -> tuple[str, str]:
    granted = _list(f"{one}: {_list(found.interfaces)}" for one, found in look.granted.items())
    codes = f"I7: {_list(_of(look).code_sources)}" if look.case.item.interface == "I7" else "—"
    return look.case.item.interface, granted or codes


def _number(look: Look) -> tuple[str, str]:
    data = look.case.data
    if not isinstance(data, (DataByHolderRequest, FileByHolderRequest)):
        return "", ""
    number = data.number or ""
    free = all(one.by_holder_only for one in look.granted.values())
    return (
        number if look.full else MASKS[Mask.NUMBER](number)
    ) or "—", "可不填 / optional" if free else "必填 / required"


def _format(look: Look) -> tuple[str, str]:
    data = look.case.data
    if not isinstance(data, (FileByIdRequest, FileByHolderRequest)):
        return "", ""
    return file_format(data), _list(name for one in look.granted.values() for name in one.formats)


def _original(look: Look) -> tuple[str, str]:
    data = look.case.data
    if not isinstance(data, (FileByIdRequest, FileByHolderRequest)):
        return "", ""
    asked = "—" if data.original is None else "原件 / original" if data.original else "加注件 / annotated copy"
    may = any(one.original for one in look.granted.values())
    return asked, "可提供原件 / originals" if may else "不提供原件 / no originals"


def _field(look: Look) -> tuple[str, str]:
    data = look.case.data
    if not isinstance(data, (DataByIdRequest, DataByHolderRequest)):
        return "", ""
    granted = {name for one in look.granted.values() for name in one.granted}
    return _list(data.fields) if data.fields else "全部已授权 / all that is granted", _list(granted)


def _holder(look: Look) -> tuple[str, str]:
    data = look.case.data
    code: str = getattr(data, "holder_code", None) or ""
    kind: str = getattr(data, "holder_type_code", None) or ""
    if not code or kind not in HOLDER_TYPES:
        return "", ""
    told = code if look.full else masked_holder_code(kind, code)
    return f"{HOLDER_TYPES[kind].category} {kind} {told}", _list(_of(look).scene.holder_kinds)


def _consent(look: Look) -> tuple[str, str]:
    rule, found = _of(look).scene.consent, look.case.consent
    if rule.mode is ConsentMode.NONE:
        return "", ""
    once = "，一次 / once" if rule.one_time else ""
    level = f"，实名 / level ≥ {rule.level}" if rule.level else ""
    says = f"{rule.mode}，{rule.ttl_seconds} s{once}{level}"
    if found is None:
        return (f"不可用 / unusable: {look.case.consent_wrong}" if look.case.consent_wrong else "未提供 / none"), says
    claims = found.claims
    told = f"{claims.name} {claims.mode} {claims.scene} – {clock(claims.exp)}"
    withdrawn = "，已撤销 / withdrawn" if claims.name in look.snapshot.withdrawn else ""
    return told, says + withdrawn


def _records(look: Look) -> tuple[str, str]:
    data, most = look.case.data, _of(look).scene.limits.max_records
    if most is None or not isinstance(data, SearchRequest):
        return "", ""
    return f"{data.page_no} × {data.page_size}", str(most)


_TELLING: dict[str, Callable[[Look], tuple[str, str]]] = {
    "application": _application,
    "node": _node,
    "address": _address,
    "scene": _scene,
    "window": _window,
    "hours": _hours,
    "item": _item,
    "organisation": _organisation,
    "applications": _applications,
    "operator": _operator,
    "purpose": _purpose,
    "identifier": _identifier,
    "catalogue": _catalogue,
    "type": _type,
    "region": _region,
    "interface": _interface,
    "number": _number,
    "format": _format,
    "original": _original,
    "field": _field,
    "holder": _holder,
    "consent": _consent,
    "records": _records,
}
_WITHOUT_SCENE = frozenset(("application", "node", "address", "scene"))


def _of(look: Look) -> CompiledScene:
    assert look.scene is not None
    return look.scene


def _list(names: Iterable[str] | None) -> str:
    """Names in their order, the first dozen."""
    told = list(dict.fromkeys(names or ())) if isinstance(names, (list, tuple)) else sorted(set(names or ()))
    more = f" … ({len(told)})" if len(told) > _MANY else ""
    return "、".join(told[:_MANY]) + more


def clock(ms: int) -> str:
    """A time as an official reads it: yyyy-mm-dd hh:mm:ss in Shanghai."""
    try:
        return datetime.fromtimestamp(ms / 1000, SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(ms)
