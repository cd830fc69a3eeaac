"""The body of a request: names fold, twins and strangers are refused, and nothing a caller sends comes back."""

import json
from typing import Any, Final

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.gateway.body import BodyError, Request, read_body
from schemas.interfaces import TYPED
from schemas.sharing import CertificateDataByIdRequest

I4: Final = TYPED["I4"]
CANARY: Final = "9900011990"  # a value of a caller; digits, so that it may stand where a number or a text is asked for
HEAD: Final = {"sceneCode": "s", "orgName": "o", "requestId": "0" * 32, "deadline": 7}
DATA: Final = {"certificateID": "1.2", "fields": ["KZ_XM"], "regionCodes": ["320000"]}


def read(head: object = None, data: object = None) -> Request:
    return read_body(orjson.dumps({"head": HEAD if head is None else head, "data": DATA if data is None else data}), I4)


def refused(raw: bytes) -> str:
    with pytest.raises(BodyError) as error:
        read_body(raw, I4)
    return str(error.value)


def body(head: str = "{}", data: str = "{}") -> bytes:
    return f'{{"head": {head}, "data": {data}}}'.encode()


def test_good_body() -> None:
    """A body gives a typed head and the typed data of its interface."""
    request = read()
    assert (request.head.scene_code, request.head.request_id, request.head.deadline) == ("s", "0" * 32, 7)
    assert request.data == CertificateDataByIdRequest(certificate_id="1.2", fields=("KZ_XM",), region_codes=("320000",))


@pytest.mark.parametrize("spell", [str.lower, str.upper, str.title, str.swapcase])
def test_letter_case(spell: Any) -> None:
    """Names are taken in any letter case (DOMAIN §11)."""
    folded = {spell("head"): {spell(name): value for name, value in HEAD.items()}}
    folded[spell("data")] = {spell(name): value for name, value in DATA.items()}
    assert read_body(orjson.dumps(folded), I4) == read()


def test_national_spelling() -> None:
    """The national names CertificateID and UseFor are understood (DOMAIN §0, 6)."""
    request = read(data={"CertificateID": "1.2", "UseFor": "p"})
    assert (request.data.certificate_id, request.data.use_for) == ("1.2", "p")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"head": {}, "HEAD": {}}',
        body(head='{"useFor": "a", "UseFor": "a"}'),
        body(head='{"useFor": "a", "USEFOR": null}'),
        body(data='{"certificateId": "a", "certificateID": "a"}'),
    ],
)
def test_case_twins(raw: bytes) -> None:
    """The same name in two letter cases is refused, whatever its values are."""
    assert "twice" in refused(raw)


@pytest.mark.parametrize(
    "raw",
    [b'{"haed": {}}', body(head='{"scene": "a"}'), body(data='{"CertificateIDs": "a"}'), body(head='{"": "a"}')],
)
def test_unknown_names(raw: bytes) -> None:
    """A name that the interface does not know is refused, and the message lists those that it knows."""
    assert "it knows" in refused(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b"null",
        b"7",
        b'"text"',
        body(head="[]"),
        body(data='"text"'),
        body(head="7"),
        body(head='{"sceneCode": 7}'),
        body(head='{"sceneCode": ["s"]}'),
        body(head='{"sceneCode": {"s": "s"}}'),
        body(head='{"timestamp": "7"}'),
        body(head='{"timestamp": 7.5}'),
        body(head='{"timestamp": true}'),
        body(head='{"deadline": 1e300}'),
        body(data='{"fields": "KZ_XM"}'),
        body(data='{"fields": [7]}'),
        body(data='{"fields": [null]}'),
        body(data='{"certificateID": 12}'),
    ],
)
def test_wrong_types(raw: bytes) -> None:
    """A value of another JSON type is refused, never converted."""
    refused(raw)


@pytest.mark.parametrize(
    ("head", "data"),
    [
        ({"sceneCode": "s" * 129}, {}),
        ({"orgName": "o" * 201}, {}),
        ({"nonce": "n" * 15}, {}),
        ({"nonce": "n" * 65}, {}),
        ({}, {"certificateID": "1" * 257}),
        ({}, {"fields": ["f"] * 129}),
        ({}, {"fields": ["f" * 129]}),
        ({}, {"regionCodes": ["3"] * 33}),
        ({"timestamp": 1 << 70}, {}),
    ],
)
def test_bounds(head: dict[str, Any], data: dict[str, Any]) -> None:
    """Texts, lists and numbers are bounded."""
    refused(json.dumps({"head": head, "data": data}).encode())


@pytest.mark.parametrize("raw", [b"{}", b'{"head": null, "data": null}', body()])
def test_absent_parts(raw: bytes) -> None:
    """An absent or null part is an empty one: the form says what is missing (12)."""
    assert read_body(raw, I4) == read(head={}, data={})


def test_null_is_absent() -> None:
    """A null value is an absent one."""
    nulls: dict[str, None] = dict.fromkeys(("sceneCode", "nonce", "deadline", "accessToken"))
    assert read(head=nulls) == read(head={})
    assert read(data={"certificateID": None, "fields": None}) == read(data={})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'{"head": {}',
        b"{'head': {}}",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\x00}\x00",
        b'{"head": {"sceneCode": "\xff"}}',
        b'{"head": {"sceneCode": "\\ud800"}}',
        b'{"\\ud800": 1}',
        b'{"head": {"timestamp": 1e400}}',
        b'{"head": {"timestamp": NaN}}',
        b'{"head": {"timestamp": ' + b"9" * 5_000 + b"}}",
        b'{"head": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"head": ' + b'{"head": ' * 5_000 + b"7" + b"}" * 5_001,
        body(data='{"fields": ' + "[" * 900 + "]" * 900 + "}"),
        b'{"head": {"a\x00": 1}}',
        b'{"head": {}} {}',
    ],
)
def test_hostile_bodies(raw: bytes) -> None:
    """Broken text, broken encodings, huge numbers and deep nesting are refused as a wrong body, and nothing else."""
    refused(raw)


def test_control_characters() -> None:
    """A NUL inside a value is a value like another."""
    assert read(head={"username": "a\0b"}).head.username == "a\0b"


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*HEAD, *DATA, "head", "data", "HEAD", "UseFor"]) | st.text(max_size=4), inner
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["head", "data", "Head", "x"]), JSON) | JSON)
def test_any_json(value: object) -> None:
    """Any JSON is either a typed request or a wrong body."""
    try:
        read_body(json.dumps(value).encode(), I4)
    except BodyError:
        return
    assert isinstance(value, dict)


@given(st.binary(max_size=64))
@example(b"\x00")
def test_any_bytes(raw: bytes) -> None:
    """Any bytes are either a typed request or a wrong body."""
    try:
        read_body(raw, I4)
    except BodyError:
        return
    assert isinstance(orjson.loads(raw), dict)


PLACES: Final = [
    {"head": CANARY},
    {"head": [CANARY]},
    {"head": {CANARY: 1}},
    {"head": {"sceneCode": int(CANARY)}},
    {"head": {"sceneCode": [CANARY]}},
    {"head": {"sceneCode": {CANARY: CANARY}}},
    {"head": {"sceneCode": CANARY * 20}},
    {"head": {"timestamp": CANARY}},
    {"head": {"timestamp": int(CANARY) + 0.5}},
    {"head": {"nonce": CANARY}},
    {"data": {"fields": {CANARY: CANARY}}},
    {"data": {"fields": ["KZ_XM", int(CANARY)]}},
    {"data": {"fields": [CANARY * 20]}},
    {"data": {"certificateID": CANARY * 30}},
    {CANARY: 1},
    [CANARY],
]


@pytest.mark.parametrize("value", PLACES)
def test_no_value_in_the_message(value: object) -> None:
    """The message names the place, and neither a value nor a name that the caller wrote."""
    assert CANARY not in refused(json.dumps(value).encode())


def test_no_text_in_the_message() -> None:
    """A body that is not JSON is not repeated in the message, which names no position in it either."""
    assert refused(f'{{"head": {CANARY}'.encode()) == "the body is not JSON"
