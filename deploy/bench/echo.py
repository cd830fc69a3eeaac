"""The peer: a bare aiokafka echo, one record a request, no signature, no seal, no store; and its other half."""

from __future__ import annotations

import asyncio
import sys
import uuid
from typing import Self

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from broker.bus.kafka import consumer, producer

ASK, TELL = "bench.echo.request", "bench.echo.reply"
BODY_BYTES = 330


async def serve(bootstrap: str) -> None:
    """Send every record of the one topic to the other."""
    reader, writer = consumer(bootstrap, "bench-echo"), producer(bootstrap, "bench-echo")
    reader.assign([TopicPartition(ASK, 0)])
    await reader.start()
    await writer.start()
    await reader.seek_to_end()
    print("ready", flush=True)
    while True:
        for records in (await reader.getmany(timeout_ms=250)).values():
            for record in records:
                await writer.send(TELL, record.value, partition=0)


class EchoWay:
    """The asking half."""

    name = "bare aiokafka echo"

    def __init__(self, bootstrap: str) -> None:
        self._writer: AIOKafkaProducer = producer(bootstrap, "bench-ask")
        self._reader: AIOKafkaConsumer = consumer(bootstrap, "bench-ask")
        self._waiting: dict[bytes, asyncio.Future[bool]] = {}
        self._sending: set[asyncio.Future[object]] = set()
        self._padding = bytes(BODY_BYTES - 16)

    async def __aenter__(self) -> Self:
        self._reader.assign([TopicPartition(TELL, 0)])
        await self._reader.start()
        await self._writer.start()
        await self._reader.seek_to_end()
        await self._reader.position(TopicPartition(TELL, 0))
        self._task = asyncio.ensure_future(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await self._writer.stop()
        await self._reader.stop()

    def ask(self, _number: int) -> asyncio.Future[bool]:
        name = uuid.uuid4().bytes
        future = self._waiting[name] = asyncio.get_running_loop().create_future()
        sending: asyncio.Future[object] = asyncio.ensure_future(
            self._writer.send(ASK, name + self._padding, partition=0)
        )
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        return future

    async def _read(self) -> None:
        while True:
            for records in (await self._reader.getmany(timeout_ms=250)).values():
                for record in records:
                    if waiting := self._waiting.pop(record.value[:16], None):
                        waiting.set_result(True)


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
