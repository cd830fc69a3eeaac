"""One request until its end, without I/O: it says what to send next and takes what came (as h11 does for a connection).

The same bytes go out each time, so however often and to whichever gateway they go, it is one request (DESIGN §5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from broker.client.answers import refusal
from broker.client.errors import ClientError, MalformedError, PendingError, UnreachableError
from broker.client.steps import Got, Letter, Pause, Send, retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

R = TypeVar("R")

_BASE_SECONDS, _MOST_SECONDS = 0.2, 10.0
_POLL_SECONDS = 1.0  # between two looks at a request that is not final, where the gateway does not say
_SLACK_SECONDS = 10.0  # beyond a gateway's own holding of the line


class Gateways:
    """The addresses of one node's gateways; the one that answered last comes first, for all conversations."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = tuple(address.rstrip("/") for address in addresses)
        self._first = 0

    def in_order(self) -> tuple[str, ...]:
        return self.addresses[self._first :] + self.addresses[: self._first]

    def leave(self, address: str) -> None:
        """Prefer the next one from now on."""
        if self.addresses[self._first] == address:
            self._first = (self._first + 1) % len(self.addresses)


class Times:
    """When this conversation may send to which gateway again, and when it must end; seconds of a monotonic clock.

    Waits have full jitter: callers that failed together do not come back together.
    """

    def __init__(self, gateways: Gateways, *, ends: float, draw: Callable[[], float]) -> None:
        self.ends = ends
        self._gateways, self._draw = gateways, draw
        self._not_before = dict.fromkeys(gateways.addresses, 0.0)
        self._failures = 0

    def alike(self) -> Times:
        """The same end, nothing tried yet."""
        return Times(self._gateways, ends=self.ends, draw=self._draw)

    def next(self) -> tuple[str, float]:
        """The gateway that may be asked first, and when."""
        return min(((address, self._not_before[address]) for address in self._gateways.in_order()), key=_when)

    def failed(self, address: str, now: float, told: float | None) -> None:
        """This gateway not before Retry-After, or a while that doubles; the next one may be asked at once."""
        self._not_before[address] = now + (told or 0.0) + self._jitter()
        self._gateways.leave(address)
        self._failures += 1

    def rest(self, now: float, seconds: float) -> None:
        """No gateway for so long: what keeps us from asking is the node's."""
        at = now + seconds + self._jitter()
        self._not_before = dict.fromkeys(self._not_before, at)

    def went_well(self) -> None:
        self._failures = 0

    def _jitter(self) -> float:
        return self._draw() * min(_MOST_SECONDS, _BASE_SECONDS * 2.0**self._failures)


def _when(pair: tuple[str, float]) -> float:
    return pair[1]


class Conversation(Generic[R]):
    """`read` makes the result of a 200, `glimpse` what a 202 already shows; `later` asks what became of a 202."""

    def __init__(
        self,
        letter: Letter,
        *,
        read: Callable[[Got], R],
        times: Times,
        request_id: str = "",
        later: Letter | None = None,
        glimpse: Callable[[Got], R | None] | None = None,
        renewable: bool = False,
    ) -> None:
        self.letter, self.times, self.request_id = letter, times, request_id
        self._read, self._later, self._glimpse, self._renewable = read, later, glimpse, renewable
        self._gateway = ""
        self._fresh = self._renewed = False
        self._ended: list[R] = []
        self._best: list[R] = []
        self._last: ClientError | None = None
        self._pending: PendingError | None = None

    @property
    def result(self) -> R:
        """What it brought, once there is nothing left to do."""
        return self._ended[0]

    def next(self, now: float) -> Send | Pause | None:
        """What to do, None at the end; raises the ClientError that it ends with when the time is over."""
        if self._ended:
            return None
        self._gateway, at = self.times.next()
        if max(now, at) >= self.times.ends:
            self._out_of_time()
            return None
        if at > now:
            return Pause(at - now)
        letter, fresh, self._fresh = self.letter, self._fresh, False
        return Send(
            letter.method,
            self._gateway + letter.path,
            letter.headers,
            letter.write(self._gateway),
            min(letter.held_seconds + _SLACK_SECONDS, self.times.ends - now),
            letter.authorised,
            fresh,
        )

    def got(self, got: Got, now: float) -> None:
        """A whole response came; raises RefusedError or MalformedError when no further try can mend it."""
        match got.http:
            case 200:
                self.ended(self._read(got))
            case 202 if self._later is not None:
                self._accepted(got, now, self._later)
            case 401 if self._renewable and not self._renewed:
                self._fresh = self._renewed = True  # a token may have ended while we held it: one fresh one, once
            case 429:
                self._last = self._named(refusal(got))
                self.times.rest(now, retry_after(got.headers) or _POLL_SECONDS)
            case 502 | 503 | 504:
                self._elsewhere(got, now)
            case _:
                raise self._named(refusal(got))

    def broke(self, now: float) -> None:
        """The connection failed, or its time was over: whether the request arrived is not known."""
        self._last = UnreachableError(f"{self._gateway} does not answer", request_id=self.request_id)
        self.times.failed(self._gateway, now, None)

    def ended(self, value: R) -> None:
        self._ended = [value]

    def holds(self, value: R) -> None:
        """What it ends with when the time is over before there is more."""
        self._best = [value]

    def _out_of_time(self) -> None:
        self._ended = self._best
        if not self._ended:
            raise self._pending or self._last or UnreachableError("no time was left to ask", request_id=self.request_id)

    def _accepted(self, got: Got, now: float, later: Letter) -> None:
        """From now on it is only looked for."""
        self.letter = later
        shown = self._glimpse(got) if self._glimpse else None
        if shown is not None:
            self.holds(shown)
        self._pending = PendingError("accepted, not final yet; collect it later", request_id=self.request_id)
        self.times.went_well()
        self.times.rest(now, retry_after(got.headers) or _POLL_SECONDS)

    def _elsewhere(self, got: Got, now: float) -> None:
        """This gateway, or what stands before it, cannot now: nothing else is wrong with the request."""
        try:
            self._last = self._named(refusal(got))
        except MalformedError:  # a proxy's own page
            self._last = UnreachableError(f"{self._gateway} answers HTTP {got.http}", request_id=self.request_id)
        self.times.failed(self._gateway, now, retry_after(got.headers))

    def _named(self, error: ClientError) -> ClientError:
        error.request_id = error.request_id or self.request_id
        return error
