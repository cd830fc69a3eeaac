"""What a conversation asks of whoever does the sending, and what it is told in return; times in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Send(NamedTuple):
    """Send this and tell what came: `got` or `broke`.

    `authorised`: it carries the token, a `fresh` one when the last one was not accepted.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout_seconds: float
    authorised: bool
    fresh: bool


class Pause(NamedTuple):
    """Nothing to send for so long."""

    seconds: float


class Got(NamedTuple):
    """A whole response; names of headers in lower case."""

    http: int
    headers: Mapping[str, str]
    body: bytes


class Letter(NamedTuple):
    """What is sent, whichever gateway it goes to; `write` makes the body for the gateway at this address.

    `held_seconds` is how long a gateway may hold the line before it answers.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    write: Callable[[str], bytes]
    held_seconds: float = 0.0
    authorised: bool = True


def nothing(_gateway: str) -> bytes:
    """The body of a letter that has none."""
    return b""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds (RFC 9110 §10.2.3); None when it is absent or a date, which ours never is."""
    told = headers.get("retry-after", "").strip()
    return float(told) if told.isdecimal() and len(told) < 6 else None
