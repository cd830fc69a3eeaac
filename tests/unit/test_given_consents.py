"""The simulated consent service: what it signs, and what its command says to a wrong wish."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from broker.bus.keys import KeyOpener, make_keys
from broker.registry.snapshot import Snapshot
from deploy.cli.consent import _named
from deploy.cli.main import run
from deploy.demo.consents import Yes, new_consent
from schemas.consents import Consent, OpenedConsent, open_consent
from schemas.scenes import ConsentMode, ConsentRule, Scene
from tests.support import KEYS
from tests.support_registry import (
    APPLICATION,
    CARD,
    CITIZEN_ID,
    LICENCE,
    NODE,
    ORG,
    PROVINCE,
    SCENE,
    bodies,
    compiled,
    party,
    scene,
)

NOW: Final = 1_780_300_000_000
YES: Final = Yes(SCENE, CITIZEN_ID, NOW + 1_000)


def registry(**changes: Any) -> Snapshot:
    """A registry whose scenario lives on online consents of level 3."""
    rule = ConsentRule(mode=ConsentMode.ONLINE, level=3)
    others = [body for body in bodies() if not isinstance(body, Scene)]
    living = replace(scene(), **{"consent": rule, **changes})
    return compiled(*others, living, *(party(KEYS[name]) for name in ("31", PROVINCE)))


def given(yes: Yes = YES, at: Snapshot | None = None) -> tuple[Consent, OpenedConsent]:
    """What Shanghai signs, and what Jiangsu reads of it."""
    at = at or registry()
    consent, token = new_consent(yes, KEYS["31"], at, NOW)
    return consent, open_consent(token, at, KeyOpener(KEYS[PROVINCE].sealing), PROVINCE, NOW)


def test_an_online_consent() -> None:
    """It is the scenario's own way, for its first application, all its types and any case, until when it says."""
    consent, opened = given(YES._replace(level=3))
    claims = opened.claims
    assert (claims.mode, claims.level, claims.once, claims.case) == (ConsentMode.ONLINE, 3, True, "")
    assert (claims.node, claims.application, claims.org) == (NODE, APPLICATION, ORG)
    assert (claims.types, claims.iat, claims.exp) == ((CARD,), NOW, NOW + 1_000)
    assert opened[1:] == (CITIZEN_ID, "111", "")
    assert claims.name == consent.name == f"31.{consent.id}"


def test_a_mandate() -> None:
    """With an agent it is a mandate; an organisation is known by its code."""
    _, opened = given(Yes(SCENE, ORG, NOW + 1, agent="41400000001", types=(CARD,), case="TEST-1"))
    assert opened[1:] == (ORG, "001", "41400000001")
    assert (opened.claims.mode, opened.claims.case) == (ConsentMode.AGENT, "TEST-1")


def test_each_is_another() -> None:
    """No two consents have one id."""
    assert given()[0].id != given()[0].id


def test_once() -> None:
    """It is used up as the scenario says."""
    assert not given(at=registry(consent=ConsentRule(mode=ConsentMode.ONLINE, one_time=False)))[0].once


@pytest.mark.parametrize(
    "wrong",
    [{"scene": "YRD-310000-2026-00009"}, {"application": "nobody"}, {"types": (LICENCE,)}],
)
def test_what_is_not_there(wrong: dict[str, Any]) -> None:
    """Nothing is signed for a scenario, an application or a type that is not there."""
    with pytest.raises(LookupError):
        given(YES._replace(**wrong))


def test_names_of_consents() -> None:
    """A consent is named by its id or by the token itself, which also says until when to remember its withdrawal."""
    consent, token = new_consent(YES, KEYS["31"], registry(), NOW)
    assert _named(token + "\n", "34") == (f"31.{consent.id}", NOW + 1_000)
    assert _named(consent.id, "34")[0] == f"34.{consent.id}"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`certlane consent …` on a home that has nothing but the keys of 31."""
    (tmp_path / "keys").mkdir()
    make_keys(tmp_path / "keys", "31")

    def called(*argv: str) -> int:
        monkeypatch.setattr(sys, "argv", ["certlane", "consent", *argv, "--home", str(tmp_path)])
        with pytest.raises(SystemExit) as ended:
            run()
        return int(ended.value.code or 0)

    return called


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("new", "--scene", SCENE, "--holder", CITIZEN_ID, "--province", "32"), 1),
        (("new", "--scene", SCENE, "--holder", CITIZEN_ID, "--province", "../31"), 1),
        (("new", "--scene", SCENE), 2),
        (("new", "--scene", SCENE, "--holder", CITIZEN_ID, "--level", "9"), 2),
        (("withdraw", "not a consent"), 2),
        (("withdraw", "上"), 2),
    ],
)
def test_called_wrongly(command: Callable[..., int], argv: tuple[str, ...], code: int) -> None:
    """A wish that cannot be fulfilled is one line, a command called wrongly is explained."""
    assert command(*argv) == code
