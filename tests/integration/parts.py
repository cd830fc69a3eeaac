"""Real Kafka and real Redis in a temporary home, started once for all tests that want them."""

from __future__ import annotations

import os
import signal
import uuid
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import GroupCoordinatorNotAvailableError

from broker.bus import redis
from broker.bus.kafka import consumer, producer
from broker.bus.topics import make_topics
from deploy.local import commands, leftovers, stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from aiokafka import AIOKafkaProducer
    from aiokafka.structs import ConsumerRecord
    from redis.asyncio import Redis

    from deploy.local.home import Home


class Parts(NamedTuple):
    """Where the two listen."""

    home: Home
    bootstrap: str
    redis_url: str

    async def topic(self, name: str = "", *, partitions: int = 1) -> str:
        """A topic with a new name (or this one), its `.dlq` and `.reply`, ready to be written."""
        name = name or f"test.{uuid.uuid4().hex}"
        beside = [f"{name}.dlq", f"{name}.reply"]
        made = [NewTopic(name, partitions, 1), *(NewTopic(other, 1, 1) for other in beside)]
        await make_topics(self.bootstrap, made)
        reader = consumer(self.bootstrap, "test-topics")
        await reader.start()
        try:  # answered by a partition's leader only, so it waits for one
            places = [TopicPartition(name, place) for place in range(partitions)]
            await reader.end_offsets([*places, *(TopicPartition(other, 0) for other in beside)])
        finally:
            await reader.stop()
        return name

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        """The group's committed offsets on a topic, by partition."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            found = await admin.list_consumer_group_offsets(group)
        except GroupCoordinatorNotAvailableError:  # no group was ever here
            return {}
        finally:
            await admin.close()
        return {tp.partition: at.offset for tp, at in found.items() if tp.topic == topic and at.offset >= 0}

    async def records(self, topic: str, *, partition: int = 0) -> Sequence[ConsumerRecord[bytes, bytes]]:
        """Everything that lies on a partition now."""
        tp = TopicPartition(topic, partition)
        reader = consumer(self.bootstrap, "test-records")
        reader.assign([tp])
        await reader.start()
        try:
            end = (await reader.end_offsets([tp]))[tp]
            await reader.seek_to_beginning(tp)
            found: list[ConsumerRecord[bytes, bytes]] = []
            while await reader.position(tp) < end:
                found += (await reader.getmany(tp, timeout_ms=500)).get(tp, [])
            return found
        finally:
            await reader.stop()

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """A part that is there and says nothing."""
        pid = leftovers.alive(self.home, name)
        assert pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def kill(self, name: str) -> None:
        """SIGKILL to a part; its supervisor starts it again."""
        pid = leftovers.alive(self.home, name)
        assert pid
        os.kill(pid, signal.SIGKILL)


class _Shared:
    """Two folders of tests share one stack, whichever comes first."""

    def __init__(self) -> None:
        self.users = 0
        self.parts: Parts | None = None
        self.life = ExitStack()


_shared = _Shared()


@pytest.fixture(scope="session")
async def parts() -> AsyncIterator[Parts]:
    """Kafka and Redis, up until the last test of the session."""
    if _shared.parts is None:
        home = _shared.life.enter_context(commands.temporary_home(lambda _: None))
        listening = await stack.up_parts(home, say=lambda _: None)
        _shared.parts = Parts(home, listening.bootstrap, listening.redis_url)
    _shared.users += 1
    yield _shared.parts
    _shared.users -= 1
    if not _shared.users:
        _shared.life.close()


@pytest.fixture
async def kafka(parts: Parts) -> AsyncIterator[AIOKafkaProducer]:
    """An idempotent producer as every process has one."""
    made = producer(parts.bootstrap, "test")
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def connection(parts: Parts) -> AsyncIterator[Redis]:
    """An empty Redis."""
    made = redis.connect(parts.redis_url)
    await made.flushall()
    yield made
    await made.aclose()
