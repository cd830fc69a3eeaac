"""GET /v1/scenes and /v1/types: what the calling application may ask, from the registry in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

from broker.bus.clock import iso, now_ms
from broker.gateway.answers import head_of
from schemas import statuses
from schemas.regions import REGIONS
from schemas.registry import SceneStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from starlette.requests import Request

    from broker.registry.snapshot import CompiledScene, Snapshot
    from schemas.registry import Application, SceneType

_CODE = {region.province: region.code for region in REGIONS}
_encode = msgspec.json.Encoder().encode


class Offers:
    """Tells an application its scenarios and the certificate types in them."""

    def __init__(self, *, application: Callable[[Request], Application], snapshot: Callable[[], Snapshot]) -> None:
        self._application, self._snapshot = application, snapshot

    async def scenes(self, request: Request) -> Response:
        """The scenarios that the application may name now."""
        application = self._application(request)
        return _listed([_scene(one) for one in _open(self._snapshot(), application)])

    async def types(self, request: Request) -> Response:
        """The certificate types of those scenarios: where they are shared, and what of them is granted somewhere."""
        application, snapshot = self._application(request), self._snapshot()
        granted: dict[str, list[SceneType]] = {}
        for compiled in _open(snapshot, application):
            for one in compiled.scene.types:
                if one.type_code in snapshot.catalogue:
                    granted.setdefault(one.type_code, []).append(one)
        return _listed([_type(snapshot, code, several) for code, several in sorted(granted.items())])


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


def _scene(compiled: CompiledScene) -> dict[str, Any]:
    scene = compiled.scene
    out: dict[str, Any] = {
        "sceneCode": scene.scene_code,
        "sceneName": scene.scene_name,
        "version": compiled.version,
        "items": scene.items,
        "orgCode": scene.use_org_code,
        "orgName": scene.use_org_name,
        "useFor": scene.purposes,
        "purposeText": scene.purpose_text,
        "validFrom": iso(scene.valid_from),
        "validTo": iso(scene.valid_to),
        "types": [_grant(one) for one in scene.types],
    }
    if scene.service_code:
        regions = _regions(scene.service_code.source_provinces)
        out["serviceCode"] = {"regionCodes": regions, "fields": scene.service_code.fields}
    return out


def _grant(one: SceneType) -> dict[str, Any]:
    return {
        "certificateTypeCode": one.type_code,
        "regionCodes": _regions(one.source_provinces),
        "interfaces": one.interfaces,
        "fields": one.fields,
        "maskedFields": one.masked_fields,
        "fileFormats": one.file_formats,
        "original": one.allow_original,
        "numberRequired": not one.by_holder_only,
    }


def _type(snapshot: Snapshot, code: str, granted: Sequence[SceneType]) -> dict[str, Any]:
    entry = snapshot.catalogue[code].entry
    named = {name for one in granted for name in (*one.fields, *one.masked_fields)}
    return {
        "certificateTypeCode": code,
        "certificateType": entry.type_name,
        "aliases": entry.aliases,
        "holderCategory": entry.holder_category,
        "regionCodes": _regions({province for one in granted for province in one.source_provinces}),
        "interfaces": sorted({key for one in granted for key in one.interfaces if key in entry.interfaces}),
        "fields": [
            {"columnName": field.column, "name": field.label} for field in entry.fields if field.column in named
        ],
    }


def _regions(provinces: Iterable[str]) -> list[str]:
    return sorted(_CODE.get(one, one) for one in provinces)


def _listed(rows: list[dict[str, Any]]) -> Response:
    body = {"head": head_of(statuses.OK), "data": {"total": len(rows), "dataList": rows}}
    return Response(_encode(body), media_type="application/json")
