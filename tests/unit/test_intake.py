"""What a party signs for the registrar: read as it was meant, or not at all."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from broker.bus.clock import now_ms
from broker.bus.keys import KeySigner
from broker.registry.intake import IntakeError, read_intake, sign_intake
from broker.registry.walk import new_intake
from schemas.filing import INTAKE_TYPE, Action, Intake, Transition
from schemas.wire import sign_compact
from tests.support import KEYS
from tests.support_life import applied, filed_draft, founded

SIGNER = KeySigner(KEYS["registrar"].signing)
DRAFT = filed_draft()
WHOLE = new_intake(
    "registrar",
    [Transition(action=Action.SUBMIT, key=DRAFT.scene.scene_code, draft=DRAFT), applied(*founded())],
    now_ms(),
)


def read(text: bytes) -> Intake:
    return read_intake(text, registrar=KEYS["registrar"].signing.public, parties=None, now_ms=now_ms())


def places(told: Any) -> list[dict[str, Any]]:
    """Every mapping whose names are a type's, but for the records that `apply` carries."""
    if isinstance(told, dict):
        inner = [
            place for name, one in told.items() if name not in {"records", "justifications"} for place in places(one)
        ]
        return [told, *inner]
    return [place for one in told for place in places(one)] if isinstance(told, list) else []


def test_an_intake_comes_back() -> None:
    """What is signed is read as it was, drafts and records too."""
    assert read(sign_intake(SIGNER, WHOLE)) == WHOLE


@pytest.mark.parametrize("number", range(len(places(msgspec.json.decode(msgspec.json.encode(WHOLE))))))
def test_an_unknown_name_anywhere(number: int) -> None:
    """A name that no type knows, wherever it stands, makes it none: who misspells `accept` has not said yes."""
    told = msgspec.json.decode(msgspec.json.encode(WHOLE))
    places(told)[number]["acept"] = False
    with pytest.raises(IntakeError, match="unknown name"):
        read(sign_compact(SIGNER, msgspec.json.encode(told), INTAKE_TYPE))
