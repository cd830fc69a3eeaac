"""The published vectors: made again from their inputs, by the page's steps and by the program, byte for byte."""

from base64 import b64decode

import msgspec
import pytest

from broker.bus.keys import KeyOpener, KeySigner
from schemas import merkle
from schemas.form import check_form
from schemas.interfaces import INTERFACES
from schemas.items import decode_data, decode_reply, decode_request
from schemas.jose import Jwk, b64, parse_jws, unb64
from schemas.lot import REPLY_TYPE, REQUEST_TYPE, Envelope, LotError, WireRecord, frame
from schemas.suites import ED
from schemas.wire import Sealing, check_open, open_lot, pack, parse_headers
from tests.vectors.making import FOLDER, NAMES, Vector, make


def read(name: str) -> Vector:
    return msgspec.json.decode((FOLDER / f"{name}.json").read_bytes(), type=Vector)


def jwk(members: dict[str, str]) -> Jwk:
    return msgspec.convert(members, Jwk)


def record_of(vector: Vector) -> WireRecord:
    headers = [(name, text.encode()) for name, text in vector.expected.headers]
    return WireRecord(headers, b64decode(vector.expected.value))


class OneSender:
    """A registry that knows the vector's sender."""

    def __init__(self, vector: Vector) -> None:
        self._sender = vector.inputs.sender

    def verifier(self, party: str, kid: str, alg: str, now_ms: int) -> object:
        key = jwk(self._sender.signing_key)
        if (party, kid, alg) != (self._sender.id, key.kid, key.alg):
            raise LotError("key")
        return ED.verifier(key.public)


@pytest.fixture(params=NAMES)
def vector(request: pytest.FixtureRequest) -> Vector:
    return read(request.param)


def test_made_again_by_the_page(vector: Vector) -> None:
    """The steps of docs/lot.md lead from a vector's inputs to its exact bytes."""
    assert make(vector.inputs) == vector.expected


def test_made_again_by_the_program(vector: Vector) -> None:
    """Given the same salts and keys, the program writes the same record."""
    inputs, expected = vector.inputs, vector.expected
    frames = frame([text.encode() for text in inputs.items], ED, bytes.fromhex("".join(inputs.salts)))
    assert frames.plaintext == b64decode(expected.plaintext)
    assert [leaf.hex() for leaf in frames.leaves] == expected.leaves
    sealing = Sealing(
        suite=ED,
        recipient=inputs.recipient.id,
        kid=inputs.recipient.sealing_key["kid"],
        ephemeral=jwk(inputs.ephemeral_key).public,
        encrypted_key=bytes.fromhex(expected.wrapped_key),
        cipher=ED.cipher(bytes.fromhex(inputs.content_key)),
        nonce=bytes.fromhex(inputs.nonce),
    )
    record = pack(
        msgspec.convert(inputs.headers, Envelope),
        frames,
        signer=KeySigner(jwk(inputs.sender.signing_key)),
        sealing=sealing,
        evidence=unb64(inputs.evidence) if inputs.evidence else None,
    )
    assert record == record_of(vector)


def test_opened_by_the_program(vector: Vector) -> None:
    """The program accepts every vector and reads from it the items that were put in."""
    inputs, record = vector.inputs, record_of(vector)
    envelope, signature, sealed = parse_headers(record.headers)
    check_open(envelope, record.value, inputs.headers["ce_type"], inputs.now)
    lot = open_lot(
        envelope,
        signature,
        sealed,
        record.value,
        me=inputs.recipient.id,
        keys=OneSender(vector),  # type: ignore[arg-type]  # says object where the port says callable
        opener=KeyOpener(jwk(inputs.recipient.sealing_key)),
        now_ms=inputs.now,
    )
    assert [item.body.decode() for item in lot.items] == inputs.items
    assert [item.salt.hex() for item in lot.items] == inputs.salts
    assert lot.evidence == inputs.evidence


def test_proof(vector: Vector) -> None:
    """Signature, salt, item and path are enough to show that one item stood in the lot."""
    expected, place = vector.expected, vector.expected.proof.place
    jws = parse_jws(dict(record_of(vector).headers)["signature"])
    ED.verifier(jwk(vector.inputs.sender.signing_key).public)(jws.signature, jws.signing_input)
    salted = bytes.fromhex(vector.inputs.salts[place]) + vector.inputs.items[place].encode()
    path = [(side, bytes.fromhex(sister)) for side, sister in expected.proof.path]
    assert path == merkle.path([bytes.fromhex(leaf) for leaf in expected.leaves], place, ED.digest)
    assert b64(merkle.climb(merkle.leaf(salted, ED.digest), path, ED.digest)) == expected.root
    assert msgspec.json.decode(jws.payload)["root"] == expected.root


def test_items_are_what_the_page_says(vector: Vector) -> None:
    """The items of the vectors are well-formed requests, or replies, under today's schema."""
    kind = vector.inputs.headers["ce_type"]
    assert kind in {REQUEST_TYPE, REPLY_TYPE}
    for text in vector.inputs.items:
        if kind == REPLY_TYPE:
            assert decode_reply(text.encode()).evidence
        else:
            item = decode_request(text.encode())
            data = decode_data(item)
            assert data is not None
            assert check_form(INTERFACES[item.interface], item.head, data).identifier is not None


def test_keys_are_labelled() -> None:
    """Every vector says that its keys are for tests."""
    assert all(read(name).about.startswith("TEST KEYS") for name in NAMES)
