"""The suite table: the algorithms against their standards, and what tampering does."""

import os
from hashlib import sha256

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas import suites
from schemas.jose import Jwk, b64, thumbprint, unb64
from schemas.suites import ED, CryptoError, Wrapped, new_keys

SIGNING, SEALING = new_keys()
OTHER_SIGNING, OTHER_SEALING = new_keys()


def concat_kdf(shared: bytes, algorithm: bytes, party_u: bytes, party_v: bytes, bits: int) -> bytes:
    """Concat KDF with one round, as RFC 7518 §4.6.2 writes it down."""
    parts = b"".join(len(part).to_bytes(4, "big") + part for part in (algorithm, party_u, party_v))
    return sha256((1).to_bytes(4, "big") + shared + parts + bits.to_bytes(4, "big")).digest()[: bits // 8]


def flipped(data: bytes, bit: int) -> bytes:
    place = bit % (8 * len(data))
    return bytes(byte ^ (1 << place % 8 if index == place // 8 else 0) for index, byte in enumerate(data))


def test_concat_kdf_of_the_rfc() -> None:
    """Our reading of the Concat KDF gives the key of RFC 7518 appendix C."""
    shared = bytes.fromhex("9e56d91d817135d372834283bf84269cfb316ea3da806a48f6daa7798cfe90c4")
    assert b64(concat_kdf(shared, b"A128GCM", b"Alice", b"Bob", 128)) == "VqqN6vgjbSBcIijNcacQGg"


@given(st.binary(min_size=32, max_size=32))
def test_wrapping_key(shared: bytes) -> None:
    """The wrapping key is the Concat KDF for ECDH-ES+A256KW, 256 bits, without party information."""
    assert suites._concat_kdf(shared) == concat_kdf(shared, b"ECDH-ES+A256KW", b"", b"", 256)


def test_key_wrap_of_the_rfc() -> None:
    """The library's key wrap is that of RFC 3394 §4.6."""
    wrapping, key = bytes(range(32)), bytes.fromhex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f")
    wrapped = "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"
    assert aes_key_wrap(wrapping, key).hex() == wrapped
    assert aes_key_unwrap(wrapping, bytes.fromhex(wrapped)) == key


def test_wrapped_key_opens_for_its_recipient_only() -> None:
    """A content key comes out for the recipient's private key, and for no other."""
    content_key = os.urandom(32)
    wrapped = ED.wrap(SEALING.public, content_key)
    assert ED.unwrapper(SEALING)(wrapped) == content_key
    with pytest.raises(CryptoError):
        ED.unwrapper(OTHER_SEALING)(wrapped)


def test_wrapping_is_fresh() -> None:
    """The same content key never travels under the same one-time key twice."""
    content_key = os.urandom(32)
    first, second = ED.wrap(SEALING.public, content_key), ED.wrap(SEALING.public, content_key)
    assert first.ephemeral.x != second.ephemeral.x
    assert first.encrypted_key != second.encrypted_key


def test_agreement_follows_the_standard() -> None:
    """A key wrapped by the steps of RFC 7518 §4.6, done by hand, is unwrapped."""
    ephemeral, content_key = X25519PrivateKey.generate(), os.urandom(32)
    recipient = X25519PrivateKey.from_private_bytes(unb64(SEALING.d or ""))
    wrapping = concat_kdf(ephemeral.exchange(recipient.public_key()), b"ECDH-ES+A256KW", b"", b"", 256)
    public = Jwk(crv="X25519", x=b64(ephemeral.public_key().public_bytes_raw()))
    assert ED.unwrapper(SEALING)(Wrapped(public, aes_key_wrap(wrapping, content_key))) == content_key


@given(st.integers(0, 319))
def test_tampered_wrapped_key(bit: int) -> None:
    """A wrapped key with any bit changed is refused."""
    wrapped = ED.wrap(SEALING.public, bytes(32))
    with pytest.raises(CryptoError):
        ED.unwrapper(SEALING)(wrapped._replace(encrypted_key=flipped(wrapped.encrypted_key, bit)))


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31), b"x" * 31, b""])
def test_bad_one_time_key(point: bytes) -> None:
    """A one-time key of low order or of another length is refused."""
    wrapped = ED.wrap(SEALING.public, bytes(32))
    with pytest.raises(CryptoError):
        ED.unwrapper(SEALING)(wrapped._replace(ephemeral=Jwk(crv="X25519", x=b64(point))))


@pytest.mark.parametrize("length", [16, 24, 40])
def test_content_key_of_another_length(length: int) -> None:
    """A content key that is not 256 bits long is refused."""
    with pytest.raises(CryptoError):
        ED.unwrapper(SEALING)(ED.wrap(SEALING.public, bytes(length)))


@given(st.binary(max_size=100), st.integers(min_value=0))
def test_tampered_signature(message: bytes, bit: int) -> None:
    """A signature is good for its message under its key, and with any bit changed for nothing."""
    signature = ED.signer(SIGNING)(message)
    ED.verifier(SIGNING.public)(signature, message)
    for key, wrong in ((SIGNING, flipped(signature, bit)), (OTHER_SIGNING, signature), (SIGNING, b"")):
        with pytest.raises(CryptoError):
            ED.verifier(key.public)(wrong, message)


@given(st.binary(max_size=100), st.integers(min_value=0))
def test_tampered_ciphertext(plaintext: bytes, bit: int) -> None:
    """A sealed text with any bit changed, another nonce or other additional data does not open."""
    cipher, nonce = ED.cipher(bytes(32)), bytes(12)
    sealed = cipher.encrypt(nonce, plaintext, b"aad")
    assert cipher.decrypt(nonce, sealed, b"aad") == plaintext
    for wrong in ((nonce, flipped(sealed, bit), b"aad"), (flipped(nonce, bit), sealed, b"aad"), (nonce, sealed, b"")):
        with pytest.raises(InvalidTag):
            cipher.decrypt(*wrong)


def test_new_keys_are_named() -> None:
    """Fresh keys differ each time, and bear their thumbprint, use and algorithm."""
    assert SIGNING.x != OTHER_SIGNING.x
    assert SEALING.x != OTHER_SEALING.x
    assert (SIGNING.use, SIGNING.alg, SEALING.use, SEALING.alg) == ("sig", "EdDSA", "enc", "ECDH-ES+A256KW")
    assert all(key.kid == thumbprint(replace(key, kid="")) for key in (SIGNING, SEALING))


def test_gm_waits() -> None:
    """No algorithm of the GM suite is accepted until the suite stands."""
    assert {*suites.BY_SIGN_ALG} == {"EdDSA"}
    assert {*suites.BY_SEAL_ALG} == {"ECDH-ES+A256KW"}
