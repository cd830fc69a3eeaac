"""The registry at scale: from Kafka to agents' snapshots in processes of their own; run alone or as a process of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import statistics
import sys
import time
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import orjson
import uvloop
from aiokafka.admin import NewTopic

from broker.bus import kafka, redis, telemetry
from broker.bus.clock import now_ms
from broker.bus.keys import KeyFile, KeySigner, make_keys, read_keys
from broker.bus.topics import make_topics
from broker.registry.follower import Follower
from broker.registry.reader import RegistryReader
from broker.registry.stored import StoredRegistry
from deploy.bench.many_rules import Shape, records_of, renewed
from deploy.local import ports
from schemas.record_tree import RecordTree
from schemas.registry import MANIFEST_KEY, MAX_CHANGED, Manifest, digest_of
from schemas.wire import sign_compact

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from aiokafka import AIOKafkaProducer

    from deploy.local.home import Home

SHAPES = (Shape(2, 50), Shape(20_000, 50), Shape(5_000, 200), Shape(100_000, 10))
READERS, UPDATES, PAUSE_SECONDS = 3, 200, 0.05
_FAR_AHEAD_MS = 24 * 3_600_000
_WAIT_SECONDS = 300.0


class RegistryRow(NamedTuple):
    """One shape: how agents load it, and how long a version of one record takes from its send to all of them."""

    rules: int
    scenes: int
    record_mib: float
    load_seconds: float  # the slowest agent, from Redis, verified
    load_cpu_seconds: float  # of that agent's process, whatever else the machine did
    resident_mib: float  # the largest agent
    stall_ms: float  # the longest that an agent's loop stood still meanwhile
    p50_ms: float
    p99_ms: float
    most_ms: float
    update_stall_ms: float


def registry_bench(home: Home, *, say: Callable[[str], None], shapes: Sequence[Shape] = SHAPES) -> list[RegistryRow]:
    """Every shape in turn, on the Kafka and Redis of a stack that runs, on a topic and under a party of its own."""
    listening = ports.remembered(home)
    rows = []
    for shape in shapes:
        rows.append(uvloop.run(_measured(shape, listening.bootstrap, listening.redis_url)))
        say(f"registry, {rows[-1].rules:,} rules: {rows[-1].p99_ms:.0f} ms at p99")
    return rows


class _Registrar:
    """Versions as the registrar makes them."""

    def __init__(self, kafka_: AIOKafkaProducer, topic: str, keys: KeyFile) -> None:
        self._kafka, self._topic, self._signer = kafka_, topic, KeySigner(keys.signing)
        self._tree = RecordTree()
        self.version = 0

    async def publish(self, changed: dict[str, bytes]) -> None:
        self._tree.apply(changed)
        now = now_ms()
        self.version += 1
        manifest = Manifest(
            version=self.version,
            previous=self.version - 1,
            count=self._tree.count,
            root=self._tree.root(),
            changed={key: digest_of(value) for key, value in changed.items()},
            issued_at=now,
            expires_at=now + _FAR_AHEAD_MS,
        )
        sends = [await self._kafka.send(self._topic, value, key=key.encode()) for key, value in changed.items()]
        await asyncio.gather(*sends)
        jws = sign_compact(self._signer, msgspec.json.encode(manifest))
        await self._kafka.send_and_wait(self._topic, jws, key=MANIFEST_KEY)


async def _measured(shape: Shape, bootstrap: str, redis_url: str) -> RegistryRow:
    name = f"bench-{uuid.uuid4().hex}"
    topic = f"certlane.{name}"
    await make_topics(bootstrap, [NewTopic(topic, 1, 1)])
    records = records_of(shape)
    connection, producer = redis.connect(redis_url), kafka.producer(bootstrap, name)
    await producer.start()
    try:
        with TemporaryDirectory() as folder:
            registrar = _Registrar(producer, topic, make_keys(Path(folder), "registrar"))
            where = (bootstrap, redis_url, topic, name, folder)
            async with _process("follower", *where):
                keys = list(records)
                for at in range(0, len(keys), MAX_CHANGED):
                    await registrar.publish({key: records[key] for key in keys[at : at + MAX_CHANGED]})
                await _stands(StoredRegistry(connection, name), registrar.version)
                return await _row(shape, registrar, records, where)
    finally:
        await producer.stop()
        async for key in connection.scan_iter(f"*{name}*"):
            await connection.unlink(key)
        await connection.aclose()


async def _row(shape: Shape, registrar: _Registrar, records: dict[str, bytes], where: tuple[str, ...]) -> RegistryRow:
    loads, seconds, stalls = [], list[float](), list[float]()
    async with contextlib.AsyncExitStack() as life:
        readers = []
        for _ in range(READERS):
            readers.append(await life.enter_async_context(_process("reader", *where)))
            loads.append(await _line(readers[-1]))
        some = random.Random(1)  # noqa: S311  # the same ones each time
        scenes = [key for key in records if key.startswith("scene/")]
        for number in range(UPDATES):
            key = some.choice(scenes)
            records[key] = renewed(records[key])
            begun = time.time()
            await registrar.publish({key: records[key]})
            lines = [await _line(reader) for reader in readers]
            assert all(line["version"] == registrar.version for line in lines), number
            seconds.append(max(line["at"] for line in lines) - begun)
            stalls.append(max(line["stall"] for line in lines))
            await asyncio.sleep(PAUSE_SECONDS)
        return RegistryRow(
            rules=shape.rules,
            scenes=shape.scenes,
            record_mib=sum(map(len, records.values())) / 2**20,
            load_seconds=max(line["seconds"] for line in loads),
            load_cpu_seconds=max(line["cpu"] for line in loads),
            resident_mib=max(line["resident"] for line in loads) / 2**20,
            stall_ms=max(line["stall"] for line in loads) * 1e3,
            p50_ms=statistics.median(seconds) * 1e3,
            p99_ms=statistics.quantiles(seconds, n=100)[98] * 1e3,
            most_ms=max(seconds) * 1e3,
            update_stall_ms=max(stalls) * 1e3,
        )


async def _stands(stored: StoredRegistry, version: int) -> None:
    async with asyncio.timeout(_WAIT_SECONDS):
        while (await stored.beat()).version < version:  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def _process(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    argv = [sys.executable, "-m", "deploy.bench.registry", *words]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> dict[str, float]:
    assert process.stdout is not None
    async with asyncio.timeout(_WAIT_SECONDS):
        line: dict[str, float] = orjson.loads(await process.stdout.readline())
    return line


def table(rows: Sequence[RegistryRow]) -> str:
    """Rows as text."""
    heads = (
        "rules",
        "scenes",
        "MiB",
        "load s",
        "CPU s",
        "RSS MiB",
        "stall ms",
        "p50 ms",
        "p99 ms",
        "max ms",
        "stall ms",
    )
    lines = ["".join(f"{head:>11}" for head in heads)]
    lines += ["".join(f"{cell:>11,.{0 if cell > 99 else 1}f}" for cell in row) for row in rows]
    lines.append(f"one follower and {READERS} agents, {UPDATES} versions of one record, {os.cpu_count()} cores")
    return "\n".join(lines)


class _Stall:
    """How long the loop stood still since it was asked last."""

    def __init__(self) -> None:
        self.most = 0.0

    async def run(self) -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.001)
            self.most = max(self.most, time.perf_counter() - begun - 0.001)

    def since(self) -> float:
        most, self.most = self.most, 0.0
        return most


async def _reader(redis_url: str, party: str, registrar: KeyFile) -> None:
    connection, stall = redis.connect(redis_url), _Stall()
    reader = RegistryReader(
        redis=connection, stored=StoredRegistry(connection, party), registrar=registrar.signing.public
    )
    watching = asyncio.ensure_future(stall.run())
    begun, cpu = time.perf_counter(), time.process_time()
    while reader.snapshot is None:
        await reader.refresh()
    seconds, cpu, known = time.perf_counter() - begun, time.process_time() - cpu, reader.current()
    _say({"seconds": seconds, "cpu": cpu, "resident": _resident(), "stall": stall.since()})
    running = asyncio.ensure_future(reader.run())
    while not running.done() and not watching.done():
        await asyncio.sleep(0.001)
        if reader.current() is not known:
            known = reader.current()
            _say({"version": known.version, "at": time.time(), "stall": stall.since()})


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _say(line: dict[str, float]) -> None:
    sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


def _main(role: str, *where: str) -> None:
    bootstrap, redis_url, topic, party, folder = where
    telemetry.configure(role)
    keys = read_keys(Path(folder) / "registrar.public.json")
    if role == "reader":
        uvloop.run(_reader(redis_url, party, keys))
        return

    async def follow() -> None:
        stored = StoredRegistry(redis.connect(redis_url), party)
        follower = Follower(bootstrap=bootstrap, name=party, registrar=keys.signing.public, stored=stored, topic=topic)
        await follower.run()

    uvloop.run(follow())


if __name__ == "__main__":
    _main(*sys.argv[1:])
