"""From a judgement to what is said and what is recorded: the reply item and its detail."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from schemas import statuses
from schemas.evidence import Detail, evidence_id
from schemas.items import NO_DATA, ReplyItem, Ticket, encode
from schemas.statuses import STATUSES
from workers.judge import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.judge import Case, Grant
    from workers.release import Released

_NO_TICKETS: tuple[Ticket, ...] = ()
# Of what was asked, and of whoever consented or showed a code: what such an answer used up is given back.
NOTHING_LEARNED = frozenset((statuses.UNREACHABLE, statuses.ISSUER_UNREACHABLE, statuses.OTHER, statuses.CODE_UNKNOWN))


class Taken(NamedTuple):
    """A granted item, by which version and when it was judged (unix ms), and what was taken for it.

    `used`: another request has its service code; its issuer is asked all the same, for a code that nobody issued, or
    that has expired, is not to be called used. `attempt` and `taken_ms` are 0 until its effects are taken: before the
    fetch, or after it where only then the holder is known. `sure` (monotonic seconds) and `life` say when and in which
    life of Redis they were last known to be taken.
    """

    case: Case
    grant: Grant
    attempt: int = 0
    used: bool = False
    registry: int = 0
    judged_ms: int = 0
    taken_ms: int = 0
    uses: tuple[str, ...] = ()
    sure: float = float("-inf")
    life: bytes = b""


class Outcome(NamedTuple):
    """One item's end: released or refused, at which attempt, with hop times (unix ms), and what it rests on.

    With `taken` it was granted, and is judged once more and made sure of before it is recorded.
    """

    case: Case
    result: Released | Refusal
    scenario: str
    attempt: int
    hops: Mapping[str, int]
    registry: int = 0
    judged_ms: int = 0
    taken_ms: int = 0
    uses: tuple[str, ...] = ()
    taken: Taken | None = None

    @property
    def status(self) -> int:
        return self.result.code if isinstance(self.result, Refusal) else 0

    @property
    def holder_code(self) -> str:
        """Whose certificates: the holder that was asked for, refused or not, else the one of whom something leaves."""
        return holder_asked(self.case) or getattr(self.result, "holder_code", "")


def holder_asked(case: Case) -> str:
    """The holder as the request names them, itself or by its consent; "" when neither does."""
    asked: str = getattr(case.data, "holder_code", None) or ""
    return asked or (case.consent.holder_code if case.consent else "")


def outcome_of(taken: Taken, result: Released | Refusal, hops: Mapping[str, int]) -> Outcome:
    """How a granted item ends."""
    return Outcome(
        taken.case,
        result,
        taken.grant.scenario,
        max(taken.attempt, 1),
        hops,
        taken.registry,
        taken.judged_ms,
        taken.taken_ms,
        taken.uses,
        taken,
    )


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
        registry=outcome.registry,
        judged=outcome.judged_ms,
        taken=outcome.taken_ms,
        uses=() if outcome.status in NOTHING_LEARNED else outcome.uses,
    )


@lru_cache(maxsize=4_096)
def _names(fields: frozenset[str]) -> msgspec.Raw:
    """Field names as JSON; a few sets serve all items."""
    return msgspec.Raw(encode(sorted(fields)))
