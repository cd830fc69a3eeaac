"""The tree of a lot, against RFC 9162 written down word by word."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import merkle
from schemas.lot import MAX_ITEMS


def digest(data: bytes) -> bytes:
    return sha256(data).digest()


def split_of(count: int) -> int:
    """The largest power of two smaller than `count`."""
    split = 1
    while split * 2 < count:
        split *= 2
    return split


def rfc_root(entries: Sequence[bytes]) -> bytes:
    """MTH of RFC 9162 §2.1.1."""
    if not entries:
        return digest(b"")
    if len(entries) == 1:
        return digest(b"\0" + entries[0])
    split = split_of(len(entries))
    return digest(b"\1" + rfc_root(entries[:split]) + rfc_root(entries[split:]))


def rfc_path(place: int, entries: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 9162 §2.1.3.1."""
    if len(entries) == 1:
        return []
    split = split_of(len(entries))
    if place < split:
        return [*rfc_path(place, entries[:split]), rfc_root(entries[split:])]
    return [*rfc_path(place - split, entries[split:]), rfc_root(entries[:split])]


def leaves_of(entries: Sequence[bytes]) -> list[bytes]:
    return [merkle.leaf(entry, digest) for entry in entries]


# The entries and roots of the Certificate Transparency reference implementation.
KNOWN_ENTRIES: Final = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
KNOWN_ROOTS: Final = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)

entries_lists = st.integers(1, 70).map(lambda count: [str(place).encode() for place in range(count)])


@pytest.mark.parametrize(("count", "root"), [*enumerate(KNOWN_ROOTS, start=1)])
def test_known_roots(count: int, root: str) -> None:
    """The roots are those of the Certificate Transparency reference implementation."""
    assert merkle.root(leaves_of(KNOWN_ENTRIES[:count]), digest).hex() == root


def test_every_size_of_a_lot() -> None:
    """For every number of items a lot may have, root and first, middle and last path are those of RFC 9162."""
    entries = [str(place).encode() for place in range(MAX_ITEMS + 1)]
    for count in range(MAX_ITEMS + 2):
        leaves, some = leaves_of(entries[:count]), entries[:count]
        assert merkle.root(leaves, digest) == rfc_root(some)
        for place in {0, count // 2, count - 1} if count % 16 in {0, 1, 15} and count else set():
            assert [sister for _, sister in merkle.path(leaves, place, digest)] == rfc_path(place, some)


@given(st.lists(st.binary(max_size=40), max_size=40))
def test_root_is_the_rfcs(entries: list[bytes]) -> None:
    """The root of any entries is that of RFC 9162 §2.1.1."""
    assert merkle.root(leaves_of(entries), digest) == rfc_root(entries)


@given(entries_lists, st.data())
def test_path_leads_to_the_root(entries: list[bytes], data: st.DataObject) -> None:
    """The path of any leaf is that of RFC 9162 §2.1.3.1 and leads to the root, from this leaf only."""
    place = data.draw(st.integers(0, len(entries) - 1))
    leaves = leaves_of(entries)
    steps, root = merkle.path(leaves, place, digest), merkle.root(leaves, digest)
    assert [sister for _, sister in steps] == rfc_path(place, entries)
    assert merkle.climb(leaves[place], steps, digest) == root
    assert merkle.climb(merkle.leaf(b"another", digest), steps, digest) != root


@given(entries_lists.filter(lambda entries: len(entries) > 1), st.data())
def test_a_changed_path_leads_elsewhere(entries: list[bytes], data: st.DataObject) -> None:
    """A path with one sister changed, put on the other side, or left out does not lead to the root."""
    leaves = leaves_of(entries)
    place = data.draw(st.integers(0, len(entries) - 1))
    steps, root = merkle.path(leaves, place, digest), merkle.root(leaves, digest)
    step = data.draw(st.integers(0, len(steps) - 1))
    side, sister = steps[step]
    other_side = "left" if side == "right" else "right"
    for wrong in ([(side, digest(sister))], [(other_side, sister)], []):
        assert merkle.climb(leaves[place], [*steps[:step], *wrong, *steps[step + 1 :]], digest) != root


def test_a_node_is_no_leaf() -> None:
    """An entry that spells out two hashes has another hash than the node over them (second preimage)."""
    left, right = leaves_of([b"a", b"b"])
    assert merkle.leaf(left + right, digest) != merkle.root([left, right], digest)


def test_order_counts() -> None:
    """The same entries in another order have another root."""
    leaves = leaves_of([b"a", b"b", b"c"])
    assert merkle.root(leaves, digest) != merkle.root(leaves[::-1], digest)
