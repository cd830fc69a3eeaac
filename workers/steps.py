"""A judgement step by step: every condition on a request's way, and how it stands; pure.

The steps follow from the tables and from the condition that decided; nothing is judged here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from workers.conditions import BY_NAME, CONDITIONS, ELSEWHERE
from workers.wording import told

if TYPE_CHECKING:
    from workers.conditions import Condition
    from workers.wording import Look


# What is looked at before the judge; the rest of ELSEWHERE comes after it.
BEFORE = frozenset(("lot", "deadline", "form", "offered", "issuer", "tag", "registry"))
_OF_CODES = 6_000  # from here on statuses are about service codes
_USED = BY_NAME["consent"]._replace(
    chinese="授权未被使用过，且属于该持证主体", english="the consent is unused, and the holder's"
)
_AFTER = tuple(
    row for one in ELSEWHERE if one.name not in BEFORE for row in ((one, _USED) if one.name == "mark" else (one,))
)
_WAY = (
    *((row, "before") for row in ELSEWHERE if row.name in BEFORE),
    *((row, "judge") for row in CONDITIONS),
    *((row, "after") for row in _AFTER),
)
LATER = frozenset((row.name, code) for row in _AFTER for code in row.codes)
"""What may refuse a request that the judge grants, and with which codes."""


class State(StrEnum):
    """How a condition stands in one judgement."""

    PASSED = "passed"
    DECIDED = "decided"
    NOT_REACHED = "not reached"
    ASIDE = "does not apply"


class Step(NamedTuple):
    """One condition: where on the way, how it stands, what was asked, what the registry says ("": nothing)."""

    name: str
    part: str
    codes: tuple[int, ...]
    chinese: str
    english: str
    state: State
    asked: str = ""
    says: str = ""


def steps(decided: str, look: Look | None = None, *, granted: bool = False) -> list[Step]:
    """Every condition up to the one that decided ("": none did), and those that were not reached.

    `granted`: the judge did not refuse, so it came after. A condition that no table knows stands at the end.
    """
    out: list[Step] = []
    state = State.PASSED
    for row, part in _WAY:
        here = row.name == decided and state is State.PASSED and granted == (part == "after")
        asked, says = told(look, row.name) if look and part == "judge" else ("", "")
        applies = look is None or _applies(row, part, look)
        shown = State.DECIDED if here else state if applies or state is State.NOT_REACHED else State.ASIDE
        out.append(Step(row.name, part, row.codes, row.chinese, row.english, shown, asked, says))
        if here:
            state = State.NOT_REACHED
    if decided and state is State.PASSED:
        out.append(Step(decided, "after", (), decided, decided, State.DECIDED))
    return out


def _applies(row: Condition, part: str, look: Look) -> bool:
    """Whether a condition that passed had anything to look at in this request."""
    if part == "judge" or row.name == "consent":
        return bool(told(look, row.name)[1])
    return look.case.item.interface == "I7" or min(row.codes) < _OF_CODES
