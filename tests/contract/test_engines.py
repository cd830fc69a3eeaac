"""One suite for both engines, on real Kafka: nothing is lost, whatever ends, joins, hangs, breaks or is killed."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.structs import ConsumerRecord
from faust.types.tuples import ConsumerMessage

from broker.bus.kafka import Incoming
from deploy.local import leftovers
from deploy.local.home import CHECKOUT
from tests.contract.agents import ENGINES, Agent, Script, numbered, produce, times, until, until_equal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiokafka import AIOKafkaProducer

    from tests.integration.parts import Parts

JOIN_SECONDS = 5.0  # heartbeat 1.5 s, then the group forms anew


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
    await asyncio.sleep(1.5)  # three commit intervals
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
    await asyncio.sleep(1.2)
    assert await lane.committed() == {0: 5, 1: 7}
    agent.script.release()
    await until_equal(lane.committed, {0: 26, 1: 7})


async def test_clean_stop_loses_nothing(lane: Lane) -> None:
    """A stop with lots done, hanging, recording and waiting for a slot takes no 3 s, begins nothing and loses nothing."""
    await lane.put(b"done", b"held", b"recording", *numbered(b"later", 60))
    first = lane.agent(lane.script(b"held", b"recording"), lots_in_work=2)
    await until(lambda: first.script.began == [b"done", b"held", b"recording"])
    assert await first.stop() < 3.0
    assert first.script.cancelled == [b"held"]
    assert first.script.began == [b"done", b"held", b"recording"]
    second = lane.agent(lane.script())
    await until_equal(lane.committed, {0: 63})
    assert times(second.script.began) == times([b"held", b"recording", *numbered(b"later", 60)])


async def test_stop_with_a_closed_gate(lane: Lane) -> None:
    """An agent whose lane is paused stops at once, and the lot that waited for the gate comes to the next one."""
    first = lane.agent(lane.script())
    first.gate.clear()
    await lane.put(b"lot")
    await asyncio.sleep(1.5)
    assert await first.stop() < 3.0
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
    assert await stopping < 3.0
    assert (agent.script.answered, agent.script.cancelled) == ([b"recording"], [])
    assert await lane.committed() == {0: 1}


async def test_a_stop_waits_two_seconds_for_a_recording_lot(lane: Lane) -> None:
    """A lot that hangs while it is being recorded delays a stop by two seconds, and comes again."""
    await lane.put(b"recording")
    agent = lane.agent(lane.script(b"recording"))
    await until(lambda: bool(agent.script.began))
    assert 1.9 < await agent.stop() < 4.0
    assert await lane.committed() == {}
    second = lane.agent(lane.script())
    await until(lambda: second.script.answered == [b"recording"])


async def test_a_second_agent_takes_over_hanging_lots(lane: Lane) -> None:
    """Who joins while every lot hangs has work within seconds, and every lot is answered by whoever has it then."""
    await lane.put(*numbered(b"held-0-", 6), partition=0)
    await lane.put(*numbered(b"held-1-", 6), partition=1)
    first = lane.agent(lane.script(b"held"), lots_in_work=4)
    await until(lambda: len(first.script.began) == 4)
    second = lane.agent(lane.script(b"held"), lots_in_work=4)
    await until(lambda: len(second.script.began) == 4, seconds=JOIN_SECONDS)
    await until(lambda: first.script.active == 4)  # what stayed with it, from its beginning
    assert len(first.script.cancelled) == 4
    assert await lane.committed() == {}
    first.script.release()
    second.script.release()
    await until_equal(lane.committed, {0: 6, 1: 6})
    assert times(first.script.answered, second.script.answered) == times(
        numbered(b"held-0-", 6) + numbered(b"held-1-", 6)
    )


async def test_lots_of_an_older_assignment_never_acknowledge(lane: Lane) -> None:
    """Recording lots that outlive the two seconds of a rebalance answer late and commit nothing."""
    await lane.put(b"recording-0", partition=0)
    await lane.put(b"recording-1", partition=1)
    first = lane.agent(lane.script(b"recording"))
    await until(lambda: len(first.script.began) == 2)
    second = lane.agent(lane.script(b"recording"))
    await until(lambda: len(first.script.began) == 3, seconds=JOIN_SECONDS + 2)  # one came again, one went away
    await until(lambda: len(second.script.began) == 1)
    again = first.script.began[2]
    second.script.release()
    mine = int(again[-1:])
    await until_equal(lane.committed, {1 - mine: 1})
    late = lane.script()
    first.lane._handle = late.handle  # what comes from now on is none of the old ones
    first.script.release()
    await until(lambda: len(first.script.answered) == 3)
    await until_equal(lane.committed, {0: 1, 1: 1})
    assert late.began == []


async def test_rebalances_lose_nothing(lane: Lane) -> None:
    """While agents join, stop and join again under load, every lot is handled, and the end is committed."""
    values = numbered(b"lot", 1_500)

    async def load() -> None:
        for place in range(0, len(values), 10):
            await lane.put(*values[place : place + 10], partition=place // 10 % 2)
            await asyncio.sleep(0.04)

    loading = asyncio.ensure_future(load())
    first = lane.agent(lane.script())
    await until(lambda: len(first.script.answered) > 50)
    second = lane.agent(lane.script())
    await until(lambda: len(second.script.answered) > 50)
    await first.stop()
    third = lane.agent(lane.script())
    await until(lambda: len(third.script.answered) > 50)
    await loading
    await until_equal(lane.committed, {0: 750, 1: 750})
    assert set(first.script.answered + second.script.answered + third.script.answered) == set(values)


async def test_a_killed_agent_loses_nothing(lane: Lane) -> None:
    """After kill -9 exactly what stands from a partition's first unfinished lot on comes again."""
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
    await until_equal(lane.committed, {0: 7, 1: 4}, seconds=20)  # the dead one's session lasts 6 s
    assert times(second.script.began) == times([b"held", *numbered(b"b", 3)])


async def test_a_defect_goes_aside_and_the_lane_goes_on(lane: Lane) -> None:
    """A lot whose handler breaks lies in the topic's quarantine with its reason and place, and those behind it are done."""
    await lane.put(b"before", b"defect", b"after")
    agent = lane.agent(lane.script())
    await until_equal(lane.committed, {0: 3})
    assert times(agent.script.answered) == times([b"before", b"after"])
    (aside,) = await lane.parts.records(f"{lane.topic}.dlq")
    told = dict(aside.headers)
    assert (told["certlane_reason"], told["certlane_offset"], aside.value) == (b"defect", b"1", b"defect")


async def test_an_unknown_reply_topic_goes_aside(lane: Lane) -> None:
    """A lot whose reply address does not exist lies in quarantine as such, and the lane goes on."""
    await lane.put(b"lot")
    agent = lane.agent(Script("test.no.such.topic"))
    await until_equal(lane.committed, {0: 1}, seconds=25)
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
    await asyncio.sleep(1.5)
    assert held_bytes() - before <= (4 << 20) + 65_536


async def test_a_restart_of_kafka_is_survived_or_told(lane: Lane) -> None:
    """After kill -9 of Kafka the engine goes on, or has ended with an error and the next one does: never silence."""
    await lane.put(*numbered(b"before", 5), b"held", *numbered(b"behind", 5))
    scripts = [lane.script(b"held")]
    agents = [lane.agent(scripts[0])]
    await until_equal(lane.committed, {0: 5})
    old = leftovers.alive(lane.parts.home, "kafka")
    lane.parts.kill("kafka")
    await until(lambda: leftovers.alive(lane.parts.home, "kafka") not in {None, old})
    scripts[0].release()
    await lane.put(*numbered(b"after", 10), partition=1)
    ends = time.monotonic() + 40
    while True:
        if agents[-1].running.done():  # as whoever keeps the process would
            assert agents[-1].running.exception() is not None
            scripts.append(lane.script())
            agents.append(lane.agent(scripts[-1]))
        with suppress(Exception):
            if await lane.committed() == {0: 11, 1: 10}:
                break
        assert time.monotonic() < ends, "silence"
        await asyncio.sleep(0.2)
    answered = set().union(*(script.answered for script in scripts))
    assert answered == {*numbered(b"before", 5), b"held", *numbered(b"behind", 5), *numbered(b"after", 10)}
