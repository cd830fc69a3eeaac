"""What is known of a request: of each province that was asked its answer, or why there is none."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.items import ReplyItem


class Answer(NamedTuple):
    """A reply as it was verified: the item, the province that signed it, and when Kafka appended it (ms)."""

    item: ReplyItem
    province: str
    appended_ms: int


class Missing(StrEnum):
    """Why a province's part is not there."""

    PENDING = "pending"  # it may still come
    EXPIRED = "expired"  # no reply was appended by the deadline, and the reply partition was read past it
    UNAVAILABLE = "unavailable"  # it had no ready agent, so that it was not asked


Part = Answer | Missing


class State(NamedTuple):
    """A request and its parts by province; `left` is what its application may still ask in this second, -1 unknown.

    `chosen`: the provinces are our choice, so that the answer says of each what came of it.
    """

    deadline_ms: int
    parts: Mapping[str, Part]
    chosen: bool = False
    left: int = -1

    @property
    def final(self) -> bool:
        """Whether no part can change any more."""
        return Missing.PENDING not in self.parts.values()
