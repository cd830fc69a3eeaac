"""The way of one lot through a province: open, judge, effects, fetch, release, record, reply (DESIGN §8)."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from broker.bus import telemetry
from broker.bus.clock import now_ms, today
from broker.bus.kafka import Outgoing
from broker.bus.quarantine import quarantined
from broker.bus.redis import RedisFailure
from schemas import statuses
from schemas.interfaces import INTERFACES
from schemas.items import NO_DATA, RequestItem, encode
from schemas.lot import FRAME_OVERHEAD_BYTES, MAX_ITEMS, LotError
from schemas.sharing import CertificateDataByIdRequest, Head
from workers.effects import EpochError, Mark, ReplayedError
from workers.judge import Asked, Grant, Refusal, judge
from workers.opening import Opened, closed_record, open_record, read_items
from workers.outcome import Outcome, detail_of, reply_item
from workers.release import Released, release
from workers.stores.port import Ask, StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from broker.bus.kafka import Incoming
    from broker.bus.keys import KeyOpener
    from broker.registry.reader import RegistryReader
    from broker.registry.snapshot import Snapshot
    from workers.effects import Effects
    from workers.engine.port import Work
    from workers.evidence import EvidenceWriter
    from workers.stores.port import Found, Store

_RETRY_SECONDS = 0.2
_MAX_REPLY_BYTES = 500 * 1024
_MAX_DATA_BYTES = 480 * 1024  # one certificate's, so that it never takes its neighbours' answers with it


class Taken(NamedTuple):
    """A granted item with its mark taken."""

    asked: Asked
    grant: Grant
    attempt: int


class Handler:
    """One province's handler; everything it needs is handed in once."""

    def __init__(
        self,
        *,
        province: str,
        registry: RegistryReader,
        opener: KeyOpener,
        effects: Effects,
        store: Store,
        evidence: EvidenceWriter,
    ) -> None:
        self._province, self._registry, self._opener = province, registry, opener
        self._effects, self._store, self._evidence = effects, store, evidence

    async def __call__(self, record: Incoming, work: Work) -> AsyncIterator[Outgoing]:
        """Reply lots, each yielded after its evidence is durable; a lot that is refused as a whole goes aside."""
        hops = {"lane": record.appended_ms, "opened": now_ms()}
        try:
            opened = open_record(
                record, province=self._province, snapshot=self._snapshot(), opener=self._opener, now_ms=hops["opened"]
            )
            read = read_items(opened, hops["opened"])
            if read.unreadable:
                yield quarantined(record, "form")
            refusals = [Outcome(asked, refusal, "", 1, hops) for asked, refusal in read.refused]
            taken, refused = await self._judge_and_take(record, opened, read.asked)
            hops["judged"] = now_ms()
            refusals += [Outcome(asked, refusal, refusal.scenario, 1, hops) for asked, refusal in refused]
            async for out in self._reply(opened, refusals, work):
                yield out
            async for found in self._fetch(taken):
                outcomes = [self._release(taken, answer, hops | {"fetched": now_ms()}) for answer in found]
                async for out in self._reply(opened, outcomes, work):
                    yield out
        except LotError as error:
            if error.reason == "expired":
                telemetry.EXPIRED.labels("lane").inc()
            yield quarantined(record, error.reason)
            if error.trusted and (closed := closed_record(record)):
                async for out in self._reply(closed, [_whole_lot(closed, hops)], work):
                    yield out

    def _snapshot(self) -> Snapshot:
        snapshot = self._registry.snapshot
        if snapshot is None:  # the gate is closed before there is one
            raise RuntimeError("a lot was taken into work without a registry")
        return snapshot

    async def _judge_and_take(
        self, record: Incoming, opened: Opened, asked: Sequence[Asked]
    ) -> tuple[dict[int, Taken], list[tuple[Asked, Refusal]]]:
        """Judge and take the marks, again and again while Redis is away or new, until the deadlines have passed."""
        envelope = opened.envelope
        place = f"{record.partition}/{record.offset}"
        while True:
            asked = _unexpired(asked, "effects")
            judged = self._judge(asked)
            granted = [(item, result) for item, result in judged if isinstance(result, Grant)]
            marks = [Mark(item.node, item.item.id, item.digest, item.item.deadline) for item, _ in granted]
            try:
                attempts = await self._effects.take(
                    self._registry.epoch,
                    node=opened.node,
                    lot=envelope.ce_id,
                    place=place,
                    ends_ms=envelope.deadline_ms,
                    marks=marks,
                )
                return _sort(judged, granted, attempts)
            except ReplayedError:
                raise LotError("replayed") from None
            except EpochError:
                await self._verify_again()
            except RedisFailure:
                await asyncio.sleep(_RETRY_SECONDS)
            if envelope.deadline_ms <= now_ms():
                _unexpired(asked, "effects")
                return {}, []

    def _judge(self, asked: Sequence[Asked]) -> list[tuple[Asked, Grant | Refusal]]:
        now = now_ms()
        if not self._registry.fresh(now):
            return [(item, Refusal(statuses.UNREACHABLE, "registry")) for item in asked]
        snapshot = self._snapshot()
        return [(item, judge(item, snapshot, self._province, now)) for item in asked]

    async def _verify_again(self) -> None:
        with contextlib.suppress(*RedisFailure):
            await self._registry.refresh()
        await asyncio.sleep(_RETRY_SECONDS)

    async def _fetch(self, taken: dict[int, Taken]) -> AsyncIterator[Sequence[Found | Unanswered]]:
        """The store's answers as they come; what it cannot answer is told as unreachable, what expires is dropped."""
        asks = [
            Ask(key=key, certificate_id=item.asked.data.certificate_id or "", fields=item.grant.fields)
            for key, item in taken.items()
        ]
        if not asks:
            return
        telemetry.STORE_READS.labels(self._province).inc(len(asks))
        waiting = {ask.key for ask in asks}
        ends = max(item.asked.item.deadline for item in taken.values())
        found = self._store.fetch(asks)
        try:
            while waiting:
                # The time-out stands around the store's step alone: around a yield it would cancel who reads us.
                async with asyncio.timeout((ends - now_ms()) / 1000):
                    group = await anext(found, None)
                if group is None:
                    break
                fresh = {answer.key: answer for answer in group if answer.key in waiting}
                waiting -= fresh.keys()
                yield list(fresh.values())
        except (StoreError, TimeoutError) as error:
            telemetry.log.warning("store failed", error=type(error).__name__, items=len(waiting))
        if waiting:
            yield [Unanswered(key) for key in sorted(waiting)]

    def _release(self, taken: dict[int, Taken], answer: Found | Unanswered, hops: dict[str, int]) -> Outcome:
        item = taken[answer.key]
        entry = self._snapshot().catalogue.get(item.grant.identifier.type_code)
        result: Released | Refusal
        if isinstance(answer, Unanswered):
            result = Refusal(statuses.UNREACHABLE, "store", item.grant.scenario)
        elif answer.unusable:
            telemetry.STORE_UNUSABLE.labels(self._province).inc()
            result = Refusal(statuses.OTHER, "store", item.grant.scenario)
        elif entry is None:  # withdrawn between judgement and answer
            result = Refusal(statuses.TYPE_UNPUBLISHED, "catalogue", item.grant.scenario)
        else:
            result = release(item.grant, answer.records, entry.masks, today(hops["fetched"]))
            if isinstance(result, Released) and len(result.data) > _MAX_DATA_BYTES:
                result = Refusal(statuses.OTHER, "size", item.grant.scenario)
        return Outcome(item.asked, result, item.grant.scenario, item.attempt, hops)

    async def _reply(self, opened: Opened, outcomes: Sequence[Outcome], work: Work) -> AsyncIterator[Outgoing]:
        """Record, then reply; expired outcomes are dropped here for the last time."""
        now = now_ms()
        live = [outcome for outcome in outcomes if outcome.asked.item.deadline > now]
        telemetry.EXPIRED.labels("record").inc(len(outcomes) - len(live))
        while live:
            work.recording = True
            out, told = await self._recorded(opened, live[:MAX_ITEMS])
            yield out
            live = live[told:]

    async def _recorded(self, opened: Opened, outcomes: Sequence[Outcome]) -> tuple[Outgoing, int]:
        """One reply lot of as many outcomes as fit, its evidence durable; and how many those are."""
        evidence, reply_id = self._evidence, uuid.uuid4().hex
        bodies = _as_many_as_fit(
            reply_item(outcome, self._province, reply_id, place) for place, outcome in enumerate(outcomes)
        )
        outcomes = outcomes[: len(bodies)]
        deadline = max(outcome.asked.item.deadline for outcome in outcomes)
        envelope = evidence.reply_envelope(reply_id, len(bodies), deadline)
        frames = evidence.frames(bodies)
        details = [
            (one.asked.item.id, detail_of(one, leaf, evidence.holder_hash(getattr(one.result, "holder_code", ""))))
            for one, leaf in zip(outcomes, frames.leaves, strict=True)
        ]
        evident = await evidence.write(
            reply=envelope, to=opened.node, frames=frames, request_lot=opened.envelope.ce_id, details=details
        )
        record = await evident.durable()
        for (interface, status), count in Counter((o.asked.item.interface, o.status) for o in outcomes).items():
            telemetry.JUDGED.labels(interface if interface in INTERFACES else "?", status).inc(count)
        telemetry.LOTS.labels("reply").inc()
        telemetry.LOT_ITEMS.labels("reply").inc(len(outcomes))
        return Outgoing(opened.reply_topic, opened.reply_partition, record), len(bodies)


class Unanswered(NamedTuple):
    """An item that the store did not answer in time."""

    key: int


def _unexpired(asked: Sequence[Asked], stage: str) -> list[Asked]:
    now = now_ms()
    live = [item for item in asked if item.item.deadline > now]
    telemetry.EXPIRED.labels(stage).inc(len(asked) - len(live))
    return live


def _sort(
    judged: Sequence[tuple[Asked, Grant | Refusal]], granted: Sequence[tuple[Asked, Grant]], attempts: Sequence[int]
) -> tuple[dict[int, Taken], list[tuple[Asked, Refusal]]]:
    """Grants whose mark was taken, and all refusals; a mark held by another request turns a grant into one."""
    refused = [(item, result) for item, result in judged if isinstance(result, Refusal)]
    taken: dict[int, Taken] = {}
    for key, ((item, grant), attempt) in enumerate(zip(granted, attempts, strict=True)):
        if attempt:
            taken[key] = Taken(item, grant, attempt)
        else:
            refused.append((item, Refusal(statuses.REPLAYED, "mark", grant.scenario)))
    return taken, refused


def _as_many_as_fit(bodies: Iterable[bytes]) -> list[bytes]:
    """The beginning of these bodies that fits one lot, at least one."""
    taken: list[bytes] = []
    size = 0
    for body in bodies:
        size += len(body) + FRAME_OVERHEAD_BYTES
        if taken and size > _MAX_REPLY_BYTES:
            break
        taken.append(body)
    return taken


def _whole_lot(opened: Opened, hops: dict[str, int]) -> Outcome:
    """The refusal of a lot as a whole: its item bears the lot's id."""
    envelope = opened.envelope
    item = RequestItem(
        id=envelope.ce_id,
        interface="",
        application="",
        deadline=envelope.deadline_ms,
        head=Head(),
        data=NO_DATA,
    )
    asked = Asked(opened.node, encode(item), item, CertificateDataByIdRequest(), None, "")
    return Outcome(asked, Refusal(statuses.BAD_VALUE, "lot"), "", 1, hops)
