"""Who may do what with a scenario: the one table, the roles in it and how a scenario stands (DOMAIN §8.2).

A filing's draft goes from DRAFT to PUBLISHED; what is in force is PUBLISHED, SUSPENDED, EXPIRED or REVOKED. The two
stand side by side, so that a renewal is judged on while the old version stays in force.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from schemas.filing import Action, Filing, State, Transition, sources_of
from schemas.scenes import Scene, SceneStatus

REGISTRAR: Final = "registrar"


class Role(StrEnum):
    """As what a party acts upon one scenario."""

    REGISTRAR = "the registrar"
    USING = "the using province"
    NODE = "a node of the using province"
    SOURCE = "a source province"
    SUSPENDER = "who suspended it"


ROLE_NAMES: Final = {
    Role.REGISTRAR: "登记机关",
    Role.USING: "用证省",
    Role.NODE: "用证省的节点",
    Role.SOURCE: "证照源省",
    Role.SUSPENDER: "作出暂停的一方",
}
STATE_NAMES: Final = {
    State.DRAFT: "草稿",
    State.SUBMITTED: "已提交",
    State.PROVINCE_CHECKED: "省级已核验",
    State.SOURCE_REVIEW: "证照源省审核中",
    State.APPROVED: "已批准",
    State.PUBLISHED: "已发布",
    State.SUSPENDED: "已暂停",
    State.EXPIRED: "已到期",
    State.REVOKED: "已撤销",
}


class Row(NamedTuple):
    """One line of the table; `start` are states of the draft or, `in_force`, of the scenario in force."""

    action: Action
    chinese: str
    start: tuple[State | None, ...]
    to: State
    who: tuple[Role, ...]
    in_force: bool = False
    may_reject: bool = False
    needs_reason: bool = False
    name: str = ""

    @property
    def english(self) -> str:
        return self.name or self.action


_S, _A, _R = State, Action, Role
_REVIEWABLE = (_S.PROVINCE_CHECKED, _S.SOURCE_REVIEW)
_OWNERS = (_R.REGISTRAR, _R.USING, _R.SOURCE)
SUBMIT = Row(_A.SUBMIT, "申请提交", (None, _S.DRAFT, _S.PUBLISHED), _S.SUBMITTED, (_R.USING, _R.NODE))
CHECK = Row(_A.CHECK, "省级核验", (_S.SUBMITTED,), _S.PROVINCE_CHECKED, (_R.USING,), may_reject=True)
REVIEW = Row(_A.REVIEW, "证照源省审核", _REVIEWABLE, _S.SOURCE_REVIEW, (_R.SOURCE,), may_reject=True)
APPROVE = Row(_A.APPROVE, "批准", (_S.SOURCE_REVIEW,), _S.APPROVED, (_R.REGISTRAR, _R.SOURCE), may_reject=True)
PUBLISH = Row(_A.PUBLISH, "发布", (_S.APPROVED,), _S.PUBLISHED, (_R.REGISTRAR,), may_reject=True)
RESUME = Row(_A.PUBLISH, "恢复", (_S.SUSPENDED,), _S.PUBLISHED, (_R.SUSPENDER,), in_force=True, name="resume")
SUSPEND = Row(_A.SUSPEND, "暂停", (_S.PUBLISHED,), _S.SUSPENDED, _OWNERS, in_force=True, needs_reason=True)
REVOKE = Row(_A.REVOKE, "撤销", (_S.PUBLISHED, _S.SUSPENDED), _S.REVOKED, _OWNERS, in_force=True, needs_reason=True)
ROLLBACK = Row(_A.ROLLBACK, "回退", (_S.PUBLISHED, _S.SUSPENDED), _S.PUBLISHED, (_R.REGISTRAR,), in_force=True)
TABLE: Final = (SUBMIT, CHECK, REVIEW, APPROVE, PUBLISH, RESUME, SUSPEND, REVOKE, ROLLBACK)
_ROWS: Final = {row.action: row for row in TABLE if row is not RESUME}


class Standing(NamedTuple):
    """How a scenario stands: its filing, and what is in force of it with its record's version (0: nothing)."""

    filing: Filing | None = None
    scene: Scene | None = None
    version: int = 0

    @property
    def draft_state(self) -> State | None:
        return self.filing.state if self.filing else None

    def scene_state(self, now_ms: int) -> State | None:
        """EXPIRED is computed; who revoked or suspended something has said more than its window does."""
        if self.scene is None:
            return None
        ended = self.scene.valid_to <= now_ms and self.scene.status is not SceneStatus.REVOKED
        return State.EXPIRED if ended else State(self.scene.status)

    def state(self, now_ms: int) -> State:
        """The one state people ask for: of what is in force, without it of the draft."""
        return self.scene_state(now_ms) or self.draft_state or State.DRAFT


class Signed(NamedTuple):
    """Under what a transition was signed: the party, the intake's id, its time (unix ms)."""

    by: str
    intake: str
    time: int


def using_province(scene_code: str) -> str:
    """The first two digits of the region in `YRD-{region6}-{yyyy}-{seq5}`."""
    return scene_code[4:6]


def roles(by: str, standing: Standing, row: Row, key: str) -> frozenset[Role]:
    """As what this party may act by this row."""
    using = using_province(key)
    body = standing.scene if row.in_force else standing.filing.draft.scene if standing.filing else None
    have = {
        Role.REGISTRAR: by == REGISTRAR,
        Role.USING: by == using,
        Role.NODE: by.startswith(f"{using}-"),
        Role.SOURCE: body is not None and by in sources_of(body),
        Role.SUSPENDER: standing.scene is not None and by == standing.scene.suspended_by,
    }
    return frozenset(role for role, is_so in have.items() if is_so)


def row_of(wish: Transition) -> Row:
    """The row of a wish; to publish what is already in force, named by its version, is to resume it."""
    return RESUME if wish.action is Action.PUBLISH and wish.about.isdigit() else _ROWS[wish.action]


def may_act(row: Row, standing: Standing, key: str, by: str) -> bool:
    """Whether the table lets this party do it, whatever the state."""
    return bool(roles(by, standing, row, key) & {*row.who})


def named(state: State | None) -> str:
    return STATE_NAMES[state] if state else "无"


def next_step(standing: Standing) -> tuple[Row, tuple[str, ...]] | None:
    """The step that a filing waits for, and the parties by name where they are known; None: it waits for nobody."""
    filing = standing.filing
    if filing is None or filing.state is State.PUBLISHED:
        return None
    using = using_province(filing.id)
    waiting = [one for one in filing.draft.sources if one not in filing.reviews]
    match filing.state:
        case State.SUBMITTED:
            return CHECK, (using,)
        case State.PROVINCE_CHECKED | State.SOURCE_REVIEW if waiting:
            return REVIEW, tuple(waiting)
        case State.SOURCE_REVIEW:
            return APPROVE, (REGISTRAR, *(one for one in filing.draft.sources if one != using))
        case State.APPROVED:
            return PUBLISH, (REGISTRAR,)
        case _:
            return SUBMIT, (filing.applicant,)
