"""Making the topics of the table on a Kafka; existing ones are left alone."""

from __future__ import annotations

import asyncio

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import NodeNotReadyError, TopicAlreadyExistsError, for_code

from broker.bus.kafka import consumer
from schemas.topics import specs

_TRIES = 300


async def create_topics(bootstrap: str, nodes: tuple[str, ...]) -> None:
    """Create every missing topic and wait until each can be written; raises the KafkaError of the first that cannot."""
    wanted = specs(nodes)
    await make_topics(
        bootstrap, [NewTopic(spec.name, spec.partitions, 1, topic_configs=spec.config) for spec in wanted]
    )
    reader = consumer(bootstrap, "certlane-topics")
    await reader.start()
    try:
        for spec in wanted:  # answered by a partition's leader only, so it waits for one
            await reader.end_offsets([TopicPartition(spec.name, place) for place in range(spec.partitions)])
    finally:
        await reader.stop()


async def make_topics(bootstrap: str, topics: list[NewTopic]) -> None:
    """Make those of these topics that are not there; raises the KafkaError of the first that cannot be made."""
    await _until_controlled(bootstrap)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        there = set(await admin.list_topics())
        missing = [topic for topic in topics if topic.name not in there]
        answer = await admin.create_topics(missing) if missing else None
        for row in answer.topic_errors if answer else ():
            if row[1] not in (0, TopicAlreadyExistsError.errno):
                raise for_code(row[1])(f"topic {row[0]}")
    finally:
        await admin.close()


async def _until_controlled(bootstrap: str) -> None:
    """Wait until Kafka names its controller: aiokafka's admin fails on an attribute of None before that."""
    for _ in range(_TRIES):
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            if (await admin.describe_cluster()).get("controller_id", -1) >= 0:
                return
        finally:
            await admin.close()
        await asyncio.sleep(0.1)
    raise NodeNotReadyError("Kafka has no controller")
