"""Looking into the book: what is known of a request, its answers opened."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from broker.bus.redis import RedisFailure
from broker.exchange.errors import GoneError, UnavailableError
from broker.exchange.ledger import RebuildingError
from broker.exchange.state import Missing, State
from schemas.lot import LotError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.exchange.ledger import Known, Ledger, Pointer
    from broker.exchange.replies import ReplyOpener
    from broker.exchange.state import Answer, Part


class Looks:
    """Reads the book and nothing else."""

    def __init__(self, ledger: Ledger, opener: ReplyOpener) -> None:
        self._ledger, self._opener = ledger, opener

    async def find(self, request_id: str) -> Known | None:
        """What the book holds of a request; raises UnavailableError."""
        try:
            return await self._ledger.find(request_id)
        except RebuildingError as error:
            raise UnavailableError("answers") from error
        except RedisFailure as error:
            raise UnavailableError("redis", retry_after=1) from error

    async def conclude(self, known: Known, had: Mapping[str, Part] = MappingProxyType({})) -> State:
        """Every part as the book has it: an answer is opened, a part without one has expired once all was read.

        Of the parts that we `had` only those are looked up that were pending.
        """
        missing = Missing.EXPIRED if known.expired else Missing.PENDING
        parts: dict[str, Part] = dict.fromkeys(known.provinces, missing)
        for province, pointer in known.parts.items():
            if (part := had.get(province, Missing.PENDING)) is Missing.PENDING:
                part = await self._opened(pointer) if pointer else Missing.UNAVAILABLE
            parts[province] = part
        return State(known.deadline_ms, parts, known.chosen)

    async def _opened(self, pointer: Pointer) -> Answer:
        try:
            record = await self._ledger.lot(pointer.lot_id)
            if record is None:
                raise GoneError
            return self._opener.open(record, pointer.appended_ms)[1][pointer.place]
        except RedisFailure as error:
            raise UnavailableError("redis", retry_after=1) from error
        except LotError as error:  # its key was revoked meanwhile
            raise GoneError from error
