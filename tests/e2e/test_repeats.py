"""The same request again: one answer, one effect; and requests that nobody may work on any more."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

from broker.bus.clock import now_ms
from tests.e2e.conftest import Stack, until

READS = "certlane_store_reads_total"


def test_a_repeat_gets_the_first_answer_and_reads_the_store_once(stack: Stack) -> None:
    """Same id and body, at once from two gateways and later again: one answer, one store read."""
    body = stack.body(stack.certificates("32", 1)[0])
    before = stack.metric("worker-32", READS)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda place: stack.post(body, gateway=place % 2), range(8)))
    answers += [stack.post(body, gateway=place) for place in (0, 1)]
    told = {(answer.status_code, answer.json()["head"]["evidence"]) for answer in answers}
    assert len(told) == 1
    assert stack.metric("worker-32", READS) == before + 1


def test_another_body_under_the_same_id_is_409(stack: Stack) -> None:
    """An id names one request for ever."""
    first, other = stack.body(), stack.body()
    assert stack.post(first).status_code == 200
    other["head"] |= {"requestId": first["head"]["requestId"], "businessCode": "ANOTHER"}
    assert [stack.post(other, gateway=place).status_code for place in (0, 1)] == [409, 409]


def test_nobody_works_on_an_expired_request(stack: Stack) -> None:
    """A request whose agent was stopped past its deadline is 7002, and the store is not asked for it."""
    identifier = stack.certificates("33", 1)[0]
    before = stack.metric("worker-33", READS)
    stack.signal("worker-33", signal.SIGSTOP)
    try:
        body = stack.body(identifier, deadline=now_ms() + 1_000)
        accepted = stack.post(body, wait="respond-async")
        assert accepted.status_code == 202
        time.sleep(3)  # the point of the test: the agent sleeps past the deadline
    finally:
        stack.signal("worker-33", signal.SIGCONT)
    request_id = body["head"]["requestId"]
    until(lambda: stack.look(request_id).status_code == 200)
    assert stack.look(request_id, gateway=1).json()["head"]["status"] == 7002
    stack.until_ready()
    assert stack.post(stack.body(identifier)).json()["head"]["status"] == 0
    assert stack.metric("worker-33", READS) == before + 1


def test_a_caller_who_waits_is_told_of_the_expiry(stack: Stack) -> None:
    """A caller on the line gets 7002 soon after the deadline, not only when the wait ends."""
    stack.signal("worker-34", signal.SIGSTOP)
    try:
        begun = time.monotonic()
        answer = stack.post(stack.body(stack.certificates("34", 1)[0], deadline=now_ms() + 1_000), wait="wait=20")
        took = time.monotonic() - begun
    finally:
        stack.signal("worker-34", signal.SIGCONT)
    assert (answer.status_code, answer.json()["head"]["status"]) == (200, 7002)
    assert took < 19  # well before the wait of 20 ends
