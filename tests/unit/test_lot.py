"""The lot: what goes in comes out, and whatever was changed on the way is refused with the reason that fits."""

from collections import Counter
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.bus.keys import KeyOpener, Sealer
from schemas import lot as lots
from schemas import merkle
from schemas.jose import b64, parse_jws
from schemas.lot import (
    MAX_DEADLINE_AHEAD_MS,
    MAX_ITEMS,
    MAX_LOT_BYTES,
    REASONS,
    REPLY_TYPE,
    Frames,
    LotError,
    WireRecord,
    frame,
    unframe,
)
from schemas.suites import ED, TAG_BYTES
from schemas.wire import open_lot, parse_headers, seal, unseal
from tests.unit.parties import (
    KEYS,
    NODE,
    NOW,
    OPENERS,
    PROVINCE,
    SIGNERS,
    SNAPSHOT,
    STRANGER,
    claims_of,
    envelope,
    header,
    keys_of,
    lot,
    lot_by_hand,
    receive,
    signed_again,
    snapshot,
    with_header,
)

SAMPLE: Final = lot([b'{"id":"1"}', "照".encode()])
NAMES: Final = tuple(name for name, _ in SAMPLE.headers)


def reason(record: WireRecord, **how: Any) -> str:
    """Why this record is refused; any other exception is a failure of the test."""
    with pytest.raises(LotError) as refused:
        receive(record, **how)
    assert refused.value.reason in REASONS
    return refused.value.reason


def trusted(record: WireRecord) -> bool:
    with pytest.raises(LotError) as refused:
        receive(record)
    return refused.value.trusted


# What goes in comes out


@pytest.mark.parametrize("count", [1, 2, 3, 64, 255, MAX_ITEMS])
def test_round_trip(count: int) -> None:
    """A lot of any lawful size gives back its items in their order, with the leaves its root was made of."""
    bodies = [f'{{"place":{place}}}'.encode() for place in range(count)]
    opened = receive(lot(bodies))
    assert [item.body for item in opened.items] == bodies
    assert opened.leaves == [merkle.leaf(item.salt + item.body, ED.digest) for item in opened.items]


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=MAX_ITEMS))
@settings(max_examples=50)
def test_round_trip_of_any_bytes(bodies: list[bytes]) -> None:
    """Items may be any bytes, also none at all."""
    assert [item.body for item in receive(lot(bodies)).items] == bodies


def test_salts_are_fresh() -> None:
    """Equal items have different leaves, so that a leaf tells nothing about its item."""
    made = frame([b"same"] * 64, ED)
    assert len({*made.leaves}) == 64


def test_largest_lot() -> None:
    """A value of exactly 512 KiB passes; one byte more is not packed, and not opened when it comes."""
    body = bytes(MAX_LOT_BYTES - TAG_BYTES - lots.FRAME_OVERHEAD_BYTES)
    assert len(lot([body]).value) == MAX_LOT_BYTES
    assert receive(lot([body])).items[0].body == body
    with pytest.raises(LotError, match="size"):
        lot([body + b"x"])
    assert reason(SAMPLE._replace(value=bytes(MAX_LOT_BYTES + 1))) == "size"
    assert reason(SAMPLE._replace(value=bytes(TAG_BYTES))) == "size"


def test_evidence_of_a_reply() -> None:
    """The digest of its evidence stands in a reply's signature, and in no request's."""
    reply = lot(to=NODE, by=PROVINCE, evidence=bytes(32), ce_type=REPLY_TYPE, ce_source=PROVINCE, ce_replyto="")
    assert receive(reply, me=NODE, event_type=REPLY_TYPE).evidence == b64(bytes(32))
    assert receive(SAMPLE).evidence is None


def test_one_item_is_proven_alone() -> None:
    """The signature and a path prove one item of a lot and hold nothing of the others."""
    opened = receive(lot([f"item {place}".encode() for place in range(100)]))
    steps, jws, item = merkle.path(opened.leaves, 41, ED.digest), parse_jws(opened.jws), opened.items[41]
    SNAPSHOT.verifier(NODE, jws.header.kid, jws.header.alg, NOW)(jws.signature, jws.signing_input)
    leaf = merkle.leaf(item.salt + item.body, ED.digest)
    assert b64(merkle.climb(leaf, steps, ED.digest)) == msgspec.json.decode(jws.payload)["root"]


# What was changed on the way


def test_every_byte_of_the_value() -> None:
    """A value with any one byte changed is refused as not the one that was signed."""
    for place in range(len(SAMPLE.value)):
        for change in (0x01, 0x80):
            changed = bytearray(SAMPLE.value)
            changed[place] ^= change
            assert reason(SAMPLE._replace(value=bytes(changed))) == "body"


@pytest.mark.parametrize("name", NAMES)
def test_every_byte_of_every_header(name: str) -> None:
    """A lot with any one byte of any header changed, added or taken away is refused."""
    value = header(SAMPLE, name)
    for place in range(len(value)):
        for change in (0x01, 0x20, 0x80):
            changed = bytearray(value)
            changed[place] ^= change
            assert reason(with_header(SAMPLE, name, bytes(changed)))
        assert reason(with_header(SAMPLE, name, value[:place] + value[place + 1 :]))
        assert reason(with_header(SAMPLE, name, value[:place] + value[place : place + 1] + value[place:]))
    assert reason(with_header(SAMPLE, name, value + b"\0"))


@pytest.mark.parametrize("name", NAMES)
def test_missing_header(name: str) -> None:
    """A lot without any one of its headers is refused."""
    without = SAMPLE._replace(headers=[entry for entry in SAMPLE.headers if entry[0] != name])
    expected = {"signature": "signature", "seal": "seal", "ce_replyto": "signature"}
    assert reason(without) == expected.get(name, "header")


@pytest.mark.parametrize("name", NAMES)
def test_doubled_header(name: str) -> None:
    """A header that stands twice is refused, even with the same text: two programs might read different ones."""
    assert reason(SAMPLE._replace(headers=[*SAMPLE.headers, (name, header(SAMPLE, name))])) == "header"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_id", "0123456789ABCDEF" * 2),
        ("ce_id", "01"),
        ("ce_source", "31_demo"),
        ("ce_source", "x" * 33),
        ("ce_deadline", "-1"),
        ("ce_deadline", "1e12"),
        ("ce_deadline", "٣" * 13),
        ("ce_deadline", "1" * 17),
        ("ce_items", ""),
        ("ce_items", " 2"),
        ("content-type", "application/json"),
        ("ce_time", "x" * 4_097),
    ],
)
def test_shape_of_headers(name: str, value: str) -> None:
    """A header whose text is not of its form is refused before any key is touched."""
    assert reason(with_header(SAMPLE, name, value.encode())) == "header"


def test_header_without_value() -> None:
    """A header that Kafka hands out without a value is refused."""
    assert reason(with_header(SAMPLE, "ce_id", None)) == "header"  # type: ignore[arg-type]  # Kafka's null


def test_bounded_headers() -> None:
    """More than 64 headers are not looked through."""
    assert receive(SAMPLE._replace(headers=[*SAMPLE.headers, *[("more", b"")] * (64 - len(SAMPLE.headers))]))
    assert reason(SAMPLE._replace(headers=[*SAMPLE.headers, *[("more", b"")] * 64])) == "header"


def test_order_of_headers() -> None:
    """The order of the headers does not matter."""
    assert receive(SAMPLE._replace(headers=SAMPLE.headers[::-1]))


# Who, to whom, under which key


def test_signed_for_another() -> None:
    """A lot signed for another party is refused, whoever it is sealed for."""
    assert reason(lot(to=NODE)) == "recipient"


def test_sealed_for_another() -> None:
    """A lot signed for us and sealed for another is refused."""
    plaintext = frame([b"x"], ED)
    assert reason(lot_by_hand(plaintext.plaintext, plaintext.root, 1, to=NODE)) == "recipient"
    assert reason(lot_by_hand(plaintext.plaintext, plaintext.root, 1, kid=KEYS[NODE].sealing.kid)) == "seal"


@pytest.mark.parametrize(
    "members",
    [
        {"lot": "0" * 32},
        {"from": STRANGER},
        {"alg": "ECDH-ES"},
        {"enc": "A128GCM"},
        {"enc": 1},
        {"crit": ["exp"]},
        {"epk": {"kty": "EC", "crv": "P-256", "x": "AA"}},
        {"epk": {"kty": "OKP", "crv": "X25519", "x": b64(bytes(32))}},
        {"epk": {}},
        {"kid": ""},
        {"other": msgspec.Raw(b"[" * 1_100 + b"]" * 1_100)},
    ],
)
def test_seal_says_something_else(members: dict[str, Any]) -> None:
    """A seal made for another lot, by another sender or with another algorithm is refused."""
    made = frame([b"x"], ED)
    assert reason(lot_by_hand(made.plaintext, made.root, 1, **members)) == "seal"


def test_seal_of_another_lot() -> None:
    """A sealed value cannot be moved into another lot, not even by one who signs that lot rightly."""
    other = lot([b"x"], ce_id="f" * 32)
    claims = claims_of(SAMPLE) | {"body": b64(ED.digest(other.value))}
    moved = with_header(SAMPLE, "seal", header(other, "seal"))._replace(value=other.value)
    assert reason(signed_again(moved, msgspec.json.encode(claims))) == "seal"


def test_unknown_sender() -> None:
    """A sender that is not in the registry is refused."""
    assert reason(lot(by=STRANGER, ce_source=STRANGER)) == "sender"


def test_key_of_another_party() -> None:
    """A lot signed with the key of another registered party is refused."""
    assert reason(lot(by=PROVINCE)) == "key"


def test_forged_signature() -> None:
    """A signature by a stranger that names the right key is refused."""
    signed, _, _ = header(SAMPLE, "signature").rpartition(b".")
    forged = signed + b"." + b64(SIGNERS[STRANGER].sign(signed)).encode()
    assert reason(with_header(SAMPLE, "signature", forged)) == "signature"


@pytest.mark.parametrize("alg", ["none", "HS256", "ES256", "SM2-SM3", ""])
def test_other_algorithm(alg: str) -> None:
    """A signature that names another algorithm than the key's is refused, `none` first of all."""
    jws_header = msgspec.json.encode({"alg": alg, "kid": KEYS[NODE].signing.kid})
    _, payload, signature = header(SAMPLE, "signature").split(b".")
    for last in (signature, b""):
        text = b".".join((b64(jws_header).encode(), payload, last))
        assert reason(with_header(SAMPLE, "signature", text)) == "key"


@pytest.mark.parametrize(
    "changes",
    [
        {"not_before": NOW + 1},
        {"not_after": NOW},
        {"revoked": True},
    ],
)
def test_key_outside_its_time(changes: dict[str, Any]) -> None:
    """A key that is not valid yet, not valid any more, or revoked signs nothing."""
    assert reason(SAMPLE, registry=snapshot(**changes)) == "key"


def test_first_and_last_moment_of_a_key() -> None:
    """A key is valid from its first millisecond to the one before its end."""
    assert receive(SAMPLE, registry=snapshot(not_before=NOW, not_after=NOW + 1))


def test_sealing_key_signs_nothing() -> None:
    """A party's sealing key is never taken for a signing key."""
    jws_header = msgspec.json.encode({"alg": "EdDSA", "kid": KEYS[NODE].sealing.kid})
    _, payload, signature = header(SAMPLE, "signature").split(b".")
    assert reason(with_header(SAMPLE, "signature", b".".join((b64(jws_header).encode(), payload, signature)))) == "key"


def test_trust() -> None:
    """Only a lot whose signature, headers and recipient were verified may be answered to its reply address."""
    assert trusted(SAMPLE._replace(value=SAMPLE.value + b"x"))
    assert trusted(with_header(SAMPLE, "seal", b"a.b.c"))
    assert not trusted(with_header(SAMPLE, "ce_replyto", b"certlane.reply.33-other/1"))
    assert not trusted(with_header(SAMPLE, "signature", b"a.b.c"))
    assert not trusted(lot(to=NODE))
    assert not trusted(lot(by=STRANGER, ce_source=STRANGER))


# When


def test_expired() -> None:
    """A lot is refused from the very millisecond of its deadline."""
    assert receive(lot(ce_deadline=str(NOW + 1)))
    assert reason(lot(ce_deadline=str(NOW))) == "expired"
    assert reason(lot(ce_deadline="0")) == "expired"


def test_deadline_too_far() -> None:
    """A deadline is at most ten minutes ahead, two seconds of clock difference allowed."""
    last = NOW + MAX_DEADLINE_AHEAD_MS + 2_000
    assert receive(lot(ce_deadline=str(last)))
    assert reason(lot(ce_deadline=str(last + 1))) == "deadline"
    assert reason(lot(ce_deadline="9" * 16)) == "deadline"


# Which version


@pytest.mark.parametrize("event_type", ["certlane.request.v2", "certlane.reply.v1", "certlane.requests.v1", "x"])
def test_unknown_type(event_type: str) -> None:
    """A type or major version that this program does not know is refused by that name, though signed rightly."""
    assert reason(lot(ce_type=event_type)) == "version"


def test_unknown_cloudevents() -> None:
    """Another version of CloudEvents is refused by that name."""
    assert reason(lot(ce_specversion="2.0")) == "version"


def test_unknown_headers_and_claims() -> None:
    """Headers, claims and members of the protected header that we do not know are ignored."""
    assert receive(SAMPLE._replace(headers=[("ce_other", b"\xff"), ("traceparent", b""), *SAMPLE.headers]))
    assert receive(signed_again(SAMPLE, msgspec.json.encode(claims_of(SAMPLE) | {"other": [1, {"a": None}]})))
    made = frame([b"x"], ED)
    assert receive(lot_by_hand(made.plaintext, made.root, 1, other={"a": 1}))


def test_signed_headers_are_all_of_them() -> None:
    """The signed headers are exactly those that are there: none more, none less, none empty."""
    claims = claims_of(SAMPLE)
    fewer = {name: text for name, text in claims["headers"].items() if name != "ce_time"}
    for signed in (claims["headers"] | {"ce_other": "x"}, fewer, {}):
        assert reason(signed_again(SAMPLE, msgspec.json.encode(claims | {"headers": signed}))) == "signature"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b'{"headers":',
        b'"\xff"',
        b'{"headers":{},"aud":"\xff","root":"","body":""}',
        b'{"other":' + b"[" * 1_200 + b"]" * 1_200 + b"}",
    ],
)
def test_signed_nonsense(payload: bytes) -> None:
    """A payload that is signed rightly and is no claims is refused like a wrong signature."""
    assert reason(signed_again(SAMPLE, payload)) == "signature"


@pytest.mark.parametrize("text", ["", "é", "A" * 43, "A" * 44])
def test_other_digests(text: str) -> None:
    """A digest or root of any other text, ASCII or not, is a difference and nothing worse."""
    claims = claims_of(SAMPLE)
    assert reason(signed_again(SAMPLE, msgspec.json.encode(claims | {"body": text}))) == "body"
    assert reason(signed_again(SAMPLE, msgspec.json.encode(claims | {"root": text}))) == "root"


# How many, and in which frames


def test_no_items() -> None:
    """A lot without items is refused, whatever its header says."""
    for count in ("0", "1"):
        empty = lot([], ce_items=count)
        assert reason(empty) == "size"
        assert reason(empty._replace(value=empty.value + b"x")) == ("body" if int(count) else "items")
        with pytest.raises(LotError, match="items"):  # as a reply is read: without the checks of a request
            open_lot(
                *parse_headers(empty.headers),
                empty.value,
                me=PROVINCE,
                keys=SNAPSHOT,
                opener=OPENERS[PROVINCE],
                now_ms=NOW,
            )


def test_too_many_items() -> None:
    """A lot of 257 items is refused, whether its header says so or not."""
    bodies = [b"x"] * (MAX_ITEMS + 1)
    assert reason(lot(bodies)) == "items"
    assert reason(lot(bodies, ce_items=str(MAX_ITEMS))) == "items"


@pytest.mark.parametrize("count", ["1", "3", "02", "256"])
def test_another_number_of_items(count: str) -> None:
    """A lot with more or fewer items than its header says is refused; leading zeros change nothing."""
    made = lot([b"a", b"b"], ce_items=count)
    if int(count) == 2:
        assert receive(made)
    else:
        assert reason(made) == "items"


def test_other_items_than_signed() -> None:
    """Items that are not those under the signed root are refused: changed, swapped, or with another salt."""
    signed = frame([b"a", b"b"], ED)
    for other in ([b"a", b"c"], [b"b", b"a"], [b"a", b"b"]):
        assert reason(lot(frames=Frames(frame(other, ED).plaintext, signed.leaves, signed.root))) == "root"


@pytest.mark.parametrize("cut", [1, 4, 19, 20, 22, 24, 45])
def test_cut_frames(cut: int) -> None:
    """A plaintext that ends inside a frame is refused."""
    made = frame([b"abc", b"def"], ED)
    assert len(made.plaintext) == 46
    assert reason(lot(frames=made._replace(plaintext=made.plaintext[:cut]))) in {"frame", "size"}


def test_length_beyond_the_end() -> None:
    """A length that points beyond the plaintext is refused at once, without taking memory for it."""
    for length in (4, 1 << 31, (1 << 32) - 1):
        plaintext = length.to_bytes(4, "big") + bytes(16) + b"abc"
        with pytest.raises(LotError, match="frame"):
            unframe(plaintext, ED)


def test_frame_on_the_wire() -> None:
    """A frame is the item's length in four bytes, big-endian, then sixteen bytes of salt, then the item."""
    salts = bytes(range(32))
    made = frame([b"one", b""], ED, salts)
    assert made.plaintext == b"\0\0\0\x03" + salts[:16] + b"one" + b"\0\0\0\0" + salts[16:]


# Keys that wear out


def test_nonces_never_come_again() -> None:
    """Over several content keys no nonce is used twice under one key, and a key seals at most 4,096 lots."""
    sealer, key = Sealer(), KEYS[PROVINCE].sealing.public
    made = [sealer.next(PROVINCE, key) for _ in range(3 * 4_096 + 1)]
    uses = Counter(sealing.encrypted_key for sealing in made)
    assert sorted(uses.values()) == [1, 4_096, 4_096, 4_096]
    assert len({(sealing.encrypted_key, sealing.nonce) for sealing in made}) == len(made)


def test_content_keys_are_per_recipient() -> None:
    """Two recipients never share a content key, also when their lots are sealed in turn."""
    sealer = Sealer()
    made = {
        party: {sealer.next(party, KEYS[party].sealing.public).encrypted_key for _ in range(3)}
        for party in (PROVINCE, NODE) * 2
    }
    assert [len(keys) for keys in made.values()] == [1, 1]
    assert not made[PROVINCE] & made[NODE]


def test_content_key_grows_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """A content key is not used once it is older than sixty seconds."""
    now = [1_000.0]
    monkeypatch.setattr("broker.bus.keys.time.monotonic", lambda: now[0])
    sealer, key = Sealer(), KEYS[PROVINCE].sealing.public
    first = sealer.next(PROVINCE, key)
    now[0] += 60
    assert sealer.next(PROVINCE, key).encrypted_key == first.encrypted_key
    now[0] += 0.1
    assert sealer.next(PROVINCE, key).encrypted_key != first.encrypted_key


def test_new_key_of_the_recipient() -> None:
    """When a recipient's sealing key changes, the next lot is sealed to the new one."""
    sealer = Sealer()
    first = sealer.next(PROVINCE, KEYS[PROVINCE].sealing.public)
    changed = keys_of(PROVINCE).sealing.public
    second = sealer.next(PROVINCE, changed)
    assert (second.kid, second.encrypted_key == first.encrypted_key) == (changed.kid, False)


def test_receiver_just_started() -> None:
    """Lots under content keys that follow each other open in any order, also for a receiver who saw none before."""
    sealer, key = Sealer(), KEYS[PROVINCE].sealing
    made = [sealer.next(PROVINCE, key.public) for _ in range(4_097)]
    for sealing in (made[-1], made[0], made[4_095]):
        plaintext = frame([b"x"], ED).plaintext
        sealed, value = seal(envelope(1), plaintext, sealing)
        assert unseal(envelope(1), sealed, value, me=PROVINCE, opener=KeyOpener(key)) == plaintext


def test_remembered_keys_are_bounded() -> None:
    """A receiver remembers the latest 1,024 content keys, however many lots with new ones it is sent."""
    opener, key = KeyOpener(KEYS[PROVINCE].sealing), KEYS[PROVINCE].sealing.public
    for _ in range(1_030):
        sealed, value = seal(envelope(1), b"x", Sealer().next(PROVINCE, key))
        unseal(envelope(1), sealed, value, me=PROVINCE, opener=opener)
    assert len(opener._ciphers) == 1_024
