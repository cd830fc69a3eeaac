"""`certlane registry submit … withdraw`: one step of the life cycle, signed by one party."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import orjson
import typer

from broker.bus.clock import iso, now_ms, today
from broker.registry.authoring import read_draft
from broker.registry.registrar import known_in
from broker.registry.transitions import REGISTRAR, STATE_NAMES, Standing, next_step, using_province
from broker.registry.walk import new_intake
from deploy.cli.stack import Home, Json
from deploy.local import ports
from deploy.local.desk import Desk, RefusedIntakeError
from deploy.local.home import LocalStackError, home_of
from schemas.filing import Action, State, Transition
from schemas.identifiers import is_scene_code
from schemas.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

As = Annotated[str | None, typer.Option("--as", help="the party that signs; its keys lie in the stack's folder")]
AsEach = Annotated[list[str] | None, typer.Option("--as", help="the party that signs; of a review may be repeated")]
Reason = Annotated[str, typer.Option(help="why; needed to reject, suspend or revoke")]
About = Annotated[str, typer.Option(help="digest of the draft, or version in force, that was looked at; default: now")]
Reject = Annotated[bool, typer.Option("--reject", help="say no; the filing is a draft again")]


class _Step(NamedTuple):
    """One step as it was asked for; `by` says who signs unless told, `about` what it is about."""

    action: Action
    key: str
    by: Callable[[Standing], Sequence[str]]
    about: Callable[[Standing], str] = lambda _: ""
    wish: dict[str, Any] = {}  # noqa: RUF012  # never changed


def add_to(app: typer.Typer) -> None:
    """Add every step."""
    _add_filing(app)
    _add_decisions(app)
    _add_in_force(app)
    _add_going_back(app)


def _add_filing(app: typer.Typer) -> None:
    @app.command()
    def submit(
        file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
        party: Annotated[str, typer.Option("--as", help="the applicant")],
        home: Home = None,
        as_json: Json = False,  # noqa: FBT002
    ) -> None:
        """File a scenario (申请提交), or its renewal: a draft in YAML or JSON, checked against what is registered."""
        asyncio.run(_submit(file, party, home, as_json=as_json))


def _add_decisions(app: typer.Typer) -> None:
    def decision(action: Action, by: Callable[[str], str], text: str) -> None:
        @app.command(action.value, help=text)
        def command(  # noqa: PLR0917 - the command's options
            key: str,
            reject: Reject = False,  # noqa: FBT002
            reason: Reason = "",
            about: About = "",
            party: AsEach = None,
            home: Home = None,
            as_json: Json = False,  # noqa: FBT002
        ) -> None:
            wish = {"accept": not reject, "reason": reason}
            step = _Step(action, key, lambda _: party or [by(key)], lambda now: about or _draft(now), wish)
            asyncio.run(_take(step, home, as_json=as_json))

    decision(Action.CHECK, _using, "Say as the using province whether a filing is in order (申请核验).")
    decision(Action.REVIEW, _nobody, "Say as a source province, for itself, whether it grants (证照源省审核).")
    decision(Action.APPROVE, lambda _: REGISTRAR, "Approve what every source has granted (批准); never the applicant.")


def _add_in_force(app: typer.Typer) -> None:
    @app.command()
    def publish(  # noqa: PLR0917 - the command's options
        key: str,
        reject: Reject = False,  # noqa: FBT002
        reason: Reason = "",
        about: About = "",
        party: As = None,
        home: Home = None,
        as_json: Json = False,  # noqa: FBT002
    ) -> None:
        """Bring an approved filing into force (发布), or lift a suspension (恢复) as who suspended."""
        step = _Step(
            Action.PUBLISH,
            key,
            lambda now: [party or (_suspender(now) if _resumes(now) else REGISTRAR)],
            lambda now: about or (str(now.version) if _resumes(now) else _draft(now)),
            {"accept": not reject, "reason": reason},
        )
        asyncio.run(_take(step, home, as_json=as_json))

    def stop(action: Action, text: str) -> None:
        @app.command(action.value, help=text)
        def command(  # noqa: PLR0917 - the command's options
            key: str,
            reason: Reason = "",
            about: About = "",
            party: As = None,
            home: Home = None,
            as_json: Json = False,  # noqa: FBT002
        ) -> None:
            step = _Step(
                action, key, lambda _: [party or REGISTRAR], lambda now: about or str(now.version), {"reason": reason}
            )
            asyncio.run(_take(step, home, as_json=as_json))

    stop(Action.SUSPEND, "Stop a scenario for the time being (暂停).")
    stop(Action.REVOKE, "End a scenario for good (撤销).")


def _add_going_back(app: typer.Typer) -> None:
    @app.command()
    def rollback(  # noqa: PLR0917 - the command's options
        key: str,
        to: Annotated[int, typer.Option(min=1, help="the version to go back to; see `history`")],
        reason: Reason = "",
        about: About = "",
        party: As = None,
        home: Home = None,
        as_json: Json = False,  # noqa: FBT002
    ) -> None:
        """Publish an earlier version again (回退): of a scenario, an application or a catalogue entry."""
        wish = {"reason": reason, "version": to}
        step = _Step(Action.ROLLBACK, key, lambda _: [party or REGISTRAR], lambda now: about or str(now.version), wish)
        asyncio.run(_take(step, home, as_json=as_json))

    @app.command()
    def withdraw(
        consent: str,
        until: Annotated[int, typer.Option(help="the consent's own end, unix ms")],
        party: As = None,
        home: Home = None,
        as_json: Json = False,  # noqa: FBT002
    ) -> None:
        """Take back a consent (撤回授权) for its holder, as the province that issued it: <province>.<consent id>."""
        step = _Step(Action.WITHDRAW, consent, lambda _: [party or consent.partition(".")[0]], wish={"until": until})
        asyncio.run(_take(step, home, as_json=as_json))


def _using(key: str) -> str:
    if not is_scene_code(key):
        raise LocalStackError(f"{key} is no scenario's code; `certlane registry show` lists them")
    return using_province(key)


def _nobody(key: str) -> str:
    raise LocalStackError(
        f"--as: which source province reviews {key}; `certlane registry show {key}` tells who is asked"
    )


def _draft(now: Standing) -> str:
    return now.filing.draft.digest if now.filing else ""


def _resumes(now: Standing) -> bool:
    """Whether to publish means to resume: something is suspended and no draft waits to come into force."""
    waits = now.filing is not None and now.filing.state is State.APPROVED
    return now.scene_state(now_ms()) is State.SUSPENDED and not waits


def _suspender(now: Standing) -> str:
    return now.scene.suspended_by if now.scene else ""


async def _submit(file: Path, party: str, home: Path | None, *, as_json: bool) -> None:
    where = home_of(home)
    async with Desk(where, ports.remembered(where).bootstrap) as desk:
        draft = read_draft(file, today(), known_in(desk.trusted.snapshot))
        wish = Transition(action=Action.SUBMIT, key=draft.scene.scene_code, draft=draft)
        await _hand_in(desk, [party], wish, as_json=as_json)


async def _take(step: _Step, home: Path | None, *, as_json: bool) -> None:
    where = home_of(home)
    async with Desk(where, ports.remembered(where).bootstrap) as desk:
        now = _standing(desk, step.key)
        wish = Transition(action=step.action, key=step.key, about=step.about(now), **step.wish)
        await _hand_in(desk, step.by(now), wish, as_json=as_json)


def _standing(desk: Desk, key: str) -> Standing:
    """How a scenario stands; of another record only its version."""
    if is_scene_code(key):
        return desk.book.standing(key)
    record = desk.book.record(key)
    return Standing(version=record.version if record else 0)


async def _hand_in(desk: Desk, parties: Sequence[str], wish: Transition, *, as_json: bool) -> None:
    intakes = [new_intake(party, [wish], now_ms()) for party in parties]
    try:
        await desk.hand_in(intakes)
    except RefusedIntakeError as error:
        standing = _standing(desk, wish.key)
        after = f"; {next_of(wish.key, standing)}" if is_scene_code(wish.key) and next_step(standing) else ""
        raise LocalStackError(f"{error}{after}") from error
    standing = _standing(desk, wish.key)
    if as_json:
        about = told(wish.key, standing) if is_scene_code(wish.key) else {"key": wish.key, "version": standing.version}
        print(
            orjson.dumps({"registry": desk.trusted.version, "intakes": [one.id for one in intakes], **about}).decode()
        )
    elif is_scene_code(wish.key):
        print(f"version {desk.trusted.version}: {wish.key} {_in_words(standing)}; {next_of(wish.key, standing)}")
    else:
        print(f"version {desk.trusted.version}: {wish.key}")


def told(key: str, standing: Standing) -> dict[str, Any]:
    """How a scenario stands, for JSON."""
    turn = next_step(standing)
    return {
        "key": key,
        "state": standing.state(now_ms()),
        "version": standing.version,
        "draft": standing.draft_state,
        "digest": _draft(standing),
        "next": {"action": turn[0].action, "by": turn[1]} if turn else None,
    }


def next_of(key: str, standing: Standing) -> str:
    """Whose turn it is, in words."""
    turn = next_step(standing)
    if turn is None:
        return "no step is waited for" if standing.scene else f"下一步 next: submit {key}"
    row, who = turn
    by = (" or " if row.action is Action.APPROVE else ", ").join(who)
    return f"下一步 next: {row.english} {row.chinese} by {by}"


def _in_words(standing: Standing) -> str:
    """The state in force with its version, and the draft's where that is another."""
    now = standing.scene_state(now_ms())
    draft = standing.draft_state
    parts = [f"{now} {STATE_NAMES[now]} @{standing.version}"] if now else []
    if draft and (now is None or draft is not State.PUBLISHED):
        parts.append(f"{draft} {STATE_NAMES[draft]}")
    return ", ".join(parts) or "no filing"


def line_of(key: str, standing: Standing) -> str:
    """One scenario in one line."""
    window = f", until {iso(standing.scene.valid_to)[:10]}" if standing.scene else ""
    return f"{key}  {_in_words(standing)}{window}; {next_of(key, standing)}"


def scene_codes(desk: Desk) -> list[str]:
    """Every scenario that is in force or filed."""
    keys = (key.partition("/") for key in desk.trusted.records)
    return sorted({name for kind, _, name in keys if kind in {Kind.SCENE, Kind.FILING}})
