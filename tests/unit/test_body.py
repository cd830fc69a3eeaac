"""The body of a request: names fold, twins and strangers are refused, and nothing a caller sends comes back."""

import json
from typing import Any, Final

import msgspec
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Struct

from broker.gateway.body import BodyError, Request, read_body
from schemas.interfaces import INTERFACES, Interface
from schemas.sharing import (
    CodeOperator,
    DataByIdRequest,
    FileByIdRequest,
    SearchRequest,
    VerifyCodeRequest,
    VerifyFileRequest,
)

I4: Final = INTERFACES["I4"]
CANARY: Final = "9900011990"  # a value of a caller; digits, so that it may stand where a number or a text is asked for
HEAD: Final = {"sceneCode": "s", "orgName": "o", "requestId": "0" * 32, "deadline": 7}
DATA: Final = {"certificateID": "1.2", "fields": ["KZ_XM"], "regionCodes": ["320000"]}


def read(head: object = None, data: object = None) -> Request:
    return read_body(orjson.dumps({"head": HEAD if head is None else head, "data": DATA if data is None else data}), I4)


def refused(raw: bytes, interface: Interface = I4) -> str:
    with pytest.raises(BodyError) as error:
        read_body(raw, interface)
    return str(error.value)


def data_of(key: str, **data: Any) -> Any:
    """The typed data of an interface's request with these."""
    return read_body(json.dumps({"data": data}).encode(), INTERFACES[key]).data


def refused_data(key: str, **data: Any) -> str:
    return refused(json.dumps({"data": data}).encode(), INTERFACES[key])


def body(head: str = "{}", data: str = "{}") -> bytes:
    return f'{{"head": {head}, "data": {data}}}'.encode()


def test_good_body() -> None:
    """A body gives a typed head and the typed data of its interface."""
    request = read()
    assert (request.head.scene_code, request.head.request_id, request.head.deadline) == ("s", "0" * 32, 7)
    assert request.data == DataByIdRequest(certificate_id="1.2", fields=("KZ_XM",), region_codes=("320000",))


@pytest.mark.parametrize("spell", [str.lower, str.upper, str.title, str.swapcase])
def test_letter_case(spell: Any) -> None:
    """Names are taken in any letter case (DOMAIN §11)."""
    folded = {spell("head"): {spell(name): value for name, value in HEAD.items()}}
    folded[spell("data")] = {spell(name): value for name, value in DATA.items()}
    assert read_body(orjson.dumps(folded), I4) == read()


def test_national_spelling() -> None:
    """The national names CertificateID and UseFor are understood (DOMAIN §0, 6)."""
    request = read(data={"CertificateID": "1.2", "UseFor": "p"})
    assert request.data == DataByIdRequest(certificate_id="1.2", use_for="p")


OPERATOR: Final = {
    "account": "a",
    "name": "n",
    "identity_num": "i",
    "role": "r",
    "division": "d",
    "division_code": "dc",
    "service_org": "s",
    "service_org_code": "sc",
}
VALUES: Final[dict[str, object]] = {
    "regionCodes": ["310000"],
    "fields": ["KZ_XM"],
    "requestedTypes": ["t"],
    "pageNo": 2,
    "pageSize": 50,
    "original": True,
    "operator": OPERATOR,
    "certificateHolderTypeCode": "111",
    "fileFormat": "ofd",
}


def every_value(kind: type[Struct]) -> dict[str, Any]:
    """All names of a request with a value each."""
    return {name: VALUES.get(name, name) for name in kind.__struct_encode_fields__}


@pytest.mark.parametrize("spell", [str, str.lower, str.upper, str.swapcase])
@pytest.mark.parametrize("key", INTERFACES)
def test_every_name_of_every_interface(key: str, spell: Any) -> None:
    """Each name of each interface is taken in any letter case, with the value that was sent."""
    sent = every_value(INTERFACES[key].request)
    told = data_of(key, **{spell(name): value for name, value in sent.items()})
    assert type(told) is INTERFACES[key].request
    assert orjson.loads(msgspec.json.encode(told)) == sent


ALIASES: Final = [
    ("I6", "certificateTypeCode", "certTypeCode"),
    ("I6", "useCause", "useFor"),
    ("I7", "serviceCode", "certQrCode"),
]


@pytest.mark.parametrize("spell", [str, str.lower, str.upper, str.title])
@pytest.mark.parametrize(("key", "alias", "name"), ALIASES)
def test_other_names(key: str, alias: str, name: str, spell: Any) -> None:
    """What callers call otherwise is understood, in any letter case (DOMAIN §4)."""
    assert data_of(key, **{spell(alias): "a"}) == data_of(key, **{name: "a"})


@pytest.mark.parametrize(("key", "alias", "name"), ALIASES)
def test_twins_by_another_name(key: str, alias: str, name: str) -> None:
    """A value that is there under both of its names is there twice, an empty one too."""
    for value in ("a", "b", None):
        assert f"data.{name} 以不同大小写或别名重复出现" in refused_data(key, **{alias: value, name: "a"})
        assert f"data.{name} 以不同大小写或别名重复出现" in refused_data(key, **{name: "a", alias: value})


@pytest.mark.parametrize(("key", "alias", "name"), ALIASES)
def test_other_names_elsewhere(key: str, alias: str, name: str) -> None:
    """Another name is known to its own interface only."""
    for other in INTERFACES.values():
        known = {one.lower() for one in other.request.__struct_encode_fields__}
        if other.key != key and alias.lower() not in known:
            assert "本接口的名称有" in refused_data(other.key, **{alias: "a"})


@pytest.mark.parametrize("spell", [str, str.upper, str.title, str.swapcase])
def test_names_of_an_operator(spell: Any) -> None:
    """The names inside `operator` are taken in any letter case too."""
    told = data_of("I7", **{spell("operator"): {spell(name): value for name, value in OPERATOR.items()}})
    assert told == VerifyCodeRequest(operator=CodeOperator(**OPERATOR))
    assert data_of("I7", operator={spell("role"): None}) == VerifyCodeRequest(operator=CodeOperator())


@pytest.mark.parametrize(
    ("operator", "words"),
    [
        ({"account": "a", "Account": "a"}, "data.operator.account 以不同大小写或别名重复出现"),
        ({"identityNum": "a"}, "本接口的名称有 account"),
        ({"operator": {}}, "本接口的名称有 account"),
        ({"account": 7}, "account"),
        ({"account": {"account": "a"}}, "account"),
        ({"account": "a" * 129}, "account"),
        ({"service_org": "a" * 201}, "service_org"),
        ([], "operator"),
        (7, "operator"),
        ("a", "operator"),
    ],
)
def test_wrong_operators(operator: object, words: str) -> None:
    """Twins, strangers and wrong types inside `operator` are refused with their place."""
    assert words in refused_data("I7", operator=operator)


def test_an_operator_elsewhere() -> None:
    """Only I7 knows an operator."""
    for key in INTERFACES:
        if key != "I7":
            assert "本接口的名称有" in refused_data(key, operator={})


@pytest.mark.parametrize(
    "page",
    [
        {"pageNo": 0},
        {"pageNo": -1},
        {"pageNo": 201},
        {"pageNo": 1.5},
        {"pageNo": 1.0},
        {"pageNo": "1"},
        {"pageNo": True},
        {"pageNo": 1 << 64},
        {"pageSize": 0},
        {"pageSize": 51},
        {"pageSize": -10},
        {"pageSize": [10]},
    ],
)
def test_pages_out_of_bounds(page: dict[str, object]) -> None:
    """Pages count from 1 and hold at most 50, and nothing else is taken for a page (DOMAIN §3.5)."""
    refused_data("I1", **page)


def test_pages() -> None:
    """The first and the last page there may be are taken, and without one it is the first ten."""
    assert data_of("I1") == SearchRequest(page_no=1, page_size=10)
    assert data_of("I1", pageNo=200, pageSize=50) == SearchRequest(page_no=200, page_size=50)
    assert data_of("I1", pageNo=None, pageSize=None) == SearchRequest()


def test_a_true_or_false() -> None:
    """Whether an original is wanted is true, false or absent, and no number or text stands for it."""
    assert [data_of("I2", original=value) for value in (True, False, None)] == [
        FileByIdRequest(original=value) for value in (True, False, None)
    ]
    wrong: tuple[object, ...] = (1, 0, "true", [])
    for one in wrong:
        refused_data("I2", original=one)


def test_a_large_file() -> None:
    """A file's text of 10 MiB is taken, and one character more is refused."""
    largest = "A" * (10 << 20)
    assert data_of("I6", content=largest) == VerifyFileRequest(content=largest)
    assert "长度不超过" in refused_data("I6", content=largest + "A")


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
    assert "重复出现" in refused(raw)


@pytest.mark.parametrize(
    "raw",
    [b'{"haed": {}}', body(head='{"scene": "a"}'), body(data='{"CertificateIDs": "a"}'), body(head='{"": "a"}')],
)
def test_unknown_names(raw: bytes) -> None:
    """A name that the interface does not know is refused, and the message lists those that it knows."""
    assert "本接口的名称有" in refused(raw)


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


HOSTILE: Final = [
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
    body(data='{"operator": ' + '{"operator": ' * 900 + "7" + "}" * 901),
    body(data='{"pageNo": ' + "9" * 400 + "}"),
    body(data='{"pageNo": -' + "9" * 25 + "}"),
    body(data='{"certQrCode": "\\udc00\\ud800"}'),
    body(data='{"operator": {"name": "\\ud800"}}'),
    body(data='{"certificateHolderCode": "\x00"}'),
]


@pytest.mark.parametrize("key", INTERFACES)
@pytest.mark.parametrize("raw", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_bodies(raw: bytes, key: str) -> None:
    """Broken text, broken encodings, huge numbers and deep nesting are refused as a wrong body, and nothing else."""
    refused(raw, INTERFACES[key])


def test_control_characters() -> None:
    """A NUL inside a value is a value like another, and inside a name it makes a stranger."""
    assert read(head={"username": "a\0b"}).head.username == "a\0b"
    for key in INTERFACES:
        assert data_of(key, useFor="\0").use_for == "\0"
        assert "本接口的名称有" in refused_data(key, **{"useFor\0": "a"})


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*HEAD, *DATA, "head", "data", "UseFor", "operator", "pageNo", "serviceCode"])
            | st.text(max_size=4),
            inner,
        )
    ),
    max_leaves=12,
)


@given(
    key=st.sampled_from(list(INTERFACES)), value=st.dictionaries(st.sampled_from(["head", "data", "Head"]), JSON) | JSON
)
def test_any_json(key: str, value: object) -> None:
    """Any JSON is either a typed request or a wrong body."""
    try:
        read_body(json.dumps(value).encode(), INTERFACES[key])
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
    {"data": {"pageNo": CANARY}},
    {"data": {"pageNo": int(CANARY)}},
    {"data": {"certificateHolderCode": [CANARY]}},
    {"data": {"content": {CANARY: 1}}},
    {"data": {"operator": {CANARY: CANARY}}},
    {"data": {"operator": {"name": int(CANARY)}}},
    {"data": {"operator": CANARY}},
    {"data": {"requestedTypes": [CANARY * 20]}},
    {CANARY: 1},
    [CANARY],
]


@pytest.mark.parametrize("key", INTERFACES)
@pytest.mark.parametrize("value", PLACES)
def test_no_value_in_the_message(value: object, key: str) -> None:
    """The message names the place, and neither a value nor a name that the caller wrote."""
    assert CANARY not in refused(json.dumps(value).encode(), INTERFACES[key])


def test_no_text_in_the_message() -> None:
    """A body that is not JSON is not repeated in the message, which names no position in it either."""
    assert refused(f'{{"head": {CANARY}'.encode()) == "请求体不是 UTF-8 编码的 JSON"
