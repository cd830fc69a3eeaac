"""Parties with keys and a scenario that the machine's check has nothing against, for tests of the life cycle."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from broker.bus.clock import now_ms
from broker.bus.keys import KeyFile
from deploy.local.publish import played_draft
from schemas.filing import Action, Draft, Transition, Wanted
from schemas.registry import Party, decode_record
from schemas.scenes import Limits, Scene
from tests.support_registry import (
    CARD,
    LICENCE,
    NODE,
    Body,
    application,
    entry,
    new_party_keys,
    party,
    record_of,
    scene,
)

DAY_MS: Final = 86_400_000
NOW: Final = now_ms() // DAY_MS * DAY_MS
PARTIES: Final[dict[str, KeyFile]] = {name: new_party_keys(name) for name in (NODE, "31", "32", "33")}


def registered() -> list[Party]:
    """All of them as the registry has them; 33 is a source of nothing here."""
    return [party(keys) for keys in PARTIES.values()]


def founded() -> tuple[Body, ...]:
    """What the registrar applies; no name in it means two types."""
    return *registered(), application(), entry(CARD), replace(entry(LICENCE), aliases={})


def filed_scene(**changed: Any) -> Scene:
    window = {"valid_from": NOW - DAY_MS, "valid_to": NOW + 30 * DAY_MS}
    return replace(scene(), **{"limits": Limits(per_day=1_000), **window, **changed})


def filed_draft(**changed: Any) -> Draft:
    return played_draft(filed_scene(**changed))


def bodies() -> tuple[Body, ...]:
    """All that a small registry holds."""
    return *founded(), filed_scene()


def wanted(body: Body) -> Wanted:
    record = decode_record(record_of(body)[1])
    return Wanted(kind=record.kind, id=record.id, body=record.body)


def applied(*some: Body) -> Transition:
    return Transition(action=Action.APPLY, records=tuple(wanted(body) for body in some))
