"""The local stack, from nothing to ready and back: what is started in which order, and what is waited for."""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import httpx

from deploy.local import kafka, leftovers, ports, processes, redis, supervise
from deploy.local.home import Home, LocalStackError
from deploy.local.ports import Ports
from deploy.local.supervise import Supervisor

Say = Callable[[str], None]
Probe = Callable[[], Awaitable[bool]]

_READY_SECONDS = 60.0
_POLL_SECONDS = 0.1
_TAIL_LINES = 12
_COMPLETE = "complete"  # stands in run/ while a stack that came up wholly is up


async def up(home: Home, *, say: Say) -> None:
    """Bring the whole stack up and wait until every part is ready; of one that is up only the demo's facts are renewed.

    Raises LocalStackError, with the last lines of its log, for a part that does not become ready; what runs by then
    stays up to be looked at, and the next `up` starts it all anew.
    """
    # Imported late: these stand on the rest of the product, while Kafka and Redis alone need none of it.
    from broker.bus.topics import create_topics  # noqa: PLC0415
    from deploy.demo.document import write_demo_document  # noqa: PLC0415
    from deploy.local.parties import NODES, prepare  # noqa: PLC0415
    from deploy.local.publish import publish_demo_registry  # noqa: PLC0415

    if is_up(home) and (home.run / _COMPLETE).exists():
        await write_demo_document(home)
        say(f"already up in {home.path}")
        return
    step = _Steps(say)
    listening = await up_parts(home, say=say)
    step.begin()
    await create_topics(listening.bootstrap, NODES)
    step.done("topics")
    await asyncio.to_thread(prepare, home)
    step.done("keys and stores of all parties")
    supervisor = Supervisor(home)
    supervisor.start(*processes.REGISTRY)
    await publish_demo_registry(home, listening.bootstrap)
    step.done("registry published")
    supervisor.start(*processes.EXCHANGE)
    await _ready(home, processes.table(home, listening))
    step.done(f"{', '.join((*processes.REGISTRY, *processes.EXCHANGE))} ready")
    await write_demo_document(home)
    (home.run / _COMPLETE).touch()


async def up_parts(home: Home, *, say: Say) -> Ports:
    """Bring up Kafka and Redis alone and return where they listen; anything of this home still running is ended first.

    The other parts are known to the supervisor, so that they can be started by name.
    """
    step = _Steps(say)
    down(home, say=say)
    home.create()
    listening = ports.choose(home, processes.LISTENERS)
    programs = [
        kafka.launch(home, listening),
        redis.launch(home, listening),
        *(processes.launch(home, part) for part in processes.table(home, listening)),
    ]
    supervise.spawn(home, listening["supervisor"], programs)
    Supervisor(home).start("kafka", "redis")
    await asyncio.gather(
        _until_ready(home, "kafka", partial(kafka.answers, listening.bootstrap)),
        _until_ready(home, "redis", partial(redis.answers, listening.redis_url)),
    )
    step.done(f"Kafka ready on {listening.bootstrap}, Redis on 127.0.0.1:{listening['redis']}")
    return listening


def down(home: Home, *, say: Say) -> None:
    """Stop everything of this home and see that it is gone; nothing to do is no error. The data stays."""
    begun = time.monotonic()
    (home.run / _COMPLETE).unlink(missing_ok=True)
    stopped = _stop_in_order(home)
    ended = leftovers.end(home)
    if stopped or ended:
        say(f"stopped everything in {home.path} ({time.monotonic() - begun:.1f} s)")


def _stop_in_order(home: Home) -> bool:
    """Stop our processes while Kafka and Redis still serve them; False when no supervisor answers."""
    try:
        supervisor = Supervisor(home)
        names = {status.name for status in supervisor.status()}
        supervisor.stop(*names - {"kafka", "redis"})
        supervisor.stop(*names)
        supervisor.shutdown()
    except LocalStackError:
        return False  # what still runs is ended by process id
    return leftovers.wait_for_end(home, "supervisord", seconds=_READY_SECONDS)


def is_up(home: Home) -> bool:
    try:
        Supervisor(home)
    except LocalStackError:
        return False
    return True


def remove(home: Home) -> None:
    """Delete the home; a stack that was stopped holds nothing open in it."""
    shutil.rmtree(home.path, ignore_errors=True)


async def _ready(home: Home, parts: Iterable[processes.Part]) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:  # a proxy never leads to loopback
        await asyncio.gather(
            *(_until_ready(home, part.name, partial(processes.answers, part, client)) for part in parts),
        )


async def _until_ready(home: Home, name: str, answers: Probe) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not await answers():
        if time.monotonic() > deadline:
            log = home.log / f"{name}.log"
            tail = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:] if log.exists() else ["(no log)"]
            lines = "\n".join(f"    {line}" for line in tail)
            raise LocalStackError(f"{name} is not ready after {_READY_SECONDS:.0f} s; the end of {log}:\n{lines}")
        await asyncio.sleep(_POLL_SECONDS)


class _Steps:
    """Says each finished step with the seconds it took."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self.begin()

    def begin(self) -> None:
        self._begun = time.monotonic()

    def done(self, what: str) -> None:
        self._say(f"{what} ({time.monotonic() - self._begun:.1f} s)")
        self.begin()
