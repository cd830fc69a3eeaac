"""`make bench`: the echo and the product's two ways in turn, at several loads, in one run on a stack of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
import uvloop
from aiokafka.admin import NewTopic

from broker.bus.topics import make_topics
from deploy.bench.echo import ASK, TELL, EchoWay
from deploy.bench.loop import Loop, Row
from deploy.bench.ways import HttpWay, TopicsWay
from deploy.demo.asking import READABLE
from deploy.demo.certificates import sample
from deploy.demo.document import document_path
from deploy.local.leftovers import alive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deploy.local.home import Home

IN_FLIGHT = (1, 64, 256, 1_024)
PROVINCE = "32"
AIM = 0.4
_WARM_IN_FLIGHT, _WARM_SECONDS = 256, 8.0
_SERVING = ("kafka", "redis", "gateway-1", "gateway-2", "worker-31", "worker-32", "worker-33", "worker-34")


def bench(home: Home, *, seconds: float, say: Callable[[str], None]) -> list[Row]:
    """Every row of the sweep."""
    return uvloop.run(_sweep(home, seconds, say))


async def _sweep(home: Home, seconds: float, say: Callable[[str], None]) -> list[Row]:
    document: dict[str, Any] = orjson.loads(document_path(home).read_bytes())
    await make_topics(document["kafka"], [NewTopic(name, 1, 1) for name in (ASK, TELL)])
    certificates = {
        p: [one["certificateID"] for one in sample(home.store / f"{p}.db", 1_000, READABLE)]
        for p in ["32", "31", "33", "34"]
    }
    everywhere = [one for four in zip(*certificates.values(), strict=False) for one in four]
    serving = [pid for name in _SERVING if (pid := alive(home, name))]
    rows: list[Row] = []
    with _echo(document["kafka"]) as echo:
        ways: tuple[tuple[Callable[[], Any], list[int]], ...] = (
            (lambda: EchoWay(document["kafka"]), [echo, *serving]),
            (lambda: TopicsWay(document, PROVINCE, certificates[PROVINCE]), serving),
            (lambda: HttpWay(document, everywhere), serving),
        )
        say("warming up (a young Java machine compiles for its first seconds)")
        for make, pids in ways:
            async with make() as way:
                await Loop(way, _WARM_IN_FLIGHT).run(_WARM_SECONDS, pids)
        for in_flight in IN_FLIGHT:
            for make, pids in ways:
                async with make() as way:
                    rows.append(await Loop(way, in_flight).run(seconds, pids))
                say(f"{rows[-1].way}, {in_flight} in flight: {rows[-1].per_second:,.0f}/s")
    return rows


@contextmanager
def _echo(bootstrap: str) -> Iterator[int]:
    """The echo's serving half in a process of its own."""
    argv = [sys.executable, "-m", "deploy.bench.echo", bootstrap]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process.pid
        finally:
            process.terminate()


def table(rows: list[Row]) -> str:
    """Rows as text, each with its ratio to the echo at the same load, and the ratio of the bests."""
    echo = {row.in_flight: row for row in rows if row.way == EchoWay.name}
    heads = ("in flight", "req/s", "p50 ms", "p99 ms", "server µs", "client µs", "of echo", "failed")
    lines = [f"{'way':<20}" + "".join(f"{head:>11}" for head in heads)]
    for row in rows:
        ratio = row.per_second / echo[row.in_flight].per_second
        cells = (
            f"{row.in_flight:,}",
            f"{row.per_second:,.0f}",
            f"{row.p50_ms:.1f}",
            f"{row.p99_ms:.1f}",
            f"{row.server_us:.0f}",
            f"{row.client_us:.0f}",
            f"{ratio:.2f}",
            str(row.failed),
        )
        lines.append(f"{row.way:<20}" + "".join(f"{cell:>11}" for cell in cells))
    best = {name: max(row.per_second for row in rows if row.way == name) for name in dict.fromkeys(r.way for r in rows)}
    ratio = best[TopicsWay.name] / best[EchoWay.name]
    lines.append(
        f"best through the topics / best echo: {ratio:.2f} (aim {AIM}: {'reached' if ratio >= AIM else 'short'})"
    )
    lines.append(f"one run, {os.cpu_count()} cores, everything on one machine, one lane ({PROVINCE}), Kafka acks=all")
    return "\n".join(lines)
