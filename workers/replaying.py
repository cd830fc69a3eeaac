"""A recorded judgement judged again: the case as the agent had it, the version it cites, the recorded clock; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from broker.registry.snapshot import Snapshot
from schemas import statuses
from schemas.jose import MALFORMED
from schemas.lot import REQUEST_TYPE, Envelope, Item
from schemas.registry import Manifest
from schemas.sharing import (
    DataByHolderRequest,
    DataByIdRequest,
    FileByHolderRequest,
    FileByIdRequest,
    SearchRequest,
    VerifyFileRequest,
)
from workers.delivery import FILE_FIELDS
from workers.judge import Case, Grant, Refusal, judge
from workers.opening import Opened, read_items
from workers.release import CODE_FIELDS, HIT_FIELDS, VERDICT_FIELDS
from workers.steps import LATER

if TYPE_CHECKING:
    from schemas.evidence import Detail
    from workers.opening import Proofs

# Where a judgement cites no version nobody is asked; a form is right or wrong by itself.
_NOTHING = Snapshot(Manifest(version=1, previous=0, count=0, root="", changed={}, issued_at=0, expires_at=0), {})
_fields = msgspec.json.Decoder(frozenset[str])


class Difference(NamedTuple):
    """One thing that was recorded otherwise than it is judged now."""

    what: str
    recorded: str
    judged: str


class Replay(NamedTuple):
    """A judgement reproduced: the condition that decided of what was recorded, what is judged now, and what differs.

    `decided` is "" for what was released. `early` says that it ended before the judge; `judged` is None where nobody
    can be asked again: the lot was refused as a whole, or the agent had no fresh registry.
    """

    case: Case
    decided: str
    early: bool
    judged: Grant | Refusal | None
    differences: tuple[Difference, ...]

    @property
    def equal(self) -> bool:
        return not self.differences


class ReplayError(Exception):
    """The detail is not one that can be judged again; the message says why."""


def rebuilt(detail: Detail, province: str, snapshot: Snapshot | None, proofs: Proofs) -> tuple[Case, Refusal | None]:
    """The case as the agent had it, and why it was not judged if its form was wrong; raises ReplayError."""
    opened_ms = detail.hops.get("opened", detail.judged)
    envelope = Envelope(
        ce_id="", ce_type=REQUEST_TYPE, ce_source=detail.node, ce_time="", ce_deadline="0", ce_items="1"
    )
    opened = Opened(envelope, [Item(b"", bytes(detail.request))], "", 0)
    read = read_items(opened, province, opened_ms, snapshot or _NOTHING, proofs)
    if read.cases:
        return read.cases[0], None
    if read.refused:
        return read.refused[0]
    raise ReplayError("the request was unreadable, or had expired when it was opened")


def replay(detail: Detail, province: str, snapshot: Snapshot | None, proofs: Proofs) -> Replay:
    """The judgement of this detail under the version it cites; None where it cites none.

    Raises ReplayError where a judge has to be asked and there is no such version.
    """
    recorded = Refusal(detail.status, detail.condition, detail.scenario)
    case, malformed = rebuilt(detail, province, snapshot, proofs)
    if recorded.condition == "lot":
        return Replay(case, "lot", True, None, _of_lot(case, recorded))
    if malformed is not None:
        return Replay(case, malformed.condition, True, malformed, _of_refusal(detail, malformed))
    if (recorded.condition, recorded.code) == ("registry", statuses.UNREACHABLE):
        return Replay(case, "registry", True, None, ())
    if snapshot is None or not detail.judged:
        raise ReplayError("the version it was judged by, or the judge's clock, was not recorded")
    judged = judge(case, snapshot, province, detail.judged)
    if isinstance(judged, Refusal):
        differences = (*_of_digest(detail, case), *_of_refusal(detail, judged))
        return Replay(case, judged.condition, False, judged, differences)
    return Replay(
        case, recorded.condition, False, judged, (*_of_digest(detail, case), *_of_grant(detail, case, judged))
    )


def _of_lot(case: Case, recorded: Refusal) -> tuple[Difference, ...]:
    """A lot that was refused as a whole has no item of its own: its record bears the lot's id and nothing else."""
    if case.item.interface or recorded.code != statuses.BAD_VALUE or recorded.scenario:
        return (Difference("condition", "lot", "an item"),)
    return ()


def _of_digest(detail: Detail, case: Case) -> tuple[Difference, ...]:
    return _differing(("digest", detail.request_digest, case.digest))


def _of_refusal(detail: Detail, judged: Refusal) -> tuple[Difference, ...]:
    return _differing(
        ("status", str(detail.status), str(judged.code)),
        ("condition", detail.condition, judged.condition),
        ("scenario", detail.scenario, judged.scenario),
        ("fields", " ".join(released(detail)), ""),
    )


def _of_grant(detail: Detail, case: Case, grant: Grant) -> tuple[Difference, ...]:
    """A grant ends in a release of granted fields, or in a refusal of what comes after the judge."""
    out = list(_differing(("scenario", detail.scenario, grant.scenario)))
    if detail.status and (detail.condition, detail.status) not in LATER:
        out.append(Difference("status", f"{detail.status} {detail.condition}", "0"))
    if not detail.status and detail.condition:
        out.append(Difference("condition", detail.condition, ""))
    if beyond := frozenset(released(detail)) - (frozenset() if detail.status else _may_leave(case, grant)):
        out.append(Difference("fields", " ".join(sorted(beyond)), ""))
    if beyond := frozenset(detail.uses) - _may_use(case, grant):
        out.append(Difference("uses", " ".join(sorted(beyond)), ""))
    return tuple(out)


def _may_use(case: Case, grant: Grant) -> frozenset[str]:
    """The names under which a grant's consent and code are used up."""
    code = case.form.code
    return frozenset((*(f"use:{name}" for name in grant.uses), *((f"code:{code.digest}",) if code else ())))


def released(detail: Detail) -> list[str]:
    """The names of the fields that went out, in their order."""
    try:
        return sorted(_fields.decode(detail.fields))
    except MALFORMED:
        return ["(unreadable)"]


def _may_leave(case: Case, grant: Grant) -> frozenset[str]:
    """Every field that a release of this grant may name."""
    data = case.data
    if isinstance(data, (DataByIdRequest, DataByHolderRequest)):
        return frozenset[str]().union(*(one.granted for one in grant.types.values()))
    if isinstance(data, SearchRequest):
        return HIT_FIELDS
    if isinstance(data, (FileByIdRequest, FileByHolderRequest)):
        return FILE_FIELDS
    return VERDICT_FIELDS if isinstance(data, VerifyFileRequest) else CODE_FIELDS


def _differing(*pairs: tuple[str, str, str]) -> tuple[Difference, ...]:
    return tuple(Difference(*pair) for pair in pairs if pair[1] != pair[2])
