"""The requests of one instance between their claim and their end; bounded in all, by lane and by application."""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING, NamedTuple

from broker.bus import telemetry
from broker.exchange.state import Missing, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from broker.exchange.ledger import Claim
    from broker.exchange.state import Part

_SLACK = 1_024


class Bounds(NamedTuple):
    """How many requests may be under way, in all, to one province, from one application."""

    in_all: int
    per_lane: int
    per_application: int


class Flight(NamedTuple):
    """One request under way: what was claimed, what came of each province, when all did, when Kafka had it."""

    claim: Claim
    parts: dict[str, Part]
    asked: Sequence[str]  # the provinces we sent it to
    ended: asyncio.Future[None]
    sent: asyncio.Future[object]

    @property
    def state(self) -> State:
        return State(self.claim.deadline_ms, self.parts, self.claim.chosen)

    @property
    def entry(self) -> Claim:
        """The claim as the book should have it: durable or not, with every province that was not asked."""
        away = tuple(one for one, part in self.parts.items() if part is Missing.UNAVAILABLE)
        sent = self.sent.done() and not self.sent.cancelled() and self.sent.exception() is None
        return self.claim._replace(away=away, sent=sent)


class Flights:
    """The table of what is under way."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._by_id: dict[str, Flight] = {}
        self._deadlines: list[tuple[int, str]] = []
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Flight]:
        return iter(list(self._by_id.values()))

    def get(self, request_id: str) -> Flight | None:
        return self._by_id.get(request_id)

    def full(self, province: str = "") -> bool:
        """Whether nothing more may go to this province now, or without one to any."""
        return len(self._by_id) >= self._bounds.in_all or self._counts.get(province, 0) >= self._bounds.per_lane

    def greedy(self, application: str) -> bool:
        """Whether this application has as much under way as it may."""
        return self._counts.get("@" + application, 0) >= self._bounds.per_application

    def begin(self, claim: Claim, asked: Sequence[str], sent: asyncio.Future[object]) -> Flight:
        """Enter a request; done before anything can be sent, because a reply may be faster than we are."""
        parts: dict[str, Part] = dict.fromkeys(claim.provinces, Missing.PENDING)
        parts |= dict.fromkeys(claim.away, Missing.UNAVAILABLE)
        flight = Flight(claim, parts, asked, asyncio.get_running_loop().create_future(), sent)
        self._by_id[claim.request_id] = flight
        self.remind(flight)
        self._count(flight, 1)
        return flight

    def take(self, request_id: str, province: str, part: Part) -> None:
        """A province's part has ended; when it was the last one, whoever waits here is told."""
        flight = self._by_id.get(request_id)
        if flight is None or flight.parts.get(province) is not Missing.PENDING:
            return
        flight.parts[province] = part
        if flight.state.final:
            self.drop(request_id)
            if not flight.ended.done():
                flight.ended.set_result(None)

    def drop(self, request_id: str) -> Flight | None:
        """Take a request out of the table."""
        flight = self._by_id.pop(request_id, None)
        if flight:
            self._count(flight, -1)
        return flight

    def remind(self, flight: Flight) -> None:
        """Look at this request again once its deadline has been read past."""
        if len(self._deadlines) > 2 * len(self._by_id) + _SLACK:  # those that ended long before their deadline
            self._deadlines = [(one.claim.deadline_ms, name) for name, one in self._by_id.items()]
            heapq.heapify(self._deadlines)
        heapq.heappush(self._deadlines, (flight.claim.deadline_ms, flight.claim.request_id))

    def overdue(self, read_ms: int) -> list[str]:
        """Requests under way whose deadline lies before this append time; each is told once."""
        out = []
        while self._deadlines and self._deadlines[0][0] < read_ms:
            request_id = heapq.heappop(self._deadlines)[1]
            if request_id in self._by_id:
                out.append(request_id)
        return out

    def any_past(self, now: int) -> bool:
        """Whether a deadline has passed and only the end of the partition is wanted."""
        while self._deadlines and self._deadlines[0][1] not in self._by_id:
            heapq.heappop(self._deadlines)
        return bool(self._deadlines) and self._deadlines[0][0] <= now

    def _count(self, flight: Flight, step: int) -> None:
        for name in (*flight.asked, "@" + flight.claim.application):
            self._counts[name] = self._counts.get(name, 0) + step
        telemetry.IN_FLIGHT.set(len(self._by_id))
