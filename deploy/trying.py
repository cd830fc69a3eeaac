"""Would it be granted: requests as a scenario would have them but for what is named, asked of the judge; pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, NamedTuple

from schemas.checks import citizen_check
from schemas.consents import Consent, OpenedConsent
from schemas.form import Form
from schemas.holders import CITIZEN_ID_TYPE, USCC_TYPE, HolderCategory
from schemas.identifiers import CertificateId
from schemas.interfaces import INTERFACES
from schemas.items import NO_DATA, RequestItem
from schemas.regions import PROVINCES
from schemas.sharing import DIGEST, Head, VerifyFileRequest
from workers.judge import Case, Grant, Refusal, judge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.registry.compiled import CompiledScene, CompiledType
    from broker.registry.snapshot import Snapshot
    from schemas.registry import Application
    from schemas.sharing import Asked

_NOBODY = "99000119900101001" + citizen_check("99000119900101001")  # area 990xxx is nobody's
_ID = "0" * 32
_WITH_FIELDS = frozenset(("I4", "I5"))
_SECOND_MS = 1_000


class Wish(NamedTuple):
    """What is named of a request that is not made yet; all else is as the scenario has it."""

    scene: str
    type_code: str | None = None
    field: str | None = None
    interface: str | None = None
    province: str | None = None
    application: str | None = None
    item: str | None = None
    org: str | None = None
    purpose: str | None = None


class Tried(NamedTuple):
    """One request that would be made, and what the judge says of it; without a type it is a service code's."""

    province: str
    interface: str
    type_code: str
    case: Case
    result: Grant | Refusal


class _Place(NamedTuple):
    """One of the combinations that a wish leaves open."""

    province: str
    interface: str
    type_code: str


def tried(wish: Wish, snapshot: Snapshot, now_ms: int) -> list[Tried]:
    """Every province, interface and type that the wish leaves open and the scenario names."""
    requests = _Requests(wish, snapshot, now_ms)
    out = []
    for place in dict.fromkeys(_open(wish, requests.scene)):
        case = requests.case(place)
        out.append(Tried(*place, case, judge(case, snapshot, place.province, now_ms)))
    return out


def _open(wish: Wish, scene: CompiledScene | None) -> Iterator[_Place]:
    if wish.interface != "I7":
        for type_code in (wish.type_code,) if wish.type_code else tuple(scene.types) if scene else ("",):
            granted = scene.types.get(type_code) if scene else None
            sources = (wish.province,) if wish.province else sorted(granted.sources) if granted else PROVINCES
            for interface in _interfaces(wish, granted):
                yield from (_Place(province, interface, type_code) for province in sources)
    all_open = not (wish.interface or wish.type_code or wish.field)
    if wish.interface == "I7" or (all_open and scene is not None and scene.code_sources):
        sources = (wish.province,) if wish.province else sorted(scene.code_sources if scene else ()) or PROVINCES
        yield from (_Place(province, "I7", "") for province in sources)


def _interfaces(wish: Wish, granted: CompiledType | None) -> tuple[str, ...]:
    """Those that the scenario grants, for a field those that have fields; where it grants none, one that shows why."""
    if wish.interface:
        return (wish.interface,)
    own = tuple(one for one in sorted(granted.interfaces if granted else ()) if not wish.field or one in _WITH_FIELDS)
    return own or ("I4",)


class _Requests:
    """Requests that the scenario would grant, but for what the wish names."""

    def __init__(self, wish: Wish, snapshot: Snapshot, now_ms: int) -> None:
        self._wish, self._snapshot, self._now = wish, snapshot, now_ms
        self.scene = snapshot.scenes.get(wish.scene)
        self._application = _application(wish, snapshot, self.scene)
        self._node = self._application.node if self._application else ""
        scene = self.scene.scene if self.scene else None
        self._head = Head(
            scene_code=wish.scene,
            org_code=wish.org or (scene.use_org_code if scene else ""),
            username="—",
            item_code=wish.item or (scene.items[0].item_code if scene else ""),
            business_code="—",
            use_for=wish.purpose or (next(iter(scene.purposes), "") if scene else ""),
        )

    def case(self, place: _Place) -> Case:
        item = RequestItem(
            id=_ID,
            interface=place.interface,
            application=self._application.id if self._application else self._wish.application or "",
            deadline=self._now,
            head=self._head,
            data=NO_DATA,
            address=_address(self._application),
        )
        holder = _holder(self._snapshot, self.scene, place.type_code)
        identifier = CertificateId(type_code=place.type_code, issuer_code="", serial="", version="", check="")
        form = Form(identifier=identifier if place.interface in {"I2", "I4"} else None)
        consent = self._consent(item, place, holder)
        return Case(self._node, b"", item, self._data(place, holder), form, "", consent)

    def _consent(self, item: RequestItem, place: _Place, holder: tuple[str, str]) -> OpenedConsent | None:
        """A consent that the scenario accepts, where it needs one."""
        rule = self.scene.consent if self.scene else None
        if rule is None:
            return None
        claims = Consent(
            id=_ID,
            iss=place.province,
            mode=rule.modes[0],
            scene=self._wish.scene,
            node=self._node,
            application=item.application,
            org=self._head.org_code or "",
            types=(place.type_code,),
            holder={},
            iat=self._now,
            exp=self._now + _SECOND_MS,
            level=rule.level,
        )
        return OpenedConsent(claims, *holder)

    def _data(self, place: _Place, holder: tuple[str, str]) -> Asked:
        fields = (self._wish.field,) if self._wish.field else None
        granted = self.scene.types.get(place.type_code) if self.scene else None
        own: dict[str, Any] = {"type_code": place.type_code, "fields": fields, "number": "—"}
        own |= {"holder_code": holder[0], "holder_type_code": holder[1], "certificate_id": f"—.{place.type_code}"}
        own |= {"file_format": min(granted.formats, default=None) if granted else None}
        own |= {"content_type": DIGEST, "content": "0" * 64, "code": "—", "pos": "—", "use": "—"}
        kind = INTERFACES[place.interface].request
        skipped = {"certificate_id"} if kind is VerifyFileRequest else set()
        return kind(**{name: own[name] for name in kind.__struct_fields__ if name in own.keys() - skipped})


def _application(wish: Wish, snapshot: Snapshot, scene: CompiledScene | None) -> Application | None:
    """The one that is named, else one of the scenario's that may call from somewhere."""
    if wish.application:
        return snapshot.applications.get(wish.application)
    named = scene.scene.applications if scene else tuple(snapshot.applications)
    known = [found for one in named if (found := snapshot.applications.get(one))]
    usable = [one for one in known if not one.suspended and one.addresses]
    return next(iter((*usable, *known)), None)


def _address(application: Application | None) -> str | None:
    """An address of the application's first network."""
    if application is None or not application.addresses:
        return None
    try:
        return str(ipaddress.ip_network(application.addresses[0], strict=False)[0])
    except ValueError:
        return None


def _holder(snapshot: Snapshot, scene: CompiledScene | None, type_code: str) -> tuple[str, str]:
    """Somebody who does not exist, of the type's kind if the scenario is for it: code and its type."""
    entry = snapshot.catalogue.get(type_code)
    types = scene.holder_types if scene else frozenset()
    of_body = entry is not None and entry.entry.holder_category == HolderCategory.ORGANISATION
    if (of_body and USCC_TYPE in types) or CITIZEN_ID_TYPE not in types:
        return (scene.organisation if scene else "", USCC_TYPE)
    return _NOBODY, CITIZEN_ID_TYPE
