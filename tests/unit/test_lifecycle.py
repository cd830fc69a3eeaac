"""The life of a scenario: every action in every state by every party, and random walks that the table must allow."""

from __future__ import annotations

from itertools import product
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.registry.lifecycle import YEAR_MS, LifecycleError, move
from broker.registry.transitions import (
    APPROVE,
    CHECK,
    PUBLISH,
    REGISTRAR,
    RESUME,
    REVIEW,
    REVOKE,
    ROLLBACK,
    SUBMIT,
    SUSPEND,
    TABLE,
    Row,
    Signed,
    Standing,
    next_step,
)
from schemas.filing import Action, Draft, State, Transition
from schemas.scenes import Scene, SceneStatus
from tests.support_registry import CARD, SCENE, scene

NOW: Final = 1_780_000_000_000
DAY: Final = 86_400_000
NODE, USING, SOURCE, STRANGER = "31-yct", "31", "32", "34"
PARTIES: Final = (NODE, USING, SOURCE, STRANGER, "32-x", REGISTRAR, "")
SOURCES: Final = ("31", "32")


def body(**changed: Any) -> Scene:
    return replace(scene(), **{"valid_from": NOW - DAY, "valid_to": NOW + 30 * DAY, **changed})


def draft(**changed: Any) -> Draft:
    return Draft(
        scene=body(**changed),
        org_proof="证明",
        security_level=3,
        expected_per_day=10,
        justifications={CARD: {"KZ_XM": "核对姓名"}},
    )


def wish(row: Row, standing: Standing, **more: Any) -> Transition:
    """What a party that looked at this standing would sign."""
    about = str(standing.version) if row.in_force else standing.filing.draft.digest if standing.filing else ""
    told = {"draft": draft(), "about": ""} if row is SUBMIT else {"about": about}
    return Transition(**{"action": row.action, "key": SCENE, "reason": "理由", **told, **more})


def go(standing: Standing, row: Row, by: str, *, at: int = NOW, earlier: Scene | None = None, **more: Any) -> Standing:
    return move(standing, wish(row, standing, **more), Signed(by, "0" * 32, at), earlier=earlier)


def refusal(standing: Standing, row: Row, by: str, **more: Any) -> str:
    """The code of a refusal; both languages say something."""
    with pytest.raises(LifecycleError) as caught:
        go(standing, row, by, **more)
    assert caught.value.chinese
    assert caught.value.english
    return caught.value.code


def filed(by: str = NODE) -> dict[str, Standing]:
    """A scenario in every state on its way, by name."""
    out = {"nothing": Standing()}
    out["SUBMITTED"] = go(out["nothing"], SUBMIT, by)
    out["DRAFT"] = go(out["SUBMITTED"], CHECK, USING, accept=False)
    out["PROVINCE_CHECKED"] = go(out["SUBMITTED"], CHECK, USING)
    out["one review"] = go(out["PROVINCE_CHECKED"], REVIEW, "31")
    out["SOURCE_REVIEW"] = go(out["one review"], REVIEW, "32")
    out["APPROVED"] = go(out["SOURCE_REVIEW"], APPROVE, "32" if by == REGISTRAR else REGISTRAR)
    out["PUBLISHED"] = go(out["APPROVED"], PUBLISH, REGISTRAR)
    out["SUSPENDED"] = go(out["PUBLISHED"], SUSPEND, SOURCE)
    out["REVOKED"] = go(out["PUBLISHED"], REVOKE, SOURCE)
    assert out["PUBLISHED"].scene is not None
    out["EXPIRED"] = out["PUBLISHED"]._replace(scene=replace(out["PUBLISHED"].scene, valid_to=NOW))
    return out


STANDINGS: Final = filed()
EARLIER: Final = body(scene_name="从前的名称")
# Written a second time, by hand and from the issue: who may do it in which state, and nothing else.
ALLOWED: Final = {
    SUBMIT: ({"nothing", "DRAFT", "PUBLISHED", "SUSPENDED", "EXPIRED"}, {NODE, USING}),
    CHECK: ({"SUBMITTED"}, {USING}),
    REVIEW: ({"PROVINCE_CHECKED"}, {USING, SOURCE}),
    APPROVE: ({"SOURCE_REVIEW"}, {SOURCE, REGISTRAR}),
    PUBLISH: ({"APPROVED"}, {REGISTRAR}),
    RESUME: ({"SUSPENDED"}, {SOURCE}),
    SUSPEND: ({"PUBLISHED"}, {USING, SOURCE, REGISTRAR}),
    REVOKE: ({"PUBLISHED", "SUSPENDED"}, {USING, SOURCE, REGISTRAR}),
    ROLLBACK: ({"PUBLISHED", "SUSPENDED"}, {REGISTRAR}),
}
PLAIN: Final = tuple(name for name in STANDINGS if name != "one review")


@pytest.mark.parametrize(
    ("row", "state", "by"), list(product(TABLE, PLAIN, PARTIES)), ids=lambda one: getattr(one, "english", one) or "-"
)
def test_every_action_in_every_state_by_every_party(row: Row, state: str, by: str) -> None:
    """What the issue allows is taken and leads where the table says; all else is refused with a code and both texts."""
    standing, (states, parties) = STANDINGS[state], ALLOWED[row]
    more: dict[str, Any] = {"earlier": EARLIER, "version": 0} if row is ROLLBACK else {}
    if state in states and by in parties:
        after = go(standing, row, by, **more)
        moved = after.scene_state(NOW) if row.in_force else after.draft_state
        kept = row is ROLLBACK and state == "SUSPENDED"
        assert moved is (State.SUSPENDED if kept else row.to)
        return
    code = refusal(standing, row, by, **more)
    assert code in _expected(row, state, by)


def _expected(row: Row, state: str, by: str) -> set[str]:
    """The codes a refusal may have here."""
    states, parties = ALLOWED[row]
    if state == "REVOKED":
        return {"final"}
    if row is APPROVE and by in {NODE, USING} and state != "nothing":
        return {"applicant"}
    if row is REVIEW and state == "SOURCE_REVIEW":
        return {"reviewed"} if by in parties else {"party"}
    if row is RESUME and state != "SUSPENDED":
        return {"party", "state"}  # nobody has suspended it
    if by in parties:
        return {"state"}
    return {"party"} if state in states else {"party", "state"}


def test_a_source_reviews_once_and_only_for_itself() -> None:
    """Of a draft a source's second review is refused, and the other's is still waited for."""
    standing = STANDINGS["one review"]
    assert refusal(standing, REVIEW, "31") == "reviewed"
    assert refusal(standing, APPROVE, REGISTRAR) == "reviews"
    assert next_step(standing) == (REVIEW, ("32",))
    assert go(standing, REVIEW, "32").filing is not None


@pytest.mark.parametrize("applicant", [NODE, USING])
def test_the_applicant_never_approves(applicant: str) -> None:
    """Who filed a scenario is refused as its approver, and so is the province it is for, be it a source or not."""
    standing = filed(applicant)["SOURCE_REVIEW"]
    assert {refusal(standing, APPROVE, by) for by in (applicant, USING)} == {"applicant"}
    assert next_step(standing) == (APPROVE, (REGISTRAR, SOURCE))
    approved = go(standing, APPROVE, "32")
    assert approved.draft_state is State.APPROVED


@pytest.mark.parametrize(
    ("row", "state", "by"),
    [
        (CHECK, "SUBMITTED", USING),
        (REVIEW, "one review", SOURCE),
        (APPROVE, "SOURCE_REVIEW", SOURCE),
        (PUBLISH, "APPROVED", REGISTRAR),
    ],
)
def test_a_rejection_returns_to_draft_with_its_reason(row: Row, state: str, by: str) -> None:
    """Who rejects says why; the filing is a draft again, corrected and filed anew it is reviewed by all again."""
    standing = STANDINGS[state]
    assert refusal(standing, row, by, accept=False, reason=" ") == "reason"
    rejected = go(standing, row, by, accept=False, reason="住址不必要")
    assert rejected.filing is not None
    assert (rejected.filing.state, rejected.filing.steps[-1].reason) == (State.DRAFT, "住址不必要")
    again = go(rejected, SUBMIT, NODE)
    assert again.filing is not None
    assert (again.filing.state, again.filing.reviews) == (State.SUBMITTED, {})


@pytest.mark.parametrize(
    ("row", "state", "by"),
    [
        (SUSPEND, "PUBLISHED", SOURCE),
        (REVOKE, "PUBLISHED", SOURCE),
        (SUBMIT, "nothing", NODE),
    ],
)
def test_what_decides_nothing_cannot_say_no(row: Row, state: str, by: str) -> None:
    """Only what is decided about a filing can be negative."""
    assert refusal(STANDINGS[state], row, by, accept=False) == "form"


@pytest.mark.parametrize("row", [SUSPEND, REVOKE])
def test_a_stop_needs_its_reason(row: Row) -> None:
    """Nothing is suspended or revoked without a reason."""
    assert refusal(STANDINGS["PUBLISHED"], row, SOURCE, reason="") == "reason"


@pytest.mark.parametrize(
    ("row", "state", "by", "about"),
    [
        (CHECK, "SUBMITTED", USING, "another"),
        (REVIEW, "PROVINCE_CHECKED", SOURCE, ""),
        (APPROVE, "SOURCE_REVIEW", REGISTRAR, "another"),
        (PUBLISH, "APPROVED", REGISTRAR, "another"),
        (RESUME, "SUSPENDED", SOURCE, "1"),
        (SUSPEND, "PUBLISHED", SOURCE, "0"),
        (REVOKE, "PUBLISHED", SOURCE, ""),
        (ROLLBACK, "PUBLISHED", REGISTRAR, "2"),
    ],
)
def test_a_decision_is_about_what_stands_there(row: Row, state: str, by: str, about: str) -> None:
    """A decision upon another draft or another version than the present one is refused."""
    assert refusal(STANDINGS[state], row, by, about=about, earlier=EARLIER) == "about"


@pytest.mark.parametrize(
    "window",
    [
        {"valid_from": NOW - 2 * DAY, "valid_to": NOW},
        {"valid_from": NOW, "valid_to": NOW + YEAR_MS + 1},
        {"valid_from": NOW + 2 * DAY, "valid_to": NOW + DAY},
        {"valid_from": NOW + YEAR_MS + 1, "valid_to": NOW + YEAR_MS + DAY},
    ],
)
def test_a_window_lies_ahead_and_within_a_year(window: dict[str, int]) -> None:
    """A draft whose window is over, empty, too long or too far away is refused."""
    assert refusal(Standing(), SUBMIT, NODE, draft=draft(**window)) == "window"


def test_an_approved_draft_can_be_too_late() -> None:
    """What is approved and not published before its window ends is not published any more."""
    assert refusal(STANDINGS["APPROVED"], PUBLISH, REGISTRAR, at=NOW + 31 * DAY) == "window"


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        draft(status=SceneStatus.SUSPENDED),
        draft(suspended_by="32"),
        draft(scene_code="YRD-310000-2026-00009"),
        draft(types=(), service_code=None),
    ],
)
def test_a_draft_is_of_its_scenario_and_writes_no_status(wrong: Draft | None) -> None:
    """A draft that is missing, of another code, without a source, or with a status of its own is refused."""
    assert refusal(Standing(), SUBMIT, NODE, draft=wrong) == "form"


@pytest.mark.parametrize("key", ["", "YRD-310000-2026-1", "scene/YRD-310000-2026-00001", "../31"])
def test_a_key_is_a_scenario_code(key: str) -> None:
    """A transition of something that is no scenario code is refused."""
    assert refusal(STANDINGS["PUBLISHED"], SUSPEND, SOURCE, key=key) == "form"


def test_a_renewal_leaves_the_old_version_in_force() -> None:
    """From its filing to its approval a renewal changes nothing in force; published it is the next version."""
    old = STANDINGS["PUBLISHED"]
    renewed = go(old, SUBMIT, NODE, draft=draft(valid_to=NOW + 60 * DAY))
    for row, by in ((CHECK, USING), (REVIEW, "31"), (REVIEW, "32"), (APPROVE, REGISTRAR)):
        renewed = go(renewed, row, by)
        assert (renewed.scene, renewed.version) == (old.scene, old.version)
    published = go(renewed, PUBLISH, REGISTRAR)
    assert published.scene == body(valid_to=NOW + 60 * DAY)
    assert published.version == old.version + 1


@pytest.mark.parametrize("back", [False, True])
def test_a_suspension_outlives_what_replaces_the_body(*, back: bool) -> None:
    """Neither a renewal nor a rollback by the registrar lifts what a source province suspended."""
    if back:
        after = go(STANDINGS["SUSPENDED"], ROLLBACK, REGISTRAR, earlier=EARLIER, version=1)
    else:
        approved = STANDINGS["APPROVED"]
        renewing = STANDINGS["SUSPENDED"]._replace(filing=approved.filing)
        after = go(renewing, PUBLISH, REGISTRAR)
    assert after.scene is not None
    assert (after.scene.status, after.scene.suspended_by) == (SceneStatus.SUSPENDED, SOURCE)
    assert refusal(after, RESUME, REGISTRAR) == "party"
    resumed = go(after, RESUME, SOURCE).scene
    assert resumed is not None
    assert (resumed.status, resumed.suspended_by) == (SceneStatus.PUBLISHED, "")


@pytest.mark.parametrize(
    "earlier", [None, body(status=SceneStatus.SUSPENDED), body(status=SceneStatus.REVOKED), body()]
)
def test_a_rollback_goes_to_another_published_body(earlier: Scene | None) -> None:
    """What was never published, was suspended or revoked then, or is in force already is not gone back to."""
    standing = STANDINGS["PUBLISHED"]._replace(version=5)
    assert refusal(standing, ROLLBACK, REGISTRAR, earlier=earlier, version=3) == "version"
    assert refusal(standing, ROLLBACK, REGISTRAR, earlier=EARLIER, version=5) == "version"
    past = body(scene_name="旧", valid_to=NOW - 1)
    assert refusal(standing, ROLLBACK, REGISTRAR, earlier=past, version=3) == "window"


def test_the_log_keeps_the_latest_steps() -> None:
    """However often a scenario is suspended and resumed, its filing stays bounded and its last step is there."""
    standing = STANDINGS["PUBLISHED"]
    for _ in range(60):
        standing = go(go(standing, SUSPEND, SOURCE), RESUME, SOURCE)
    assert standing.filing is not None
    assert len(standing.filing.steps) == 64
    assert standing.filing.steps[-1].action is Action.PUBLISH


WHOLE_WAYS: Final = list[str]()


class _Taken(NamedTuple):
    row: Row
    by: str
    digest: str
    accept: bool


class _Attempt(NamedTuple):
    """How it is guided (2 and more: the step that is waited for), and what is tried else."""

    guided: int
    row: Row
    by: str
    place: int
    accept: bool
    stale: bool
    hours: int


_ATTEMPTS: Final = st.lists(
    st.builds(
        _Attempt,
        guided=st.integers(0, 5),
        row=st.sampled_from(TABLE),
        by=st.sampled_from(PARTIES),
        place=st.integers(0, 2),
        accept=st.sampled_from([True, True, True, True, True, False]),
        stale=st.sampled_from([False, False, False, False, True]),
        hours=st.integers(0, 30),
    ),
    min_size=20,
    max_size=80,
)
# Where the table lets a draft and what is in force go in one step.
_DRAFT_MOVES: Final = {
    (None, "SUBMITTED"), ("DRAFT", "SUBMITTED"), ("PUBLISHED", "SUBMITTED"), ("SUBMITTED", "PROVINCE_CHECKED"),
    ("PROVINCE_CHECKED", "SOURCE_REVIEW"), ("SOURCE_REVIEW", "SOURCE_REVIEW"), ("SOURCE_REVIEW", "APPROVED"),
    ("APPROVED", "PUBLISHED"), ("SUBMITTED", "DRAFT"), ("PROVINCE_CHECKED", "DRAFT"), ("SOURCE_REVIEW", "DRAFT"),
    ("APPROVED", "DRAFT"),
}  # fmt: skip
_SCENE_MOVES: Final = {
    (None, "PUBLISHED"), ("PUBLISHED", "SUSPENDED"), ("SUSPENDED", "PUBLISHED"), ("PUBLISHED", "REVOKED"),
    ("SUSPENDED", "REVOKED"), ("EXPIRED", "PUBLISHED"), ("PUBLISHED", "PUBLISHED"), ("SUSPENDED", "SUSPENDED"),
    ("EXPIRED", "SUSPENDED"),
}  # fmt: skip


@settings(max_examples=400, deadline=None, phases=[Phase.generate])  # a walk is long: shrinking it takes minutes
@given(_ATTEMPTS)
def _random_life(attempts: list[_Attempt]) -> None:
    standing, taken, now, ago = Standing(), list[_Taken](), NOW, Standing()
    for one in attempts:
        now += one.hours * 3_600_000
        row, by = _who(one, standing)
        drafted = draft(scene_name=f"第{one.place}稿", valid_from=now - DAY, valid_to=now + 20 * DAY)
        more = {"draft": drafted, "accept": True} if row is SUBMIT else {"accept": one.accept}
        wished = wish(row, ago if one.stale else standing, **more)
        try:
            after = move(standing, wished, Signed(by, "0" * 32, now), earlier=EARLIER)
        except LifecycleError:
            continue
        taken.append(_Taken(row, by, wished.about or drafted.digest, accept=wished.accept))
        if not row.in_force:
            assert (standing.draft_state, after.draft_state) in _DRAFT_MOVES
        if after.scene != standing.scene:
            assert (standing.scene_state(now), after.scene_state(now)) in _SCENE_MOVES
            assert after.version == standing.version + 1
        if row is PUBLISH and wished.accept:
            _came_the_whole_way(taken, after)
        ago = standing if row is SUBMIT else ago
        standing = after


def _who(one: _Attempt, standing: Standing) -> tuple[Row, str]:
    """Half of them right, else random parties would hardly ever come anywhere."""
    turn = next_step(standing) or (SUBMIT, (NODE,))
    if one.guided > 2:
        return turn[0], turn[1][one.place % len(turn[1])]
    if one.guided:
        parties = sorted(ALLOWED[one.row][1] | {NODE})
        return one.row, parties[one.place % len(parties)]
    return one.row, one.by


def _came_the_whole_way(taken: list[_Taken], after: Standing) -> None:
    """Since its submission exactly this draft was checked, reviewed by every source, and approved by somebody else."""
    begun = max(place for place, one in enumerate(taken) if one.row is SUBMIT)
    way = [one for one in taken[begun:] if not one.row.in_force]
    assert after.filing is not None
    assert {one.digest for one in way} == {after.filing.draft.digest}
    assert all(one.accept for one in way)
    did = {(one.row.english, one.by) for one in way}
    assert {("check", USING), *(("review", source) for source in SOURCES)} <= did
    applicant, approver = way[0].by, next(one.by for one in way if one.row is APPROVE)
    assert applicant == after.filing.applicant
    assert approver not in {applicant, USING}
    WHOLE_WAYS.append(applicant)


def test_no_sequence_leaves_the_table() -> None:
    """Whatever is tried, only moves of the table happen, and what is published, often here, came its whole way."""
    _random_life()
    assert len(WHOLE_WAYS) > 50
