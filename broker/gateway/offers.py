"""GET /v1/scenes and /v1/types: what the calling application may ask, from the registry in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from broker.bus.clock import iso, now_ms
from broker.gateway.answers import head_of
from schemas import statuses
from schemas.offers import (
    OfferedCode,
    OfferedField,
    OfferedGrant,
    OfferedScene,
    OfferedType,
    ScenesAnswer,
    TypesAnswer,
)
from schemas.regions import BY_PROVINCE
from schemas.scenes import SceneStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from starlette.requests import Request

    from broker.registry.compiled import CompiledScene
    from broker.registry.snapshot import Snapshot
    from schemas.registry import Application
    from schemas.scenes import SceneType

_encode = msgspec.json.Encoder().encode


class Offers:
    """Tells an application its scenarios and the certificate types in them."""

    def __init__(self, *, application: Callable[[Request], Application], snapshot: Callable[[], Snapshot]) -> None:
        self._application, self._snapshot = application, snapshot

    async def scenes(self, request: Request) -> Response:
        """The scenarios that the application may name now."""
        application = self._application(request)
        rows = tuple(_scene(one) for one in _open(self._snapshot(), application))
        return _written(ScenesAnswer(total=len(rows), data_list=rows))

    async def types(self, request: Request) -> Response:
        """The certificate types of those scenarios: where they are shared, and what of them is granted somewhere."""
        application, snapshot = self._application(request), self._snapshot()
        granted: dict[str, list[SceneType]] = {}
        for compiled in _open(snapshot, application):
            for one in compiled.scene.types:
                if one.type_code in snapshot.catalogue:
                    granted.setdefault(one.type_code, []).append(one)
        rows = tuple(_type(snapshot, code, several) for code, several in sorted(granted.items()))
        return _written(TypesAnswer(total=len(rows), data_list=rows))


def _open(snapshot: Snapshot, application: Application) -> list[CompiledScene]:
    """Published, in their window, and open to this application."""
    now = now_ms()
    return [
        one
        for _, one in sorted(snapshot.scenes.items())
        if application.id in one.applications
        and one.scene.status is SceneStatus.PUBLISHED
        and one.scene.valid_from <= now < one.scene.valid_to
    ]


def _scene(compiled: CompiledScene) -> OfferedScene:
    scene, code = compiled.scene, compiled.scene.service_code
    return OfferedScene(
        scene_code=scene.scene_code,
        scene_name=scene.scene_name,
        version=compiled.version,
        items=scene.items,
        org_code=scene.use_org_code,
        org_name=scene.use_org_name,
        use_for=scene.purposes,
        purpose_text=scene.purpose_text,
        valid_from=iso(scene.valid_from),
        valid_to=iso(scene.valid_to),
        types=tuple(_grant(one) for one in scene.types),
        service_code=OfferedCode(region_codes=_regions(code.source_provinces), fields=code.fields) if code else None,
    )


def _grant(one: SceneType) -> OfferedGrant:
    return OfferedGrant(
        certificate_type_code=one.type_code,
        region_codes=_regions(one.source_provinces),
        interfaces=one.interfaces,
        fields=one.fields,
        masked_fields=one.masked_fields,
        file_formats=one.file_formats,
        original=one.allow_original,
        number_required=not one.by_holder_only,
    )


def _type(snapshot: Snapshot, code: str, granted: Sequence[SceneType]) -> OfferedType:
    entry = snapshot.catalogue[code].entry
    named = {name for one in granted for name in (*one.fields, *one.masked_fields)}
    return OfferedType(
        certificate_type_code=code,
        certificate_type=entry.type_name,
        aliases=tuple(sorted(entry.names - {entry.type_name})),
        holder_category=entry.holder_category,
        region_codes=_regions({province for one in granted for province in one.source_provinces}),
        interfaces=tuple(sorted({key for one in granted for key in one.interfaces if key in entry.interfaces})),
        fields=tuple(
            OfferedField(column_name=field.column, name=field.label) for field in entry.fields if field.column in named
        ),
    )


def _regions(provinces: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(BY_PROVINCE[one].code if one in BY_PROVINCE else one for one in provinces))


def _written(data: ScenesAnswer | TypesAnswer) -> Response:
    return Response(_encode({"head": head_of(statuses.OK), "data": data}), media_type="application/json")
