"""Sealed files: every byte comes back from wherever it is asked for, and nothing that was changed opens."""

import os
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.items import Ticket
from schemas.jose import b64
from schemas.sealed_files import SEALED_SEGMENT_BYTES, SEGMENT_BYTES, SealedFile
from schemas.suites import ED, TAG_BYTES, CryptoError

KEY: Final = bytes(range(32))
# sizes around the seams, where mistakes live
SIZES: Final = st.one_of(
    st.integers(0, 64),
    st.builds(lambda segments, off: max(0, segments * SEGMENT_BYTES + off), st.integers(1, 4), st.integers(-2, 2)),
    st.integers(0, 4 * SEGMENT_BYTES),
)


def ticket(size: int) -> Ticket:
    return Ticket(address="0f" * 16, key=b64(KEY), enc=ED.seal_enc, size=size, expires=0)


def content(size: int) -> bytes:
    """Bytes no two segments of which are alike."""
    return b"".join(b"%015d\n" % number for number in range(-(-size // 16)))[:size]


def sealed_whole(of: Ticket, plain: bytes) -> list[bytes]:
    file = SealedFile(of)
    cuts = [plain[number * SEGMENT_BYTES : (number + 1) * SEGMENT_BYTES] for number in range(file.segments)]
    return [file.seal(number, cut) for number, cut in enumerate(cuts)]


@given(SIZES, st.data())
def test_any_range(size: int, data: st.DataObject) -> None:
    """Any range of a file of any size opens from its own segments alone, read at their own places."""
    plain = content(size)
    start = data.draw(st.integers(0, max(0, size - 1)))
    stop = data.draw(st.integers(min(start + 1, size), size))
    whole = b"".join(sealed_whole(ticket(size), plain))
    file = SealedFile(ticket(size))
    numbers = file.holding(start, stop)
    opened = [file.open(number, whole[slice(*file.place(number))]) for number in numbers]
    first = numbers.start * SEGMENT_BYTES
    assert b"".join(opened)[start - first : stop - first] == plain[start:stop]
    assert len(opened) <= (stop - start) // SEGMENT_BYTES + 2
    assert len(whole) == file.sealed_size == size + file.segments * TAG_BYTES


@given(SIZES, st.data())
def test_any_flipped_bit(size: int, data: st.DataObject) -> None:
    """A segment with any bit changed does not open."""
    sealed = sealed_whole(ticket(size), content(size))
    number = data.draw(st.integers(0, len(sealed) - 1))
    changed = bytearray(sealed[number])
    bit = data.draw(st.integers(0, 8 * len(changed) - 1))
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CryptoError):
        SealedFile(ticket(size)).open(number, bytes(changed))


@given(st.integers(SEGMENT_BYTES + 1, 4 * SEGMENT_BYTES), st.data())
def test_any_swapped_segment(size: int, data: st.DataObject) -> None:
    """A segment opens at no other place than its own, so that order, doubles and gaps are found."""
    sealed = sealed_whole(ticket(size), content(size))
    number = data.draw(st.integers(0, len(sealed) - 1))
    other = data.draw(st.integers(0, len(sealed) - 1).filter(lambda place: place != number))
    with pytest.raises(CryptoError):
        SealedFile(ticket(size)).open(number, sealed[other])


@given(SIZES, st.integers(0, 4 * SEALED_SEGMENT_BYTES))
def test_any_cut(size: int, left: int) -> None:
    """Of a sealed file that was cut off anywhere the segment at the cut does not open."""
    whole = b"".join(sealed_whole(ticket(size), content(size)))
    left = min(left, len(whole) - 1)
    file = SealedFile(ticket(size))
    number = left // SEALED_SEGMENT_BYTES
    with pytest.raises(CryptoError):
        file.open(number, whole[:left][slice(*file.place(number))])


@given(st.integers(1, 3))
def test_cut_at_a_seam(segments: int) -> None:
    """A file without its last segments is not taken for a shorter one, even when the ticket says so."""
    size = 4 * SEGMENT_BYTES
    sealed = sealed_whole(ticket(size), content(size))
    shorter = SealedFile(ticket(segments * SEGMENT_BYTES))
    with pytest.raises(CryptoError):
        shorter.open(segments - 1, sealed[segments - 1])


def test_extended() -> None:
    """A file's last segment is not taken for one in the middle of a longer file."""
    sealed = sealed_whole(ticket(SEGMENT_BYTES), content(SEGMENT_BYTES))
    with pytest.raises(CryptoError):
        SealedFile(ticket(SEGMENT_BYTES + 1)).open(0, sealed[0])


@pytest.mark.parametrize("changes", [{"address": "f0" * 16}, {"key": b64(bytes(32))}, {"size": 41}])
def test_of_another_file(changes: dict[str, Any]) -> None:
    """A segment does not open under another address, key or size."""
    sealed = sealed_whole(ticket(40), content(40))
    with pytest.raises(CryptoError):
        SealedFile(replace(ticket(40), **changes)).open(0, sealed[0])


@pytest.mark.parametrize(
    "changes", [{"enc": "A128GCM"}, {"enc": ""}, {"key": "+"}, {"key": ""}, {"key": b64(bytes(16))}]
)
def test_ticket_that_is_none(changes: dict[str, Any]) -> None:
    """A ticket with an unknown cipher or a key that is none is refused."""
    with pytest.raises(CryptoError):
        SealedFile(replace(ticket(40), **changes))


def test_nonces_are_the_segments_own() -> None:
    """The same bytes are sealed differently in every segment."""
    plain = bytes(2 * SEGMENT_BYTES)
    first, second = sealed_whole(ticket(len(plain)), plain)
    assert first != second


def test_empty_file() -> None:
    """An empty file has one segment, which says that it is the last."""
    file = SealedFile(ticket(0))
    assert file.open(0, file.seal(0, b"")) == b""
    assert (file.segments, file.sealed_size, list(file.holding(0, 0))) == (1, TAG_BYTES, [0])


def test_vector() -> None:
    """Sealed bytes are those of AES-256-GCM with the number, the last flag and the address, as DESIGN §10 says."""
    plain = os.urandom(SEGMENT_BYTES + 3)
    of = ticket(len(plain))
    cipher = ED.cipher(KEY)
    expected = [
        cipher.encrypt(bytes(11) + b"\0", plain[:SEGMENT_BYTES], b"0f" * 16),
        cipher.encrypt(bytes(10) + b"\1" + b"\1", plain[SEGMENT_BYTES:], b"0f" * 16),
    ]
    assert sealed_whole(of, plain) == expected
