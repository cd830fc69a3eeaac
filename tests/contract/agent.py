"""An agent as a process of its own, to be killed: says each lot that it finished in a line on stdout."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from typing import TYPE_CHECKING

from broker.bus.kafka import producer
from tests.contract.agents import Script, make_engine
from workers.engine.lane import LaneWork

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from broker.bus.kafka import Incoming, Outgoing
    from workers.engine.port import Work


async def main(kind: str, bootstrap: str, topic: str) -> None:
    script = Script(f"{topic}.reply", b"held")

    async def handle(record: Incoming, work: Work) -> AsyncGenerator[Outgoing, None]:
        async for out in script.handle(record, work):
            yield out
        sys.stdout.write(f"finished {record.value.decode()}\n")
        sys.stdout.flush()

    kafka = producer(bootstrap, "test-agent")
    await kafka.start()
    gate = asyncio.Event()
    gate.set()
    lane = LaneWork(handle=handle, kafka=kafka, gate=gate, lots_in_work=8)
    with tempfile.TemporaryDirectory() as folder:
        await make_engine(kind, bootstrap=bootstrap, topic=topic, lane=lane, folder=folder).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
