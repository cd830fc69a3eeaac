"""The script against a plain model: whatever lots come in whatever order, real Redis says what the model says."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.bus.clock import now_ms
from broker.bus.redis import prefix
from tests.support import MemoryEffects, PartyRedis
from workers.effects import Effects, Mark, ReplayedError, life_of
from workers.quota import DAY_MS, Counter

if TYPE_CHECKING:
    from redis.asyncio import Redis

EPOCH = b"this life"
NOW = now_ms() + DAY_MS  # ahead: a whole run may last longer than Redis keeps a mark
NAMES = [f"{number:032x}" for number in range(5)]


class Step(NamedTuple):
    """A lot that comes, or what some requests used up being given back."""

    marks: tuple[Mark, ...]
    lot: str
    place: str
    back: bool


counted = st.lists(
    st.builds(Counter, st.sampled_from(["day", "hour", "holder"]), st.integers(0, 4), st.just(NOW + DAY_MS)),
    max_size=3,
    unique_by=lambda one: one.key,
).map(tuple)
marks = st.builds(
    Mark,
    st.sampled_from(["31-yct", "31-sdk"]),
    st.sampled_from(NAMES),
    st.sampled_from(["a" * 64, "b" * 64]),
    st.just(NOW + 60_000),
    code=st.sampled_from(["", "", "1" * 64, "2" * 64]),
    uses=st.lists(st.sampled_from(["31.x:I4:a", "31.x:I4:b", "31.y:I4:a"]), max_size=2, unique=True).map(tuple),
    counters=counted,
    attempt=st.sampled_from([0, 0, 0, 1, 2]),
)
steps = st.lists(
    st.builds(
        Step,
        st.lists(marks, max_size=8).map(tuple),
        st.sampled_from(["one", "two", "three"]),
        st.sampled_from(["0/1", "0/1", "0/1", "0/2"]),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=6,
)


async def told(effects: Effects, step: Step, now: int) -> object:
    """What comes of one step."""
    if step.back:
        if used := [mark for mark in step.marks if mark.used]:
            await effects.give_back(used)
        return None
    try:
        return await effects.take(
            EPOCH, node="31-yct", lot=step.lot, place=step.place, ends_ms=NOW + 60_000, marks=step.marks, now_ms=now
        )
    except ReplayedError:
        return "replayed"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
async def test_redis_does_what_the_model_does(connection: Redis, some: list[Step]) -> None:
    """Step by step both tell the same, and in the end the same is used up and counted."""
    party = uuid.uuid4().hex
    await connection.set(f"{prefix(party)}epoch", EPOCH)
    real, memory = Effects(connection, party), PartyRedis()
    await real.begin(EPOCH, life_of(EPOCH, await real.run_id()))
    memory.epoch = EPOCH
    model = MemoryEffects(memory)
    for number, step in enumerate(some):
        assert await told(real, step, NOW + number) == await told(model, step, NOW + number)
    wanted = {f"code:{name}": user for name, user in memory.codes.items()}
    wanted |= {f"use:{name}": user for name, user in memory.uses.items()}
    wanted |= {name: str(count) for name, count in memory.counts.items() if count}
    base = prefix(party)
    keys: Any = await connection.keys(f"{base}*")
    values: Any = await connection.mget(keys)
    held = dict(zip((key.decode().removeprefix(base) for key in keys), values, strict=True))
    others = ("mark:", "lot:", "epoch", "rebuilt")
    assert {name: value.decode() for name, value in held.items() if not name.startswith(others)} == wanted
    assert sum(name.startswith("mark:") for name in held) == len(memory.marks)
