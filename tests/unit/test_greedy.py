"""Greedy lots: one at once when idle, larger ones while busy, everyone gets his own result."""

import asyncio
from collections.abc import Iterable, Sequence

import pytest

from broker.bus.greedy import Greedy


class Calls:
    """The far side: remembers the lots it was handed, and answers each when it is told to."""

    def __init__(self) -> None:
        self.lots: list[list[int]] = []
        self.gates: list[asyncio.Event] = []
        self.closed = False

    async def run(self, lot: list[int]) -> Sequence[str | Exception]:
        self.lots.append(lot)
        gate = asyncio.Event()
        self.gates.append(gate)
        if self.closed:
            await gate.wait()
        return [ValueError(f"odd {item}") if item % 2 else f"even {item}" for item in lot]


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def results(futures: Iterable[asyncio.Future[str]]) -> list[str]:
    """The results of all; a test that would wait for ever ends."""
    async with asyncio.timeout(2):
        return await asyncio.gather(*futures)


def of(calls: Calls, *, max_items: int = 4, max_bytes: int | None = None) -> Greedy[int, str]:
    return Greedy(calls.run, max_items=max_items, max_bytes=max_bytes, size=lambda item: item)


async def test_idle() -> None:
    """An idle caller waits one turn of the loop and no longer: one item, one lot."""
    calls = Calls()
    greedy = of(calls)
    for item in (0, 2, 4):
        assert await greedy.put(item) == f"even {item}"
    assert calls.lots == [[0], [2], [4]]


async def test_those_of_one_turn() -> None:
    """Those who come in the same turn of the loop share one lot."""
    calls = Calls()
    greedy = of(calls)
    assert await results(map(greedy.put, (0, 2, 4))) == ["even 0", "even 2", "even 4"]
    assert calls.lots == [[0, 2, 4]]


async def test_busy() -> None:
    """Those who come while a call is under way wait for it and share the next lot."""
    calls = Calls()
    calls.closed = True
    greedy = of(calls)
    futures = [greedy.put(0)]
    await turns()
    for item in (2, 4, 6):
        futures.append(greedy.put(item))
        await turns()
    assert calls.lots == [[0]]
    calls.closed = False
    calls.gates[0].set()
    assert await results(futures) == ["even 0", "even 2", "even 4", "even 6"]
    assert calls.lots == [[0], [2, 4, 6]]


async def test_full_lot_does_not_wait() -> None:
    """A full lot is handed over at once, however many calls are under way."""
    calls = Calls()
    calls.closed = True
    greedy = of(calls)
    futures = [greedy.put(item) for item in range(0, 22, 2)]
    await turns()
    assert calls.lots == [[0, 2, 4, 6], [8, 10, 12, 14]]
    futures.append(greedy.put(22))
    await turns()
    assert calls.lots[2:] == [[16, 18, 20, 22]]
    for gate in calls.gates:
        gate.set()
    assert len(await results(futures)) == 12


async def test_full_by_bytes() -> None:
    """A lot never holds more bytes than it may, and one that has them does not wait."""
    calls = Calls()
    calls.closed = True
    greedy = of(calls, max_items=100, max_bytes=10)
    futures = [greedy.put(item) for item in (4, 4, 4, 2, 2, 2, 2)]
    await turns()
    assert calls.lots == [[4, 4], [4, 2, 2, 2]]
    for gate in calls.gates:
        gate.set()
    calls.closed = False
    await results(futures)
    assert calls.lots[2:] == [[2]]
    assert greedy._bytes == 0


async def test_item_larger_than_a_lot() -> None:
    """An item that is larger than a lot may be goes alone: whoever runs the lot says what is wrong with it."""
    calls = Calls()
    greedy = of(calls, max_bytes=10)
    assert await results(map(greedy.put, (100, 2))) == ["even 100", "even 2"]
    assert calls.lots == [[100], [2]]


async def test_each_his_own() -> None:
    """Each gets his own result or his own exception."""
    told = await asyncio.gather(*map(of(Calls()).put, range(4)), return_exceptions=True)
    assert [str(one) for one in told] == ["even 0", "odd 1", "even 2", "odd 3"]
    assert [isinstance(one, ValueError) for one in told] == [False, True, False, True]


async def test_call_that_fails() -> None:
    """When the call fails all of its lot hear of it, and the next lot goes on."""
    lots = 0

    async def run(lot: list[int]) -> Sequence[int | Exception]:
        nonlocal lots
        lots += 1
        await asyncio.sleep(0)
        if lots == 1:
            raise ConnectionError("away")
        return lot

    greedy: Greedy[int, int] = Greedy(run, max_items=4)
    async with asyncio.timeout(2):
        told = await asyncio.gather(*map(greedy.put, range(3)), return_exceptions=True)
    assert [type(one) for one in told] == [ConnectionError] * 3
    assert await greedy.put(7) == 7


@pytest.mark.parametrize("error", [asyncio.CancelledError, None])
async def test_call_that_does_not_answer(error: type[BaseException] | None) -> None:
    """When the call is cancelled or answers too few, nobody waits for ever."""

    async def run(lot: list[int]) -> Sequence[int | Exception]:
        await asyncio.sleep(0)
        if error:
            raise error
        return lot[:-1]

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    greedy: Greedy[int, int] = Greedy(run, max_items=4)
    futures = [greedy.put(item) for item in range(3)]
    await turns(10)
    asyncio.get_running_loop().set_exception_handler(None)
    assert all(future.done() for future in futures)


async def test_waiter_who_leaves() -> None:
    """Who stops waiting harms nobody: the lot goes its way and the others get their results."""
    calls = Calls()
    calls.closed = True
    greedy = of(calls)
    first, second, third = (greedy.put(item) for item in (0, 2, 4))
    await turns()
    second.cancel()
    late = greedy.put(6)
    leaving = asyncio.create_task(asyncio.wait_for(asyncio.shield(late), 10))
    await turns()
    leaving.cancel()
    calls.closed = False
    calls.gates[0].set()
    assert await results([first, third, late]) == ["even 0", "even 4", "even 6"]
    assert calls.lots == [[0, 2, 4], [6]]


async def test_waiter_who_leaves_before_the_call() -> None:
    """An item whose caller has left before its lot was closed is handed over all the same, and is nobody's error."""
    calls = Calls()
    greedy = of(calls)
    gone, stays = greedy.put(1), greedy.put(2)
    gone.cancel()
    assert await stays == "even 2"
    assert calls.lots == [[1, 2]]


async def test_exception_that_nobody_hears() -> None:
    """An exception for a caller who does not look at it stays silent."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    greedy = of(Calls())
    greedy.put(1)
    await greedy.drain()
    await turns()
    asyncio.get_running_loop().set_exception_handler(None)
    assert complaints == []


async def test_drain() -> None:
    """Draining waits for everything that was handed over, and an idle one is drained at once."""
    calls = Calls()
    greedy = of(calls)
    await greedy.drain()
    futures = [greedy.put(item) for item in range(0, 40, 2)]
    await greedy.drain()
    assert all(future.done() for future in futures)
    assert [item for lot in calls.lots for item in lot] == list(range(0, 40, 2))


async def test_oldest_call() -> None:
    """The age of the oldest call is zero while there is none, and grows while one is under way."""
    calls = Calls()
    calls.closed = True
    greedy = of(calls)
    assert greedy.oldest_seconds() == 0
    future = greedy.put(0)
    await turns()
    await asyncio.sleep(0.01)
    assert 0.01 <= greedy.oldest_seconds() < 5
    calls.gates[0].set()
    await future
    await turns()
    assert greedy.oldest_seconds() == 0


async def test_order() -> None:
    """Items are handed over in the order in which they came, each exactly once."""
    calls = Calls()
    greedy = of(calls, max_items=3)
    futures = []
    for item in range(0, 200, 2):
        futures.append(greedy.put(item))
        if item % 14 == 0:
            await asyncio.sleep(0)
    await results(futures)
    assert [item for lot in calls.lots for item in lot] == list(range(0, 200, 2))
    assert max(map(len, calls.lots)) <= 3
