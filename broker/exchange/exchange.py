"""The exchange of one gateway instance: claim, publish, await, collect; every state it tells is final or says so."""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.greedy import Greedy
from broker.bus.lots import ExpiredError
from broker.bus.redis import RedisFailure
from broker.exchange.ledger import Claim, Claimed, EpochError, RebuildingError
from schemas.items import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from broker.bus.lots import Lane
    from broker.exchange.ledger import Known, Ledger
    from broker.exchange.replies import Answer, ReplyOpener
    from schemas.items import RequestItem

_ACCEPT_SECONDS = 1.0  # a caller who does not wait is still told whether Kafka has the request
_WAY_BACK_SECONDS = 0.1  # what is told at the end of a caller's wait should reach the caller within it
_SILENT_SECONDS = 3.0  # an unacknowledged request: the caller is told, the request may still go out
_LOOK_SECONDS = 0.5
_STUCK_SECONDS = 1.5
_CLAIMS_A_CALL = 256


class Bounds(NamedTuple):
    """How many requests may be under way, in all, to one province, from one application."""

    in_all: int
    per_lane: int
    per_application: int


class Pending(NamedTuple):
    """Accepted, durable, not answered yet."""

    deadline_ms: int


class Expired(NamedTuple):
    """No reply was appended by the deadline, and the reply partition was read past it."""

    deadline_ms: int


class ConflictError(Exception):
    """The id names another request."""


class RateError(Exception):
    """The application asks faster than it may."""


class NonceError(Exception):
    """The nonce was used for another request."""


class GoneError(Exception):
    """It was answered, and the answer is no longer kept."""


class UnavailableError(Exception):
    """Not now: `part` says what is away, `known` whether nothing was produced."""

    def __init__(self, part: str, *, known: bool = True, retry_after: int = 2) -> None:
        super().__init__(part)
        self.part, self.known, self.retry_after = part, known, retry_after


class Flight(NamedTuple):
    """A request of this instance between its claim and its end."""

    claim: Claim
    ended: asyncio.Future[Answer | Expired]
    sent: asyncio.Future[int]


class Exchange:
    """Requests in flight of one instance; what another instance began is joined through the book."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        lanes: Callable[[], Mapping[str, Lane]],
        opener: ReplyOpener,
        bounds: Bounds,
        incarnation: str,
        home: Callable[[], int],
    ) -> None:
        self._ledger, self._lanes, self._opener, self._bounds = ledger, lanes, opener, bounds
        self._incarnation, self._home = incarnation, home
        self._claims: Greedy[Claim, Claimed] = Greedy(self._claim_all, max_items=_CLAIMS_A_CALL)
        self._sent: Greedy[str, None] = Greedy(self._sent_all, max_items=_CLAIMS_A_CALL)
        self.flights: dict[str, Flight] = {}
        self._deadlines: list[tuple[int, str]] = []
        self._counts: dict[str, int] = {}
        self.joined: dict[str, asyncio.Event] = {}

    async def ask(
        self, item: RequestItem, *, province: str, digest: str, per_second: int, nonce: str, wait_seconds: float
    ) -> Answer | Expired | Pending:
        """Publish a request and wait for its end; the same id and digest again joins the first.

        Raises ConflictError, RateError, NonceError, GoneError, UnavailableError.
        """
        ends = asyncio.get_running_loop().time() + max(wait_seconds - _WAY_BACK_SECONDS, 0)
        self._admit(province, item.application)
        claim = Claim(item.id, digest, item.deadline, province, item.application, per_second, nonce)
        claimed = await self._claimed(claim)
        if claimed.verdict in ("answered", "join"):
            return await self._follow(item.id, ends)
        flight = self.flights.get(item.id)
        if flight is None:
            flight = self._take_off(claim._replace(deadline_ms=claimed.deadline_ms), item)
        return await self._land(flight, ends)

    async def look(self, request_id: str, application: str) -> Answer | Expired | Pending | None:
        """The state of a request, None when unknown or not this application's; raises GoneError, UnavailableError."""
        try:
            known = await self._ledger.find(request_id)
        except RebuildingError as error:
            raise UnavailableError("answers") from error
        except RedisFailure as error:
            raise UnavailableError("redis") from error
        if known is None or known.application != application:
            return None
        return await self._conclude(known)

    async def _claimed(self, claim: Claim) -> Claimed:
        try:
            claimed = await self._claims.put(claim)
        except RebuildingError as error:
            raise UnavailableError("answers") from error
        except (EpochError, *RedisFailure) as error:
            raise UnavailableError("redis", retry_after=1) from error
        refusal = {"conflict": ConflictError, "rate": RateError, "nonce": NonceError}.get(claimed.verdict)
        if refusal:
            raise refusal
        return claimed

    async def _claim_all(self, claims: list[Claim]) -> Sequence[Claimed | Exception]:
        return await self._ledger.claim(claims, incarnation=self._incarnation, partition=self._home(), now=now_ms())

    def _admit(self, province: str, application: str) -> None:
        counts, bounds = self._counts, self._bounds
        if len(self.flights) >= bounds.in_all or counts.get(province, 0) >= bounds.per_lane:
            raise UnavailableError("lane", retry_after=1)
        if counts.get("@" + application, 0) >= bounds.per_application:
            raise RateError
        if self._lanes()[province].lots.oldest_seconds() > _STUCK_SECONDS:
            raise UnavailableError("kafka")

    def _take_off(self, claim: Claim, item: RequestItem) -> Flight:
        """Register at once, before anything can be sent: a reply may be faster than we are."""
        sent = self._lanes()[claim.province].put(encode(replace(item, deadline=claim.deadline_ms)), claim.deadline_ms)
        flight = Flight(claim, asyncio.get_running_loop().create_future(), sent)
        sent.add_done_callback(lambda done: self._note_sent(claim.request_id, done))
        self.flights[claim.request_id] = flight
        heapq.heappush(self._deadlines, (claim.deadline_ms, claim.request_id))
        self._count(claim, 1)
        return flight

    def _note_sent(self, request_id: str, done: asyncio.Future[int]) -> None:
        if not done.cancelled() and done.exception() is None and request_id in self.flights:
            self._sent.put(request_id)

    async def _sent_all(self, request_ids: list[str]) -> Sequence[None]:
        await self._ledger.sent(request_ids)
        return [None] * len(request_ids)

    def _count(self, claim: Claim, step: int) -> None:
        for name in (claim.province, "@" + claim.application):
            self._counts[name] = self._counts.get(name, 0) + step
        telemetry.IN_FLIGHT.set(len(self.flights))

    def end(self, request_id: str, result: Answer | Expired) -> None:
        """A flight has ended; whoever waits here is told."""
        if flight := self.flights.pop(request_id, None):
            self._count(flight.claim, -1)
            if not flight.ended.done():
                flight.ended.set_result(result)

    async def _land(self, flight: Flight, ends: float) -> Answer | Expired | Pending:
        """Wait for the flight's end; past the caller's wait, or when Kafka is silent, say what is known of it."""
        left = max(ends - asyncio.get_running_loop().time(), 0)
        either: list[asyncio.Future[Any]] = [flight.ended, flight.sent]
        await asyncio.wait(
            either, timeout=min(max(left, _ACCEPT_SECONDS), _SILENT_SECONDS), return_when="FIRST_COMPLETED"
        )
        if not flight.ended.done() and flight.sent.done():
            await asyncio.wait([flight.ended], timeout=max(ends - asyncio.get_running_loop().time(), 0))
        if flight.ended.done():
            return flight.ended.result()
        if not flight.sent.done():
            raise UnavailableError("kafka", known=False)
        if flight.sent.exception() is None or isinstance(flight.sent.exception(), ExpiredError):
            return Pending(flight.claim.deadline_ms)
        await self._failed(flight.claim)
        raise UnavailableError("kafka", known=False)

    async def _failed(self, claim: Claim) -> None:
        """The produce failed for good: a repeat may produce again."""
        if self.flights.pop(claim.request_id, None):
            self._count(claim, -1)
        try:
            await self._ledger.fail(claim.request_id)
        except RedisFailure as error:
            raise UnavailableError("redis", known=False) from error

    async def _follow(self, request_id: str, ends: float) -> Answer | Expired | Pending:
        """Wait for the end of a request that another instance, or an earlier call, began."""
        event = self.joined.setdefault(request_id, asyncio.Event())
        try:
            while True:
                try:
                    known = await self._ledger.find(request_id)
                except (RebuildingError, *RedisFailure) as error:
                    raise UnavailableError("redis") from error
                if known is None:
                    raise UnavailableError("answers")
                state = await self._conclude(known)
                left = ends - asyncio.get_running_loop().time()
                if not isinstance(state, Pending):
                    return state
                if left <= 0:
                    if known.sent:
                        return state
                    raise UnavailableError("kafka", known=False)  # its instance may have died before it was sent
                try:
                    await asyncio.wait_for(event.wait(), min(left, _LOOK_SECONDS))
                except TimeoutError:
                    continue
        finally:
            self.joined.pop(request_id, None)

    async def _conclude(self, known: Known) -> Answer | Expired | Pending:
        if not known.pointer:
            return Expired(known.deadline_ms) if known.drained_ms > known.deadline_ms else Pending(known.deadline_ms)
        lot_id, place, appended = known.pointer.split("/")
        try:
            record = await self._ledger.lot(lot_id)
        except RedisFailure as error:
            raise UnavailableError("redis") from error
        if record is None:
            raise GoneError
        return self._opener.open(record, int(appended))[1][int(place)]

    def taken(self, answer: Answer, verdict: int) -> None:
        """The book has taken an item (1), or holds another reply of it already (0)."""
        if verdict == 1:
            self.end(answer.item.id, answer)
        elif verdict == 0 and answer.item.id in self.flights:
            asyncio.ensure_future(self._collect(answer.item.id))  # noqa: RUF006  # ends by itself, in milliseconds

    async def _collect(self, request_id: str) -> None:
        """What another instance wrote into the book ends our flight too."""
        try:
            known = await self._ledger.find(request_id)
            state = await self._conclude(known) if known else None
        except (RebuildingError, GoneError, UnavailableError, *RedisFailure):
            return
        if state is not None and not isinstance(state, Pending):
            self.end(request_id, state)

    def drained(self, read_ms: int) -> None:
        """Our home was read up to this append time: what should have been answered by then has expired."""
        while self._deadlines and self._deadlines[0][0] < read_ms:
            deadline, request_id = heapq.heappop(self._deadlines)
            self.end(request_id, Expired(deadline))

    def overdue(self, now: int) -> bool:
        """Whether a flight's deadline has passed and only the end of the partition is wanted."""
        while self._deadlines and self._deadlines[0][1] not in self.flights:
            heapq.heappop(self._deadlines)
        return bool(self._deadlines) and self._deadlines[0][0] <= now
