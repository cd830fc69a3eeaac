import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from deploy.local import commands, kafka, leftovers, ports, processes, redis, stack
from deploy.local.home import CHECKOUT, Home, LocalStackError
from deploy.local.supervise import Process, Supervisor, spawn

AWKWARD = '家, "q" \'%(x)s; #' + "x" * 120


def quiet(_: str) -> None: ...


@pytest.fixture(scope="module")
async def home() -> AsyncIterator[Home]:
    with commands.temporary_home(quiet) as home:
        await stack.up_parts(home, say=quiet)
        yield home


@pytest.fixture
def folder() -> Iterator[Home]:
    """A home with nothing in it."""
    with commands.temporary_home(quiet) as home:
        home.create()
        yield home


def probe(home: Home, name: str) -> Callable[[], Awaitable[bool]]:
    listening = ports.remembered(home)
    if name == "kafka":
        return lambda: kafka.answers(listening.bootstrap)
    return lambda: redis.answers(listening.redis_url)


async def until(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def until_answers(home: Home, name: str) -> None:
    answers, deadline = probe(home, name), time.monotonic() + 20
    while not await answers():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("name", ["redis", "kafka"])
async def test_killed_part_comes_back(home: Home, name: str) -> None:
    """A killed part has a new live process in its pid file within two seconds, and serves again by itself."""
    old = leftovers.alive(home, name)
    assert old
    os.kill(old, signal.SIGKILL)
    await until(lambda: leftovers.alive(home, name) not in {None, old}, seconds=20)
    await until_answers(home, name)


async def test_data_survives_a_kill(home: Home) -> None:
    """What Redis acknowledged a second before it was killed is there after its restart."""
    url = ports.remembered(home).redis_url
    async with Redis.from_url(url) as client:
        await client.set("kept", "yes")
    await asyncio.sleep(1.1)  # appendfsync everysec
    old = leftovers.alive(home, "redis")
    assert old
    os.kill(old, signal.SIGKILL)
    await until(lambda: leftovers.alive(home, "redis") not in {None, old}, seconds=20)
    await until_answers(home, "redis")
    async with Redis.from_url(url) as client:
        assert await client.get("kept") == b"yes"


async def test_stopped_part_stays_stopped_until_started(home: Home) -> None:
    """A stopped part is left alone, without a pid file, until it is started by name."""
    commands.stop(home.path, "redis")
    await asyncio.sleep(1)
    assert not (home.run / "redis.pid").exists()
    assert {row.name: row.state for row in commands.status(home.path)}["redis"] == "stopped"
    commands.start(home.path, "redis")
    await until_answers(home, "redis")
    assert leftovers.alive(home, "redis")


def test_unknown_part_is_refused_with_the_names(home: Home) -> None:
    """A name that is no part is refused with the list of those that are."""
    with pytest.raises(LocalStackError, match=r"'kafak'.*kafka, redis, registrar.*gateway-2"):
        commands.stop(home.path, "kafak")


def test_only_the_owner_reads_the_home(home: Home) -> None:
    """Keys and the supervisor's password are readable by nobody but their owner."""
    assert home.keys.stat().st_mode & 0o777 == 0o700
    assert (home.run / "supervisord.conf").stat().st_mode & 0o777 == 0o600


async def test_homes_lie_side_by_side(home: Home, tmp_path: Path) -> None:
    """A second stack, in a long path with spaces, quotes and Chinese, neither meets the first nor stops it."""
    second = Home(tmp_path / AWKWARD)
    try:
        await stack.up_parts(second, say=quiet)
        assert leftovers.alive(second, "kafka")
        assert not set(ports.remembered(second).by_name.values()) & set(ports.remembered(home).by_name.values())
    finally:
        commands.down(second.path, say=quiet)
    assert [leftovers.alive(second, name) for name in ("supervisord", "kafka", "redis")] == [None, None, None]
    assert not list(second.run.glob("*.pid"))
    assert leftovers.alive(home, "kafka")
    assert leftovers.alive(home, "redis")


async def test_down_ends_what_a_dead_supervisor_left(folder: Home) -> None:
    """What still runs after the supervisor was killed is ended by its process id."""
    chosen = ports.choose(folder, processes.LISTENERS)
    spawn(folder, chosen["supervisor"], [Process(name="redis", argv=("sleep", "60"), environment={})])
    Supervisor(folder).start("redis")
    await until(lambda: leftovers.alive(folder, "redis") is not None, seconds=20)
    supervisor, orphan = leftovers.alive(folder, "supervisord"), leftovers.alive(folder, "redis")
    assert supervisor
    assert orphan
    os.kill(supervisor, signal.SIGKILL)
    assert leftovers.alive(folder, "redis") == orphan
    commands.down(folder.path, say=quiet)
    assert leftovers._folder(orphan) is None  # gone, or a zombie where nobody collects orphans


async def test_part_that_always_fails_is_tried_for_ever(folder: Home) -> None:
    """A part that ends at once is started again and again, and can still be stopped."""
    chosen = ports.choose(folder, processes.LISTENERS)
    argv = ("/bin/sh", "-c", "echo x >> tries; exit 1")
    spawn(folder, chosen["supervisor"], [Process(name="redis", argv=argv, environment={})])
    supervisor = Supervisor(folder)
    supervisor.start("redis")
    tries = folder.path / "tries"
    await until(lambda: tries.exists() and len(tries.read_text().split()) > 6, seconds=10)
    supervisor.stop("redis")
    assert [row.state for row in supervisor.status()] == ["stopped"]


def test_down_spares_strangers(folder: Home) -> None:
    """A pid file that by now names somebody else's process ends nothing, and goes."""
    stranger = subprocess.Popen(["sleep", "60"], cwd="/")
    try:
        (folder.run / "redis.pid").write_text(f"{stranger.pid}\n")
        commands.down(folder.path, say=quiet)
        assert stranger.poll() is None
        assert not (folder.run / "redis.pid").exists()
    finally:
        stranger.kill()
        stranger.wait()


def test_down_of_nothing_is_no_error(tmp_path: Path) -> None:
    """Stopping where no stack ever was does nothing and leaves nothing."""
    commands.down(tmp_path / "none", say=quiet)
    assert not (tmp_path / "none").exists()


def test_ports_are_kept_until_somebody_takes_one(folder: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home keeps its ports while they are free, takes others when one is not, and what is asked for goes first."""
    first = ports.choose(folder, processes.LISTENERS)
    assert ports.choose(folder, processes.LISTENERS) == first
    with socket.create_server(("127.0.0.1", first["kafka"])):
        second = ports.choose(folder, processes.LISTENERS)
    assert second["kafka"] != first["kafka"]
    monkeypatch.setenv(ports.VARIABLE, f"gateway-1={first['kafka']}")
    assert ports.choose(folder, processes.LISTENERS)["gateway-1"] == first["kafka"]


def test_settings_are_toml(folder: Home) -> None:
    """Every part's settings file is TOML that says what the table says."""
    chosen = ports.choose(folder, processes.LISTENERS)
    for part in processes.table(folder, chosen):
        processes.launch(folder, part)
        assert tomllib.loads((folder.run / f"{part.name}.toml").read_text()) == part.settings


def test_terminated_temporary_stack_leaves_nothing(tmp_path: Path) -> None:
    """A temporary stack whose owner is terminated is stopped, and its folder removed."""
    code = (
        "import asyncio, time\n"
        "from deploy.local import commands, stack\n"
        "with commands.temporary_home() as home:\n"
        "    asyncio.run(stack.up_parts(home, say=lambda _: None))\n"
        "    print(home.path, (home.run / 'kafka.pid').read_text(), flush=True)\n"
        "    time.sleep(60)\n"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout
        _, _, pid = owner.stdout.readline().rpartition(" ")
        begun = time.monotonic()
        owner.terminate()
        assert owner.wait(timeout=20) == 128 + signal.SIGTERM
    assert time.monotonic() - begun < 60
    assert not list(tmp_path.iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
