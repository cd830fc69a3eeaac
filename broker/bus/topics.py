"""Making the topics of the table on a Kafka; existing ones are left alone."""

from __future__ import annotations

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from broker.bus.kafka import consumer
from schemas.topics import specs


async def create_topics(bootstrap: str, nodes: tuple[str, ...]) -> None:
    """Create every missing topic and wait until each can be written; raises the KafkaError of the first that cannot."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        there = set(await admin.list_topics())
        missing = [
            NewTopic(spec.name, spec.partitions, 1, topic_configs=spec.config)
            for spec in specs(nodes)
            if spec.name not in there
        ]
        if missing:
            answer = await admin.create_topics(missing)
            for row in answer.topic_errors:
                if row[1] not in (0, TopicAlreadyExistsError.errno):
                    raise for_code(row[1])(f"topic {row[0]}")
    finally:
        await admin.close()
    reader = consumer(bootstrap, "certlane-topics")
    await reader.start()
    try:
        for spec in specs(nodes):  # answered by a partition's leader only, so it waits for one
            await reader.end_offsets([TopicPartition(spec.name, place) for place in range(spec.partitions)])
    finally:
        await reader.stop()
