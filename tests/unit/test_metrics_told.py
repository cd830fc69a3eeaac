"""Where the product tells its metrics: only what the table declares, and all of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from prometheus_client.metrics import MetricWrapperBase

from broker.bus import telemetry
from broker.bus.families import Family

ROOT: Final = Path(__file__).parents[2]
TELEMETRY: Final = "broker/bus/telemetry.py"


class Told(NamedTuple):
    """One use of a metric: where, which, what is called on it, and with what."""

    place: str
    name: str
    method: str
    arguments: list[ast.expr]


@cache
def uses() -> list[Told]:
    """Every `telemetry.NAME`, and of `telemetry.NAME.method(…)` the call."""
    found = []
    for path in sorted(path for room in ("broker", "workers", "deploy") for path in (ROOT / room).rglob("*.py")):
        name = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text())) if name != TELEMETRY else ():
            match node:
                case ast.Call(ast.Attribute(ast.Attribute(ast.Name("telemetry"), metric), method), arguments):
                    found.append(Told(f"{name}:{node.lineno}", metric, method, arguments))
                case ast.Attribute(ast.Name("telemetry"), metric):
                    found.append(Told(f"{name}:{node.lineno}", metric, "", []))
    return found


def values(node: ast.expr) -> Iterator[object]:
    """The values an argument can have, as far as they stand there."""
    match node:
        case ast.Constant(value):
            yield value
        case ast.IfExp(_, one, other):
            yield from (*values(one), *values(other))
        case ast.Call(ast.Attribute(ast.Dict(_, listed), "get"), [_, default]):
            for one in (*listed, default):
                yield from values(one)


def wrong(use: Told) -> str:
    """What is wrong with a use; empty when nothing is or it cannot be told."""
    metric: Any = getattr(telemetry, use.name, None)
    if metric is None:
        return "there is no such metric"
    if not isinstance(metric, Family):
        return "it has no labels" if use.method == "labels" else ""
    if use.method == "labels":
        labels = metric._row.labels
        if len(labels) != len(use.arguments):
            return f"it has {len(labels)} labels"
        for label, argument in zip(labels, use.arguments, strict=True):
            if undeclared := [one for one in values(argument) if label.fold(one) not in label.values]:
                return f"{label.name} is never {undeclared}"
    return "labels are wanted" if use.method in ("inc", "dec", "set", "observe", "time") else ""


def test_call_sites_tell_what_is_declared() -> None:
    """Every use of a metric names one of the table, with as many labels as it has and only declared values."""
    assert uses()
    assert [(use.place, use.name, wrong(use)) for use in uses() if wrong(use)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("telemetry.NOSUCH.inc()", "there is no such metric"),
        ("telemetry.READY.labels('x')", "it has no labels"),
        ("telemetry.EXPIRED.inc()", "labels are wanted"),
        ("telemetry.EXPIRED.labels('lane', 'x')", "it has 1 labels"),
        ("telemetry.EXPIRED.labels('nowhere')", "stage is never ['nowhere']"),
        ("telemetry.EXPIRED.labels('lane' if x else 'nowhere')", "stage is never ['nowhere']"),
        ("telemetry.LATE.labels({0: 'second'}.get(x, 'nowhere'))", "cause is never ['nowhere']"),
        ("telemetry.EXPIRED.labels(stage)", ""),
        ("telemetry.EXPIRED.labels('lane')", ""),
    ],
)
def test_what_is_wrong_at_a_call_site_is_found(text: str, expected: str) -> None:
    """The check of call sites finds a use that the table does not declare."""
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    method = call.func
    assert isinstance(method, ast.Attribute)
    assert isinstance(method.value, ast.Attribute)
    assert wrong(Told("", method.value.attr, method.attr, call.args)) == expected


# Metrics that functions of the table's module tell.
THROUGH: Final = {
    "REQUESTS_TOLD": "answered",
    "STATUSES_TOLD": "answered",
    "LATENCY": "answered",
    "PARTS": "part",
    "PART_SECONDS": "part",
    "AWAY": "tell_ready",
    "BUILD": "configure",
}


def test_every_metric_is_told() -> None:
    """No metric of the table is there for nothing."""
    used = {use.name for use in uses()}
    metrics = {name for name, value in vars(telemetry).items() if isinstance(value, Family | MetricWrapperBase)}
    assert {name for name in metrics if THROUGH.get(name, name) not in used} == set()
