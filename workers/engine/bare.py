"""The second engine: aiokafka and nothing else; the same contract."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiokafka import ConsumerRebalanceListener, TopicPartition

from broker.bus.kafka import KafkaFailure, consumer, incoming

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import AIOKafkaConsumer

    from workers.engine.lane import LaneWork

_COMMIT_SECONDS = 0.5
_RECORDS_A_POLL = 32


class BareEngine(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """One agent on one lane."""

    def __init__(self, *, bootstrap: str, topic: str, group: str, lane: LaneWork) -> None:
        self._bootstrap, self._topic, self._group, self._lane = bootstrap, topic, group, lane
        self._stopped = asyncio.Event()
        self._finished: dict[TopicPartition, int] = {}

    async def run(self) -> None:
        """Consume until `stop`; raises when Kafka's client or a lot's publishing failed."""
        reader = consumer(self._bootstrap, self._group, group=self._group)
        reader.subscribe([self._topic], listener=self)
        await reader.start()
        self._reader = reader
        parts: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(self._read(reader)),
            asyncio.ensure_future(self._commit_often(reader)),
            asyncio.ensure_future(self._stopped.wait()),
        ]
        try:
            await asyncio.wait([*parts, self._lane.failed], return_when=asyncio.FIRST_COMPLETED)
            for ended in (*parts[:2], self._lane.failed):
                if ended.done():
                    ended.result()
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            await self._lane.revoke()
            await self._commit(reader)
            await reader.stop()

    async def stop(self) -> None:
        self._stopped.set()

    async def _read(self, reader: AIOKafkaConsumer) -> None:
        while True:
            for tp, records in (await reader.getmany(timeout_ms=250, max_records=_RECORDS_A_POLL)).items():
                for record in records:
                    await self._lane.submit(incoming(record), self._acknowledge(tp, record.offset))

    def _acknowledge(self, tp: TopicPartition, offset: int) -> Callable[[], None]:
        def acknowledge() -> None:
            self._finished[tp] = offset + 1

        return acknowledge

    async def _commit_often(self, reader: AIOKafkaConsumer) -> None:
        while True:
            await asyncio.sleep(_COMMIT_SECONDS)
            await self._commit(reader)

    async def _commit(self, reader: AIOKafkaConsumer) -> None:
        offsets = {tp: offset for tp, offset in self._finished.items() if tp in reader.assignment()}
        self._finished = {}
        if offsets:
            try:
                await reader.commit(offsets)
            except KafkaFailure:
                self._finished = offsets | self._finished  # the next commit takes them along

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        await self._lane.revoke({tp.partition for tp in revoked})
        await self._commit(self._reader)
        self._finished = {}

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Nothing to do: trackers are made with the first record of a partition."""
