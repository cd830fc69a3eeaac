"""The way of one lot through a province: open, judge, effects, fetch, release, record, reply (DESIGN §8)."""

from __future__ import annotations

import uuid
from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.kafka import Outgoing
from broker.bus.labels import judgement_of
from broker.bus.quarantine import quarantined
from broker.bus.tracing import Source
from schemas import statuses
from schemas.items import NO_DATA, RequestItem, encode
from schemas.lot import FRAME_OVERHEAD_BYTES, MAX_ITEMS, LotError
from schemas.sharing import Head
from workers.decisions import Decisions
from workers.gathering import Gathering
from workers.judge import Case, Refusal
from workers.opening import NOT_NAMED, NOT_TYPED, Opened, Read, closed_record, open_record, read_items
from workers.outcome import Outcome, detail_of, reply_item

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence

    from broker.bus.kafka import Incoming
    from broker.bus.keys import KeyOpener
    from broker.bus.spans import Spans
    from broker.registry.reader import RegistryReader
    from broker.registry.snapshot import Snapshot
    from workers.effects import Effects
    from workers.engine.port import Work
    from workers.evidence import EvidenceWriter
    from workers.files import FileSender
    from workers.stores.port import Store

_MAX_REPLY_BYTES = 500 * 1024
_NOTHING_LEARNED = (statuses.UNREACHABLE, statuses.OTHER, statuses.CODE_UNKNOWN)  # of a service code


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
        files: FileSender,
        evidence: EvidenceWriter,
        spans: Spans | None = None,
    ) -> None:
        self._province, self._registry, self._opener = province, registry, opener
        self._store, self._files, self._evidence, self._spans = store, files, evidence, spans
        self._decisions = Decisions(province=province, registry=registry, effects=effects)

    async def __call__(self, record: Incoming, work: Work) -> AsyncGenerator[Outgoing, None]:
        """Reply lots, each yielded after its evidence is durable; a lot that is refused as a whole goes aside."""
        hops = {"lane": record.appended_ms, "opened": now_ms()}
        try:
            with telemetry.STAGE_SECONDS.labels("open").time():
                opened, read = self._opened(record, hops["opened"])
            if read.unreadable:
                yield quarantined(record, "form")
            refusals = [Outcome(case, refusal, "", 1, hops) for case, refusal in read.refused]
            taken, refused = await self._decisions.of(opened, f"{record.partition}/{record.offset}", read.cases)
            hops["judged"] = now_ms()
            refusals += [Outcome(case, refusal, refusal.scenario, 1, hops) for case, refusal in refused]
            async for out in self._reply(opened, refusals, work):
                yield out
            gathering = Gathering(taken, province=self._province, store=self._store, files=self._files, hops=hops)
            async with aclosing(gathering.outcomes()) as gathered:
                async for outcomes in gathered:
                    await self._decisions.give_back([one.case for one in outcomes if one.status in _NOTHING_LEARNED])
                    async for out in self._reply(opened, outcomes, work):
                        yield out
        except LotError as error:
            if error.reason == "expired":
                telemetry.EXPIRED.labels("lane").inc()
            yield quarantined(record, error.reason)
            if error.trusted and (closed := closed_record(record)):
                async for out in self._reply(closed, [_whole_lot(closed, hops)], work):
                    yield out

    def _opened(self, record: Incoming, now: int) -> tuple[Opened, Read]:
        opened = open_record(
            record, province=self._province, snapshot=self._snapshot(), opener=self._opener, now_ms=now
        )
        return opened, read_items(opened, self._province, now)

    def _snapshot(self) -> Snapshot:
        snapshot = self._registry.snapshot
        if snapshot is None:  # the gate is closed before there is one
            raise RuntimeError("a lot was taken into work without a registry")
        return snapshot

    async def _reply(self, opened: Opened, outcomes: Sequence[Outcome], work: Work) -> AsyncIterator[Outgoing]:
        """Record, then reply; expired outcomes are dropped here for the last time."""
        now = now_ms()
        live = [outcome for outcome in outcomes if outcome.case.item.deadline > now]
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
        deadline = max(outcome.case.item.deadline for outcome in outcomes)
        envelope = evidence.reply_envelope(reply_id, len(bodies), deadline)
        frames = evidence.frames(bodies)
        details = [
            (one.case.item.id, detail_of(one, leaf, evidence.holder_hash(one.holder_code)))
            for one, leaf in zip(outcomes, frames.leaves, strict=True)
        ]
        with telemetry.STAGE_SECONDS.labels("record").time():
            evident = await evidence.write(
                reply=envelope, to=opened.node, frames=frames, request_lot=opened.envelope.ce_id, details=details
            )
            record = await evident.durable()
        self._tell(outcomes)
        return Outgoing(opened.reply_topic, opened.reply_partition, record), len(bodies)

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        """Metrics and spans of what was recorded."""
        for (interface, status), count in Counter((o.case.item.interface, o.status) for o in outcomes).items():
            telemetry.JUDGED.labels(interface, status).inc(count)
        if self._spans:
            for one in outcomes:
                hops = {**one.hops, "recorded": now_ms()}
                part = Source(self._province, judgement_of(one.status), one.status, one.scenario, one.attempt, hops)
                self._spans.item(one.case.item.trace, interface=one.case.item.interface, part=part)


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
    case = Case(opened.node, encode(item), item, NOT_TYPED, NOT_NAMED, "")
    return Outcome(case, Refusal(statuses.BAD_VALUE, "lot"), "", 1, hops)
