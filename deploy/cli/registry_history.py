"""`certlane registry show` and `history`: what stands now, and every version with the signed wishes behind it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import orjson
import typer

from broker.bus.clock import iso
from broker.registry.chronicle import Change, read_all, read_changes
from broker.registry.intake import IntakeError, read_intake
from deploy.cli.registry_steps import line_of, scene_codes, told
from deploy.cli.stack import Home, Json
from deploy.local import ports
from deploy.local.desk import Desk
from deploy.local.home import LocalStackError, home_of
from schemas.filing import Action, Filing, Intake, Transition
from schemas.identifiers import is_scene_code
from schemas.kinds import Kind
from schemas.lot import LotError
from schemas.registry import Party
from schemas.suites import BY_SIGN_ALG
from schemas.topics import INTAKE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from schemas.jose import Jwk


def add_to(app: typer.Typer) -> None:
    """Add `show` and `history`."""

    @app.command()
    def show(
        key: Annotated[
            str | None, typer.Argument(help="a scenario's code, or party/…, application/…, catalogue/…")
        ] = None,
        home: Home = None,
        as_json: Json = False,  # noqa: FBT002
    ) -> None:
        """List the scenarios with state and whose turn it is; or show one record in full, with its reviews."""
        asyncio.run(_show(key, home, as_json=as_json))

    @app.command()
    def history(key: str, home: Home = None, as_json: Json = False) -> None:  # noqa: FBT002
        """Tell every version of a record, who asked for it when and why, and whether the signature is right."""
        asyncio.run(_history(key, home, as_json=as_json))


async def _show(key: str | None, home: Path | None, *, as_json: bool) -> None:
    where = home_of(home)
    async with Desk(where, ports.remembered(where).bootstrap) as desk:
        if key is not None:
            print(orjson.dumps(_record(desk, key), option=0 if as_json else orjson.OPT_INDENT_2).decode())
            return
        codes = scene_codes(desk)
        if as_json:
            print(orjson.dumps([told(code, desk.book.standing(code)) for code in codes]).decode())
            return
        print(f"registry version {desk.trusted.version}, {len(desk.trusted.records)} records")
        for code in codes:
            print(line_of(code, desk.book.standing(code)))


def _record(desk: Desk, key: str) -> dict[str, Any]:
    """One record as JSON has it; of a scenario what is in force and its filing."""
    if is_scene_code(key):
        standing = desk.book.standing(key)
        if standing == (None, None, 0):
            raise LocalStackError(f"there is no scenario {key}; `certlane registry show` lists them")
        return told(key, standing) | {
            "scene": msgspec.to_builtins(standing.scene),
            "filing": msgspec.to_builtins(standing.filing),
        }
    record = desk.book.record(key)
    if record is None:
        raise LocalStackError(f"there is no record {key}; one is <kind>/<id>, for example application/yct-enterprise")
    return {"key": key, "version": record.version, "body": msgspec.json.decode(record.body)}


class _Event(NamedTuple):
    """One accepted wish: the version of the registry that took it up, the record's then, whose it was, the proof."""

    registry: int
    version: int | None
    time: int
    action: str
    by: str
    accept: bool
    reason: str
    state: str
    intake: str
    signature: str


class _EverKeys:
    """Any key that a party ever had: what was signed with it then is still signed."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self._keys: dict[tuple[str, str], Jwk] = {}
        for change in changes:
            if change.record is not None and change.record.kind is Kind.PARTY:
                party = msgspec.json.decode(change.record.body, type=Party)
                self._keys |= {(party.id, key.jwk.kid): key.jwk for key in party.keys}

    def verifier(self, party: str, kid: str, alg: str, now_ms: int) -> Callable[[bytes, bytes], None]:  # noqa: ARG002
        jwk = self._keys.get((party, kid))
        if jwk is None or jwk.alg != alg:
            raise LotError("key")
        return BY_SIGN_ALG[alg].verifier(jwk)


async def _history(key: str, home: Path | None, *, as_json: bool) -> None:
    where = home_of(home)
    async with Desk(where, bootstrap := ports.remembered(where).bootstrap) as desk:
        registrar = desk.registrar
    own = {f"{Kind.SCENE}/{key}", f"{Kind.FILING}/{key}"} if is_scene_code(key) else {key}
    changes = await read_changes(bootstrap, registrar, lambda one: one in own or one.startswith(f"{Kind.PARTY}/"))
    mine = [change for change in changes if change.key in own]
    if not mine:
        raise LocalStackError(f"there was never a record {key}; `certlane registry show` lists what there is")
    intakes = await _intakes(bootstrap, registrar, _EverKeys(changes), {name for one in mine for name in one.intakes})
    events = [event for change in _by_version(mine) for event in _events(key, change, intakes)]
    if as_json:
        print(orjson.dumps([event._asdict() for event in events]).decode())
        return
    for event in events:
        at = f"@{event.version}" if event.version else ""
        said = "" if event.accept else " 否决 rejected"
        why = f"  {event.reason}" if event.reason else ""
        print(
            f"{event.registry:>5}  {iso(event.time)}  {event.action:<8} by {event.by:<9} {event.state}{at}{said}"
            f"  signature {event.signature}{why}"
        )


async def _intakes(bootstrap: str, registrar: Jwk, parties: _EverKeys, names: set[str]) -> dict[str, Intake]:
    """Those that the registrar has taken up, verified again from the bytes that their signers put there."""
    found: dict[str, Intake] = {}
    async for _, value, at_ms in read_all(bootstrap, INTAKE):
        try:
            intake = read_intake(value or b"", registrar=registrar, parties=parties, now_ms=at_ms)
        except IntakeError:
            continue
        if intake.id in names:
            found.setdefault(intake.id, intake)
    return found


def _by_version(changes: Sequence[Change]) -> list[list[Change]]:
    versions: dict[int, list[Change]] = {}
    for change in changes:
        versions.setdefault(change.version, []).append(change)
    return list(versions.values())


def _events(key: str, changes: Sequence[Change], intakes: dict[str, Intake]) -> list[_Event]:
    """The wishes behind one version of the registry that touch this record, in the order they were taken up."""
    first = changes[0]
    states = {(step.intake, step.action): step.state for step in _steps(changes)}
    version = next((one.record.version for one in changes if one.record and one.record.kind is not Kind.FILING), None)
    out = []
    for name in first.intakes:
        intake = intakes.get(name)
        if intake is None:
            out.append(_Event(first.version, version, first.time, "?", "?", True, "", "", name, "NOT FOUND"))
            continue
        for wish in intake.transitions:
            if _touches(wish, key):
                state = states.get((name, wish.action), "")
                out.append(
                    _Event(
                        registry=first.version,
                        version=version if not state or state in _IN_FORCE else None,
                        time=intake.time,
                        action=wish.action,
                        by=intake.by,
                        accept=wish.accept,
                        reason=wish.reason,
                        state=state,
                        intake=name,
                        signature="verified",
                    )
                )
    return out


_IN_FORCE = {"PUBLISHED", "SUSPENDED", "REVOKED"}


def _steps(changes: Sequence[Change]) -> Any:
    for change in changes:
        if change.record is not None and change.record.kind is Kind.FILING:
            yield from msgspec.json.decode(change.record.body, type=Filing).steps


def _touches(wish: Transition, key: str) -> bool:
    if wish.action is Action.APPLY:
        return any(f"{one.kind}/{one.id}" == key for one in wish.records)
    return wish.key in {key, f"{Kind.SCENE}/{key}"} or f"{Kind.WITHDRAWAL}/{wish.key}" == key
