"""What a caller sends besides the data: preferences, ids, deadlines, and bodies of bounded size."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from broker.gateway import reading
from broker.gateway.answers import Problem
from broker.gateway.body import HttpHead
from broker.gateway.reading import (
    LARGE_BODY_BYTES,
    MAX_BODY_BYTES,
    BodyReader,
    deadline_of,
    is_json,
    normal_id,
    request_id_of,
    wait_seconds_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ID: Final = "0123456789abcdef" * 2
NOW: Final = 1_800_000_000_000
MINUTES: Final = 60_000
LATIN: Final = st.text(st.characters(max_codepoint=255), max_size=40)


def request(*headers: tuple[str, str], parts: Iterable[bytes] = (), gate: asyncio.Event | None = None) -> Request:
    """A request with these headers whose body comes in these parts, the last one once the gate is open."""
    left = list(parts) or [b""]

    async def receive() -> dict[str, Any]:
        if len(left) == 1 and gate is not None:
            await gate.wait()
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


def refused(call: Callable[[], object]) -> Problem:
    with pytest.raises(Problem) as error:
        call()
    return error.value


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ([], 5.0),
        ([""], 5.0),
        (["wait=0"], 0.0),
        (["wait=7"], 7.0),
        (["Wait = 7"], 7.0),
        (['wait="7"'], 7.0),
        (["wait=60"], 60.0),
        (["wait=61"], 60.0),
        (["wait=" + "9" * 5_000], 60.0),
        (["respond-async"], 0.0),
        (["Respond-Async"], 0.0),
        (["respond-async, wait=10"], 10.0),
        (["wait=10, respond-async"], 10.0),
        (["wait=10;x=y, respond-async"], 10.0),
        (["wait=3, wait=4"], 3.0),
        (["handling=lenient", "wait=3"], 3.0),
        (["return=minimal"], 5.0),
        (["wait"], 5.0),
        (["wait=-1"], 5.0),
        (["wait=1.5"], 5.0),
        (["wait=1e3"], 5.0),
        (["wait=²"], 5.0),
        (["wait=x, respond-async"], 0.0),
        (["xwait=3"], 5.0),
    ],
)
def test_how_long_the_caller_waits(prefer: list[str], seconds: float) -> None:
    """A caller waits as long as it says, at most a minute, not at all for respond-async, else five seconds."""
    assert wait_seconds_of(request(*[("prefer", one) for one in prefer])) == seconds


@given(LATIN)
def test_any_preference(prefer: str) -> None:
    """Whatever a caller prefers, it waits between nothing and a minute."""
    assert 0.0 <= wait_seconds_of(request(("prefer", prefer))) <= 60.0


@pytest.mark.parametrize("text", [ID, ID.upper(), "F" * 32])
def test_request_ids(text: str) -> None:
    """A request id is 32 hexadecimal digits, in small letters from here on."""
    assert normal_id(text) == request_id_of(HttpHead(request_id=text)) == text.lower()


@pytest.mark.parametrize(
    "text",
    [ID[:-1], ID + "0", f" {ID}", f"{ID}\n", ID[:-1] + "g", ID[:-1] + "١", ID[:-1] + "ａ", "-" * 32, ID[:-2] + "0x"],
)
def test_malformed_request_ids(text: str) -> None:
    """Anything else that is there is refused (102), and not repeated."""
    assert normal_id(text) == ""
    error = refused(lambda: request_id_of(HttpHead(request_id=text)))
    assert (error.http, error.status) == (400, 102)
    assert text not in f"{error}{error.detail}{error.request_id}"


@pytest.mark.parametrize("text", [None, "", " ", "\t"])
def test_no_request_id(text: str | None) -> None:
    """A request id that is absent or blank is no malformed one: the form says that it is missing (12)."""
    assert request_id_of(HttpHead(request_id=text)) == ""


@given(st.text(max_size=40))
def test_any_request_id(text: str) -> None:
    """Any text is a request id in its one form, or none."""
    normal = normal_id(text)
    assert not normal or (normal == text.lower() and len(bytes.fromhex(normal)) == 16)


@pytest.mark.parametrize(
    ("told", "deadline"),
    [
        (None, NOW + MINUTES),
        (NOW + 1, NOW + 1),
        (NOW + 10 * MINUTES, NOW + 10 * MINUTES),
        (NOW - 1, NOW - 1),
        (0, 0),
        (-7, -7),
    ],
)
def test_deadlines(told: int | None, deadline: int) -> None:
    """A deadline is what the caller says, in the past too, and without one a minute from now."""
    assert deadline_of(HttpHead(deadline=told), NOW, ID) == deadline


@pytest.mark.parametrize("told", [NOW + 10 * MINUTES + 1, 1 << 62])
def test_deadlines_too_far_ahead(told: int) -> None:
    """A deadline more than ten minutes ahead is 400 and 102, and names the request."""
    error = refused(lambda: deadline_of(HttpHead(deadline=told), NOW, ID))
    assert (error.http, error.status, error.request_id) == (400, 102, ID)


@pytest.mark.parametrize(
    ("kind", "right"),
    [
        ("application/json", True),
        ("Application/JSON", True),
        ("application/json; charset=utf-8", True),
        (" application/json ;charset=utf-8", True),
        ("text/json", False),
        ("application/jsonx", False),
        ("application/x-www-form-urlencoded", False),
        ("", False),
    ],
)
def test_media_types(kind: str, *, right: bool) -> None:
    """Only JSON is read, however it is written, and a body of no type is not."""
    assert is_json(request(("content-type", kind))) is right
    assert not is_json(request())


async def read(made: Request, reader: BodyReader | None = None) -> bytes:
    async with asyncio.timeout(60):
        async with (reader or BodyReader()).reading(made) as body:
            return body


async def test_a_body_in_parts() -> None:
    """A body is what came, in its order, whatever its length header says."""
    for headers in ([], [("content-length", "6")], [("content-length", "1")], [("content-length", "x")]):
        assert await read(request(*headers, parts=[b"ab", b"", b"cd", b"ef"])) == b"abcdef"
    assert await read(request()) == b""


async def test_the_largest_body() -> None:
    """A body of 10 MiB is read, and one byte more is 413, told or found."""
    whole = [bytes(1 << 20)] * 10
    assert len(await read(request(parts=whole))) == MAX_BODY_BYTES
    too_long = ((), (("content-length", str(MAX_BODY_BYTES + 1)),), (("content-length", "1"),))
    for headers in too_long:
        with pytest.raises(Problem) as error:
            await read(request(*headers, parts=[*whole, b"x"]))
        assert (error.value.http, error.value.status) == (413, 99)


async def test_a_length_that_is_told_is_believed_when_it_is_too_large() -> None:
    """A body that says it is too large is refused before anything of it is read."""
    with pytest.raises(Problem) as error:
        await read(request(("content-length", str(MAX_BODY_BYTES + 1)), gate=asyncio.Event()))
    assert error.value.http == 413


async def test_a_slow_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not come in its time is 400, and the connection is closed."""
    monkeypatch.setattr(reading, "_BODY_SECONDS", 0.05)
    with pytest.raises(Problem) as error:
        await read(request(parts=[b"{", b"}"], gate=asyncio.Event()))
    assert (error.value.http, error.value.headers["Connection"]) == (400, "close")


LARGE: Final = [bytes(LARGE_BODY_BYTES + 1), b"x"]
AT_ONCE: Final = 8


def of_eight() -> BodyReader:
    """A reader with room for eight large bodies of one caller."""
    return BodyReader(4 * AT_ONCE * MAX_BODY_BYTES)


async def turns(count: int = 200) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_large_bodies_at_once() -> None:
    """When there is no room for one more large body it is told so at once (503), and small ones pass."""
    reader, gate = of_eight(), asyncio.Event()
    held = [asyncio.ensure_future(read(request(parts=LARGE, gate=gate), reader)) for _ in range(AT_ONCE)]
    await turns()
    with pytest.raises(Problem) as error:
        await read(request(parts=LARGE), reader)
    assert (error.value.http, error.value.status, error.value.headers["Retry-After"]) == (503, 7001, "2")
    assert await read(request(parts=[b"small"]), reader) == b"small"
    gate.set()
    for body in await asyncio.gather(*held):
        assert len(body) == LARGE_BODY_BYTES + 2
    assert len(await read(request(parts=LARGE), reader)) == LARGE_BODY_BYTES + 2


async def test_a_body_counts_until_it_is_done_with() -> None:
    """A large body takes its room for as long as somebody works with it, and not only while it comes."""
    reader = BodyReader(4 * MAX_BODY_BYTES)
    async with reader.reading(request(parts=LARGE)):
        with pytest.raises(Problem):
            await read(request(parts=LARGE), reader)
    assert len(await read(request(parts=LARGE), reader)) == LARGE_BODY_BYTES + 2


async def test_an_error_of_the_reader_is_its_own() -> None:
    """A time-out of whoever works with a body is not told as a body that came too late."""
    with pytest.raises(TimeoutError):
        async with BodyReader().reading(request(parts=[b"x"])):
            raise TimeoutError


async def test_room_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large body that is refused, or whose caller goes away, leaves its room to the next."""
    reader = of_eight()
    monkeypatch.setattr(reading, "_BODY_SECONDS", 0.05)
    for _ in range(2 * AT_ONCE):
        with pytest.raises(Problem):
            await read(request(parts=LARGE, gate=asyncio.Event()), reader)
    monkeypatch.undo()
    for _ in range(2 * AT_ONCE):
        with pytest.raises(Problem):
            await read(request(parts=[bytes(6 << 20)] * 2), reader)
        gone = asyncio.ensure_future(read(request(parts=LARGE, gate=asyncio.Event()), reader))
        await turns()
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
    assert len(await read(request(parts=LARGE), reader)) == LARGE_BODY_BYTES + 2


async def test_one_callers_bodies_leave_room_for_others() -> None:
    """A caller with as many large bodies as one may have is refused one more, and another caller is not."""
    reader, gate = of_eight(), asyncio.Event()

    async def whose(name: str, made: Request) -> int:
        async with reader.reading(made, whose=name) as body:
            return len(body)

    held = [asyncio.ensure_future(whose("slow", request(parts=LARGE, gate=gate))) for _ in range(AT_ONCE)]
    await turns()
    with pytest.raises(Problem):
        await whose("slow", request(parts=LARGE))
    assert await whose("other", request(parts=LARGE)) == LARGE_BODY_BYTES + 2
    gate.set()
    await asyncio.gather(*held)
