"""The default engine: Faust for assignment, rebalancing and supervision, and nothing else of it (DESIGN §8).

Its own ways lose messages (concurrency > 1, streams that acknowledge by themselves), its web server listens on all
addresses and its time-outs are minutes long; every setting below overrides such a default. Its acknowledgements are
off too: it acknowledges what it skips in a rebalance, and takes a gap of one for none, so that a lot could be lost.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import faust
from aiokafka.errors import CommitFailedError
from faust.exceptions import ConsumerNotStarted
from mode.threads import ServiceThread, WorkerThread

from broker.bus.kafka import Incoming
from workers.engine.ending import bounded_end
from workers.engine.finished import Finished
from workers.engine.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from workers.engine.lane import LaneWork

logging.getLogger("faust").setLevel(logging.ERROR)  # it tells its whole life at warning
logging.getLogger("mode").setLevel(logging.ERROR)


def _app(bootstrap: str, group: str, folder: Path) -> Any:
    return faust.App(
        group,
        broker=f"kafka://{bootstrap}",
        datadir=folder,
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.5,
        broker_rebalance_timeout=10.0,
        broker_request_timeout=10.0,
        broker_max_poll_interval=600.0,  # a paused lane reads nothing for as long as Redis is away
        producer_request_timeout=10.0,
        consumer_max_fetch_size=4 << 20,
        stream_wait_empty=False,
        stream_buffer_maxsize=32,
        key_serializer="raw",
        value_serializer="raw",
    )


class _Thread(WorkerThread):  # type: ignore[misc]  # mode is untyped here
    """Faust's threads do not end while Kafka is away or hung, and must not keep the process from ending."""

    def __init__(self, service: ServiceThread, **more: Any) -> None:
        super().__init__(service, **more)
        self.daemon = True


ServiceThread.Worker = _Thread


class FaustEngine:
    """One agent on one lane; the handler's work is `lane`'s business."""

    def __init__(self, *, bootstrap: str, topic: str, group: str, lane: LaneWork, folder: Path) -> None:
        self._lane = lane
        self._app = _app(bootstrap, group, folder)
        self._stopped = asyncio.Event()
        self._finished: Finished[Any] = Finished(self._commit)
        self._watchdog = Watchdog(bootstrap=bootstrap, topic=topic, group=group, lane=lane, assigned=self._assigned)
        source = self._app.topic(
            topic, acks=False, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )
        self._app.agent(source, concurrency=1, name=group)(self._take)
        self._app.on_partitions_revoked.connect(self._revoked)

    async def run(self) -> None:
        """Consume until `stop`; raises when Faust or a lot's publishing failed."""
        parts: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(self._live()),
            asyncio.ensure_future(self._finished.commit_often()),
            asyncio.ensure_future(self._watchdog.run()),
            asyncio.ensure_future(self._stopped.wait()),
            asyncio.ensure_future(_crash_of(self._app)),
        ]
        try:
            await asyncio.wait([*parts, self._lane.failed], return_when=asyncio.FIRST_COMPLETED)
            if not self._stopped.is_set():
                for ended in (*parts[:3], self._lane.failed):
                    if ended.done():
                        ended.result()
                raise RuntimeError("the consumer ended by itself") from self._app.crash_reason
        finally:
            for part in parts:
                part.cancel()
            await self._lane.revoke()
            await self._finished.commit_last()
            await bounded_end(self._app.stop())

    async def _live(self) -> None:
        await self._app.start()  # not before Kafka has given it partitions
        await self._app.wait_until_stopped()

    async def stop(self) -> None:
        self._stopped.set()

    async def _take(self, stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            record = Incoming(
                topic=message.topic,
                partition=message.partition,
                offset=message.offset,
                appended_ms=int(message.timestamp * 1000),
                headers=_pairs(message.headers),
                value=message.value or b"",
            )
            await self._lane.submit(record, self._finished.acknowledge(message.tp, message.offset))

    async def _commit(self, offsets: Mapping[Any, int]) -> None:
        """By the consumer's own thread; where that fails for good, Faust crashes and so ends the engine."""
        if not await self._app.consumer._commit(offsets):  # noqa: SLF001  # `commit` takes Faust's acknowledgements only
            raise CommitFailedError

    def _assigned(self) -> set[int]:
        try:
            return {tp.partition for tp in self._app.consumer.assignment()}
        except ConsumerNotStarted:
            return set()

    async def _revoked(self, _app: object, revoked: set[Any], **_more: object) -> None:
        await self._lane.revoke({tp.partition for tp in revoked})
        await self._finished.commit_last()


def _pairs(headers: Any) -> list[tuple[str, bytes]]:
    if not headers:
        return []
    return list(headers.items()) if hasattr(headers, "items") else list(headers)


async def _crash_of(app: Any) -> None:
    """Wait until a service of Faust has crashed; it has no public event for it."""
    while app.crash_reason is None:  # noqa: ASYNC110  # see above
        await asyncio.sleep(0.5)
