"""The judgement: pure, deny by default, in the order of DOMAIN §8.4; the first condition that fails decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from schemas import statuses
from schemas.answers import ALWAYS_TOLD
from schemas.form import FILE_FORMATS, blank, purpose
from schemas.scenes import SceneStatus
from schemas.sharing import (
    DataByHolderRequest,
    DataByIdRequest,
    FileByHolderRequest,
    FileByIdRequest,
    SearchRequest,
    VerifyCodeRequest,
    VerifyFileRequest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.registry.compiled import CompiledScene, CompiledType
    from broker.registry.snapshot import Snapshot
    from schemas.consents import OpenedConsent
    from schemas.form import Form
    from schemas.items import RequestItem
    from schemas.scenes import Limits
    from schemas.sharing import Asked


ALWAYS = frozenset(ALWAYS_TOLD)
NOTHING: frozenset[str] = frozenset()
# What decides about one type, in its order; of several types the one that came furthest says why none is granted.
_OF_TYPE = ("catalogue", "type", "region", "interface", "number", "format", "original", "field")


class Case(NamedTuple):
    """One request as it lies before the judge: typed, complete, and from a node whose signature was verified."""

    node: str
    raw: bytes  # the item exactly as it came
    item: RequestItem
    data: Asked
    form: Form
    digest: str
    consent: OpenedConsent | None = None
    consent_wrong: str = ""  # why what came as a consent is none; "" when nothing came


class Grant(NamedTuple):
    """What may be released under this version of the scenario: of each type, or of a code's holder in full.

    Before that `limits` are counted and `uses` (`<consent>:<interface>:<type>`) are used up, all or nothing.
    """

    scenario: str
    types: Mapping[str, CompiledType]
    code_fields: frozenset[str] = NOTHING
    limits: Limits | None = None
    uses: tuple[str, ...] = ()


class Refusal(NamedTuple):
    """Why not: the status code and the condition that decided."""

    code: int
    condition: str
    scenario: str = ""
    detail: str = ""


def judge(case: Case, snapshot: Snapshot, province: str, now_ms: int) -> Grant | Refusal:
    """Grant or Refusal of one request at this province; complete form (12, 400x) was checked before."""
    item, head = case.item, case.item.head
    application = snapshot.applications.get(item.application)

    # 1 message security: the signature was verified when the lot was opened; here whose application, and from where
    if application is None or application.suspended or application.node != case.node:
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
    if purpose(head, case.data) not in compiled.purposes:
        return Refusal(statuses.PURPOSE_NOT_ALLOWED, "purpose", name)

    # 6 type and interface, at this source; then 11, the fields asked for by name
    return _at_this_source(case, compiled, snapshot, province)


def _at_this_source(case: Case, compiled: CompiledScene, snapshot: Snapshot, province: str) -> Grant | Refusal:
    if not isinstance(case.data, VerifyCodeRequest):
        return _of_types(case, compiled, snapshot, province)
    # a service code is of no type: the scenario says whose codes it may verify
    if province not in compiled.code_sources:
        return Refusal(statuses.INTERFACE_NOT_ALLOWED, "interface", compiled.name)
    return Grant(compiled.name, {}, compiled.code_fields)


def _of_types(case: Case, compiled: CompiledScene, snapshot: Snapshot, province: str) -> Grant | Refusal:
    name, data, identifier = compiled.name, case.data, case.form.identifier
    if isinstance(data, VerifyFileRequest) and identifier and identifier.type_code != data.type_code:
        return Refusal(statuses.BAD_VALUE, "identifier", name, "data.certificateID 与 data.certTypeCode 不一致")
    results = {one: _of_type(case, one, compiled, snapshot, province) for one in _types_asked(case, compiled, snapshot)}
    granted = {one: result for one, result in results.items() if not isinstance(result, Refusal)}
    if granted:
        return Grant(name, granted)
    if isinstance(data, SearchRequest) and not (data.type_code or data.type_name):
        return Refusal(statuses.INTERFACE_NOT_ALLOWED, "interface", name)
    refusals = [result for result in results.values() if isinstance(result, Refusal)]
    unknown = Refusal(statuses.TYPE_UNPUBLISHED, "catalogue", name)
    return max(refusals, key=lambda refusal: _OF_TYPE.index(refusal.condition), default=unknown)


def _types_asked(case: Case, compiled: CompiledScene, snapshot: Snapshot) -> Sequence[str]:
    """The identifier's type, the type's code, every type of that name; a search for none asks for all."""
    data, identifier = case.data, case.form.identifier
    if identifier is not None:
        return (identifier.type_code,)
    if type_code := getattr(data, "type_code", None):
        return (type_code,)
    if type_name := getattr(data, "type_name", None):
        return snapshot.types_named(type_name)
    return tuple(compiled.types)


def _of_type(
    case: Case, type_code: str, compiled: CompiledScene, snapshot: Snapshot, province: str
) -> CompiledType | Refusal:
    name, data = compiled.name, case.data
    entry = snapshot.catalogue.get(type_code)
    if entry is None or province not in entry.provinces:
        return Refusal(statuses.TYPE_UNPUBLISHED, "catalogue", name)
    granted = compiled.types.get(type_code)
    if granted is None:
        return Refusal(statuses.TYPE_NOT_ALLOWED, "type", name)
    if province not in granted.sources:
        return Refusal(statuses.TYPE_NOT_ALLOWED, "region", name)
    if case.item.interface not in granted.interfaces:
        return Refusal(statuses.INTERFACE_NOT_ALLOWED, "interface", name)
    by_holder = (DataByHolderRequest, FileByHolderRequest)
    if isinstance(data, by_holder) and blank(data.number) and not granted.by_holder_only:
        return Refusal(statuses.REQUIRED_EMPTY, "number", name, "请填写 data.certificateNumber")
    if isinstance(data, (DataByIdRequest, DataByHolderRequest)):
        return _narrowed(granted, data.fields, name)
    if isinstance(data, (FileByIdRequest, FileByHolderRequest)):
        return _of_file(granted, data, name)
    return granted


def _narrowed(granted: CompiledType, fields: tuple[str, ...] | None, name: str) -> CompiledType | Refusal:
    """Only the fields that are asked for by name; without names all that are granted."""
    if not fields:
        return granted
    wanted = frozenset(fields) - ALWAYS
    if not wanted <= granted.granted:
        return Refusal(statuses.FIELD_NOT_ALLOWED, "field", name)
    return granted._replace(granted=wanted, withheld=())


def _of_file(granted: CompiledType, data: FileByIdRequest | FileByHolderRequest, name: str) -> CompiledType | Refusal:
    """A granted format, as the original; whoever wants or may only have an annotated copy (加注件) gets none yet."""
    if file_format(data) not in granted.formats:
        return Refusal(statuses.INTERFACE_NOT_ALLOWED, "format", name, "所请求的文件格式不在该场景授权范围内")
    if data.original and not granted.original:
        return Refusal(statuses.INTERFACE_NOT_ALLOWED, "original", name, "该场景未授权提供原件")
    copy_wanted = not data.original and (data.original is False or data.copy_cause or data.copy_expiring_time)
    if copy_wanted or not granted.original:
        return Refusal(statuses.NOT_OFFERED, "original", name, "暂不能出具加注件")
    return granted


def file_format(data: FileByIdRequest | FileByHolderRequest) -> str:
    """The format asked for, OFD unless told (DOMAIN §4, I2)."""
    return data.file_format or FILE_FORMATS[0]
