"""A request that is granted, all that a judgement looks at, and every way to spoil it that a condition answers to."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from broker.registry.snapshot import Snapshot
from schemas.catalogue import CatalogueEntry
from schemas.consents import OpenedConsent
from schemas.form import check_form
from schemas.interfaces import INTERFACES
from schemas.items import RequestItem, decode_data
from schemas.registry import Application, Withdrawal
from schemas.scenes import ConsentMode, ConsentRule, HolderKind, Scene, SceneCode, SceneStatus, TimeOfDay
from schemas.sharing import Asked
from tests.support import request
from tests.support_registry import (
    CARD,
    CITIZEN_ID,
    LICENCE,
    NODE,
    ORG,
    OTHER_NODE,
    OTHER_ORG,
    PROVINCE,
    UNSHARED,
    application,
    compiled,
    consent,
    entry,
    identifier_of,
    scene,
)
from workers.judge import Case, Grant, Refusal, judge

NOW: Final = 1_780_000_000_000  # 04:26:40 in Shanghai
ALL: Final = tuple(INTERFACES)
WITH_TYPES: Final = ("I1", "I2", "I3", "I4", "I5", "I6")
BY_HOLDER: Final = ("I1", "I3", "I5")


class Setting(NamedTuple):
    """All that a judgement looks at."""

    application: Application | None
    catalogue: tuple[CatalogueEntry, ...]
    scene: Scene | None
    node: str
    item: RequestItem
    data: Asked
    province: str
    consent: OpenedConsent | None
    withdrawn: tuple[Withdrawal, ...] = ()
    consent_wrong: str = ""


def good(interface: str = "I4") -> Setting:
    """A request that is granted."""
    item = replace(request(1, interface), deadline=NOW + 60_000)
    data = decode_data(item)
    assert data is not None
    asks_consent = replace(scene(), consent=ConsentRule(mode=ConsentMode.ONLINE, one_time=False))
    opened = OpenedConsent(
        replace(consent(NOW), types=(CARD, LICENCE), case=item.head.business_code), CITIZEN_ID, "111"
    )
    return Setting(application(), (entry(CARD), entry(LICENCE)), asks_consent, NODE, item, data, PROVINCE, opened)


def snapshot(setting: Setting) -> Snapshot:
    there = [body for body in (setting.application, setting.scene) if body is not None]
    return compiled(*there, *setting.catalogue, *setting.withdrawn)


def case_of(setting: Setting) -> Case:
    interface = INTERFACES[setting.item.interface]
    form = check_form(interface, good(interface.key).item.head, setting.data)  # a head's form is not the judge's
    return Case(setting.node, b"{}", setting.item, setting.data, form, "digest", setting.consent, setting.consent_wrong)


def judged(setting: Setting) -> Grant | Refusal:
    return judge(case_of(setting), snapshot(setting), setting.province, NOW)


def refused(setting: Setting) -> tuple[int, str]:
    result = judged(setting)
    assert isinstance(result, Refusal)
    return result.code, result.condition


Change = Callable[[Setting], Setting]


def of_head(**changes: str | None) -> Change:
    return lambda setting: setting._replace(item=replace(setting.item, head=replace(setting.item.head, **changes)))


def of_item(**changes: object) -> Change:
    return lambda setting: setting._replace(item=replace(setting.item, **changes))


def of_application(**changes: object) -> Change:
    return lambda setting: setting._replace(application=setting.application and replace(setting.application, **changes))


def of_scene(**changes: object) -> Change:
    return lambda setting: setting._replace(scene=setting.scene and replace(setting.scene, **changes))


def of_type(**changes: object) -> Change:
    def change(setting: Setting) -> Setting:
        if setting.scene is None:
            return setting
        types = tuple(replace(one, **changes) for one in setting.scene.types)
        return setting._replace(scene=replace(setting.scene, types=types))

    return change


def of_data(**changes: object) -> Change:
    return lambda setting: setting._replace(data=replace(setting.data, **changes))


def of_limits(**changes: object) -> Change:
    def change(setting: Setting) -> Setting:
        return of_scene(limits=replace(setting.scene.limits, **changes))(setting) if setting.scene else setting

    return change


def of_rule(**changes: object) -> Change:
    def change(setting: Setting) -> Setting:
        return of_scene(consent=replace(setting.scene.consent, **changes))(setting) if setting.scene else setting

    return change


def of_consent(**changes: object) -> Change:
    def change(setting: Setting) -> Setting:
        opened = setting.consent
        return setting._replace(consent=opened and opened._replace(claims=replace(opened.claims, **changes)))

    return change


def of_consenting(**changes: Any) -> Change:
    return lambda setting: setting._replace(consent=setting.consent and setting.consent._replace(**changes))


def withdrawing(setting: Setting) -> Setting:
    return setting._replace(withdrawn=(Withdrawal(id=consent(NOW).name, until=NOW + 60_000),))


def asking_for(type_code: str) -> Change:
    """The same request for a certificate of this type."""

    def change(setting: Setting) -> Setting:
        by_type = hasattr(setting.data, "type_code")
        return of_data(**({"type_code": type_code} if by_type else {"certificate_id": identifier_of(1, type_code)}))(
            setting
        )

    return change


class Breaker(NamedTuple):
    """What spoils a good request: the step of the judgement it fails at, what is said of it, for which interfaces."""

    step: int
    code: int
    condition: str
    spoil: Change
    interfaces: tuple[str, ...] = ALL


NIGHT: Final = TimeOfDay(start="08:00", end="04:26")  # until a minute ago

# Steps in the order of DOMAIN §8.4; inside a step in the order of its codes there, 13 just before 3005 (DESIGN §6).
BREAKERS: Final = {
    "application of another node": Breaker(10, 2005, "node", lambda setting: setting._replace(node=OTHER_NODE)),
    "application unknown": Breaker(11, 3004, "application", of_item(application="nobody")),
    "application suspended": Breaker(11, 3004, "application", of_application(suspended=True)),
    "no address": Breaker(12, 2006, "address", of_item(address=None)),
    "address outside": Breaker(12, 2006, "address", of_item(address="198.51.100.7")),
    "address unreadable": Breaker(12, 2006, "address", of_item(address="localhost")),
    "no address registered": Breaker(12, 2006, "address", of_application(addresses=())),
    "scene unknown": Breaker(20, 3001, "scene", of_head(scene_code="YRD-310000-2026-99999")),
    "no scene": Breaker(20, 3001, "scene", of_head(scene_code=None)),
    "scene suspended": Breaker(20, 3001, "scene", of_scene(status=SceneStatus.SUSPENDED)),
    "scene revoked": Breaker(20, 3001, "scene", of_scene(status=SceneStatus.REVOKED)),
    "before the window": Breaker(21, 3002, "window", of_scene(valid_from=NOW + 1)),
    "after the window": Breaker(21, 3002, "window", of_scene(valid_to=NOW)),
    "hours": Breaker(22, 3002, "hours", of_limits(time_of_day=NIGHT)),
    "item": Breaker(30, 3003, "item", of_head(item_code=f"{ORG}2000999001001")),
    "organisation of another scene": Breaker(31, 3004, "organisation", of_head(org_code=OTHER_ORG)),
    "organisation not the application's": Breaker(31, 3004, "organisation", of_application(org_codes=(OTHER_ORG,))),
    "application not in the scene": Breaker(32, 3004, "applications", of_scene(applications=("another",))),
    "no operator": Breaker(40, 3013, "operator", of_head(username=None)),
    "blank operator": Breaker(40, 3013, "operator", of_head(username=" \t")),
    "purpose": Breaker(50, 3011, "purpose", of_head(use_for="SUPERVISION")),
    "identifier of another type": Breaker(
        60, 102, "identifier", of_data(certificate_id=identifier_of(1, LICENCE)), ("I6",)
    ),
    "type unknown to the catalogue": Breaker(61, 13, "catalogue", asking_for(UNSHARED), WITH_TYPES),
    "type not shared here": Breaker(
        61,
        13,
        "catalogue",
        lambda setting: setting._replace(catalogue=tuple(replace(e, provinces=("31",)) for e in setting.catalogue)),
        WITH_TYPES,
    ),
    "name unknown": Breaker(61, 13, "catalogue", of_data(type_code=None, type_name="没有这种证照"), BY_HOLDER),
    "type not in the scene": Breaker(62, 3005, "type", asking_for(LICENCE), WITH_TYPES),
    "region": Breaker(63, 3005, "region", of_type(source_provinces=("31",)), WITH_TYPES),
    "holder of another kind": Breaker(64, 3005, "holder", of_scene(holder_kinds=(HolderKind.ORGANISATION,)), BY_HOLDER),
    "interface": Breaker(65, 3006, "interface", of_type(interfaces=("I9",)), WITH_TYPES),
    "no service codes": Breaker(65, 3006, "interface", of_scene(service_code=None), ("I7",)),
    "another's service codes": Breaker(
        65, 3006, "interface", of_scene(service_code=SceneCode(source_provinces=("31",))), ("I7",)
    ),
    "no number": Breaker(66, 12, "number", of_data(number=None), ("I3", "I5")),
    "blank number": Breaker(66, 12, "number", of_data(number=" "), ("I3", "I5")),
    "format": Breaker(67, 3006, "format", of_data(file_format="png"), ("I2", "I3")),
    "format unless told": Breaker(67, 3006, "format", of_type(file_formats=("pdf",)), ("I2", "I3")),
    "copy": Breaker(68, 2, "original", of_type(allow_original=False), ("I2", "I3")),
    "copy asked for": Breaker(68, 2, "original", of_data(original=False), ("I2", "I3")),
    "copy with a cause": Breaker(68, 2, "original", of_data(copy_cause="企业设立登记"), ("I2", "I3")),
    "copy with an end": Breaker(68, 2, "original", of_data(copy_expiring_time="2026-07-01"), ("I2", "I3")),
    "no consent": Breaker(80, 3008, "consent", lambda setting: setting._replace(consent=None), WITH_TYPES),
    "consent for another scene": Breaker(80, 3008, "consent", of_consent(scene="YRD-310000-2026-00002"), WITH_TYPES),
    "consent for another case": Breaker(80, 3008, "consent", of_consent(case="TEST-2"), WITH_TYPES),
    "consent for another node": Breaker(80, 3008, "consent", of_consent(node=OTHER_NODE), WITH_TYPES),
    "consent for another application": Breaker(80, 3008, "consent", of_consent(application="another"), WITH_TYPES),
    "consent for another organisation": Breaker(80, 3008, "consent", of_consent(org=OTHER_ORG), WITH_TYPES),
    "consent in another way": Breaker(80, 3008, "consent", of_consent(mode=ConsentMode.CODE), WITH_TYPES),
    "consent of an agent": Breaker(80, 3008, "consent", of_consent(mode=ConsentMode.AGENT), WITH_TYPES),
    "consent of too low a level": Breaker(80, 3008, "consent", of_rule(level=1), WITH_TYPES),
    "consent of tomorrow": Breaker(80, 3008, "consent", of_consent(iat=NOW + 2_001), WITH_TYPES),
    "consent of another holder": Breaker(80, 3008, "consent", of_consenting(holder_code="X"), BY_HOLDER),
    "consent of another kind of holder": Breaker(80, 3008, "consent", of_consenting(holder_type_code="414"), BY_HOLDER),
    "consent for other types": Breaker(80, 3008, "consent", of_consent(types=(UNSHARED,)), WITH_TYPES),
    "consent for no type": Breaker(80, 3008, "consent", of_consent(types=()), WITH_TYPES),
    "consent expired": Breaker(81, 3009, "consent", of_consent(exp=NOW), WITH_TYPES),
    "consent older than the scenario allows": Breaker(81, 3009, "consent", of_rule(ttl_seconds=1), WITH_TYPES),
    "consent withdrawn": Breaker(81, 3009, "consent", withdrawing, WITH_TYPES),
    "too many records": Breaker(90, 3010, "records", of_limits(max_records=9), ("I1",)),
    "field": Breaker(110, 3007, "field", of_data(fields=("KZ_XM", "KZ_ZZ")), ("I4", "I5")),
}
