"""Fan-outs: the real exchange and book on real Redis, and four provinces that answer, refuse, wait or are dead."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import pytest

from broker.bus.clock import now_ms
from broker.bus.greedy import Greedy
from broker.exchange.errors import ConflictError, UnavailableError
from broker.exchange.exchange import Asking, Exchange
from broker.exchange.flights import Bounds
from broker.exchange.leases import Leases
from broker.exchange.ledger import Ledger, ReplyEntry, ReplyLot
from broker.exchange.replies import ReplyOpener
from broker.exchange.state import Answer, Missing, State
from broker.gateway.merging import merged
from schemas.items import ReplyItem, RequestItem, decode_data, decode_reply, decode_request, encode, request_digest
from schemas.lot import REPLY_TYPE, Envelope, LotError, WireRecord
from schemas.regions import PROVINCES
from schemas.sharing import Head, SearchRequest
from schemas.topics import LANE_PARTITIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from redis.asyncio import Redis

APPLICATION: Final = "yct-enterprise"
ANSWERED, EMPTY, REFUSED, SLOW, DEAD = "answered", "empty", "refused", "slow", "dead"
FOUR: Final = (ANSWERED, REFUSED, SLOW, DEAD)
CODES: Final = {ANSWERED: 0, EMPTY: 10, REFUSED: 3005}
ROOMY: Final = Bounds(in_all=10_000, per_lane=10_000, per_application=10_000)
LONG_SECONDS = 60.0  # nobody waits so long: what is waited for comes
Plan = tuple[str, ...]  # what each province does, in their order


def asking(plan: Plan, *, provinces: Sequence[str] = PROVINCES, name: str = "", holder: str = "x") -> Asking:
    """A search for these provinces; what they are to do stands where a case's number would."""
    head = Head(business_code=" ".join(plan))
    data = SearchRequest(holder_code=holder)
    item = RequestItem(
        id=name or uuid.uuid4().hex,
        interface="I1",
        application=APPLICATION,
        deadline=now_ms() + 60_000,
        head=head,
        data=msgspec.Raw(encode(data)),
        sources=tuple(provinces),
        hops={"received": now_ms()},
    )
    return Asking(item, tuple(provinces), request_digest("I1", APPLICATION, head, data), 100_000, "")


def reply_of(item: RequestItem, province: str, does: str) -> ReplyItem:
    """What a province says that does this."""
    found = {"total": 1, "dataList": [{"certificateID": province}]}
    return ReplyItem(
        id=item.id,
        status=CODES[does],
        application=item.application,
        digest=request_digest(item.interface, item.application, item.head, decode_data(item)),
        deadline=item.deadline,
        data=msgspec.Raw(encode(found if does == ANSWERED else None)),
        evidence=f"evidence-{province}",
        sources=item.sources,
        hops=item.hops,
    )


class PlainOpener(ReplyOpener):
    """Opens reply lots that are neither signed nor sealed."""

    def __init__(self) -> None:
        """It has no keys."""

    def open(self, record: WireRecord, appended_ms: int) -> tuple[Envelope, list[Answer]]:
        named = {name: value.decode() for name, value in record.headers}
        envelope = Envelope(**named, ce_type=REPLY_TYPE, ce_time="", ce_deadline="0", ce_items="1")
        items = map(decode_reply, msgspec.json.decode(record.value, type=list[msgspec.Raw]))
        return envelope, [Answer(item, envelope.ce_source, appended_ms) for item in items]


class Lane:
    """A province behind its lane; it speaks before its request is acknowledged, so that nothing hangs on time."""

    def __init__(self, gateway: Gateway, province: str) -> None:
        self._gateway, self._province = gateway, province
        self.asked: Counter[str] = Counter()
        self.silent: list[RequestItem] = []
        self.reached = asyncio.Event()
        self.kafka = asyncio.Event()  # clear: nothing is sent or acknowledged
        self.kafka.set()
        self.error: Exception | None = None
        self.lots: Greedy[bytes, int] = Greedy(self._ship, max_items=10_000)

    def put(self, body: bytes, _deadline_ms: int) -> asyncio.Future[int]:
        return self.lots.put(body)

    async def _ship(self, bodies: list[bytes]) -> list[int | Exception]:
        items = [decode_request(body) for body in bodies]
        await self.kafka.wait()
        if self.error:
            return [self.error] * len(items)
        self.asked.update(item.id for item in items)
        spoken = []
        for item in items:
            does = item.head.business_code.split()[PROVINCES.index(self._province)]  # type: ignore[union-attr]
            if does in CODES:
                spoken.append(reply_of(item, self._province, does))
            else:
                self.silent.append(item)
        await self._gateway.read(self._province, spoken)
        self.reached.set()
        return [now_ms()] * len(items)

    async def speak(self, does: str = ANSWERED, *, to: Gateway | None = None, appended_ms: int = 0) -> None:
        """Answer at last what it was silent about; the reply partition is read by its own gateway unless told."""
        silent, self.silent = self.silent, []
        reader = to or self._gateway
        spoken = [reply_of(item, self._province, does) for item in silent]
        await reader.read(self._province, spoken, partition=self._gateway.partition, appended_ms=appended_ms)


class Gateway:
    """One instance of the node: its exchange, its lanes, and the reading of its reply partition."""

    def __init__(self, ledger: Ledger, partition: int, *, dead: Iterable[str] = (), bounds: Bounds = ROOMY) -> None:
        self.ledger, self.partition, self.dead = ledger, partition, set(dead)
        self.leases = Leases(ledger)
        self.lanes = {province: Lane(self, province) for province in PROVINCES}
        self.opener = PlainOpener()
        lanes: Any = self.lanes  # whole fakes of broker.bus.lots.Lane, as far as the exchange knows one
        self.exchange = Exchange(
            ledger=ledger,
            lanes=lambda: lanes,
            opener=self.opener,
            bounds=bounds,
            incarnation=self.leases.incarnation,
            home=lambda: partition,
            staffed=lambda province: province not in self.dead,
        )

    async def read(
        self, province: str, spoken: Sequence[ReplyItem], *, partition: int = -1, appended_ms: int = 0
    ) -> list[int]:
        """Write one reply lot into the book and tell the exchange, as the reply reader does."""
        appended_ms = appended_ms or now_ms()
        lot_id = uuid.uuid4().hex
        value = msgspec.json.encode([msgspec.Raw(encode(item)) for item in spoken])
        record = WireRecord([("ce_id", lot_id.encode()), ("ce_source", province.encode())], value)
        answers = self.opener.open(record, appended_ms)[1]
        entries = [
            ReplyEntry(
                one.item.id,
                place,
                appended_ms,
                one.item.digest,
                one.item.deadline,
                province,
                one.item.application,
                one.item.sources,
            )
            for place, one in enumerate(answers)
        ]
        verdicts = await self._write([ReplyLot(lot_id, record, entries)], partition)
        for answer, verdict in zip(answers, verdicts, strict=True):
            self.exchange.taken(answer, verdict)
        return verdicts

    async def drain(self, read_ms: int, partition: int = -1) -> None:
        """Read the reply partition up to this append time: nothing more was there."""
        await self._write([], partition, read_ms)
        self.exchange.drained(read_ms)

    async def _write(self, lots: list[ReplyLot], partition: int, read_ms: int = 1) -> list[int]:
        return await self.ledger.answer(
            lots,
            epoch=self.ledger.epoch,
            partition=self.partition if partition < 0 else partition,
            next_offset=1,
            read_ms=read_ms,
            now=now_ms(),
        )

    async def ask(self, asked: Asking, wait_seconds: float = 0.0) -> State:
        async with asyncio.timeout(LONG_SECONDS):
            return await self.exchange.ask(asked, wait_seconds=wait_seconds)

    async def look(self, asked: Asking) -> State:
        state = await self.exchange.look(asked.item.id, APPLICATION)
        assert state
        return state

    async def reached(self, *provinces: str) -> None:
        """Until these provinces have been asked."""
        async with asyncio.timeout(LONG_SECONDS):
            await asyncio.gather(*(self.lanes[province].reached.wait() for province in provinces))

    def times_asked(self, asked: Asking) -> dict[str, int]:
        return {province: lane.asked[asked.item.id] for province, lane in self.lanes.items()}


@pytest.fixture
async def ledger(connection: Redis) -> Ledger:
    """The book of a node, whole."""
    made = Ledger(connection, "31-yct")
    made.epoch = await made.current_epoch(uuid.uuid4().hex)
    for place in range(LANE_PARTITIONS):
        await made.rebuilt(place, made.epoch)
    return made


@pytest.fixture
async def first(ledger: Ledger) -> AsyncIterator[Gateway]:
    made = Gateway(ledger, 3)
    assert await made.leases.home(3) == 3
    yield made
    await asyncio.gather(*made.exchange._settling)


@pytest.fixture
async def second(ledger: Ledger) -> AsyncIterator[Gateway]:
    """The other gateway of the node."""
    made = Gateway(ledger, 7)
    assert await made.leases.home(7) == 7
    yield made
    await asyncio.gather(*made.exchange._settling)


class Expected(NamedTuple):
    """What DESIGN §6 says that a caller is told; written down here a second time, from the document alone."""

    status: int
    sources: list[tuple[str, str, int]]
    found: list[str]


TOLD: Final = {
    ANSWERED: ("answered", 0),
    EMPTY: ("empty", 10),
    REFUSED: ("refused", 3005),
    SLOW: ("late", 7002),
    DEAD: ("unavailable", 7001),
}


def expected(plan: Plan) -> Expected:
    """Some data and a source missing: 7003; no data and a source missing: 7001 or 7002, never 10."""
    does = set(plan)
    if ANSWERED in does:
        status = 7003 if does & {SLOW, DEAD} else 0
    elif SLOW in does:
        status = 7002
    elif DEAD in does:
        status = 7001
    else:
        status = 10 if EMPTY in does else 3005
    named = [(f"{province}0000", *TOLD[one]) for province, one in zip(PROVINCES, plan, strict=True)]
    return Expected(status, named, [province for province, one in zip(PROVINCES, plan, strict=True) if one == ANSWERED])


def told(state: State) -> Expected:
    """What a caller is told of a state."""
    answer = merged(state)
    data: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(answer.data))
    named = [(one["regionCode"], one["state"], one["status"]) for one in data["sources"]]
    found = [one["certificateID"] for one in data["dataList"]]
    assert data["total"] == len(found)
    assert answer.evidence == (f"evidence-{found[0]}" if found else answer.evidence)
    return Expected(answer.status, named, found)


def instead(plan: Plan, **changed: str) -> Plan:
    """The same plan, with one thing done in the place of another."""
    return tuple(changed.get(one, one) for one in plan)


class Crowd:
    """A gateway for each set of dead provinces: who is dead is the same for all that a gateway asks."""

    def __init__(self, ledger: Ledger) -> None:
        sets = itertools.product((False, True), repeat=4)
        self.gateways: Mapping[tuple[bool, ...], Gateway] = {
            dead: Gateway(ledger, place % LANE_PARTITIONS, dead=itertools.compress(PROVINCES, dead))
            for place, dead in enumerate(sets)
        }
        self.asked: dict[Plan, Asking] = {}

    def of(self, plan: Plan) -> Gateway:
        return self.gateways[tuple(one == DEAD for one in plan)]

    async def ask(self, plans: Sequence[Plan], wait_seconds: float) -> dict[Plan, State]:
        """All of these at once."""
        self.asked = {plan: asking(plan) for plan in plans}
        calls = [self.of(plan).ask(self.asked[plan], wait_seconds) for plan in plans]
        return dict(zip(plans, await asyncio.gather(*calls), strict=True))

    async def look(self, plans: Iterable[Plan]) -> dict[Plan, State]:
        return {plan: await self.of(plan).look(self.asked[plan]) for plan in plans}

    async def settled(self) -> None:
        """Until whatever was to be looked up has been."""
        for gateway in self.gateways.values():
            await asyncio.gather(*gateway.exchange._settling)

    def under_way(self) -> int:
        return sum(len(gateway.exchange.flights) for gateway in self.gateways.values())


def wrong(plans: Iterable[Plan], states: Mapping[Plan, State], **changed: str) -> dict[Plan, object]:
    """Those plans whose caller is told something else than the document says."""
    return {plan: told(states[plan]) for plan in plans if told(states[plan]) != expected(instead(plan, **changed))}


async def test_every_combination(ledger: Ledger) -> None:
    """All combinations of answered, empty, refused, slow and dead give the right sources and the right status."""
    plans = list(itertools.product((*FOUR, EMPTY), repeat=4))
    crowd = Crowd(ledger)
    states = await crowd.ask(plans, 3.0)
    assert len(states) == 5**4
    assert wrong(plans, states) == {}
    for plan in plans:
        assert states[plan].final is (SLOW not in plan)
        asked = crowd.of(plan).times_asked(crowd.asked[plan])
        assert list(asked.values()) == [int(one != DEAD) for one in plan]
    assert crowd.under_way() == sum(SLOW in plan for plan in plans)
    # what a caller is told who asks again later is the same
    assert wrong(plans, await crowd.look(plans)) == {}


async def test_late_parts_are_collected(ledger: Ledger) -> None:
    """Of all four-fold combinations the parts that come late are collected, and what is final then stays."""
    plans = list(itertools.product(FOUR, repeat=4))
    crowd = Crowd(ledger)
    assert wrong(plans, await crowd.ask(plans, 0.0)) == {}
    for gateway in crowd.gateways.values():
        for lane in gateway.lanes.values():
            await lane.speak()
    states = await crowd.look(plans)
    assert wrong(plans, states, slow=ANSWERED) == {}
    assert all(state.final for state in states.values())
    assert crowd.under_way() == 0


async def test_parts_that_never_come(ledger: Ledger) -> None:
    """Once the reply partition was read past the deadline a part without an answer has expired, and stays so."""
    plans = list(itertools.product(FOUR, repeat=4))
    crowd = Crowd(ledger)
    await crowd.ask(plans, 0.0)
    past = max(asked.item.deadline for asked in crowd.asked.values()) + 1
    for gateway in crowd.gateways.values():
        await gateway.drain(past)
    await crowd.settled()
    states = await crowd.look(plans)
    assert all(state.final for state in states.values())
    assert wrong(plans, states) == {}
    assert crowd.under_way() == 0
    for gateway in crowd.gateways.values():
        for lane in gateway.lanes.values():
            await lane.speak(appended_ms=past)
    assert {plan: state.parts for plan, state in (await crowd.look(plans)).items()} == {
        plan: state.parts for plan, state in states.items()
    }


@pytest.mark.parametrize("plan", [(ANSWERED,) * 4, (EMPTY, REFUSED, ANSWERED, DEAD), (DEAD,) * 4, (REFUSED,) * 4])
async def test_all_are_in(first: Gateway, plan: Plan) -> None:
    """When all parts are in, the caller is told at once, however long it would wait."""
    first.dead = {province for province, does in zip(PROVINCES, plan, strict=True) if does == DEAD}
    began = asyncio.get_running_loop().time()
    state = await first.ask(asking(plan), wait_seconds=LONG_SECONDS)
    assert asyncio.get_running_loop().time() - began < LONG_SECONDS / 2
    assert (state.final, told(state)) == (True, expected(plan))
    assert len(first.exchange.flights) == 0


async def test_the_last_part_ends_the_wait(first: Gateway) -> None:
    """A caller that waits is told when the last part comes, and not when an earlier one does."""
    asked = asking((ANSWERED, SLOW, SLOW, EMPTY))
    waiting = asyncio.ensure_future(first.ask(asked, LONG_SECONDS))
    await first.reached("32", "33")
    await first.lanes["33"].speak(REFUSED)
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await first.lanes["32"].speak(EMPTY)
    state = await waiting
    assert told(state) == expected((ANSWERED, EMPTY, REFUSED, EMPTY))


async def test_what_is_left_of_the_rate(first: Gateway) -> None:
    """The caller is told what its application may still ask, and nothing of it who joins."""
    asked = asking((ANSWERED,) * 4)
    assert (await first.ask(asked)).left == 99_999
    assert (await first.ask(asked)).left == -1


async def test_a_final_state_never_changes(first: Gateway, second: Gateway) -> None:
    """Nothing that is read later changes a final part: no second reply, and no reply of one that was not asked."""
    first.dead = {"34"}
    asked = asking((ANSWERED, REFUSED, EMPTY, DEAD))
    state = await first.ask(asked, LONG_SECONDS)
    for province in PROVINCES:
        for does in CODES:
            spoken = reply_of(asked.item, province, does)
            assert await second.read(province, [spoken], partition=first.partition) == [0]
    for gateway in (first, second):
        await gateway.drain(asked.item.deadline + 1, partition=first.partition)
        assert await gateway.look(asked) == state._replace(left=-1)
        assert await gateway.ask(asked) == state._replace(left=-1)


async def test_the_same_again_joins(first: Gateway) -> None:
    """The same request again while it is under way is no second one: each province is asked once, each caller told."""
    asked = asking((ANSWERED, SLOW, ANSWERED, SLOW))
    waiting = [asyncio.ensure_future(first.ask(asked, LONG_SECONDS)) for _ in range(3)]
    await first.reached("32", "34")
    waiting.append(asyncio.ensure_future(first.ask(asked, LONG_SECONDS)))
    await first.lanes["32"].speak()
    await first.lanes["34"].speak()
    for state in await asyncio.gather(*waiting):
        assert told(state) == expected((ANSWERED,) * 4)
    assert set(first.times_asked(asked).values()) == {1}


async def test_the_same_at_the_other_gateway(first: Gateway, second: Gateway) -> None:
    """The same request at the other gateway joins the first one, and is told when its last part is written."""
    asked = asking((ANSWERED, SLOW, ANSWERED, SLOW))
    await first.ask(asked)
    waiting = asyncio.ensure_future(second.ask(asked, LONG_SECONDS))
    await asyncio.sleep(0.1)  # it has joined, or will find the end written
    await first.lanes["32"].speak()
    await first.lanes["34"].speak()
    assert told(await waiting) == expected((ANSWERED,) * 4)
    assert set(second.times_asked(asked).values()) == {0}


async def test_the_other_gateway_tells_what_there_is(first: Gateway, second: Gateway) -> None:
    """Who joins at the other gateway, and does not wait to the end, is told the parts that there are."""
    first.dead = {"34"}
    asked = asking((ANSWERED, SLOW, EMPTY, DEAD))
    await first.ask(asked)
    await second.ledger.sent([asked.item.id])
    state = await second.ask(asked)
    assert (state.final, told(state)) == (False, expected((ANSWERED, SLOW, EMPTY, DEAD)))
    assert told(await second.look(asked)) == told(state)


async def test_another_request_of_the_same_name(first: Gateway, second: Gateway) -> None:
    """Another request under the same id is a conflict, at both gateways, before and after the end."""
    asked = asking((ANSWERED, SLOW, ANSWERED, ANSWERED))
    other = asking((ANSWERED, SLOW, ANSWERED, ANSWERED), name=asked.item.id, holder="y")
    await first.ask(asked)
    for _ in range(2):
        for gateway in (first, second):
            with pytest.raises(ConflictError):
                await gateway.ask(other)
        await first.lanes["32"].speak()
    assert (await first.look(asked)).final


async def test_nobody_elses_business(first: Gateway) -> None:
    """A request of another application is unknown."""
    asked = asking((ANSWERED,) * 4)
    await first.ask(asked)
    assert await first.exchange.look(asked.item.id, "another") is None


async def test_a_dead_gateways_fan_out_is_completed_by_the_other(first: Gateway, second: Gateway) -> None:
    """What the dead gateway has begun is completed where its partition is read on, without anybody asking again."""
    first.dead = {"33"}
    asked = asking((ANSWERED, SLOW, DEAD, SLOW))
    await first.ask(asked)
    assert told(await second.look(asked)) == expected((ANSWERED, SLOW, DEAD, SLOW))
    await first.lanes["32"].speak(EMPTY, to=second)
    assert told(await second.look(asked)) == expected((ANSWERED, EMPTY, DEAD, SLOW))
    await first.lanes["34"].speak(ANSWERED, to=second)
    state = await second.look(asked)
    assert (state.final, told(state)) == (True, expected((ANSWERED, EMPTY, DEAD, ANSWERED)))


async def test_a_dead_gateways_fan_out_expires_at_the_other(first: Gateway, second: Gateway) -> None:
    """What the dead gateway has begun expires once its partition was read past the deadline by the other."""
    asked = asking((ANSWERED, SLOW, EMPTY, SLOW))
    await first.ask(asked)
    await second.drain(asked.item.deadline + 1)
    assert not (await second.look(asked)).final
    await second.drain(asked.item.deadline + 1, partition=first.partition)
    state = await second.look(asked)
    assert (state.final, told(state)) == (True, expected((ANSWERED, SLOW, EMPTY, SLOW)))


@pytest.mark.parametrize("wait_seconds", [0.0, LONG_SECONDS])
async def test_a_fan_out_is_taken_over(first: Gateway, second: Gateway, wait_seconds: float) -> None:
    """Who repeats a dead gateway's request at the other asks only those provinces again that have not ended."""
    plan = (ANSWERED, SLOW, DEAD, SLOW)
    first.dead = {"33"}
    asked = asking(plan)
    await first.ask(asked)
    await first.leases.release()
    waiting = asyncio.ensure_future(second.ask(asked, wait_seconds))
    await second.reached("32", "34")
    if not wait_seconds:  # what had ended before is told at once
        assert told(await waiting) == expected(plan)
    await first.lanes["34"].speak(REFUSED, to=second)  # the reply to the first asking comes first
    await second.lanes["34"].speak(REFUSED)
    await second.lanes["32"].speak(EMPTY)
    await asyncio.gather(*second.exchange._settling)
    final = expected((ANSWERED, EMPTY, DEAD, REFUSED))
    if wait_seconds:
        assert told(await waiting) == final
    state = await second.look(asked)
    assert (state.final, told(state)) == (True, final)
    assert second.times_asked(asked) == {"31": 0, "32": 1, "33": 0, "34": 1}
    assert len(second.exchange.flights) == 0


async def test_who_was_asked_is_not_away(first: Gateway, second: Gateway) -> None:
    """A province that was asked and has died since is late, never unavailable, for whoever takes its request over."""
    asked = asking((ANSWERED, SLOW, EMPTY, SLOW))
    await first.ask(asked)
    await first.leases.release()
    second.dead = {"34"}
    state = await second.ask(asked)
    assert (state.final, told(state)) == (False, expected((ANSWERED, SLOW, EMPTY, SLOW)))
    for province in ("32", "34"):
        await second.lanes[province].speak(EMPTY)
    assert told(await second.look(asked)) == expected((ANSWERED, EMPTY, EMPTY, EMPTY))
    assert len(second.exchange.flights) == 0


async def test_the_only_province_is_dead(first: Gateway) -> None:
    """When the only province is dead the caller is told at once, nothing is kept, and later the same request goes."""
    asked = asking((ANSWERED,) * 4, provinces=["34"])
    first.dead = {"34"}
    with pytest.raises(UnavailableError) as error:
        await first.ask(asked, LONG_SECONDS)
    assert (error.value.part, error.value.known) == ("agents", True)
    assert await first.exchange.look(asked.item.id, APPLICATION) is None
    first.dead = set()
    assert (await first.ask(asked, LONG_SECONDS)).final


async def test_a_full_lane(ledger: Ledger) -> None:
    """A province that has as much as it may take is left out of a fan-out, and refuses who asks it alone."""
    gateway = Gateway(ledger, 3, bounds=Bounds(100, 1, 100))
    silent = asking((SLOW,) * 4, provinces=["32"])
    await gateway.ask(silent)
    state = await gateway.ask(asking((ANSWERED,) * 4), LONG_SECONDS)
    assert told(state) == expected((ANSWERED, DEAD, ANSWERED, ANSWERED))
    with pytest.raises(UnavailableError) as error:
        await gateway.ask(asking((ANSWERED,) * 4, provinces=["32"]))
    assert (error.value.part, error.value.known) == ("lane", True)
    await gateway.lanes["32"].speak()
    assert told(await gateway.ask(asking((ANSWERED,) * 4), LONG_SECONDS)) == expected((ANSWERED,) * 4)


async def test_a_lane_that_fails(first: Gateway) -> None:
    """A province that nothing can be sent to, as one without a valid key, keeps no other province's answer back."""
    first.lanes["33"].error = LotError("key")
    asked = asking((ANSWERED, EMPTY, ANSWERED, REFUSED))
    state = await first.ask(asked, 1.0)
    assert (state.final, told(state)) == (False, expected((ANSWERED, EMPTY, SLOW, REFUSED)))
    await first.drain(asked.item.deadline + 1)
    await asyncio.gather(*first.exchange._settling)
    assert (await first.look(asked)).final


async def test_a_lane_that_fails_while_the_others_are_slow(first: Gateway) -> None:
    """A province that nothing can be sent to does not make a request fail that the others have taken."""
    first.lanes["33"].error = LotError("key")
    asked = asking((SLOW, SLOW, ANSWERED, SLOW))
    assert told(await first.ask(asked)) == expected((SLOW, SLOW, SLOW, SLOW))
    for province in ("31", "32", "34"):
        await first.lanes[province].speak()
    assert told(await first.ask(asked, 1.0)) == expected((ANSWERED, ANSWERED, SLOW, ANSWERED))


async def test_a_lane_that_is_stuck(first: Gateway) -> None:
    """A lane that Kafka does not acknowledge keeps no other province's answer back, and is left out while it is so."""
    lane, plan = first.lanes["33"], (ANSWERED, EMPTY, ANSWERED, REFUSED)
    lane.kafka.clear()
    asked = asking(plan)
    state = await first.ask(asked, 1.0)
    assert (state.final, told(state)) == (False, expected((ANSWERED, EMPTY, SLOW, REFUSED)))
    await asyncio.sleep(1.0)
    state = await first.ask(asking(plan), LONG_SECONDS)
    assert (state.final, told(state)) == (True, expected((ANSWERED, EMPTY, DEAD, REFUSED)))
    with pytest.raises(UnavailableError) as error:
        await first.ask(asking(plan, provinces=["33"]), LONG_SECONDS)
    assert (error.value.part, error.value.known) == ("kafka", True)
    lane.kafka.set()
    assert told(await first.ask(asked, LONG_SECONDS)) == expected(plan)


async def test_a_request_that_kafka_does_not_take(first: Gateway) -> None:
    """When no lane has been acknowledged and nobody has answered the caller is told that it is not known."""
    for lane in first.lanes.values():
        lane.kafka.clear()
    asked = asking((ANSWERED,) * 4)
    with pytest.raises(UnavailableError) as error:
        await first.ask(asked)
    assert (error.value.part, error.value.known) == ("kafka", False)
    for lane in first.lanes.values():
        lane.kafka.set()
    assert told(await first.ask(asked, LONG_SECONDS)) == expected((ANSWERED,) * 4)
    assert set(first.times_asked(asked).values()) == {1}


async def test_every_lane_fails(first: Gateway) -> None:
    """When nothing can be sent anywhere the caller is told so, and may send the same request again."""
    for lane in first.lanes.values():
        lane.error = LotError("key")
    asked = asking((ANSWERED,) * 4)
    with pytest.raises(UnavailableError) as error:
        await first.ask(asked, LONG_SECONDS)
    assert (error.value.part, error.value.known) == ("kafka", False)
    assert len(first.exchange.flights) == 0
    for lane in first.lanes.values():
        lane.error = None
    assert told(await first.ask(asked, LONG_SECONDS)) == expected((ANSWERED,) * 4)


async def test_a_reply_that_the_other_has_read(first: Gateway, second: Gateway) -> None:
    """A part that the other gateway wrote first ends the wait here, when the same reply is read here too."""
    asked = asking((ANSWERED, ANSWERED, ANSWERED, SLOW))
    waiting = asyncio.ensure_future(first.ask(asked, LONG_SECONDS))
    await first.reached("34")
    await second.read("34", [reply_of(asked.item, "34", ANSWERED)], partition=first.partition)
    assert await first.read("34", [reply_of(asked.item, "34", EMPTY)]) == [0]
    assert told(await waiting) == expected((ANSWERED,) * 4)


async def test_strangers_parts(first: Gateway) -> None:
    """A reply of a province that was not asked, or with another digest, is no part of it."""
    asked = asking((ANSWERED, SLOW, SLOW, SLOW), provinces=["31", "32"])
    await first.ask(asked)
    stranger = reply_of(asked.item, "33", ANSWERED)
    assert await first.read("33", [stranger]) == [-2]
    other = msgspec.structs.replace(reply_of(asked.item, "32", ANSWERED), digest="0" * 64)
    assert await first.read("32", [other]) == [-2]
    parts = (await first.look(asked)).parts
    assert set(parts) == {"31", "32"}
    assert parts["32"] is Missing.PENDING
