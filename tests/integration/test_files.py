"""Files fetched over HTTP, on a real server, a real folder and real Redis: once, byte-exact, resumable."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import threading
import time
import tracemalloc
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import pytest
import uvicorn
import uvloop
from cryptography.hazmat.primitives.hashes import SM3, Hash
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from broker.bus import redis
from broker.bus.clock import now_ms
from broker.bus.objects import Objects
from broker.exchange.state import Answer, Missing, State
from broker.gateway import claims, download, files
from broker.gateway.answers import Problem, problem
from broker.gateway.files import FileDesk
from broker.gateway.protocol import BoundedProtocol
from schemas import statuses
from schemas.items import ReplyItem, Ticket
from schemas.sealed_files import SEALED_SEGMENT_BYTES, SEGMENT_BYTES
from schemas.suites import ED
from workers.files import FileSender

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

    from tests.integration.parts import Parts

APPLICATION, OTHER_APPLICATION = "yct-enterprise", "another"
PATIENCE: Final = 60.0
KIB, MIB = 1024, 1024 * 1024
LARGE: Final = 20 * MIB + 4321


class Told(NamedTuple):
    """An answer as the client got it."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class MemoryFile:
    """A file as a store hands it out."""

    def __init__(self, data: bytes) -> None:
        digest = Hash(SM3())
        digest.update(data)
        self.size, self.digest, self._data = len(data), digest.finalize().hex(), data

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._data), MIB):
            yield self._data[start : start + MIB]


class Gateway:
    """A gateway that has nothing but files, on a loop and a thread of its own."""

    def __init__(self, folder: Path, redis_url: str, loop: str) -> None:
        self.folder, self._redis_url = folder, redis_url
        self.states: dict[tuple[str, str], State] = {}
        self._server: uvicorn.Server | None = None
        run = uvloop.run if loop == "uvloop" else asyncio.run
        self._thread = threading.Thread(target=lambda: run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        eventually(lambda: self._server is not None and self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server
        self._server.should_exit = True
        self._thread.join()

    @property
    def address(self) -> tuple[str, int]:
        assert self._server
        host, port = self._server.servers[0].sockets[0].getsockname()
        return host, port

    def put(self, data: bytes) -> Ticket:
        """Seal a file into the object store as a province does."""

        async def send() -> Ticket | None:
            objects = Objects(self.folder.as_uri())
            delivered = await FileSender(objects=objects, suite=ED).send(MemoryFile(data), inline_bytes=-1)
            await objects.close()
            return delivered.ticket

        ticket = asyncio.run(send())
        assert ticket
        return ticket

    def answer(self, *tickets: Ticket, application: str = APPLICATION) -> str:
        """Have a request answered with these tickets by one of its provinces; its id."""
        request_id = uuid.uuid4().hex
        answer = Answer(item=ReplyItem(id=request_id, status=0, tickets=tickets), province="32", appended_ms=0)
        self.states[request_id, application] = State(0, {"31": Missing.EXPIRED, "32": answer, "33": Missing.PENDING})
        return request_id

    def offer(self, data: bytes) -> str:
        """The path of a fresh file."""
        ticket = self.put(data)
        return f"/v1/files/{self.answer(ticket)}{ticket.address}"

    def place(self, path: str) -> Path:
        """Where the file of this path lies."""
        return self.folder / path[-32:]

    def mark(self, path: str) -> object:
        """What Redis holds of the file of this path."""

        async def look() -> object:
            connection = redis.connect(self._redis_url)
            found = await connection.get(f"certlane:31-yct:file:{path[-32:]}")
            await connection.aclose()
            return found

        return asyncio.run(look())

    async def _serve(self) -> None:
        connection, objects = redis.connect(self._redis_url), Objects(self.folder.as_uri())
        desk = FileDesk(
            application_of=application_of, look=self._look, objects=objects, redis=connection, node="31-yct"
        )
        routes = [Route("/v1/files/{ticket}", desk.download, methods=["GET"]), Route("/livez", livez)]
        app = Starlette(routes=routes, exception_handlers={Problem: on_problem})
        self._server = uvicorn.Server(
            uvicorn.Config(
                app, port=0, loop="none", http=BoundedProtocol, lifespan="off", access_log=False, log_config=None
            )
        )
        await self._server.serve()
        await objects.close()
        await connection.aclose()

    async def _look(self, request_id: str, application: str) -> State | None:
        return self.states.get((request_id, application))


def application_of(request: Request) -> str:
    application = request.headers.get("x-application", "")
    if not application:
        raise Problem(401, statuses.UNAUTHENTICATED)
    return application


async def livez(_: Request) -> Response:
    return PlainTextResponse("ok")


async def on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem(error)


def eventually(true: Callable[[], bool]) -> None:
    """Wait until this is true; fails after a minute."""
    until = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, parts: Parts, loop: str) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("gateway") / "objects", parts.redis_url, loop) as made:
        yield made


class Client:
    """An application with one connection; leaving the block closes it in peace."""

    def __init__(self, gateway: Gateway, application: str = APPLICATION) -> None:
        self._connection = http.client.HTTPConnection(*gateway.address, timeout=PATIENCE)
        self._application = application

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str, *, method: str = "GET", **headers: str) -> Told:
        told = {"x-application": self._application, **{name.replace("_", "-"): text for name, text in headers.items()}}
        self._connection.request(method, path, headers=told)
        response = self._connection.getresponse()
        return Told(response.status, {name.lower(): text for name, text in response.getheaders()}, response.read())


def get(gateway: Gateway, path: str, *, application: str = APPLICATION, method: str = "GET", **headers: str) -> Told:
    """One call on a connection of its own."""
    with Client(gateway, application) as client:
        return client.get(path, method=method, **headers)


def begin(gateway: Gateway, path: str, *headers: str, buffer: int = 0) -> socket.socket:
    """A request on a bare socket, with a receive buffer of this size."""
    made = socket.socket()
    made.settimeout(PATIENCE)
    if buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    made.connect(gateway.address)
    lines = [f"GET {path} HTTP/1.1", "Host: gateway", f"x-application: {APPLICATION}", *headers, "", ""]
    made.sendall("\r\n".join(lines).encode())
    return made


def broken_off(gateway: Gateway, path: str, *headers: str, after: int) -> bytes:
    """What of a file was read before the client left with the rest unread; `after` is counted in the body."""
    connection = begin(gateway, path, *headers)
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += connection.recv(1)
    body = b""
    while len(body) < after:
        body += connection.recv(after - len(body))
    connection.recv(1, socket.MSG_PEEK)  # there is something unread
    connection.close()
    return body


@pytest.mark.parametrize("size", [20, 255 * KIB, 256 * KIB, 257 * KIB, LARGE])
def test_whole(gateway: Gateway, size: int) -> None:
    """A file of any size arrives byte-exact, once, and its object goes."""
    data = os.urandom(size)
    path = gateway.offer(data)
    told = get(gateway, path)
    assert (told.status, told.body) == (200, data)
    assert told.headers["content-length"] == str(size)
    assert told.headers["accept-ranges"] == "bytes"
    assert told.headers["cache-control"] == "no-store"
    assert told.headers["content-type"] == "application/octet-stream"
    assert told.headers["content-disposition"] == 'attachment; filename="certificate-file"'
    again = get(gateway, path)
    assert again.status == 410
    assert "请使用新的 requestId".encode() in again.body
    eventually(lambda: not gateway.place(path).exists())


@pytest.mark.parametrize("size", [20, 257 * KIB])
def test_second_time_on_the_same_connection(gateway: Gateway, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks again on its connection has what it was given, and is told so at once."""
    monkeypatch.setattr(download, "_QUIET_SECONDS", 3_600.0)
    path = gateway.offer(bytes(size))
    with Client(gateway) as client:
        assert client.get(path).status == 200
        assert client.get("/livez").body == b"ok"
        assert gateway.mark(path) == b"spent"
        assert client.get(path).status == 410
        assert not gateway.place(path).exists()


def test_quiet_client(gateway: Gateway) -> None:
    """A client that keeps its connection and says nothing has what it was given."""
    path = gateway.offer(bytes(300 * KIB))
    with Client(gateway) as client:
        assert client.get(path).status == 200
        eventually(lambda: not gateway.place(path).exists())
        assert get(gateway, path).status == 410


def test_client_that_wants_the_connection_closed(gateway: Gateway) -> None:
    """A connection that is to be closed after the file is closed, and the file was fetched."""
    path = gateway.offer(bytes(300 * KIB))
    told = get(gateway, path, connection="close")
    assert (told.status, len(told.body)) == (200, 300 * KIB)
    assert get(gateway, path).status == 410


@pytest.mark.parametrize("closing", [(), ("Connection: close",)])
@pytest.mark.parametrize(("size", "after"), [(20, 0), (20, 7), (257 * KIB, 1000), (LARGE, 5 * MIB), (LARGE, LARGE - 9)])
def test_broken_off(
    gateway: Gateway, size: int, after: int, closing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download that broke anywhere, in its last bytes too, goes on from there or starts again, and ends but once."""
    monkeypatch.setattr(claims, "_GRACE_SECONDS", PATIENCE)
    data = os.urandom(size)
    path = gateway.offer(data)
    for _ in range(3):
        assert broken_off(gateway, path, *closing, after=after) == data[:after]
    rest = get(gateway, path, range=f"bytes={after}-")
    assert (rest.status, rest.body) == (206, data[after:])
    assert get(gateway, path).status == 410


@pytest.mark.parametrize("size", [20, 257 * KIB])
def test_left_before_the_answer(gateway: Gateway, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that leaves before anything came has not fetched the file."""
    monkeypatch.setattr(claims, "_GRACE_SECONDS", PATIENCE)
    path = gateway.offer(bytes(size))
    for _ in range(10):
        begin(gateway, path).close()
    assert get(gateway, path).status == 200


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-", 0, 600_000),
        ("bytes=1-", 1, 600_000),
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("Bytes=262143-262144", 262_143, 262_145),
        ("bytes=262144-524287", 262_144, 524_288),
        ("bytes=599999-", 599_999, 600_000),
        ("bytes=599999-9999999999", 599_999, 600_000),
    ],
)
def test_range(gateway: Gateway, asked: str, start: int, stop: int) -> None:
    """A range is answered with its bytes alone, and only one with the last byte is the file's end."""
    data = os.urandom(600_000)
    path = gateway.offer(data)
    told = get(gateway, path, range=asked)
    assert (told.status, told.body) == (206, data[start:stop])
    assert told.headers["content-range"] == f"bytes {start}-{stop - 1}/600000"
    assert get(gateway, path).status == (410 if stop == 600_000 else 200)


@pytest.mark.parametrize(
    "asked",
    ["", "bytes", "bytes=", "bytes=-", "bytes=-5", "bytes=5-4", "bytes=0-1,3-4", "lines=1-2", "bytes=a-", "bytes=1 -"],
)
def test_range_that_is_passed_over(gateway: Gateway, asked: str) -> None:
    """Several ranges, one from the end and what is no range are passed over, and the whole file comes."""
    data = os.urandom(40)
    told = get(gateway, gateway.offer(data), range=asked)
    assert (told.status, told.body) == (200, data)


@pytest.mark.parametrize("asked", ["bytes=40-", "bytes=41-50", "bytes=9999999999999999999-"])
def test_range_behind_the_end(gateway: Gateway, asked: str) -> None:
    """A range that begins behind the end is refused with the file's size, and the file stays to be fetched."""
    path = gateway.offer(bytes(40))
    told = get(gateway, path, range=asked)
    assert (told.status, told.headers["content-range"]) == (416, "bytes */40")
    assert get(gateway, path).status == 200


def test_if_range(gateway: Gateway) -> None:
    """A range that is meant for another file is passed over."""
    data = os.urandom(40)
    path = gateway.offer(data)
    etag = get(gateway, path, method="HEAD").headers["etag"]
    assert get(gateway, path, range="bytes=1-2", if_range=etag).body == data[1:3]
    assert get(gateway, path, range="bytes=1-2", if_range='"another"').body == data


def test_empty(gateway: Gateway) -> None:
    """An empty file is a file, and no range of it can be had."""
    path = gateway.offer(b"")
    assert get(gateway, path, range="bytes=0-").status == 416
    told = get(gateway, path)
    assert (told.status, told.headers["content-length"], told.body) == (200, "0", b"")
    assert get(gateway, path).status == 410


def test_head(gateway: Gateway) -> None:
    """HEAD tells the size and fetches nothing."""
    path = gateway.offer(bytes(300 * KIB))
    for _ in range(2):
        told = get(gateway, path, method="HEAD")
        assert (told.status, told.headers["content-length"], told.body) == (200, str(300 * KIB), b"")
    assert get(gateway, path).status == 200


@pytest.mark.parametrize("size", [20, 3 * MIB])
def test_in_parallel(gateway: Gateway, size: int) -> None:
    """Of several downloads at once exactly one gets the last byte, and nobody takes a part for the whole."""
    data = os.urandom(size)
    path = gateway.offer(data)

    def fetch(_: int) -> bool:
        try:
            told = get(gateway, path)
        except http.client.IncompleteRead:
            return False
        assert told.status == 410 or told.body == data
        return told.status == 200

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(fetch, range(4))) == 1


def test_slow_one_and_fast_one(gateway: Gateway) -> None:
    """A download that is overtaken by another one ends before its last segment."""
    data = os.urandom(LARGE)
    path = gateway.offer(data)
    slow = begin(gateway, path)
    assert get(gateway, path).body == data
    read = 0
    while part := slow.recv(MIB):
        read += len(part)
    slow.close()
    assert read < LARGE - SEGMENT_BYTES + 1000


def test_not_ones_own(gateway: Gateway) -> None:
    """Another application's file, one of another request and one that there is not are all the same: 404."""
    first, second = gateway.put(b"first"), gateway.put(b"second")
    mine, others = gateway.answer(first), gateway.answer(second, application=OTHER_APPLICATION)
    unknown = uuid.uuid4().hex
    assert get(gateway, f"/v1/files/{mine}{first.address}", application=OTHER_APPLICATION).status == 404
    for ticket in (
        f"{mine}{second.address}",
        f"{others}{second.address}",
        f"{unknown}{first.address}",
        f"{mine}{unknown}",
        f"{first.address}{mine}",
        f"{mine}{first.address}".upper(),
        f"{mine}{first.address}0",
        mine,
        first.address,
        "..%2F..",
        f"{mine}{first.address}%0A",
    ):
        assert get(gateway, f"/v1/files/{ticket}").status == 404
    assert get(gateway, f"/v1/files/{mine}{first.address}").body == b"first"


def test_without_a_token(gateway: Gateway) -> None:
    """Nobody gets a file without saying who he is."""
    assert get(gateway, gateway.offer(b"file"), application="").status == 401


def test_several_files_of_one_request(gateway: Gateway) -> None:
    """Each file of a request is fetched by itself."""
    tickets = [gateway.put(b"%d" % number) for number in range(3)]
    request_id = gateway.answer(*tickets)
    for number, ticket in enumerate(tickets):
        assert get(gateway, f"/v1/files/{request_id}{ticket.address}").body == b"%d" % number


def test_expired(gateway: Gateway) -> None:
    """After its ten minutes a file cannot be fetched, and the answer says what to do."""
    ticket = replace(gateway.put(b"file"), expires=now_ms() - 1)
    told = get(gateway, f"/v1/files/{gateway.answer(ticket)}{ticket.address}")
    assert told.status == 410
    assert "已过期；请使用新的 requestId".encode() in told.body


def test_swept(gateway: Gateway) -> None:
    """A file whose object is gone cannot be fetched, and the answer says what to do."""
    path = gateway.offer(b"file")
    gateway.place(path).unlink()
    told = get(gateway, path)
    assert told.status == 410
    assert "已不再保留；请使用新的 requestId".encode() in told.body


def test_store_away(gateway: Gateway) -> None:
    """While the object store is away the answer is 503, and the file can be fetched afterwards."""
    path = gateway.offer(b"file")
    aside = gateway.folder.with_name("aside")
    gateway.folder.rename(aside)
    gateway.folder.write_bytes(b"")
    told = get(gateway, path)
    assert (told.status, told.headers["retry-after"]) == (503, "2")
    gateway.folder.unlink()
    aside.rename(gateway.folder)
    assert get(gateway, path).body == b"file"


def test_redis_away(tmp_path: Path, loop: str) -> None:
    """Without Redis no file is handed out: 503."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"redis://127.0.0.1:{taken.getsockname()[1]}"
    with Gateway(tmp_path / "objects", url, loop) as gateway:
        told = get(gateway, gateway.offer(b"file"))
        assert (told.status, told.headers["retry-after"]) == (503, "2")


def test_damaged_at_once(gateway: Gateway) -> None:
    """A file whose first segment does not open is not handed out at all."""
    path = gateway.offer(bytes(300 * KIB))
    damage(gateway.place(path), 5)
    told = get(gateway, path)
    assert told.status == 410
    assert "已损坏".encode() in told.body


@pytest.mark.parametrize("how", ["flipped", "cut"])
def test_damaged_later(gateway: Gateway, how: str) -> None:
    """Of a file whose third segment does not open two arrive, and the connection ends before the promised length."""
    data = os.urandom(5 * SEGMENT_BYTES)
    path = gateway.offer(data)
    place = gateway.place(path)
    if how == "flipped":
        damage(place, 2 * SEALED_SEGMENT_BYTES + 5)
    else:
        os.truncate(place, 3 * SEALED_SEGMENT_BYTES - 1)
    with pytest.raises(http.client.IncompleteRead) as told:
        get(gateway, path)
    assert told.value.partial == data[: 2 * SEGMENT_BYTES]


def damage(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def is_let_go(connection: socket.socket) -> bool:
    """Whether the server has closed it: a byte of a next request then comes back as an error."""
    try:
        connection.send(b"G")
    except ConnectionError:
        return True
    return False


@pytest.mark.parametrize("size", [3 * MIB, LARGE])
def test_client_that_stops_reading(gateway: Gateway, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that stops reading is let go, wherever it stopped, and has not fetched the file."""
    monkeypatch.setattr(download, "_STALL_SECONDS", 0.4)
    monkeypatch.setattr(download, "_QUIET_SECONDS", 0.1)
    monkeypatch.setattr(claims, "_GRACE_SECONDS", PATIENCE)
    data = os.urandom(size)
    path = gateway.offer(data)
    stopped = begin(gateway, path, buffer=4096)
    eventually(lambda: is_let_go(stopped))
    stopped.close()
    told = get(gateway, path)
    assert (told.status, told.body) == (200, data)


def test_too_many_at_once(tmp_path: Path, parts: Parts, loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More downloads than there is memory for are told to come again."""
    monkeypatch.setattr(files, "_AT_ONCE", 2)
    with Gateway(tmp_path / "objects", parts.redis_url, loop) as gateway:
        path = gateway.offer(bytes(LARGE))
        slow = [begin(gateway, path, buffer=4096) for _ in range(2)]
        for connection in slow:
            connection.recv(1)
        told = get(gateway, path)
        assert (told.status, told.headers["retry-after"]) == (503, "2")
        for connection in slow:
            connection.close()
        eventually(lambda: get(gateway, path).status == 200)


def test_memory(gateway: Gateway) -> None:
    """For a client that reads slowly the gateway holds a few segments of a file of 20 MiB."""
    path = gateway.offer(os.urandom(LARGE))
    get(gateway, gateway.offer(bytes(300 * KIB)))
    tracemalloc.start()
    try:
        slow = begin(gateway, path, buffer=64 * KIB)
        read = 0
        while read < LARGE:
            read += len(slow.recv(64 * KIB))
            time.sleep(0.001)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    slow.close()
    assert peak < 12 * SEGMENT_BYTES
