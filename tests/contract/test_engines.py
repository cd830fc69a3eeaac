"""One suite for both engines, on real Kafka: nothing is lost, whatever ends, joins, hangs, breaks or is killed."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.structs import ConsumerRecord
from faust.types.tuples import ConsumerMessage

from broker.bus.kafka import Incoming
from deploy.local import leftovers
from deploy.local.home import CHECKOUT
from tests.contract.agents import ENGINES, Agent, Script, numbered, produce, times, until, until_equal
from workers.engine import watchdog
from workers.engine.bare import BareEngine
from workers.engine.faust import FaustEngine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.parts import Parts

JOIN_SECONDS = 60.0  # a heartbeat (1.5 s) and the group forms anew; on a busy machine it may form twice


class Lane:
    """One topic with its agents, of one kind of engine."""

    def __init__(self, parts: Parts, kafka: AIOKafkaProducer, kind: str, topic: str) -> None:
        self.parts, self.kafka, self.kind, self.topic = parts, kafka, kind, topic
        self.agents: list[Agent] = []

    def script(self, *held: bytes) -> Script:
        return Script(f"{self.topic}.reply", *held)

    def agent(self, script: Script, *, kafka: Any = None, lots_in_work: int = 16) -> Agent:
        made = Agent(
            self.kind,
            script,
            bootstrap=self.parts.bootstrap,
            topic=self.topic,
            kafka=kafka or self.kafka,
            lots_in_work=lots_in_work,
        )
        self.agents.append(made)
        return made

    async def put(self, *values: bytes, partition: int = 0) -> None:
        await produce(self.kafka, self.topic, *values, partition=partition)

    async def committed(self) -> dict[int, int]:
        return await self.parts.committed(f"group.{self.topic}", self.topic)

    async def replies(self) -> list[bytes]:
        return [record.value or b"" for record in await self.parts.records(f"{self.topic}.reply")]


@pytest.fixture
async def lanes(parts: Parts, kafka: AIOKafkaProducer) -> AsyncIterator[list[Lane]]:
    """One lane of each kind, for what takes long and can be done to both at once."""
    made = [Lane(parts, kafka, kind, await parts.topic(partitions=2)) for kind in ENGINES]
    yield made
    await asyncio.gather(*(agent.end() for lane in made for agent in lane.agents))


@pytest.fixture(params=ENGINES)
async def lane(request: pytest.FixtureRequest, parts: Parts, kafka: AIOKafkaProducer) -> AsyncIterator[Lane]:
    """A topic with two partitions."""
    made = Lane(parts, kafka, request.param, await parts.topic(partitions=2))
    yield made
    await asyncio.gather(*(agent.end() for agent in made.agents))


async def test_every_lot_is_handled_answered_and_committed(lane: Lane) -> None:
    """Each record of each partition is handled once, its reply is on the topic, and the whole is committed."""
    values = numbered(b"lot", 60)
    await lane.put(*values[:30])
    agent = lane.agent(lane.script())
    await until(lambda: len(agent.script.answered) == 30)
    await lane.put(*values[30:], partition=1)
    await until_equal(lane.committed, {0: 30, 1: 30})
    assert times(agent.script.began) == times(await lane.replies()) == times(values)


class HeldBack:
    """A producer whose acknowledgements come when a test says so."""

    def __init__(self, kafka: AIOKafkaProducer) -> None:
        self._kafka, self.let_go = kafka, asyncio.Event()

    async def send(self, *args: Any, **more: Any) -> asyncio.Future[Any]:
        async def acknowledged(sent: asyncio.Future[Any]) -> Any:
            await self.let_go.wait()
            return await sent

        return asyncio.ensure_future(acknowledged(await self._kafka.send(*args, **more)))


async def test_commit_follows_the_acknowledged_reply(lane: Lane) -> None:
    """A lot is not committed while Kafka has not acknowledged its reply, however long ago the handler gave it."""
    await lane.put(b"lot")
    slow = HeldBack(lane.kafka)
    agent = lane.agent(lane.script(), kafka=slow)
    await until(lambda: bool(agent.script.began))
    await asyncio.sleep(1.1)  # two commit intervals
    assert await lane.committed() == {}
    slow.let_go.set()
    await until_equal(lane.committed, {0: 1})


async def test_only_the_finished_prefix_is_committed(lane: Lane) -> None:
    """A slow lot in the middle holds its partition's commit before it, though all behind it and beside it are done."""
    await lane.put(*numbered(b"first", 5), b"held", *numbered(b"later", 20))
    await lane.put(*numbered(b"beside", 7), partition=1)
    agent = lane.agent(lane.script(b"held"))
    await until(lambda: len(agent.script.answered) == 32)
    await until_equal(lane.committed, {0: 5, 1: 7})
    await asyncio.sleep(0.7)
    assert await lane.committed() == {0: 5, 1: 7}
    agent.script.release()
    await until_equal(lane.committed, {0: 26, 1: 7})


async def stopped_in_mid_work(lane: Lane) -> None:
    await lane.put(b"done", b"held", b"recording", *numbered(b"later", 60))
    first = lane.agent(lane.script(b"held", b"recording"), lots_in_work=2)
    await until(lambda: first.script.began == [b"done", b"held", b"recording"])
    assert 1.9 < await first.stop() < 20
    assert first.script.cancelled == [b"held"]
    assert first.script.began == [b"done", b"held", b"recording"]
    second = lane.agent(lane.script())
    await until_equal(lane.committed, {0: 63})
    assert times(second.script.began) == times([b"held", b"recording", *numbered(b"later", 60)])


async def test_clean_stop_loses_nothing(lanes: list[Lane]) -> None:
    """A stop with lots done, hanging, recording and waiting ends after 2 s, begins nothing and loses nothing."""
    await asyncio.gather(*map(stopped_in_mid_work, lanes))


async def test_stop_with_a_closed_gate(lane: Lane) -> None:
    """An agent whose lane is paused stops at once, and the lot that waited for the gate comes to the next one."""
    first = lane.agent(lane.script())
    first.gate.clear()
    await lane.put(b"lot")
    await until(lambda: bool(first.lane.brought))
    assert await first.stop() < 20
    assert first.script.began == []
    second = lane.agent(lane.script())
    await until(lambda: second.script.answered == [b"lot"])


async def test_a_recording_lot_finishes_within_the_stop(lane: Lane) -> None:
    """On a stop a lot that is being recorded is not cancelled: it answers, is committed and does not come again."""
    await lane.put(b"recording")
    agent = lane.agent(lane.script(b"recording"))
    await until(lambda: bool(agent.script.began))
    stopping = asyncio.ensure_future(agent.stop())
    await asyncio.sleep(0.5)
    agent.script.release()
    assert await stopping < 20
    assert (agent.script.answered, agent.script.cancelled) == ([b"recording"], [])
    assert await lane.committed() == {0: 1}


async def joined_while_hanging(lane: Lane) -> None:
    await lane.put(*numbered(b"held-0-", 6), partition=0)
    await lane.put(*numbered(b"held-1-", 6), partition=1)
    first = lane.agent(lane.script(b"held"), lots_in_work=4)
    await until(lambda: len(first.script.began) == 4)
    second = lane.agent(lane.script(b"held"), lots_in_work=4)
    await until(lambda: len(second.script.began) == 4, seconds=JOIN_SECONDS)
    # What stayed with it, from its beginning; Faust may fall silent here, which its watchdog ends, and it starts again.
    await until(lambda: first.script.active == 4 or first.running.done(), seconds=JOIN_SECONDS)
    assert len(first.script.cancelled) >= 4
    if first.running.done():
        assert isinstance(first.running.exception(), watchdog.StuckError)
        first = lane.agent(lane.script(b"held"), lots_in_work=4)
        await until(lambda: first.script.active == 4 and second.script.active == 4, seconds=JOIN_SECONDS)
    assert await lane.committed() == {}
    first.script.release()
    second.script.release()
    await until_equal(lane.committed, {0: 6, 1: 6})
    assert times(*(agent.script.answered for agent in lane.agents)) == times(
        numbered(b"held-0-", 6) + numbered(b"held-1-", 6)
    )


async def test_a_second_agent_takes_over_hanging_lots(lanes: list[Lane]) -> None:
    """Who joins while every lot hangs has work within seconds, and every lot is answered by whoever has it then."""
    await asyncio.gather(*map(joined_while_hanging, lanes))


async def outlived_a_rebalance(lane: Lane) -> None:
    await lane.put(b"recording-0", partition=0)
    await lane.put(b"recording-1", partition=1)
    first = lane.agent(lane.script(b"recording"))
    await until(lambda: len(first.script.began) == 2)
    second = lane.agent(lane.script(b"recording"))
    await until(lambda: len(first.script.began) == 3, seconds=JOIN_SECONDS + 2)  # one came again, one went away
    await until(lambda: len(second.script.began) == 1)
    mine = int(first.script.began[2][-1:])
    second.script.release()
    await until_equal(lane.committed, {1 - mine: 1})
    first.script.release_first(2)
    await until(lambda: len(first.script.answered) == 2)
    await asyncio.sleep(0.8)
    assert await lane.committed() == {1 - mine: 1}
    first.script.release()
    await until_equal(lane.committed, {0: 1, 1: 1})


async def test_lots_of_an_older_assignment_never_acknowledge(lanes: list[Lane]) -> None:
    """Recording lots that outlive the two seconds of a rebalance answer late and commit nothing."""
    await asyncio.gather(*map(outlived_a_rebalance, lanes))


async def rebalanced_under_load(lane: Lane) -> None:
    values: list[bytes] = []
    enough = asyncio.Event()

    async def load() -> None:
        while not enough.is_set():
            more = numbered(f"lot-{len(values)}-".encode(), 10)
            values.extend(more)
            await lane.put(*more[:5], partition=0)
            await lane.put(*more[5:], partition=1)
            await asyncio.sleep(0.02)

    loading = asyncio.ensure_future(load())
    first = lane.agent(lane.script())
    await until(lambda: len(first.script.answered) > 20)
    second = lane.agent(lane.script())
    await until(lambda: len(second.script.answered) > 20)
    await first.stop()
    third = lane.agent(lane.script())
    await until(lambda: len(third.script.answered) > 20)
    enough.set()
    await loading
    await until_equal(lane.committed, {0: len(values) // 2, 1: len(values) // 2})
    assert set(first.script.answered + second.script.answered + third.script.answered) == set(values)


async def test_rebalances_lose_nothing(lanes: list[Lane]) -> None:
    """While agents join, stop and join again under load, every lot is handled, and the end is committed."""
    await asyncio.gather(*map(rebalanced_under_load, lanes))


async def killed_in_mid_work(lane: Lane) -> None:
    await lane.put(*numbered(b"a", 3), b"held", *numbered(b"b", 3))
    await lane.put(*numbered(b"c", 4), partition=1)
    argv = [sys.executable, "-m", "tests.contract.agent", lane.kind, lane.parts.bootstrap, lane.topic]
    process = await asyncio.create_subprocess_exec(*argv, cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout
        finished = 0
        async with asyncio.timeout(30):
            while finished < 10:
                finished += (await process.stdout.readline()).startswith(b"finished")
        await until_equal(lane.committed, {0: 3, 1: 4})
    finally:
        process.kill()
        await process.wait()
    second = lane.agent(lane.script())
    await until_equal(lane.committed, {0: 7, 1: 4})  # the dead one's session lasts 6 s
    assert times(second.script.began) == times([b"held", *numbered(b"b", 3)])


async def test_a_killed_agent_loses_nothing(lanes: list[Lane]) -> None:
    """After kill -9 exactly what stands from a partition's first unfinished lot on comes again."""
    await asyncio.gather(*map(killed_in_mid_work, lanes))


async def test_a_defect_goes_aside_and_the_lane_goes_on(lane: Lane) -> None:
    """A lot whose handler breaks lies in quarantine with its reason and place, and those behind it are done."""
    await lane.put(b"before", b"defect", b"after")
    agent = lane.agent(lane.script())
    await until_equal(lane.committed, {0: 3})
    assert times(agent.script.answered) == times([b"before", b"after"])
    (aside,) = await lane.parts.records(f"{lane.topic}.dlq")
    told = dict(aside.headers)
    assert (told["certlane_reason"], told["certlane_offset"], aside.value) == (b"defect", b"1", b"defect")


async def test_an_unknown_reply_topic_goes_aside(lane: Lane) -> None:
    """A lot whose reply address does not exist lies in quarantine as such, and the lane goes on."""
    impatient = AIOKafkaProducer(bootstrap_servers=lane.parts.bootstrap, request_timeout_ms=500)
    await impatient.start()
    try:
        await lane.put(b"lot")
        agent = lane.agent(Script("test.no.such.topic"), kafka=impatient)
        await until_equal(lane.committed, {0: 1})
    finally:
        await impatient.stop()
    (aside,) = await lane.parts.records(f"{lane.topic}.dlq")
    assert dict(aside.headers)["certlane_reason"] == b"replyto"
    assert not agent.running.done()


async def test_closed_gate_takes_nothing_new(lane: Lane) -> None:
    """While the gate is closed no lot is begun, those in work are finished, and opening it begins the rest."""
    await lane.put(b"held")
    agent = lane.agent(lane.script(b"held"))
    await until(lambda: agent.script.began == [b"held"])
    agent.gate.clear()
    await lane.put(b"new")
    agent.script.release()
    await until_equal(lane.committed, {0: 1})
    await asyncio.sleep(0.5)
    assert agent.script.began == [b"held"]
    agent.gate.set()
    await until_equal(lane.committed, {0: 2})


async def test_lots_in_work_are_bounded(lane: Lane) -> None:
    """Never more lots are in work than the agent may have, and all of them when there is enough to do."""
    await lane.put(*numbered(b"held", 20))
    agent = lane.agent(lane.script(b"held"), lots_in_work=3)
    await until(lambda: agent.script.active == 3)
    await asyncio.sleep(0.3)
    assert len(agent.script.began) == 3
    agent.script.release()
    await until_equal(lane.committed, {0: 20})
    assert agent.script.most == 3


def held_bytes() -> int:
    """Bytes of values of records that live in this process."""
    kinds = (ConsumerRecord, ConsumerMessage, Incoming)
    values = {id(one.value): len(one.value or b"") for one in gc.get_objects() if isinstance(one, kinds)}
    return sum(values.values())


async def test_a_backlog_stays_in_kafka(lane: Lane) -> None:
    """An agent whose lots all hang holds one fetch of a partition, 4 MiB, of a backlog however long."""
    gc.collect()
    before = held_bytes()
    values = [number.to_bytes(2, "big") * 16_384 for number in range(1_024)]  # 32 MiB
    await lane.put(*values)
    del values
    agent = lane.agent(lane.script(b""), lots_in_work=2)
    await until(lambda: agent.script.active == 2)
    await asyncio.sleep(1.0)
    assert held_bytes() - before <= (4 << 20) + 65_536


async def test_a_silent_client_ends_the_engine(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that brings nothing, though records lie there and the lane would take them, ends the engine."""
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.3)
    monkeypatch.setattr(watchdog, "STUCK_SECONDS", 1.0)
    await lane.put(b"lot")
    agent = lane.agent(lane.script())
    await until_equal(lane.committed, {0: 1})
    silence(agent)
    await lane.put(b"never brought")
    await until(agent.running.done)
    assert isinstance(agent.running.exception(), watchdog.StuckError)


def silence(agent: Agent) -> None:
    """What a client does that fell silent: it keeps its partitions and its place in the group, and brings nothing."""
    if isinstance(agent.engine, FaustEngine):
        agent.engine._app.consumer.pause_partitions(agent.engine._app.consumer.assignment())
    else:
        assert isinstance(agent.engine, BareEngine)
        reader = agent.engine._finished._write.__self__  # type: ignore[attr-defined]  # the consumer whose `commit` it is
        reader.pause(*reader.assignment())


async def busy_and_paused(lane: Lane) -> None:
    await lane.put(*numbered(b"held", 80))
    agent = lane.agent(lane.script(b"held"), lots_in_work=2)
    await until(lambda: agent.script.active == 2)
    await asyncio.sleep(0.8)
    agent.gate.clear()
    agent.script.release()
    await until(lambda: agent.script.active == 0)
    await asyncio.sleep(0.8)
    assert not agent.running.done()
    agent.gate.set()
    await until_equal(lane.committed, {0: 80})


async def test_a_busy_or_paused_lane_is_not_silent(lanes: list[Lane], monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog behind a closed gate, or behind lots that fill every slot, does not end the engine."""
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(watchdog, "STUCK_SECONDS", 0.3)
    await asyncio.gather(*map(busy_and_paused, lanes))


async def test_a_stop_while_kafka_is_silent(lanes: list[Lane]) -> None:
    """With Kafka hung a stop ends all the same."""
    for lane in lanes:
        await lane.put(b"lot")
        lane.agent(lane.script())
        await until_equal(lane.committed, {0: 1})
    with lanes[0].parts.frozen("kafka"):
        took = await asyncio.gather(*(lane.agents[0].stop() for lane in lanes))
    assert max(took) < 30


async def killed_kafka(lane: Lane) -> None:
    """Go on as whoever keeps the process would: what ended with an error is started again."""
    agents = list(lane.agents)
    ends = time.monotonic() + 45
    while True:
        if agents[-1].running.done():
            assert agents[-1].running.exception() is not None
            agents.append(lane.agent(lane.script()))
        with suppress(Exception):
            if await lane.committed() == {0: 11, 1: 10}:
                break
        assert time.monotonic() < ends, "silence"
        await asyncio.sleep(0.2)
    answered = set().union(*(agent.script.answered for agent in agents))
    assert answered == {*numbered(b"before", 5), b"held", *numbered(b"behind", 5), *numbered(b"after", 10)}


async def test_a_restart_of_kafka_is_survived_or_told(lanes: list[Lane]) -> None:
    """After kill -9 of Kafka an engine goes on, or has ended with an error and the next one does: never silence."""
    for lane in lanes:
        await lane.put(*numbered(b"before", 5), b"held", *numbered(b"behind", 5))
        lane.agent(lane.script(b"held"))
        await until_equal(lane.committed, {0: 5})
    home = lanes[0].parts.home
    old = leftovers.alive(home, "kafka")
    lanes[0].parts.kill("kafka")
    await until(lambda: leftovers.alive(home, "kafka") not in {None, old})
    for lane in lanes:
        lane.agents[0].script.release()
        await lane.put(*numbered(b"after", 10), partition=1)
    await asyncio.gather(*map(killed_kafka, lanes))
