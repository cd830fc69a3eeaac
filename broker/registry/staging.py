"""Records of the topic that no manifest has named yet: remembered within bounds, and told when nobody names them."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from schemas.registry import digest_of

MAX_STAGED_BYTES = 256 << 20
_EACH_BYTES = 512  # what remembering one costs besides its value
_MAX_TOLD = 65_536


class _Staged(NamedTuple):
    value: bytes
    key: str
    at_ms: int


class Staging:
    """Records by their digest; a flood of strangers' records pushes out the oldest."""

    def __init__(self) -> None:
        self.bytes = 0
        self._staged: OrderedDict[str, _Staged] = OrderedDict()
        self._told: OrderedDict[str, None] = OrderedDict()

    def put(self, value: bytes, key: str = "", at_ms: int = 0) -> None:
        digest = digest_of(value)
        if digest in self._staged:
            return
        self._staged[digest] = _Staged(value, key, at_ms)
        self.bytes += len(value) + _EACH_BYTES
        while self.bytes > MAX_STAGED_BYTES:
            self.bytes -= len(self._staged.popitem(last=False)[1].value) + _EACH_BYTES

    def get(self, digest: str) -> bytes | None:
        found = self._staged.get(digest)
        return found.value if found else None

    def drop(self, digest: str) -> None:
        """A manifest has named it."""
        if found := self._staged.pop(digest, None):
            self.bytes -= len(found.value) + _EACH_BYTES

    def strays(self, before_ms: int) -> list[str]:
        """The Kafka keys, as text, of those that came before this time and were not told yet.

        They stay staged: a manifest that was held up may name them.
        """
        out = []
        for digest, one in self._staged.items():
            if one.at_ms >= before_ms:
                break
            if digest not in self._told:
                self._told[digest] = None
                out.append(one.key)
        while len(self._told) > _MAX_TOLD:
            self._told.popitem(last=False)
        return out

    def know(self, other: Staging) -> None:
        """Tell nothing that another has told."""
        self._told = other._told
