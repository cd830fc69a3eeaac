"""What the `certlane` command does with the local stack, free of any command-line library."""

import asyncio
import fcntl
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from deploy.local import processes, stack
from deploy.local.home import Home, LocalStackError, home_of
from deploy.local.stack import Say
from deploy.local.supervise import Status, Supervisor

_ENDING = (signal.SIGTERM, signal.SIGHUP)  # SIGINT is a KeyboardInterrupt already


def say_on_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def up(home: Path | None = None, *, say: Say = say_on_stderr) -> None:
    """Bring the stack up, left running; raises LocalStackError."""
    where = home_of(home)
    with _alone(where):
        asyncio.run(stack.up(where, say=say))


def down(home: Path | None = None, *, say: Say = say_on_stderr) -> None:
    """Stop the stack; where none runs there is nothing to do."""
    where = home_of(home)
    if where.run.is_dir():
        with _alone(where):
            stack.down(where, say=say)


def start(home: Path | None, name: str) -> None:
    """Start one part again; raises LocalStackError for an unknown name or when no stack is up."""
    Supervisor(home_of(home)).start(_known(name))


def stop(home: Path | None, name: str) -> None:
    """Stop one part (SIGTERM, after 10 s SIGKILL) and keep it so until it is started or the stack comes up anew."""
    Supervisor(home_of(home)).stop(_known(name))


def status(home: Path | None = None) -> tuple[Status, ...]:
    """Return how each part stands, in the order of their start."""
    by_name = {row.name: row for row in Supervisor(home_of(home)).status()}
    return tuple(by_name[name] for name in processes.NAMES)


@contextmanager
def temporary_home(say: Say = say_on_stderr) -> Iterator[Home]:
    """Yield a home of its own; whatever was started in it is stopped and removed, also when a signal ends us."""
    before = {number: signal.signal(number, _exit) for number in _ENDING}
    home = Home(Path(tempfile.mkdtemp(prefix="certlane-")))
    try:
        yield home
    finally:
        # A second, impatient signal must not leave processes behind.
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
        stack.down(home, say=say)
        stack.remove(home)
        for number, handler in (before | {signal.SIGINT: interrupt}).items():
            signal.signal(number, handler)


@contextmanager
def temporary_stack(say: Say = say_on_stderr) -> Iterator[Home]:
    """Yield the home of a whole stack that is up and lives as long as the block."""
    with temporary_home(say) as home:
        up(home.path, say=say)
        yield home


def _exit(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _known(name: str) -> str:
    if name not in processes.NAMES:
        raise LocalStackError(f"there is no part {name!r}; the parts are {', '.join(processes.NAMES)}")
    return name


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Hold the home, so that two `up`, or `up` and `down`, never meet in the middle."""
    home.create()
    with (home.run / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
