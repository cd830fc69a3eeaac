"""From a judgement to what is said and what is recorded: the reply item and its detail."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from schemas.evidence import Detail, evidence_id
from schemas.items import NO_DATA, ReplyItem, Ticket, encode
from schemas.statuses import STATUSES
from workers.judge import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.judge import Case
    from workers.release import Released

_NO_TICKETS: tuple[Ticket, ...] = ()


class Outcome(NamedTuple):
    """One item's end: released or refused, at which attempt, with hop times (unix ms)."""

    case: Case
    result: Released | Refusal
    scenario: str
    attempt: int
    hops: Mapping[str, int]

    @property
    def status(self) -> int:
        return self.result.code if isinstance(self.result, Refusal) else 0

    @property
    def holder_code(self) -> str:
        """Whose certificates: the holder that was asked for, refused or not, else the one of whom something leaves."""
        asked: str = getattr(self.case.data, "holder_code", None) or ""
        return asked or getattr(self.result, "holder_code", "")


def reply_item(outcome: Outcome, party: str, reply_lot: str, place: int) -> bytes:
    """The encoded reply item."""
    item, result = outcome.case.item, outcome.result
    message, data, tickets = "", NO_DATA, _NO_TICKETS
    if isinstance(result, Refusal):
        message = STATUSES[result.code].message + ("：" + result.detail if result.detail else "")
    else:
        data, tickets = msgspec.Raw(result.data), result.tickets
    return encode(
        ReplyItem(
            id=item.id,
            status=outcome.status,
            application=item.application,
            digest=outcome.case.digest,
            deadline=item.deadline,
            message=message,
            data=data,
            scenario=outcome.scenario,
            evidence=evidence_id(party, reply_lot, place),
            attempt=outcome.attempt,
            tickets=tickets,
            trace=item.trace or "",
            sources=item.sources,
            hops={**item.hops, **outcome.hops},
        )
    )


def detail_of(outcome: Outcome, leaf: bytes, holder_hash: str) -> Detail:
    """What the evidence is about; `leaf` is the reply item's hash in the reply's tree."""
    case, result = outcome.case, outcome.result
    fields, condition = frozenset[str](), ""
    if isinstance(result, Refusal):
        condition = result.condition
    else:
        fields = result.fields
    return Detail(
        request=msgspec.Raw(case.raw),
        node=case.node,
        scenario=outcome.scenario,
        holder=holder_hash,
        fields=_names(fields),
        status=outcome.status,
        condition=condition,
        request_digest=case.digest,
        reply_leaf=leaf.hex(),
        attempt=outcome.attempt,
        hops=outcome.hops,
    )


@lru_cache(maxsize=4_096)
def _names(fields: frozenset[str]) -> msgspec.Raw:
    """Field names as JSON; a few sets serve all items."""
    return msgspec.Raw(encode(sorted(fields)))
