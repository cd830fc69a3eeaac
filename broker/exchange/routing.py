"""Which provinces are asked: pure (DESIGN §6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.interfaces import Subject
from schemas.regions import PROVINCES, province_of_area

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from broker.registry.compiled import CompiledScene
    from broker.registry.snapshot import Snapshot
    from schemas.form import Form
    from schemas.interfaces import Interface
    from schemas.sharing import Asked


def chosen(interface: Interface, form: Form) -> bool:
    """Whether the provinces are our choice, so that the answer says of each what came of it."""
    return interface.subject is Subject.HOLDER or (interface.subject is Subject.FILE and form.identifier is None)


def route(form: Form, region_codes: Sequence[str] | None, sources: Collection[str]) -> tuple[str, ...]:
    """The provinces for a request: the code's issuer, the identifier's, else the regions named, else the sources.

    Empty when none of them belongs to the exchange.
    """
    if form.code:
        return (form.code.province,) if form.code.province in PROVINCES else ()
    area = form.identifier.issuer_area if form.identifier else None
    if area and (owner := province_of_area(area)):
        return (owner,)
    if region_codes:
        named = [province for code in region_codes if (province := province_of_area(code))]
        return tuple(dict.fromkeys(named))
    return tuple(province for province in PROVINCES if province in sources)


def sources_of(snapshot: Snapshot, scene_code: str | None, interface: Interface, data: Asked) -> frozenset[str]:
    """The scenario's provinces for what is asked; all of its provinces when it does not grant that: they refuse it."""
    scene = snapshot.scenes.get(scene_code or "")
    if scene is None:
        return frozenset()
    types = scene.types
    wanted = _types(snapshot, scene, data)
    granted = [types[code].sources for code in wanted if interface.key in types[code].interfaces]
    return frozenset().union(*(granted or [one.sources for one in types.values()]))


def _types(snapshot: Snapshot, scene: CompiledScene, data: Asked) -> list[str]:
    """The scenario's types that a request names by code or by name; without either all of them."""
    code, name = getattr(data, "type_code", None), getattr(data, "type_name", None)
    if code:
        return [code] if code in scene.types else []
    if name:
        return [one for one in scene.types if one in snapshot.catalogue and name in snapshot.catalogue[one].names]
    return list(scene.types)
