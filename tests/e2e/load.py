"""Many callers at once who do what a sensible client does: repeat with the same id until they are accepted."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import Stack

_TRIES = 200
_COLLECT_SECONDS = 90.0
_MAX_FILE_BYTES = 1 << 20  # thousands of larger ones are a test of the disk


class Call(NamedTuple):
    """What is asked: a path, a body without request id, and the certificates (or verdicts) that the answer names."""

    path: str
    body: dict[str, Any]
    named: tuple[str, ...]


class Accepted(NamedTuple):
    """One accepted request: what was asked, through which gateway, and what was told at once."""

    call: Call
    gateway: int
    http: int
    body: dict[str, Any]


def named(told: dict[str, Any]) -> tuple[str, ...]:
    """The certificates of an answer, or the holders where it names none."""
    rows = (told.get("data") or {}).get("dataList", [])
    return tuple(str(row.get("certificateID") or row.get("holderName")) for row in rows)


class Load:
    """Calls over all provinces and both gateways."""

    def __init__(self, stack: Stack, *, retry: bool = True, mixed: bool = False) -> None:
        self._stack, self._retry = stack, retry
        lists = [stack.certificates(province, 300) for province in ("31", "32", "33", "34")]
        by_identifier = [self._of(one) for four in zip(*lists, strict=False) for one in four]
        self._calls = itertools.cycle(_between(by_identifier, self._of_all_interfaces()) if mixed else by_identifier)
        self._headers = {"Authorization": f"Bearer {stack.token}"}
        self.accepted: dict[str, Accepted] = {}
        self.refusals: Counter[int] = Counter()
        self.unavailable: list[tuple[float, str | None]] = []  # seconds it took, Retry-After

    def _of(self, identifier: str) -> Call:
        return Call(self._stack.request()["path"], self._stack.body(identifier), (identifier,))

    def _of_all_interfaces(self) -> list[Call]:
        """Every succeeding request of demo.json with the default token, and what it names on a quiet stack."""
        calls = []
        for one in self._stack.document["requests"]:
            small = one.get("file", {}).get("size", 0) <= _MAX_FILE_BYTES
            if one["expect"] == {"http": 200, "status": 0} and "token" not in one and small:
                told = self._stack.post(self._stack.fresh(one), path=one["path"]).json()
                assert told["head"]["status"] == 0
                calls.append(Call(one["path"], one["body"], named(told)))
        return calls

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
        call = next(self._calls)
        body = {**call.body, "head": call.body["head"] | {"requestId": uuid.uuid4().hex}}
        for gateway in itertools.islice(itertools.cycle((number % 2, 1 - number % 2)), _TRIES):
            begun = asyncio.get_running_loop().time()
            try:
                async with session.post(self._stack.gateways[gateway] + call.path, json=body) as answer:
                    told = await answer.json(content_type=None)
            except (aiohttp.ClientError, ValueError):  # ValueError: the last words of a process that is killed
                await asyncio.sleep(0.1)  # the gateway is being started again
                continue
            if answer.status in (200, 202):
                self.accepted[body["head"]["requestId"]] = Accepted(call, gateway, answer.status, told)
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

    def wrong(self, found: dict[str, dict[str, Any]]) -> list[tuple[str, int, object, object]]:
        """Requests whose answer is another's, another than what was told at once, or no success; and what was told."""
        return [
            (request_id, one.http, one.body["head"], found[request_id]["head"])
            for request_id, one in self.accepted.items()
            if _is_wrong(request_id, one, found[request_id])
        ]


def _is_wrong(request_id: str, one: Accepted, told: dict[str, Any]) -> bool:
    """Another's answer, another than before, or one that names what it should not; a province may be missing."""
    head = told["head"]
    if head["requestId"] != request_id or not head.get("final", True):
        return True
    if one.http == 200 and one.body["head"].get("final", True):
        first = one.body["head"]["status"], one.body["head"].get("evidence"), _said(one.body)
        return first != (head["status"], head.get("evidence"), _said(told))
    if head["status"] == 0:
        return named(told) != one.call.named
    missing = any(source["state"] in ("late", "unavailable") for source in told.get("data", {}).get("sources", ()))
    return not missing or head["status"] not in (7001, 7002, 7003) or not set(named(told)) <= set(one.call.named)


def _said(told: dict[str, Any]) -> object:
    """The data without what is told anew each time: where a file is, which gateway tells it."""
    rows = (told.get("data") or {}).get("dataList", [])
    return [{name: value for name, value in row.items() if name != "fileUrl"} for row in rows]


def _between(many: list[Call], few: list[Call]) -> list[Call]:
    """One of the many, one of the few, in turn."""
    return [one for pair in zip(many, itertools.cycle(few), strict=False) for one in pair]
