"""Ends what is left of a stack, by process id and only after seeing that the process is the stack's own.

Every process of a stack stands in its home or a folder of it (Redis), which neither a reused process id nor a process
that rewrites its title (Redis again) can get wrong.
"""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from deploy.local.home import Home, LocalStackError

_PATIENCE_SECONDS = 12.0
_AFTER_KILL_SECONDS = 5.0


def end(home: Home) -> tuple[str, ...]:
    """End every process that a file of `run/` names and that is ours; return their names. The files go too."""
    # The supervisor first, because it would start the others again; by itself it ends them in order.
    files = sorted(home.run.glob("*.pid"), key=lambda file: (file.stem != "supervisord", file.stem))
    ended = tuple(file.stem for file in files if _end(home, file))
    for file in home.run.glob("*.pid"):
        file.unlink(missing_ok=True)
    return ended


def alive(home: Home, name: str) -> int | None:
    """Return the process id of the named part when it lives and is this home's."""
    try:
        pid = int((home.run / f"{name}.pid").read_text())
    except (OSError, ValueError):
        return None
    folder = _folder(pid)
    return pid if folder and folder.is_relative_to(home.path) else None


def wait_for_end(home: Home, name: str, *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while alive(home, name):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _end(home: Home, file: Path) -> bool:
    for number, seconds in ((signal.SIGTERM, _PATIENCE_SECONDS), (signal.SIGKILL, _AFTER_KILL_SECONDS)):
        pid = alive(home, file.stem)
        if pid is None:
            return number == signal.SIGKILL
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        if wait_for_end(home, file.stem, seconds=seconds):
            return True
    raise LocalStackError(f"process {file.read_text().strip()} ({file.stem}) does not end")


def _folder(pid: int) -> Path | None:
    """Return the folder a process stands in; None for one that is gone, a zombie or another user's."""
    if Path("/proc/self/cwd").exists():
        try:
            return Path(f"/proc/{pid}/cwd").readlink()
        except OSError:
            return None
    said = subprocess.run(  # macOS has no /proc
        ["lsof", "-a", "-p", str(pid), "-d", "cwd", "-Fn"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return next((Path(line[1:]) for line in said.splitlines() if line.startswith("n")), None)
