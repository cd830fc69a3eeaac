"""W3C Trace Context, version 00: which trace a request belongs to, through HTTP, lots and replies.

`tracestate` is not carried: it is other vendors' data, up to 512 bytes of it, and may hold anything (I8).
"""

from __future__ import annotations

import hashlib
import random
import re
from typing import TYPE_CHECKING, NamedTuple

from broker.bus.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.bus.spans import Spans

HEADER = "traceparent"
_SAMPLED = 0x01
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL)
_INVALID_VERSION, _NO_TRACE, _NO_SPAN = "ff", "0" * 32, "0" * 16


class TraceContext(NamedTuple):
    """One span's place in its trace: hex ids, whether somebody records it, and the span it was begun from."""

    trace_id: str
    span_id: str
    sampled: bool
    parent_id: str = ""

    @property
    def header(self) -> str:
        """As it travels: always version 00, and of the flags the one that version knows."""
        return f"00-{self.trace_id}-{self.span_id}-{self.sampled:02x}"

    def child(self) -> TraceContext:
        """A new span of the same trace, begun from this one."""
        return self._replace(span_id=_random(64), parent_id=self.span_id)

    def asking(self, province: str) -> TraceContext:
        """The span in which this one asks a province.

        All provinces get the same bytes, so its id is not sent along: whoever knows both names knows it.
        """
        span_id = hashlib.blake2b(f"{self.span_id}{province}".encode(), digest_size=8).hexdigest()
        return self._replace(span_id=span_id, parent_id=self.span_id)


class Source(NamedTuple):
    """One province's part of a request: what came of it, and hop times in unix ms."""

    province: str
    state: str
    status: int
    scenario: str
    attempt: int
    hops: Mapping[str, int]


def read(header: str | None) -> TraceContext | None:
    """The context that a `traceparent` names, None when it is absent or invalid (Trace Context §3.2).

    A later version is read as far as version 00 goes (§3.3); version 00 with anything behind it is invalid.
    """
    match = _FORM.fullmatch(header or "")
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == _INVALID_VERSION or trace_id == _NO_TRACE or span_id == _NO_SPAN or (more and version == "00"):
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def begun(headers: Sequence[str], *, sampled: bool) -> TraceContext:
    """Our span for a call with these `traceparent` headers: in the caller's trace, with its flag, else in a new one.

    A header that is invalid or comes twice is passed over (§3.2.2); `sampled` is for the traces that begin here.
    """
    caller = read(headers[0].strip(" \t")) if len(headers) == 1 else None
    return caller.child() if caller else TraceContext(_random(128), _random(64), sampled)


def connect(otlp: str, *, role: str, process: str) -> Spans | None:
    """Who tells spans to this collector (OTLP over HTTP), None without one; raises SettingsError without the extra."""
    if not otlp:
        return None
    try:
        from broker.bus.spans import to_collector  # noqa: PLC0415  # 10 MB that nobody carries who does not ask for it
    except ImportError as error:
        raise SettingsError("`otlp` is set, but OpenTelemetry is not installed: install certlane[otel]") from error
    return to_collector(otlp, role=role, process=process)


def _random(bits: int) -> str:
    """An id that is not zero; ids are names, not secrets."""
    return f"{random.getrandbits(bits) or 1:0{bits // 4}x}"
