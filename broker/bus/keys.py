"""Keys at work: a party's private keys from its file, the content keys of its seals, the openers of what comes."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from schemas.jose import Jwk, b64
from schemas.suites import BY_SEAL_ALG, BY_SIGN_ALG, CONTENT_KEY_BYTES, NONCE_BYTES, CryptoError, Wrapped, new_keys
from schemas.wire import Sealing

if TYPE_CHECKING:
    from schemas.lot import SealHeader
    from schemas.suites import Aead

_KEY_LIFE_SECONDS = 60.0
_KEY_LIFE_LOTS = 4_096
_REMEMBERED_KEYS = 1_024


class KeyFile(Struct, frozen=True, kw_only=True):
    """A party's keys as they lie on disk (mode 0600); public files hold the same without `d`."""

    party: str
    signing: Jwk
    sealing: Jwk
    holder_key: str = ""  # base64url; under it a holder's code is hashed in this party's evidence

    def __repr__(self) -> str:
        return f"KeyFile({self.party})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("party", self.party)]

    @property
    def public(self) -> KeyFile:
        return KeyFile(party=self.party, signing=self.signing.public, sealing=self.sealing.public)


def read_keys(path: Path) -> KeyFile:
    return msgspec.json.decode(path.read_bytes(), type=KeyFile)


def make_keys(folder: Path, party: str) -> KeyFile:
    """The keys of a party in this folder, made on first use: `<party>.json` (private) and `<party>.public.json`."""
    path = folder / f"{party}.json"
    if not path.exists() or not path.stat().st_size:
        signing, sealing = new_keys()
        keys = KeyFile(party=party, signing=signing, sealing=sealing, holder_key=b64(os.urandom(32)))
        fresh = path.with_suffix(".tmp")  # whole or not at all: half a key file would stop every later start
        fresh.unlink(missing_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(keys))
        fresh.replace(path)
    keys = read_keys(path)
    (folder / f"{party}.public.json").write_bytes(msgspec.json.encode(keys.public))  # always of the key that is there
    return keys


class KeySigner:
    """The signing key of a party; an HSM would stand here with the same three members."""

    def __init__(self, key: Jwk) -> None:
        self.suite = BY_SIGN_ALG[key.alg or ""]
        self.kid = key.kid
        self.sign = self.suite.signer(key)


class Sealer:
    """Content keys for each recipient: random, in memory only, at most 60 s or 4,096 lots, nonces counted."""

    def __init__(self) -> None:
        self._current: dict[str, tuple[float, int, Sealing]] = {}

    def next(self, recipient: str, key: Jwk) -> Sealing:
        """A sealing for one use to this recipient's public key."""
        born, used, sealing = self._current.get(recipient, (0.0, 0, None))
        now = time.monotonic()
        if sealing is None or sealing.kid != key.kid or used >= _KEY_LIFE_LOTS or now - born > _KEY_LIFE_SECONDS:
            born, used, sealing = now, 0, self._fresh(recipient, key)
        self._current[recipient] = (born, used + 1, sealing)
        return sealing._replace(nonce=used.to_bytes(NONCE_BYTES, "big"))

    @staticmethod
    def _fresh(recipient: str, key: Jwk) -> Sealing:
        suite = BY_SEAL_ALG[key.alg or ""]
        content_key = os.urandom(CONTENT_KEY_BYTES)
        wrapped = suite.wrap(key, content_key)
        return Sealing(
            suite, recipient, key.kid, wrapped.ephemeral, wrapped.encrypted_key, suite.cipher(content_key), b""
        )


class KeyOpener:
    """The sealing key of a party; remembers the content keys it has unwrapped, the latest 1,024."""

    def __init__(self, key: Jwk) -> None:
        self._kid = key.kid
        self._suite = BY_SEAL_ALG[key.alg or ""]
        self._unwrap = self._suite.unwrapper(key)
        self._ciphers: OrderedDict[tuple[str, bytes], Aead] = OrderedDict()

    def cipher(self, header: SealHeader, encrypted_key: bytes) -> Aead:
        """The unwrapped content key; raises CryptoError when the key is not ours or does not unwrap."""
        if header.kid != self._kid or header.alg != self._suite.seal_alg:
            raise CryptoError("sealed to a key that is not ours")
        name = (header.epk.get("x", ""), encrypted_key)
        cipher = self._ciphers.get(name)
        if cipher is None:
            ephemeral = msgspec.convert(header.epk, Jwk)
            cipher = self._suite.cipher(self._unwrap(Wrapped(ephemeral, encrypted_key)))
            self._ciphers[name] = cipher
            if len(self._ciphers) > _REMEMBERED_KEYS:
                self._ciphers.popitem(last=False)
        return cipher
