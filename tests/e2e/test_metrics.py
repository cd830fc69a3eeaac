"""What the processes of a running stack tell to Prometheus."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from broker.bus import telemetry
from tests.e2e.conftest import Stack
from tests.unit.metrics import MOST_SERIES, promtool


def told(stack: Stack) -> dict[str, str]:
    """The exposition of every process, after a request that was answered and one that was refused."""
    assert stack.post(stack.body()).json()["head"]["status"] == 0
    assert stack.post(stack.body(sceneCode="YRD-310000-2026-99999")).json()["head"]["status"] == 3001
    return {name: stack.http.get(url).text for name, url in stack.document["metrics"].items()}


def test_every_process_tells_only_what_the_table_declares(stack: Stack) -> None:
    """No process tells a metric or label that the table lacks, nor has met a value that no label declares."""
    rows = {name.removesuffix("_total"): row for name, row in telemetry.ROWS.items()}
    for name, text in told(stack).items():
        for family in text_string_to_metric_families(text):
            if family.name.startswith("process_"):
                continue
            labels = {label.name for label in rows[family.name].labels} | {"le"}
            assert all(set(sample.labels) <= labels for sample in family.samples), family.name
        assert stack.metric(name, "certlane_undeclared_total") == 0


def test_promtool_finds_nothing_wrong_with_a_running_stack(stack: Stack) -> None:
    """`promtool check metrics` is clean over every process, and all of them together stay within the bound."""
    texts = told(stack)
    assert (
        sum(len([line for line in text.splitlines() if not line.startswith("#")]) for text in texts.values())
        < MOST_SERIES
    )
    for name, text in texts.items():
        done = promtool("check", "metrics", given=text)
        assert (name, done.returncode, done.stdout, done.stderr) == (name, 0, "", "")
