"""A closed loop: n requests in flight for some seconds; rate, latency and processor time, as one row."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

_TICKS = os.sysconf("SC_CLK_TCK")


class Row(NamedTuple):
    """One measurement; times in milliseconds, processor time in microseconds a request."""

    way: str
    in_flight: int
    per_second: float
    p50_ms: float
    p99_ms: float
    server_us: float
    client_us: float
    failed: int


class Way(Protocol):
    """Something that takes a request by number and calls back when it is answered."""

    name: str

    def ask(self, number: int) -> asyncio.Future[bool]:
        """Start one request; the future tells whether it was answered as expected."""


class Loop:
    """Keeps `in_flight` requests under way and notes when each began and ended."""

    def __init__(self, way: Way, in_flight: int) -> None:
        self._way, self._in_flight = way, in_flight
        self._took: list[float] = []
        self._failed = 0
        self._number = 0
        self._under_way = 0
        self._stopping = False
        self._idle = asyncio.Event()

    async def run(self, seconds: float, pids: Iterable[int], *, warm_up: float = 1.0) -> Row:
        """Warm up, then measure for so many seconds; `pids` are the processes that serve."""
        serving = tuple(pids)
        for _ in range(self._in_flight):
            self._next()
        await asyncio.sleep(warm_up)
        self._took.clear()
        self._failed = 0
        begun, server, client = time.monotonic(), cpu_seconds(serving), time.process_time()
        await asyncio.sleep(seconds)
        took, count = time.monotonic() - begun, len(self._took)
        server, client = cpu_seconds(serving) - server, time.process_time() - client
        latencies = sorted(self._took)
        failed = self._failed
        self._stopping = True
        await asyncio.wait_for(self._idle.wait(), 30)
        return Row(
            way=self._way.name,
            in_flight=self._in_flight,
            per_second=count / took,
            p50_ms=_at(latencies, 0.50),
            p99_ms=_at(latencies, 0.99),
            server_us=server / max(count, 1) * 1e6,
            client_us=client / max(count, 1) * 1e6,
            failed=failed,
        )

    def _next(self) -> None:
        self._number += 1
        self._under_way += 1
        begun = time.monotonic()
        self._way.ask(self._number).add_done_callback(lambda future: self._ended(begun, future))

    def _ended(self, begun: float, future: asyncio.Future[bool]) -> None:
        self._under_way -= 1
        if future.cancelled() or future.exception() is not None or not future.result():
            self._failed += 1
        else:
            self._took.append((time.monotonic() - begun) * 1000)
        if not self._stopping:
            self._next()
        elif not self._under_way:
            self._idle.set()


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else float("nan")


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes so far."""
    total = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total
