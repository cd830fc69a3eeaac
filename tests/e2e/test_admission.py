"""Who asks too fast, too much or too slowly is told so, and nobody else suffers from it."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING

import aiohttp
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from multidict import CIMultiDictProxy

    from tests.e2e.conftest import Stack

IDLE = 2_000
LIMITED = "yct-limited"


def application(stack: Stack, name: str) -> dict[str, object]:
    found: dict[str, object] = next(one for one in stack.document["applications"] if one["id"] == name)
    return found


async def test_a_caller_over_its_rate_is_told(stack: Stack) -> None:
    """At ten times its rate a caller gets 429 with Retry-After and RateLimit fields, and its rate goes through."""
    limited = application(stack, LIMITED)
    rate = int(str(limited["perSecond"]))
    seen: Counter[int] = Counter()
    refused: list[CIMultiDictProxy[str]] = []
    begun = time.monotonic()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {limited['token']}"}) as session:

        async def ask() -> None:
            url = stack.gateways[0] + stack.request()["path"]
            async with session.post(url, json=stack.body()) as answer:
                seen[answer.status] += 1
                if answer.status == 429:
                    told = await answer.json(content_type=None)
                    assert told["head"]["status"] == 2007
                    refused.append(answer.headers)

        for _ in range(10):
            await asyncio.gather(*(ask() for _ in range(rate)))
    seconds = int(time.monotonic() - begun) + 2  # whole seconds that were touched
    assert set(seen) == {200, 429}
    assert rate <= seen[200] <= rate * seconds
    for told in refused:
        assert told["Retry-After"] == "1"
        assert told["RateLimit-Policy"] == f'"application";q={rate};w=1'
        assert told["RateLimit"] == '"application";r=0;t=1'


def test_what_is_left_is_told(stack: Stack) -> None:
    """An answer tells what the application may still ask in this second."""
    told = stack.post(stack.body()).headers
    assert told["ratelimit-policy"] == '"application";q=5000;w=1'
    assert told["ratelimit"].startswith('"application";r=49')


@pytest.fixture
def many_files() -> Iterator[None]:
    """Leave to open some thousands of sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, IDLE + 2_000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_idle_connections_harm_nobody(stack: Stack) -> None:
    """Two thousand connections that say nothing do not keep others from being served, and are closed in the end."""
    host, port = stack.gateways[0].removeprefix("http://").split(":")
    idle = [socket.create_connection((host, int(port)), timeout=30) for _ in range(IDLE)]
    try:
        assert [stack.post(stack.body()).status_code for _ in range(5)] == [200] * 5
        ends = time.monotonic() + 90
        for one in idle:
            one.settimeout(max(ends - time.monotonic(), 0.1))
            assert one.recv(1) == b""
    finally:
        for one in idle:
            one.close()
    assert stack.post(stack.body()).status_code == 200
