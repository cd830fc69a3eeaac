"""Processes, Kafka and Redis die at the worst moments: nothing accepted is lost, nothing reaches another."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time

import redis

from deploy.local import commands
from tests.e2e.conftest import Stack, until
from tests.e2e.load import Load


def _memory_mb(stack: Stack) -> float:
    names = [name for name in stack.document["metrics"] if not name.startswith("registrar")]
    pages = 0
    for name in names:
        with open(f"/proc/{stack.pid(name)}/status") as file:  # noqa: PTH123  # not a path of ours
            pages += next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
    return pages / 1024


async def test_nothing_accepted_is_lost_when_agents_and_a_gateway_are_killed(stack: Stack) -> None:
    """6,000 requests of all interfaces, three SIGKILLs: each has exactly its answer at the other gateway, in 900 MB."""
    load = Load(stack, mixed=True)
    kills = {1_000: "worker-32", 2_000: "gateway-1", 3_000: "worker-33"}
    events = {at: lambda name=name: stack.signal(name, signal.SIGKILL) for at, name in kills.items()}
    await load.run(6_000, 50, events)  # type: ignore[arg-type]  # a lambda with a bound default
    found = await load.collect()
    assert len(load.accepted) == len(found) == 6_000
    assert load.wrong(found) == []
    await asyncio.to_thread(stack.until_ready)
    assert _memory_mb(stack) < 900


async def test_a_gateway_that_never_comes_back_loses_nothing(stack: Stack) -> None:
    """The other gateway collects what a gateway that was stopped for good had accepted, fan-outs too."""
    load = Load(stack, mixed=True)
    stop = {500: lambda: commands.stop(stack.home.path, "gateway-1")}
    try:
        await load.run(2_000, 50, stop)  # type: ignore[arg-type]
        found = await load.collect(lambda _: 1)
    finally:
        commands.start(stack.home.path, "gateway-1")
    assert len(load.accepted) == len(found) == 2_000
    assert load.wrong(found) == []


async def test_a_killed_kafka_loses_nothing_and_callers_are_told(stack: Stack) -> None:
    """While Kafka is away callers get 503 with Retry-After inside their wait; what was accepted is answered later."""
    load = Load(stack)
    await load.run(1_500, 20, {500: lambda: stack.signal("kafka", signal.SIGKILL)})
    found = await load.collect()
    assert len(load.accepted) == len(found) == 1_500
    assert load.wrong(found) == []
    assert load.unavailable
    assert all(retry_after for _, retry_after in load.unavailable)
    assert statistics.median(took for took, _ in load.unavailable) < 5  # the caller's wait


async def test_a_killed_redis_comes_back_by_itself(stack: Stack) -> None:
    """Redis killed in mid-work: whoever is refused is told when to try again, and each accepted request is answered."""
    load = Load(stack)
    await load.run(1_500, 20, {500: lambda: stack.signal("redis", signal.SIGKILL)})
    found = await load.collect()
    assert len(load.accepted) == len(found) == 1_500
    assert load.wrong(found) == []
    assert all(retry_after for _, retry_after in load.unavailable)


async def test_while_redis_is_kept_away_nothing_is_accepted_and_nothing_released(stack: Stack) -> None:
    """Redis stopped: readyz and calls are 503 within a second, agents pause, no evidence grows; started: all heals."""
    pids = {name: stack.pid(name) for name in stack.document["metrics"]}
    commands.stop(stack.home.path, "redis")
    try:
        away = ("gateway-1", "gateway-2", "worker-32")
        await asyncio.to_thread(until, lambda: not any(stack.metric(name, "certlane_ready") for name in away))
        released = stack.metric("worker-32", "certlane_judged_total")
        begun = time.monotonic()
        told = [stack.post(stack.body(), gateway=place) for place in (0, 1)]
        took = time.monotonic() - begun
        ready = [stack.http.get(url + "/readyz").status_code for url in stack.gateways]
        assert [answer.status_code for answer in told] == [503, 503] == ready
        assert all(answer.headers["retry-after"] and answer.json()["head"]["status"] == 7001 for answer in told)
        assert took < 15  # a second each on a quiet machine; never a whole wait
        await asyncio.sleep(14)  # the point: longer than any watchdog's patience, and nobody may give up
        assert {name: stack.pid(name) for name in pids} == pids
        assert stack.metric("worker-32", "certlane_judged_total") == released
    finally:
        commands.start(stack.home.path, "redis")
    await asyncio.to_thread(stack.until_ready)
    assert stack.post(stack.body()).json()["head"]["status"] == 0


async def test_an_emptied_redis_loses_no_answer(stack: Stack) -> None:
    """Redis emptied: answers given before are collectable again, an id keeps its meaning, and work goes on."""
    load = Load(stack)
    await load.run(300, 20)
    body = stack.body()
    first = stack.post(body).json()
    redis.Redis.from_url(stack.redis_url).flushall()
    other = stack.body()
    other["head"] |= {"requestId": body["head"]["requestId"], "businessCode": "ANOTHER"}
    found = await load.collect()
    assert len(found) == 300
    assert load.wrong(found) == []
    ready = lambda: all(stack.post(stack.body(), gateway=place).status_code == 200 for place in (0, 1))  # noqa: E731
    await asyncio.to_thread(until, ready)
    again = stack.post(body, gateway=1).json()
    assert again["head"].get("evidence") == first["head"]["evidence"], again
    assert stack.post(other).status_code == 409


def test_sigterm_drains(stack: Stack) -> None:
    """A gateway that is told to stop answers whom it holds; a worker that is told to stop loses no request."""
    load = Load(stack)
    stops = {
        200: lambda: stack.signal("gateway-1", signal.SIGTERM),
        400: lambda: stack.signal("worker-31", signal.SIGTERM),
        600: lambda: stack.signal("worker-34", signal.SIGTERM),
    }
    asyncio.run(load.run(1_000, 30, stops))  # type: ignore[arg-type]
    found = asyncio.run(load.collect())
    assert len(load.accepted) == len(found) == 1_000
    assert load.wrong(found) == []
