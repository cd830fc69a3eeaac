"""Judge and take: each item's grant or refusal, and the effects of what was granted, taken once (DESIGN §8)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.redis import RedisFailure
from schemas import statuses
from schemas.lot import LotError
from workers.effects import CODE_USED, CONSENT_USED, MARK_HELD, QUOTA_USED_UP, EpochError, Mark, ReplayedError
from workers.fence import SURE_SECONDS
from workers.judge import Grant, Refusal, judge
from workers.outcome import NOTHING_LEARNED, Outcome, Taken, holder_asked, outcome_of
from workers.quota import counters
from workers.release import Released

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker.registry.reader import RegistryReader
    from broker.registry.snapshot import Snapshot
    from schemas.items import RequestItem
    from workers.effects import Effect, Effects
    from workers.judge import Case
    from workers.opening import Proofs

_RETRY_SECONDS = 0.2
_HEARD_SECONDS = 0.9  # the registry is looked at each half second; who was frozen meanwhile looks first
_USE_KEPT_MS = 600_000  # after the consent's end
_AGAIN = "应用场景或共享目录刚刚更新，请重新提交"
_NOT_TAKEN = {
    MARK_HELD: (statuses.REPLAYED, "mark"),
    CONSENT_USED: (statuses.CONSENT_ENDED, "consent"),
    QUOTA_USED_UP: (statuses.QUOTA_USED_UP, "quota"),
}
T = TypeVar("T", "Case", Outcome)


class Lot(NamedTuple):
    """What the effects need to know of a lot: whose, its id, its place on its topic, its end (unix ms)."""

    node: str
    id: str
    place: str
    ends_ms: int


class Decided(NamedTuple):
    """The granted items of a lot by their keys, and its refused ones; by which version, and when (unix ms)."""

    taken: dict[int, Taken]
    refused: list[tuple[Case, Refusal]]
    registry: int = 0
    judged_ms: int = 0


class Decisions:
    """Where a province's lots are judged and their effects taken; `holder_hash` names holders in counters."""

    def __init__(
        self,
        *,
        province: str,
        registry: RegistryReader,
        effects: Effects,
        proofs: Proofs,
        holder_hash: Callable[[str], str],
    ) -> None:
        self._province, self._registry, self._effects = province, registry, effects
        self._proofs, self._holder_hash = proofs, holder_hash

    async def of(self, lot: Lot, cases: Sequence[Case]) -> Decided:
        """Judge and take, again and again while Redis is away or new, until the deadlines have passed.

        What counts by a holder whom only the store can tell is taken by `settled`. Raises LotError("replayed").
        """
        while True:
            cases = _unexpired(cases, "effects")
            now = now_ms()
            judged, version = self._judge(cases, now)
            refused = [(case, result) for case, result in judged if isinstance(result, Refusal)]
            granted = [
                Taken(case, result, registry=version, judged_ms=now)
                for case, result in judged
                if isinstance(result, Grant)
            ]
            at_once = [(one, holder) for one in granted if (holder := self._holder(one)) is not None]
            told = await self._take(lot, at_once)
            if told is not None:
                ends = iter(told)
                results = [(one, one if self._holder(one) is None else next(ends)) for one in granted]
                refused += [(one.case, result) for one, result in results if isinstance(result, Refusal)]
                taken = {key: result for key, (_, result) in enumerate(results) if isinstance(result, Taken)}
                return Decided(taken, refused, version, now)
            if lot.ends_ms <= now_ms():
                _unexpired(cases, "effects")
                return Decided({}, [])

    async def settled(self, lot: Lot, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """These outcomes as they may be recorded now: judged by today's registry, taken in this life of Redis.

        Waits while Redis is away or new; drops what has expired. Raises LotError("replayed").
        """
        while True:
            if not self._heard() and any(one.taken for one in outcomes):
                await self._look_again()  # what was suspended or lost meanwhile is not known
                outcomes = _unexpired(outcomes, "record")
                continue
            snapshot, now = self._snapshot(now_ms()), now_ms()
            live = [self._judged_again(one, snapshot, now) for one in _unexpired(outcomes, "record")]
            due = [(one, taken) for one in live if (taken := one.taken) and self._due(one, taken, SURE_SECONDS)]
            if not due:
                return live
            told = await self._take(lot, [(taken, one.holder_code) for one, taken in due])
            if told is not None:
                ends = {id(one): end for (one, _), end in zip(due, told, strict=True)}
                live = [_ended(one, ends[id(one)]) if id(one) in ends else one for one in live]
            outcomes = live

    def stand(self, outcomes: Sequence[Outcome], seconds: float) -> bool:
        """Whether `settled` would leave these outcomes as they are, their effects known since so many seconds."""
        snapshot = self._snapshot(now_ms())
        version = snapshot.version if snapshot else 0
        heard = self._heard()
        return all(
            one.taken is None or (heard and one.taken.registry == version and not self._due(one, one.taken, seconds))
            for one in outcomes
        )

    async def give_back(self, outcomes: Sequence[Outcome]) -> None:
        """What these used up is not: the store could not say anything of them, or knows no such code."""
        vain = [one.taken for one in outcomes if one.taken and one.status in NOTHING_LEARNED]
        marks = [self._mark(taken, "", 0) for taken in vain if taken.attempt]  # else an earlier one took it
        if marks := [mark for mark in marks if mark.used]:
            with contextlib.suppress(*RedisFailure):  # then they stay used, which gives nothing away
                await self._effects.give_back(marks)

    def _heard(self) -> bool:
        """Whether Redis has just told which version is in force, and of which life it is."""
        return bool(self._registry.epoch) and time.monotonic() - self._registry.heard <= _HEARD_SECONDS

    def _snapshot(self, now: int) -> Snapshot | None:
        return self._registry.snapshot if self._registry.fresh(now) else None

    def _judge(self, cases: Sequence[Case], now: int) -> tuple[list[tuple[Case, Grant | Refusal]], int]:
        snapshot = self._snapshot(now)
        if snapshot is None:
            return [(case, Refusal(statuses.UNREACHABLE, "registry")) for case in cases], 0
        with telemetry.STAGE_SECONDS.labels("judge").time():
            judged = [self._by(case, snapshot, now) for case in cases]
            return [(case, judge(case, snapshot, self._province, now)) for case in judged], snapshot.version

    def _by(self, case: Case, snapshot: Snapshot, now: int) -> Case:
        """The case as this version sees it: since it was opened its consent's key may have been revoked."""
        if not case.item.head.auth_code:
            return case
        consent, wrong = self._proofs.opened(case.item.head, snapshot, now)
        return case._replace(consent=consent, consent_wrong=wrong)

    def _judged_again(self, one: Outcome, snapshot: Snapshot | None, now: int) -> Outcome:
        """Nothing leaves by a registry that is no longer the one in force."""
        taken = one.taken
        if taken is None or (snapshot is not None and snapshot.version == taken.registry):
            return one
        if snapshot is None:
            return one._replace(result=Refusal(statuses.UNREACHABLE, "registry", one.scenario), taken=None)
        case, before = self._by(one.case, snapshot, now), taken.grant
        again = judge(case, snapshot, self._province, now)
        judged = taken._replace(case=case, registry=snapshot.version, judged_ms=now)
        if isinstance(again, Grant) and (again.types, again.code_fields) == (before.types, before.code_fields):
            return outcome_of(judged._replace(grant=again), one.result, one.hops)
        if isinstance(again, Grant):  # what was made by the old version is not what the new one would tell
            again = Refusal(statuses.UNREACHABLE, "registry", again.scenario, _AGAIN)
        return outcome_of(judged, again, one.hops)._replace(scenario=again.scenario, taken=None)

    def _due(self, one: Outcome, taken: Taken, seconds: float) -> bool:
        """Whether its effects are still to be taken, or to be made sure of: that they were taken in a life that is."""
        if taken.used or one.status in NOTHING_LEARNED:
            return False
        return time.monotonic() - taken.sure > seconds or taken.life != self._effects.life

    async def _take(self, lot: Lot, items: Sequence[tuple[Taken, str]]) -> list[Taken | Refusal] | None:
        """What became of each item with its holder; None: Redis is away or new, it was waited for a little."""
        now, sure, life = now_ms(), time.monotonic(), self._effects.life
        marks = [self._mark(one, holder, now) for one, holder in items]
        try:
            with telemetry.STAGE_SECONDS.labels("effects").time():
                effects = await self._effects.take(
                    self._registry.epoch,
                    node=lot.node,
                    lot=lot.id,
                    place=lot.place,
                    ends_ms=lot.ends_ms,
                    marks=marks,
                    now_ms=now,
                )
        except ReplayedError:
            raise LotError("replayed") from None
        except EpochError:
            await self._look_again()
        except RedisFailure:
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return [
                _taken(one, mark, effect, sure, life)
                for (one, _), mark, effect in zip(items, marks, effects, strict=True)
            ]
        return None

    async def _look_again(self) -> None:
        with contextlib.suppress(*RedisFailure):
            await self._registry.refresh()
        await asyncio.sleep(_RETRY_SECONDS)

    def _mark(self, one: Taken, holder: str, now: int) -> Mark:
        case, grant = one.case, one.grant
        code, limits, consent = case.form.code, grant.limits, case.consent
        keyed = self._holder_hash(holder) if holder and limits and limits.per_holder_per_day is not None else ""
        return Mark(
            case.node,
            case.item.id,
            case.digest,
            case.item.deadline,
            code.digest if code is not None and code.once else "",
            grant.uses,
            consent.claims.exp + _USE_KEPT_MS if consent and grant.uses else 0,
            counters(grant.scenario.rpartition("@")[0], limits, keyed, now) if limits else (),
            one.attempt,
        )

    def _holder(self, one: Taken) -> str | None:
        """Whose certificates are asked for, as far as that counts; None: it counts and is not known yet."""
        if one.grant.limits is None or one.grant.limits.per_holder_per_day is None:
            return ""
        return holder_asked(one.case) or None


def _unexpired(some: Sequence[T], stage: str) -> list[T]:
    now = now_ms()
    live = [one for one in some if _item(one).deadline > now]
    telemetry.EXPIRED.labels(stage).inc(len(some) - len(live))
    return live


def _item(one: Case | Outcome) -> RequestItem:
    return one.case.item if isinstance(one, Outcome) else one.item


def _taken(one: Taken, mark: Mark, effect: Effect, sure: float, life: bytes) -> Taken | Refusal:
    """What an effect makes of a grant; a mark, a consent or a quota that is another's turns it into a refusal."""
    if effect.attempt > 0:
        return one._replace(attempt=effect.attempt, taken_ms=effect.taken_ms, uses=mark.used, sure=sure, life=life)
    if effect.attempt == CODE_USED:
        return one._replace(attempt=1, used=True, taken_ms=0, uses=())
    return Refusal(*_NOT_TAKEN[effect.attempt], one.grant.scenario)


def _ended(one: Outcome, end: Taken | Refusal) -> Outcome:
    """An outcome whose effects were taken, or made sure of, only now."""
    if isinstance(end, Refusal):
        return one._replace(result=end, taken_ms=0, uses=(), taken=None)
    used_now = end.used and isinstance(one.result, Released)
    return outcome_of(end, Refusal(statuses.CODE_USED, "code", one.scenario) if used_now else one.result, one.hops)
