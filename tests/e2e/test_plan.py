"""`certlane registry plan` and `why` on a running stack: what would come of it, before anything is published."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.e2e.conftest import Stack
from tests.e2e.test_explain import certlane

SCENE, CARD = "YRD-310000-2026-00001", "11100000000013127D001"


@pytest.fixture
def planned_folder(checkout: Path, tmp_path: Path) -> Path:
    """A copy of the demonstration's registry, to be changed."""
    return Path(shutil.copytree(checkout / "deploy/demo/registry", tmp_path / "registry"))


def planned(stack: Stack, folder: Path, *words: str) -> dict[str, Any]:
    done = certlane(stack, "registry", "plan", str(folder), "--json", *words)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = orjson.loads(done.stdout)
    return told


def why(stack: Stack, *words: str) -> tuple[int, dict[str, Any]]:
    done = certlane(stack, "registry", "why", "--json", *words)
    return done.returncode, orjson.loads(done.stdout)


def test_what_is_in_force_plans_nothing(stack: Stack, planned_folder: Path) -> None:
    """The folder that was published has nothing to change, and nothing is replayed."""
    told = planned(stack, planned_folder)
    assert (told["changes"], told["shadow"]) == ([], [])


def test_a_plan_tells_which_requests_would_end_otherwise(stack: Stack, planned_folder: Path) -> None:
    """A purpose taken away and a field more: the records, their fields, what they need, and whom it would hit."""
    bodies = [stack.body() for _ in range(3)]
    for body in bodies:
        assert stack.post(body).json()["head"]["status"] == 0
    scenes = planned_folder / "scenes.yaml"
    text = scenes.read_text()
    changed = text.replace("purposes: [BUSINESS_REGISTRATION]", "purposes: [SUPERVISION]", 1)
    changed = changed.replace("purposeText: 办理企业开办事项，核对申请人所持证照", "purposeText: 另一用途", 1)
    assert changed != text
    scenes.write_text(changed)
    before = planned(stack, planned_folder, "--hours", "1")
    (record,) = before["changes"]
    assert record["key"] == f"scene/{SCENE}"
    assert {field["path"] for field in record["fields"]} == {"purposes", "purposeText"}
    assert record["needs"].startswith("a filing of renewal")
    rows = [row for shadow in before["shadow"] for row in shadow["rows"]]
    hit = [row for row in rows if row["scene"] == SCENE and (row["before"], row["after"]) == ("0", "3011 purpose")]
    assert sum(row["count"] for row in hit) >= len(bodies)
    assert {shadow["province"] for shadow in before["shadow"]} == {"31", "32", "33", "34"}
    explained = certlane(stack, "explain", hit[0]["sample"], "--json")
    assert explained.returncode == 0
    assert planned(stack, planned_folder, "--hours", "0")["version"] == before["version"]


def test_a_plan_replays_the_hours_and_provinces_that_are_named(stack: Stack, planned_folder: Path) -> None:
    """Of one province alone, and of no hours nothing."""
    scenes = planned_folder / "scenes.yaml"
    scenes.write_text(scenes.read_text().replace("purposes: [BUSINESS_REGISTRATION]", "purposes: [GOV_SERVICE]", 1))
    one = planned(stack, planned_folder, "--province", "32")
    assert [shadow["province"] for shadow in one["shadow"]] == ["32"]
    assert planned(stack, planned_folder, "--hours", "0")["shadow"] == []
    shown = certlane(stack, "registry", "plan", str(planned_folder), "--province", "32")
    assert "次将不同" in shown.stdout
    assert "GOV_SERVICE" in shown.stdout


def test_a_folder_that_is_wrong_is_one_clear_complaint(stack: Stack, planned_folder: Path) -> None:
    """What cannot be read plans nothing and is exit 1."""
    (planned_folder / "scenes.yaml").write_text("scenes: [1]\n")
    done = certlane(stack, "registry", "plan", str(planned_folder))
    assert done.returncode == 1
    assert "scenes.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_why_tells_what_a_request_would_get(stack: Stack) -> None:
    """A field that is granted and one that is not, judged as the agents would, with the condition that decides."""
    asked = ("--scene", SCENE, "--type", CARD, "--interface", "I4", "--province", "32", "--field")
    code, granted = why(stack, *asked, "KZ_XM")
    assert (code, granted["rows"][0]["granted"]) == (0, True)
    code, refused = why(stack, *asked, "KZ_ZZ")
    (row,) = refused["rows"]
    assert (code, row["status"], row["condition"]) == (1, 3007, "field")
    decided = [step for step in refused["steps"] if step["state"] == "decided"]
    assert [(step["asked"], "KZ_XM" in step["says"]) for step in decided] == [("KZ_ZZ", True)]


def test_why_tells_all_that_is_open(stack: Stack) -> None:
    """With only a scenario named, every type, province and interface of it is told, as a table too."""
    code, told = why(stack, "--scene", SCENE)
    assert code == 0
    assert {row["province"] for row in told["rows"]} == {"31", "32", "33", "34"}
    assert {row["interface"] for row in told["rows"]} == {"I1", "I2", "I3", "I4", "I5", "I6", "I7"}
    shown = certlane(stack, "registry", "why", "--scene", SCENE)
    assert shown.returncode == 0
    assert CARD in shown.stdout


def test_why_of_what_is_not_there_is_called_wrongly(stack: Stack) -> None:
    """An interface or a province that there is not is exit 2, an unknown scenario 3001."""
    for words in (("--interface", "I9"), ("--province", "99")):
        assert certlane(stack, "registry", "why", "--scene", SCENE, *words).returncode == 2
    code, told = why(stack, "--scene", "YRD-310000-2026-99999")
    assert (code, {row["status"] for row in told["rows"]}) == (1, {3001})
