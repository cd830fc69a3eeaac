"""How a call ends without an answer: refused, not final yet, nobody reached, or an answer that is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.remedies import REMEDIES

if TYPE_CHECKING:
    from schemas.answers import Source


class ClientError(Exception):
    """Any of them; with its `request_id` the request may be sent again, and is still one request."""

    def __init__(self, message: str, *, request_id: str = "") -> None:
        super().__init__(message)
        self.request_id = request_id


class RefusedError(ClientError):
    """Answered with a head.status other than 0 and 7003 (DOMAIN §3.2, §3.3).

    `http` is HTTP's own code, `remedy` says what to do, `evidence` names the province's record of the refusal.
    """

    def __init__(
        self,
        code: int,
        message: str,
        *,
        http: int = 200,
        remedy: str = "",
        request_id: str = "",
        evidence: str = "",
        scenario: str = "",
        sources: tuple[Source, ...] = (),
    ) -> None:
        self.remedy = remedy or REMEDIES.get(code, "")
        super().__init__(f"{code} {message}；{self.remedy}" if self.remedy else f"{code} {message}")
        self.code, self.message, self.http = code, message, http
        self.request_id, self.evidence, self.scenario, self.sources = request_id, evidence, scenario, sources


class PendingError(ClientError):
    """Accepted and durable, not final when the caller's time was over: `collect` it later."""


class UnreachableError(ClientError):
    """No gateway answered in the caller's time; whether the request was accepted is not known."""


class MalformedError(ClientError):
    """What came is not what a gateway sends: something stands between, or the file is not the one that was told."""
