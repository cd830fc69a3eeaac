"""The client's conversation without a network: what is sent next after what came, to which gateway, and until when."""

from collections.abc import Mapping
from typing import Any, Final

import pytest
from msgspec.json import encode

from broker.client.answers import Answer, partial_answer, read_answer
from broker.client.conversation import Conversation, Gateways, Times
from broker.client.errors import ClientError, MalformedError, PendingError, RefusedError, UnreachableError
from broker.client.steps import Got, Letter, Pause, Send, nothing, retry_after
from schemas.answers import DataAnswer
from schemas.remedies import REMEDIES
from schemas.statuses import STATUSES

ONE, TWO = "http://one.test", "http://two.test"
ID: Final = "0123456789abcdef" * 2
ASK: Final = Letter("POST", "/v1/ask", {"a": "b"}, lambda _: b"body", 5.0)
LOOK: Final = Letter("GET", "/v1/look", {}, nothing)
EMPTY: Final = {"total": 0, "dataList": []}
SOURCES: Final = [
    {"regionCode": "310000", "state": "answered", "status": 0, "message": "好"},
    {"regionCode": "340000", "state": "late", "status": 7002, "message": "迟"},
]


def talk(
    *gateways: str, ends: float = 60.0, draw: float = 0.0, renewable: bool = False
) -> Conversation[Answer[DataAnswer]]:
    return Conversation(
        ASK,
        read=lambda got: read_answer(got, DataAnswer),
        times=Times(Gateways(gateways or (ONE, TWO)), ends=ends, draw=lambda: draw),
        request_id=ID,
        later=LOOK,
        glimpse=lambda got: partial_answer(got, DataAnswer),
        renewable=renewable,
    )


def told(http: int, status: int = 0, data: object = None, headers: Mapping[str, str] | None = None, **head: Any) -> Got:
    body: dict[str, Any] = {"head": {"status": status, "message": "说明", "requestId": ID, **head}}
    if data is not None:
        body["data"] = data
    return Got(http, headers or {}, encode(body))


def sent(one: Conversation[Any], now: float) -> Send:
    step = one.next(now)
    assert isinstance(step, Send)
    return step


def paused(one: Conversation[Any], now: float) -> float:
    step = one.next(now)
    assert isinstance(step, Pause)
    return step.seconds


def test_an_answer_ends_it() -> None:
    """A 200 with status 0 is the typed answer, and there is nothing left to send."""
    one = talk()
    step = sent(one, 1.0)
    assert (step.method, step.url, step.body, step.headers) == ("POST", f"{ONE}/v1/ask", b"body", {"a": "b"})
    one.got(told(200, 0, EMPTY, evidence="31:x:0", scenario="S@1"), 1.1)
    assert one.next(1.1) is None
    answer = one.result
    assert (answer.status, answer.message, answer.request_id) == (0, "说明", ID)
    assert (answer.evidence, answer.scenario, answer.final, answer.partial) == ("31:x:0", "S@1", True, False)
    assert (answer.data.total, answer.sources) == (0, ())


@pytest.mark.parametrize("http", [502, 503, 504])
def test_the_same_bytes_go_to_the_next_gateway(http: int) -> None:
    """A gateway that cannot now is left at once for the next one, with the same bytes."""
    one = talk()
    first = sent(one, 1.0)
    one.got(told(http, 7001, headers={"retry-after": "9"}), 1.0)
    second = sent(one, 1.0)
    assert (second.url, second.body) == (f"{TWO}/v1/ask", first.body)


def test_retry_after_is_kept() -> None:
    """No gateway is asked again before its own Retry-After, and the earlier of two comes first."""
    one = talk()
    sent(one, 1.0)
    one.got(told(503, 7001, headers={"retry-after": "9"}), 1.0)
    sent(one, 1.0)
    one.got(told(503, 7001, headers={"retry-after": "4"}), 2.0)
    assert paused(one, 2.0) == 4.0
    assert sent(one, 6.0).url.startswith(TWO)


def test_a_broken_connection_goes_elsewhere() -> None:
    """After a connection error the next gateway is asked at once, and stays the first for other conversations."""
    gateways = Gateways((ONE, TWO))
    times = Times(gateways, ends=60, draw=lambda: 0.0)
    one = Conversation(ASK, read=lambda got: got, times=times)
    sent(one, 1.0)
    one.broke(1.0)
    assert sent(one, 1.0).url.startswith(TWO)
    assert gateways.in_order() == (TWO, ONE)
    assert sent(Conversation(ASK, read=lambda got: got, times=times.alike()), 1.0).url.startswith(TWO)


def test_jitter_is_full_and_doubles() -> None:
    """One gateway that fails is asked after a drawn part of 0.2 s, 0.4 s, 0.8 s and so on, of 10 s at most."""
    one, now, waits = talk(ONE, ends=1e6, draw=1.0), 1.0, []
    for _ in range(8):
        sent(one, now)
        one.broke(now)
        waits.append(paused(one, now))
        now += waits[-1]
    assert waits == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])


def test_too_fast_waits_for_all() -> None:
    """429 is the node's: no gateway is asked before Retry-After, and then the request goes out again."""
    one = talk()
    sent(one, 1.0)
    one.got(told(429, 2007, headers={"retry-after": "2"}), 1.0)
    assert paused(one, 1.0) == 2.0
    assert sent(one, 3.0).method == "POST"


def test_accepted_is_looked_for() -> None:
    """After 202 nothing is sent again: the request is looked for, at the pace the gateway tells, until 200."""
    one = talk()
    sent(one, 1.0)
    one.got(told(202, final=False, headers={"retry-after": "1"}), 2.0)
    assert paused(one, 2.0) == 1.0
    look = sent(one, 3.0)
    assert (look.method, look.url) == ("GET", f"{ONE}/v1/look")
    one.got(told(202, 7002, {**EMPTY, "sources": SOURCES}, final=False), 3.0)
    assert isinstance(one.next(3.0), Pause)
    sent(one, 4.0)
    one.got(told(200, 0, EMPTY), 4.0)
    assert one.result.final


def test_a_partial_answer_is_an_answer() -> None:
    """7003 in a 200 says which source is missing and that its part may still come."""
    one = talk()
    sent(one, 1.0)
    one.got(told(200, 7003, {**EMPTY, "sources": SOURCES}, final=False), 2.0)
    answer = one.result
    assert (answer.partial, answer.final) == (True, False)
    assert [(source.region_code, source.state) for source in answer.sources] == [
        ("310000", "answered"),
        ("340000", "late"),
    ]


def test_what_an_unfinished_request_shows_is_kept() -> None:
    """When the time is over, the partial answer of the last look is what there is."""
    one = talk(ends=4.0)
    sent(one, 1.0)
    one.got(told(202, 7003, {**EMPTY, "sources": SOURCES}, final=False), 2.0)
    sent(one, 3.0)
    one.got(told(202, 7003, {**EMPTY, "total": 1, "sources": SOURCES}, final=False), 3.5)
    assert one.next(3.5) is None
    assert (one.result.data.total, one.result.final) == (1, False)


@pytest.mark.parametrize(
    ("came", "error"),
    [
        (told(202, final=False), PendingError),
        (told(503, 7001), RefusedError),
        (Got(502, {}, b"<html>"), UnreachableError),
        (None, UnreachableError),
    ],
)
def test_the_end_of_the_time(came: Got | None, error: type[ClientError]) -> None:
    """When the time is over, the error says how far the request came, and its request id."""
    one = talk(ONE, ends=2.0)
    sent(one, 1.0)
    if came:
        one.got(came, 1.9)
    else:
        one.broke(1.9)
    with pytest.raises(error) as ended:
        one.next(2.0)
    assert ended.value.request_id == ID


def test_accepted_stays_accepted() -> None:
    """A request that was accepted is pending at the end, also when no gateway answered lately."""
    one = talk(ONE, ends=5.0)
    sent(one, 1.0)
    one.got(told(202, final=False), 1.0)
    sent(one, 3.0)
    one.broke(3.0)
    with pytest.raises(PendingError):
        one.next(5.0)


def test_never_beyond_the_end() -> None:
    """Nothing is sent after the caller's time, waiting beyond it ends at once, and no line is held longer."""
    one = talk(ends=3.0)
    assert sent(one, 1.0).timeout_seconds == 2.0
    one.got(told(429, 2007, headers={"retry-after": "30"}), 1.0)
    with pytest.raises(RefusedError) as ended:
        one.next(1.0)
    assert ended.value.code == 2007
    with pytest.raises(UnreachableError):
        talk(ends=1.0).next(1.0)


def test_a_line_is_held_longer_than_the_gateway_holds_it() -> None:
    """The time-out of a call is beyond the wait that the gateway was asked for."""
    assert sent(talk(), 0.0).timeout_seconds > ASK.held_seconds


@pytest.mark.parametrize("code", [code for code in STATUSES if code not in (0, 7003)])
def test_every_refusal_is_an_error(code: int) -> None:
    """Whatever status but 0 and 7003 is an error with code, message and what to do."""
    one = talk()
    sent(one, 1.0)
    with pytest.raises(RefusedError) as refused:
        one.got(told(200, code, evidence="31:x:0", scenario="S@1"), 1.0)
    error = refused.value
    assert (error.code, error.message, error.http, error.request_id) == (code, "说明", 200, ID)
    assert (error.evidence, error.scenario) == ("31:x:0", "S@1")
    assert error.remedy == REMEDIES[code]
    assert str(code) in str(error)
    assert error.remedy in str(error)


def test_a_problem_says_what_to_do() -> None:
    """Of a problem detail the remedy is its own detail, and the request id is ours where it has none."""
    body = {"detail": "请换一个", "head": {"status": "99", "message": "其他异常"}}
    one = talk()
    sent(one, 1.0)
    with pytest.raises(RefusedError) as refused:
        one.got(Got(409, {}, encode(body)), 1.0)
    error = refused.value
    assert (error.http, error.code, error.remedy, error.request_id) == (409, 99, "请换一个", ID)


def test_a_refusal_names_its_sources() -> None:
    """A fan-out that nobody answered tells what became of each province."""
    one = talk()
    sent(one, 1.0)
    with pytest.raises(RefusedError) as refused:
        one.got(told(200, 7002, {**EMPTY, "sources": SOURCES[1:]}), 1.0)
    assert [source.state for source in refused.value.sources] == ["late"]


@pytest.mark.parametrize(
    "got",
    [
        Got(200, {}, b""),
        Got(200, {}, b"<html>"),
        Got(200, {}, b"\xff"),
        Got(200, {}, b"[" * 100_000),
        Got(200, {}, b"{}"),
        told(200, 0),
        told(200, 0, {"total": "many"}),
        Got(404, {}, b"not here"),
        Got(302, {}, b""),
    ],
)
def test_what_no_gateway_sends(got: Got) -> None:
    """A body that is no answer is told as such, and is not asked for again."""
    one = talk()
    sent(one, 1.0)
    with pytest.raises(MalformedError):
        one.got(got, 1.0)


def test_an_ended_token_is_renewed_once() -> None:
    """A 401 asks for one fresh token and sends the same again; a second 401 is the refusal it is."""
    one = talk(renewable=True)
    assert not sent(one, 1.0).fresh
    one.got(told(401, 2004), 1.0)
    assert sent(one, 1.0).fresh
    with pytest.raises(RefusedError) as refused:
        one.got(told(401, 11), 1.0)
    assert (refused.value.http, refused.value.code) == (401, 11)


def test_a_given_token_cannot_be_renewed() -> None:
    """Without keys a 401 is a refusal."""
    one = talk()
    sent(one, 1.0)
    with pytest.raises(RefusedError):
        one.got(told(401, 2004), 1.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2", 2.0), (" 7 ", 7.0), ("", None), ("-1", None), ("9" * 9, None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    """Retry-After counts in whole seconds; everything else says nothing."""
    assert retry_after({"retry-after": text}) == seconds


def test_the_national_form_is_understood() -> None:
    """A certificate whose names are in PascalCase is the same typed certificate."""
    names = {"certificateID": "X", "certificateTypeCode": "T", "certificateStatus": "VALID"}
    surface = [{"name": "姓名", "columnName": "KZ_XM", "value": "示**"}]
    camel = {**names, "surface": surface}
    pascal = {
        name[:1].upper() + name[1:]: value
        for name, value in {**names, "surface": [{"Name": "姓名", "ColumnName": "KZ_XM", "Value": "示**"}]}.items()
    }
    answers = []
    for one in (camel, pascal):
        conversation = talk()
        sent(conversation, 1.0)
        conversation.got(told(200, 0, {"total": 1, "dataList": [one]}), 1.0)
        answers.append(conversation.result)
    assert answers[0] == answers[1]


def test_every_status_has_a_remedy() -> None:
    """Each status but 0 says what to do."""
    assert REMEDIES.keys() == STATUSES.keys() - {0}
    assert all(REMEDIES.values())
