"""Spans for an OpenTelemetry collector, made from the hop times that travel with each item, after the work is done.

Imported only where settings name a collector (`tracing.connect`). Nothing is measured that was not measured anyway, and
sending is the batch processor's business, in a thread of its own. Only so many requests a second are told (I6), and
attributes never hold a person, an id or free text (I8).
"""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from broker.bus.tracing import TraceContext, read
from schemas.answers import MISSING
from schemas.interfaces import INTERFACES
from schemas.statuses import NO_ANSWER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.sdk.trace import SpanProcessor

    from broker.bus.tracing import Source

MOST_A_SECOND = 100
_SEND_SECONDS = 2.0
_QUEUE, _DELAY_MS = 4_096, 1_000  # two seconds' worth of requests with four sources each
_NANOSECONDS = 1_000_000  # in a millisecond

# The hops in their order; a span between two of them bears the name of the later one's row, none where it is empty.
_WAY_OUT = {"received": "", "lane": "produce"}
_PROVINCE = {"lane": "", "opened": "wait in lane", "judged": "judge", "fetched": "fetch", "recorded": "record"}
_WAY_BACK = {**dict.fromkeys(_PROVINCE, ""), "replied": "reply", "answered": "answer"}


class _ChosenIds(IdGenerator):
    """The ids of the next span: they were chosen when it began, so that all parties' spans are one tree."""

    def __init__(self) -> None:
        self.next = TraceContext("", "", sampled=True)

    def generate_span_id(self) -> int:
        return int(self.next.span_id, 16)

    def generate_trace_id(self) -> int:
        return int(self.next.trace_id, 16)


class Spans:
    """Tells what has happened, in the traces that are sampled and as far as there is room in this second."""

    def __init__(
        self, processor: SpanProcessor, *, role: str, process: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ids, self._processor, self._clock = _ChosenIds(), processor, clock
        resource = Resource({"service.name": f"certlane-{role}", "service.instance.id": process})
        provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=self._ids)
        provider.add_span_processor(processor)
        self._tracer = provider.get_tracer("certlane")
        self._second, self._told = 0, 0

    def admits(self) -> bool:
        """Whether one more may be told in this second; a trace that begins here is sampled when it may."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._told = second, 0
        return self._told < MOST_A_SECOND

    def request(
        self,
        here: TraceContext,
        *,
        interface: str,
        status: int,
        began_ms: int,
        ended_ms: int,
        sources: Sequence[Source],
    ) -> None:
        """A gateway's spans of one request: the call, in it each province's part, in that the legs on our side."""
        if not self._takes(here):
            return
        about: dict[str, str | int] = {"certlane.interface": interface, "certlane.status": status}
        name = f"POST {INTERFACES[interface].path}"
        self._span(name, here, SpanKind.SERVER, (began_ms, ended_ms), about, failed=status in NO_ANSWER)
        for source in sources:
            part = here.asking(source.province)
            hops = {"received": began_ms, **source.hops, "answered": ended_ms}
            about = _about(source, interface)
            failed = source.state in MISSING
            self._span("ask", part, SpanKind.CLIENT, (began_ms, ended_ms), about, failed=failed)
            if "lane" in hops:
                self._legs(part, _WAY_OUT, hops)
                self._legs(part, _WAY_BACK, hops)

    def item(self, trace: str | None, *, interface: str, part: Source) -> None:
        """An agent's spans of one item with this `traceparent`: its way through the province, and in it each stage."""
        asked = read(trace)
        times = [part.hops[hop] for hop in _PROVINCE if hop in part.hops]
        if asked is None or not times or not self._takes(asked):
            return
        here = asked.asking(part.province).child()
        known = interface if interface in INTERFACES else "other"  # a stranger may have written it
        about = _about(part, known)
        failed = part.status in NO_ANSWER
        self._span("province", here, SpanKind.SERVER, (times[0], times[-1]), about, failed=failed)
        self._legs(here, _PROVINCE, part.hops)

    def close(self) -> None:
        """Send what is left, for two seconds at most: the last thing a process does; the collector may be away."""
        end = threading.Thread(target=self._processor.shutdown, daemon=True)
        end.start()
        end.join(_SEND_SECONDS)

    def _takes(self, here: TraceContext) -> bool:
        if not here.sampled or not self.admits():
            return False
        self._told += 1
        return True

    def _legs(self, here: TraceContext, way: Mapping[str, str], hops: Mapping[str, int]) -> None:
        """A span between each two known hops that follow each other on this way."""
        for before, hop in itertools.pairwise(hop for hop in way if hop in hops):
            if way[hop]:
                self._span(way[hop], here.child(), SpanKind.INTERNAL, (hops[before], hops[hop]), {})

    def _span(
        self,
        name: str,
        here: TraceContext,
        kind: SpanKind,
        times: tuple[int, int],
        about: Mapping[str, str | int],
        *,
        failed: bool = False,
    ) -> None:
        """One span that began and ended at these unix times (ms); clocks of two parties may differ by a little."""
        self._ids.next = here
        start, end = times[0], max(times)
        span = self._tracer.start_span(
            name, _parent(here), kind, about, start_time=start * _NANOSECONDS, record_exception=False
        )
        if failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end * _NANOSECONDS)


def to_collector(otlp: str, *, role: str, process: str) -> Spans:
    """Spans sent to the collector at this address, for example http://127.0.0.1:4318."""
    exporter = OTLPSpanExporter(f"{otlp.rstrip('/')}/v1/traces", timeout=_SEND_SECONDS)
    batches = BatchSpanProcessor(exporter, max_queue_size=_QUEUE, schedule_delay_millis=_DELAY_MS)
    return Spans(batches, role=role, process=process)


def _about(part: Source, interface: str) -> dict[str, str | int]:
    return {
        "certlane.interface": interface,
        "certlane.province": part.province,
        "certlane.state": part.state,
        "certlane.status": part.status,
        "certlane.scenario": part.scenario,
        "certlane.attempt": part.attempt,
    }


def _parent(here: TraceContext) -> Context:
    if not here.parent_id:
        return Context()
    parent = SpanContext(int(here.trace_id, 16), int(here.parent_id, 16), is_remote=True, trace_flags=TraceFlags(1))
    return set_span_in_context(NonRecordingSpan(parent), Context())
