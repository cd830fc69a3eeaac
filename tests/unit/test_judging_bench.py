"""The benchmark of the judgement: what it asks is judged as it says, and its table says what is reached."""

import pytest

from deploy.bench.engines import EngineRow
from deploy.bench.judging import (
    AIM_P50_US,
    BESIDE_ENGINES,
    FEW,
    MANY,
    WAYS,
    JudgeRow,
    Judging,
    Registry,
    Way,
    ratios,
    table,
)

ROWS = [JudgeRow(rules, way.name, p50, 9.0) for way in WAYS for rules, p50 in ((100, 1.0), (1_000_000, 2.5))]


@pytest.mark.parametrize("way", WAYS)
def test_ways(way: Way) -> None:
    """Each way is granted or refused as it says, and every judgement is timed."""
    times = Registry(FEW).times(way, 20)
    assert len(times) == 20
    assert times == sorted(times)
    assert times[0] > 0


def test_shapes() -> None:
    """The numbers of rules are those of the aims: a hundred, a million, and ten thousand beside engines."""
    assert (FEW.rules, MANY.rules, BESIDE_ENGINES.rules) == (100, 1_000_000, 10_000)


def test_table() -> None:
    """The table tells each row, and of each aim whether it is reached; an indexed engine counts for none."""
    engines = [EngineRow("slow", 10_000, False, 500.0, 600.0, 500.0), EngineRow("quick", 10_000, True, 9.0, 9.0, 9.0)]
    told = table(Judging(ROWS, engines))
    assert all(way.name in told for way in WAYS)
    assert "short" not in told
    assert "500.0 (aim ≥ 100: reached)" in told
    assert set(ratios(Judging(ROWS, [])).values()) == {2.5}


def test_what_is_short() -> None:
    """What misses its aim is called short."""
    slow = [row._replace(p50_us=AIM_P50_US + 1) if row.rules > 100 else row for row in ROWS]
    assert "longest p50: 4.0 (aim ≤ 3: short)" in table(Judging(slow, []))
