"""Why a request cannot be taken, or its answer not be told."""

from __future__ import annotations


class ConflictError(Exception):
    """The id names another request."""


class RateError(Exception):
    """The application asks faster than it may."""


class NonceError(Exception):
    """The nonce was used for another request."""


class GoneError(Exception):
    """It was answered, and the answer is no longer kept."""


class UnavailableError(Exception):
    """Not now: `part` says what is away, `known` whether nothing was produced."""

    def __init__(self, part: str, *, known: bool = True, retry_after: int = 2) -> None:
        super().__init__(part)
        self.part, self.known, self.retry_after = part, known, retry_after
