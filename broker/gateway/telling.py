"""What is told of a request once its caller has been answered: metrics, and spans where somebody collects them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.tracing import Source
from broker.exchange.state import Answer
from broker.gateway.merging import standing

if TYPE_CHECKING:
    from broker.bus.spans import Spans
    from broker.bus.tracing import TraceContext
    from broker.exchange.state import State
    from schemas.interfaces import Interface


def tell(interface: Interface, state: State, status: int, received_ms: int) -> None:
    """Count an answered request, and each of its parts as it was when the caller was answered."""
    ended = now_ms()
    telemetry.answered(interface.key, status, (ended - received_ms) / 1000)
    for province, part in state.parts.items():
        ended_ms = part.appended_ms if isinstance(part, Answer) else ended
        telemetry.part(province, standing(part)[0], max(ended_ms - received_ms, 0) / 1000)


def trace(
    spans: Spans, here: TraceContext, *, interface: Interface, state: State, status: int, received_ms: int
) -> None:
    """Tell the collector of the request and of each province's part."""
    sources = [_source(province, state) for province in state.parts]
    spans.request(
        here, interface=interface.key, status=status, began_ms=received_ms, ended_ms=now_ms(), sources=sources
    )


def _source(province: str, state: State) -> Source:
    part = state.parts[province]
    name, status = standing(part)
    if not isinstance(part, Answer):
        return Source(province, name, status, "", 1, {})
    item = part.item
    return Source(province, name, status, item.scenario, item.attempt, {**item.hops, "replied": part.appended_ms})
