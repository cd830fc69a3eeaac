"""The judgement: pure, deny by default, in the order of DOMAIN §8.4; the first condition that fails decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from broker.registry.compiled import MINUTES_A_DAY
from schemas import statuses
from schemas.answers import ALWAYS_TOLD
from schemas.form import FILE_FORMATS, blank, purpose
from schemas.sharing import (
    DataByHolderRequest,
    DataByIdRequest,
    FileByHolderRequest,
    FileByIdRequest,
    SearchRequest,
    VerifyCodeRequest,
    VerifyFileRequest,
)
from workers.conditions import CONDITIONS
from workers.consented import WRONG, ended, unfit, uses

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from broker.registry.compiled import CompiledConsent, CompiledHours, CompiledScene, CompiledType
    from broker.registry.snapshot import Snapshot
    from schemas.consents import OpenedConsent
    from schemas.form import Form
    from schemas.items import RequestItem
    from schemas.scenes import Limits
    from schemas.sharing import Asked


ALWAYS = frozenset(ALWAYS_TOLD)
NOTHING: frozenset[str] = frozenset()
_STEPS = [(condition.name, code) for condition in CONDITIONS for code in condition.codes]
_SHANGHAI_MINUTES = 8 * 60  # ahead of UTC, all year


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


class Grant(Struct, frozen=True):
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


class _Asks(NamedTuple):
    """What a request asks with, by its class; to look it up is quicker than to ask of what class it is."""

    by_holder: bool = False
    one_of_holder: bool = False  # by a certificate's number besides
    file: bool = False
    pages: bool = False
    fields: bool = False


_ASKS: Mapping[type, _Asks] = {
    SearchRequest: _Asks(by_holder=True, pages=True),
    FileByIdRequest: _Asks(file=True),
    FileByHolderRequest: _Asks(by_holder=True, one_of_holder=True, file=True),
    DataByIdRequest: _Asks(fields=True),
    DataByHolderRequest: _Asks(by_holder=True, one_of_holder=True, fields=True),
    VerifyFileRequest: _Asks(),
}


def judge(case: Case, snapshot: Snapshot, province: str, now_ms: int) -> Grant | Refusal:  # noqa: C901 # one list
    """Grant or Refusal of one request at this province; complete form (12, 400x) was checked before."""
    item, head = case.item, case.item.head
    application = snapshot.applications.get(item.application)

    # 1 message security: the signature was verified when the lot was opened; here whose application, and from where
    if application is not None and application.node != case.node:
        return Refusal(statuses.WRONG_CHANNEL, "node")
    if application is None or application.suspended:
        return Refusal(statuses.CALLER_NOT_ALLOWED, "application")
    if item.address is None or not snapshot.address_allowed(item.application, item.address):
        return Refusal(statuses.ADDRESS_NOT_ALLOWED, "address")

    # 2 scene published, not suspended, in its window and its hours
    scene = snapshot.scenes.get(head.scene_code or "")
    if scene is None or not scene.published:
        return Refusal(statuses.SCENE_UNKNOWN, "scene")
    if not scene.valid_from <= now_ms < scene.valid_to:
        return Refusal(statuses.SCENE_WINDOW, "window", scene.name)
    if scene.hours is not None and not _within(scene.hours, now_ms):
        return Refusal(statuses.SCENE_WINDOW, "hours", scene.name)

    # 3 item, organisation, application
    if head.item_code not in scene.items:
        return Refusal(statuses.ITEM_NOT_IN_SCENE, "item", scene.name)
    if head.org_code != scene.organisation or head.org_code not in application.org_codes:
        return Refusal(statuses.CALLER_NOT_ALLOWED, "organisation", scene.name)
    if item.application not in scene.applications:
        return Refusal(statuses.CALLER_NOT_ALLOWED, "applications", scene.name)

    # 4 operator present; 5 purpose
    if blank(head.username):
        return Refusal(statuses.OPERATOR_MISSING, "operator", scene.name, "请填写 head.username")
    if head.use_for not in scene.purposes and not _is_its_purpose(purpose(head, case.data), scene):
        return Refusal(statuses.PURPOSE_NOT_ALLOWED, "purpose", scene.name)
    return _of_what_is_asked(case, scene, snapshot, province, now_ms)


def _is_its_purpose(told: str, scene: CompiledScene) -> bool:
    return told in scene.purposes or told == scene.purpose_text


def _within(hours: CompiledHours, now_ms: int) -> bool:
    return (now_ms // 60_000 + _SHANGHAI_MINUTES - hours.start) % MINUTES_A_DAY < hours.length


def _of_what_is_asked(
    case: Case, scene: CompiledScene, snapshot: Snapshot, province: str, now_ms: int
) -> Grant | Refusal:
    """Step 6 on: of the one type that is asked for, of each of a name or of the scenario, or of no type at all."""
    data, identifier = case.data, case.form.identifier
    if type(data) is VerifyCodeRequest:  # a service code is of no type: the scenario says whose it may verify
        if province not in scene.code_sources:
            return Refusal(statuses.INTERFACE_NOT_ALLOWED, "interface", scene.name)
        return Grant(scene.name, {}, scene.code_fields, scene.limits)
    type_code = identifier.type_code if identifier is not None else getattr(data, "type_code", None)
    if not type_code:
        return _of_types(case, scene, snapshot, province, now_ms)
    if type(data) is VerifyFileRequest and data.type_code != type_code:
        return Refusal(statuses.BAD_VALUE, "identifier", scene.name, "data.certificateID 与 data.certTypeCode 不一致")
    result = _of_type(case, type_code, scene, snapshot, province, now_ms=now_ms)
    return result if isinstance(result, Refusal) else _granted(case, scene, {type_code: result})


def _of_types(case: Case, scene: CompiledScene, snapshot: Snapshot, province: str, now_ms: int) -> Grant | Refusal:
    """Every type of the name, or of the scenario in a search for none, that passes alone; else what got furthest."""
    named: str | None = getattr(case.data, "type_name", None)
    everything = isinstance(case.data, SearchRequest) and not named
    types: Sequence[str] = tuple(scene.types) if everything else snapshot.types_named(named or "")
    results = {one: _of_type(case, one, scene, snapshot, province, now_ms=now_ms) for one in types}
    granted = {one: result for one, result in results.items() if not isinstance(result, Refusal)}
    if granted:
        return _granted(case, scene, granted)
    refusals = [result for result in results.values() if isinstance(result, Refusal)]
    if everything:  # who names no type is not told which it may not have, but that none can be searched for
        refusals = [one for one in refusals if one.condition not in _OF_ITS_TYPE]
        return max(refusals, key=_place, default=Refusal(statuses.INTERFACE_NOT_ALLOWED, "interface", scene.name))
    return max(refusals, key=_place, default=Refusal(statuses.TYPE_UNPUBLISHED, "catalogue", scene.name))


_OF_ITS_TYPE = ("catalogue", "region")


def _place(refusal: Refusal) -> int:
    return _STEPS.index((refusal.condition, refusal.code))


def _granted(case: Case, scene: CompiledScene, types: Mapping[str, CompiledType]) -> Grant:
    rule = scene.consent
    used = uses(case.consent, rule, case.item.interface, types) if rule is not None else ()
    return Grant(scene.name, types, NOTHING, scene.limits, used)


def _of_type(  # noqa: C901 # one list
    case: Case, type_code: str, scene: CompiledScene, snapshot: Snapshot, province: str, *, now_ms: int
) -> CompiledType | Refusal:
    """What may be told of one type."""
    name = scene.name
    data: Any = case.data  # what it has follows from its row
    asks = _ASKS[type(data)]

    # 6 type, source, holder and interface; then what this interface asks for in particular
    entry = snapshot.catalogue.get(type_code)
    if entry is None or province not in entry.provinces:
        return Refusal(statuses.TYPE_UNPUBLISHED, "catalogue", name)
    granted = scene.types.get(type_code)
    if granted is None:
        return Refusal(statuses.TYPE_NOT_ALLOWED, "type", name)
    if province not in granted.sources:
        return Refusal(statuses.TYPE_NOT_ALLOWED, "region", name)
    if asks.by_holder and data.holder_type_code not in scene.holder_types:
        return Refusal(statuses.TYPE_NOT_ALLOWED, "holder", name, "该场景不适用于此类持证主体")
    if case.item.interface not in granted.interfaces:
        return Refusal(statuses.INTERFACE_NOT_ALLOWED, "interface", name)
    if asks.one_of_holder and not granted.by_holder_only and blank(data.number):
        return Refusal(statuses.REQUIRED_EMPTY, "number", name, "请填写 data.certificateNumber")
    if asks.file and (wrong := _wrong_file(granted, data, name)):
        return wrong

    # 7 is the release's, which knows the name; 8 the holder's consent; 9 records; the rest of it are effects
    rule = scene.consent
    if rule is not None and (wrong := _wrong_consent(case, type_code, name, rule, snapshot.withdrawn, now_ms=now_ms)):
        return wrong
    if asks.pages and data.page_no * data.page_size > scene.max_records:
        return Refusal(statuses.QUOTA_USED_UP, "records", name, f"该场景每次至多 {scene.max_records} 条")

    # 11 the fields asked for by name; without names all that are granted
    if asks.fields and data.fields:
        return _narrowed(granted, data.fields, name)
    return granted


def _wrong_file(granted: CompiledType, data: FileByIdRequest | FileByHolderRequest, name: str) -> Refusal | None:
    """A granted format, as the original; whoever wants or may only have an annotated copy (加注件) gets none yet."""
    if file_format(data) not in granted.formats:
        return Refusal(statuses.INTERFACE_NOT_ALLOWED, "format", name, "所请求的文件格式不在该场景授权范围内")
    if data.original and not granted.original:
        return Refusal(statuses.INTERFACE_NOT_ALLOWED, "original", name, "该场景未授权提供原件")
    copy_wanted = not data.original and (data.original is False or data.copy_cause or data.copy_expiring_time)
    if copy_wanted or not granted.original:
        return Refusal(statuses.NOT_OFFERED, "original", name, "暂不能出具加注件")
    return None


def _wrong_consent(
    case: Case, type_code: str, name: str, rule: CompiledConsent, withdrawn: Container[str], *, now_ms: int
) -> Refusal | None:
    """What is wrong with the consent for this type: that there is none for it, or that it has ended."""
    opened = case.consent
    if opened is None:
        return Refusal(statuses.CONSENT_MISSING, "consent", name, WRONG.get(case.consent_wrong, WRONG["form"]))
    if why := unfit(opened, rule, case.node, case.item, case.data, now_ms=now_ms):
        return Refusal(statuses.CONSENT_MISSING, "consent", name, why)
    if type_code not in opened.claims.types:
        return Refusal(statuses.CONSENT_MISSING, "consent", name, "授权不包括该证照类型")
    if why := ended(opened, rule, withdrawn, now_ms):
        return Refusal(statuses.CONSENT_ENDED, "consent", name, why)
    return None


def _narrowed(granted: CompiledType, fields: tuple[str, ...], name: str) -> CompiledType | Refusal:
    """Only the fields that are asked for by name."""
    allowed = granted.granted
    for field in fields:
        if field not in allowed and field not in ALWAYS:
            return Refusal(statuses.FIELD_NOT_ALLOWED, "field", name)
    return granted._replace(granted=frozenset(fields) - ALWAYS, withheld=())


def file_format(data: FileByIdRequest | FileByHolderRequest) -> str:
    """The format asked for, OFD unless told (DOMAIN §4, I2)."""
    return data.file_format or FILE_FORMATS[0]
