"""The exchange of one gateway instance: claim, publish, await, collect; every state it tells is final or says so."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from broker.bus.clock import now_ms
from broker.bus.greedy import Greedy
from broker.bus.lots import ExpiredError
from broker.bus.redis import RedisFailure
from broker.exchange.flights import Bounds, Expired, Flight, Flights
from broker.exchange.ledger import Claim, Claimed, EpochError, RebuildingError
from schemas.items import encode
from schemas.lot import LotError

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


class Pending(NamedTuple):
    """Accepted, durable, not answered yet."""

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


class Exchange:
    """What one instance asks and collects; what another instance began is joined through the book."""

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
        self._ledger, self._lanes, self._opener = ledger, lanes, opener
        self._incarnation, self._home = incarnation, home
        self._claims: Greedy[Claim, Claimed] = Greedy(self._claim_all, max_items=_CLAIMS_A_CALL)
        self._sent: Greedy[str, None] = Greedy(self._sent_all, max_items=_CLAIMS_A_CALL)
        self._settling: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.flights = Flights(bounds)
        self.joined: dict[str, asyncio.Event] = {}

    async def ask(
        self, item: RequestItem, *, province: str, digest: str, per_second: int, nonce: str, wait_seconds: float
    ) -> Answer | Expired | Pending:
        """Publish a request and wait for its end; the same id and digest again joins the first.

        Raises ConflictError, RateError, NonceError, GoneError, UnavailableError.
        """
        ends = asyncio.get_running_loop().time() + max(wait_seconds - _WAY_BACK_SECONDS, 0)
        flight = self.flights.get(item.id)
        if flight is None:
            self._admit(province, item.application)
            claim = Claim(item.id, digest, item.deadline, province, item.application, per_second, nonce)
            claimed = await self._claimed(claim)
            if claimed.verdict == "expired":
                return Expired(item.deadline)
            if claimed.verdict in ("answered", "join"):
                return await self._follow(item.id, ends)
            flight = self.flights.get(item.id) or self._take_off(claim._replace(deadline_ms=claimed.deadline_ms), item)
        if flight.claim.digest != digest:
            raise ConflictError
        return await self._land(flight, ends)

    async def look(self, request_id: str, application: str) -> Answer | Expired | Pending | None:
        """The state of a request, None when unknown or not this application's; raises GoneError, UnavailableError."""
        known = await self._find(request_id)
        if known is None or known.application != application:
            return None
        return await self._conclude(known)

    def close(self) -> None:
        """Let nobody wait any longer: each caller is told what is known."""
        if not self._closing.done():
            self._closing.set_result(None)

    def taken(self, answer: Answer, verdict: int) -> None:
        """The book has taken an item (1), or holds another reply of it already (0)."""
        if verdict == 1:
            self.flights.end(answer.item.id, answer)
        elif verdict == 0 and self.flights.get(answer.item.id):
            self._settle_soon(answer.item.id)

    def drained(self, read_ms: int) -> None:
        """Our home was read up to this append time: what should have been answered by then is looked up."""
        for request_id in self.flights.overdue(read_ms):
            self._settle_soon(request_id)

    def replaced(self) -> None:
        """The reader took its place again: what it had written before without telling us is looked up."""
        for flight in self.flights:
            self._settle_soon(flight.claim.request_id)

    def _settle_soon(self, request_id: str) -> None:
        task = asyncio.ensure_future(self._settle(request_id))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle(self, request_id: str) -> None:
        """End a flight as the book says; there is no other way to say that it has expired."""
        try:
            known = await self._find(request_id)
            state = await self._conclude(known) if known else None
        except (GoneError, UnavailableError):
            state = None
        if isinstance(state, Pending | None):
            if flight := self.flights.get(request_id):
                self.flights.remind(flight)
        else:
            self.flights.end(request_id, state)

    async def _find(self, request_id: str) -> Known | None:
        try:
            return await self._ledger.find(request_id)
        except RebuildingError as error:
            raise UnavailableError("answers") from error
        except RedisFailure as error:
            raise UnavailableError("redis", retry_after=1) from error

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
        if self._closing.done():
            raise UnavailableError("lane", retry_after=1)
        if self.flights.full(province):
            raise UnavailableError("lane", retry_after=1)
        if self.flights.greedy(application):
            raise RateError
        if self._lanes()[province].lots.oldest_seconds() > _STUCK_SECONDS:
            raise UnavailableError("kafka")

    def _take_off(self, claim: Claim, item: RequestItem) -> Flight:
        sent = self._lanes()[claim.province].put(encode(replace(item, deadline=claim.deadline_ms)), claim.deadline_ms)
        sent.add_done_callback(lambda done: self._note_sent(claim.request_id, done))
        return self.flights.begin(claim, sent)

    def _note_sent(self, request_id: str, done: asyncio.Future[int]) -> None:
        if not done.cancelled() and done.exception() is None and self.flights.get(request_id):
            self._sent.put(request_id)

    async def _sent_all(self, request_ids: list[str]) -> Sequence[None]:
        await self._ledger.sent(request_ids)
        return [None] * len(request_ids)

    async def _land(self, flight: Flight, ends: float) -> Answer | Expired | Pending:
        """Wait for the flight's end; past the caller's wait, or when Kafka is silent, say what is known of it."""
        ended, sent = flight.ended, flight.sent
        left = max(ends - asyncio.get_running_loop().time(), 0)
        await _first([ended, sent], min(max(left, _ACCEPT_SECONDS), _SILENT_SECONDS))
        if not ended.done() and sent.done() and sent.exception() is None:
            await _first([ended, self._closing], ends - asyncio.get_running_loop().time())
        if ended.done():
            return ended.result()
        if not sent.done():
            raise UnavailableError("kafka", known=False)
        if sent.exception() is None or isinstance(sent.exception(), ExpiredError):
            return Pending(flight.claim.deadline_ms)
        if self.flights.drop(flight.claim.request_id):  # the produce failed for good: a repeat may produce again
            with contextlib.suppress(*RedisFailure):
                await self._ledger.fail(flight.claim.request_id)
        raise UnavailableError("kafka", known=False)

    async def _follow(self, request_id: str, ends: float) -> Answer | Expired | Pending:
        """Wait for the end of a request that another instance, or an earlier call, began."""
        event = self.joined.setdefault(request_id, asyncio.Event())
        try:
            while True:
                known = await self._find(request_id)
                if known is None:
                    raise UnavailableError("answers")
                state = await self._conclude(known)
                left = ends - asyncio.get_running_loop().time()
                if not isinstance(state, Pending):
                    return state
                if left <= 0 or self._closing.done():
                    if known.sent:
                        return state
                    raise UnavailableError("kafka", known=False)  # its instance may have died before it was sent
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(event.wait(), min(left, _LOOK_SECONDS))
        finally:
            self.joined.pop(request_id, None)

    async def _conclude(self, known: Known) -> Answer | Expired | Pending:
        if not known.pointer:
            return Expired(known.deadline_ms) if known.drained_ms > known.deadline_ms else Pending(known.deadline_ms)
        lot_id, place, appended = known.pointer.split("/")
        try:
            record = await self._ledger.lot(lot_id)
            if record is None:
                raise GoneError
            return self._opener.open(record, int(appended))[1][int(place)]
        except RedisFailure as error:
            raise UnavailableError("redis", retry_after=1) from error
        except LotError as error:  # its key was revoked meanwhile
            raise GoneError from error


async def _first(futures: list[asyncio.Future[Any]], seconds: float) -> None:
    """Wait until one of these is done, or so long."""
    await asyncio.wait(futures, timeout=max(seconds, 0), return_when="FIRST_COMPLETED")
