"""What an engine may commit: of each partition the place behind its finished prefix, until Kafka has it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from broker.bus.kafka import KafkaFailure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

_INTERVAL_SECONDS = 0.5
_LAST_SECONDS = 2.0  # Kafka may be away, and neither a stop nor a rebalance waits for it

P = TypeVar("P")


class Finished(Generic[P]):
    """Offsets by partition, each the next one to read; `write` commits them or raises KafkaFailure."""

    def __init__(self, write: Callable[[Mapping[P, int]], Awaitable[object]]) -> None:
        self._write = write
        self._offsets: dict[P, int] = {}

    def acknowledge(self, partition: P, offset: int) -> Callable[[], None]:
        """What is called when everything of this partition up to this offset is finished."""

        def acknowledge() -> None:
            self._offsets[partition] = offset + 1

        return acknowledge

    async def commit_often(self) -> None:
        """Commit for ever; while Kafka is away this waits for it."""
        while True:
            await asyncio.sleep(_INTERVAL_SECONDS)
            with suppress(*KafkaFailure):
                await self._commit()

    async def commit_last(self) -> None:
        """Commit before partitions are given back; what cannot be committed now comes again to the next one."""
        with suppress(*KafkaFailure, TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self._commit()
        self._offsets.clear()

    async def _commit(self) -> None:
        if not self._offsets:
            return
        offsets = dict(self._offsets)
        await self._write(offsets)
        for partition, offset in offsets.items():
            if self._offsets.get(partition) == offset:
                del self._offsets[partition]
