"""Quota over three agents' processes: so many grants and not one more, whatever dies and whatever comes again."""

from __future__ import annotations

import random
import shutil
import uuid
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from broker.bus import redis
from broker.bus.kafka import producer
from deploy.details import Details
from schemas.scenes import Limits
from tests.contract.agents import until_equal
from tests.integration.exchange import Exchange, requests
from tests.support import KEYS
from tests.support_registry import PROVINCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.parts import Parts

QUOTA = 100


@pytest.fixture(scope="module")
async def exchange(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Exchange]:
    """Three agents of the province, ready."""
    connection = redis.connect(parts.redis_url)
    await connection.flushall()
    kafka = producer(parts.bootstrap, "test-node")
    await kafka.start()
    made = Exchange(parts, connection, kafka, tmp_path_factory.mktemp("exchange"))
    try:
        yield await made.up()
    finally:
        await made.down()
        await kafka.stop()
        await connection.aclose()


async def a_scene(exchange: Exchange) -> str:
    code = f"YRD-310000-2026-{uuid.uuid4().int % 10**8:08}"
    await exchange.publish(code, Limits(per_day=QUOTA))
    return code


def granted(told: dict[str, list[int]]) -> set[str]:
    """The requests that were granted; each is either granted or refused for the quota, whenever it is told."""
    assert all(set(statuses) in ({0}, {3010}) for statuses in told.values()), Counter(
        tuple(sorted(set(statuses))) for statuses in told.values()
    )
    return {name for name, statuses in told.items() if 0 in statuses}


async def some_are_answered(exchange: Exchange, before: float, many: int) -> None:
    async def enough() -> bool:
        return await exchange.judged() - before >= many

    await until_equal(enough, wanted=True)


async def test_ten_thousand_ask_for_a_hundred(exchange: Exchange, parts: Parts) -> None:
    """Of 10,000 requests over three agents, one killed at random, exactly 100 are granted, and the evidence says so."""
    code = await a_scene(exchange)
    asked = requests(10_000, code)
    before = await exchange.judged()
    await exchange.ask(asked)
    await some_are_answered(exchange, before, random.randrange(60, 2_000))
    name = random.choice(list(exchange.agents))
    await exchange.kill(name)
    told = await exchange.told(asked)
    assert len(granted(told)) == QUOTA
    recorded = {
        one.request_id
        async for one in Details(parts.bootstrap, KEYS[PROVINCE]).read()
        if one.detail.scenario.startswith(code) and one.detail.status == 0
    }
    assert recorded == granted(told)
    await exchange.start(name)
    await exchange.until_ready()


async def test_each_comes_three_times(exchange: Exchange) -> None:
    """Requests that are delivered three times each are granted or refused alike each time, 100 of them granted."""
    asked = requests(3_000, await a_scene(exchange))
    for _ in range(3):
        await exchange.ask(random.sample(asked, len(asked)))
    assert len(granted(await exchange.told(asked, times=3))) == QUOTA


@pytest.mark.parametrize("how", ["flushed", "killed"])
async def test_redis_is_emptied_in_between(exchange: Exchange, parts: Parts, how: str) -> None:
    """Redis flushed, or killed and started without its data, in mid-work: agents say so, come back, and 100 it is."""
    asked = requests(3_000, await a_scene(exchange))
    before = await exchange.judged()
    await exchange.ask(asked)
    await some_are_answered(exchange, before, random.randrange(60, 1_000))
    if how == "flushed":
        await exchange.connection.flushall()
    else:
        shutil.rmtree(parts.home.path / "redis" / "appendonlydir")
        parts.kill("redis")
    seen: set[str] = set()

    async def rebuilding() -> bool:
        seen.update(await exchange.all_away())
        return "rebuilding" in seen

    await until_equal(rebuilding, wanted=True)
    await exchange.until_ready()
    for _ in range(2):
        await exchange.ask(random.sample(asked, len(asked)))
    told = await exchange.told(asked, times=3)
    assert len({name for name, statuses in told.items() if 0 in statuses}) == QUOTA
