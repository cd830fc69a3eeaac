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
from workers.decisions import Decisions, Lot
from workers.fence import STILL_SURE_SECONDS, SURE_SECONDS
from workers.gathering import Gathering, Sources
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
    from workers.consents import Consents
    from workers.effects import Effects
    from workers.engine.port import Work
    from workers.evidence import EvidenceWriter
    from workers.files import FileSender
    from workers.issuers.port import CodeIssuer
    from workers.names import NameCheck
    from workers.stores.port import Store

_MAX_REPLY_BYTES = 500 * 1024


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
        issuer: CodeIssuer,
        consents: Consents,
        files: FileSender,
        evidence: EvidenceWriter,
        names: NameCheck,
        spans: Spans | None = None,
    ) -> None:
        self._province, self._registry, self._opener = province, registry, opener
        self._consents, self._evidence, self._spans = consents, evidence, spans
        self._sources = Sources(province, store, issuer, files, consents, self._snapshot, names)
        self._decisions = Decisions(
            province=province, registry=registry, effects=effects, proofs=consents, holder_hash=evidence.holder_hash
        )

    async def __call__(self, record: Incoming, work: Work) -> AsyncGenerator[Outgoing, None]:
        """Reply lots, each yielded after its evidence is durable; a lot that is refused as a whole goes aside."""
        hops = {"lane": record.appended_ms, "opened": now_ms()}
        try:
            with telemetry.STAGE_SECONDS.labels("open").time():
                opened, read = self._opened(record, hops["opened"])
            if read.unreadable:
                yield quarantined(record, "form")
            lot = Lot(
                opened.node, opened.envelope.ce_id, f"{record.partition}/{record.offset}", opened.envelope.deadline_ms
            )
            version = self._snapshot().version
            refusals = [Outcome(case, why, "", 1, hops, version, hops["opened"]) for case, why in read.refused]
            decided = await self._decisions.of(lot, read.cases)
            hops["judged"] = now_ms()
            refusals += [
                Outcome(case, why, why.scenario, 1, hops, decided.registry, decided.judged_ms)
                for case, why in decided.refused
            ]
            async for out in self._reply(opened, lot, refusals, work):
                yield out
            gathering = Gathering(decided.taken, self._sources, hops)
            async with aclosing(gathering.outcomes()) as gathered:
                async for outcomes in gathered:
                    async for out in self._reply(opened, lot, outcomes, work):
                        yield out
        except LotError as error:
            if error.reason == "expired":
                telemetry.EXPIRED.labels("lane").inc()
            yield quarantined(record, error.reason)
            if error.trusted and (closed := closed_record(record)):
                lot = Lot(closed.node, closed.envelope.ce_id, "", closed.envelope.deadline_ms)
                async for out in self._reply(closed, lot, [_whole_lot(closed, hops)], work):
                    yield out

    def _opened(self, record: Incoming, now: int) -> tuple[Opened, Read]:
        snapshot = self._snapshot()
        opened = open_record(record, province=self._province, snapshot=snapshot, opener=self._opener, now_ms=now)
        return opened, read_items(opened, self._province, now, snapshot, self._consents)

    def _snapshot(self) -> Snapshot:
        snapshot = self._registry.snapshot
        if snapshot is None:  # the gate is closed before there is one
            raise RuntimeError("a lot was taken into work without a registry")
        return snapshot

    async def _reply(
        self, opened: Opened, lot: Lot, outcomes: Sequence[Outcome], work: Work
    ) -> AsyncIterator[Outgoing]:
        """Settle, record, then reply; expired outcomes are dropped here for the last time."""
        left = await self._decisions.settled(lot, outcomes)
        await self._decisions.give_back(left)
        while left:
            work.recording = True
            out, left = await self._recorded(opened, lot, left)
            if out:
                yield out
            left = await self._decisions.settled(lot, left)

    async def _recorded(
        self, opened: Opened, lot: Lot, outcomes: list[Outcome]
    ) -> tuple[Outgoing | None, list[Outcome]]:
        """One reply lot of as many outcomes as fit, its evidence durable, if they still stand; and what is left."""
        evidence, reply_id = self._evidence, uuid.uuid4().hex
        bodies = _as_many_as_fit(
            reply_item(outcome, self._province, reply_id, place) for place, outcome in enumerate(outcomes[:MAX_ITEMS])
        )
        told, left = outcomes[: len(bodies)], outcomes[len(bodies) :]
        deadline = max(outcome.case.item.deadline for outcome in told)
        envelope = evidence.reply_envelope(reply_id, len(bodies), deadline)
        frames = evidence.frames(bodies)
        details = [
            (one.case.item.id, detail_of(one, leaf, evidence.holder_hash(one.holder_code)))
            for one, leaf in zip(told, frames.leaves, strict=True)
        ]
        with telemetry.STAGE_SECONDS.labels("record").time():
            evident = await evidence.write(
                reply=envelope,
                to=opened.node,
                frames=frames,
                request_lot=lot.id,
                details=details,
                still=lambda: self._decisions.stand(told, SURE_SECONDS),
            )
            if evident is None:
                return None, outcomes
            record = await evident.durable()
        if not self._decisions.stand(told, STILL_SURE_SECONDS):
            settled = await self._decisions.settled(lot, told)
            if [id(one.result) for one in settled] != [id(one.result) for one in told]:
                return None, settled + left  # recorded and not delivered
        self._tell(told)
        return Outgoing(opened.reply_topic, opened.reply_partition, record), left

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
