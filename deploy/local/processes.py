"""The stack's own processes: one table of names and settings, from which files, start order and probes are made."""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from deploy.local.home import Home
from deploy.local.ports import Ports
from deploy.local.supervise import Process

Settings = Mapping[str, str | int]

PROVINCES = ("31", "32", "33", "34")
NODE = "31-yct"

REGISTRY = ("registrar", *(f"follower-{province}" for province in PROVINCES))
EXCHANGE = (*(f"worker-{province}" for province in PROVINCES), "gateway-1", "gateway-2")
NAMES = ("kafka", "redis", *REGISTRY, *EXCHANGE)
LISTENERS = ("supervisor", "controller", *NAMES)  # whatever has a port; a part's is its metrics' unless it serves HTTP

# Many small processes: glibc's arenas, one a thread, would cost more memory than they do.
_ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "PYTHONUNBUFFERED": "1"}
_READY = re.compile(r"^certlane_ready(\{[^}]*\})? 1(\.0)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of our processes: the `certlane` command that it is, its settings, and the address that tells it is ready."""

    name: str
    command: str
    settings: Settings
    ready_url: str


def table(home: Home, ports: Ports) -> tuple[Part, ...]:
    """Return all our processes in the order of their start."""
    kafka, keys, objects = ports.bootstrap, home.keys, home.objects.as_uri()
    shared = {"kafka": kafka, "redis": ports.redis_url, "registrar": str(keys / "registrar.public.json")}
    rows: list[tuple[str, str, Settings]] = [
        ("registrar", "registrar", {"kafka": kafka, "keys": str(keys / "registrar.json"), "renew_seconds": 21_600}),
    ]
    rows += [(f"follower-{province}", "follower", {**shared, "party": province}) for province in PROVINCES]
    for province in PROVINCES:
        own = {
            "province": province,
            "keys": str(keys / f"{province}.json"),
            "store": str(home.store / f"{province}.db"),
        }
        rows.append((f"worker-{province}", "worker", {**shared, **own, "objects": objects, "engine": "faust"}))
    for name in ("gateway-1", "gateway-2"):
        own = {
            "node": NODE,
            "keys": str(keys / f"{NODE}.json"),
            "host": "127.0.0.1",
            "public_url": f"http://127.0.0.1:{ports[name]}",
            "objects": objects,
        }
        rows.append((name, "gateway", {**shared, **own}))
    return tuple(_part(name, command, settings, ports[name]) for name, command, settings in rows)


def _part(name: str, command: str, settings: Settings, port: int) -> Part:
    serves = command == "gateway"
    return Part(
        name=name,
        command=command,
        settings={"name": name, **settings, "port" if serves else "metrics_port": port},
        ready_url=f"http://127.0.0.1:{port}/{'readyz' if serves else 'metrics'}",
    )


def launch(home: Home, part: Part) -> Process:
    """Write the part's settings file and return how the process is started."""
    settings = home.run / f"{part.name}.toml"
    settings.write_text(to_toml(part.settings))
    # -P: the home, where it stands, has folders named like libraries (redis, kafka).
    argv = (sys.executable, "-P", "-m", "deploy.cli.main", part.command, "--settings", str(settings))
    return Process(name=part.name, argv=argv, environment=_ENVIRONMENT)


def to_toml(settings: Settings) -> str:
    """Write flat keys; a JSON string or integer is a TOML one too."""
    return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in settings.items())


async def answers(part: Part, client: httpx.AsyncClient) -> bool:
    """Tell whether the part says of itself that it is ready."""
    try:
        response = await client.get(part.ready_url)
    except httpx.HTTPError:
        return False
    return response.status_code == httpx.codes.OK and (part.command == "gateway" or bool(_READY.search(response.text)))
