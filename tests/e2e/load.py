"""Many callers at once who do what a sensible client does: repeat with the same id until they are accepted."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import Stack

_TRIES = 200
_COLLECT_SECONDS = 90.0


class Accepted(NamedTuple):
    """One accepted request: what was asked, through which gateway, and what was told at once."""

    identifier: str
    gateway: int
    http: int
    body: dict[str, Any]


class Load:
    """Calls over all provinces and both gateways."""

    def __init__(self, stack: Stack, *, retry: bool = True) -> None:
        self._stack, self._retry = stack, retry
        lists = [stack.certificates(province, 300) for province in ("31", "32", "33", "34")]
        self._identifiers = itertools.cycle([one for four in zip(*lists, strict=False) for one in four])
        self._path = stack.request()["path"]
        self._headers = {"Authorization": f"Bearer {stack.token}"}
        self.accepted: dict[str, Accepted] = {}
        self.refusals: Counter[int] = Counter()
        self.unavailable: list[tuple[float, str | None]] = []  # seconds it took, Retry-After

    async def run(self, count: int, in_flight: int, at: dict[int, Callable[[], object]] | None = None) -> None:
        """Send so many requests; `at` holds what to do after so many answers."""
        numbers = iter(range(count))
        events = dict(at or {})
        async with aiohttp.ClientSession(headers=self._headers) as session:

            async def caller() -> None:
                for number in numbers:
                    await self._one(session, number)
                    if event := events.pop(len(self.accepted), None):
                        await asyncio.to_thread(event)

            await asyncio.gather(*(caller() for _ in range(in_flight)))

    async def _one(self, session: aiohttp.ClientSession, number: int) -> None:
        identifier = next(self._identifiers)
        body = self._stack.body(identifier)
        for gateway in itertools.islice(itertools.cycle((number % 2, 1 - number % 2)), _TRIES):
            begun = asyncio.get_running_loop().time()
            try:
                async with session.post(self._stack.gateways[gateway] + self._path, json=body) as answer:
                    told = await answer.json(content_type=None)
            except (aiohttp.ClientError, ValueError):  # ValueError: the last words of a process that is killed
                await asyncio.sleep(0.1)  # the gateway is being started again
                continue
            if answer.status in (200, 202):
                self.accepted[body["head"]["requestId"]] = Accepted(identifier, gateway, answer.status, told)
                return
            self.refusals[answer.status] += 1
            if answer.status == 503:
                took = asyncio.get_running_loop().time() - begun
                self.unavailable.append((took, answer.headers.get("Retry-After")))
            if not self._retry:
                return
            await asyncio.sleep(0.3)

    async def collect(self, gateway: Callable[[int], int] = lambda asked: 1 - asked) -> dict[str, dict[str, Any]]:
        """The final answer of every accepted request, from the other gateway; whatever is missing stays missing."""
        found: dict[str, dict[str, Any]] = {}
        ends = asyncio.get_running_loop().time() + _COLLECT_SECONDS
        async with aiohttp.ClientSession(headers=self._headers) as session:
            while len(found) < len(self.accepted) and asyncio.get_running_loop().time() < ends:
                for request_id, one in self.accepted.items():
                    if request_id not in found:
                        url = f"{self._stack.gateways[gateway(one.gateway)]}/v1/requests/{request_id}"
                        async with session.get(url) as answer:
                            if answer.status == 200:
                                found[request_id] = await answer.json()
                await asyncio.sleep(0.2)
        return found

    def wrong(self, found: dict[str, dict[str, Any]]) -> list[str]:
        """Requests whose answer is another's, another than what was told at once, or no success."""
        return [
            request_id for request_id, one in self.accepted.items() if _is_wrong(request_id, one, found[request_id])
        ]


def _is_wrong(request_id: str, one: Accepted, told: dict[str, Any]) -> bool:
    head = told["head"]
    if head["status"] != 0 or head["requestId"] != request_id:
        return True
    if told["data"]["dataList"][0]["certificateID"] != one.identifier:
        return True
    return one.http == 200 and (one.body["head"]["evidence"], one.body["data"]) != (head["evidence"], told["data"])
