"""Provinces that are slow or dead: what a search says of each, and that nobody else waits for them."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

from deploy.local import commands
from tests.e2e.conftest import until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.e2e.conftest import Stack

PROVINCES = ("31", "32", "33", "34")


def search(stack: Stack, *, wait: str = "wait=5", gateway: int = 0) -> dict[str, Any]:
    """The answer to the search over four provinces."""
    one = stack.request("检索：持证主体在四省")
    told: dict[str, Any] = stack.post(stack.fresh(one), path=one["path"], wait=wait, gateway=gateway).json()
    return told


def states(told: dict[str, Any]) -> dict[str, str]:
    return {source["regionCode"][:2]: source["state"] for source in told["data"]["sources"]}


def expected(quiet: dict[str, str], stopped: Iterable[str]) -> tuple[int, dict[str, str]]:
    """Status and state of each province when these are stopped, by the words of the design."""
    told = {province: "unavailable" if province in stopped else state for province, state in quiet.items()}
    found = "answered" in told.values()
    if "unavailable" not in told.values():
        return (0 if found else 10), told
    return (7003 if found else 7001), told


def test_every_combination_of_alive_and_stopped(stack: Stack) -> None:
    """Each of the sixteen combinations of alive and stopped agents gives the right sources and status."""
    quiet = states(search(stack))
    assert "answered" in quiet.values()
    seen = set()
    stopped: set[str] = set()
    try:
        for turn in range(1, 17):  # one agent changes at a time (a Gray code)
            for gateway in (0, 1):
                right = expected(quiet, stopped)
                until(lambda: _told(search(stack, gateway=gateway)) == right)  # noqa: B023  # asked at once
            seen.add(frozenset(stopped))
            changed = PROVINCES[((turn & -turn).bit_length() - 1) % 4]
            if changed in stopped:
                commands.start(stack.home.path, f"worker-{changed}")
            else:
                commands.stop(stack.home.path, f"worker-{changed}")
            stopped ^= {changed}
    finally:
        for province in stopped:
            commands.start(stack.home.path, f"worker-{province}")
    assert len(seen) == 16


def _told(told: dict[str, Any]) -> tuple[int, dict[str, str]]:
    return told["head"]["status"], states(told)


def test_a_dead_province_is_told_at_once(stack: Stack) -> None:
    """Once an agent is gone a call to its province is 503 with 7001 and Retry-After, without waiting for anything."""
    (identifier,) = stack.certificates("34", 1)
    commands.stop(stack.home.path, "worker-34")
    try:
        until(lambda: stack.post(stack.body(identifier), wait="wait=2").status_code == 503)
        begun = time.monotonic()
        told = [stack.post(stack.body(identifier), gateway=gateway) for gateway in (0, 1, 0, 1, 0)]
        assert time.monotonic() - begun < 5 * 5  # five whole waits; in fact a few milliseconds each
        assert {(one.status_code, one.json()["head"]["status"]) for one in told} == {(503, 7001)}
        assert all(one.headers["retry-after"] for one in told)
    finally:
        commands.start(stack.home.path, "worker-34")


def test_a_hung_province_is_late_and_then_collected(stack: Stack) -> None:
    """While an agent hangs a search answers within its wait and names it; its part is collected when it goes on."""
    quiet = states(search(stack))
    assert quiet["34"] == "answered"
    stack.signal("worker-34", signal.SIGSTOP)
    try:
        told = search(stack, wait="wait=1")
        assert told["head"]["status"] == 7003
        assert states(told) == quiet | {"34": "late"}
        assert told["head"]["final"] is False
    finally:
        stack.signal("worker-34", signal.SIGCONT)
    request_id = told["head"]["requestId"]
    until(lambda: stack.look(request_id, gateway=1).status_code == 200)
    whole = stack.look(request_id).json()
    assert (whole["head"]["status"], states(whole)) == (0, quiet)


def test_a_search_survives_the_gateway_that_began_it(stack: Stack) -> None:
    """A fan-out begun by a gateway that dies is completed by the other, with every province's part."""
    one = stack.request("检索：持证主体在四省")
    quiet = states(search(stack))
    stack.signal("worker-33", signal.SIGSTOP)
    try:
        body = stack.fresh(one)
        assert stack.post(body, path=one["path"], wait="wait=1").json()["head"]["status"] in (7002, 7003)
        stack.signal("gateway-1", signal.SIGKILL)
    finally:
        stack.signal("worker-33", signal.SIGCONT)
    request_id = body["head"]["requestId"]
    until(lambda: stack.look(request_id, gateway=1).status_code == 200)
    told = stack.look(request_id, gateway=1).json()
    assert (told["head"]["status"], states(told)) == (0, quiet)
