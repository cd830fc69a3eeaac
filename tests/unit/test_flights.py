"""What is under way: bounded in all, by province and by application, each part taken once, nothing left behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from hypothesis import given
from hypothesis import strategies as st

from broker.exchange.flights import Bounds, Flight, Flights
from broker.exchange.ledger import Claim
from broker.exchange.state import Answer, Missing
from schemas.items import ReplyItem
from schemas.regions import PROVINCES

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOMY: Final = Bounds(in_all=100, per_lane=100, per_application=100)
NAMES: Final = ("a", "b", "c")


def begun(flights: Flights, name: str, asked: Sequence[str] = ("32",), **changes: Any) -> Flight:
    """A request on its way to these provinces."""
    claim = Claim(name, "digest", 1_000, tuple(asked), "app")._replace(**changes)
    sent: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    return flights.begin(claim, asked, sent)


def reply(province: str, name: str = "one") -> Answer:
    return Answer(ReplyItem(id=name, status=0), province, 5)


async def test_the_last_part_ends_it() -> None:
    """A request has ended when its last province has, and its parts are what each has said."""
    flights = Flights(ROOMY)
    flight = begun(flights, "one", ("31", "32", "33"))
    flights.take("one", "33", reply("33"))
    flights.take("one", "31", Missing.EXPIRED)
    assert not flight.ended.done()
    assert not flight.state.final
    flights.take("one", "32", reply("32"))
    assert flight.ended.done()
    assert flight.state.parts == {"31": Missing.EXPIRED, "32": reply("32"), "33": reply("33")}
    assert flights.get("one") is None


async def test_a_part_is_taken_once() -> None:
    """What a province has said first stays, whatever comes after it."""
    flights = Flights(ROOMY)
    flight = begun(flights, "one", ("31", "32"))
    first = reply("31")
    flights.take("one", "31", first)
    for again in (reply("31", "other"), Missing.EXPIRED, Missing.UNAVAILABLE):
        flights.take("one", "31", again)
    assert flight.parts["31"] is first


async def test_strangers_parts() -> None:
    """A part of a province that was not asked, or of a request that nobody knows, changes nothing."""
    flights = Flights(ROOMY)
    flight = begun(flights, "one", ("31",))
    flights.take("one", "32", reply("32"))
    flights.take("two", "31", reply("31"))
    assert dict(flight.parts) == {"31": Missing.PENDING}
    assert len(flights) == 1


async def test_a_province_that_was_not_asked() -> None:
    """A province without an agent is unavailable from the beginning, and no reply of it is taken."""
    flights = Flights(ROOMY)
    flight = begun(flights, "one", ("31",), provinces=("31", "34"), away=("34",))
    flights.take("one", "34", reply("34"))
    assert flight.parts == {"31": Missing.PENDING, "34": Missing.UNAVAILABLE}
    flights.take("one", "31", reply("31"))
    assert flight.state.final


async def test_what_the_book_should_have() -> None:
    """Of a request that was taken over, the book should have the provinces that its first instance did not ask."""
    flights = Flights(ROOMY)
    flight = begun(flights, "one", ("31",), provinces=("31", "33", "34"))
    flights.take("one", "34", Missing.UNAVAILABLE)
    flights.take("one", "33", Missing.EXPIRED)
    assert flight.entry == flight.claim._replace(away=("34",))


async def test_nobody_was_asked() -> None:
    """A request none of whose provinces has an agent is final as it begins."""
    flights = Flights(ROOMY)
    assert begun(flights, "one", (), provinces=("33", "34"), away=("33", "34")).state.final


async def test_bounds_in_all() -> None:
    """When as much is under way as may be, everything is full until one has ended."""
    flights = Flights(Bounds(in_all=2, per_lane=100, per_application=100))
    begun(flights, "one", ("31",))
    assert not flights.full()
    begun(flights, "two", ("32",))
    assert flights.full()
    assert flights.full("34")
    flights.take("one", "31", reply("31"))
    assert not flights.full()


async def test_bounds_of_a_province() -> None:
    """A province that has as much as it may take is full, the others are not, and its end makes room."""
    flights = Flights(Bounds(in_all=100, per_lane=2, per_application=100))
    begun(flights, "one", ("31", "32"))
    begun(flights, "two", ("32", "33"))
    assert [flights.full(one) for one in PROVINCES] == [False, True, False, False]
    assert not flights.full()
    flights.drop("two")
    assert not flights.full("32")


async def test_a_province_that_was_not_asked_is_not_counted() -> None:
    """Only where a request went does it take up room."""
    flights = Flights(Bounds(in_all=100, per_lane=1, per_application=100))
    begun(flights, "one", ("31",), provinces=("31", "34"), away=("34",))
    assert [flights.full(one) for one in PROVINCES] == [True, False, False, False]


async def test_bounds_of_an_application() -> None:
    """An application that has as much under way as it may is greedy, and no other one is."""
    flights = Flights(Bounds(in_all=100, per_lane=100, per_application=2))
    begun(flights, "one", ("31", "32", "33", "34"))
    assert not flights.greedy("app")  # a fan-out is one request
    begun(flights, "two", application="other")
    begun(flights, "three")
    assert (flights.greedy("app"), flights.greedy("other"), flights.greedy("nobody")) == (True, False, False)
    flights.drop("three")
    assert not flights.greedy("app")


async def test_an_application_is_no_province() -> None:
    """An application that is named like a province is counted apart."""
    flights = Flights(Bounds(in_all=100, per_lane=1, per_application=100))
    begun(flights, "one", ("31",), application="32")
    assert not flights.full("32")


async def test_dropped_twice() -> None:
    """What is dropped is gone, and dropping it again frees nothing more."""
    flights = Flights(Bounds(in_all=100, per_lane=2, per_application=2))
    begun(flights, "one")
    begun(flights, "two")
    assert flights.drop("one") is not None
    assert flights.drop("one") is None
    begun(flights, "three")
    assert flights.full("32")
    assert flights.greedy("app")


async def test_overdue() -> None:
    """A request whose deadline was read past is told once, in the order of the deadlines, and never before."""
    flights = Flights(ROOMY)
    for name, deadline in (("late", 900), ("soon", 300), ("ended", 200), ("same", 300)):
        begun(flights, name, deadline_ms=deadline)
    flights.take("ended", "32", reply("32"))
    assert flights.overdue(300) == []
    assert sorted(flights.overdue(301)) == ["same", "soon"]
    assert flights.overdue(301) == []
    assert flights.overdue(10_000) == ["late"]


async def test_reminded() -> None:
    """A request that had not ended when it was looked up is told again when it is asked for."""
    flights = Flights(ROOMY)
    flight = begun(flights, "one", deadline_ms=300)
    assert flights.overdue(400) == ["one"]
    flights.remind(flight)
    assert flights.overdue(500) == ["one"]


async def test_any_past() -> None:
    """Whether a deadline has passed is asked of what is under way, never of what has ended."""
    flights = Flights(ROOMY)
    assert not flights.any_past(10_000)
    begun(flights, "one", deadline_ms=300)
    begun(flights, "two", deadline_ms=500)
    assert not flights.any_past(299)
    assert flights.any_past(300)
    flights.drop("one")
    assert not flights.any_past(499)
    assert flights.any_past(500)


async def test_deadlines_are_forgotten() -> None:
    """However many requests end long before their deadline, little of them is remembered."""
    flights = Flights(ROOMY)
    for name, deadline in (("second", 600_000), ("first", 550_000)):
        begun(flights, name, deadline_ms=deadline)
    for n in range(20_000):
        begun(flights, f"{n}", deadline_ms=500_000)
        flights.drop(f"{n}")
    assert len(flights._deadlines) < 5_000
    assert flights.overdue(560_000) == ["first"]
    assert flights.overdue(700_000) == ["second"]


Step = tuple[str, str, tuple[str, ...], str]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["begin", "take", "expire", "drop"]),
            st.sampled_from(NAMES),
            st.lists(st.sampled_from(PROVINCES), unique=True).map(tuple),
            st.sampled_from(["app", "other"]),
        ),
        max_size=40,
    )
)
def test_counts_go_back_to_nothing(steps: list[Step]) -> None:
    """However requests begin, end and are dropped, there is as much room in the end as in the beginning."""
    asyncio.run(played(steps))


async def played(steps: list[Step]) -> None:
    flights = Flights(Bounds(in_all=1, per_lane=1, per_application=1))
    for what, name, provinces, application in steps:
        if what == "begin" and flights.get(name) is None and provinces:
            begun(flights, name, provinces, application=application)
        elif what in ("take", "expire"):
            for province in provinces:
                flights.take(name, province, reply(province) if what == "take" else Missing.EXPIRED)
        elif what == "drop":
            flights.drop(name)
    for flight in flights:
        assert not flight.ended.done()
        flights.drop(flight.claim.request_id)
    assert not any(map(flights.full, ("", *PROVINCES)))
    assert not any(map(flights.greedy, ("app", "other")))
    assert set(flights._counts.values()) <= {0}
