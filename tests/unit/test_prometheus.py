"""What Prometheus and Grafana are told to do with our metrics: only what the table has, and alerts that were tried."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from broker.bus import labels, telemetry
from broker.bus.families import Form
from deploy.grafana import dashboard
from deploy.local.home import Home
from deploy.prometheus.targets import targets
from tests.unit.metrics import MOST_SERIES, OF_A_PROCESS, OF_A_TARGET, PROCESSES, promtool

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES: Final = [
    rule for group in yaml.safe_load((FOLDER / "certlane.rules.yml").read_text())["groups"] for rule in group["rules"]
]
ALERTS: Final = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED: Final = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
TESTS: Final = yaml.safe_load((FOLDER / "tests.yml").read_text())["tests"]
TARGET_LABELS: Final = {"job", "party", "instance"}
OTHERS: Final = {"up", "process_cpu_seconds_total", "process_resident_memory_bytes"}
NAME: Final = re.compile(r"\b((?:certlane|process)[a-z0-9_:]*|up)\b(?:\{([^}]*)\})?")
MATCHER: Final = re.compile(r'(\w+)\s*(?:=~|=)\s*"([^"]*)"')
ENDINGS: Final = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}


def row_of(name: str) -> Any:
    """The row that tells this series, None when no row does."""
    for row in telemetry.ROWS.values():
        if name in [row.name + ending for ending in ENDINGS.get(row.kind, ("",))]:
            return row
    return None


def known_labels(name: str) -> set[str]:
    if row := row_of(name):
        return {label.name for label in row.labels} | ({"le"} if name.endswith("_bucket") else set())
    if name in RECORDED:
        return set().union(*map(set, grouped(RECORDED[name])))
    return set()


def grouped(expression: str) -> list[list[str]]:
    return [[one.strip() for one in part.split(",")] for part in re.findall(r"\bby \(([^)]*)\)", expression)]


def wrong(expression: str) -> list[str]:
    """What an expression names that nobody tells: a metric, a label of it, or a value of that."""
    found = []
    for name, inside in NAME.findall(re.sub(r"\bby \([^)]*\)", "", expression)):
        row = row_of(name)
        if row is None and name not in OTHERS and name not in RECORDED:
            found.append(name)
        for label, value in MATCHER.findall(inside):
            declared = next((one for one in row.labels if one.name == label), None) if row else None
            if declared and not isinstance(declared.values, Form) and not set(value.split("|")) <= set(declared.values):
                found.append(f"{name}{{{label}={value}}}")
            if not declared and label not in TARGET_LABELS:
                found.append(f"{name}{{{label}}}")
    told = set().union(TARGET_LABELS, *(known_labels(name) for name, _ in NAME.findall(expression)))
    return [*found, *(label for part in grouped(expression) for label in part if label not in told)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_ask_for_what_is_told(rule: dict[str, Any]) -> None:
    """Metrics, labels and values in a rule are of the table, or recorded by another rule."""
    assert wrong(rule["expr"]) == []


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("certlane_nosuch_total", ["certlane_nosuch_total"]),
        ("certlane_requests", ["certlane_requests"]),
        ("certlane_request_seconds", ["certlane_request_seconds"]),
        ('certlane_ready{province="32"}', ["certlane_ready{province}"]),
        ('certlane_away{part=~"redis|moon"}', ["certlane_away{part=redis|moon}"]),
        ("sum by (province) (certlane_in_flight)", ["province"]),
        ("sum by (le, interface, party) (certlane_request_seconds_bucket)", []),
        ('up{job="gateway"} == 0', []),
    ],
)
def test_what_nobody_tells_is_found(expression: str, expected: list[str]) -> None:
    """The check of expressions finds a metric, label or value that is not there."""
    assert wrong(expression) == expected


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_is_wrong_and_what_to_do(name: str) -> None:
    """Each alert has a severity, a summary in both languages and one line of what to do."""
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert set(alert["annotations"]) == {"summary", "summary_zh", "runbook"}
    assert re.search("[一-鿿]", alert["annotations"]["summary_zh"])
    assert alert["annotations"]["runbook"].endswith(".")


def test_the_operators_page_names_every_alert() -> None:
    """What to do about an alert stands on the page for operators, and no alert stands there that is not raised."""
    page = (FOLDER.parents[1] / "docs" / "operations.md").read_text()
    assert set(re.findall(r"`(Certlane[A-Z]\w+)`", page)) == set(ALERTS)


def expected(test: dict[str, Any]) -> set[str]:
    return set(re.findall(r'alertname="(\w+)"', str(test["promql_expr_test"])))


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_was_tried_both_ways(name: str) -> None:
    """Each alert has a test in which it fires and one in which it does not."""
    mine = [test for test in TESTS if re.split(r"[ ,]", test["name"])[0] == name]
    assert {name in expected(test) for test in mine} == {True, False}


def test_tests_say_what_they_show() -> None:
    """A test's name says whether its alert fires, and that is what it expects."""
    for test in TESTS:
        name, says = re.match(r"(\w+) (fires|is silent), ", test["name"]).groups()  # type: ignore[union-attr]
        assert (name in expected(test)) == (says == "fires")


@pytest.mark.parametrize(
    "words",
    [("check", "rules", "certlane.rules.yml"), ("check", "config", "prometheus.yml"), ("test", "rules", "tests.yml")],
    ids=" ".join,
)
def test_promtool_is_content(words: tuple[str, ...]) -> None:
    """Rules and configuration are valid, and every alert fires and is silent as its tests say."""
    done = promtool(*words[:2], str(FOLDER / words[2]))
    assert done.returncode == 0, done.stdout + done.stderr


def test_with_what_is_recorded_the_series_stay_bounded() -> None:
    """What the processes of 32 provinces tell, what Prometheus adds and what the rules record is at most 5,000."""
    counts = {label.name: label.count(labels.GATEWAY) for label in (labels.OUTCOME, labels.PROVINCE)}
    recorded = sum(
        math.prod(counts[label] for label in next(iter(grouped(expression)), []) if label != "le")
        for expression in RECORDED.values()
    )
    told = {role: sum(row.series(role) for row in telemetry.ROWS.values()) for role in PROCESSES}
    of_all = sum(count * (told[role] + OF_A_PROCESS + OF_A_TARGET) for role, count in PROCESSES.items())
    assert of_all + recorded <= MOST_SERIES


def test_the_dashboard_is_what_the_table_gives() -> None:
    """The committed dashboard is the generated one; `python -m deploy.grafana.dashboard` writes it anew."""
    assert dashboard.PATH.read_text() == dashboard.text()


def test_every_metric_has_a_panel() -> None:
    """No metric of the table is missing on the dashboard."""
    shown = {panel.metric for panels in dashboard.SECTIONS.values() for panel in panels}
    assert shown == set(telemetry.ROWS)


def test_panels_ask_for_what_is_told() -> None:
    """Every curve of the dashboard is of metrics and labels of the table, and no two panels overlap."""
    panels = json.loads(dashboard.text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    assert asked
    assert [expression for expression in asked if wrong(expression)] == []
    places = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places))
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_targets_of_a_stack(tmp_path: Path) -> None:
    """Each process of a stack is a target with its role as job, and the party whose it is."""
    home = Home(tmp_path)
    home.create()
    names = ("kafka", "redis", "supervisor", "controller", "registrar", "gateway-1", "gateway-2")
    of_provinces = [f"{kind}-{province}" for kind in ("follower", "worker") for province in ("31", "32", "33", "34")]
    (home.run / "ports.json").write_text(
        json.dumps({name: 20_000 + place for place, name in enumerate((*names, *of_provinces))})
    )
    found = {one["labels"]["instance"]: one for one in targets(home)}
    assert set(found) == {*names[4:], *of_provinces}
    assert found["worker-33"]["labels"] == {"job": "worker", "party": "33", "instance": "worker-33"}
    assert found["gateway-2"] == {
        "targets": ["127.0.0.1:20006"],
        "labels": {"job": "gateway", "party": "31-yct", "instance": "gateway-2"},
    }
    assert {one["labels"]["job"] for one in found.values()} == set(PROCESSES)
