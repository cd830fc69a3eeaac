"""The table of metrics: how many series it can grow to, how its names are, and what its labels let through."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from prometheus_client import REGISTRY, Counter, generate_latest

from broker.bus import labels, telemetry
from broker.bus.families import Family, Form, Label, Row
from schemas.statuses import STATUSES
from tests.unit.metrics import MOST_SERIES, OF_A_PROCESS, OF_A_TARGET, PROCESSES, promtool, series, worst

CLASSES = {
    0: "ok",
    2: "other",
    10: "empty",
    12: "caller",
    22: "invalid",
    99: "other",
    102: "caller",
    2003: "caller",
    3005: "scenario",
    4002: "caller",
    6003: "code",
    7001: "unavailable",
    7002: "late",
    7003: "partial",
    123_456: "other",
}


def test_all_processes_of_32_provinces_tell_at_most_5000_series() -> None:
    """The worst case of the table, with what Prometheus adds to each target, stays within the bound."""
    told = {role: len(series(worst(role))) + OF_A_PROCESS + OF_A_TARGET for role in PROCESSES}
    assert sum(count * told[role] for role, count in PROCESSES.items()) <= MOST_SERIES


@pytest.mark.parametrize("role", PROCESSES)
def test_the_worst_case_is_what_the_rows_say(role: str) -> None:
    """A process that has told everything tells exactly as many series as its rows count."""
    assert len(series(worst(role))) == sum(row.series(role) for row in telemetry.ROWS.values())


@pytest.mark.parametrize("role", PROCESSES)
def test_promtool_finds_nothing_wrong(role: str) -> None:
    """`promtool check metrics` is clean over everything a process can tell."""
    done = promtool("check", "metrics", given=worst(role))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


UNIT = re.compile(r"_(milli|micro|nano)?(seconds|ms|us|bytes|kb|mb|minutes|hours|percent)(_|$)")
ENDINGS = {"counter": r"_total$", "gauge": r"(?<!_total)$", "histogram": r"(?<!_total)$", "summary": r"(?<!_total)$"}


def wrong(row: Row) -> str:
    """What is wrong with a row's name or help, by the rules promtool and we have; empty when nothing is."""
    told = row.name.removesuffix("_total")
    unit = UNIT.search(told)
    if not re.fullmatch(r"certlane_[a-z]+(_[a-z]+)*", row.name):
        return "form"
    if not re.search(ENDINGS[row.kind], row.name) or re.search(r"_(count|sum|bucket|info_total)$", told):
        return "ending"
    if unit and (unit[0].strip("_") not in ("seconds", "bytes") or unit.end() != len(told)):
        return "unit"
    return "" if re.fullmatch(r"[A-Z1].+\.", row.help) else "help"


@pytest.mark.parametrize("name", telemetry.ROWS)
def test_names_and_helps_follow_the_rules(name: str) -> None:
    """Counters end in _total, nothing else does, units are base units and stand last, and a help is a sentence."""
    assert wrong(telemetry.ROWS[name]) == ""


@pytest.mark.parametrize(
    ("kind", "name", "told", "expected"),
    [
        ("counter", "certlane_things", "Things.", "ending"),
        ("gauge", "certlane_things_total", "Things.", "ending"),
        ("gauge", "certlane_thing_count", "Things.", "ending"),
        ("histogram", "certlane_wait_milliseconds", "Waits.", "unit"),
        ("histogram", "certlane_seconds_waited", "Waits.", "unit"),
        ("gauge", "certlane_Things", "Things.", "form"),
        ("gauge", "things", "Things.", "form"),
        ("gauge", "certlane_things", "", "help"),
    ],
)
def test_the_rules_find_what_is_wrong(kind: str, name: str, told: str, expected: str) -> None:
    """Each rule about names and helps finds a name that breaks it."""
    assert wrong(Row(kind, name, told or "x", frozenset())) == expected


@pytest.mark.parametrize(("status", "expected"), CLASSES.items())
def test_a_status_is_told_by_its_class(status: int, expected: str) -> None:
    """Every status code has one class, and a code that nobody knows has one too."""
    assert labels.outcome_of(status) == expected


def test_every_code_of_the_table_has_a_declared_class() -> None:
    """No status of ours falls through the label that tells classes."""
    assert {labels.outcome_of(code) for code in STATUSES} <= set(labels.OUTCOME.listed)
    assert {labels.judgement_of(code) for code in STATUSES} == set(labels.JUDGEMENT.listed)


def family(*given: Label) -> tuple[Family[Counter], Counter]:
    row = Row("counter", "certlane_x_total", "X.", frozenset(), given)
    undeclared = Counter("certlane_y", "Y.", registry=None)
    return Family(row, row.collector(None), undeclared), undeclared


def told(one: Family[Counter]) -> dict[tuple[str, ...], float]:
    (metric,) = one._metric.collect()
    return {tuple(sample.labels.values()): sample.value for sample in metric.samples}


@pytest.mark.parametrize("values", [("C",), (), ("A", "A"), (None,), ("certlane.request.32/../李明",)])
def test_what_is_not_declared_is_only_counted(values: tuple[object, ...]) -> None:
    """A value that the label does not declare, or a wrong number of them, makes no series and is counted."""
    one, undeclared = family(Label("letter", ("A", "B")))
    one.labels(*values).inc()
    assert told(one) == {("A",): 0, ("B",): 0}
    assert undeclared._value.get() == 1


def test_a_call_sites_value_is_folded() -> None:
    """Two values of the same class are one series."""
    one, undeclared = family(labels.INTERFACE, labels.OUTCOME)
    for status in (3001, 3005, 3005):
        one.labels("I4", status).inc()
    assert told(one) == {("I4", "scenario"): 3}
    assert undeclared._value.get() == 0


def test_few_values_start_at_zero() -> None:
    """A family of few listed values tells all of them from the start, one that is known by form only none."""
    few, _ = family(Label("letter", ("A", "B")))
    many, _ = family(Label("letter", tuple(map(str, range(13)))))
    formed, _ = family(Label("version", Form(re.compile(r"\d"))))
    assert (told(few), told(many), told(formed)) == ({("A",): 0, ("B",): 0}, {}, {})


def test_memory_of_a_family_is_bounded() -> None:
    """What is folded may be anything, so that not all of it is kept."""
    one, _ = family(labels.INTERFACE, labels.OUTCOME)
    for status in range(100_000, 110_000):
        one.labels("I1", status).inc()
    assert told(one) == {("I1", "other"): 10_000}
    assert len(one._children) <= 4_096


def test_a_request_is_told_in_all_its_ways() -> None:
    """An answered request counts by interface and class, by status, and in its interface's time."""

    def read(name: str, **labelled: str) -> float:
        return REGISTRY.get_sample_value(name, labelled) or 0

    ways = (
        ("certlane_requests_total", {"interface": "I7", "outcome": "code"}),
        ("certlane_statuses_total", {"status": "6002"}),
        ("certlane_request_seconds_count", {"interface": "I7"}),
    )
    before = [read(name, **labelled) for name, labelled in ways]
    telemetry.answered("I7", 6002, 0.02)
    assert [read(name, **labelled) for name, labelled in ways] == [one + 1 for one in before]


def test_a_part_is_told_with_its_time() -> None:
    """A source's part counts by province and state, with its seconds."""
    telemetry.part("34", "late", 5.0)
    state = {"province": "34", "state": "late"}
    assert (REGISTRY.get_sample_value("certlane_parts_total", state) or 0) >= 1
    assert (REGISTRY.get_sample_value("certlane_part_seconds_sum", {"province": "34"}) or 0) >= 5


def test_what_is_away_is_told_alone() -> None:
    """A process that is not ready says which part keeps it, one that is ready names none."""
    parts = labels.PART.listed
    for away in ("kafka", "redis", ""):
        telemetry.tell_ready(away)
        told_away = [part for part in parts if REGISTRY.get_sample_value("certlane_away", {"part": part})]
        assert told_away == ([away] if away else [])
        assert REGISTRY.get_sample_value("certlane_ready") == (0 if away else 1)


def test_there_is_no_series_of_creation_times() -> None:
    """The client's `_created` series, one more for each child, are off."""
    assert "_created" not in generate_latest().decode()


@pytest.mark.parametrize("role", PROCESSES)
def test_a_process_tells_what_its_role_tells(role: str) -> None:
    """After `configure` nothing of another role is told, but CPU, memory and the version are."""
    program = (
        "from broker.bus import telemetry; from prometheus_client import generate_latest;"
        f"telemetry.configure('x', role='{role}'); print(generate_latest().decode())"
    )
    text = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    named = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    mine = {name for name, row in telemetry.ROWS.items() if role in row.roles}
    assert named == mine | {"process_cpu_seconds_total", "process_resident_memory_bytes"}
    assert re.search(r'^certlane_build_info\{version="[^"]+"\} 1\.0$', text, re.MULTILINE)
