"""Metrics as tests look at them: the worst case of the table, told by processes of every role; and promtool."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from broker.bus import telemetry
from broker.bus.families import Form

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker.bus.families import Label, Row

# What one Prometheus scrapes of an exchange with 32 provinces, a target each (issue 4).
PROCESSES = {"gateway": 2, "worker": 32, "follower": 32, "registrar": 1}
MOST_SERIES = 5_000
OF_A_PROCESS = 2  # of its CPU and memory, see telemetry
OF_A_TARGET = 5  # up, scrape_duration_seconds, … that Prometheus itself adds

_FORMS = {
    "topic": ("certlane.reply.31-yct", "certlane.presence"),
    "version": ("0.1.0",),
}


def values(label: Label, role: str) -> list[str]:
    """As many values of this label as one process of this role can tell."""
    known = _FORMS[label.name] if isinstance(label.values, Form) else label.values
    made = (f"{place:02}" for place in range(100) if f"{place:02}" not in known)  # provinces that may join
    return list(itertools.islice(itertools.chain(known, made), label.count(role)))


def fill(row: Row, role: str, registry: CollectorRegistry) -> None:
    """Make the row's metric and every child that it can have."""
    metric = row.collector(registry)
    for told in itertools.product(*(values(label, role) for label in row.labels)) if row.labels else ():
        metric.labels(*told)


def worst(role: str) -> str:
    """The exposition of a process of this role that has told everything it can tell."""
    registry = CollectorRegistry()
    for row in telemetry.ROWS.values():
        if role in row.roles:
            fill(row, role, registry)
    return generate_latest(registry).decode()


def series(exposition: str) -> list[str]:
    return [line for line in exposition.splitlines() if line and not line.startswith("#")]


def promtool(*words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run promtool, or skip the test where there is none."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not on PATH: it comes with Prometheus (Debian: apt-get install prometheus)")
    return subprocess.run([program, *words], input=given, capture_output=True, text=True, check=False)


def names(exposition: str) -> Iterable[str]:
    return (line.partition("{")[0].partition(" ")[0] for line in series(exposition))
