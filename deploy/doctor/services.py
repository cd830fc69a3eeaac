"""Kafka, Redis and the supervisor: whether they answer, and are set as they must be."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from redis.asyncio import Redis

from broker.bus import kafka
from broker.bus.clock import apart_ms, now_ms
from deploy.doctor.site import IllError
from deploy.local import kafka as local_kafka
from deploy.local import processes
from deploy.local.parties import NODES
from deploy.local.supervise import Supervisor
from schemas.lot import CLOCK_TOLERANCE_MS
from schemas.topics import specs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiokafka import AIOKafkaConsumer

    from deploy.doctor.site import Site

_FULL = 0.8  # of Redis's memory
_SECONDS = 8.0


def supervisor(site: Site) -> str:
    down = [row.name for row in Supervisor(site.home).status() if row.state != "running"]
    if down:
        raise IllError(f"没有运行：{'、'.join(down)}")
    return f"{len(processes.NAMES)} 个部分都在运行"


def ports(site: Site) -> str:
    """Each port of a stack that is up takes connections."""
    silent = [name for name in processes.LISTENERS if not _answers(site.ports[name])]
    if silent:
        raise IllError(f"没有监听：{'、'.join(silent)}")
    return f"{len(processes.LISTENERS)} 个端口都在监听"


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS):
            return True
    except OSError:
        return False


async def kafka_answers(site: Site) -> str:
    if not await local_kafka.answers(site.ports.bootstrap):
        raise IllError(f"{site.ports.bootstrap} 没有答复")
    return site.ports.bootstrap


async def topics(site: Site) -> str:
    """Those of the table are there with the partitions that the table says."""
    wanted = {spec.name: spec.partitions for spec in specs(NODES)}
    admin = AIOKafkaAdminClient(bootstrap_servers=site.ports.bootstrap)
    await admin.start()
    try:
        found: list[dict[str, Any]] = await admin.describe_topics()
    finally:
        await admin.close()
    there = {one["topic"]: len(one["partitions"]) for one in found}
    if missing := sorted(wanted.keys() - there.keys()):
        raise IllError(f"缺少主题：{'、'.join(missing)}")
    if wrong := sorted(name for name, count in wanted.items() if there[name] != count):
        raise IllError(f"分区数不对：{'、'.join(wrong)}")
    return f"{len(wanted)} 个主题，分区数正确"


async def quarantine(site: Site) -> str:
    """Nothing was put aside."""
    names = [spec.name for spec in specs(NODES) if spec.name.endswith(".dlq")]
    places = [TopicPartition(name, 0) for name in names]
    async with _reader(site) as reader:
        begins, ends = await reader.beginning_offsets(places), await reader.end_offsets(places)
    held = {place.topic: ends[place] - begins[place] for place in places if ends[place] > begins[place]}
    if held:
        raise IllError("、".join(f"{name} 有 {count} 条" for name, count in sorted(held.items())))
    return f"{len(names)} 个隔离主题都是空的"


@asynccontextmanager
async def _reader(site: Site) -> AsyncIterator[AIOKafkaConsumer]:
    reader = kafka.consumer(site.ports.bootstrap, "certlane-doctor")
    await reader.start()
    try:
        yield reader
    finally:
        await reader.stop()


@asynccontextmanager
async def _redis(site: Site) -> AsyncIterator[Redis]:
    """With more patience than our processes have: a slow machine is no illness of Redis."""
    connection = Redis.from_url(site.ports.redis_url, socket_connect_timeout=_SECONDS, socket_timeout=_SECONDS)
    try:
        yield connection
    finally:
        await connection.aclose()


async def redis_answers(site: Site) -> str:
    """It answers, and its clock is ours."""
    async with _redis(site) as connection:
        sent = now_ms()
        seconds, micros = await connection.time()
        apart = abs(apart_ms(sent, seconds * 1000 + micros // 1000, now_ms()))
    if apart > CLOCK_TOLERANCE_MS:
        raise IllError(f"时钟相差 {apart} 毫秒")
    return f"127.0.0.1:{site.ports['redis']}，时钟相差 {apart} 毫秒"


async def redis_settings(site: Site) -> str:
    """It refuses when full instead of forgetting, keeps what it has on disk, and has room."""
    async with _redis(site) as connection:
        told: dict[str, Any] = await connection.info()
    used, most = int(told["used_memory"]), int(told["maxmemory"])
    faults = (
        (told["maxmemory_policy"] != "noeviction", f"maxmemory-policy 是 {told['maxmemory_policy']}"),
        (not int(told["aof_enabled"]), "没有启用 AOF"),
        (told.get("aof_last_write_status", "ok") != "ok", "AOF 写入失败"),
        (most > 0 and used > _FULL * most, f"内存已用 {used * 100 // max(most, 1)}%"),
    )
    if wrong := [text for fault, text in faults if fault]:
        raise IllError("；".join(wrong))
    return f"noeviction，AOF，内存已用 {used >> 20} MiB，上限 {most >> 20} MiB"
