"""Merkle tree over the items of a lot or the records of a registry (RFC 9162 §2.1.1 leaf and node prefixes)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Digest = Callable[[bytes], bytes]


def leaf(data: bytes, digest: Digest) -> bytes:
    """Hash of one entry."""
    return digest(b"\0" + data)


def root(leaves: Sequence[bytes], digest: Digest) -> bytes:
    """Root over leaf hashes, in order; of no leaves: the digest of nothing (RFC 9162 §2.1.1).

    An odd last node moves up unchanged, which gives the same tree as the RFC's split at the largest power of two.
    """
    if not leaves:
        return digest(b"")
    level = list(leaves)
    while len(level) > 1:
        paired = [digest(b"\1" + level[i] + level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(paired) * 2 :]
    return level[0]


def path(leaves: Sequence[bytes], index: int, digest: Digest) -> list[tuple[str, bytes]]:
    """Sister hashes from a leaf to the root, each with the side ("left" or "right") it stands on."""
    steps: list[tuple[str, bytes]] = []
    level = list(leaves)
    while len(level) > 1:
        sister = index ^ 1
        if sister < len(level):
            steps.append(("left" if sister < index else "right", level[sister]))
        paired = [digest(b"\1" + level[i] + level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(paired) * 2 :]
        index //= 2
    return steps


def climb(leaf_hash: bytes, steps: Sequence[tuple[str, bytes]], digest: Digest) -> bytes:
    """The root that a leaf and its path lead to."""
    node = leaf_hash
    for side, sister in steps:
        node = digest(b"\1" + (sister + node if side == "left" else node + sister))
    return node
