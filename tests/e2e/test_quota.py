"""The day's counts of a running stack outlive its Redis."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import redis

from broker.bus.clock import now_ms
from broker.bus.keys import read_keys
from deploy.details import Details
from deploy.local import ports
from deploy.local.processes import PROVINCES
from schemas.items import decode_request
from tests.e2e.conftest import until
from tests.e2e.load import Load
from workers.quota import windows

if TYPE_CHECKING:
    from tests.e2e.conftest import Stack

_COUNTS = re.compile("certlane:([0-9]{2}):quota:([^:]+):[0-9]{8}")
_REBUILDING = 'certlane_away{part="rebuilding"} 1.0'


def counted(stack: Stack) -> Counter[tuple[str, str]]:
    """What each province has granted of each scenario today, as its Redis counts it."""
    connection: Any = redis.Redis.from_url(stack.redis_url)
    found = [(_COUNTS.fullmatch(key.decode()), key) for key in connection.keys("certlane:*:quota:*")]
    return Counter({(match[1], match[2]): int(connection.get(key)) for match, key in found if match})


async def evident(stack: Stack) -> Counter[tuple[str, str]]:
    """The same as its evidence tells it: each request once."""
    today, seen = windows(now_ms()).day_ms, set()
    for province in PROVINCES:
        details = Details(ports.remembered(stack.home).bootstrap, read_keys(stack.home.keys / f"{province}.json"))
        async for one in details.read():
            if one.detail.taken >= today:
                scene = decode_request(one.detail.request).head.scene_code or ""
                seen.add((province, scene, one.request_id, one.detail.request_digest))
    return Counter((province, scene) for province, scene, *_ in seen)


def told(stack: Stack, name: str) -> str:
    return stack.http.get(stack.document["metrics"][name]).text


async def test_an_emptied_redis_counts_on(stack: Stack) -> None:
    """Redis emptied: the agents say that they rebuild, come back by themselves, and count what they had counted."""
    load = Load(stack)
    await load.run(400, 20)
    await load.collect()
    before = counted(stack)
    assert before.total() >= 400
    connection: Any = redis.Redis.from_url(stack.redis_url)
    connection.flushall()
    await asyncio.to_thread(until, lambda: all(_REBUILDING in told(stack, name) for name in ("worker-31", "worker-34")))
    await asyncio.to_thread(stack.until_ready)
    assert counted(stack) == await evident(stack)
    assert counted(stack) <= before  # what was taken and never recorded, because an agent died over it, is forgotten
