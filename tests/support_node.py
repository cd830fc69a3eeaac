"""A whole fake node on loopback: tokens for real assertions, requests by their id, files with ranges, and moods."""

import json
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

import uvicorn
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from broker.bus.clock import now_ms
from broker.bus.keys import KeySigner
from broker.gateway.tokens import TokenDesk, check_assertion, issue
from schemas.form import sm3_hex
from schemas.statuses import RefusedError
from tests.support_registry import APPLICATION, NODE, application, compiled, new_party_keys

KEYS: Final = {name: new_party_keys(name) for name in (NODE, APPLICATION)}
SNAPSHOT: Final = compiled(replace(application(), key=KEYS[APPLICATION].signing.public))
FILE: Final = bytes(range(256)) * 4_000  # larger than what a socket takes at once


class Mood(NamedTuple):
    """How the next sharing call, look or file is answered: with this code, or its line breaks after so many bytes."""

    http: int = 200
    status: int = 0
    breaks_after: int | None = None
    headers: dict[str, str] = {}  # noqa: RUF012  # never changed


class FakeNode:
    """One gateway; a request is the same however often it comes, and is answered with `data`."""

    def __init__(self) -> None:
        self.moods: deque[Mood] = deque()
        self.seen: list[tuple[str, str]] = []  # method and path
        self.bodies: dict[str, set[bytes]] = {}
        self.heads: list[dict[str, str]] = []
        self.tokens_issued = 0
        self.token_seconds = 7_200
        self.data: Any = {"total": 0, "dataList": []}
        self.file_sent_once = False
        self._spent: set[str] = set()
        self._desk = TokenDesk(node=NODE, key=KEYS[NODE].signing.public)
        self.app = Starlette(
            routes=[
                Route("/v1/requests/{request_id}", self._look),
                Route("/v1/files/{ticket}", self._file),
                Route("/v1/{operation}", self._share, methods=["POST"]),
                Route("/v1/{operation}", self._share, methods=["GET"]),
                Route("/oauth2/token", self._token, methods=["POST"]),
            ]
        )

    def token(self, seconds: int = 600) -> str:
        signer = KeySigner(KEYS[NODE].signing)
        return issue(signer, node=NODE, application=APPLICATION, now=now_ms() // 1000, seconds=seconds)

    async def _token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        base = str(request.base_url)
        try:
            claims = check_assertion(
                form["client_assertion"],
                client_id=form["client_id"],
                node=NODE,
                audiences=frozenset({NODE, f"{base}oauth2/token"}),
                snapshot=SNAPSHOT,
                now=now_ms() // 1000,
            )
        except RefusedError as error:
            head = {"status": error.code, "message": error.detail}
            return JSONResponse({"error": "invalid_client", "head": head}, 401)
        assert claims.jti not in self._spent
        self._spent.add(claims.jti)
        self.tokens_issued += 1
        return JSONResponse({"access_token": self.token(), "token_type": "Bearer", "expires_in": self.token_seconds})

    async def _share(self, request: Request) -> Response:
        return self._told(request, await request.body())

    async def _look(self, request: Request) -> Response:
        return self._told(request, b"")

    def _told(self, request: Request, body: bytes) -> Response:
        self.seen.append((request.method, request.url.path))
        self.heads.append(dict(request.headers))
        mood = self.moods.popleft() if self.moods else Mood()
        try:
            self._desk.application_of(request.headers.get("authorization", ""), SNAPSHOT, now_ms() // 1000)
        except RefusedError as error:
            mood = Mood(401, error.code)
        request_id = request.path_params.get("request_id", "")
        if body:
            request_id = json.loads(body)["head"]["requestId"]
            self.bodies.setdefault(request_id, set()).add(body)
        head: dict[str, Any] = {"status": mood.status, "message": "说明", "requestId": request_id}
        if mood.http == 202 or mood.status == 7003:
            head["final"] = False
        content = json.dumps({"head": head, "data": self.data}).encode()
        if mood.breaks_after is not None:
            return _broken(content, mood.breaks_after, 200, {})
        return Response(content, mood.http, dict(mood.headers), "application/json")

    async def _file(self, request: Request) -> Response:
        self.seen.append((request.method, request.headers.get("range", "")))
        mood = self.moods.popleft() if self.moods else Mood()
        if mood.http != 200 or self.file_sent_once:
            http = 410 if self.file_sent_once else mood.http
            return JSONResponse({"head": {"status": 99, "message": "其他异常"}, "detail": "不再保留"}, http)
        begin = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        headers = {"content-range": f"bytes {begin}-{len(FILE) - 1}/{len(FILE)}"} if begin else {}
        if mood.breaks_after is not None:
            return _broken(FILE[begin:], mood.breaks_after, 206 if begin else 200, headers)
        self.file_sent_once = True
        return Response(FILE[begin:], 206 if begin else 200, headers)


def file_entry(address: str, whole: bytes = FILE, **changes: Any) -> dict[str, Any]:
    """A file of an answer, behind this address."""
    told = {
        "certificateID": "1.2.156.3005.2.x",
        "certificateTypeCode": "11100000000013127D001",
        "certificateStatus": "VALID",
        "certificateType": "居民身份证",
        "certificateNumber": "1",
        "issueDept": "测试",
        "issueDate": "2026-01-01",
        "fileFormat": "ofd",
        "fileKind": "original",
        "fileDigest": sm3_hex(whole),
        "fileSize": len(whole),
        "fileUrl": address,
    }
    return told | changes


def _broken(content: bytes, after: int, http: int, headers: dict[str, str]) -> Response:
    """A response whose connection ends before its end."""

    async def parts() -> AsyncIterator[bytes]:
        yield content[:after]

    return StreamingResponse(parts(), http, {**headers, "content-length": str(len(content))})


@contextmanager
def served(node: FakeNode) -> Iterator[str]:
    """The node's address while it serves, in a thread of its own."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        config = uvicorn.Config(node.app, log_config=None, lifespan="off", ws="none", loop="asyncio")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=60)


def nobody() -> str:
    """An address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"
