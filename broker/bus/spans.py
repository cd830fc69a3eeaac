"""Spans for an OpenTelemetry collector, made from the hop times that travel with each item, after the work is done.

Off unless settings name a collector: then, and only then, is the SDK imported (the extra `otel`). A call site costs one
`if`, nothing is measured that was not measured anyway, and sending is a batch processor's business, in a thread of its
own. So many requests a second are told and no more (I6); attributes never hold a person, an id or free text (I8).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from broker.bus.tracing import TraceContext, read
from schemas import statuses
from schemas.interfaces import INTERFACES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.trace import SpanProcessor

MOST_A_SECOND = 100
_END_SECONDS = 2.0  # of a process's last words
_NANOSECONDS = 1_000_000
_OURS_TO_MEND = frozenset({statuses.OTHER, statuses.UNREACHABLE, statuses.TIMED_OUT, statuses.PARTIAL})

# The hops in their order; a span between two of them is named by what happened on the way to the second.
_WAY_OUT = {"received": "", "sent": "claim", "lane": "produce"}
_PROVINCE = {"lane": "", "opened": "wait in lane", "judged": "judge", "fetched": "fetch", "recorded": "record"}
_WAY_BACK = {**dict.fromkeys(_PROVINCE, ""), "replied": "reply", "collected": "collect", "answered": "answer"}


class Source(NamedTuple):
    """One province's part of a request: the `traceparent` its item carried, what came of it, hop times in unix ms."""

    trace: str
    province: str
    state: str
    status: int
    scenario: str
    attempt: int
    hops: Mapping[str, int]


class Spans:
    """Tells what has happened as spans; ids were chosen when it began, so that all parties' spans are one tree."""

    def __init__(self, processor: SpanProcessor, *, role: str, process: str) -> None:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # an extra, see above
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415

        self._ids = _given_ids()
        resource = Resource({"service.name": f"certlane-{role}", "service.instance.id": process})
        provider = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        provider.add_span_processor(processor)
        self._tracer, self._processor = provider.get_tracer("certlane"), processor
        self._second, self._told = 0, 0

    def admits(self) -> bool:
        """Whether one more may be told in this second; a trace that begins here is sampled when it may."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._told = second, 0
        return self._told < MOST_A_SECOND

    def request(
        self, here: TraceContext, *, interface: str, status: int, began_ms: int, ended_ms: int, sources: Sequence[Source]
    ) -> None:
        """A gateway's spans of one request: the call, each province's part, and of it the legs on our side."""
        if not self._begin(here):
            return
        row = INTERFACES[interface]
        told = {"certlane.interface": interface, "certlane.status": status}
        self._span(f"POST {row.path}", here, "SERVER", began_ms, ended_ms, told, failed=status in _OURS_TO_MEND)
        for source in sources:
            part = (read(source.trace) or here.child())._replace(parent_id=here.span_id)
            hops = {"received": began_ms, **source.hops, "answered": ended_ms}
            told = {
                "certlane.province": source.province,
                "certlane.state": source.state,
                "certlane.status": source.status,
                "certlane.scenario": source.scenario,
                "certlane.attempt": source.attempt,
            }
            failed = source.state in ("late", "unavailable")
            self._span("ask", part, "CLIENT", hops.get("sent", began_ms), ended_ms, told, failed=failed)
            if source.hops:
                self._legs(part, _WAY_OUT, hops)
                self._legs(part, _WAY_BACK, hops)

    def item(
        self,
        trace: str | None,
        *,
        interface: str,
        province: str,
        status: int,
        scenario: str,
        attempt: int,
        hops: Mapping[str, int],
    ) -> None:
        """An agent's spans of one item: its whole way through the province, and each stage."""
        asked = read(trace)
        if asked is None or not self._begin(asked):
            return
        here = asked.child()
        told = {
            "certlane.interface": interface if interface in INTERFACES else "other",
            "certlane.province": province,
            "certlane.status": status,
            "certlane.scenario": scenario,
            "certlane.attempt": attempt,
        }
        times = [hops[hop] for hop in _PROVINCE if hop in hops]
        if times:
            self._span("province", here, "SERVER", times[0], times[-1], told, failed=status in _OURS_TO_MEND)
            self._legs(here, _PROVINCE, hops)

    async def close(self) -> None:
        """Send what is left, for two seconds at most: the collector may be away."""
        try:
            async with asyncio.timeout(_END_SECONDS):
                await asyncio.to_thread(self._processor.shutdown)
        except TimeoutError:
            return

    def _begin(self, here: TraceContext) -> bool:
        """Whether this is told: its trace is sampled and there is room in this second."""
        if not here.sampled or not self.admits():
            return False
        self._told += 1
        return True

    def _legs(self, here: TraceContext, way: Mapping[str, str], hops: Mapping[str, int]) -> None:
        """A span between each two hops that follow each other on this way and are known."""
        for before, hop in itertools.pairwise(hop for hop in way if hop in hops):
            if way[hop]:
                self._span(way[hop], here.child(), "INTERNAL", hops[before], hops[hop], {})

    def _span(
        self,
        name: str,
        here: TraceContext,
        kind: str,
        start_ms: int,
        end_ms: int,
        attributes: Mapping[str, str | int],
        *,
        failed: bool = False,
    ) -> None:
        from opentelemetry import trace  # noqa: PLC0415  # an extra, see above

        context = None
        if here.parent_id:
            parent = trace.SpanContext(
                int(here.trace_id, 16), int(here.parent_id, 16), is_remote=True, trace_flags=trace.TraceFlags(1)
            )
            context = trace.set_span_in_context(trace.NonRecordingSpan(parent), trace.INVALID_SPAN and None)
        self._ids.chosen = here
