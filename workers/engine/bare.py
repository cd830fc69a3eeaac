"""The second engine: aiokafka and nothing else; the same contract."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiokafka import ConsumerRebalanceListener

from broker.bus.kafka import consumer, incoming
from workers.engine.ending import bounded_end
from workers.engine.finished import Finished
from workers.engine.watchdog import Watchdog

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, TopicPartition

    from workers.engine.lane import LaneWork

_RECORDS_A_POLL = 32


class BareEngine(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """One agent on one lane."""

    def __init__(self, *, bootstrap: str, topic: str, group: str, lane: LaneWork) -> None:
        self._bootstrap, self._topic, self._group, self._lane = bootstrap, topic, group, lane
        self._stopped = asyncio.Event()
        self._rebalances = 0

    async def run(self) -> None:
        """Consume until `stop`; raises when Kafka's client or a lot's publishing failed."""
        reader = consumer(self._bootstrap, self._group, group=self._group)
        self._finished: Finished[TopicPartition] = Finished(reader.commit)
        watchdog = Watchdog(
            bootstrap=self._bootstrap,
            topic=self._topic,
            group=self._group,
            lane=self._lane,
            assigned=lambda: {tp.partition for tp in reader.assignment()},
        )
        parts: list[asyncio.Future[Any]] = []
        try:
            await reader.start()
            reader.subscribe([self._topic], listener=self)  # not before: `start` would wait for partitions
            parts = [
                asyncio.ensure_future(self._read(reader)),
                asyncio.ensure_future(self._finished.commit_often()),
                asyncio.ensure_future(watchdog.run()),
                asyncio.ensure_future(self._stopped.wait()),
            ]
            await asyncio.wait([*parts, self._lane.failed], return_when=asyncio.FIRST_COMPLETED)
            for ended in (*parts[:3], self._lane.failed):
                if ended.done():
                    ended.result()
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            await self._lane.revoke()
            await self._finished.commit_last()
            await bounded_end(reader.stop())

    async def stop(self) -> None:
        self._stopped.set()

    async def _read(self, reader: AIOKafkaConsumer) -> None:
        while True:
            batch = await reader.getmany(timeout_ms=250, max_records=_RECORDS_A_POLL)
            fetched_in = self._rebalances
            for tp, records in batch.items():
                for record in records:
                    if fetched_in == self._rebalances:  # else given back: it comes again to whoever has it next
                        await self._lane.submit(incoming(record), self._finished.acknowledge(tp, record.offset))

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self._rebalances += 1
        await self._lane.revoke({tp.partition for tp in revoked})
        await self._finished.commit_last()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Nothing to do: trackers are made with the first record of a partition."""
