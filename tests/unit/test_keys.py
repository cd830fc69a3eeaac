"""Keys at work: how they lie on disk, that they do not show themselves, and how the keys of a seal are changed."""

import stat
from pathlib import Path
from typing import Final

import msgspec
import pytest
from cryptography.exceptions import InvalidTag
from msgspec.structs import replace

from broker.bus import keys as at_work
from broker.bus.keys import KeyFile, KeyOpener, KeySigner, Sealer, make_keys, read_keys
from schemas.jose import Jwk, unb64
from schemas.lot import SealHeader
from schemas.suites import ED, NONCE_BYTES, CryptoError, new_keys
from schemas.wire import Sealing
from tests.support_registry import new_party_keys

MINE, OTHER = new_party_keys("32"), new_party_keys("33")
PUBLIC: Final = MINE.sealing.public


def secrets(keys: KeyFile) -> list[str]:
    """Everything of these keys that nobody may see."""
    return [text for text in (keys.signing.d, keys.sealing.d, keys.holder_key) if text]


def header_of(sealing: Sealing, **changes: object) -> SealHeader:
    made = SealHeader(
        alg=ED.seal_alg,
        enc=ED.seal_enc,
        kid=sealing.kid,
        epk={"kty": "OKP", "crv": "X25519", "x": sealing.ephemeral.x},
        lot="0" * 32,
        sender="31-yct",
        recipient=sealing.recipient,
    )
    return replace(made, **changes)


def test_private_file(tmp_path: Path) -> None:
    """The private keys lie in a file that only its owner reads, whatever the process's mask allows."""
    keys = make_keys(tmp_path, "32")
    assert stat.S_IMODE((tmp_path / "32.json").stat().st_mode) == 0o600
    assert read_keys(tmp_path / "32.json") == keys
    assert len(secrets(keys)) == 3


def test_public_file(tmp_path: Path) -> None:
    """The public file holds the public parts and no other."""
    keys = make_keys(tmp_path, "32")
    text = (tmp_path / "32.public.json").read_text()
    assert not any(secret in text for secret in secrets(keys))
    assert read_keys(tmp_path / "32.public.json") == keys.public
    assert secrets(keys.public) == []


def test_made_once(tmp_path: Path) -> None:
    """Keys that are there are read and never made again, and each party has its own."""
    first = make_keys(tmp_path, "32")
    assert make_keys(tmp_path, "32") == first
    assert not set(secrets(make_keys(tmp_path, "33"))) & set(secrets(first))


def test_interrupted_making(tmp_path: Path) -> None:
    """A file that an interrupted run left empty does not stop the next one."""
    (tmp_path / "32.json").touch(mode=0o600)
    assert make_keys(tmp_path, "32").signing.d


@pytest.mark.parametrize("show", [repr, str, "{!r:.9999}".format])
def test_private_parts_do_not_show(show: object) -> None:
    """No private part is in the printed form of a key, a key file or what holds one."""
    assert callable(show)
    for holder in (MINE, MINE.signing, MINE.sealing, [MINE], {"keys": MINE}, KeySigner(MINE.signing), Sealer()):
        assert not any(secret in show(holder) for secret in secrets(MINE))


def test_private_parts_do_not_show_in_rich() -> None:
    """No private part is in what rich prints of a key or a key file, as in a traceback with its variables."""
    from rich.console import Console  # noqa: PLC0415

    console = Console(width=300)
    with console.capture() as shown:
        console.print(MINE, MINE.signing, [MINE.sealing])
    assert not any(secret in shown.get() for secret in secrets(MINE))


def test_signer() -> None:
    """A signer signs under the key's id with the suite of its algorithm."""
    signer = KeySigner(MINE.signing)
    assert (signer.kid, signer.suite) == (MINE.signing.kid, ED)
    ED.verifier(MINE.signing.public)(signer.sign(b"text"), b"text")


@pytest.mark.parametrize("alg", [None, "RS256", "SM2"])
def test_algorithm_without_a_suite(alg: str | None) -> None:
    """A key whose algorithm has no suite cannot be put to work."""
    with pytest.raises(KeyError):
        KeySigner(replace(MINE.signing, alg=alg))
    with pytest.raises(KeyError):
        KeyOpener(replace(MINE.sealing, alg=alg))


def test_nonces_never_repeat() -> None:
    """Under one content key no nonce comes twice."""
    sealer = Sealer()
    uses = [sealer.next("32", PUBLIC) for _ in range(100)]
    assert len({(use.encrypted_key, use.nonce) for use in uses}) == 100
    assert len({use.encrypted_key for use in uses}) == 1
    assert {len(use.nonce) for use in uses} == {NONCE_BYTES}


def test_rotation_after_many_lots() -> None:
    """A content key seals at most 4,096 lots, and its successor's nonces begin again."""
    sealer = Sealer()
    uses = [sealer.next("32", PUBLIC) for _ in range(4_098)]
    keys = [use.encrypted_key for use in uses]
    assert len(set(keys)) == 2
    assert keys.count(keys[0]) == 4_096
    assert uses[4_096].nonce == uses[0].nonce
    assert uses[4_096].ephemeral != uses[0].ephemeral


def test_rotation_in_time() -> None:
    """A content key lives sixty seconds at most."""
    assert at_work._KEY_LIFE_SECONDS == 60
    sealer = Sealer()
    first = sealer.next("32", PUBLIC)
    born, used, sealing = sealer._current["32"]
    sealer._current["32"] = (born - 59, used, sealing)
    assert sealer.next("32", PUBLIC).encrypted_key == first.encrypted_key
    sealer._current["32"] = (born - 61, used, sealing)
    assert sealer.next("32", PUBLIC).encrypted_key != first.encrypted_key


def test_rotation_with_the_recipients_key() -> None:
    """A recipient with a new key gets a new content key at once."""
    sealer = Sealer()
    new = new_keys()[1].public
    first, second = sealer.next("32", PUBLIC), sealer.next("32", new)
    assert (first.kid, second.kid) == (PUBLIC.kid, new.kid)
    assert first.encrypted_key != second.encrypted_key


def test_each_recipient_its_own_key() -> None:
    """Two recipients never share a content key."""
    sealer = Sealer()
    one, other = sealer.next("32", PUBLIC), sealer.next("33", OTHER.sealing.public)
    assert (one.recipient, other.recipient) == ("32", "33")
    sealed = one.cipher.encrypt(one.nonce, b"text", b"")
    with pytest.raises(InvalidTag):
        other.cipher.decrypt(one.nonce, sealed, b"")


def test_opener() -> None:
    """Whoever the seal is for unwraps its content key, also the second time."""
    opener, sealing = KeyOpener(MINE.sealing), Sealer().next("32", PUBLIC)
    sealed = sealing.cipher.encrypt(sealing.nonce, b"text", b"aad")
    for _ in range(2):
        assert (
            opener.cipher(header_of(sealing), sealing.encrypted_key).decrypt(sealing.nonce, sealed, b"aad") == b"text"
        )
    assert len(opener._ciphers) == 1


def test_opener_of_another() -> None:
    """Nobody else unwraps it, also when the header names his key."""
    sealing = Sealer().next("32", PUBLIC)
    opener = KeyOpener(OTHER.sealing)
    for header in (header_of(sealing), header_of(sealing, kid=OTHER.sealing.kid)):
        with pytest.raises(CryptoError):
            opener.cipher(header, sealing.encrypted_key)


@pytest.mark.parametrize(
    "epk",
    [
        {},
        {"kty": "OKP", "crv": "X25519"},
        {"kty": "EC", "crv": "P-256", "x": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
    ],
)
def test_strange_ephemeral_keys(epk: dict[str, str]) -> None:
    """An ephemeral key that is none is refused, and nothing of it is remembered."""
    sealing = Sealer().next("32", PUBLIC)
    opener = KeyOpener(MINE.sealing)
    with pytest.raises((CryptoError, msgspec.DecodeError)):
        opener.cipher(header_of(sealing, epk=epk), sealing.encrypted_key)
    assert len(opener._ciphers) == 0


def test_remembered_keys_are_bounded() -> None:
    """An opener remembers the latest 1,024 content keys and no more."""
    opener = KeyOpener(MINE.sealing)
    assert at_work._REMEMBERED_KEYS == 1_024
    for _ in range(1_030):
        sealing = Sealer().next("32", PUBLIC)
        opener.cipher(header_of(sealing), sealing.encrypted_key)
    assert len(opener._ciphers) == 1_024


def test_key_id() -> None:
    """A new key is named by its thumbprint and has a private part of the suite's size."""
    for key in new_keys():
        assert isinstance(key, Jwk)
        assert len(unb64(key.kid)) == len(unb64(key.d or "")) == 32
