"""Prefix acknowledgement: only the finished beginning of a partition, in order, each once, and never after `close`."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from workers.engine.prefix import Prefix

ACTS = st.lists(
    st.tuples(st.sampled_from(["begin", "finish", "finish", "finish", "close"]), st.integers(0, 30)), max_size=60
)


def naive(begun: list[int], finished: set[int]) -> list[int]:
    """What may have been acknowledged: entries up to the first that is not finished."""
    out = []
    for entry in begun:
        if entry not in finished:
            break
        out.append(entry)
    return out


@given(ACTS)
def test_against_the_naive_model(acts: list[tuple[str, int]]) -> None:
    """After any acts exactly the finished prefix has been acknowledged, in order, and nothing after `close`."""
    prefix, told = Prefix(), list[int]()
    finish: list[Callable[[], None]] = []
    finished: set[int] = set()
    expected: list[int] = []
    for act, number in acts:
        if act == "begin":
            entry = len(finish)
            finish.append(prefix.begin(lambda entry=entry: told.append(entry)))  # type: ignore[misc]
        elif act == "finish" and finish:
            finished.add(number % len(finish))
            finish[number % len(finish)]()
        elif act == "close" and number == 0:
            prefix.close()
        if not prefix.closed:
            expected = naive(list(range(len(finish))), finished)
        assert told == expected


@given(st.permutations(range(12)))
def test_any_order_of_ends(order: list[int]) -> None:
    """In whatever order records end, all of them are acknowledged in the order of their offsets."""
    prefix, told = Prefix(), list[int]()
    finish = [prefix.begin(lambda entry=entry: told.append(entry)) for entry in range(12)]  # type: ignore[misc]
    for place, entry in enumerate(order):
        finish[entry]()
        assert told == naive(list(range(12)), set(order[: place + 1]))
    assert told == list(range(12))


def test_finished_twice() -> None:
    """A record that ends twice is acknowledged once."""
    prefix, told = Prefix(), list[str]()
    finish = prefix.begin(lambda: told.append("first"))
    finish()
    finish()
    assert told == ["first"]


def test_closed_assignment() -> None:
    """Tasks of an assignment that was given back never acknowledge, neither those begun before nor after."""
    prefix, told = Prefix(), list[str]()
    first, second = prefix.begin(lambda: told.append("first")), prefix.begin(lambda: told.append("second"))
    second()
    prefix.close()
    first()
    prefix.begin(lambda: told.append("third"))()
    assert told == []


def test_nothing_is_kept() -> None:
    """Neither what was acknowledged nor what an assignment left behind is kept."""
    prefix = Prefix()
    prefix.begin(lambda: None)()
    assert not prefix._entries
    prefix.begin(lambda: None)
    prefix.close()
    assert not prefix._entries


def test_closed_while_acknowledging() -> None:
    """An acknowledgement that closes its own assignment is the last one."""
    prefix, told = Prefix(), list[str]()

    def last() -> None:
        told.append("first")
        prefix.close()

    first, second = prefix.begin(last), prefix.begin(lambda: told.append("second"))
    second()
    first()
    assert told == ["first"]


def test_two_partitions() -> None:
    """Partitions do not wait for each other."""
    one, other, told = Prefix(), Prefix(), list[str]()
    one.begin(lambda: told.append("held"))
    other.begin(lambda: told.append("free"))()
    assert told == ["free"]
