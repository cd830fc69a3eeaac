"""The province's marks, on real Redis: taken once, counted, refused to another request, gone with their time."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from broker.bus.clock import now_ms
from broker.bus.redis import prefix
from workers.effects import MARK_KEPT_MS, Effects, EpochError, Mark, ReplayedError

if TYPE_CHECKING:
    from redis.asyncio import Redis

NODE, PROVINCE, EPOCH = "31-yct", "32", b"this life"
DIGEST, OTHER_DIGEST = "a" * 64, "b" * 64
BASE = prefix(PROVINCE)


@pytest.fixture
async def effects(connection: Redis) -> Effects:
    await connection.set(f"{BASE}epoch", EPOCH)
    return Effects(connection, PROVINCE)


def mark(request_id: str = "", *, digest: str = DIGEST, node: str = NODE, ahead_ms: int = 60_000) -> Mark:
    return Mark(node, request_id or uuid.uuid4().hex, digest, now_ms() + ahead_ms)


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
    """The same id with another digest gets 0 and changes nothing; the same id of another node is another request."""
    one = mark()
    assert await take(effects, one) == [1]
    assert await take(effects, mark(one.request_id, digest=OTHER_DIGEST)) == [0]
    assert await take(effects, mark(one.request_id, node="31-sdk", digest=OTHER_DIGEST)) == [1]
    assert await take(effects, one) == [2]


async def test_a_redelivered_lot_is_no_replay(effects: Effects) -> None:
    """A lot that comes again from its place is taken again; the same lot at another place is a replay."""
    one = mark()
    assert await take(effects, one, lot="lot", place="3/41") == [1]
    assert await take(effects, one, lot="lot", place="3/41") == [2]
    with pytest.raises(ReplayedError):
        await take(effects, one, lot="lot", place="3/42")
    assert await take(effects, one) == [3]  # the replay has taken nothing


async def test_nothing_is_taken_in_another_life_of_redis(effects: Effects, connection: Redis) -> None:
    """With the epoch gone or another one the lot is told so, and neither its own mark nor any other is there."""
    for present in (None, b"another life"):
        await connection.flushall()
        if present:
            await connection.set(f"{BASE}epoch", present)
        with pytest.raises(EpochError):
            await take(effects, mark())
        assert await connection.keys(f"{BASE}*:*") == []


async def test_a_full_lot_is_one_call(effects: Effects, connection: Redis) -> None:
    """256 marks are taken by one command, each with its own verdict in its own place."""
    marks = [mark() for _ in range(256)]
    await take(effects, *marks[100:103])
    mixed = [*marks[:200], *(mark(one.request_id, digest=OTHER_DIGEST) for one in marks[100:103]), *marks[200:253]]
    calls = (await connection.info("commandstats")).get("cmdstat_evalsha", {"calls": 0})["calls"]
    wanted = [1] * 100 + [2] * 3 + [1] * 97 + [0] * 3 + [1] * 53
    assert await take(effects, *mixed) == wanted
    assert (await connection.info("commandstats"))["cmdstat_evalsha"]["calls"] == calls + 1


async def test_a_lot_without_grants_is_marked(effects: Effects) -> None:
    """A lot of which nothing was granted is known as well, so that its replay is seen."""
    assert await take(effects, lot="lot", place="0/1") == []
    with pytest.raises(ReplayedError):
        await take(effects, lot="lot", place="0/2")


async def test_marks_end_ten_minutes_after_their_deadline(effects: Effects, connection: Redis) -> None:
    """Every mark has its own expiry, the lot's by its latest deadline, and a second attempt does not lose it."""
    short, long = mark(ahead_ms=1_000), mark(ahead_ms=50_000)
    for _ in range(2):
        await take(effects, short, long, lot="lot", ahead_ms=50_000)
    for key, ahead_ms in (
        (f"mark:{NODE}:{short.request_id}", 1_000),
        (f"mark:{NODE}:{long.request_id}", 50_000),
        (f"lot:{NODE}:lot", 50_000),
    ):
        assert 0 <= ahead_ms + MARK_KEPT_MS - await connection.pttl(f"{BASE}{key}") < 5_000
    assert len(await connection.keys("*")) == 4  # and the epoch


async def test_of_two_at_once_one_is_first(effects: Effects, connection: Redis) -> None:
    """Two agents that work on the same lot at the same moment get attempts 1 and 2 of each mark, never 1 twice."""
    other = Effects(connection, PROVINCE)
    for _ in range(20):
        marks = [mark() for _ in range(16)]
        lot = uuid.uuid4().hex
        first, second = await asyncio.gather(*(take(one, *marks, lot=lot) for one in (effects, other)))
        assert {first[0], second[0]} == {1, 2}
        assert [a + b for a, b in zip(first, second, strict=True)] == [3] * 16
