"""Prefix acknowledgement: of one partition in one assignment, only the finished beginning may be acknowledged."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class _Entry:
    __slots__ = ("acknowledge", "done")

    def __init__(self, acknowledge: Callable[[], None]) -> None:
        self.acknowledge = acknowledge
        self.done = False


class Prefix:
    """Entries in the order of their offsets.

    `leaving` is set when the partition is given back: nothing that waits is begun any more. `close` then makes the
    older assignment's tasks harmless.
    """

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque()
        self.leaving = False
        self.closed = False

    def begin(self, acknowledge: Callable[[], None]) -> Callable[[], None]:
        """Enter a record; the answer is called when it is finished, and acknowledges the finished prefix."""
        entry = _Entry(acknowledge)
        self._entries.append(entry)

        def finish() -> None:
            entry.done = True
            while self._entries and self._entries[0].done and not self.closed:
                self._entries.popleft().acknowledge()

        return finish

    def close(self) -> None:
        self.closed = True
        self._entries.clear()
