"""Greedy lots: whoever comes while a call is under way shares the next one; an idle caller never waits (DESIGN §4)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")
R = TypeVar("R")


class Greedy(Generic[T, R]):
    """Collects items and hands them over together; there is no timer.

    `run` answers each item, in order, with a result or an exception; an exception it raises goes to all of them. One
    call at a time, but a full lot (`max_items`, `max_bytes`) is handed over at once.
    """

    def __init__(
        self,
        run: Callable[[list[T]], Awaitable[Sequence[R | Exception]]],
        *,
        max_items: int,
        max_bytes: int | None = None,
        size: Callable[[T], int] = lambda _: 0,
    ) -> None:
        self._run, self._max_items, self._max_bytes, self._size = run, max_items, max_bytes, size
        self._pending: list[tuple[T, asyncio.Future[R]]] = []
        self._bytes = 0
        self._scheduled = False
        self._running: dict[asyncio.Task[None], float] = {}

    def put(self, item: T) -> asyncio.Future[R]:
        """Hand over one item; the future gives its result."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._pending.append((item, future))
        self._bytes += self._size(item)
        if not self._scheduled:  # yield one turn, so that those who come in this turn share the lot
            self._scheduled = True
            loop.call_soon(self._pump)
        return future

    def oldest_seconds(self) -> float:
        """How long the longest call has been under way."""
        return asyncio.get_running_loop().time() - min(self._running.values()) if self._running else 0.0

    async def drain(self) -> None:
        """Wait until everything handed over so far has been answered."""
        while self._running or self._pending:
            await asyncio.sleep(0)
            if self._running:
                await asyncio.wait(self._running)

    def _pump(self) -> None:
        self._scheduled = False
        while self._pending and (not self._running or self._full()):
            task = asyncio.ensure_future(self._call(self._take()))
            self._running[task] = asyncio.get_running_loop().time()
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._pump()

    def _full(self) -> bool:
        return len(self._pending) >= self._max_items or (self._max_bytes is not None and self._bytes >= self._max_bytes)

    def _take(self) -> list[tuple[T, asyncio.Future[R]]]:
        taken = size = 0
        for item, _ in self._pending[: self._max_items]:
            more = self._size(item)
            if taken and self._max_bytes is not None and size + more > self._max_bytes:
                break
            taken, size = taken + 1, size + more
        lot, self._pending = self._pending[:taken], self._pending[taken:]
        self._bytes -= size
        return lot

    async def _call(self, lot: list[tuple[T, asyncio.Future[R]]]) -> None:
        results: Sequence[R | Exception] = [RuntimeError("the call was cancelled")] * len(lot)
        try:
            told = await self._run([item for item, _ in lot])
            results = told if len(told) == len(lot) else [RuntimeError("answers are missing")] * len(lot)
        except Exception as error:  # noqa: BLE001  # whatever it was, each of those who wait must hear of it
            results = [error] * len(lot)
        finally:
            self._tell(lot, results)

    @staticmethod
    def _tell(lot: list[tuple[T, asyncio.Future[R]]], results: Sequence[R | Exception]) -> None:
        for (_, future), result in zip(lot, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
                future.exception()  # nobody may be left to hear it
            else:
                future.set_result(result)
