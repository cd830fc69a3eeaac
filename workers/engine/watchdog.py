"""A watch over the client of Kafka: records lie there for us, we could take them, and none is brought.

Clients of both engines are known to fall silent after trouble with a broker (aiokafka #1154, faust-streaming #175);
nothing of theirs tells. So a second, fresh connection is asked every few seconds where our partitions end.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka import TopicPartition

from broker.bus import telemetry
from broker.bus.kafka import KafkaFailure, consumer, end_offsets

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import AIOKafkaConsumer

    from workers.engine.lane import LaneWork

LOOK_SECONDS = 5.0
STUCK_SECONDS = 15.0


class StuckError(Exception):
    """The engine was brought nothing of a partition that has records for it: the process should be started again."""


class Watchdog:
    """Watches one engine; `assigned` names the partitions that it has now."""

    def __init__(
        self, *, bootstrap: str, topic: str, group: str, lane: LaneWork, assigned: Callable[[], set[int]]
    ) -> None:
        self._bootstrap, self._topic, self._group = bootstrap, topic, group
        self._lane, self._assigned = lane, assigned
        self._stood: dict[int, tuple[int, float]] = {}  # by partition: what was brought, and since when no more

    async def run(self) -> None:
        """Look for ever; raises StuckError. While Kafka is away nothing can be said."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            partitions = self._assigned()
            if not partitions:
                self._stood = {}
                telemetry.LAG.set(0)
                continue
            reader = consumer(self._bootstrap, "certlane-watchdog", group=self._group)  # it never joins
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await reader.start()
                    await self._look(reader, partitions)
            except (*KafkaFailure, TimeoutError):
                self._stood = {}
            finally:
                await reader.stop()

    async def _look(self, reader: AIOKafkaConsumer, partitions: set[int]) -> None:
        now = asyncio.get_running_loop().time()
        before, self._stood = self._stood, {}
        ends = await end_offsets(reader, self._topic, sorted(partitions))
        telemetry.LAG.set(sum(max(end - self._lane.brought.get(partition, end), 0) for partition, end in ends.items()))
        if not self._lane.takes():
            return
        for partition, end in ends.items():
            stood, since = before.get(partition, (-1, now))
            stands = self._lane.brought.get(partition)
            if stands is None:  # nothing since we have it: then it is to begin where the group stands
                stands = await reader.committed(TopicPartition(self._topic, partition)) or 0
            if stands != stood or stands >= end:
                since = now
            self._stood[partition] = (stands, since)
            if now - since >= STUCK_SECONDS and await self._readable(reader, partition, stands):
                raise StuckError(f"partition {partition} of {self._topic} stands at {stands} of {end}")

    async def _readable(self, reader: AIOKafkaConsumer, partition: int, offset: int) -> bool:
        """Whether there really is a record: the marker of a transaction counts in the end offset too."""
        tp = TopicPartition(self._topic, partition)
        reader.assign([tp])
        beginning = (await reader.beginning_offsets([tp]))[tp]
        reader.seek(tp, max(offset, beginning))
        return bool(await reader.getmany(tp, timeout_ms=1_000, max_records=1))
