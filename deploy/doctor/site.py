"""What a probe is given: the stack's home, its addresses where it ever had some, and whether it is up."""

from __future__ import annotations

from typing import NamedTuple

from deploy.local import ports, stack
from deploy.local.home import Home, LocalStackError
from deploy.local.ports import Ports


class IllError(Exception):
    """What a probe found to be wrong, in one line."""


class Site(NamedTuple):
    """One stack as it is found; `listening` is None where none was ever started."""

    home: Home
    listening: Ports | None
    up: bool

    @property
    def ports(self) -> Ports:
        """Its addresses; raises IllError where it has none."""
        if self.listening is None:
            raise IllError("尚未启动过")
        return self.listening


def look_at(home: Home) -> Site:
    try:
        listening = ports.remembered(home)
    except (LocalStackError, ValueError):
        listening = None
    return Site(home, listening, listening is not None and stack.is_up(home))
