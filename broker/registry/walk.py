"""A scenario's whole way through the life cycle as intakes, each step signed by the party whose step it is."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, TypeVar

import msgspec

from broker.registry.transitions import REGISTRAR, Standing, using_province
from schemas.filing import Action, Draft, Intake, State, Transition, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_MOST, _MOST_BYTES = 500, 512 * 1024  # of one intake here: Kafka takes no record over 1 MiB
_encode = msgspec.json.Encoder().encode
T = TypeVar("T", Transition, Wanted)


def new_intake(by: str, transitions: Iterable[Transition], now_ms: int) -> Intake:
    return Intake(id=uuid.uuid4().hex, time=now_ms, by=by, transitions=tuple(transitions))


def walk(filings: Iterable[tuple[Standing, Draft]], applicant: Callable[[Draft], str], now_ms: int) -> list[Intake]:
    """What is left of the way of these drafts, in order; an intake for each step of a party.

    A registrar that reads them one after the other publishes all. A filing in course with another draft is left to
    the registrar's refusal.
    """
    steps: dict[tuple[Action, str], list[Transition]] = {}
    for standing, draft in filings:
        for action, by in _left(standing, draft, applicant(draft)):
            code, about = draft.scene.scene_code, draft.digest
            submits = action is Action.SUBMIT
            wish = Transition(action=action, key=code, about="" if submits else about, draft=draft if submits else None)
            steps.setdefault((action, by), []).append(wish)
    order = list(Action)
    return [
        new_intake(by, part, now_ms)
        for (action, by), wishes in sorted(steps.items(), key=lambda step: order.index(step[0][0]))
        for part in in_parts(wishes)
    ]


def in_parts(some: Iterable[T]) -> Iterator[list[T]]:
    """These in their order, as many together as one intake may carry."""
    part: list[T] = []
    held = 0
    for one in some:
        size = len(_encode(one))
        if part and (len(part) == _MOST or held + size > _MOST_BYTES):
            yield part
            part, held = [], 0
        part.append(one)
        held += size
    if part:
        yield part


def _left(standing: Standing, draft: Draft, applicant: str) -> Iterator[tuple[Action, str]]:
    filing = standing.filing
    in_course = filing is not None and filing.draft == draft and filing.state is not State.PUBLISHED
    state = filing.state if filing is not None and in_course else State.DRAFT
    reviewed = filing.reviews if filing is not None and in_course else {}
    if state is State.DRAFT:
        yield Action.SUBMIT, applicant
        reviewed = {}
    if state in {State.DRAFT, State.SUBMITTED}:
        yield Action.CHECK, using_province(draft.scene.scene_code)
    if state is not State.APPROVED:
        yield from ((Action.REVIEW, source) for source in draft.sources if source not in reviewed)
        yield Action.APPROVE, REGISTRAR
    yield Action.PUBLISH, REGISTRAR
