"""The end of a client of Kafka, bounded: with Kafka away or hung it would hold a process that is to start again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

_END_SECONDS = 3.0  # 30 s and more were seen, of both engines; the group does without us after its session's 6 s


async def bounded_end(end: Coroutine[Any, Any, None]) -> None:
    """Wait for it; past 3 s it goes on alone, until the process ends."""
    ending = asyncio.ensure_future(end)
    await asyncio.wait([ending], timeout=_END_SECONDS)
    if ending.done():
        ending.result()
