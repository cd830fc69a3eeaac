"""The life of a scenario as one pure function: how it stands, what a party wishes, how it stands then (DOMAIN §8.2)."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from broker.registry.transitions import (
    APPROVE,
    CHECK,
    PUBLISH,
    REVIEW,
    ROLE_NAMES,
    ROLLBACK,
    SUBMIT,
    SUSPEND,
    Row,
    Signed,
    Standing,
    may_act,
    named,
    row_of,
    using_province,
)
from schemas.filing import Filing, State, Step, Transition
from schemas.identifiers import is_scene_code
from schemas.scenes import Scene, SceneStatus

YEAR_MS: Final = 366 * 86_400_000
_KEPT_STEPS = 64


class LifecycleError(Exception):
    """A transition that is not taken: a code of a closed set, and why in both languages; the signer's fault."""

    def __init__(self, code: str, chinese: str, english: str) -> None:
        super().__init__(f"{chinese} ({english})")
        self.code, self.chinese, self.english = code, chinese, english


def move(standing: Standing, wish: Transition, signed: Signed, *, earlier: Scene | None = None) -> Standing:
    """The scenario after this transition; `earlier` is the published body that a rollback goes back to.

    Raises LifecycleError when the party, the state, what it looked at, or the transition's form is not right.
    """
    row = row_of(wish)
    if not is_scene_code(wish.key):
        raise LifecycleError("form", f"{wish.key} 不是场景编码", "key: a scenario's code, YRD-<region6>-<yyyy>-<seq5>")
    _may(row, standing, wish, signed)
    _state_allows(row, standing, signed.time)
    _is_about(row, standing, wish)
    _is_well_formed(row, wish)
    if row is SUBMIT:
        return _submitted(standing, wish, signed)
    if row.in_force:
        return _in_force(row, standing, wish, signed, earlier)
    assert standing.filing is not None  # the state said so
    if row is not CHECK and wish.accept:
        _window_is_open(standing.filing.draft.scene, signed.time)
    if row is PUBLISH and wish.accept:
        return _published(standing, standing.filing, wish, signed)
    return standing._replace(filing=_decided(row, standing.filing, wish, signed))


def _may(row: Row, standing: Standing, wish: Transition, signed: Signed) -> None:
    if standing.scene is not None and standing.scene.status is SceneStatus.REVOKED:
        raise LifecycleError("final", f"{wish.key} 已撤销，不可再变更", "revoked is final; file a new scenario")
    filing = standing.filing
    if row is APPROVE and filing is not None and signed.by in {filing.applicant, using_province(filing.id)}:
        raise LifecycleError("applicant", f"{signed.by} 是申请方，不得批准自己的申请", "the applicant never approves")
    nothing = (standing.scene if row.in_force else filing) is None and row is not SUBMIT
    if nothing or may_act(row, standing, wish.key, signed.by):
        return  # of what is not there the state has more to say
    state = standing.scene_state(signed.time) if row.in_force else standing.draft_state
    who = "、".join(ROLE_NAMES[role] for role in row.who)
    raise LifecycleError(
        "party",
        f"“{row.chinese}”由{who}办理，{signed.by} 不是；当前状态：{named(state)}",
        f"{row.english} is for {' or '.join(row.who)}, {signed.by} is not; the state is {state or 'none'}",
    )


def _state_allows(row: Row, standing: Standing, now_ms: int) -> None:
    state = standing.scene_state(now_ms) if row.in_force else standing.draft_state
    if state not in row.start:
        starts = [one for one in row.start if one]
        raise LifecycleError(
            "state",
            f"当前状态为“{named(state)}”，“{row.chinese}”只能从“{'、'.join(map(named, starts))}”进行",
            f"the state is {state or 'none'}; {row.english} starts from {', '.join(starts)}",
        )
    filing = standing.filing
    missing = [one for one in filing.draft.sources if one not in filing.reviews] if filing and row is APPROVE else []
    if missing:
        who = "、".join(missing)
        raise LifecycleError("reviews", f"尚缺证照源省审核：{who}", f"still to review: {', '.join(missing)}")


def _is_about(row: Row, standing: Standing, wish: Transition) -> None:
    if row is SUBMIT:
        return
    draft = standing.filing.draft.digest if standing.filing else ""
    now = str(standing.version) if row.in_force else draft
    if wish.about != now:
        what, this = ("在用版本", "version") if row.in_force else ("申请稿", "draft")
        raise LifecycleError(
            "about", f"所依据的{what}不是当前的：{now}", f"it is about another {this} than the present one, {now}"
        )


def _is_well_formed(row: Row, wish: Transition) -> None:
    if not wish.accept and not row.may_reject:
        raise LifecycleError("form", f"“{row.chinese}”不能是否决", f"{row.english} cannot say no")
    if (row.needs_reason or not wish.accept) and not wish.reason.strip():
        raise LifecycleError("reason", "须说明理由", "a rejection, suspension or revocation needs its reason")


def _window_is_open(scene: Scene, now_ms: int) -> None:
    length = scene.valid_to - scene.valid_from
    if scene.valid_to <= now_ms or not 0 < length <= YEAR_MS or scene.valid_from > now_ms + YEAR_MS:
        raise LifecycleError(
            "window", "有效期须在将来结束，且不超过一年", "validTo lies ahead and at most a year after validFrom"
        )


def _submitted(standing: Standing, wish: Transition, signed: Signed) -> Standing:
    draft = wish.draft
    if draft is None or draft.scene.scene_code != wish.key:
        raise LifecycleError("form", "申请稿缺失或场景编码不符", "submit carries the draft of the scenario it names")
    if draft.scene.status is not SceneStatus.PUBLISHED or draft.scene.suspended_by:
        raise LifecycleError("form", "状态由流程决定，不得写在申请稿里", "a draft does not write its own status")
    if not draft.sources:
        raise LifecycleError("form", "没有证照源省", "a scenario takes from at least one source province")
    _window_is_open(draft.scene, signed.time)
    steps = standing.filing.steps if standing.filing else ()
    filing = Filing(applicant=signed.by, state=State.SUBMITTED, draft=draft, steps=steps)
    return standing._replace(filing=_logged(filing, _step(wish, signed, State.SUBMITTED)))


def _decided(row: Row, filing: Filing, wish: Transition, signed: Signed) -> Filing:
    """A check, a review or an approval, yes or no; or what was approved and is not published after all."""
    step = _step(wish, signed, row.to if wish.accept else State.DRAFT)
    if row is REVIEW:
        if signed.by in filing.reviews:
            raise LifecycleError("reviewed", f"{signed.by} 已审核过此稿", f"{signed.by} has reviewed this draft")
        filing = replace(filing, reviews={**filing.reviews, signed.by: step})
    return _logged(replace(filing, state=step.state), step)


def _published(standing: Standing, filing: Filing, wish: Transition, signed: Signed) -> Standing:
    """The draft comes into force; a suspension stays until who suspended lifts it."""
    scene = _with_status_of(standing.scene, filing.draft.scene)
    step = _step(wish, signed, State(scene.status))
    return Standing(_logged(replace(filing, state=State.PUBLISHED), step), scene, standing.version + 1)


def _in_force(row: Row, standing: Standing, wish: Transition, signed: Signed, earlier: Scene | None) -> Standing:
    assert standing.scene is not None  # the state said so
    if row is ROLLBACK:
        if earlier is None or earlier.status is not SceneStatus.PUBLISHED or wish.version >= standing.version:
            raise LifecycleError(
                "version", f"版本 {wish.version} 不是此前发布过的版本", f"{wish.version} was never published before"
            )
        _window_is_open(earlier, signed.time)
        scene = _with_status_of(standing.scene, earlier)
        if scene == standing.scene:
            raise LifecycleError("version", f"与版本 {wish.version} 相同，无须回退", f"it is as in {wish.version}")
    else:
        by = signed.by if row is SUSPEND else ""
        scene = replace(standing.scene, status=SceneStatus(row.to), suspended_by=by)
    step = _step(wish, signed, State(scene.status))
    filing = _logged(standing.filing, step) if standing.filing else None
    return Standing(filing, scene, standing.version + 1)


def _with_status_of(old: Scene | None, new: Scene) -> Scene:
    return replace(new, status=old.status, suspended_by=old.suspended_by) if old else new


def _step(wish: Transition, signed: Signed, state: State) -> Step:
    return Step(
        action=wish.action,
        by=signed.by,
        time=signed.time,
        intake=signed.intake,
        state=state,
        accept=wish.accept,
        reason=wish.reason,
    )


def _logged(filing: Filing, step: Step) -> Filing:
    return replace(filing, steps=(*filing.steps, step)[-_KEPT_STEPS:])
