"""Three agents of one province as processes of their own, on real Kafka and Redis; what comes of what a node asks."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import socket
import sys
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import httpx
import msgspec
from msgspec.structs import replace

from broker.bus.clock import now_ms
from broker.bus.kafka import Outgoing
from broker.bus.redis import RedisFailure
from broker.registry.stored import StoredRegistry, Write
from deploy.local.processes import to_toml
from schemas.lot import WireRecord
from schemas.topics import LANE_PARTITIONS, PRESENCE, reply_topic, request_topic
from tests.contract.agents import until_equal
from tests.integration.agents import STORED, make_evidence_topics
from tests.support import KEYS, REPLY_PARTITION, Province, request
from tests.support_registry import NODE, PROVINCE, scene
from workers.stores.memory import MemoryStore
from workers.stores.sqlite_layout import write_store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from aiokafka import AIOKafkaProducer
    from redis.asyncio import Redis

    from schemas.items import RequestItem
    from schemas.scenes import Limits
    from tests.integration.parts import Parts

_AWAY = re.compile(r'certlane_away\{part="(\w+)"\} 1\.0')
_JUDGED = re.compile(r"^certlane_judged_total\S* (\S+)$", re.MULTILINE)
_LOT = 64


class Agent(NamedTuple):
    name: str
    process: asyncio.subprocess.Process
    metrics: str


class Exchange:
    """The node's side and the follower's; the agents are the product's own processes."""

    def __init__(self, parts: Parts, connection: Redis, kafka: AIOKafkaProducer, folder: Path) -> None:
        self.parts, self.connection, self.kafka, self.folder = parts, connection, kafka, folder
        self.province = Province(MemoryStore(STORED))
        self.stored = StoredRegistry(connection, PROVINCE)
        self.agents: dict[str, Agent] = {}
        self.http = httpx.AsyncClient(trust_env=False)
        self._lane = itertools.cycle(range(LANE_PARTITIONS))
        self._following: asyncio.Future[None] | None = None
        self.telling = True

    async def up(self) -> Exchange:
        await make_evidence_topics(self.parts)
        for name in (request_topic(PROVINCE), reply_topic(NODE)):
            await self.parts.topic(name, partitions=LANE_PARTITIONS)
        await self.parts.topic(PRESENCE)
        await self.province.ready()
        write_store(self.folder / "store.db", STORED)
        for party in (PROVINCE, "registrar"):
            (self.folder / f"{party}.json").write_bytes(msgspec.json.encode(KEYS[party]))
        self._following = asyncio.ensure_future(self._follow())
        for number in range(3):
            await self.start(f"agent-{number}")
        await self.until_ready()
        return self

    async def down(self) -> None:
        for name in list(self.agents):
            await self.kill(name)
        if self._following:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
        await self.http.aclose()

    async def start(self, name: str) -> None:
        """Start an agent as the local stack does."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = self.folder / f"{name}.toml"
        values = {
            "name": name,
            "kafka": self.parts.bootstrap,
            "redis": self.parts.redis_url,
            "registrar": str(self.folder / "registrar.json"),
            "province": PROVINCE,
            "keys": str(self.folder / f"{PROVINCE}.json"),
            "store": str(self.folder / "store.db"),
            "objects": (self.folder / "objects").as_uri(),
            "metrics_port": port,
        }
        (self.folder / "objects").mkdir(exist_ok=True)
        settings.write_text(to_toml(values))
        with (self.folder / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "deploy.cli.main", "worker", "--settings", str(settings), stdout=log, stderr=log
            )
        self.agents[name] = Agent(name, process, f"http://127.0.0.1:{port}/metrics")

    async def kill(self, name: str) -> None:
        agent = self.agents.pop(name)
        with suppress(ProcessLookupError):
            os.kill(agent.process.pid, signal.SIGKILL)
        await agent.process.wait()

    async def away(self, name: str) -> str:
        """What keeps this agent from taking work; "" when nothing does."""
        try:
            text = (await self.http.get(self.agents[name].metrics)).text
        except httpx.HTTPError:
            return "starting"
        found = _AWAY.search(text)
        return found[1] if found else "" if re.search(r"^certlane_ready 1\.0$", text, re.MULTILINE) else "starting"

    async def all_away(self) -> set[str]:
        return {await self.away(name) for name in self.agents}

    async def until_ready(self) -> None:
        await until_equal(self.all_away, {""}, seconds=90)

    async def judged(self) -> float:
        """How many items the agents have judged in their lives."""
        texts = [(await self.http.get(agent.metrics)).text for agent in self.agents.values()]
        return sum(
            float(count)
            for text in texts
            for count in re.findall(r"^certlane_judged_total\S* (\S+)$", text, re.MULTILINE)
        )

    async def publish(self, code: str, limits: Limits) -> None:
        """Let the registry have one more scenario, and wait until the agents have it."""
        await self.province.publish(replace(scene(), scene_code=code, limits=limits))
        await self.province.registry.refresh()
        wanted = {float(self.province.registry.current().version)}
        await until_equal(self._versions, wanted)

    async def _versions(self) -> set[float]:
        texts = [(await self.http.get(agent.metrics)).text for agent in self.agents.values()]
        found = [re.search(r"^certlane_snapshot_version ([0-9.]+)$", text, re.MULTILINE) for text in texts]
        return {float(one[1]) for one in found if one}

    async def _follow(self) -> None:
        """What a follower does: it writes what Redis lacks, and says that it stands at the end."""
        while True:
            with suppress(*RedisFailure):
                if self.telling:
                    await self._write()
            await asyncio.sleep(0.1)

    async def _write(self) -> None:
        memory = self.province.redis
        if not memory.manifest or await self.stored.stood(memory.version, now_ms()):
            return
        found = (await self.stored.records()).head.manifest
        history = {memory.version: memory.manifest}
        await self.stored.replace(
            Write(memory.version, memory.manifest, now_ms(), found, history=history), memory.records
        )

    async def ask(self, items: Sequence[RequestItem]) -> None:
        """Produce these requests in new lots."""
        for start in range(0, len(items), _LOT):
            lot = self.province.lot(items[start : start + _LOT])
            await self.kafka.send(request_topic(PROVINCE), lot.value, partition=next(self._lane), headers=lot.headers)

    async def told(self, items: Sequence[RequestItem], *, times: int = 1) -> dict[str, list[int]]:
        """The statuses that the node was told of each of these requests, once each was told of so many times."""
        wanted = {item.id for item in items}
        found: dict[str, list[int]] = {}
        async with asyncio.timeout(240):
            while len(found) < len(wanted) or any(len(told) < times for told in found.values()):
                await asyncio.sleep(0.5)
                found = defaultdict(list)
                for record in await self.parts.records(reply_topic(NODE), partition=REPLY_PARTITION):
                    out = Outgoing(
                        reply_topic(NODE), REPLY_PARTITION, WireRecord(list(record.headers), record.value or b"")
                    )
                    for name, status in self.province.reply(out).statuses.items():
                        if name in wanted:
                            found[name].append(status)
        return found


def requests(count: int, code: str) -> list[RequestItem]:
    """So many requests under this scenario, in time for ten minutes."""
    made = [request(1 + number % len(STORED), in_ms=590_000) for number in range(count)]
    head = replace(made[0].head, scene_code=code)
    return [replace(one, id=os.urandom(16).hex(), head=head) for one in made]
