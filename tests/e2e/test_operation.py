"""What an operator does with a running stack, and what Prometheus sees."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import orjson
import pytest
import redis

from tests.e2e.conftest import Stack, until

FIXED = {
    "worker-32": {
        "certlane_store_reads_total",
        "certlane_expired_total",
        "certlane_snapshot_age_seconds",
        "certlane_ready",
    },
    "gateway-1": {
        "certlane_quarantined_total",
        "certlane_expired_total",
        "certlane_snapshot_age_seconds",
        "certlane_ready",
    },
    "follower-32": {"certlane_snapshot_age_seconds", "certlane_ready"},
}


def certlane(stack: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "deploy.cli.main", *words, "--home", str(stack.home.path)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_a_trace_shows_every_hop_from_the_answer_and_from_the_detail(stack: Stack) -> None:
    """`trace` tells every hop with its time, from the answer, and from the detail once Redis has forgotten it."""
    body = stack.body()
    answer = stack.post(body).json()
    request_id = body["head"]["requestId"]
    (told,) = orjson.loads(certlane(stack, "trace", request_id, "--json").stdout)
    assert told["evidence"] == answer["head"]["evidence"]
    assert list(told["hops"]) == ["received", "lane", "opened", "judged", "fetched", "replied", "collected"]
    assert sorted(told["hops"].values()) == list(told["hops"].values())
    redis.Redis.from_url(stack.redis_url).delete(f"certlane:31-yct:req:{request_id}")
    (kept,) = orjson.loads(certlane(stack, "trace", request_id, "--json").stdout)
    assert (kept["found_in"], kept["evidence"]) == ("detail", answer["head"]["evidence"])
    assert {"received", "lane", "opened", "judged", "fetched"} <= set(kept["hops"])


def test_a_trace_of_nothing_says_so(stack: Stack) -> None:
    """An id that nobody knows gives one clear line and exit code 1."""
    told = certlane(stack, "trace", uuid.uuid4().hex)
    assert told.returncode == 1
    assert "没有该请求的记录" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("name", FIXED)
def test_metrics_have_their_fixed_names(stack: Stack, name: str) -> None:
    """Each process tells the metrics that dashboards rely on."""
    text = stack.http.get(stack.document["metrics"][name]).text
    assert {metric for metric in FIXED[name] if f"# TYPE {metric.removesuffix('_total')}" in text} == FIXED[name]


def test_a_sample_is_usable_with_the_first_scenario(stack: Stack) -> None:
    """`store sample` prints certificates and holders that the demo's first scenario can read."""
    rows = orjson.loads(certlane(stack, "store", "sample", "--province", "32", "-n", "5", "--json").stdout)
    assert len(rows) == 5
    assert all(row["holderCode"] for row in rows)
    assert {stack.post(stack.body(row["certificateID"])).json()["head"]["status"] for row in rows} == {0}


def test_a_suspended_scenario_is_refused_without_a_restart(stack: Stack) -> None:
    """A suspension reaches every agent by itself: suspended gives 3001, published again gives 0."""
    pids = {name: stack.pid(name) for name in stack.document["metrics"]}
    for step, expected in (["suspend", "--reason", "核查中"], 3001), (["publish"], 0):
        told = certlane(stack, "registry", step[0], "YRD-310000-2026-00001", *step[1:], "--as", "registrar", "--json")
        assert told.returncode == 0, told.stderr
        until(lambda expected=expected: stack.post(stack.body()).json()["head"]["status"] == expected)
    assert {name: stack.pid(name) for name in stack.document["metrics"]} == pids


def test_a_wrong_registry_file_says_what_to_write(stack: Stack, tmp_path: Path) -> None:
    """Of a wrong file every complaint is a line that names file, line and place, and nothing is published."""
    (tmp_path / "scenes.yaml").write_text("scenes: [{sceneCode: nonsense}]")
    told = certlane(stack, "registry", "apply", str(tmp_path))
    assert told.returncode == 1
    assert told.stderr.startswith("certlane: scenes.yaml:1: scenes[0].")
    assert "scenes.yaml:1: scenes[0].sceneCode: nonsense 不是场景编码" in told.stderr


def test_the_openapi_document_and_the_problem_form(stack: Stack) -> None:
    """Each path of the OpenAPI document exists, and an unknown one is a problem detail with head.status."""
    document = stack.http.get(stack.gateways[0] + "/openapi.json").json()
    unknown = stack.http.get(stack.gateways[0] + "/v1/nothing")
    assert document["openapi"].startswith("3.1")
    assert stack.request()["path"] in document["paths"]
    assert (unknown.status_code, unknown.json()["head"]["status"]) == (404, 99)
    assert stack.http.get(stack.gateways[0] + stack.request()["path"]).status_code == 405
