"""What comes of one lot's grants, as it comes: the store's answers, and the files that some of them stand for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from broker.bus import telemetry
from broker.bus.clock import now_ms, today
from schemas import statuses
from schemas.interfaces import INTERFACES
from schemas.sharing import VerifyCodeRequest
from workers.asking import ask
from workers.delivery import deliver
from workers.issuers.port import IssuerError
from workers.judge import Refusal
from workers.names import NameCheckError, name_ask
from workers.outcome import Outcome, outcome_of
from workers.redeeming import digest_of, redeem
from workers.release import Released, Shipment, release
from workers.shaping import Here
from workers.stores.port import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence

    from broker.registry.snapshot import Snapshot
    from workers.consents import Authorization, Consents
    from workers.files import FileSender
    from workers.issuers.port import CodeIssuer, CodeRecord
    from workers.names import NameAsk, NameCheck
    from workers.outcome import Taken
    from workers.stores.port import Found, Store

_FILES_AT_ONCE = 4  # of one lot
_MAX_DATA_BYTES = 480 * 1024  # one answer's, so that it never takes its neighbours' with it


class Sources(NamedTuple):
    """What a province's answers come from; `snapshot` is the version of the registry in use."""

    province: str
    store: Store
    issuer: CodeIssuer
    files: FileSender
    consents: Consents
    snapshot: Callable[[], Snapshot]
    names: NameCheck


class Gathering:
    """One lot's; every granted item ends in exactly one outcome, or in none when its deadline passes meanwhile."""

    def __init__(self, taken: Mapping[int, Taken], sources: Sources, hops: Mapping[str, int]) -> None:
        self._taken, self._sources, self._hops = taken, sources, hops
        self._province, self._store, self._files = sources.province, sources.store, sources.files
        self._codes = [key for key, item in taken.items() if isinstance(item.case.data, VerifyCodeRequest)]
        self._asks = {
            key: ask(key, item.case, item.grant)
            for key, item in taken.items()
            if not isinstance(item.case.data, VerifyCodeRequest)
        }
        self._waiting = set(self._asks)
        self._sending: set[asyncio.Task[list[Outcome]]] = set()
        self._turn = asyncio.Semaphore(_FILES_AT_ONCE)
        # Who holds a turn: until its outcome has been taken from us, so that results do not pile up.
        self._turns: set[asyncio.Task[list[Outcome]]] = set()

    async def outcomes(self) -> AsyncGenerator[list[Outcome], None]:
        """What has come together; what the store cannot answer is unreachable (7001), what the issuer cannot 6004."""
        if not self._taken:
            return
        telemetry.STORE_READS.labels(self._province).inc(len(self._taken))
        found = self._store.fetch([*self._asks.values()])
        reading: asyncio.Task[list[Outcome]] | None = None
        if self._codes:
            self._sending.add(asyncio.create_task(self._redeemed()))
        try:
            while self._waiting or self._sending or reading:  # which may have come while we were at a yield
                if not self._sending and reading is None:  # nothing else can come: to wait for the store needs no task
                    yield await self._read(found)
                    continue
                if reading is None and self._waiting:
                    reading = asyncio.create_task(self._read(found))
                pending = {*self._sending, reading} if reading else self._sending
                done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                self._sending -= done
                reading = None if reading in done else reading
                yield [outcome for task in done for outcome in task.result()]
                for task in done & self._turns:
                    self._turns.discard(task)
                    self._turn.release()
        finally:
            await _ended([*self._sending, *([reading] if reading else [])])

    async def _read(self, found: AsyncIterator[Sequence[Found]]) -> list[Outcome]:
        """The next of the store's answers, or the end of them; files that they stand for set out on their way."""
        ends = max(item.case.item.deadline for item in self._taken.values())
        group: Sequence[Found] | None = None
        try:
            # The time-out stands around the store's step alone: around a yield it would cancel who reads us.
            with telemetry.STAGE_SECONDS.labels("fetch").time():
                async with asyncio.timeout((ends - now_ms()) / 1000):
                    group = await anext(found, None)
        except (StoreError, TimeoutError) as error:
            telemetry.log.warning("store failed", error=type(error).__name__, items=len(self._waiting))
        now = now_ms()
        if group is None:
            left, self._waiting = sorted(self._waiting), set()
            for key in left:
                self._answered(key, "failed")
            return [self._outcome(key, Refusal(statuses.UNREACHABLE, "store"), now) for key in left]
        fresh = {answer.key: answer for answer in group if answer.key in self._waiting}
        self._waiting -= fresh.keys()
        told = {key: one for key, answer in fresh.items() if (one := self._name_ask(key, answer))}
        if told:  # whoever told no name does not wait for what is said of the others'
            waiting = {key: fresh[key] for key in told}
            self._sending.add(asyncio.create_task(self._named(waiting, told, ends)))
        return self._released({key: answer for key, answer in fresh.items() if key not in told}, {}, now)

    def _name_ask(self, key: int, answer: Found) -> NameAsk | None:
        return name_ask(self._taken[key].case.data, answer.records)

    async def _named(self, fresh: Mapping[int, Found], told: Mapping[int, NameAsk], ends: int) -> list[Outcome]:
        """Those that tell a name: it is asked for all of them at once whether it is right."""
        names: Mapping[int, frozenset[str]] = {}
        try:
            async with asyncio.timeout((ends - now_ms()) / 1000):
                names = dict(zip(told, await self._sources.names.right([*told.values()]), strict=True))
        except (NameCheckError, TimeoutError) as error:
            telemetry.log.warning("real-name check failed", error=type(error).__name__, items=len(told))
        return self._released(fresh, names, now_ms())

    def _released(self, fresh: Mapping[int, Found], names: Mapping[int, frozenset[str]], now: int) -> list[Outcome]:
        here = Here(self._province, now, today(now).isoformat())
        with telemetry.STAGE_SECONDS.labels("release").time():
            results = [
                release(
                    self._taken[key].case,
                    self._taken[key].grant,
                    self._asks[key].look,
                    answer,
                    here,
                    names=names.get(key),
                )
                for key, answer in fresh.items()
            ]
        outcomes = []
        for (key, answer), result in zip(fresh.items(), results, strict=True):
            self._answered(key, "failed" if answer.unusable else "found" if answer.records else "nothing")
            if answer.unusable:
                telemetry.STORE_UNUSABLE.labels(self._province).inc()
            if isinstance(result, Shipment):
                self._sending.add(asyncio.create_task(self._send(key, result)))
            else:
                outcomes.append(self._outcome(key, result, now))
        return outcomes

    async def _redeemed(self) -> list[Outcome]:
        """All that shows a service code: one look at the issuer, beside the store's."""
        ends = max(self._taken[key].case.item.deadline for key in self._codes)
        codes: Mapping[str, CodeRecord | None] | None = None
        try:
            async with asyncio.timeout((ends - now_ms()) / 1000):
                codes = await self._sources.issuer.look([digest_of(self._taken[key].case) for key in self._codes])
        except (IssuerError, TimeoutError) as error:
            telemetry.log.warning("issuer failed", error=type(error).__name__, items=len(self._codes))
        now = now_ms()
        return [self._outcome(key, self._of_code(key, codes), now) for key in self._codes]

    def _of_code(self, key: int, codes: Mapping[str, CodeRecord | None] | None) -> Released | Refusal:
        item, shown_ms = self._taken[key], self._hops["lane"]
        if codes is None:
            self._answered(key, "failed")
            return Refusal(statuses.ISSUER_UNREACHABLE, "reach", item.grant.scenario)
        digest = digest_of(item.case)
        unusable = digest in codes and codes[digest] is None
        self._answered(key, "failed" if unusable else "found" if digest in codes else "nothing")
        if unusable:
            telemetry.STORE_UNUSABLE.labels(self._province).inc()

        def authorize(code: CodeRecord) -> Authorization | None:
            if item.used:  # by another request: nothing is signed for this one
                return None
            return self._sources.consents.authorization(item.case, code, self._sources.snapshot(), shown_ms)

        return redeem(item.case, item.grant, codes, authorize, province=self._province, shown_ms=shown_ms)

    def _answered(self, key: int, outcome: str) -> None:
        telemetry.STORE_ANSWERS.labels(INTERFACES[self._taken[key].case.item.interface].subject, outcome).inc()

    async def _send(self, key: int, shipment: Shipment) -> list[Outcome]:
        """One item's files, when it is its turn and before its deadline."""
        result: Released | Refusal
        try:
            async with asyncio.timeout((self._taken[key].case.item.deadline - now_ms()) / 1000):
                await self._turn.acquire()
                self._turns.add(_this())
                result = await deliver(shipment, store=self._store, files=self._files)
        except TimeoutError:
            result = Refusal(statuses.UNREACHABLE, "file")
        return [self._outcome(key, result, now_ms())]

    def _outcome(self, key: int, result: Released | Refusal, now: int) -> Outcome:
        item = self._taken[key]
        if isinstance(result, Released) and len(result.data) > _MAX_DATA_BYTES:
            result = Refusal(statuses.OTHER, "size")
        elif isinstance(result, Released) and item.used:
            result = Refusal(statuses.CODE_USED, "code")
        return outcome_of(item, result, {**self._hops, "fetched": now})


def _this() -> asyncio.Task[list[Outcome]]:
    task: asyncio.Task[list[Outcome]] | None = asyncio.current_task()
    assert task is not None
    return task


async def _ended(tasks: Sequence[asyncio.Task[list[Outcome]]]) -> None:
    """Nothing goes on when nobody reads any more."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
