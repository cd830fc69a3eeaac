"""The judge against the naive one: 100,000 requests drawn at random, and as many as hypothesis cares to try."""

from collections import Counter
from random import Random
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.registry.snapshot import Snapshot
from schemas.catalogue import CatalogueEntry
from schemas.consents import Consent, OpenedConsent
from schemas.form import Form
from schemas.identifiers import parse_certificate_id
from schemas.items import RequestItem, decode_data, decode_request
from schemas.registry import Application, Withdrawal
from schemas.scenes import Scene
from tests.support_registry import Body, manifest_of, record_of
from tests.unit import drawn, naive_judge
from workers.conditions import BY_NAME, CONDITIONS
from workers.judge import Case, Grant, judge

Json = dict[str, Any]
SHARES: Final = range(10)
WORLDS, REQUESTS = 200, 50  # in each share: 100,000 requests in all
KINDS: Final[dict[str, type[Body]]] = {
    "applications": Application,
    "catalogue": CatalogueEntry,
    "scenes": Scene,
    "withdrawals": Withdrawal,
}


def snapshot_of(world: Json) -> Snapshot:
    """The registry as the product reads it, from the very records."""
    records = dict(
        record_of(msgspec.convert(body, kind), body.get("version", 1))
        for name, kind in KINDS.items()
        for body in world[name]
    )
    return Snapshot(manifest_of(records), records)


def case_of(asked: Json) -> Case:
    """The request as the product types it."""
    item: RequestItem = decode_request(msgspec.json.encode({**asked["item"], "data": asked["data"]}))
    data = decode_data(item)
    assert data is not None
    told = asked["data"].get("certificateID")
    form = Form(identifier=parse_certificate_id(told) if told else None)
    consent = asked["consent"] and OpenedConsent(
        msgspec.convert(asked["consent"]["claims"], Consent),
        asked["consent"]["holderCode"],
        asked["consent"]["holderTypeCode"],
    )
    return Case(asked["node"], b"", item, data, form, "", consent)


def told(case: Case, snapshot: Snapshot, asked: Json) -> Json:
    """The product's judgement, written as the naive one writes its own."""
    result = judge(case, snapshot, asked["province"], asked["now"])
    if not isinstance(result, Grant):
        return {"refused": result.condition, "code": result.code}
    return {
        "granted": {
            type_code: {
                "fields": sorted(one.granted),
                "masked": sorted(one.masked & one.granted),
                "withheld": list(one.withheld),
            }
            for type_code, one in result.types.items()
        },
        "code_fields": sorted(result.code_fields),
        "limits": msgspec.to_builtins(result.limits),
        "uses": list(result.uses),
    }


def outcome(judged: Json) -> str:
    return f"{judged['refused']} {judged['code']}" if "refused" in judged else "granted"


@pytest.mark.parametrize("share", SHARES)
def test_same_judgement(share: int) -> None:
    """The judge and the naive one say the same of every request drawn at random."""
    draw = Random(share)
    for _ in range(WORLDS):
        world = drawn.a_world(draw)
        snapshot = snapshot_of(world)
        for _ in range(REQUESTS):
            asked = drawn.a_request(draw, world)
            naive = naive_judge.judge(world, asked)
            assert told(case_of(asked), snapshot, asked) == naive, (world, asked)


def test_everything_came_up() -> None:
    """Among the requests drawn are grants and refusals by each condition with each of its codes, none of them rare."""
    draw, seen = Random(0), Counter[str]()
    for _ in range(WORLDS):
        world = drawn.a_world(draw)
        for _ in range(REQUESTS):
            seen[outcome(naive_judge.judge(world, drawn.a_request(draw, world)))] += 1
    wanted = {"granted", *(f"{one.name} {code}" for one in CONDITIONS for code in one.codes)}
    assert seen.keys() == wanted
    assert min(seen.values()) > 10
    assert seen["granted"] > WORLDS * REQUESTS // 10


def test_order_is_the_tables() -> None:
    """The naive judge's order of conditions, read from the specification once more, is that of the table."""
    assert [one.name for one in CONDITIONS] == naive_judge.ORDER
    assert [one.step for one in CONDITIONS] == sorted(one.step for one in CONDITIONS)
    assert BY_NAME.keys() >= set(naive_judge.ORDER)


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_same_judgement_shrunk(draw: Random) -> None:
    """Whatever else may be drawn, both judges say the same of it."""
    world = drawn.a_world(draw)
    asked = drawn.a_request(draw, world)
    assert told(case_of(asked), snapshot_of(world), asked) == naive_judge.judge(world, asked)
