"""The engine port: something that brings a lane's records, runs the handler on them and acknowledges what is done."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from broker.bus.kafka import Incoming, Outgoing


class Work:
    """One record in work; `recording` is set once evidence is being written, and then it is finished, not cancelled."""

    __slots__ = ("recording",)

    def __init__(self) -> None:
        self.recording = False


Handle = Callable[[Incoming, Work], AsyncGenerator[Outgoing, None]]


class Engine(Protocol):
    """Runs until stopped; whatever ends it early is an error and ends the process."""

    async def run(self) -> None: ...

    async def stop(self) -> None:
        """Take nothing new, cancel what has not reached its record, finish the rest within two seconds, commit."""
