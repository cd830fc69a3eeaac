"""The national form of an answer: names of certificates in PascalCase, codes 0 to 99, and nothing else changed."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.exchange.state import Answer, Missing, Part, State
from broker.gateway.answers import Problem, accepted, answered, plain, problem
from broker.gateway.dialects import national_status, spoken
from broker.gateway.merging import merged
from schemas.answers import CertificateData, CertificateFile, CertificateHit, Check, CodeHolder, FileVerdict
from schemas.certificates import SurfaceField
from schemas.items import ReplyItem
from schemas.registry import Dialect
from schemas.statuses import STATUSES

FACE: Final = SurfaceField(name="姓名", value="测试", value_type="string", column_name="KZ_XM")


def national(body: object) -> dict[str, Any]:
    """An answer as an application of the national dialect reads it."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    told: dict[str, Any] = orjson.loads(spoken(raw, Dialect.NATIONAL))
    return told


@pytest.mark.parametrize("status", STATUSES)
def test_every_status(status: int) -> None:
    """Every status has a national one from 0 to 99, and success alone, whole or in part, is 0."""
    told = national_status(status)
    assert 0 <= told <= 99
    assert (told == 0) is (status in (0, 7003))
    assert told == (0 if status == 7003 else min(STATUSES[status].gb, 99))


@pytest.mark.parametrize(
    ("status", "told"),
    [(0, 0), (10, 10), (12, 12), (21, 21), (2004, 11), (2007, 11), (3005, 99), (4001, 99), (103, 99), (7003, 0)],
)
def test_nearest_statuses(status: int, told: int) -> None:
    """A national code stays, one of message security is 11, and what has no national code is 99 (DOMAIN §3.2)."""
    assert national_status(status) == told


@given(st.integers())
def test_any_status(status: int) -> None:
    """A status that nobody knows is 99."""
    assert status in STATUSES or national_status(status) == 99


CERTIFICATE: Final = CertificateData(
    certificate_id="1.2", certificate_type_code="t", certificate_status="VALID", certificate_holder="h", surface=(FACE,)
)
ROWS: Final = [
    (
        CERTIFICATE,
        {
            "CertificateID": "1.2",
            "CertificateTypeCode": "t",
            "CertificateStatus": "VALID",
            "CertificateHolder": "h",
            "Surface": [{"Name": "姓名", "Value": "测试", "ValueType": "string", "ColumnName": "KZ_XM"}],
        },
    ),
    (
        FileVerdict(result=0, message="一致", checks=(Check(item="status", result="passed"),), status_time=7),
        {"Result": 0, "Message": "一致", "Checks": [{"Item": "status", "Result": "passed"}], "StatusTime": 7},
    ),
]


@pytest.mark.parametrize(("row", "told"), ROWS)
def test_names_of_a_certificate(row: object, told: object) -> None:
    """Every name inside dataList begins with a capital, however deep it lies, and no value changes."""
    data = {"total": 1, "dataList": [row], "withheld": ["certificateHolder"]}
    assert national({"data": data})["data"] == {
        "total": 1,
        "dataList": [told],
        "withheld": ["CertificateHolder"],
    }


@pytest.mark.parametrize("kind", [CertificateHit, CertificateData, CertificateFile, FileVerdict, CodeHolder])
def test_names_stay_apart(kind: type[msgspec.Struct]) -> None:
    """No two names of an answer become one."""
    names = kind.__struct_encode_fields__
    (told,) = national({"data": {"dataList": [dict.fromkeys(names, 1)]}})["data"]["dataList"]
    assert [name.lower() for name in told] == [name.lower() for name in names]
    assert all(name[0].isupper() for name in told)


@pytest.mark.parametrize("rows", [[], [None, 1, "text", [["a"]], {"": {"": 1}}, {"éa": 1}]])
def test_rows_of_any_kind(rows: list[object]) -> None:
    """What is no name stays as it is."""
    told = national({"data": {"total": 0, "dataList": rows}})["data"]["dataList"]
    assert told == [{"Éa": 1} if row == {"éa": 1} else row for row in rows]


def test_nothing_else_changes() -> None:
    """Of head and sources only the statuses change; the national head has no gbStatus beside its own."""
    parts: dict[str, Part] = {
        "31": Answer(ReplyItem(id="0" * 32, status=3005, evidence="e", scenario="s"), "31", 7),
        "32": Missing.UNAVAILABLE,
    }
    body = bytes(answered("0" * 32, merged(State(60_000, parts)), deadline_ms=7).body)
    before, after = orjson.loads(body), national(body)
    assert [source["status"] for source in after["data"]["sources"]] == [99, 99]
    for source in (*before["data"]["sources"], *after["data"]["sources"]):
        del source["status"]
    assert after["data"] == before["data"]
    assert (before["head"].pop("status"), before["head"].pop("gbStatus")) == (7001, 99)
    assert after["head"].pop("status") == 99
    assert after["head"] == before["head"]


def test_answers_without_data() -> None:
    """A refusal, an acceptance and a problem have a national status and no data, and a problem stays one of HTTP."""
    refusal = national(bytes(plain(4005, "0" * 32, "x").body))
    assert (refusal["head"]["status"], refusal["head"]["message"], "data" in refusal) == (99, "x", False)
    later = national(bytes(accepted("0" * 32, 7).body))
    assert (later["head"]["status"], later["head"]["final"], "data" in later) == (0, False, False)
    told = national(bytes(problem(Problem(429, 2007)).body))
    assert (told["status"], told["head"]["status"]) == (429, 11)


def test_data_without_a_list() -> None:
    """An answer that has no list gets none."""
    assert national({"head": {"status": 0}, "data": {"total": 0}})["data"] == {"total": 0}


def test_our_own_dialect() -> None:
    """An application of our own dialect reads the very bytes."""
    assert spoken(b"\xff not even JSON", Dialect.CERTLANE) == b"\xff not even JSON"
