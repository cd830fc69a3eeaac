"""From parts to what the caller is told: one list, one status, and of each province what came of it."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Final

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.exchange.state import Answer, Missing, Part, State
from broker.gateway.merging import NOT_YET, Told, alone, merged
from schemas.items import NO_DATA, ReplyItem
from schemas.regions import PROVINCES, REGIONS
from schemas.statuses import STATUSES

if TYPE_CHECKING:
    from schemas.answers import Source

ID: Final = "0" * 32
APPENDED: Final = 5_000


def rows_of(province: str, count: int) -> list[dict[str, str]]:
    return [{"certificateID": f"{province}-{n}"} for n in range(count)]


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(value if isinstance(value, bytes) else orjson.dumps(value))


def heard(province: str, status: int = 0, data: object = None, **more: Any) -> Answer:
    """A reply of this province; its data are any JSON, or bytes that should be."""
    item = ReplyItem(id=ID, status=status, data=NO_DATA if data is None else raw(data), **more)
    return Answer(item, province, APPENDED)


def answered(province: str, count: int = 1, *, page: tuple[int, int] | None = None, **more: Any) -> Answer:
    """A reply with so many certificates, of which it sends what a page may need, as a province does."""
    rows = rows_of(province, count)
    data: dict[str, Any] = {"total": count, "dataList": rows, **more}
    if page:
        data |= {"dataList": rows[: page[0] * page[1]], "pageNo": page[0], "pageSize": page[1]}
    return heard(province, data=data, evidence=f"evidence-{province}", scenario=f"scene-{province}")


def state(*parts: Part, provinces: tuple[str, ...] = PROVINCES) -> State:
    return State(60_000, dict(zip(provinces, parts, strict=False)))


def data_of(told: Told) -> dict[str, Any]:
    """What is told, as a caller reads it."""
    written: dict[str, Any] = orjson.loads(msgspec.json.encode(told.data))
    return written


def ids(told: Told) -> list[str]:
    return [row["certificateID"] for row in data_of(told)["dataList"]]


def sources(told: Told) -> list[Source]:
    assert told.data is not None
    found: list[Source] = told.data["sources"]
    return found


def said(told: Told) -> list[tuple[str, int]]:
    return [(one.state, one.status) for one in sources(told)]


EMPTY, REFUSED, EXPIRED_CARD = heard("", 10), heard("", 3005), heard("", 22)
LATE, AWAY = Missing.PENDING, Missing.UNAVAILABLE


def test_all_have_answered() -> None:
    """The lists of all provinces are one, in the provinces' order, whichever came first, and the total counts all."""
    parts = [answered(one, n + 1) for n, one in enumerate(PROVINCES)]
    told = merged(State(60_000, dict(zip(reversed(PROVINCES), reversed(parts), strict=True))))
    assert (told.status, told.message, data_of(told)["total"]) == (0, "", 10)
    assert ids(told) == [row["certificateID"] for n, one in enumerate(PROVINCES) for row in rows_of(one, n + 1)]
    assert [one.region_code for one in sources(told)] == [region.code for region in REGIONS]
    assert said(told) == [("answered", 0)] * 4


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Missing.PENDING, ("late", 7002)),
        (Missing.EXPIRED, ("late", 7002)),
        (Missing.UNAVAILABLE, ("unavailable", 7001)),
        (heard("31", 10), ("empty", 10)),
        (heard("31", 3005), ("refused", 3005)),
        (heard("31", 13), ("refused", 13)),
        (heard("31", 2), ("refused", 2)),
        (heard("31", 21), ("refused", 21)),
        (heard("31", 4002), ("refused", 4002)),
        (heard("31", 99), ("unavailable", 99)),
        (heard("31", 7001), ("unavailable", 7001)),
        (heard("31", 7002), ("unavailable", 7002)),
        (heard("31", 7003), ("unavailable", 7003)),
        (heard("31", 8888), ("unavailable", 99)),
        (heard("31", -1), ("unavailable", 99)),
        (answered("31"), ("answered", 0)),
    ],
)
def test_what_came_of_a_province(part: Part, expected: tuple[str, int]) -> None:
    """Each province is named with one of five states and a status of the table."""
    (source,) = sources(merged(state(part)))
    assert (source.state, source.status) == expected
    assert source.message == (NOT_YET if part is Missing.PENDING else STATUSES[expected[1]].message)


NONSENSE: Final[list[object]] = [
    None,
    b"7",
    b'"text"',
    b"[]",
    b"{}",
    {"total": 1},
    {"dataList": []},
    {"total": None, "dataList": []},
    {"total": "1", "dataList": [{}]},
    {"total": 1.5, "dataList": [{}]},
    {"total": True, "dataList": [{}]},
    {"total": -1, "dataList": [{}]},
    {"total": 0, "dataList": [{}]},
    {"total": 1, "dataList": []},
    {"total": 1, "dataList": [{}, {}]},
    {"total": 1, "dataList": {}},
    {"total": 1, "dataList": None},
    {"total": 1, "dataList": [{}], "withheld": "KZ_XM"},
    {"total": 1, "dataList": [{}], "withheld": [7]},
    {"total": 1, "dataList": [{}], "pageNo": 0, "pageSize": 10},
    {"total": 1, "dataList": [{}], "pageNo": 1, "pageSize": -10},
    {"total": 1, "dataList": [{}], "pageNo": "1", "pageSize": 10},
    b'{"total": 1000000000000000000000000000000, "dataList": [{}]}',
    b'{"total": 1, "dataList": [{"a": "\xff"}]}',
    b'{"total": 1, "dataList": [{"a": "\\ud800"}]}',
    b'{"total": 1, "dataList": [{"a": 1e999}]}',
    b'{"total": 1, "dataList": [' + b"[" * 300 + b"]" * 300 + b"]}",
    b'{"total": 1, "dataList": [' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"]}",
    b'{"total": 1, "dataList": [{"a": NaN}]}',
    b'{"total": 1, "dataList": [{}]',
]


@pytest.mark.parametrize("data", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense(data: object) -> None:
    """Data that cannot be what they should be count as an unavailable source (99), and never as none found."""
    wrong = heard("31", data=data, message="接口调用成功")
    one = merged(state(wrong))
    assert (one.status, said(one), data_of(one)["dataList"]) == (7001, [("unavailable", 99)], [])
    assert sources(one)[0].message == "其他异常"
    some = merged(state(wrong, answered("32"), EMPTY))
    assert (some.status, ids(some), data_of(some)["total"]) == (7003, ["32-0"], 1)
    assert merged(state(wrong, EMPTY)).status == 7001
    lonely = alone(wrong)
    assert (lonely.status, lonely.data, lonely.message) == (99, None, "")


def test_found_nothing() -> None:
    """A province that says all is well and lists nothing has found nothing."""
    nothing = heard("31", data={"total": 0, "dataList": []})
    assert said(merged(state(nothing))) == [("empty", 10)]
    assert (alone(nothing).status, alone(nothing).data) == (10, None)


def test_later_versions() -> None:
    """Names that a later version adds beside the list are passed over, and those inside it are kept (v1)."""
    later = heard("31", data={"total": 1, "dataList": [{"new": [1]}], "sources": "x", "new": {}})
    for told in (merged(state(later)), alone(later)):
        assert told.status == 0
        assert data_of(told)["dataList"] == [{"new": [1]}]
        assert "new" not in data_of(told)
    assert "sources" not in data_of(alone(later))


ONE_OF: Final[dict[str, Part]] = {
    "answered": answered("", 1),
    "empty": EMPTY,
    "refused": REFUSED,
    "late": LATE,
    "away": AWAY,
    "revoked": EXPIRED_CARD,
    "misnamed": heard("", 3012),
    "used_up": heard("", 3010),
}


@pytest.mark.parametrize(
    ("names", "status"),
    [
        ("answered", 0),
        ("answered empty refused revoked", 0),
        ("answered late", 7003),
        ("answered away", 7003),
        ("answered late away refused", 7003),
        ("away", 7001),
        ("away away empty", 7001),
        ("away refused revoked", 7001),
        ("late", 7002),
        ("late empty refused", 7002),
        ("away away late", 7002),
        ("empty", 10),
        ("empty refused", 10),
        ("refused empty", 10),
        ("revoked empty", 22),
        ("empty refused revoked", 22),
        ("refused revoked", 22),
        ("misnamed empty", 3012),
        ("empty refused misnamed", 3012),
        ("away misnamed", 7001),
        ("empty used_up", 3010),
        ("refused", 3005),
        ("refused refused", 3005),
    ],
)
def test_status(names: str, status: int) -> None:
    """Some data 0 or 7003; without data 7002, 7001, what is wrong with a certificate, 10, a refusal, in this order."""
    assert merged(state(*(ONE_OF[name] for name in names.split()))).status == status


def test_never_empty_while_a_source_is_missing() -> None:
    """Of all four-fold combinations none says 10 or 0 while a source is missing, and data never go untold."""
    for names in product(ONE_OF, repeat=4):
        told = merged(state(*(ONE_OF[name] for name in names)))
        missing, data = bool({"late", "away"} & set(names)), "answered" in names
        assert told.status in ({7003} if data else {7001, 7002}) or not missing, names
        assert (told.status in (0, 7003)) is data, names
        assert len(data_of(told)["dataList"]) == names.count("answered")


def test_the_first_refusal_speaks() -> None:
    """When all have refused, the code and the words are those of the first province."""
    told = merged(state(heard("31", 3006, message="不可"), heard("32", 3005)))
    assert (told.status, told.message) == (3006, "不可")
    assert merged(state(heard("31", 3006))).message == STATUSES[3006].message


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((answered("31"), LATE, AWAY, EMPTY), "部分证照源未答复：江苏省、浙江省"),
        ((EMPTY, EMPTY, EMPTY, AWAY), "证照源暂不可达，请稍后重试：安徽省"),
        ((LATE, REFUSED, EMPTY, AWAY), "尚未答复，可稍后查询：上海市、安徽省"),
        ((heard("31", 99), answered("32")), "部分证照源未答复：上海市"),
    ],
)
def test_missing_provinces_are_named(parts: tuple[Part, ...], message: str) -> None:
    """While a source is missing the message names each that is, and no other."""
    assert merged(state(*parts)).message == message


def test_a_province_nobody_knows() -> None:
    """A province that is not in the table is named as it was asked."""
    told = merged(state(AWAY, provinces=("35",)))
    assert (sources(told)[0].region_code, told.message.endswith("：35")) == ("35", True)


@pytest.mark.parametrize(
    ("parts", "province"),
    [
        ((answered("31"), answered("32")), "31"),
        ((heard("31", 3005, evidence="evidence-31"), answered("32"), answered("33")), "32"),
        ((LATE, AWAY, EMPTY, answered("34")), "34"),
    ],
)
def test_whose_evidence(parts: tuple[Part, ...], province: str) -> None:
    """The head's evidence and scenario are those of the first province that answered with data."""
    told = merged(state(*parts))
    assert (told.evidence, told.scenario) == (f"evidence-{province}", f"scene-{province}")


def test_evidence_without_data() -> None:
    """When nobody has data the head's evidence is the first there is, and none when there is none."""
    refusal = heard("32", 3005, evidence="evidence-32", scenario="scene-32")
    told = merged(state(EMPTY, refusal, LATE))
    assert (told.evidence, told.scenario) == ("evidence-32", "scene-32")
    told = merged(state(LATE, AWAY))
    assert (told.evidence, told.scenario) == ("", "")


def test_each_source_has_its_own_evidence() -> None:
    """Each source that replied says its evidence and its scenario, and a missing one says neither."""
    told = merged(state(answered("31"), heard("32", 10, evidence="e", scenario="s"), LATE, AWAY))
    assert [(one.evidence, one.scenario) for one in sources(told)] == [
        ("evidence-31", "scene-31"),
        ("e", "s"),
        (None, None),
        (None, None),
    ]


@pytest.mark.parametrize(
    ("hops", "elapsed"), [({"received": APPENDED - 70}, 70), ({"received": APPENDED + 9}, 0), ({}, 0)]
)
def test_elapsed(hops: dict[str, int], elapsed: int) -> None:
    """A source's time runs from our receipt to Kafka's append, is never negative, and a missing one has none."""
    told = merged(state(heard("31", 10, hops=hops), LATE))
    assert [one.elapsed_ms for one in sources(told)] == [elapsed, None]


def test_withheld() -> None:
    """What any province withholds is told once, in order, and only of provinces whose data are told."""
    told = merged(
        state(
            answered("31", withheld=["KZ_ZZ", "KZ_XM"]),
            answered("32", withheld=["KZ_XB", "KZ_XM"]),
            heard("33", data={"total": 1, "dataList": [], "withheld": ["x"]}),
        )
    )
    assert data_of(told)["withheld"] == ["KZ_XB", "KZ_XM", "KZ_ZZ"]
    assert "withheld" not in data_of(merged(state(answered("31"))))


COUNTS: Final = (7, 0, 15, 1)
ALL: Final = [row["certificateID"] for one, count in zip(PROVINCES, COUNTS, strict=True) for row in rows_of(one, count)]


@pytest.mark.parametrize("size", [1, 4, 10, 50])
def test_pages(size: int) -> None:
    """Page after page shows every certificate of every province once, in one order, with the same total."""
    shown: list[str] = []
    for number in range(1, len(ALL) // size + 2):
        parts = [
            answered(one, count, page=(number, size)) if count else EMPTY
            for one, count in zip(PROVINCES, COUNTS, strict=True)
        ]
        told = merged(state(*parts))
        data = data_of(told)
        assert (told.status, data["total"], data["pageNo"], data["pageSize"]) == (0, len(ALL), number, size)
        assert len(ids(told)) <= size
        shown += ids(told)
    assert shown == ALL


def test_beyond_the_last_page() -> None:
    """A page beyond the end is empty, says the total, and is no failure."""
    told = merged(state(answered("31", 3, page=(9, 50)), answered("32", 2, page=(9, 50))))
    assert (told.status, ids(told), data_of(told)["total"]) == (0, [], 5)
    assert said(told) == [("answered", 0)] * 2


def test_a_page_while_a_province_is_missing() -> None:
    """A page is cut out of what has come, and the status says that it is not all."""
    told = merged(state(answered("31", 3, page=(1, 2)), LATE, answered("33", 3, page=(1, 2))))
    assert (told.status, ids(told), data_of(told)["total"]) == (7003, ["31-0", "31-1"], 6)


def test_without_pages() -> None:
    """What was not asked for by pages is told whole."""
    told = merged(state(answered("31", 30), answered("32", 30)))
    assert len(ids(told)) == 60
    assert "pageNo" not in data_of(told)


def test_nobody_has_data() -> None:
    """Without data there are an empty list, a total of 0 and the sources."""
    told = merged(state(EMPTY, REFUSED, LATE, AWAY))
    assert data_of(told)["total"] == 0
    assert data_of(told)["dataList"] == []
    assert len(sources(told)) == 4


@pytest.mark.parametrize(
    ("part", "status"),
    [(Missing.PENDING, 7002), (Missing.EXPIRED, 7002), (Missing.UNAVAILABLE, 7001), (heard("32", 8888), 99)],
)
def test_alone_without_an_answer(part: Part, status: int) -> None:
    """One province that was named and says nothing is 7002, one that is away 7001, a code nobody knows 99."""
    told = alone(part)
    assert (told.status, told.data, told.message) == (status, None, "")


def test_alone_with_data() -> None:
    """What one province that was named says is told as it says it, without sources."""
    told = alone(answered("32", 2, withheld=["KZ_ZZ"]))
    assert data_of(told) == {"total": 2, "dataList": rows_of("32", 2), "withheld": ["KZ_ZZ"]}
    assert (told.status, told.evidence, told.scenario) == (0, "evidence-32", "scene-32")


def test_alone_refused() -> None:
    """A refusal is told with the province's code and words, and without data."""
    told = alone(heard("32", 3005, {"total": 1, "dataList": [{}]}, message="不可", evidence="e", scenario="s"))
    assert told == Told(3005, "不可", None, "e", "s")


@given(st.lists(st.sampled_from([0, 10, 99, 3005, 8888]), min_size=1, max_size=4), st.binary(max_size=40))
def test_any_bytes(codes: list[int], data: bytes) -> None:
    """Whatever provinces send, an answer with a status of the table can be written."""
    told = merged(state(*(heard("", code, data) for code in codes)))
    assert told.status in STATUSES
    data_of(told)
