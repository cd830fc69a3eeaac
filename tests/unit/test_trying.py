"""`registry why` before any call is made: what is not named is as the scenario has it, what is named is judged."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from deploy.trying import Tried, Wish, tried
from schemas.scenes import ConsentMode, ConsentRule, HolderKind, Limits, Scene, SceneStatus
from tests.support_registry import (
    CARD,
    LICENCE,
    OTHER_ORG,
    PROVINCE,
    SCENE,
    UNSHARED,
    application,
    compiled,
    entry,
    granted,
    scene,
)
from workers.judge import Refusal

NOW = 1_780_000_000_000
SCENES: dict[str, Scene] = {
    "statutory": scene(),
    "by consent": replace(scene(), consent=ConsentRule(mode=ConsentMode.ONLINE, level=3)),
    "by code": replace(scene(), consent=ConsentRule(mode=ConsentMode.CODE)),
    "of organisations": replace(scene(), holder_kinds=(HolderKind.ORGANISATION,)),
    "of few records": replace(scene(), limits=Limits(per_day=1, per_holder_per_day=1, max_records=10)),
    "in its text": replace(scene(), purposes=("GOV_SERVICE",)),
}


def asked(wish: Wish, one: Scene | None = None) -> list[Tried]:
    return tried(wish, compiled(application(), entry(CARD), entry(LICENCE), one or scene()), NOW)


def refusals(found: list[Tried]) -> set[tuple[int, str]]:
    return {(one.result.code, one.result.condition) for one in found if isinstance(one.result, Refusal)}


@pytest.mark.parametrize("name", SCENES)
def test_all_that_a_scenario_names_is_granted(name: str) -> None:
    """With nothing named, every interface, type and source of the scenario is tried, and each is granted."""
    found = asked(Wish(SCENE), SCENES[name])
    assert refusals(found) == set()
    assert {(one.province, one.interface, one.type_code) for one in found} == {
        *((province, interface, CARD) for province in ("31", PROVINCE) for interface in granted().interfaces),
        *((province, "I7", "") for province in ("31", PROVINCE)),
    }


@pytest.mark.parametrize(
    ("named", "code", "condition"),
    [
        ({"type_code": LICENCE}, 3005, "type"),
        ({"type_code": UNSHARED}, 13, "catalogue"),
        ({"field": "KZ_ZZ"}, 3007, "field"),
        ({"type_code": CARD, "field": "KZ_ZZ", "interface": "I5"}, 3007, "field"),
        ({"province": "33", "type_code": CARD}, 3005, "region"),
        ({"province": "33", "interface": "I7"}, 3006, "interface"),
        ({"application": "nobody"}, 3004, "application"),
        ({"item": "1"}, 3003, "item"),
        ({"org": OTHER_ORG}, 3004, "organisation"),
        ({"purpose": "SUPERVISION"}, 3011, "purpose"),
    ],
)
def test_what_is_named_is_judged(named: dict[str, Any], code: int, condition: str) -> None:
    """One thing named that the scenario does not have is refused at its condition, whatever is left open."""
    found = asked(Wish(SCENE, **named))
    assert refusals(found) == {(code, condition)}
    assert all(isinstance(one.result, Refusal) for one in found)


@pytest.mark.parametrize(
    "named",
    [{"field": "KZ_XM"}, {"type_code": CARD, "interface": "I2"}, {"province": "31"}, {"purpose": scene().purpose_text}],
)
def test_what_is_named_and_granted_is_granted(named: dict[str, Any]) -> None:
    """Naming something that the scenario has narrows what is tried and refuses nothing."""
    found = asked(Wish(SCENE, **named))
    assert found
    assert refusals(found) == set()
    assert len(found) < len(asked(Wish(SCENE))) or "purpose" in named


def test_a_scenario_that_is_not_there_is_3001() -> None:
    """An unknown scenario is one refusal, a suspended one refuses all that it names."""
    assert [refusals([one]) for one in asked(Wish("YRD-310000-2026-99999"))] == [{(3001, "scene")}] * 4
    suspended = asked(Wish(SCENE), replace(scene(), status=SceneStatus.SUSPENDED))
    assert refusals(suspended) == {(3001, "scene")}
    assert len(suspended) == len(asked(Wish(SCENE)))
