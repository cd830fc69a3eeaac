"""The whole fake: an issuer in a dictionary, under the contract of the real ones."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from workers.issuers.port import CodeRecord, IssuerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NO_CODES: Final[Mapping[str, CodeRecord | None]] = MappingProxyType({})


class MemoryIssuer:
    """Holds what it is given, by digest; `reachable = False` plays an issuer that is down.

    `codes` may be changed while it is asked; None stands for a code that cannot be read.
    """

    def __init__(self, codes: Mapping[str, CodeRecord | None] = NO_CODES) -> None:
        self.reachable = True
        self.codes = dict(codes)

    async def look(self, digests: Sequence[str]) -> Mapping[str, CodeRecord | None]:
        """See `CodeIssuer.look`."""
        if not self.reachable:
            raise IssuerError("the issuer cannot be reached")
        return {digest: self.codes[digest] for digest in digests if digest in self.codes}

    async def close(self) -> None:
        """Nothing is held; see `CodeIssuer.close`."""
