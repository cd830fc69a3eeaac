"""What both engines share: bounded lots in work, publish then acknowledge, giving partitions back."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from aiokafka.errors import MessageSizeTooLargeError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError

from broker.bus import telemetry
from broker.bus.kafka import KafkaFailure, send
from broker.bus.quarantine import quarantined
from workers.engine.port import Work
from workers.engine.prefix import Prefix

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import AIOKafkaProducer

    from broker.bus.kafka import Incoming, Outgoing
    from workers.engine.port import Handle

FINISH_SECONDS = 2.0


class LaneWork:
    """Lots in work of one agent."""

    def __init__(self, *, handle: Handle, kafka: AIOKafkaProducer, gate: asyncio.Event, lots_in_work: int) -> None:
        self._handle, self._kafka, self._gate = handle, kafka, gate
        self._slots = asyncio.Semaphore(lots_in_work)
        self._prefixes: dict[int, Prefix] = {}
        self._tasks: dict[asyncio.Task[None], tuple[int, Work]] = {}
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.brought: dict[int, int] = {}  # by partition: the offset behind the last record that was handed in
        self._over = False

    def takes(self) -> bool:
        """Whether a record that is handed in now would be taken into work at once."""
        return self._gate.is_set() and not self._slots.locked()

    async def submit(self, record: Incoming, acknowledge: Callable[[], None]) -> None:
        """Take a record into work as soon as the lane is open and a slot is free.

        Records of an assignment that was given back must not be handed in: theirs would be taken for the new one's.
        """
        if self._over:
            return
        self.brought[record.partition] = record.offset + 1
        prefix = self._prefixes.setdefault(record.partition, Prefix())
        finish = prefix.begin(acknowledge)
        await self._gate.wait()
        await self._slots.acquire()
        if prefix.leaving:  # given back while it waited: whoever has the partition next will get it
            self._slots.release()
            return
        work = Work()
        task = asyncio.ensure_future(self._run(record, work, finish))
        self._tasks[task] = (record.partition, work)
        telemetry.LOTS_IN_WORK.set(len(self._tasks))
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        self._slots.release()
        telemetry.LOTS_IN_WORK.set(len(self._tasks))
        if not task.cancelled() and (error := task.exception()) and not self.failed.done():
            self.failed.set_exception(error)

    async def _run(self, record: Incoming, work: Work, finish: Callable[[], None]) -> None:
        try:
            with telemetry.LOT_SECONDS.time():
                async with aclosing(self._handle(record, work)) as handled:  # what it began ends before we finish
                    async for out in handled:
                        if not await self._sent(out):
                            await self._put_aside(record, "replyto")
                            break
        except KafkaFailure:
            raise  # ambiguous: the process ends, is started again, and the lot comes again
        except Exception as error:  # noqa: BLE001  # the outermost loop: a defect of ours must not stop the lane
            telemetry.log.error("defect", error, topic=record.topic, partition=record.partition, offset=record.offset)
            await self._put_aside(record, "defect")
        finish()

    async def _sent(self, out: Outgoing) -> bool:
        """Publish; False when the address is wrong: that is its sender's fault and must not stop the lane."""
        try:
            with telemetry.STAGE_SECONDS.labels("reply").time():
                await send(self._kafka, out.topic, out.record, partition=out.partition)
        except (UnknownTopicOrPartitionError, TopicAuthorizationFailedError, MessageSizeTooLargeError):
            return False
        return True

    async def _put_aside(self, record: Incoming, reason: str) -> None:
        out = quarantined(record, reason)
        await send(self._kafka, out.topic, out.record, partition=out.partition)

    async def revoke(self, partitions: set[int] | None = None) -> None:
        """Give partitions back (all for ever when None): cancel what has not reached its record, wait 2 s for the rest.

        From the first moment on nothing new of them is begun.
        """
        self._over |= partitions is None
        leaving = set(self._prefixes) if partitions is None else partitions & set(self._prefixes)
        prefixes = [self._prefixes.pop(partition) for partition in leaving]
        for partition in leaving:
            self.brought.pop(partition, None)
        for prefix in prefixes:
            prefix.leaving = True
        finishing = []
        for task, (partition, work) in list(self._tasks.items()):
            if partitions is not None and partition not in partitions:
                continue
            if work.recording:
                finishing.append(task)
            else:
                task.cancel()
        if finishing:
            await asyncio.wait(finishing, timeout=FINISH_SECONDS)
        for prefix in prefixes:
            prefix.close()
