"""Whatever a stranger puts on a topic: only LotError ever leaves, and what is not the lot that was sent is refused."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.items import decode_data, decode_reply, decode_request
from schemas.lot import FRAME_OVERHEAD_BYTES, MAX_ITEMS, REASONS, REQUEST_TYPE, LotError, WireRecord, unframe
from schemas.suites import ED
from schemas.wire import check_open, open_lot, parse_headers
from tests.unit.parties import (
    NOW,
    OPENERS,
    PROVINCE,
    SNAPSHOT,
    header,
    lot,
    lot_by_hand,
    receive,
    signed_again,
    with_header,
)

SAMPLE: Final = lot([b'{"id":"1"}', b"{}"])
OTHER: Final = lot([b"another"], ce_id="f" * 32)
NAMES: Final = tuple(name for name, _ in SAMPLE.headers)

anything = st.binary(max_size=300)
names = st.sampled_from(NAMES) | st.text(max_size=12)
texts = st.one_of(
    anything,
    st.sampled_from([value for record in (SAMPLE, OTHER) for _, value in record.headers]),
    st.from_regex(rb"[A-Za-z0-9_-]{0,80}(\.[A-Za-z0-9_-]{0,80}){0,4}", fullmatch=True),
    st.integers(0, 10**18).map(lambda number: str(number).encode()),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def members_of(*known: str) -> st.SearchStrategy[bytes]:
    """JSON objects with these members, of any type, and others."""
    return st.dictionaries(st.sampled_from(known) | st.text(max_size=8), json_values, max_size=8).map(encode)


def encode(value: object) -> bytes:
    try:
        return msgspec.json.encode(value)
    except OverflowError:  # an integer of more than 64 bits
        return str(value).encode()


def refusal(step: Callable[[], object]) -> str:
    """Why the step refuses, "" if it does not; anything but a LotError fails the test."""
    try:
        step()
    except LotError as refused:
        return refused.reason
    return ""


def opens(record: WireRecord) -> bool:
    """Whether the lot is accepted; if not, its reason is in the table."""
    reason = refusal(lambda: receive(record))
    assert reason in {"", *REASONS}
    return not reason


@given(st.lists(st.tuples(names, texts), max_size=80), anything)
@settings(max_examples=200)
def test_random_records(headers: list[tuple[str, bytes]], value: bytes) -> None:
    """A record of random headers and bytes is refused with a reason."""
    assert not opens(WireRecord(headers, value))


@given(st.sampled_from(NAMES), texts)
@settings(max_examples=200)
def test_one_other_header(name: str, value: bytes) -> None:
    """A lot with another text in any one header is refused."""
    assert opens(with_header(SAMPLE, name, value)) == (value == header(SAMPLE, name))


@given(st.sampled_from(["signature", "seal"]), st.data())
@settings(max_examples=200)
def test_other_parts_of_a_header(name: str, data: st.DataObject) -> None:
    """A lot with another part in its signature or seal, also from another good lot, is refused."""
    parts = header(SAMPLE, name).split(b".")
    place = data.draw(st.integers(0, 2))
    part = data.draw(texts | st.just(header(OTHER, name).split(b".")[place]))
    changed = b".".join((*parts[:place], part, *parts[place + 1 :]))
    assert opens(with_header(SAMPLE, name, changed)) == (part == parts[place])


@given(anything | st.just(OTHER.value), st.integers(0, 300), st.integers(0, 300))
@settings(max_examples=200)
def test_other_value(piece: bytes, start: int, stop: int) -> None:
    """A lot with any stretch of its value replaced is refused."""
    value = SAMPLE.value[:start] + piece + SAMPLE.value[stop:]
    assert opens(SAMPLE._replace(value=value)) == (value == SAMPLE.value)


@given(members_of("headers", "aud", "root", "body", "evidence") | anything)
@settings(max_examples=200)
def test_signed_nonsense(payload: bytes) -> None:
    """Whatever a registered party signs in place of claims is refused with a reason."""
    assert not opens(signed_again(SAMPLE, payload[:2_000]))


@given(
    st.sampled_from(["alg", "enc", "kid", "epk", "lot", "from", "to", "crit"]),
    st.text(max_size=50) | json_values.filter(lambda value: value is not None),
)
@settings(max_examples=200)
def test_seal_header_nonsense(name: str, value: object) -> None:
    """Whatever a registered sender writes into a member of the protected header is refused with a reason."""
    try:
        written = msgspec.json.encode(value)
    except OverflowError:
        return
    if name == "crit" and written == b"null":  # also infinity: no value is as good as no member
        return
    members = {name: value} if name != "to" else {"to": PROVINCE, "from": value}
    assert not opens(lot_by_hand(b"\0\0\0\1" + bytes(16) + b"x", ED.digest(b"\0" + bytes(16) + b"x"), 1, **members))


@given(st.binary(max_size=200), st.integers(1, 3))
@settings(max_examples=200)
def test_sealed_nonsense(plaintext: bytes, count: int) -> None:
    """Whatever a registered sender seals in place of frames is refused with a reason."""
    assert not opens(lot_by_hand(plaintext, bytes(32), count))


frames = st.builds(
    lambda length, rest: length.to_bytes(4, "big") + bytes(16) + rest,
    st.integers(0, 40) | st.integers(0, 2**32 - 1),
    st.binary(max_size=40),
)


@given(st.lists(frames | anything, max_size=12).map(b"".join) | st.integers(0, 400).map(lambda n: bytes(20 * n)))
@settings(max_examples=200)
def test_unframe_is_bounded(plaintext: bytes) -> None:
    """Frames hold no more bytes than came, are at most 256, and put together again are the very plaintext."""
    reason = refusal(lambda: unframe(plaintext, ED))
    assert reason in {"", "frame", "items"}
    if reason:
        return
    items, leaves = unframe(plaintext, ED)
    assert len(items) == len(leaves) <= MAX_ITEMS
    assert sum(len(item.body) + FRAME_OVERHEAD_BYTES for item in items) == len(plaintext)
    assert b"".join(len(item.body).to_bytes(4, "big") + item.salt + item.body for item in items) == plaintext


@given(st.lists(st.tuples(names, texts), max_size=80) | st.just(SAMPLE.headers), anything, st.integers(0, 2**60))
@settings(max_examples=200)
def test_each_step_alone(headers: list[tuple[str, bytes]], value: bytes, now_ms: int) -> None:
    """Each step of opening raises LotError and nothing else, also when the one before it was left out."""
    reason = refusal(lambda: parse_headers(headers))
    assert reason in {"", "header", "version"}
    if reason:
        return
    envelope, signature, sealed = parse_headers(headers)
    reason = refusal(lambda: check_open(envelope, value, REQUEST_TYPE, now_ms))
    assert reason in {"", "version", "expired", "deadline", "size", "items"}
    held: dict[str, Any] = {"me": PROVINCE, "keys": SNAPSHOT, "opener": OPENERS[PROVINCE], "now_ms": NOW}
    assert refusal(lambda: open_lot(envelope, signature, sealed, value, **held)) in {"", *REASONS}


@given(
    members_of("id", "interface", "application", "deadline", "head", "data", "address", "hops", "status", "attempt")
    | anything
    | st.just(b'{"other":' + b"[" * 5_000)
)
@settings(max_examples=200)
def test_items_of_any_kind(body: bytes) -> None:
    """An item is read, or it is refused as malformed; its data too."""
    for decode in (decode_request, decode_reply):
        try:
            decode(body)
        except msgspec.DecodeError:
            continue


@given(members_of("certificateID", "useFor", "fields", "regionCodes") | st.just(b"[" * 5_000 + b"]" * 5_000))
@settings(max_examples=200)
def test_data_of_any_kind(data: bytes) -> None:
    """Data of a typed interface that is not what its type says is refused as malformed."""
    body = b'{"id":"%s","interface":"I4","application":"a","deadline":1,"head":{},"data":%s}' % (b"0" * 32, data)
    try:
        item = decode_request(body)
    except msgspec.DecodeError:
        return
    assert refusal(lambda: decode_data(item)) in {"", "form"}
