"""A task that was told to stop stops: libraries may lose a cancellation on their way."""

from __future__ import annotations

import asyncio


def stop_if_cancelled() -> None:
    """Raise CancelledError where this task was cancelled and somebody has caught it.

    asyncio.wait_for of Python 3.11 gives a result that comes in the very moment of a cancellation, and forgets that.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
