"""The province's marks and codes: taken once, counted, refused to another request; on real Redis and on the fake."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from broker.bus.clock import now_ms
from broker.bus.redis import prefix
from tests.support import MemoryEffects, PartyRedis
from workers.effects import CODE_KEPT_MS, CODE_USED, MARK_HELD, MARK_KEPT_MS, Effects, EpochError, Mark, ReplayedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

NODE, PROVINCE, EPOCH = "31-yct", "32", b"this life"
DIGEST, OTHER_DIGEST = "a" * 64, "b" * 64
BASE = prefix(PROVINCE)


@pytest.fixture
async def real(connection: Redis) -> Effects:
    await connection.set(f"{BASE}epoch", EPOCH)
    return Effects(connection, PROVINCE)


@pytest.fixture
def memory() -> PartyRedis:
    made = PartyRedis()
    made.epoch = EPOCH
    return made


@pytest.fixture(params=["redis", "memory"])
async def effects(request: pytest.FixtureRequest, real: Effects, memory: PartyRedis) -> Effects:
    """Every implementation keeps the same contract."""
    return real if request.param == "redis" else MemoryEffects(memory)


@pytest.fixture
def new_life(connection: Redis, memory: PartyRedis) -> Callable[[bytes], Awaitable[None]]:
    """All is lost, and there is another epoch or none."""

    async def begin(epoch: bytes) -> None:
        await connection.flushall()
        memory.wipe()
        memory.epoch = epoch
        if epoch:
            await connection.set(f"{BASE}epoch", epoch)

    return begin


def mark(
    request_id: str = "", *, digest: str = DIGEST, node: str = NODE, ahead_ms: int = 60_000, code: str = ""
) -> Mark:
    return Mark(node, request_id or uuid.uuid4().hex, digest, now_ms() + ahead_ms, code)


def new_code() -> str:
    return uuid.uuid4().hex * 2


async def take(
    effects: Effects, *marks: Mark, lot: str = "", place: str = "3/41", epoch: bytes = EPOCH, ahead_ms: int = 60_000
) -> list[int]:
    ends = now_ms() + ahead_ms
    lot = lot or uuid.uuid4().hex
    return await effects.take(epoch, node=NODE, lot=lot, place=place, ends_ms=ends, marks=marks)


async def test_attempts_are_counted(effects: Effects) -> None:
    """The first to take a mark is attempt 1, and each that comes again with the same digest one more."""
    one = mark()
    assert [await take(effects, one) for _ in range(3)] == [[1], [2], [3]]


async def test_a_mark_belongs_to_one_request(effects: Effects) -> None:
    """The same id with another digest is told so and changes nothing; the id of another node is another request."""
    one = mark()
    assert await take(effects, one) == [1]
    assert await take(effects, mark(one.request_id, digest=OTHER_DIGEST)) == [MARK_HELD]
    assert await take(effects, mark(one.request_id, node="31-sdk", digest=OTHER_DIGEST)) == [1]
    assert await take(effects, one) == [2]


async def test_a_code_is_redeemed_once(effects: Effects) -> None:
    """A code that one request has used is used for every other one, of the same node or of another."""
    code = new_code()
    assert await take(effects, mark(code=code)) == [1]
    assert await take(effects, mark(code=code)) == [CODE_USED]
    assert await take(effects, mark(code=code, node="31-sdk")) == [CODE_USED]
    assert await take(effects, mark(code=new_code())) == [1]


async def test_the_same_request_redeems_no_second_time(effects: Effects) -> None:
    """The request that has used a code goes on with it as its next attempt, and the code stays its own."""
    one = mark(code=new_code())
    assert [await take(effects, one) for _ in range(3)] == [[1], [2], [3]]
    assert await take(effects, mark(code=one.code)) == [CODE_USED]


async def test_a_used_code_takes_no_mark(effects: Effects) -> None:
    """All or nothing: a request whose code is used has no mark either, and may come again without the code."""
    code = new_code()
    await take(effects, mark(code=code))
    late = mark(code=code)
    assert await take(effects, late) == [CODE_USED]
    assert await take(effects, mark(late.request_id, digest=OTHER_DIGEST)) == [1]


async def test_a_held_mark_redeems_no_code(effects: Effects) -> None:
    """All or nothing: a request whose id another one holds uses up no code."""
    first, code = mark(), new_code()
    await take(effects, first)
    assert await take(effects, mark(first.request_id, digest=OTHER_DIGEST, code=code)) == [MARK_HELD]
    assert await take(effects, mark(code=code)) == [1]


async def test_a_code_belongs_to_a_request_and_not_to_its_id(real: Effects, connection: Redis) -> None:
    """When its mark has ended, the id of who used a code does not redeem it for another request."""
    one = mark(code=new_code())
    await take(real, one)
    await connection.delete(f"{BASE}mark:{NODE}:{one.request_id}")
    assert await take(real, mark(one.request_id, digest=OTHER_DIGEST, code=one.code)) == [CODE_USED]
    assert await take(real, one) == [1]


async def test_one_code_twice_in_a_lot(effects: Effects) -> None:
    """Of two requests of one lot with the same code the first gets it, and their neighbours lose nothing."""
    code = new_code()
    lot = [mark(), mark(code=code), mark(), mark(code=code), mark(code=new_code())]
    assert await take(effects, *lot) == [1, 1, 1, CODE_USED, 1]
    assert await take(effects, *lot) == [2, 2, 2, CODE_USED, 2]


async def test_a_redelivered_lot_is_no_replay(effects: Effects) -> None:
    """A lot that comes again from its place is taken again; the same lot at another place is a replay."""
    one = mark(code=new_code())
    assert await take(effects, one, lot="lot", place="3/41") == [1]
    assert await take(effects, one, lot="lot", place="3/41") == [2]
    with pytest.raises(ReplayedError):
        await take(effects, one, lot="lot", place="3/42")
    assert await take(effects, one) == [3]  # the replay has taken nothing


@pytest.mark.parametrize("epoch", [b"", b"another life"])
async def test_nothing_is_taken_in_another_life(
    effects: Effects, new_life: Callable[[bytes], Awaitable[None]], epoch: bytes
) -> None:
    """With the epoch gone or another one the lot is told so, and neither its own mark nor any other is taken."""
    await new_life(epoch)
    one = mark(code=new_code())
    with pytest.raises(EpochError):
        await take(effects, one, lot="lot", place="3/41")
    await new_life(EPOCH)
    assert await take(effects, one, lot="lot", place="3/42") == [1]


async def test_epoch_leaves_no_key(real: Effects, connection: Redis) -> None:
    """A lot of another life leaves no key behind."""
    await connection.set(f"{BASE}epoch", b"another life")
    with pytest.raises(EpochError):
        await take(real, mark(code=new_code()))
    assert await connection.keys(f"{BASE}*:*") == []


async def test_a_full_lot(effects: Effects) -> None:
    """256 requests have each its own verdict in its own place."""
    marks = [mark(code=new_code() if at % 3 else "") for at in range(256)]
    await take(effects, *marks[100:103])
    others = [mark(one.request_id, digest=OTHER_DIGEST) for one in marks[100:103]]
    late = [mark(code=marks[1].code), mark(code=marks[2].code)]
    mixed = [*marks[:200], *others, *late, *marks[200:251]]
    wanted = [1] * 100 + [2] * 3 + [1] * 97 + [MARK_HELD] * 3 + [CODE_USED] * 2 + [1] * 51
    assert await take(effects, *mixed) == wanted


async def test_a_full_lot_is_one_call(real: Effects, connection: Redis) -> None:
    """256 marks with 256 codes are taken by one command."""
    await take(real, mark())
    calls = (await connection.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert await take(real, *[mark(code=new_code()) for _ in range(256)]) == [1] * 256
    assert (await connection.info("commandstats"))["cmdstat_evalsha"]["calls"] == calls + 1


async def test_a_lot_without_grants_is_marked(effects: Effects) -> None:
    """A lot of which nothing was granted is known as well, so that its replay is seen."""
    assert await take(effects, lot="lot", place="0/1") == []
    with pytest.raises(ReplayedError):
        await take(effects, lot="lot", place="0/2")


async def test_marks_end_ten_minutes_after_their_deadline(real: Effects, connection: Redis) -> None:
    """Every mark has its own expiry, the lot's by its latest deadline, and a second attempt does not lose it."""
    short, long = mark(ahead_ms=1_000), mark(ahead_ms=50_000)
    for _ in range(2):
        await take(real, short, long, lot="lot", ahead_ms=50_000)
    for key, ahead_ms in (
        (f"mark:{NODE}:{short.request_id}", 1_000),
        (f"mark:{NODE}:{long.request_id}", 50_000),
        (f"lot:{NODE}:lot", 50_000),
    ):
        assert 0 <= ahead_ms + MARK_KEPT_MS - await connection.pttl(f"{BASE}{key}") < 5_000
    assert len(await connection.keys("*")) == 4  # and the epoch


async def test_codes_are_remembered_for_a_day(real: Effects, connection: Redis) -> None:
    """A redeemed code is remembered for a day from its redemption, whatever comes with it later."""
    one = mark(code=new_code(), ahead_ms=1_000)
    for other in (one, one, mark(code=one.code)):
        await take(real, other)
    assert 0 <= CODE_KEPT_MS - await connection.pttl(f"{BASE}code:{one.code}") < 60_000
    assert len(await connection.keys(f"{BASE}mark:*")) == 1


async def test_of_two_at_once_one_is_first(real: Effects, connection: Redis) -> None:
    """Two agents that work on the same lot at the same moment get attempts 1 and 2 of each mark, never 1 twice."""
    other = Effects(connection, PROVINCE)
    for _ in range(20):
        marks = [mark(code=new_code()) for _ in range(16)]
        lot = uuid.uuid4().hex
        first, second = await asyncio.gather(*(take(one, *marks, lot=lot) for one in (real, other)))
        assert {first[0], second[0]} == {1, 2}
        assert [a + b for a, b in zip(first, second, strict=True)] == [3] * 16


async def test_of_two_with_one_code_one_gets_it(real: Effects, connection: Redis) -> None:
    """Of two agents that redeem the same code for two requests at the same moment exactly one does."""
    other = Effects(connection, PROVINCE)
    for _ in range(20):
        codes = [new_code() for _ in range(16)]
        lots = ([mark(code=code) for code in codes] for _ in range(2))
        first, second = await asyncio.gather(*(take(one, *lot) for one, lot in zip((real, other), lots, strict=True)))
        assert all({a, b} == {1, CODE_USED} for a, b in zip(first, second, strict=True))


async def test_a_code_is_given_back(effects: Effects) -> None:
    """A code that is given back may be used by another request, and nobody gives back what another one has used."""
    one, other = mark(code="c" * 64), mark(code="c" * 64)
    assert await take(effects, one) == [1]
    await effects.give_back([other])
    assert await take(effects, other) == [CODE_USED]
    await effects.give_back([one])
    assert await take(effects, other) == [1]
    assert await take(effects, one) == [CODE_USED]
