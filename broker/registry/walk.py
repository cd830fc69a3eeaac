"""A scenario's whole way through the life cycle as intakes, each step signed by the party whose step it is."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from broker.registry.transitions import REGISTRAR, Standing, using_province
from schemas.filing import Action, Draft, Intake, State, Transition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MAX_TRANSITIONS = 500  # of one intake here; a draft is some kilobytes


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
        new_intake(by, wishes[place : place + MAX_TRANSITIONS], now_ms)
        for (action, by), wishes in sorted(steps.items(), key=lambda step: order.index(step[0][0]))
        for place in range(0, len(wishes), MAX_TRANSITIONS)
    ]


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
