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
from broker.exchange.errors import ConflictError, GoneError, NonceError, RateError, UnavailableError
from broker.exchange.flights import Bounds, Flight, Flights
from broker.exchange.ledger import Claim, Claimed, EpochError, RebuildingError
from broker.exchange.looks import Looks
from broker.exchange.state import Answer, Missing, State
from schemas.items import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from broker.bus.lots import Lane
    from broker.exchange.ledger import Ledger
    from broker.exchange.replies import ReplyOpener
    from schemas.items import RequestItem

_ACCEPT_SECONDS = 1.0  # a caller who does not wait is still told whether Kafka has the request
_WAY_BACK_SECONDS = 0.1  # what is told at the end of a caller's wait should reach the caller within it
_SILENT_SECONDS = 3.0  # an unacknowledged request: the caller is told, the request may still go out
_LOOK_SECONDS = 0.5
_STUCK_SECONDS = 1.5
_CLAIMS_A_CALL = 256
_FLOOD = 100


class Asking(NamedTuple):
    """A request on its way in: the provinces it is for, its digest, its application's rate, the caller's nonce."""

    item: RequestItem
    provinces: tuple[str, ...]
    digest: str
    per_second: int
    nonce: str


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
        staffed: Callable[[str], bool],
    ) -> None:
        self._ledger, self._lanes, self._staffed = ledger, lanes, staffed
        self._looks = Looks(ledger, opener)
        self._incarnation, self._home = incarnation, home
        self._claims: Greedy[Claim, Claimed] = Greedy(self._claim_all, max_items=_CLAIMS_A_CALL)
        self._sent: Greedy[str, None] = Greedy(self._sent_all, max_items=_CLAIMS_A_CALL)
        self._settling: set[asyncio.Task[None]] = set()
        self._unsaid: set[str] = set()  # durable in Kafka, and the book could not be told
        self._floods: dict[str, tuple[int, int]] = {}  # of an application: the second, and how many it was refused
        self._closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.flights = Flights(bounds)
        self.joined: dict[str, set[asyncio.Event]] = {}

    async def ask(self, asking: Asking, *, wait_seconds: float) -> State:
        """Publish a request and wait for its end; the same id and digest again joins the first.

        A province without a ready agent is not asked, and its part ends so. Raises ConflictError, RateError,
        NonceError, GoneError, UnavailableError.
        """
        item = asking.item
        ends = asyncio.get_running_loop().time() + max(wait_seconds - _WAY_BACK_SECONDS, 0)
        flight, left = self.flights.get(item.id), -1
        if flight is None:
            claim = self._claim_of(asking)
            claimed = await self._claimed(claim)
            left = claimed.left
            if claimed.verdict == "expired":
                return State(item.deadline, dict.fromkeys(asking.provinces, Missing.EXPIRED), bool(item.sources))
            if claimed.verdict in ("answered", "join"):
                return await self._follow(item.id, ends)
            flight = self.flights.get(item.id)
            if flight is None:
                flight = self._take_off(claim, claimed, item)
                if claimed.verdict != "new":
                    await self._settle(item.id)  # what had ended before lies in the book
        if flight.claim.digest != asking.digest:
            raise ConflictError
        return (await self._land(flight, ends))._replace(left=left)

    def hot(self, application: str) -> bool:
        """Whether this application floods us: far beyond its rate, it is not even read before the second is over.

        A repeat of what was accepted is no new request, so that somewhat beyond its rate each request is looked at.
        """
        second, refused = self._floods.get(application, (0, 0))
        return refused >= _FLOOD and second == now_ms() // 1000

    async def look(self, request_id: str, application: str) -> State | None:
        """The state of a request, None when unknown or not this application's; raises GoneError, UnavailableError."""
        known = await self._looks.find(request_id)
        if known is None or known.application != application:
            return None
        return await self._looks.conclude(known)

    def close(self) -> None:
        """Let nobody wait any longer: each caller is told what is known."""
        if not self._closing.done():
            self._closing.set_result(None)

    def taken(self, answer: Answer, verdict: int) -> None:
        """The book has taken an item (1), or holds another reply of it already (0)."""
        if verdict == 1:
            self.flights.take(answer.item.id, answer.province, answer)
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
        """End a flight as the book says; there is no other way to say that a part has expired."""
        flight = self.flights.get(request_id)
        if flight is None:
            return
        try:
            known = await self._looks.find(request_id)
            parts = (await self._looks.conclude(known, flight.parts)).parts if known else {}
        except GoneError:  # answered, and not to be opened any more: a look says so
            if self.flights.drop(request_id) and not flight.ended.done():
                flight.ended.set_result(None)
            return
        except UnavailableError:
            parts = {}
        for province, part in parts.items():
            if part is not Missing.PENDING:
                self.flights.take(request_id, province, part)
        if flight := self.flights.get(request_id):
            self.flights.remind(flight)

    async def _claimed(self, claim: Claim) -> Claimed:
        try:
            claimed = await self._claims.put(claim)
        except RebuildingError as error:
            raise UnavailableError("answers") from error
        except (EpochError, *RedisFailure) as error:
            raise UnavailableError("redis", retry_after=1) from error
        if claimed.verdict == "away":
            raise UnavailableError("agents" if not self._staffed(claim.provinces[0]) else "lane", retry_after=1)
        if claimed.verdict == "rate":
            self._note_refused(claim.application)
        refusal = {"conflict": ConflictError, "rate": RateError, "nonce": NonceError}.get(claimed.verdict)
        if refusal:
            raise refusal
        return claimed

    def _note_refused(self, application: str) -> None:
        second, refused = self._floods.get(application, (0, 0))
        this = now_ms() // 1000
        self._floods[application] = (this, refused + 1 if second == this else 1)

    async def _claim_all(self, claims: list[Claim]) -> Sequence[Claimed | Exception]:
        return await self._ledger.claim(claims, incarnation=self._incarnation, partition=self._home(), now=now_ms())

    def _claim_of(self, asking: Asking) -> Claim:
        """What is to be written into the book; raises UnavailableError, RateError when nothing more may begin."""
        item = asking.item
        if self._closing.done() or self.flights.full():
            raise UnavailableError("lane", retry_after=1)
        if self.flights.greedy(item.application):
            raise RateError
        lanes, provinces = self._lanes(), asking.provinces
        stuck = {one for one in provinces if lanes[one].lots.oldest_seconds() > _STUCK_SECONDS}
        if stuck.issuperset(provinces):
            raise UnavailableError("kafka")
        away = tuple(one for one in provinces if one in stuck or not self._staffed(one) or self.flights.full(one))
        return Claim(
            request_id=item.id,
            digest=asking.digest,
            deadline_ms=item.deadline,
            provinces=provinces,
            application=item.application,
            away=away,
            per_second=asking.per_second,
            nonce=asking.nonce,
            chosen=bool(item.sources),
        )

    def _take_off(self, claim: Claim, claimed: Claimed, item: RequestItem) -> Flight:
        """Send the request to every province that has not ended; the book knows which those are."""
        fresh = claimed.verdict == "new"
        away = claim.away if fresh else ()
        claim = claim._replace(deadline_ms=claimed.deadline_ms, provinces=claimed.provinces, away=away)
        # Every reply brings this back: so a Redis that has lost the record learns again who was not asked.
        sources = tuple(f"-{one}" if one in away else one for one in item.sources)
        body = encode(replace(item, deadline=claim.deadline_ms, sources=sources))
        sends = [self._lanes()[one].put(body, claim.deadline_ms) for one in claimed.to_ask]
        sent: asyncio.Future[Any] = sends[0] if len(sends) == 1 else asyncio.ensure_future(_by_any(sends))
        sent.add_done_callback(lambda done: self._note_sent(claim.request_id, done))
        flight = self.flights.begin(claim, claimed.to_ask, sent)
        if flight.state.final:  # nobody was there to be asked
            self.flights.drop(claim.request_id)
            flight.ended.set_result(None)
        return flight

    def _note_sent(self, request_id: str, done: asyncio.Future[Any]) -> None:
        if not done.cancelled() and done.exception() is None and self.flights.get(request_id):
            self._sent.put(request_id).add_done_callback(lambda said: self._note_said(request_id, said))

    def _note_said(self, request_id: str, said: asyncio.Future[None]) -> None:
        if said.cancelled() or said.exception() is not None:
            self._unsaid.add(request_id)

    async def say_again(self) -> None:
        """Tell the book what it could not be told before; raises RedisError."""
        unsaid = set(self._unsaid)  # more may come while the book is told of these
        if left := [request_id for request_id in unsaid if self.flights.get(request_id)]:
            await self._ledger.sent(left)
        self._unsaid -= unsaid

    async def _sent_all(self, request_ids: list[str]) -> Sequence[None]:
        await self._ledger.sent(request_ids)
        return [None] * len(request_ids)

    async def _land(self, flight: Flight, ends: float) -> State:
        """Wait for the flight's end; past the caller's wait, or when Kafka is silent, say what is known of it."""
        ended, sent = flight.ended, flight.sent
        left = max(ends - asyncio.get_running_loop().time(), 0)
        await _first([ended, sent], min(max(left, _ACCEPT_SECONDS), _SILENT_SECONDS))
        if not ended.done() and sent.done() and sent.exception() is None:
            await _first([ended, self._closing], ends - asyncio.get_running_loop().time())
        if ended.done():
            return flight.state
        told = sent.done() and (sent.exception() is None or isinstance(sent.exception(), ExpiredError))
        if told or any(isinstance(part, Answer) for part in flight.parts.values()):  # who was answered was heard
            return flight.state._replace(parts=dict(flight.parts))
        if not sent.done():
            raise UnavailableError("kafka", known=False)
        if self.flights.drop(flight.claim.request_id):  # the produce failed for good: a repeat may produce again
            with contextlib.suppress(*RedisFailure):
                await self._ledger.fail(flight.claim.request_id)
        raise UnavailableError("kafka", known=False)

    async def _follow(self, request_id: str, ends: float) -> State:
        """Wait for the end of a request that another instance, or an earlier call, began."""
        event = asyncio.Event()
        self.joined.setdefault(request_id, set()).add(event)
        try:
            while True:
                event.clear()
                known = await self._looks.find(request_id)
                if known is None:
                    raise UnavailableError("answers")
                left = ends - asyncio.get_running_loop().time()
                over = left <= 0 or self._closing.done()
                if known.final or (over and known.sent):  # answers are opened once, for who is told of them
                    return await self._looks.conclude(known)
                if over:
                    raise UnavailableError("kafka", known=False)  # its instance may have died before it was sent
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(event.wait(), min(left, _LOOK_SECONDS))
        finally:
            self.joined[request_id].discard(event)
            if not self.joined[request_id]:
                del self.joined[request_id]


async def _by_any(sends: list[asyncio.Future[int]]) -> None:
    """Done when every lane has taken the request or failed; fails only when none has: one keeps no other back."""
    errors = [one for one in await asyncio.gather(*sends, return_exceptions=True) if isinstance(one, BaseException)]
    if errors and len(errors) == len(sends):
        raise errors[0]


async def _first(futures: list[asyncio.Future[Any]], seconds: float) -> None:
    """Wait until one of these is done, or so long."""
    await asyncio.wait(futures, timeout=max(seconds, 0), return_when="FIRST_COMPLETED")
