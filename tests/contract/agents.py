"""Agents whose handler does what a test says: quick lots, lots that hang, lots that record, lots with a defect."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from broker.bus.kafka import Outgoing
from schemas.lot import WireRecord
from workers.engine.bare import BareEngine
from workers.engine.faust import FaustEngine
from workers.engine.lane import LaneWork

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from aiokafka import AIOKafkaProducer

    from broker.bus.kafka import Incoming
    from workers.engine.port import Engine, Work

ENGINES = ("faust", "aiokafka")
DEFECT = b"defect"


class Script:
    """The handler: a lot whose value begins with one of `held` waits; after `release` it answers with its own value.

    A lot that begins with `recording` says so before it waits.
    """

    def __init__(self, reply_topic: str, *held: bytes) -> None:
        self._reply_topic = reply_topic
        self._held = held
        self._released = False
        self._waiting: list[asyncio.Event] = []
        self.began: list[bytes] = []
        self.answered: list[bytes] = []
        self.cancelled: list[bytes] = []
        self.active = self.most = 0

    def release(self) -> None:
        """Let go of all that wait, and of all that will."""
        self._released = True
        self.release_first(len(self._waiting))

    def release_first(self, count: int) -> None:
        """Let go of those that have waited longest."""
        for one in self._waiting[:count]:
            one.set()

    async def handle(self, record: Incoming, work: Work) -> AsyncGenerator[Outgoing, None]:
        self.began.append(record.value)
        self.active += 1
        self.most = max(self.most, self.active)
        try:
            work.recording = record.value.startswith(b"recording")
            if record.value.startswith(DEFECT):
                raise ZeroDivisionError
            if not self._released and self._held and record.value.startswith(self._held):
                self._waiting.append(asyncio.Event())
                await self._waiting[-1].wait()
            work.recording = True
            yield Outgoing(self._reply_topic, 0, WireRecord([], record.value))
            self.answered.append(record.value)
        except asyncio.CancelledError:
            self.cancelled.append(record.value)
            raise
        finally:
            self.active -= 1


class Agent:
    """One agent: an engine, its lane and the script that handles its lots."""

    def __init__(
        self, kind: str, script: Script, *, bootstrap: str, topic: str, kafka: AIOKafkaProducer, lots_in_work: int = 16
    ) -> None:
        self.script = script
        self.gate = asyncio.Event()
        self.gate.set()
        self.lane = LaneWork(handle=script.handle, kafka=kafka, gate=self.gate, lots_in_work=lots_in_work)
        self._folder = tempfile.TemporaryDirectory()
        self.engine = make_engine(kind, bootstrap=bootstrap, topic=topic, lane=self.lane, folder=self._folder.name)
        self.running = asyncio.ensure_future(self.engine.run())

    async def stop(self) -> float:
        """The seconds that a clean stop took; raises what ended the engine."""
        begun = time.monotonic()
        await self.engine.stop()
        await self.running
        return time.monotonic() - begun

    async def end(self) -> None:
        """However it stands: leave nothing behind."""
        with suppress(Exception):
            await asyncio.wait_for(self.stop(), 20)
        self.script.release()
        self._folder.cleanup()


def group_of(topic: str) -> str:
    return f"group.{topic}"


def make_engine(kind: str, *, bootstrap: str, topic: str, lane: LaneWork, folder: str) -> Engine:
    if kind == "aiokafka":
        return BareEngine(bootstrap=bootstrap, topic=topic, group=group_of(topic), lane=lane)
    return FaustEngine(bootstrap=bootstrap, topic=topic, group=group_of(topic), lane=lane, folder=Path(folder))


async def produce(kafka: AIOKafkaProducer, topic: str, *values: bytes, partition: int = 0) -> None:
    """Append these values in their order."""
    for future in [await kafka.send(topic, value, partition=partition) for value in values]:
        await future


async def until(true: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Wait for something that comes by itself."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not come"
        await asyncio.sleep(0.01)


async def until_equal(ask: Callable[[], Awaitable[object]], wanted: object, *, seconds: float = 60.0) -> None:
    """Wait until what is asked again and again is this."""
    ends = time.monotonic() + seconds
    while (found := await ask()) != wanted:
        assert time.monotonic() < ends, f"{found} did not become {wanted}"
        await asyncio.sleep(0.1)


def numbered(word: bytes, count: int) -> list[bytes]:
    return [word + str(number).encode() for number in range(count)]


def times(*lists: list[bytes]) -> Counter[bytes]:
    """How often each value stands in these lists."""
    return Counter(itertools.chain(*lists))
