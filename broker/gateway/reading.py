"""What a caller sent besides the body's data: preferences, ids, deadlines, and a body of bounded size."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from broker.gateway.answers import Problem
from schemas import statuses
from schemas.lot import MAX_DEADLINE_AHEAD_MS
from schemas.sharing import DEFAULT_DEADLINE_MS, DEFAULT_WAIT_SECONDS, MAX_WAIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from broker.gateway.body import HttpHead

MAX_BODY_BYTES = 10 << 20
LARGE_BODY_BYTES = 256 * 1024
_BUDGET_BYTES = 320 << 20  # what callers may make us hold in memory is bounded
_SHARES = 4  # one application's slow bodies leave room for three others'
_BODY_SECONDS = 30.0
_HEX = frozenset("0123456789abcdef")


class BodyReader:
    """Reads bodies; all large ones together take no more memory than the budget."""

    def __init__(self, budget_bytes: int = _BUDGET_BYTES) -> None:
        self._left = budget_bytes
        self._share = budget_bytes // _SHARES
        self._held: dict[str, int] = {}

    @asynccontextmanager
    async def reading(
        self, request: Request, max_bytes: int = MAX_BODY_BYTES, *, whose: str = ""
    ) -> AsyncIterator[bytes]:
        """The body, at most so long whatever its length header says, counted for as long as it is needed.

        Raises Problem(413); Problem(400) when it does not come in time; Problem(503) when there is no room for it.
        """
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > max_bytes:
            raise Problem(413, statuses.OTHER)
        taken, out = 0, bytearray()
        try:
            try:
                async with asyncio.timeout(_BODY_SECONDS):
                    async for part in request.stream():
                        out += part
                        if len(out) > max_bytes:
                            raise Problem(413, statuses.OTHER)
                        if not taken and len(out) > LARGE_BODY_BYTES:
                            taken = self._take(max_bytes, whose)
            except TimeoutError as error:
                late = {"Connection": "close"}
                raise Problem(400, statuses.BAD_VALUE, "请求体未在 30 秒内送达", headers=late) from error
            yield bytes(out)
        finally:
            self._left += taken
            self._held[whose] = self._held.get(whose, 0) - taken

    def _take(self, size: int, whose: str) -> int:
        if size > self._left or self._held.get(whose, 0) + size > self._share:
            raise Problem(503, statuses.UNREACHABLE, "大请求过多，请稍后重试", headers={"Retry-After": "2"})
        self._left -= size
        self._held[whose] = self._held.get(whose, 0) + size
        return size


def is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def normal_id(text: str) -> str:
    """A request id in lower case, empty when it is not 32 hex digits."""
    lower = text.lower()
    return lower if len(lower) == 32 and _HEX.issuperset(lower) else ""


def request_id_of(head: HttpHead) -> str:
    """Empty when there is none; raises Problem(400) when it is not 32 hex digits."""
    if not (head.request_id or "").strip():
        return ""
    normal = normal_id(head.request_id or "")
    if not normal:
        raise Problem(400, statuses.BAD_VALUE, "head.requestId 应为 32 位十六进制数字")
    return normal


def deadline_of(head: HttpHead, now: int, request_id: str) -> int:
    """Absolute, unix ms; 60 s from now unless told; raises Problem(400) beyond ten minutes."""
    if head.deadline is None:
        return now + DEFAULT_DEADLINE_MS
    if head.deadline > now + MAX_DEADLINE_AHEAD_MS:
        raise Problem(
            400, statuses.BAD_VALUE, "head.deadline 不得晚于 10 分钟之后（毫秒时间戳）", request_id=request_id
        )
    return head.deadline


def wait_seconds_of(request: Request) -> float:
    """How long the caller holds the line (RFC 7240): wait=N, else not at all for respond-async, else five seconds."""
    preferences: dict[str, str] = {}
    for preference in ",".join(request.headers.getlist("prefer")).lower().replace(" ", "").split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        preferences.setdefault(name, value.strip('"'))  # of one that is there twice the first counts
    wait = preferences.get("wait", "")
    if wait.isdecimal():
        return min(float(wait), MAX_WAIT_SECONDS)
    return 0.0 if "respond-async" in preferences else DEFAULT_WAIT_SECONDS
