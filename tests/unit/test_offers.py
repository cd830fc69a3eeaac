"""GET /v1/scenes and /v1/types: an application is told exactly what it may ask, as the judge would grant it."""

import json
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from msgspec.structs import replace
from starlette.requests import Request

from broker.gateway.offers import Offers
from broker.registry.snapshot import Snapshot
from schemas.offers import ScenesAnswer, TypesAnswer
from schemas.scenes import (
    ConsentMode,
    ConsentRule,
    HolderKind,
    Limits,
    Retention,
    Scene,
    SceneStatus,
    TimeOfDay,
)
from tests.support_registry import (
    APPLICATION,
    CARD,
    FAR_AHEAD,
    LICENCE,
    LONG_AGO,
    SCENE,
    UNSHARED,
    alias_of,
    application,
    compiled,
    entry,
    granted,
    scene,
)

REQUEST: Final = Request({"type": "http"})
OTHER: Final = "YRD-310000-2026-00002"


class Asking:
    """What one application is told while the registry holds these scenarios."""

    def __init__(self, *scenes: Scene, name: str = APPLICATION) -> None:
        self.name = name
        self.publish(*scenes)
        self._offers = Offers(
            application=lambda _: replace(application(), id=self.name), snapshot=lambda: self.snapshot
        )

    def publish(self, *scenes: Scene) -> None:
        self.snapshot: Snapshot = compiled(application(), entry(CARD), entry(LICENCE), *scenes)

    async def scenes(self) -> ScenesAnswer:
        body = bytes((await self._offers.scenes(REQUEST)).body)
        return msgspec.convert(json.loads(body)["data"], ScenesAnswer)

    async def types(self) -> TypesAnswer:
        body = bytes((await self._offers.types(REQUEST)).body)
        return msgspec.convert(json.loads(body)["data"], TypesAnswer)


async def test_a_scene() -> None:
    """A scenario is told with its window, consent, limits, hours, holders, retention, and what of each type."""
    limits = Limits(
        per_day=100, per_hour=10, per_holder_per_day=2, time_of_day=TimeOfDay(start="08:30", end="17:30"), max_records=5
    )
    kinds = (HolderKind.PERSON,)
    told = await Asking(replace(scene(), limits=limits, holder_kinds=kinds, retention=Retention(days=7))).scenes()
    (one,) = told.data_list
    assert (told.total, one.scene_code, one.version, one.status) == (1, SCENE, 1, "PUBLISHED")
    assert (one.valid_from, one.valid_to) == ("1970-01-01T00:00:00.000Z", "2100-01-01T00:00:00.000Z")
    assert (one.limits, one.holder_kinds, one.retention) == (limits, ("person",), Retention(days=7))
    assert (one.legal_basis.kind, one.legal_basis.text) == ("STATUTORY", "测试用")
    assert one.service_code is not None
    assert one.service_code.region_codes == ("310000", "320000")
    (card,) = one.types
    assert (card.certificate_type_code, card.certificate_type) == (CARD, "测试证照")
    assert card.region_codes == ("310000", "320000")
    assert card.interfaces == ("I1", "I2", "I3", "I4", "I5", "I6")
    assert card.fields == ("certificateName", "certificateHolder", "KZ_XM", "KZ_XB")
    assert card.masked_fields == ("certificateHolderCode", "KZ_GMSFHM")
    assert (card.file_formats, card.original, card.copy_max_days) == (("ofd", "pdf"), True, 90)
    assert card.number_required


@pytest.mark.parametrize(
    ("rule", "agents", "modes", "said"),
    [
        (ConsentRule(mode=ConsentMode.NONE), True, ("NONE",), ["不填 head.authCode"]),
        (ConsentRule(mode=ConsentMode.CODE), False, ("CODE",), ["I7", "authToken"]),
        (ConsentRule(mode=ConsentMode.ONLINE, level=3), False, ("ONLINE",), ["不低于 3"]),
        (ConsentRule(mode=ConsentMode.ONLINE, level=3), True, ("ONLINE", "AGENT"), ["不低于 3", "；或", "委托"]),
        (ConsentRule(mode=ConsentMode.AGENT), True, ("AGENT",), ["委托"]),
    ],
)
async def test_consent(rule: ConsentRule, agents: bool, modes: tuple[str, ...], said: list[str]) -> None:  # noqa: FBT001
    """Which consents are taken is told, and what to send for them."""
    told = await Asking(replace(scene(), consent=rule, agent_allowed=agents)).scenes()
    consent = told.data_list[0].consent
    assert consent.modes == modes
    assert all(part in consent.send for part in said)
    assert consent.send.count("；或") == len(modes) - 1
    asked = rule.mode is not ConsentMode.NONE
    assert (consent.level, consent.ttl_seconds, consent.one_time) == (
        (rule.level, 600, True) if asked else (0, 0, False)
    )


def _without_application(one: Scene) -> Scene:
    return replace(one, applications=("another",))


@pytest.mark.parametrize(
    ("change", "scenes", "types"),
    [
        (lambda one: one, [(OTHER, "PUBLISHED")], [CARD]),
        (lambda one: replace(one, status=SceneStatus.SUSPENDED), [(OTHER, "SUSPENDED")], []),
        (lambda one: replace(one, status=SceneStatus.REVOKED), [], []),
        (lambda one: replace(one, valid_to=LONG_AGO + 1), [], []),
        (lambda one: replace(one, valid_from=FAR_AHEAD - 1), [], []),
        (_without_application, [], []),
    ],
    ids=["published", "suspended", "revoked", "over", "not begun", "of others"],
)
async def test_which_scenes(change: Callable[[Scene], Scene], scenes: list[Any], types: list[str]) -> None:
    """Told are the scenarios that name the application, open now, suspended ones as such; types of the published."""
    asking = Asking(change(replace(scene(), scene_code=OTHER)))
    assert [(one.scene_code, one.status) for one in (await asking.scenes()).data_list] == scenes
    assert [one.certificate_type_code for one in (await asking.types()).data_list] == types


async def test_in_order_and_for_each_its_own() -> None:
    """Scenarios come in the order of their codes, and another application is told its own."""
    asking = Asking(
        replace(scene(), scene_code=OTHER),
        scene(),
        _without_application(replace(scene(), scene_code="YRD-310000-2026-00003")),
    )
    assert [one.scene_code for one in (await asking.scenes()).data_list] == [SCENE, OTHER]
    asking.name = "another"
    assert [one.scene_code for one in (await asking.scenes()).data_list] == ["YRD-310000-2026-00003"]
    asking.name = "nobody"
    assert (await asking.scenes()).total == (await asking.types()).total == 0


async def test_a_new_version_is_told_at_once() -> None:
    """What is told is the registry in use: a suspension is told as soon as it has come."""
    asking = Asking(scene())
    assert [one.status for one in (await asking.scenes()).data_list] == ["PUBLISHED"]
    before = asking.snapshot  # somebody may still hold it
    asking.publish(replace(scene(), status=SceneStatus.SUSPENDED))
    assert before.version == asking.snapshot.version
    assert [one.status for one in (await asking.scenes()).data_list] == ["SUSPENDED"]
    assert (await asking.types()).total == 0


async def test_what_the_catalogue_does_not_share() -> None:
    """Nothing is told that the judge would refuse: no type outside the catalogue, no field, province, interface."""
    wide = replace(
        granted(), source_provinces=("31", "32", "35"), interfaces=("I1", "I9"), fields=("KZ_XM", "KZ_XX"),
        masked_fields=("KZ_XM", "KZ_YY"),
    )  # fmt: skip
    asking = Asking(replace(scene(), types=(wide, replace(granted(), type_code=UNSHARED))))
    (one,) = (await asking.scenes()).data_list[0].types
    assert one.certificate_type_code == CARD
    assert one.region_codes == ("310000", "320000")
    assert (one.interfaces, one.fields, one.masked_fields) == (("I1",), (), ("KZ_XM",))
    (kind,) = (await asking.types()).data_list
    assert [(field.column_name, field.masked) for field in kind.fields] == [("KZ_XM", True)]


async def test_a_type() -> None:
    """A type is told with its names, and all that is granted of it somewhere, in full where some scenario does so."""
    less = replace(
        granted(), source_provinces=("33",), interfaces=("I1",), fields=("KZ_GMSFHM",), masked_fields=("KZ_ZZ",),
        file_formats=("png",),
    )  # fmt: skip
    asking = Asking(scene(), replace(scene(), scene_code=OTHER, types=(less,)))
    (kind,) = (await asking.types()).data_list
    assert (kind.certificate_type_code, kind.certificate_type, kind.aliases) == (CARD, "测试证照", (alias_of(CARD),))
    assert (kind.holder_category, kind.validity_range, kind.scene_codes) == ("person", "长期", (SCENE, OTHER))
    assert kind.region_codes == ("310000", "320000", "330000")
    assert kind.interfaces == ("I1", "I2", "I3", "I4", "I5", "I6")
    assert kind.file_formats == ("ofd", "pdf", "png")
    assert [(field.column_name, field.name, field.masked) for field in kind.fields] == [
        ("KZ_XM", "姓名", False),
        ("KZ_XB", "性别", False),
        ("KZ_ZZ", "住址", True),
        ("KZ_GMSFHM", "公民身份号码", False),
    ]
