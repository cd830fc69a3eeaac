"""How every process lives: its parts run together, the first error ends it, SIGTERM drains it."""

from __future__ import annotations

import asyncio
import gc
import signal
from typing import TYPE_CHECKING, Any

from broker.bus import telemetry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine


async def until_signalled(*parts: Coroutine[Any, Any, None]) -> None:
    """Run parts that hold nothing to be drained until SIGTERM or SIGINT; raises the first part's error."""
    stopped = asyncio.Event()

    async def wait() -> None:
        await stopped.wait()

    async def stop() -> None:
        stopped.set()

    await until_stopped(wait(), *parts, stop=stop)


async def until_stopped(
    main: Coroutine[Any, Any, None],
    *others: Coroutine[Any, Any, None],
    stop: Callable[[], Awaitable[None]],
) -> None:
    """Run the parts; on SIGTERM or SIGINT call `stop` and wait for `main` to end; raises the first part's error."""
    # What was made by now lives as long as the process; messages are trees, so cycles are rarely looked for.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    first = asyncio.ensure_future(main)
    tasks: list[asyncio.Future[Any]] = [first, *(asyncio.ensure_future(part) for part in others)]
    signalled: asyncio.Future[Any] = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait([*tasks, signalled], return_when=asyncio.FIRST_COMPLETED)
        if stopping.is_set():
            telemetry.log.info("stopping")
            telemetry.READY.set(0)
            await stop()
            await first
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in (*tasks, signalled):
            task.cancel()
        await asyncio.gather(*tasks, signalled, return_exceptions=True)
