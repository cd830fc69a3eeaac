"""supervisord with a quicker eye: run as a script, because it stands in the home and needs nothing of ours.

By itself supervisord looks at its processes once a second and needs two looks to start one again, so that a killed part
could be away for more than two seconds.
"""

from supervisor import poller, supervisord

# Not quicker: parts that cannot start yet would spend the machine on starting.
_LOOK_SECONDS = 0.5


class QuickPoller(poller.Poller):  # type: ignore[misc] # untyped; poll, kqueue or select, whichever the system has
    def poll(self, timeout: float) -> object:
        return super().poll(min(timeout, _LOOK_SECONDS))


if __name__ == "__main__":
    poller.Poller = QuickPoller  # the name under which supervisord makes its one poller
    supervisord.main()
