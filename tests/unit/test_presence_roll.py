"""The roll: whose agents take work, by what was heard and how far was listened, and whose word is believed."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.bus.clock import now_ms
from broker.bus.keys import KeySigner
from broker.exchange.presence import PresenceReader, Roll
from schemas.lot import CLOCK_TOLERANCE_MS
from schemas.presence import JWS_TYPE, PERIOD_SECONDS, SILENT_SECONDS, Presence
from schemas.regions import PROVINCES
from schemas.wire import sign_compact
from tests.support_registry import NODE, bodies, compiled, new_party_keys, party

if TYPE_CHECKING:
    from collections.abc import Callable

START: Final = 100.0
_CLOCK: Final = itertools.count(1)  # each beat is newer than the one before
LISTENED: Final = START + SILENT_SECONDS  # from here on silence says something


def beat(province: str = "34", agent: str = "one", *, ready: bool = True) -> Presence:
    return Presence(
        province=province,
        incarnation=agent,
        ready=ready,
        reason="" if ready else "redis",
        snapshot_version=1,
        suites=("ED",),
        clock=next(_CLOCK),
    )


def listening(since: float = START, until: float = LISTENED) -> Roll:
    """A roll that was read to its end at these two times, and heard nobody."""
    roll = Roll()
    roll.read_to_end(since)
    roll.read_to_end(until)
    return roll


def test_silence() -> None:
    """An agent that was not heard of for three seconds is gone, and not earlier."""
    roll = listening()
    roll.hear(beat(), LISTENED)
    for after, there in ((0.0, True), (1.5, True), (SILENT_SECONDS, True), (SILENT_SECONDS + 0.01, False)):
        roll.read_to_end(LISTENED + after)
        assert roll.staffed("34") is there


def test_gone_within_four_seconds() -> None:
    """An agent that beats each second and dies is known to be gone less than four seconds later."""
    roll, now = listening(), LISTENED
    while now < LISTENED + 10:
        roll.hear(beat(), now)
        now += PERIOD_SECONDS
    died = now
    while roll.staffed("34"):
        now += 0.2
        roll.read_to_end(now)
    assert now - died < 4


def test_not_ready() -> None:
    """An agent that says it takes no work is gone at once, and back at once when it says it does."""
    roll = listening()
    for ready in (True, False, True):
        roll.hear(beat(ready=ready), LISTENED)
        assert roll.staffed("34") is ready
        assert roll.ready("34") == int(ready)


def test_back_again() -> None:
    """An agent that was silent is there again with its first heartbeat."""
    roll = listening()
    roll.hear(beat(), LISTENED)
    roll.read_to_end(LISTENED + 60)
    assert not roll.staffed("34")
    roll.hear(beat(), LISTENED + 60)
    assert roll.staffed("34")


def test_before_it_has_listened() -> None:
    """Who has listened for less than three seconds takes no silence for an absence."""
    roll = Roll()
    assert roll.staffed("34")
    roll.read_to_end(START)
    roll.read_to_end(LISTENED - 0.01)
    assert roll.staffed("34")
    roll.read_to_end(LISTENED)
    assert not roll.staffed("34")


def test_heard_before_it_has_listened() -> None:
    """What an agent says of itself counts from the first moment."""
    roll = Roll()
    roll.hear(beat(ready=False), START)
    assert not roll.staffed("34")
    roll.read_to_end(START)
    assert not roll.staffed("34")
    assert roll.staffed("33")
    roll.hear(beat(ready=True), START + 0.5)
    assert roll.staffed("34")


def test_several_agents() -> None:
    """A province is there as long as one of its agents is, whatever the others say."""
    roll = listening()
    for agent in ("one", "two", "three"):
        roll.hear(beat(agent=agent), LISTENED)
    assert roll.ready("34") == 3
    roll.hear(beat(agent="one", ready=False), LISTENED + 1)
    assert (roll.ready("34"), roll.staffed("34")) == (2, True)
    roll.hear(beat(agent="two"), LISTENED + 2)
    roll.read_to_end(LISTENED + 4)
    assert (roll.ready("34"), roll.staffed("34")) == (1, True)
    roll.read_to_end(LISTENED + 6)
    assert (roll.ready("34"), roll.staffed("34")) == (0, False)


def test_provinces_apart() -> None:
    """What is heard of one province says nothing of another."""
    roll = listening()
    roll.hear(beat("31"), LISTENED)
    roll.hear(beat("32", ready=False), LISTENED)
    assert [roll.staffed(one) for one in PROVINCES] == [True, False, False, False]


def test_a_reader_that_was_held_up() -> None:
    """A reader that did not read for a minute takes nobody's silence for granted: what it knew still stands."""
    roll = listening()
    roll.hear(beat("31"), LISTENED)
    roll.read_to_end(LISTENED)
    # a minute later: it is asked before it has read, then it reads what lay there
    assert roll.staffed("31")
    roll.hear(beat("31"), LISTENED + 60)
    assert roll.staffed("31")
    roll.read_to_end(LISTENED + 60)
    assert roll.staffed("31")


def test_a_reader_that_is_still_behind() -> None:
    """As long as it has not read to the end, whoever comes later in what lies there is not gone."""
    roll = listening()
    for province in ("31", "32"):
        roll.hear(beat(province), LISTENED)
    roll.read_to_end(LISTENED)
    roll.hear(beat("31"), LISTENED + 60)  # the first of what lies there
    assert roll.staffed("32")
    roll.hear(beat("32"), LISTENED + 60.2)
    roll.read_to_end(LISTENED + 60.2)
    assert (roll.staffed("31"), roll.staffed("32")) == (True, True)


def test_those_who_are_gone_are_forgotten() -> None:
    """However often an agent is started anew, only those that were heard of lately are remembered."""
    roll = listening()
    for n in range(1_000):
        roll.hear(beat(agent=f"{n}"), LISTENED + n)
    assert len(roll._beats["34"]) <= 61


def test_an_older_word_is_a_replay() -> None:
    """A beat that is not newer than its agent's last one changes nothing, whatever it says."""
    roll, ready = listening(), beat()
    leaving = beat(ready=False)
    roll.hear(leaving, LISTENED)
    roll.hear(ready, LISTENED)
    roll.hear(leaving, LISTENED + 1)
    assert not roll.staffed("34")
    roll.hear(beat(), LISTENED)
    assert roll.staffed("34")


@pytest.mark.parametrize("again", [0.0, 1.0])
def test_a_late_word_of_another_life(again: float) -> None:
    """An agent that stopped well is gone though its next life has not begun, and there once that has."""
    roll = listening()
    roll.hear(beat(agent="old"), LISTENED)
    roll.hear(beat(agent="old", ready=False), LISTENED + again)
    assert not roll.staffed("34")
    roll.hear(beat(agent="new"), LISTENED + again)
    assert roll.staffed("34")


@given(st.lists(st.tuples(st.sampled_from(PROVINCES), st.booleans(), st.floats(0, 5)), max_size=30))
def test_a_province_is_there_when_its_last_word_was_good(words: list[tuple[str, bool, float]]) -> None:
    """With one agent each, a province is there just when its last word was good and not three seconds old."""
    roll, now = listening(), LISTENED
    last: dict[str, tuple[float, bool]] = {}
    for province, ready, pause in words:
        now += pause
        roll.hear(beat(province, ready=ready), now)
        roll.read_to_end(now)
        last[province] = (now, ready)
    for province in PROVINCES:
        heard, ready = last.get(province, (0.0, False))
        assert roll.staffed(province) is (ready and now - heard <= SILENT_SECONDS)


KEYS: Final = {name: new_party_keys(name) for name in ("33", "34", NODE)}
REGISTRY: Final = compiled(*bodies(), *map(party, KEYS.values()))
READER: Final = PresenceReader(bootstrap="", name="", snapshot=lambda: REGISTRY)


def signed_beat(told: Presence, by: str = "34", kind: str = JWS_TYPE) -> bytes:
    return sign_compact(KeySigner(KEYS[by].signing), msgspec.json.encode(told), kind)


def believed(value: bytes, appended_ms: int) -> bool:
    return READER._verified(value, appended_ms) is not None


def test_whose_word_is_believed() -> None:
    """A heartbeat is believed when the province that it speaks of has signed it, and nobody else."""
    now = now_ms()
    told = replace(beat(), clock=now)
    assert believed(signed_beat(told), now)
    assert believed(signed_beat(replace(told, province="33"), "33"), now)
    for by in ("33", NODE):
        assert not believed(signed_beat(told, by), now)
    assert not believed(signed_beat(replace(told, province=NODE), NODE), now)
    assert not believed(signed_beat(replace(told, province="35")), now)


def test_another_signed_thing() -> None:
    """What the province signed for another purpose is no heartbeat."""
    now = now_ms()
    assert not believed(signed_beat(replace(beat(), clock=now), kind="certlane-manifest"), now)


@pytest.mark.parametrize("apart", [0, 1, -1])
def test_a_heartbeat_said_again(apart: int) -> None:
    """An old heartbeat that somebody appends again does not bring an agent back, nor does one from days to come."""
    now = now_ms()
    bound = int(1_000 * SILENT_SECONDS) + CLOCK_TOLERANCE_MS
    value = signed_beat(replace(beat(), clock=now))
    assert believed(value, now + apart * bound)
    assert believed(value, now + apart * (bound + 1)) is (apart == 0)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda _: b"\xff" * 40,
        lambda _: b"x" * 9_000,
        lambda value: value[:-2],
        lambda value: value + b"A",
        lambda value: b"." + value,
        lambda value: value.replace(b".", b".e", 1),
    ],
)
def test_noise(spoil: Callable[[bytes], bytes]) -> None:
    """Whatever else lies on the topic is passed over."""
    now = now_ms()
    assert not believed(spoil(signed_beat(replace(beat(), clock=now))), now)


@given(st.binary(max_size=80))
def test_any_noise(value: bytes) -> None:
    """No bytes at all end the reader."""
    assert not believed(value, 0)
    assert not believed(signed_payload(value), 0)


def signed_payload(payload: bytes) -> bytes:
    return sign_compact(KeySigner(KEYS["34"].signing), payload, JWS_TYPE)
