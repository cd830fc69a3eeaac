"""One whole stack for all end-to-end tests: real Kafka, real Redis, every process, in a temporary folder."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from deploy.demo.asking import READABLE
from deploy.demo.certificates import sample
from deploy.local import commands, ports
from deploy.local.home import Home

READY_SECONDS = 60.0


class Stack:
    """A running stack, what its demo.json says, and the few things tests do to it."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.document: dict[str, Any] = orjson.loads((home.path / "demo.json").read_bytes())
        self.http = httpx.Client(trust_env=False, timeout=30)
        self.redis_url = ports.remembered(home).redis_url

    @property
    def gateways(self) -> list[str]:
        return list(self.document["gateways"])

    @property
    def token(self) -> str:
        return str(self.document["token"])

    def request(self, name: str = "") -> dict[str, Any]:
        """A request of demo.json by the beginning of its name; the first one without a name."""
        found: dict[str, Any] = next(one for one in self.document["requests"] if one["name"].startswith(name))
        return found

    def body(self, identifier: str | None = None, **head: object) -> dict[str, Any]:
        """The body of a succeeding request with a new request id."""
        base = self.request()["body"]
        data = base["data"] if identifier is None else {"certificateID": identifier}
        return {"head": base["head"] | {"requestId": uuid.uuid4().hex} | head, "data": data}

    def fresh(self, request: dict[str, Any]) -> dict[str, Any]:
        """The body of a request of demo.json with a new request id."""
        body = request["body"]
        return {**body, "head": body["head"] | {"requestId": uuid.uuid4().hex}}

    def post(
        self, body: object, *, gateway: int = 0, token: str | None = None, wait: str = "wait=15", path: str = ""
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token or self.token}", "Prefer": wait}
        return self.http.post(self.gateways[gateway] + (path or self.request()["path"]), json=body, headers=headers)

    def look(self, request_id: str, *, gateway: int = 0, token: str | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return self.http.get(f"{self.gateways[gateway]}/v1/requests/{request_id}", headers=headers)

    def certificates(self, province: str, count: int) -> list[str]:
        return [one["certificateID"] for one in sample(self.home.store / f"{province}.db", count, READABLE)]

    def pid(self, name: str) -> int:
        return int((self.home.run / f"{name}.pid").read_text())

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.pid(name), number)

    def metric(self, name: str, metric: str) -> float:
        """The sum over the labels of a metric of this process."""
        text = self.http.get(self.document["metrics"][name]).text
        lines = [line for line in text.splitlines() if line.partition("{")[0].partition(" ")[0] == metric]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def until_ready(self) -> None:
        """Wait until every process of the exchange takes work again."""
        until(self._ready)

    def _ready(self) -> bool:
        try:
            return all(self.metric(name, "certlane_ready") == 1 for name in self.document["metrics"])
        except httpx.HTTPError:
            return False


def until(true: Any, seconds: float = READY_SECONDS) -> None:
    """Wait for something that comes by itself; never a fixed sleep."""
    ends = time.monotonic() + seconds
    while not true():
        if time.monotonic() > ends:
            pytest.fail(f"did not become true in {seconds:.0f} s")
        time.sleep(0.1)


@pytest.fixture(scope="session")
def whole_stack() -> Iterator[Stack]:
    with commands.temporary_stack() as home:
        stack = Stack(home)
        yield stack
        stack.http.close()


@pytest.fixture
def stack(whole_stack: Stack) -> Iterator[Stack]:
    """The stack, ready before the test and ready again after it, whatever the test did."""
    whole_stack.until_ready()
    yield whole_stack
    whole_stack.until_ready()


@pytest.fixture(scope="session")
def checkout() -> Path:
    return Path(__file__).parents[2]
