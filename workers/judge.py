"""The judgement: pure, deny by default, in the order of DOMAIN §8.4; the first condition that fails decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from schemas import statuses
from schemas.form import blank, purpose
from schemas.registry import SceneStatus
from schemas.sharing import ALWAYS_TOLD

if TYPE_CHECKING:
    from broker.registry.snapshot import CompiledScene, Snapshot
    from schemas.identifiers import CertificateId
    from schemas.items import RequestItem
    from schemas.sharing import CertificateDataByIdRequest


ALWAYS = frozenset(ALWAYS_TOLD)


class Asked(NamedTuple):
    """One request as it lies before the judge: typed, complete, and from a node whose signature was verified."""

    node: str
    raw: bytes  # the item exactly as it came
    item: RequestItem
    data: CertificateDataByIdRequest
    identifier: CertificateId | None  # None only where the form was refused
    digest: str


class Grant(NamedTuple):
    """What may be released: these fields of this type, under this version of the scenario."""

    scenario: str
    identifier: CertificateId
    fields: frozenset[str]
    masked: frozenset[str]
    withheld: tuple[str, ...]


class Refusal(NamedTuple):
    """Why not: the status code and the condition that decided."""

    code: int
    condition: str
    scenario: str = ""
    detail: str = ""


def judge(asked: Asked, snapshot: Snapshot, province: str, now_ms: int) -> Grant | Refusal:
    """Grant or Refusal of one request at this province; complete form (12, 400x) was checked before."""
    item, head = asked.item, asked.item.head
    application = snapshot.applications.get(item.application)

    # 1 message security: the signature was verified when the lot was opened; here whose application, and from where
    if application is None or application.suspended or application.node != asked.node:
        return Refusal(statuses.CALLER_NOT_ALLOWED, "application")
    if item.address is None or not snapshot.address_allowed(item.application, item.address):
        return Refusal(statuses.ADDRESS_NOT_ALLOWED, "address")

    # 2 scene published, in window, not suspended
    compiled = snapshot.scenes.get(head.scene_code or "")
    if compiled is None or compiled.scene.status is not SceneStatus.PUBLISHED:
        return Refusal(statuses.SCENE_UNKNOWN, "scene")
    scene, name = compiled.scene, compiled.name
    if not scene.valid_from <= now_ms < scene.valid_to:
        return Refusal(statuses.SCENE_WINDOW, "window", name)

    # 3 item, organisation, application
    if head.item_code not in compiled.items:
        return Refusal(statuses.ITEM_NOT_IN_SCENE, "item", name)
    if head.org_code != scene.use_org_code or head.org_code not in application.org_codes:
        return Refusal(statuses.CALLER_NOT_ALLOWED, "organisation", name)
    if item.application not in compiled.applications:
        return Refusal(statuses.CALLER_NOT_ALLOWED, "application", name)

    # 4 operator present
    if blank(head.username):
        return Refusal(statuses.OPERATOR_MISSING, "operator", name, "请填写 head.username")

    # 5 purpose
    if purpose(head, asked.data) not in compiled.purposes:
        return Refusal(statuses.PURPOSE_NOT_ALLOWED, "purpose", name)

    # 6 type and interface, at this source; then 11, the fields asked for by name
    return _of_type(asked, compiled, snapshot, province)


def _of_type(asked: Asked, compiled: CompiledScene, snapshot: Snapshot, province: str) -> Grant | Refusal:
    name, identifier = compiled.name, asked.identifier
    entry = snapshot.catalogue.get(identifier.type_code) if identifier else None
    if identifier is None or entry is None or province not in entry.provinces:
        return Refusal(statuses.TYPE_UNPUBLISHED, "catalogue", name)
    granted = compiled.types.get(identifier.type_code)
    if granted is None:
        return Refusal(statuses.TYPE_NOT_ALLOWED, "type", name)
    if province not in granted.sources:
        return Refusal(statuses.TYPE_NOT_ALLOWED, "region", name)
    if asked.item.interface not in granted.interfaces:
        return Refusal(statuses.INTERFACE_NOT_ALLOWED, "interface", name)
    if not asked.data.fields:
        return Grant(name, identifier, granted.granted, granted.masked, granted.withheld)
    wanted = frozenset(asked.data.fields) - ALWAYS
    if not wanted <= granted.granted:
        return Refusal(statuses.FIELD_NOT_ALLOWED, "field", name)
    return Grant(name, identifier, wanted, granted.masked, ())
