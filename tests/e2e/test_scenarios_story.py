"""The registry's commands as programs call them: JSON on stdout, one line of reason on stderr, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deploy.local.publish import DEMO_REGISTRY

if TYPE_CHECKING:
    from tests.e2e.conftest import Stack

CERTLANE = Path(sys.executable).with_name("certlane")
SUSPENDED, IN_FORCE = "YRD-310000-2026-00004", "YRD-310000-2026-00002"


def registry(stack: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [str(CERTLANE), "registry", *words, "--home", str(stack.home.path)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def told(stack: Stack, *words: str) -> Any:
    done = registry(stack, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_make_up_publishes_has_come_the_whole_way(stack: Stack) -> None:
    """Every scenario of the demonstration was filed, checked, reviewed by its sources and approved by somebody else."""
    states = {one["key"]: one["state"] for one in told(stack, "show")}
    assert (states[SUSPENDED], states[IN_FORCE]) == ("SUSPENDED", "PUBLISHED")
    events = told(stack, "history", IN_FORCE)
    steps = [(one["action"], one["by"]) for one in events]
    assert steps[:2] == [("submit", "31-yct"), ("check", "31")]
    assert steps[2:6] == [("review", province) for province in ("31", "32", "33", "34")]
    assert steps[6:8] == [("approve", "registrar"), ("publish", "registrar")]
    assert {one["signature"] for one in events} == {"verified"}
    assert told(stack, "show", IN_FORCE)["filing"]["applicant"] == "31-yct"


def test_applying_the_same_again_changes_nothing(stack: Stack) -> None:
    """The folder that the stack was started with brings no new version, and waits for nothing."""
    done = told(stack, "apply", str(DEMO_REGISTRY))
    assert (done["changed"], done["waiting"]) == ([], {})
    assert told(stack, "apply", str(DEMO_REGISTRY), "--every-party") == done


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("check", IN_FORCE), "state: "),
        (("publish", SUSPENDED, "--as", "31"), "party: "),
        (("suspend", IN_FORCE), "reason: "),
        (("suspend", IN_FORCE, "--reason", "理由", "--about", "99"), "about: "),
        (("revoke", IN_FORCE, "--reason", "理由", "--as", "31-sdk"), "party: "),
        (("rollback", IN_FORCE, "--to", "1"), "version: "),
        (("review", IN_FORCE), "--as: "),
        (("review", IN_FORCE, "--as", "nobody"), "nobody is not registered"),
        (("withdraw", "31.x", "--until", "1"), "form: "),
        (("history", "scene/none"), "there was never"),
        (("show", "application/none"), "there is no record"),
    ],
)
def test_what_is_not_taken_says_why(stack: Stack, words: tuple[str, ...], why: str) -> None:
    """A step that is not taken is exit code 1 and one line on stderr with its reason; nothing is on stdout."""
    done = registry(stack, *words, "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"certlane: {why}")
    assert done.stderr.count("\n") == 1
