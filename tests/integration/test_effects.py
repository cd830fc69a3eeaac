"""What a lot takes: marks, consents, codes and quota, once each, all or nothing; on real Redis and on the fake."""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime, time
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from broker.bus.clock import now_ms
from broker.bus.redis import prefix
from schemas.scenes import Limits
from tests.support import MemoryEffects, PartyRedis
from tests.support_registry import CARD
from workers.effects import (
    CODE_USED,
    CONSENT_USED,
    MARK_HELD,
    MARK_KEPT_MS,
    QUOTA_USED_UP,
    USED_KEPT_MS,
    Effect,
    Effects,
    EpochError,
    Mark,
    ReplayedError,
    Restored,
    life_of,
)
from workers.quota import DAY_MS, HOUR_MS, Counter, counters, windows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

NODE, PROVINCE, EPOCH = "31-yct", "32", b"this life"
DIGEST, OTHER_DIGEST = "a" * 64, "b" * 64
BASE = prefix(PROVINCE)


async def begun(connection: Redis, epoch: bytes = EPOCH) -> Effects:
    """The effects of one more agent, in a life that it has rebuilt."""
    effects = Effects(connection, PROVINCE)
    await effects.begin(epoch, life_of(epoch, await effects.run_id()))
    return effects


@pytest.fixture
async def real(connection: Redis) -> Effects:
    await connection.set(f"{BASE}epoch", EPOCH)
    return await begun(connection)


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
def new_life(connection: Redis, memory: PartyRedis, real: Effects) -> Callable[[bytes], Awaitable[None]]:
    """All is lost, and there is another epoch or none."""

    async def begin(epoch: bytes) -> None:
        await connection.flushall()
        memory.wipe()
        memory.epoch = epoch
        if epoch:
            await connection.set(f"{BASE}epoch", epoch)
        if epoch == EPOCH:
            await real.begin(epoch, real.life)

    return begin


def mark(request_id: str = "", *, digest: str = DIGEST, node: str = NODE, ahead_ms: int = 60_000, **more: Any) -> Mark:
    return Mark(node, request_id or uuid.uuid4().hex, digest, now_ms() + ahead_ms, **more)


def new_code() -> str:
    return uuid.uuid4().hex * 2


def new_use() -> str:
    return f"31.{uuid.uuid4().hex}:I4:{CARD}"


def counter(limit: int, name: str = "quota:scene:20260301") -> Counter:
    return Counter(name, limit, now_ms() + DAY_MS)


async def effects_of(
    effects: Effects, *marks: Mark, lot: str = "", place: str = "3/41", epoch: bytes = EPOCH, now: int = 0
) -> list[Effect]:
    now = now or now_ms()
    lot = lot or uuid.uuid4().hex
    return await effects.take(epoch, node=NODE, lot=lot, place=place, ends_ms=now + 60_000, marks=marks, now_ms=now)


async def take(
    effects: Effects, *marks: Mark, lot: str = "", place: str = "3/41", epoch: bytes = EPOCH, now: int = 0
) -> list[int]:
    return [one.attempt for one in await effects_of(effects, *marks, lot=lot, place=place, epoch=epoch, now=now)]


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
        await take(real, short, long, lot="lot")
    for key, ahead_ms in (
        (f"mark:{NODE}:{short.request_id}", 1_000),
        (f"mark:{NODE}:{long.request_id}", 50_000),
        (f"lot:{NODE}:lot", 60_000),
    ):
        assert 0 <= ahead_ms + MARK_KEPT_MS - await connection.pttl(f"{BASE}{key}") < 5_000
    assert len(await connection.keys("*")) == 5  # and the epoch, and that it was rebuilt


async def test_codes_are_remembered_for_a_day(real: Effects, connection: Redis) -> None:
    """A redeemed code is remembered for a day from its redemption, whatever comes with it later."""
    one = mark(code=new_code(), ahead_ms=1_000)
    for other in (one, one, mark(code=one.code)):
        await take(real, other)
    assert 0 <= USED_KEPT_MS - await connection.pttl(f"{BASE}code:{one.code}") < 60_000
    assert len(await connection.keys(f"{BASE}mark:*")) == 1


async def test_of_two_at_once_one_is_first(real: Effects, connection: Redis) -> None:
    """Two agents that work on the same lot at the same moment get attempts 1 and 2 of each mark, never 1 twice."""
    other = await begun(connection)
    for _ in range(20):
        marks = [mark(code=new_code()) for _ in range(16)]
        lot = uuid.uuid4().hex
        first, second = await asyncio.gather(*(take(one, *marks, lot=lot) for one in (real, other)))
        assert {first[0], second[0]} == {1, 2}
        assert [a + b for a, b in zip(first, second, strict=True)] == [3] * 16


async def test_of_two_with_one_code_one_gets_it(real: Effects, connection: Redis) -> None:
    """Of two agents that redeem the same code for two requests at the same moment exactly one does."""
    other = await begun(connection)
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


async def test_what_was_delivered_twice_is_not_given_back(effects: Effects) -> None:
    """What a request used up that was delivered again stays used: its other delivery may have been answered for it."""
    use = new_use()
    one = mark(code="d" * 64, uses=(use,))
    assert [await take(effects, one) for _ in range(2)] == [[1], [2]]
    await effects.give_back([one])
    assert await take(effects, mark(code="d" * 64), mark(uses=(use,))) == [CODE_USED, CONSENT_USED]


async def test_a_consent_is_used_once(effects: Effects) -> None:
    """What one request has used of a consent is used for every other one, and its own to use again."""
    use, other = new_use(), new_use()
    one = mark(uses=(use,))
    assert [await take(effects, one) for _ in range(2)] == [[1], [2]]
    assert await take(effects, mark(uses=(use,)), mark(uses=(other, use)), mark(uses=(other,))) == [
        CONSENT_USED,
        CONSENT_USED,
        1,
    ]


async def test_a_use_is_kept_to_its_end_and_a_day(real: Effects, connection: Redis) -> None:
    """A use is remembered until its end, and at least a day."""
    short, long = new_use(), new_use()
    ends = now_ms() + 30 * DAY_MS
    await take(real, mark(uses=(short,), uses_end_ms=now_ms() + 1_000), mark(uses=(long,), uses_end_ms=ends))
    assert 0 <= USED_KEPT_MS - await connection.pttl(f"{BASE}use:{short}") < 60_000
    assert await connection.pexpiretime(f"{BASE}use:{long}") == ends


async def test_quota_is_counted_to_its_limit(effects: Effects) -> None:
    """So many are granted as the limit says, in one lot and over lots; limit 0 grants nothing."""
    row = (counter(5),)
    assert await take(effects, *[mark(counters=row) for _ in range(3)]) == [1] * 3
    assert await take(effects, *[mark(counters=row) for _ in range(4)]) == [1, 1, QUOTA_USED_UP, QUOTA_USED_UP]
    assert await take(effects, mark(counters=(counter(0, "quota:none"),)), mark()) == [QUOTA_USED_UP, 1]


async def test_the_same_request_counts_once(effects: Effects) -> None:
    """A request that was counted goes on when the quota is used up, and counts nothing again."""
    row = (counter(2),)
    first, second = mark(counters=row), mark(counters=row)
    assert await take(effects, first, first, second, second) == [1, 2, 1, 2]
    assert await take(effects, mark(counters=row), first) == [QUOTA_USED_UP, 3]


async def test_one_counter_of_several_decides(effects: Effects) -> None:
    """Of day, hour and holder the one that is used up refuses, and then the others count nothing."""
    day, hour = counter(10, "day"), counter(2, "hour")
    both = [mark(counters=(day, hour)) for _ in range(4)]
    assert await take(effects, *both) == [1, 1, QUOTA_USED_UP, QUOTA_USED_UP]
    assert await take(effects, *[mark(counters=(day,)) for _ in range(9)]) == [1] * 8 + [QUOTA_USED_UP]


async def test_a_refused_quota_uses_nothing_up(effects: Effects) -> None:
    """All or nothing: where the quota is used up neither mark nor code nor consent is."""
    full, code, use = (counter(0),), new_code(), new_use()
    late = mark(code=code, uses=(use,), counters=full)
    assert await take(effects, late) == [QUOTA_USED_UP]
    assert await take(effects, mark(late.request_id, digest=OTHER_DIGEST, code=code, uses=(use,))) == [1]


async def test_a_used_code_counts_nothing_and_uses_no_consent(effects: Effects) -> None:
    """All or nothing: where the code is used, or one consent of two, nothing is counted and nothing else used up."""
    row, code, use, used = (counter(1),), new_code(), new_use(), new_use()
    await take(effects, mark(code=code), mark(uses=(used,)))
    assert await take(effects, mark(code=code, uses=(use,), counters=row)) == [CODE_USED]
    assert await take(effects, mark(uses=(use, used), counters=row)) == [CONSENT_USED]
    assert await take(effects, mark(uses=(use,), counters=row)) == [1]


@pytest.mark.parametrize(
    ("held", "used", "coded", "full", "wanted"),
    [
        (True, True, True, True, MARK_HELD),
        (False, True, True, True, CONSENT_USED),
        (False, False, True, True, CODE_USED),
        (False, False, False, True, QUOTA_USED_UP),
        (False, False, False, False, 1),
    ],
)
async def test_what_is_told_of_several_reasons(
    effects: Effects, *, held: bool, used: bool, coded: bool, full: bool, wanted: int
) -> None:
    """Mark, consent, code, quota: the first that is not to be had is told."""
    request_id, code, use = uuid.uuid4().hex, new_code(), new_use()
    await take(effects, *([mark(code=code)] if coded else []), *([mark(uses=(use,))] if used else []))
    await take(effects, *([mark(request_id, digest=OTHER_DIGEST)] if held else []))
    one = mark(request_id, code=code, uses=(use,), counters=(counter(0 if full else 9),))
    assert await take(effects, one) == [wanted]


async def test_being_made_sure_of_is_no_attempt(effects: Effects) -> None:
    """What is only made sure of keeps its attempt and its moment, and counts nothing."""
    row, then = (counter(1),), now_ms() - 5_000
    one = mark(counters=row)
    assert await effects_of(effects, one, now=then) == [Effect(1, then)]
    assert await effects_of(effects, one._replace(attempt=1)) == [Effect(1, then)]
    assert await effects_of(effects, one) == [Effect(2, then)]
    assert await effects_of(effects, one._replace(attempt=1)) == [Effect(2, then)]
    assert await take(effects, mark(counters=row)) == [QUOTA_USED_UP]


async def test_what_was_lost_is_taken_anew(effects: Effects, new_life: Callable[[bytes], Awaitable[None]]) -> None:
    """Whoever makes sure of a grant in a new life takes it there, at its old attempt, or is told it is too late."""
    row = (counter(1),)
    early, late = mark(counters=row, attempt=2), mark(counters=row, attempt=1)
    await new_life(EPOCH)
    now = now_ms()
    assert await effects_of(effects, early, late, now=now) == [Effect(2, now), Effect(QUOTA_USED_UP)]


async def test_days_and_hours_are_those_of_shanghai(effects: Effects) -> None:
    """At midnight in Shanghai a new day counts from nothing, at each full hour a new hour, and not before."""
    midnight = windows(now_ms()).day_ms + 2 * DAY_MS
    assert datetime.fromtimestamp(midnight / 1000, ZoneInfo("Asia/Shanghai")).time() == time(0)
    limits, name = Limits(per_day=3, per_hour=2), f"{uuid.uuid4()}"

    async def granted(now: int) -> int:
        made = [mark(counters=counters(name, limits, "", now)) for _ in range(4)]
        return (await take(effects, *made, now=now)).count(1)

    moments = (-HOUR_MS - 1, -HOUR_MS, -1, 0, HOUR_MS - 1, HOUR_MS, 2 * HOUR_MS, DAY_MS - 1, DAY_MS)
    assert [await granted(midnight + at) for at in moments] == [2, 1, 0, 2, 0, 1, 0, 0, 2]


async def test_each_holder_has_a_day_of_its_own(effects: Effects) -> None:
    """A holder's grants are counted by the day, apart from other holders' and from those of nobody known."""
    now, name = now_ms(), f"{uuid.uuid4()}"
    limits = Limits(per_day=100, per_holder_per_day=2)

    async def granted(holder: str, many: int = 3) -> int:
        made = [mark(counters=counters(name, limits, holder, now)) for _ in range(many)]
        return (await take(effects, *made, now=now)).count(1)

    assert [await granted(holder) for holder in ("a" * 64, "b" * 64, "a" * 64, "")] == [2, 2, 0, 3]


async def test_counters_end(real: Effects, connection: Redis) -> None:
    """A day's counters end two days after its beginning, an hour's after two hours, and no name tells a person."""
    now = now_ms() // HOUR_MS * HOUR_MS
    row = counters("scene", Limits(per_day=9, per_hour=9, per_holder_per_day=9), "f" * 64, now)
    await take(real, mark(counters=row), now=now)
    ends = [await connection.pexpiretime(BASE + one.key) for one in row]
    assert ends == [one.ends_ms for one in row]
    assert sorted(ends) == [now + 2 * HOUR_MS, ends[0], ends[0]]
    assert ends[0] % HOUR_MS == 0
    assert now + DAY_MS < ends[0] <= now + 2 * DAY_MS


async def test_a_script_that_redis_has_lost_is_a_new_life(real: Effects, connection: Redis) -> None:
    """A Redis that does not know the script was started anew: nothing is taken, and nobody loads it on the way."""
    await connection.script_flush()
    for _ in range(2):
        with pytest.raises(EpochError):
            await take(real, mark())
    assert await connection.keys(f"{BASE}mark:*") == []


async def test_a_life_that_was_not_rebuilt(real: Effects, connection: Redis) -> None:
    """With the epoch there and the script too nothing is taken before this life was rebuilt, nor by its old name."""
    await connection.delete(f"{BASE}rebuilt")
    with pytest.raises(EpochError):
        await take(real, mark())
    await connection.set(f"{BASE}rebuilt", real.life + b"x")
    with pytest.raises(EpochError):
        await take(real, mark())


async def test_only_the_life_that_is_can_begin(real: Effects, connection: Redis) -> None:
    """Who has rebuilt an epoch that is no longer there, or a process that has ended, begins nothing."""
    for epoch, life in ((b"older", life_of(b"older", await real.run_id())), (EPOCH, life_of(EPOCH, b"ended"))):
        await connection.script_flush()
        with pytest.raises(EpochError):
            await real.begin(epoch, life)
        with pytest.raises(EpochError):
            await take(real, mark())


async def test_restoring_keeps_the_higher(real: Effects, connection: Redis) -> None:
    """What stands there stays where it is more: an attempt, a count, a first user; and less is replaced."""
    life, ends = b"another", now_ms() + DAY_MS
    for value, count in ((f"2:7:{DIGEST}", "5"), (f"1:7:{DIGEST}", "3"), (f"3:7:{DIGEST}", "10")):
        rows = [
            Restored("mark:x", "mark", value, ends),
            Restored("quota:x", "count", count, ends),
            Restored("code:x", "used", value, ends),
        ]
        await real.restore(EPOCH, life, rows)
    held = await connection.mget([f"{BASE}{name}:x" for name in ("mark", "quota", "code")])
    assert held == [f"3:7:{DIGEST}".encode(), b"10", f"2:7:{DIGEST}".encode()]
    assert await connection.pexpiretime(f"{BASE}mark:x") == ends


async def test_nothing_is_restored_into_a_life_that_is_whole_or_another(real: Effects, connection: Redis) -> None:
    """A rebuilder that comes late changes nothing, and one whose epoch has ended is told so."""
    rows = [Restored("quota:x", "count", "5", now_ms() + DAY_MS)]
    await real.restore(EPOCH, real.life, rows)
    with pytest.raises(EpochError):
        await real.restore(b"older", b"another", rows)
    assert await connection.keys(f"{BASE}quota:*") == []
