"""A file sealed in segments: opened from anywhere on, and never cut, mixed or swapped unseen.

The STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance", 2015): under a content key that is fresh for this file, the nonce of a segment is its number and
whether it is the last; the file's address is the associated data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag

from schemas.jose import JoseError, unb64
from schemas.suites import CONTENT_KEY_BYTES, NONCE_BYTES, SUITES, TAG_BYTES, CryptoError

if TYPE_CHECKING:
    from schemas.items import Ticket
    from schemas.suites import Aead

SEGMENT_BYTES = 256 * 1024
SEALED_SEGMENT_BYTES = SEGMENT_BYTES + TAG_BYTES
MAX_FILE_BYTES = 1 << 32  # as in a ticket
_CIPHERS = {suite.seal_enc: suite.cipher for suite in SUITES}


class SealedFile:
    """The file of one ticket, segment by segment; every segment but the last has `SEGMENT_BYTES`, no file has none.

    Raises CryptoError for a cipher that there is not, or a key that is none.
    """

    def __init__(self, ticket: Ticket) -> None:
        self.size = ticket.size
        self.segments = max(1, -(-ticket.size // SEGMENT_BYTES))
        self.sealed_size = ticket.size + self.segments * TAG_BYTES
        self._associated = ticket.address.encode()
        self._cipher = _cipher(ticket)

    def seal(self, number: int, plain: bytes) -> bytes:
        """The sealed segment of these bytes, which are all of that segment."""
        assert len(plain) == self._plain_bytes(number)
        return self._cipher.encrypt(self._nonce(number), plain, self._associated)

    def open(self, number: int, sealed: bytes) -> bytes:
        """The bytes of a segment; raises CryptoError for anything but this file's segment with this number."""
        try:
            plain = self._cipher.decrypt(self._nonce(number), sealed, self._associated)
        except InvalidTag as error:
            raise CryptoError("the segment does not open") from error
        if len(plain) != self._plain_bytes(number):
            raise CryptoError("the segment has the wrong length")
        return plain

    def holding(self, start: int, stop: int) -> range:
        """The numbers of the segments that hold the file's bytes from `start` up to `stop`; of an empty file its one.

        `start` lies before `stop`, or both are 0.
        """
        return range(start // SEGMENT_BYTES, max(1, -(-stop // SEGMENT_BYTES)))

    def place(self, number: int) -> tuple[int, int]:
        """Where the segment begins and ends in the sealed file."""
        start = number * SEALED_SEGMENT_BYTES
        return start, min(start + SEALED_SEGMENT_BYTES, self.sealed_size)

    def _plain_bytes(self, number: int) -> int:
        return min(SEGMENT_BYTES, self.size - number * SEGMENT_BYTES)

    def _nonce(self, number: int) -> bytes:
        last = number == self.segments - 1
        return number.to_bytes(NONCE_BYTES - 1, "big") + last.to_bytes(1, "big")


def _cipher(ticket: Ticket) -> Aead:
    make = _CIPHERS.get(ticket.enc)
    if make is None:
        raise CryptoError("there is no such cipher")
    try:
        key = unb64(ticket.key)
    except JoseError as error:
        raise CryptoError("the content key cannot be read") from error
    if len(key) != CONTENT_KEY_BYTES:
        raise CryptoError("the content key has the wrong length")
    return make(key)
