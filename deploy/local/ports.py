"""The loopback ports of one home: chosen once, remembered in `run/ports.json`, so that a restart keeps them."""

import json
import os
import secrets
import socket
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from deploy.local.home import Home, LocalStackError

VARIABLE = "CERTLANE_PORTS"  # for example kafka=9092,gateway-1=8080

# Below the range that systems take outgoing ports from (Linux from 32768, macOS from 49152). Inside it, a client that
# retries while its server restarts can be given the server's port as its own source port, and keeps it from binding.
_LOWEST, _HIGHEST, _BLOCK = 20_000, 32_000, 32
_TRIES = 200


@dataclass(frozen=True, slots=True)
class Ports:
    """Port numbers by the name of what listens there."""

    by_name: Mapping[str, int]

    def __getitem__(self, name: str) -> int:
        return self.by_name[name]

    @property
    def bootstrap(self) -> str:
        """Kafka's address as clients want it."""
        return f"127.0.0.1:{self['kafka']}"

    @property
    def redis_url(self) -> str:
        return f"redis://127.0.0.1:{self['redis']}/0"


def remembered(home: Home) -> Ports:
    """Return the ports that this home's stack has or had; LocalStackError when it never had any."""
    try:
        return Ports(json.loads((home.run / "ports.json").read_bytes()))
    except FileNotFoundError:
        raise LocalStackError(f"no stack was ever started in {home.path}") from None


def choose(home: Home, names: Iterable[str]) -> Ports:
    """Return a free port for each name, the remembered ones if all of them still are; CERTLANE_PORTS goes first."""
    wanted = tuple(names)
    fixed = _fixed(os.environ.get(VARIABLE, ""), wanted)
    try:
        ports = {**remembered(home).by_name, **fixed}
    except (LocalStackError, ValueError):
        ports = {}
    if ports.keys() != set(wanted) or not _free(ports.values()):
        ports = _new(wanted, fixed)
    (home.run / "ports.json").write_text(json.dumps(ports, indent=2) + "\n")
    return Ports(ports)


def _new(names: tuple[str, ...], fixed: dict[str, int]) -> dict[str, int]:
    """Take one whole aligned block: two stacks that choose at the same moment rarely meet, and never in part."""
    if not _free(fixed.values()):
        raise LocalStackError(f"a port of {VARIABLE} is taken: {dict(fixed)}")
    for _ in range(_TRIES):
        first = _LOWEST + secrets.randbelow((_HIGHEST - _LOWEST) // _BLOCK) * _BLOCK
        ports = {name: first + place for place, name in enumerate(names)} | fixed
        if _free(ports.values()):
            return ports
    raise LocalStackError(f"no {len(names)} free ports side by side between {_LOWEST} and {_HIGHEST} on 127.0.0.1")


def _free(ports: Iterable[int]) -> bool:
    """Bind all of them at once, as the stack will."""
    with ExitStack() as held:
        for port in ports:
            sock = held.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what is left in TIME_WAIT is not in the way
            try:
                sock.bind(("127.0.0.1", port))
                sock.listen()  # with SO_REUSEADDR only listening tells on every system that nobody else does
            except OSError:
                return False
    return True


def _fixed(text: str, names: tuple[str, ...]) -> dict[str, int]:
    fixed = {}
    for pair in filter(None, text.split(",")):
        name, _, number = pair.strip().partition("=")
        if name not in names or not number.isdecimal():
            raise LocalStackError(f"{VARIABLE}: {pair!r} is not NAME=PORT with a name of {', '.join(names)}")
        fixed[name] = int(number)
    return fixed
