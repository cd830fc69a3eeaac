"""Judge and take: each item's grant or refusal, and the effects of what was granted, taken once (DESIGN §8)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, NamedTuple

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.redis import RedisFailure
from schemas import statuses
from schemas.lot import LotError
from workers.effects import CODE_USED, MARK_HELD, EpochError, Mark, ReplayedError
from workers.judge import Grant, Refusal, judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.registry.reader import RegistryReader
    from workers.effects import Effects
    from workers.judge import Case
    from workers.opening import Opened

_RETRY_SECONDS = 0.2


class Taken(NamedTuple):
    """A granted item whose effects were taken, and at which attempt this is.

    `used`: another request has its service code; the store is asked all the same, for a code that nobody issued, or
    that has expired, is not to be called used.
    """

    case: Case
    grant: Grant
    attempt: int
    used: bool = False


class Decided(NamedTuple):
    """The granted items of a lot by their keys, and its refused ones."""

    taken: dict[int, Taken]
    refused: list[tuple[Case, Refusal]]


class Decisions:
    """Where a province's lots are judged and their effects taken."""

    def __init__(self, *, province: str, registry: RegistryReader, effects: Effects) -> None:
        self._province, self._registry, self._effects = province, registry, effects

    async def of(self, opened: Opened, place: str, cases: Sequence[Case]) -> Decided:
        """Judge and take, again and again while Redis is away or new, until the deadlines have passed.

        `place` is the lot's on its topic. Raises LotError("replayed").
        """
        envelope = opened.envelope
        while True:
            cases = _unexpired(cases)
            judged = self._judge(cases)
            granted = [(case, result) for case, result in judged if isinstance(result, Grant)]
            try:
                with telemetry.STAGE_SECONDS.labels("effects").time():
                    attempts = await self._effects.take(
                        self._registry.epoch,
                        node=opened.node,
                        lot=envelope.ce_id,
                        place=place,
                        ends_ms=envelope.deadline_ms,
                        marks=[_mark(case) for case, _ in granted],
                    )
                return _decided(judged, granted, attempts)
            except ReplayedError:
                raise LotError("replayed") from None
            except EpochError:
                await self._verify_again()
            except RedisFailure:
                await asyncio.sleep(_RETRY_SECONDS)
            if envelope.deadline_ms <= now_ms():
                _unexpired(cases)
                return Decided({}, [])

    async def give_back(self, cases: Sequence[Case]) -> None:
        """The codes of these cases are not used up: the store could not say anything of them, or knows no such code."""
        marks = [mark for mark in map(_mark, cases) if mark.code]
        if marks:
            with contextlib.suppress(*RedisFailure):  # then they stay used, which gives nothing away
                await self._effects.give_back(marks)

    def _judge(self, cases: Sequence[Case]) -> list[tuple[Case, Grant | Refusal]]:
        now, snapshot = now_ms(), self._registry.snapshot
        if snapshot is None or not self._registry.fresh(now):
            return [(case, Refusal(statuses.UNREACHABLE, "registry")) for case in cases]
        with telemetry.STAGE_SECONDS.labels("judge").time():
            return [(case, judge(case, snapshot, self._province, now)) for case in cases]

    async def _verify_again(self) -> None:
        with contextlib.suppress(*RedisFailure):
            await self._registry.refresh()
        await asyncio.sleep(_RETRY_SECONDS)


def _mark(case: Case) -> Mark:
    code = case.form.code
    return Mark(
        case.node, case.item.id, case.digest, case.item.deadline, code.digest if code is not None and code.once else ""
    )


def _unexpired(cases: Sequence[Case]) -> list[Case]:
    now = now_ms()
    live = [case for case in cases if case.item.deadline > now]
    telemetry.EXPIRED.labels("effects").inc(len(cases) - len(live))
    return live


def _decided(
    judged: Sequence[tuple[Case, Grant | Refusal]], granted: Sequence[tuple[Case, Grant]], attempts: Sequence[int]
) -> Decided:
    """Grants whose effects were taken, and all refusals; a mark that another request holds turns a grant into one."""
    refused = [(case, result) for case, result in judged if isinstance(result, Refusal)]
    taken: dict[int, Taken] = {}
    for key, ((case, grant), attempt) in enumerate(zip(granted, attempts, strict=True)):
        if attempt == MARK_HELD:
            refused.append((case, Refusal(statuses.REPLAYED, "mark", grant.scenario)))
        elif attempt == CODE_USED:
            taken[key] = Taken(case, grant, 1, used=True)
        else:
            taken[key] = Taken(case, grant, attempt)
    return Decided(taken, refused)
