"""Bucketed Merkle tree over the registry's records: one change costs one bucket and twelve nodes (design choice).

4,096 buckets by a hash of the key; a bucket's node is the Merkle root over its leaves in the order of their keys, and
above it stands a fixed binary tree. A leaf is over key and value, so that no record can stand under another's key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemas import merkle
from schemas.jose import b64
from schemas.suites import sha256

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEPTH: Final = 12
BUCKETS: Final = 1 << _DEPTH


def leaf_of(key: str, value: bytes) -> bytes:
    """Hash of one record under its key; the key's length stands before it, so that no two pairs read alike."""
    name = key.encode()
    return merkle.leaf(len(name).to_bytes(2, "big") + name + value, sha256)


def bucket_of(key: str) -> int:
    return int.from_bytes(sha256(key.encode())[:2], "big") >> (16 - _DEPTH)


def _empty() -> list[bytes]:
    """The nodes of a tree without records: 1 is the root, 2i and 2i + 1 are below i, the last half are the buckets."""
    nodes = [b""] * (2 * BUCKETS)
    node = merkle.root([], sha256)
    for depth in range(_DEPTH, -1, -1):
        nodes[1 << depth : 2 << depth] = [node] * (1 << depth)
        node = sha256(b"\1" + node + node)
    return nodes


_EMPTY: Final = _empty()


class RecordTree:
    """Hashes only; `root` is the same for the same records, in whatever order they came."""

    def __init__(self, records: Mapping[str, bytes] | None = None) -> None:
        self.count = 0
        self._nodes = _EMPTY.copy()
        self._buckets: list[dict[str, bytes]] = [{} for _ in range(BUCKETS)]
        self._stale: set[int] = set()
        for key, value in (records or {}).items():
            self.put(key, value)

    def put(self, key: str, value: bytes) -> None:
        self._set(key, leaf_of(key, value))

    def drop(self, key: str) -> None:
        self._set(key, None)

    def leaf(self, key: str) -> bytes | None:
        """The leaf that stands for this key."""
        return self._buckets[bucket_of(key)].get(key)

    def apply(self, changed: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
        """Put and drop (None) all of these; gives the leaves that stood there, for `undo`."""
        before = {key: self.leaf(key) for key in changed}
        for key, value in changed.items():
            self._set(key, None if value is None else leaf_of(key, value))
        return before

    def undo(self, before: Mapping[str, bytes | None]) -> None:
        """Set back what `apply` changed."""
        for key, leaf in before.items():
            self._set(key, leaf)

    def keys(self) -> list[str]:
        return [key for bucket in self._buckets for key in bucket]

    def root(self) -> str:
        """Base64url root; costs only what has changed since the last."""
        nodes, above = self._nodes, set()
        for number in self._stale:
            bucket = self._buckets[number]
            nodes[BUCKETS + number] = merkle.root([bucket[key] for key in sorted(bucket)], sha256)
            above.add((BUCKETS + number) >> 1)
        self._stale.clear()
        for _ in range(_DEPTH):
            for at in above:
                nodes[at] = sha256(b"\1" + nodes[2 * at] + nodes[2 * at + 1])
            above = {at >> 1 for at in above}
        return b64(nodes[1])

    def _set(self, key: str, leaf: bytes | None) -> None:
        number = bucket_of(key)
        bucket = self._buckets[number]
        before = bucket.get(key)
        if leaf == before:
            return
        if leaf is None:
            del bucket[key]
        else:
            bucket[key] = leaf
        self.count += (leaf is not None) - (before is not None)
        self._stale.add(number)
