"""GET /v1/scenes and /v1/types: what the calling application may ask, from the registry in use."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from broker.bus.clock import iso, now_ms
from broker.gateway.answers import head_of
from schemas import statuses
from schemas.answers import GRANTABLE
from schemas.offers import (
    OfferedBasis,
    OfferedCode,
    OfferedConsent,
    OfferedField,
    OfferedGrant,
    OfferedScene,
    OfferedType,
    ScenesAnswer,
    TypesAnswer,
)
from schemas.regions import BY_PROVINCE
from schemas.scenes import ConsentMode, SceneStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from starlette.requests import Request

    from broker.registry.compiled import CompiledScene
    from broker.registry.snapshot import Snapshot
    from schemas.catalogue import CatalogueEntry
    from schemas.registry import Application
    from schemas.scenes import ConsentRule, Scene, SceneType

_encode = msgspec.json.Encoder().encode
_TOLD = (SceneStatus.PUBLISHED, SceneStatus.SUSPENDED)
_PROOF = {
    ConsentMode.CODE: "扫描持证主体出示的政务服务码，先调用 I7，将答复中的 authToken 填入 head.authCode",
    ConsentMode.ONLINE: "将持证主体的在线授权凭证（实名等级不低于 {level}）填入 head.authCode",
    ConsentMode.AGENT: "将代理人的委托授权凭证填入 head.authCode",
    ConsentMode.NONE: "依法无需授权，不填 head.authCode",
}


class Offers:
    """Tells an application its scenarios and the certificate types in them."""

    def __init__(self, *, application: Callable[[Request], Application], snapshot: Callable[[], Snapshot]) -> None:
        self._application, self._snapshot = application, snapshot
        self._indexed: Callable[[], Snapshot | None] = lambda: None
        self._index: Mapping[str, Sequence[CompiledScene]] = {}

    async def scenes(self, request: Request) -> Response:
        """The scenarios that the application may name now, and those that are only suspended."""
        application, snapshot = self._application(request), self._snapshot()
        rows = tuple(_scene(one, snapshot) for one in await self._open(snapshot, application))
        return _written(ScenesAnswer(total=len(rows), data_list=rows))

    async def types(self, request: Request) -> Response:
        """The certificate types that it may ask for now: where they are shared, what of them is granted somewhere."""
        application, snapshot = self._application(request), self._snapshot()
        granted: dict[str, list[tuple[str, SceneType]]] = {}
        for compiled in await self._open(snapshot, application):
            if compiled.scene.status is SceneStatus.PUBLISHED:
                for one in _shared(compiled.scene, snapshot):
                    granted.setdefault(one.type_code, []).append((compiled.scene.scene_code, one))
        rows = tuple(_type(snapshot.catalogue[code].entry, several) for code, several in sorted(granted.items()))
        return _written(TypesAnswer(total=len(rows), data_list=rows))

    async def _open(self, snapshot: Snapshot, application: Application) -> list[CompiledScene]:
        """Published or suspended, in their window, and open to this application."""
        if self._indexed() is not snapshot:  # once a version, and beside the calls: there may be a million
            index: Mapping[str, Sequence[CompiledScene]] = await asyncio.to_thread(_by_application, snapshot)
            self._indexed, self._index = weakref.ref(snapshot), index
        else:
            index = self._index
        now = now_ms()
        return [
            one
            for one in index.get(application.id, ())
            if one.scene.status in _TOLD and one.scene.valid_from <= now < one.scene.valid_to
        ]


def _by_application(snapshot: Snapshot) -> dict[str, list[CompiledScene]]:
    """Each application's scenarios, in the order of their codes."""
    index: dict[str, list[CompiledScene]] = {}
    for one in snapshot.scenes.values():
        for name in one.scene.applications:
            index.setdefault(name, []).append(one)
    for several in index.values():
        several.sort(key=lambda one: one.scene.scene_code)
    return index


def _scene(compiled: CompiledScene, snapshot: Snapshot) -> OfferedScene:
    scene, code = compiled.scene, compiled.scene.service_code
    return OfferedScene(
        scene_code=scene.scene_code,
        scene_name=scene.scene_name,
        version=compiled.version,
        status=scene.status,
        items=scene.items,
        org_code=scene.use_org_code,
        org_name=scene.use_org_name,
        use_for=scene.purposes,
        purpose_text=scene.purpose_text,
        valid_from=iso(scene.valid_from),
        valid_to=iso(scene.valid_to),
        legal_basis=OfferedBasis(kind=scene.legal_basis.kind, text=scene.legal_basis.text),
        consent=_consent(scene.consent, agents=scene.agent_allowed),
        limits=scene.limits,
        retention=scene.retention,
        holder_kinds=tuple(f"{kind}" for kind in scene.holder_kinds),
        types=tuple(_grant(one, snapshot.catalogue[one.type_code].entry) for one in _shared(scene, snapshot)),
        service_code=OfferedCode(region_codes=_regions(code.source_provinces), fields=code.fields) if code else None,
    )


def _consent(rule: ConsentRule, *, agents: bool) -> OfferedConsent:
    if rule.mode is ConsentMode.NONE:
        return OfferedConsent(modes=(ConsentMode.NONE,), send=_PROOF[ConsentMode.NONE])
    modes = (rule.mode, ConsentMode.AGENT) if agents and rule.mode is not ConsentMode.AGENT else (rule.mode,)
    return OfferedConsent(
        modes=modes,
        send="；或".join(_PROOF[mode].format(level=rule.level) for mode in modes),
        level=rule.level,
        ttl_seconds=rule.ttl_seconds,
        one_time=rule.one_time,
    )


def _shared(scene: Scene, snapshot: Snapshot) -> list[SceneType]:
    """What it grants of types that the catalogue has."""
    return [one for one in scene.types if one.type_code in snapshot.catalogue]


def _grant(one: SceneType, entry: CatalogueEntry) -> OfferedGrant:
    """As the judge would grant it: nothing that the catalogue does not share, masked what stands in both lists."""
    possible = GRANTABLE | {field.column for field in entry.fields}
    return OfferedGrant(
        certificate_type_code=one.type_code,
        certificate_type=entry.type_name,
        region_codes=_regions(set(one.source_provinces) & set(entry.provinces)),
        interfaces=tuple(key for key in one.interfaces if key in entry.interfaces),
        fields=tuple(name for name in one.fields if name in possible and name not in one.masked_fields),
        masked_fields=tuple(name for name in one.masked_fields if name in possible),
        file_formats=one.file_formats,
        original=one.allow_original,
        copy_max_days=one.copy_max_days,
        number_required=not one.by_holder_only,
    )


def _type(entry: CatalogueEntry, granted: Sequence[tuple[str, SceneType]]) -> OfferedType:
    told = [_grant(one, entry) for _, one in granted]
    whole = {name for one in told for name in one.fields}
    named = whole | {name for one in told for name in one.masked_fields}
    return OfferedType(
        certificate_type_code=entry.type_code,
        certificate_type=entry.type_name,
        aliases=tuple(sorted(entry.names - {entry.type_name})),
        holder_category=entry.holder_category,
        validity_range=entry.validity_range,
        scene_codes=tuple(code for code, _ in granted),
        region_codes=tuple(sorted({code for one in told for code in one.region_codes})),
        interfaces=tuple(sorted({key for one in told for key in one.interfaces})),
        file_formats=tuple(sorted({name for one in told for name in one.file_formats})),
        fields=tuple(
            OfferedField(column_name=field.column, name=field.label, masked=field.column not in whole)
            for field in entry.fields
            if field.column in named
        ),
    )


def _regions(provinces: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(BY_PROVINCE[one].code if one in BY_PROVINCE else one for one in provinces))


def _written(data: ScenesAnswer | TypesAnswer) -> Response:
    return Response(_encode({"head": head_of(statuses.OK), "data": data}), media_type="application/json")
