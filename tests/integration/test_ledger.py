"""The node's book and its leases, on real Redis: what may be produced, which answer stays, who reads what."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from broker.bus.clock import now_ms
from broker.exchange import leases
from broker.exchange.errors import GoneError
from broker.exchange.exchange import Exchange
from broker.exchange.flights import Bounds
from broker.exchange.leases import Leases
from broker.exchange.ledger import (
    Claim,
    Claimed,
    EpochError,
    Known,
    Ledger,
    RebuildingError,
    ReplyEntry,
    ReplyLot,
)
from schemas.lot import WireRecord
from schemas.regions import PROVINCES
from schemas.topics import LANE_PARTITIONS

if TYPE_CHECKING:
    from redis.asyncio import Redis

NODE, APPLICATION, PROVINCE = "31-yct", "yct-enterprise", "32"
FOUR = PROVINCES
DIGEST, OTHER_DIGEST = "a" * 64, "b" * 64
WIRE = WireRecord([("ce_id", b"lot")], b"sealed")
MINE, OTHERS = 3, 7  # partitions


async def opened(redis: Redis, *, whole: bool = True) -> Ledger:
    """A book in the present life of Redis; `whole`: every reply partition was read to its end."""
    ledger = Ledger(redis, NODE)
    ledger.epoch = await ledger.current_epoch(uuid.uuid4().hex)
    for place in range(LANE_PARTITIONS if whole else LANE_PARTITIONS - 1):
        await ledger.rebuilt(place, ledger.epoch)
    return ledger


@pytest.fixture
async def ledger(connection: Redis) -> Ledger:
    return await opened(connection)


@pytest.fixture
async def me(ledger: Ledger) -> Leases:
    """An instance with its home."""
    made = Leases(ledger)
    assert await made.home(MINE) == MINE
    return made


@pytest.fixture
async def other(ledger: Ledger) -> Leases:
    """Another instance of the node."""
    made = Leases(ledger)
    assert await made.home(OTHERS) == OTHERS
    return made


def claim(**changes: Any) -> Claim:
    made = Claim(
        request_id=uuid.uuid4().hex,
        digest=DIGEST,
        deadline_ms=now_ms() + 60_000,
        provinces=(PROVINCE,),
        application=APPLICATION,
        per_second=1_000,
    )
    return made._replace(**changes)


async def ask(ledger: Ledger, who: Leases, *claims: Claim, partition: int = MINE, now: int = 0) -> list[str]:
    """The verdicts, an exception by its name."""
    said = await ledger.claim(claims, incarnation=who.incarnation, partition=partition, now=now or now_ms())
    return [one.verdict if isinstance(one, Claimed) else type(one).__name__ for one in said]


def entry(of: Claim, **changes: Any) -> ReplyEntry:
    """A reply to this request, of its first province unless told, as the reader takes it."""
    sources = of.provinces if len(of.provinces) > 1 else ()
    made = ReplyEntry(of.request_id, 0, now_ms(), of.digest, of.deadline_ms, of.provinces[0], of.application, sources)
    return made._replace(**changes)


async def answer(
    ledger: Ledger, *entries: ReplyEntry, lot: str = "", partition: int = MINE, offset: int = 1, read_ms: int = 1
) -> list[int]:
    lots = [ReplyLot(lot or uuid.uuid4().hex, WIRE, entries)] if entries else []
    return await ledger.answer(
        lots, epoch=ledger.epoch, partition=partition, next_offset=offset, read_ms=read_ms, now=now_ms()
    )


async def claimed(ledger: Ledger, who: Leases, one: Claim, *, partition: int = MINE) -> Claimed:
    """What the book says of one claim."""
    (said,) = await ledger.claim([one], incarnation=who.incarnation, partition=partition, now=now_ms())
    assert isinstance(said, Claimed)
    return said


async def known_of(ledger: Ledger, one: Claim) -> Known:
    known = await ledger.find(one.request_id)
    assert known
    return known


def fan_out(**changes: Any) -> Claim:
    """A request for all four provinces."""
    return claim(provinces=FOUR, **changes)


async def answer_of(ledger: Ledger, one: Claim, *provinces: str, partition: int = MINE) -> list[int]:
    """The verdicts on a reply lot of each of these provinces."""
    said: list[int] = []
    for province in provinces:
        said += await answer(ledger, entry(one, province=province), partition=partition)
    return said


async def names(redis: Redis) -> set[str]:
    found: Any = await redis.keys("*")
    return {key.decode() for key in found}


async def test_a_new_id_is_new_and_then_mine(ledger: Ledger, me: Leases) -> None:
    """A first claim is new, a repeat by the same instance is its own flight, with the first deadline."""
    first = claim()
    assert await ask(ledger, me, first) == ["new"]
    later = first._replace(deadline_ms=first.deadline_ms + 5_000)
    (said,) = await ledger.claim([later], incarnation=me.incarnation, partition=OTHERS, now=now_ms())
    assert said == Claimed("mine", (PROVINCE,), first.deadline_ms, -1, (PROVINCE,))


async def test_another_instance_joins_while_the_first_lives(ledger: Ledger, me: Leases, other: Leases) -> None:
    """A repeat elsewhere joins as long as the first instance holds its home, for ever once it is durable in Kafka."""
    one, silent = claim(), claim()
    now = now_ms()
    await ask(ledger, me, one, silent, now=now)
    await ledger.sent([one.request_id])
    assert await ask(ledger, other, one, silent, now=now + 9_000) == ["join", "join"]
    assert await ask(ledger, other, one, silent, now=now + 10_000) == ["join", "again"]


async def test_a_request_taken_over_expires_by_both_partitions(ledger: Ledger, me: Leases, other: Leases) -> None:
    """Where a request was produced twice, both reply partitions must have been read before it is called expired."""
    one = claim()
    await ask(ledger, me, one)
    await me.release()
    assert await ask(ledger, other, one, partition=OTHERS) == ["again"]
    drained = []
    for partition in (OTHERS, MINE):
        await answer(ledger, partition=partition, read_ms=5_000)
        known = await ledger.find(one.request_id)
        drained.append(known and known.drained_ms)
    assert drained == [0, 5_000]


async def test_it_is_produced_again_after_the_lease_is_lost(ledger: Ledger, me: Leases, other: Leases) -> None:
    """When the first instance has lost its home, a repeat is produced again, once, to the new instance's partition."""
    one = claim()
    await ask(ledger, me, one)
    await me.release()
    said = await claimed(ledger, other, one, partition=OTHERS)
    assert said == Claimed("again", (PROVINCE,), one.deadline_ms, -1, (PROVINCE,))
    assert await ask(ledger, other, one) == ["mine"]


async def test_a_partition_that_another_took_is_a_lost_lease(ledger: Ledger, me: Leases, other: Leases) -> None:
    """A home that belongs to a later incarnation by now does not speak for the one that is gone."""
    one = claim()
    await ask(ledger, me, one)
    await me.release()
    assert await Leases(ledger).home(MINE) == MINE
    assert await ask(ledger, other, one) == ["again"]


async def test_it_is_produced_again_after_its_produce_failed(ledger: Ledger, me: Leases) -> None:
    """A produce that failed for good may be repeated by the same instance, once."""
    one = claim()
    await ask(ledger, me, one)
    await ledger.fail(one.request_id)
    assert await ask(ledger, me, one) == ["again"]
    assert await ask(ledger, me, one) == ["mine"]


async def test_nothing_is_produced_past_the_deadline(ledger: Ledger, me: Leases) -> None:
    """A repeat after the recorded deadline only joins, whatever became of the first; a new one has expired."""
    one = claim()
    assert await ask(ledger, me, one._replace(request_id="late"), now=one.deadline_ms) == ["expired"]
    await ask(ledger, me, one)
    await ledger.fail(one.request_id)
    assert await ask(ledger, me, one, now=one.deadline_ms) == ["join"]


async def test_an_answered_request_is_answered(ledger: Ledger, me: Leases, other: Leases) -> None:
    """Once there is an answer a repeat anywhere is told so, and the book says where it lies."""
    one = claim()
    await ask(ledger, me, one)
    at = now_ms()
    assert await answer(ledger, entry(one, place=4, appended_ms=at), lot="lot-1") == [1]
    for who in (me, other):
        said = await claimed(ledger, who, one, partition=OTHERS)
        assert said == Claimed("answered", (), one.deadline_ms, -1, (PROVINCE,))
    pointer = (await known_of(ledger, one)).parts[PROVINCE]
    assert pointer
    assert pointer[:3] == ("lot-1", 4, at)
    assert at <= pointer.written_ms <= now_ms()
    assert await ledger.lot("lot-1") == WIRE


async def test_an_id_names_one_request(ledger: Ledger, me: Leases) -> None:
    """The same id with another digest is a conflict, before and after the answer."""
    one = claim()
    other_body = one._replace(digest=OTHER_DIGEST)
    assert await ask(ledger, me, one, other_body) == ["new", "conflict"]
    await answer(ledger, entry(one))
    assert await ask(ledger, me, other_body) == ["conflict"]


async def test_rate_is_counted_by_application_and_second(ledger: Ledger, me: Leases) -> None:
    """More new requests than the application may ask in this second are refused; repeats and others are not."""
    now = now_ms()
    some = [claim(per_second=2) for _ in range(3)]
    assert await ask(ledger, me, *some, now=now) == ["new", "new", "rate"]
    assert await ask(ledger, me, some[0], now=now) == ["mine"]
    assert await ask(ledger, me, claim(per_second=2, application="another"), now=now) == ["new"]
    assert await ask(ledger, me, some[2], now=now + 1_000) == ["new"]


async def test_a_nonce_serves_one_request(ledger: Ledger, me: Leases) -> None:
    """A nonce seen with another id is a replay; with its own id it is a repeat; another application may have it too."""
    one = claim(nonce="n")
    assert await ask(ledger, me, one, claim(nonce="n"), one) == ["new", "nonce", "mine"]
    assert await ask(ledger, me, claim(nonce="n", application="another")) == ["new"]


async def test_an_unknown_id_waits_for_the_whole_book(connection: Redis) -> None:
    """While one reply partition has not been read again, a known id is known and any other neither new nor unknown."""
    ledger = await opened(connection, whole=False)
    who = Leases(ledger)
    known, unknown = claim(), claim()
    await ledger.rewrite([known], epoch=ledger.epoch, incarnation=who.incarnation, partition=MINE)
    assert await ask(ledger, who, known, unknown) == ["mine", "RebuildingError"]
    with pytest.raises(RebuildingError):
        await ledger.find(unknown.request_id)
    await ledger.rebuilt(LANE_PARTITIONS - 1, ledger.epoch)
    assert await ledger.find(unknown.request_id) is None
    assert await ask(ledger, who, unknown) == ["new"]


async def test_the_first_answer_stays(ledger: Ledger, me: Leases) -> None:
    """A second reply of a request is dropped, the same reply read again is the same, and the pointer never moves."""
    one = claim()
    await ask(ledger, me, one)
    first = entry(one)
    assert await answer(ledger, first, lot="first") == [1]
    assert await answer(ledger, entry(one, place=1), lot="second") == [0]
    assert await answer(ledger, first, lot="first") == [1]
    pointer = (await known_of(ledger, one)).parts[PROVINCE]
    assert pointer
    assert pointer[:3] == ("first", 0, first.appended_ms)
    assert await ledger.lot("second") is None  # nothing of it is wanted


async def test_a_late_answer_is_dropped(ledger: Ledger, me: Leases) -> None:
    """What was appended after the recorded deadline is no answer, though the reply names a later one."""
    one = claim()
    await ask(ledger, me, one)
    late = entry(one, appended_ms=one.deadline_ms + 1, deadline_ms=one.deadline_ms + 60_000)
    assert await answer(ledger, late) == [-1]
    assert await answer(ledger, entry(one, appended_ms=one.deadline_ms)) == [1]


@pytest.mark.parametrize(
    "wrong",
    [{"digest": OTHER_DIGEST}, {"province": "33"}, {"application": "another"}],
    ids=["digest", "province", "application"],
)
async def test_a_strangers_answer_is_dropped(ledger: Ledger, me: Leases, wrong: dict[str, str]) -> None:
    """A reply with another digest, from another province or for another application answers nothing."""
    one = claim()
    await ask(ledger, me, one)
    assert await answer(ledger, entry(one, **wrong), lot="stranger") == [-2]
    assert await ledger.lot("stranger") is None
    assert await answer(ledger, entry(one)) == [1]


async def test_a_lot_is_kept_when_one_of_its_items_is_taken(ledger: Ledger, me: Leases) -> None:
    """Each item of a lot has its own verdict, and one that is taken keeps the lot."""
    taken, late, foreign = claim(), claim(), claim()
    await ask(ledger, me, taken, late, foreign)
    entries = [
        entry(taken),
        entry(late, place=1, appended_ms=late.deadline_ms + 1),
        entry(foreign, place=2, province="33"),
    ]
    assert await answer(ledger, *entries, lot="mixed") == [1, -1, -2]
    assert await ledger.lot("mixed") == WIRE


async def test_an_answer_is_kept_of_a_request_the_book_has_lost(connection: Redis) -> None:
    """After a flush a reply that is read again makes its request known, with what the reply says of it."""
    ledger = await opened(connection, whole=False)
    one = claim()
    assert await answer(ledger, entry(one)) == [1]
    known = await ledger.find(one.request_id)
    assert known
    assert (known.application, known.provinces) == (APPLICATION, (PROVINCE,))
    assert await ask(ledger, Leases(ledger), one, one._replace(digest=OTHER_DIGEST)) == ["answered", "conflict"]


async def test_place_and_drained_mark_move_with_the_answers(ledger: Ledger, me: Leases) -> None:
    """The next offset is always the last one written; the drained mark only rises."""
    one = claim()
    await ask(ledger, me, one)
    await answer(ledger, entry(one), offset=41, read_ms=1_000)
    assert await ledger.offsets([MINE, OTHERS]) == {MINE: 41}
    await answer(ledger, offset=12, read_ms=900)
    known = await ledger.find(one.request_id)
    assert known
    assert (await ledger.offsets([MINE]), known.drained_ms) == ({MINE: 12}, 1_000)


async def test_nothing_is_written_to_another_life_of_redis(ledger: Ledger, me: Leases, connection: Redis) -> None:
    """After a flush, with the epoch gone or a new one, claim, answer and rewrite say so, and nothing is written."""
    one = claim()
    await ask(ledger, me, one)
    await connection.flushall()
    for _ in range(2):
        before = await names(connection)
        with pytest.raises(EpochError):
            await ask(ledger, me, one)
        with pytest.raises(EpochError):
            await answer(ledger, entry(one))
        with pytest.raises(EpochError):
            await ledger.rewrite([one], epoch=ledger.epoch, incarnation=me.incarnation, partition=MINE)
        await ledger.sent([one.request_id])
        await ledger.rebuilt(MINE, ledger.epoch)
        assert await names(connection) == before
        await Ledger(connection, NODE).current_epoch("another life")


async def test_one_begins_a_life_of_redis(connection: Redis) -> None:
    """Of all that find Redis empty one names its new life, and the others take that name."""
    said = await asyncio.gather(*(Ledger(connection, NODE).current_epoch(f"life {n}") for n in range(8)))
    assert len(set(said)) == 1


async def test_in_flight_requests_are_written_again(ledger: Ledger, me: Leases, other: Leases) -> None:
    """Rewriting brings back what was in flight, and changes nothing of what is there."""
    lost, there, another = claim(), claim(), claim()
    await ask(ledger, other, there, another, partition=OTHERS)
    await answer(ledger, entry(there))
    await ledger.rewrite([lost, there, another], epoch=ledger.epoch, incarnation=me.incarnation, partition=MINE)
    assert await ask(ledger, me, lost, there, another) == ["mine", "answered", "join"]


async def test_a_lost_answer_is_gone_not_unknown(ledger: Ledger, me: Leases, connection: Redis) -> None:
    """When the answer is no longer kept but its record is, the request is gone (410), and is not asked again."""
    one = claim()
    await ask(ledger, me, one)
    await answer(ledger, entry(one), lot="kept a while")
    await connection.delete(f"{ledger.base}lot:kept a while")
    assert await ask(ledger, me, one) == ["answered"]
    nobody: Any = None
    exchange = Exchange(
        ledger=ledger,
        lanes=dict,
        opener=nobody,
        bounds=Bounds(1, 1, 1),
        incarnation=me.incarnation,
        home=lambda: MINE,
        staffed=lambda _: True,
    )
    with pytest.raises(GoneError):
        await exchange.look(one.request_id, APPLICATION)


async def test_durable_is_said_of_known_requests_only(ledger: Ledger, me: Leases) -> None:
    """Saying that requests are durable marks those in the book and makes no new ones."""
    one, unknown = claim(), claim()
    await ask(ledger, me, one)
    await ledger.sent([one.request_id, unknown.request_id])
    known = await ledger.find(one.request_id)
    assert known
    assert known.sent
    assert await ledger.find(unknown.request_id) is None


async def test_a_failure_is_said_of_known_requests_only(ledger: Ledger, connection: Redis) -> None:
    """Saying that a produce failed makes no record of a request that Redis has lost."""
    await ledger.fail(claim().request_id)
    assert not [name for name in await names(connection) if ":req:" in name]


async def test_parts_end_one_by_one(ledger: Ledger, me: Leases) -> None:
    """A request to several provinces is answered once all of them have, and till then the others are to be asked."""
    one = fan_out()
    assert await claimed(ledger, me, one) == Claimed("new", FOUR, one.deadline_ms, 999, FOUR)
    for province, left in (("33", ("31", "32", "34")), ("31", ("32", "34")), ("34", ("32",))):
        assert await answer_of(ledger, one, province) == [1]
        assert await claimed(ledger, me, one) == Claimed("mine", left, one.deadline_ms, -1, FOUR)
        known = await known_of(ledger, one)
        assert known.parts.keys() == set(FOUR) - set(left)
        assert known.provinces == FOUR
    assert await answer_of(ledger, one, "32") == [1]
    assert await claimed(ledger, me, one) == Claimed("answered", (), one.deadline_ms, -1, FOUR)


async def test_each_part_is_final_by_itself(ledger: Ledger, me: Leases) -> None:
    """Of each province the first reply stays, and the same reply read again is the same."""
    one = fan_out()
    await ask(ledger, me, one)
    first = entry(one, province="31")
    assert await answer(ledger, first, lot="first") == [1]
    assert await answer(ledger, entry(one, province="31"), lot="second") == [0]
    assert await answer(ledger, entry(one, province="32"), lot="third") == [1]
    assert await answer(ledger, first, lot="first") == [1]
    parts = (await known_of(ledger, one)).parts
    assert {province: part and part.lot_id for province, part in parts.items()} == {"31": "first", "32": "third"}


async def test_several_parts_in_one_poll(ledger: Ledger, me: Leases) -> None:
    """Lots of several provinces that are read together end a part each."""
    one = fan_out()
    await ask(ledger, me, one)
    lots = [ReplyLot(f"lot-{p}", WIRE, [entry(one, province=p)]) for p in FOUR]
    said = await ledger.answer(lots, epoch=ledger.epoch, partition=MINE, next_offset=4, read_ms=9, now=now_ms())
    assert said == [1, 1, 1, 1]
    assert await ask(ledger, me, one) == ["answered"]


@pytest.mark.parametrize("stranger", ["34", "3", "1", "35", ""])
async def test_a_province_that_was_not_among_them(ledger: Ledger, me: Leases, stranger: str) -> None:
    """A reply of a province that the request did not go to answers nothing."""
    one = claim(provinces=("31", "32", "33"))
    await ask(ledger, me, one)
    assert await answer(ledger, entry(one, province=stranger), lot="stranger") == [-2]
    assert await ledger.lot("stranger") is None
    assert (await known_of(ledger, one)).parts == {}


async def test_a_late_part(ledger: Ledger, me: Leases) -> None:
    """Of a fan-out too a reply that was appended past the deadline is none, and the others stay."""
    one = fan_out()
    await ask(ledger, me, one)
    assert await answer_of(ledger, one, "31") == [1]
    assert await answer(ledger, entry(one, province="32", appended_ms=one.deadline_ms + 1)) == [-1]
    assert (await known_of(ledger, one)).parts.keys() == {"31"}


async def test_provinces_without_an_agent(ledger: Ledger, me: Leases) -> None:
    """A province without an agent is not to be asked, its part is final, and no reply of it is taken any more."""
    one = fan_out(away=("32", "34"))
    assert await claimed(ledger, me, one) == Claimed("new", ("31", "33"), one.deadline_ms, 999, FOUR)
    assert (await known_of(ledger, one)).parts == {"32": None, "34": None}
    assert await answer_of(ledger, one, "34", "31", "33") == [0, 1, 1]
    assert (await known_of(ledger, one)).parts["34"] is None
    assert await ask(ledger, me, one) == ["answered"]


async def test_no_province_has_an_agent(ledger: Ledger, me: Leases) -> None:
    """When none of several provinces has an agent the request is entered and answered, with nobody to be asked."""
    one = fan_out(away=FOUR)
    assert await claimed(ledger, me, one) == Claimed("new", (), one.deadline_ms, 999, FOUR)
    assert await ask(ledger, me, one) == ["answered"]
    assert (await known_of(ledger, one)).parts == dict.fromkeys(FOUR)


async def test_the_only_province_has_no_agent(ledger: Ledger, me: Leases, connection: Redis) -> None:
    """When the only province has no agent nothing is written: neither the request, nor its nonce, nor its rate."""
    one = claim(away=(PROVINCE,), per_second=1, nonce="n")
    before, now = await names(connection), now_ms()
    assert await ask(ledger, me, one, one, now=now) == ["away", "away"]
    assert await names(connection) == before
    assert await ask(ledger, me, one._replace(away=()), now=now) == ["new"]


async def test_who_is_away_is_asked_once(ledger: Ledger, me: Leases, other: Leases) -> None:
    """Who is away counts when a request is entered: later a known request neither gains nor loses a province by it."""
    single, several = claim(), fan_out(away=("34",))
    await ask(ledger, me, single, several)
    assert await ask(ledger, me, single._replace(away=(PROVINCE,))) == ["mine"]
    assert await ask(ledger, other, single._replace(away=(PROVINCE,))) == ["join"]
    said = await claimed(ledger, me, several._replace(away=("31", "32")))
    assert (said.verdict, said.to_ask) == ("mine", ("31", "32", "33"))
    assert (await known_of(ledger, several)).parts == {"34": None}


async def test_a_fan_out_is_taken_over(ledger: Ledger, me: Leases, other: Leases) -> None:
    """Who takes a request over asks only those provinces that have not ended, and those of the book, not its own."""
    one = fan_out(away=("34",))
    await ask(ledger, me, one)
    await answer_of(ledger, one, "32")
    await me.release()
    later = one._replace(provinces=("31",), away=(), deadline_ms=one.deadline_ms + 5_000)
    assert await claimed(ledger, other, later, partition=OTHERS) == Claimed(
        "again", ("31", "33"), one.deadline_ms, -1, FOUR
    )
    assert await answer_of(ledger, one, "31", partition=MINE) == [1]
    assert await answer_of(ledger, one, "33", partition=OTHERS) == [1]
    assert await ask(ledger, other, one) == ["answered"]


async def test_a_fan_out_past_its_deadline(ledger: Ledger, me: Leases) -> None:
    """Past the deadline the rest of a fan-out is not produced again, and the book says how far was read."""
    one = fan_out()
    await ask(ledger, me, one)
    await answer_of(ledger, one, "31", "32")
    await ledger.fail(one.request_id)
    assert await ask(ledger, me, one, now=one.deadline_ms) == ["join"]
    await answer(ledger, read_ms=one.deadline_ms + 1)
    known = await known_of(ledger, one)
    assert (known.drained_ms, set(known.parts)) == (one.deadline_ms + 1, {"31", "32"})


async def test_what_is_left_of_the_rate(ledger: Ledger, me: Leases) -> None:
    """What an application may still ask in this second is counted down by requests, not by their provinces."""
    now = now_ms()
    some = [fan_out(per_second=3), claim(per_second=3), claim(per_second=3)]
    said = await ledger.claim(
        [*some, some[0], claim(per_second=3)], incarnation=me.incarnation, partition=MINE, now=now
    )
    told = [(one.verdict, one.left) for one in said if isinstance(one, Claimed)]
    assert told == [("new", 2), ("new", 1), ("new", 0), ("mine", -1), ("rate", -1)]


async def test_who_joined_is_woken_by_each_part(ledger: Ledger, me: Leases, other: Leases) -> None:
    """Who joined a fan-out elsewhere hears of each of its parts, and of no request that nobody joined."""
    one, alone = fan_out(), claim()
    await ask(ledger, me, one, alone)
    await ask(ledger, other, one)
    async with ledger.redis.pubsub(ignore_subscribe_messages=True) as pushes:
        await pushes.subscribe(f"{ledger.base}answered")
        await answer(ledger, entry(alone))
        await answer_of(ledger, one, "31", "32")
        heard: list[str] = []
        async with asyncio.timeout(30):
            while len(heard) < 2:
                if push := await pushes.get_message(timeout=1):
                    heard.append(push["data"].decode())
        assert heard == [one.request_id] * 2


async def test_a_fan_out_is_written_again(ledger: Ledger, me: Leases, connection: Redis) -> None:
    """After a flush a fan-out in flight is in the book again, with the provinces that were not asked."""
    one = fan_out(away=("34",))
    await ask(ledger, me, one)
    await connection.flushall()
    ledger = await opened(connection)
    await ledger.rewrite([one], epoch=ledger.epoch, incarnation=me.incarnation, partition=MINE)
    assert (await known_of(ledger, one)).parts == {"34": None}
    assert await claimed(ledger, me, one) == Claimed("mine", ("31", "32", "33"), one.deadline_ms, -1, FOUR)
    assert await answer_of(ledger, one, "31", "34", "32", "33") == [1, 0, 1, 1]


async def test_a_reply_may_be_read_before_the_rewriting(connection: Redis) -> None:
    """A reply that brought a lost fan-out back first does not make the provinces that were not asked expected again."""
    ledger = await opened(connection)
    who, one = Leases(ledger), fan_out(away=("34",))
    assert await answer_of(ledger, one, "31") == [1]
    other_body = one._replace(digest=OTHER_DIGEST, away=("32",))
    answered = one._replace(away=("31",))
    await ledger.rewrite([one, other_body, answered], epoch=ledger.epoch, incarnation=who.incarnation, partition=MINE)
    known = await known_of(ledger, one)
    assert (known.provinces, set(known.parts), known.parts["34"]) == (FOUR, {"31", "34"}, None)
    assert known.parts["31"] is not None  # and no answer is taken away


async def test_a_reply_brings_all_provinces_back(connection: Redis) -> None:
    """A reply says which provinces were asked, so that a lost request is not taken for answered by one of them."""
    ledger = await opened(connection, whole=False)
    one = fan_out()
    assert await answer_of(ledger, one, "33") == [1]
    known = await known_of(ledger, one)
    assert (known.provinces, set(known.parts), known.application) == (FOUR, {"33"}, APPLICATION)
    said = await claimed(ledger, Leases(ledger), one)
    assert (said.verdict, said.to_ask) == ("again", ("31", "32", "34"))
    assert await answer_of(ledger, one, "31", "32", "34") == [1, 1, 1]
    assert (await known_of(ledger, one)).parts.keys() == set(FOUR)


WITHOUT_EXPIRY = {"epoch", "offset", "drained", "rebuilt"}  # one small key each: the life of Redis and the places


async def test_everything_else_expires(ledger: Ledger, me: Leases, other: Leases, connection: Redis) -> None:
    """Every key but the epoch and the places has an expiry: records 20 min past the deadline, answers 10 min."""
    one, two = claim(nonce="n"), claim()
    await ask(ledger, me, one, two)
    await ask(ledger, other, one)  # leaves who waits for it
    await answer(ledger, entry(one), lot="lot")
    await ledger.rewrite([claim()], epoch=ledger.epoch, incarnation=me.incarnation, partition=MINE)
    await answer(ledger, entry(claim()))
    await ledger.sent([two.request_id])
    await ledger.fail(two.request_id)
    await other.drains()
    left = {name.removeprefix(ledger.base): await connection.pttl(name) for name in await names(connection)}
    assert {name for name, ttl in left.items() if ttl < 0} == WITHOUT_EXPIRY
    assert {name.partition(":")[0] for name in left} == WITHOUT_EXPIRY | {
        "req",
        "rate",
        "nonce",
        "join",
        "lot",
        "lease",
    }
    assert 1_200_000 < left[f"req:{one.request_id}"] <= 1_260_000
    assert 590_000 < left["lot:lot"] <= 600_000


async def test_a_home_is_taken_and_kept(ledger: Ledger, connection: Redis) -> None:
    """An instance gets a free home, renews it by its number, and its lease lasts five seconds."""
    one = Leases(ledger)
    place = await one.home()
    assert place is not None
    await connection.pexpire(f"{ledger.base}lease:{place}", 100)
    assert await one.home(place) == place
    assert 4_000 < await connection.pttl(f"{ledger.base}lease:{place}") <= leases.LEASE_MS


async def test_a_home_is_never_stolen(ledger: Ledger) -> None:
    """Twelve instances have twelve homes, and a thirteenth has none, wished or not."""
    all_of_them = [Leases(ledger) for _ in range(LANE_PARTITIONS)]
    homes = [await one.home() for one in all_of_them]
    assert sorted(place for place in homes if place is not None) == list(range(LANE_PARTITIONS))
    assert await Leases(ledger).home() is None
    assert await Leases(ledger).home(MINE) is None
    assert [await one.home(place) for one, place in zip(all_of_them, homes, strict=True) if place is not None] == homes


async def test_a_home_takes_what_is_only_drained(ledger: Ledger) -> None:
    """A new instance takes a free partition before a drained one, and a drained one rather than none."""
    drainer, second = Leases(ledger), Leases(ledger)
    assert await drainer.home(MINE) == MINE
    drained = await drainer.drains()
    assert drained == [place for place in range(LANE_PARTITIONS) if place != MINE]
    stolen = await second.home()
    assert stolen in drained
    assert await drainer.drains() == [place for place in drained if place != stolen]
    third = Leases(ledger)
    assert await third.home(OTHERS) == OTHERS


async def test_two_never_drain_the_same(ledger: Ledger, me: Leases, other: Leases) -> None:
    """Of all that drain at once each partition without a home has exactly one."""
    first, second = await asyncio.gather(me.drains(), other.drains())
    assert sorted(first + second) == [place for place in range(LANE_PARTITIONS) if place not in (MINE, OTHERS)]
    assert sorted(await me.drains() + await other.drains()) == sorted(first + second)


async def test_releasing_gives_back_what_is_mine(ledger: Ledger, me: Leases, other: Leases) -> None:
    """A release frees the instance's home and drains at once, and nobody else's."""
    drained = await me.drains()
    await me.release()
    assert await other.drains() == sorted([*drained, MINE])
    assert await Leases(ledger).home(OTHERS) is None


async def test_who_lost_a_home_is_told(ledger: Ledger, connection: Redis) -> None:
    """An instance whose lease ran out, and whose partition is another's home by now, does not get it back."""
    one = Leases(ledger)
    assert await one.home(MINE) == MINE
    await connection.delete(f"{ledger.base}lease:{MINE}")
    assert await Leases(ledger).home(MINE) == MINE
    assert await one.home(MINE) is None


async def test_who_was_not_asked_is_known_again(connection: Redis) -> None:
    """A reply that is read again after a flush brings back all provinces of its request, and who was not asked."""
    ledger = await opened(connection, whole=False)
    one = claim(provinces=("31", "32", "34"))
    told = entry(one, province="32", sources=("31", "32", "-34"))
    assert await answer(ledger, told) == [1]
    known = await ledger.find(one.request_id)
    assert known
    assert (known.provinces, known.chosen) == (("31", "32", "34"), True)
    assert (known.parts["34"], "31" in known.parts) == (None, False)
