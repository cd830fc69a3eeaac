"""The port to a province's issuer of service codes (政务服务码): look up many at once, by their digests."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class CodeState(StrEnum):
    """What its holder or its issuer has said of a code since it was issued."""

    VALID = "VALID"
    REVOKED = "REVOKED"
    REFUSED = "REFUSED"  # the holder was asked to confirm, and did not


class CodeRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A service code as its issuer keeps it: whose it is, until when (unix ms) it may be shown, how it stands."""

    holder_name: str
    holder_code: str
    holder_type_code: str
    mobile: str | None
    expires_at: int
    state: CodeState = CodeState.VALID


class IssuerError(Exception):
    """The issuer is out of reach; the same look may succeed later. The message never repeats what it said."""


class CodeIssuer(Protocol):
    """Who issues a province's service codes."""

    async def look(self, digests: Sequence[str]) -> Mapping[str, CodeRecord | None]:
        """The codes with these digests (`schemas.service_codes`): None is one that cannot be read, nobody's is absent.

        Raises IssuerError.
        """
        ...

    async def close(self) -> None:
        """Let go of the issuer; a second time does nothing."""
        ...
