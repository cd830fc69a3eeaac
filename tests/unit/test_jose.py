"""The JOSE we use, against the examples of RFC 8037 and against what must not be taken for it."""

from typing import Final

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from schemas.jose import MAX_JWS_CHARS, JoseError, Jwk, b64, parse_jws, thumbprint, unb64
from schemas.suites import ED, CryptoError

# RFC 8037, appendix A
PRIVATE: Final = Jwk(
    crv="Ed25519",
    d="nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    x="11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
)
PAYLOAD: Final = b"Example of Ed25519 signing"
JWS: Final = (
    b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    b"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)
ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def jws(header: bytes, payload: bytes = b"{}", signature: bytes = b"s") -> bytes:
    return ".".join(map(b64, (header, payload, signature))).encode()


def test_public_key_of_the_rfc() -> None:
    """The public key of RFC 8037 A.2 is that of its private key A.1, and the private part never stays in it."""
    private = Ed25519PrivateKey.from_private_bytes(unb64(PRIVATE.d or ""))
    assert b64(private.public_key().public_bytes_raw()) == PRIVATE.x
    assert msgspec.json.decode(msgspec.json.encode(PRIVATE.public)) == {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": PRIVATE.x,
    }


def test_thumbprint_of_the_rfc() -> None:
    """The key's id is the thumbprint of RFC 8037 A.3, with or without other members."""
    assert thumbprint(PRIVATE) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert thumbprint(msgspec.structs.replace(PRIVATE, d=None, kid="x", use="sig", alg="EdDSA")) == thumbprint(PRIVATE)


def test_signature_of_the_rfc() -> None:
    """Signing gives the very signature of RFC 8037 A.4."""
    signing_input, _, signature = JWS.rpartition(b".")
    assert signing_input == jws(b'{"alg":"EdDSA"}', PAYLOAD).rpartition(b".")[0]
    assert ED.signer(PRIVATE)(signing_input) == unb64(signature)


def test_validation_of_the_rfc() -> None:
    """The signature of RFC 8037 A.5 is accepted over its text and over no other."""
    signing_input, _, signature = JWS.rpartition(b".")
    verify = ED.verifier(PRIVATE.public)
    verify(unb64(signature), signing_input)
    with pytest.raises(CryptoError):
        verify(unb64(signature), signing_input + b" ")


def test_parts_of_a_jws() -> None:
    """A JWS is taken apart into header, payload, signature and the exact bytes that were signed."""
    parsed = parse_jws(jws(b'{"alg":"EdDSA","kid":"k","typ":"t","more":1}', b"payload", b"signature"))
    assert (parsed.header.alg, parsed.header.kid, parsed.header.typ) == ("EdDSA", "k", "t")
    assert (parsed.payload, parsed.signature) == (b"payload", b"signature")
    assert parsed.signing_input == jws(b'{"alg":"EdDSA","kid":"k","typ":"t","more":1}', b"payload").rpartition(b".")[0]


@pytest.mark.parametrize(
    "text",
    [
        JWS,  # no key is named
        b"",
        b"..",
        b"a.b",
        jws(b'{"alg":"EdDSA","kid":"k"}') + b".more",
        jws(b'{"alg":"EdDSA","kid":1}'),
        jws(b'{"alg":"EdDSA"}'),
        jws(b"[]"),
        jws(b'{"alg":"EdDSA","kid":"k"'),
        jws(b'{"alg":"\xff","kid":"k"}'),
        jws(b'{"alg":"\\ud800","kid":"k"}'),
        jws(b'{"alg":"EdDSA","kid":"k","more":' + b"[" * 2_000 + b"]" * 2_000 + b"}"),
        jws(b'{"alg":"EdDSA","kid":"k","crit":["exp"]}'),
        jws(b'{"alg":"EdDSA","kid":"k"}') + b"=",
        jws(b'{"alg":"EdDSA","kid":"k"}', b"x" * MAX_JWS_CHARS),
    ],
)
def test_what_is_no_jws(text: bytes) -> None:
    """What is not a compact JWS with a named key is refused as such, and nothing else is ever raised."""
    with pytest.raises(JoseError):
        parse_jws(text)


@given(st.binary(max_size=200))
def test_base64url_and_back(raw: bytes) -> None:
    """Any bytes come back from their base64url, which never holds padding."""
    assert unb64(b64(raw)) == raw
    assert set(b64(raw)) <= set(ALPHABET)


@pytest.mark.parametrize("text", ["QQ==", "QR", "Q", "Q Q", "Q\nQ", "+/8", "QQ.", "ÄÄ", "QUI=", "QUJ", "\0"])
def test_only_one_spelling(text: str) -> None:
    """Padding, spare bits, strange characters and half bytes are refused: each value has exactly one spelling."""
    with pytest.raises(JoseError):
        unb64(text)


@given(st.text(ALPHABET, max_size=12))
def test_canonical_or_refused(text: str) -> None:
    """A text of the alphabet is either the one spelling of its bytes or refused."""
    try:
        raw = unb64(text)
    except JoseError:
        return
    assert b64(raw) == text


def test_a_key_does_not_show_itself() -> None:
    """The private part of a key is not in its printed form."""
    assert PRIVATE.d is not None
    assert PRIVATE.d not in repr(PRIVATE)
