"""A scenario is stopped under load: from a second after the publication on nothing of it is released."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
import msgspec
from aiokafka import TopicPartition

from broker.bus import kafka
from broker.bus.clock import now_ms
from broker.bus.keys import read_keys
from broker.registry.trust import verify_manifest
from deploy.details import Details
from deploy.local import ports
from deploy.local.processes import PROVINCES
from schemas.evidence import EvidenceBody
from schemas.registry import MANIFEST_KEY
from schemas.topics import LANE_PARTITIONS, REGISTRY, evidence_topic
from tests.e2e.conftest import until

if TYPE_CHECKING:
    from aiokafka.structs import ConsumerRecord

    from tests.e2e.conftest import Stack

PER_SECOND, SECONDS, SUSPENDED_AFTER = 200, 12, 4
BOUND_MS = 1_000


class Released(NamedTuple):
    """One judgement of the scenario: its status, and when its evidence was written (unix ms)."""

    status: int
    time_ms: int


class Asking:
    """So many requests a second, whatever they are answered."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._bodies = [
            stack.body(identifier)
            for four in zip(*(stack.certificates(province, 50) for province in PROVINCES), strict=True)
            for identifier in four
        ]
        self.told: Counter[int] = Counter()

    async def run(self) -> None:
        headers = {"Authorization": f"Bearer {self._stack.token}", "Prefer": "wait=10"}
        async with aiohttp.ClientSession(headers=headers) as session, asyncio.TaskGroup() as together:
            for number in range(PER_SECOND * SECONDS):
                together.create_task(self._one(session, number))
                await asyncio.sleep(1 / PER_SECOND)

    async def _one(self, session: aiohttp.ClientSession, number: int) -> None:
        base = self._bodies[number % len(self._bodies)]
        body = {**base, "head": base["head"] | {"requestId": uuid.uuid4().hex}}
        url = self._stack.gateways[number % 2] + self._stack.request()["path"]
        async with session.post(url, json=body) as answer:
            self.told[(await answer.json())["head"]["status"]] += 1


async def registry(stack: Stack, action: str, code: str) -> None:
    """One step of the life cycle, as the registrar's officer types it."""
    await asyncio.to_thread(
        subprocess.run,
        [
            sys.executable,
            "-m",
            "deploy.cli.main",
            "registry",
            action,
            code,
            "--reason",
            "演练",
            "--home",
            str(stack.home.path),
        ],
        check=True,
        timeout=60,
    )


async def read(stack: Stack, topic: str, partitions: int) -> list[ConsumerRecord[bytes, bytes]]:
    """Everything that lies on a topic now."""
    reader = kafka.consumer(ports.remembered(stack.home).bootstrap, "test-revocation")
    places = [TopicPartition(topic, place) for place in range(partitions)]
    reader.assign(places)
    await reader.start()
    try:
        ends = await reader.end_offsets(places)
        await reader.seek_to_beginning(*places)
        found: list[ConsumerRecord[bytes, bytes]] = []
        while [place for place in places if await reader.position(place) < ends[place]]:
            for some in (await reader.getmany(timeout_ms=500)).values():
                found += some
        return found
    finally:
        await reader.stop()


async def published_ms(stack: Stack, code: str, since_ms: int) -> int:
    """When the manifest that changed this scenario was put on the registry's topic."""
    registrar = read_keys(stack.home.keys / "registrar.public.json").signing
    found: list[int] = [
        record.timestamp
        for record in await read(stack, REGISTRY, 1)
        if record.key == MANIFEST_KEY
        and record.timestamp >= since_ms
        and f"scene/{code}" in verify_manifest(record.value or b"", registrar).changed
    ]
    return min(found)


async def recorded(stack: Stack, code: str, since_ms: int) -> list[Released]:
    """What every province recorded of this scenario, from its evidence and its details."""
    found = []
    for province in PROVINCES:
        written = [
            msgspec.json.decode(record.value or b"", type=EvidenceBody)
            for record in await read(stack, evidence_topic(province), LANE_PARTITIONS)
        ]
        time_of = {body.reply_lot: body.time for body in written}
        details = Details(ports.remembered(stack.home).bootstrap, read_keys(stack.home.keys / f"{province}.json"))
        found += [
            Released(one.detail.status, time_of[one.lot])
            async for one in details.read(since_ms=since_ms)
            if b'"' + code.encode() + b'"' in bytes(one.detail.request)
        ]
    return found


async def test_a_suspended_scenario_releases_nothing_a_second_later(stack: Stack) -> None:
    """With 200 requests a second no grant is in the evidence later than a second after the suspension was published."""
    code = stack.request()["body"]["head"]["sceneCode"]
    begun, asking = now_ms(), Asking(stack)
    try:
        async with asyncio.TaskGroup() as together:
            together.create_task(asking.run())
            await asyncio.sleep(SUSPENDED_AFTER)
            await registry(stack, "suspend", code)
        stopped = await published_ms(stack, code, begun)
        found = await recorded(stack, code, begun)
        released = [one.time_ms - stopped for one in found if one.status == 0]
        refused = [one.time_ms - stopped for one in found if one.status == 3001]
        assert {one.status for one in found} <= {0, 3001, 7001}, asking.told  # a busy machine may find agents away
        assert len(released) > PER_SECOND
        assert len(refused) > PER_SECOND
        assert max(released) <= BOUND_MS, max(released)
    finally:
        await registry(stack, "publish", code)
        await asyncio.to_thread(until, lambda: stack.post(stack.body()).json()["head"]["status"] == 0)
