"""`certlane registry plan | why`: what a folder would change, and what would be granted, before anything is done."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich import box
from rich.table import Table
from rich.text import Text

from broker.bus.clock import now_ms, today
from broker.registry.authoring import read_folder
from broker.registry.registrar import known_in
from deploy.cli.explain import Provinces, clean, provinces_of, reachable, say, show_steps, step_document
from deploy.cli.showing import page
from deploy.cli.stack import Home, Json
from deploy.explaining import Place, place_of
from deploy.history import Version, in_force
from deploy.local.home import LocalStackError, home_of
from deploy.planning import Change, changes, planned
from deploy.shadow import Shadow, shadow
from deploy.trying import Tried, Wish, tried
from schemas.interfaces import INTERFACES
from schemas.statuses import STATUSES
from workers.conditions import BY_NAME
from workers.judge import Grant, Refusal
from workers.steps import steps
from workers.wording import Look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.local import home as local

_HOUR_MS = 3_600_000
_MOST_HOURS = 24 * 366


def add_to(app: typer.Typer) -> None:
    """Add `plan` and `why`."""
    app.command()(plan)
    app.command()(why)


def plan(
    folder: Path,
    hours: Annotated[int, typer.Option(min=0, max=_MOST_HOURS, help="replay what was asked in so many hours")] = 24,
    province: Provinces = None,
    home: Home = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Show what a folder would change, what that needs, and which requests of the last hours would end otherwise."""
    where = home_of(home)
    version, changed, shadows = reachable(_planned(where, folder, hours, provinces_of(province)))
    if as_json:
        print(orjson.dumps(plan_document(version, changed, shadows)).decode())
    else:
        show_plan(version, changed, shadows, hours)


async def _planned(
    home: local.Home, folder: Path, hours: int, provinces: Sequence[str]
) -> tuple[int, list[Change], list[Shadow]]:
    place = place_of(home, provinces)
    current = await _current(place)
    changed = changes(current.records, read_folder(folder, home.keys, today(), known_in(current.snapshot)))
    if not changed or not hours:
        return current.snapshot.version, changed, []
    after, since = planned(current, changed), now_ms() - hours * _HOUR_MS
    shadows = [
        await shadow(place.bootstrap, keys, current.snapshot, after, since_ms=since, say=say)
        for keys in place.keys.values()
    ]
    return current.snapshot.version, changed, shadows


async def _current(place: Place) -> Version:
    found = await in_force(place.bootstrap, place.registrar)
    if found is None:
        raise LocalStackError("登记簿还没有任何版本 (no version yet); certlane registry apply")
    return found


def plan_document(version: int, changed: Sequence[Change], shadows: Sequence[Shadow]) -> dict[str, Any]:
    """A plan as JSON members."""
    records = [
        {
            "key": one.key,
            "version": one.version,
            "fields": [field._asdict() for field in one.fields],
            "needs": one.needs[1],
        }
        for one in changed
    ]
    return {"version": version, "changes": records, "shadow": [_shadow_document(one) for one in shadows]}


def _shadow_document(one: Shadow) -> dict[str, Any]:
    rows = [{**shift._asdict(), "count": count, "sample": sample} for shift, (count, sample) in _rows(one)]
    counts = {"judged": one.judged, "otherwise": one.otherwise, "strange": one.strange}
    return {"province": one.province, **counts, "rows": rows}


def _rows(one: Shadow) -> list[tuple[Any, tuple[int, str]]]:
    """The most frequent first."""
    return sorted(one.shifts.items(), key=lambda pair: (-pair[1][0], pair[0]))


def show_plan(version: int, changed: Sequence[Change], shadows: Sequence[Shadow], hours: int) -> None:
    """A plan as tables: each record with its values, then each province's shadow replay."""
    console = page()
    head = f"现行第 {version} 版 / version {version} in force：{len(changed)} 条记录有变 / records would change"
    console.print(head, highlight=False)
    table = Table("记录 / record", "字段 / field", "−", "+", "尚需 / needs", box=box.SIMPLE_HEAD)
    for one in changed:
        name = f"{one.key}{f'@{one.version}' if one.version else '（新 / new）'}"
        for place, field in enumerate(one.fields if one.version else one.fields[:1]):
            values = (field.path, field.removed, field.added) if one.version else ("", "", "")
            first = (name, "\n".join(one.needs)) if not place else ("", "")
            table.add_row(Text(first[0]), *map(_cell, values), Text(first[1]))
    if changed:
        console.print(table)
    for found in shadows:
        console.print(
            f"{found.province}：{hours} 小时内 {found.judged} 次判定，{found.otherwise} 次将不同"
            f" / of {found.judged} judgements {found.otherwise} would be otherwise",
            highlight=False,
        )
        if found.strange:
            console.print(
                f"  另有 {found.strange} 条明细不能打开或重现 / could not be opened or rebuilt", highlight=False
            )
        if found.shifts:
            console.print(_shift_table(found))


def _cell(value: str) -> Text:
    return Text(clean(value))


def _shift_table(found: Shadow) -> Table:
    names = ("场景 / scene", "接口", "类型 / type", "现 / now", "将 / then", "次", "例 / sample")
    table = Table(*names, box=box.SIMPLE_HEAD)
    for shift, (count, sample) in _rows(found):
        told = [_with_words(shift.before), _with_words(shift.after)]
        table.add_row(shift.scene, shift.interface, shift.type_code, *map(_cell, told), str(count), sample)
    return table


def _with_words(outcome: str) -> str:
    """An outcome with the words of its condition."""
    code, _, rest = outcome.partition(" ")
    if code == "0":
        return f"准予 / granted {rest}"
    words = BY_NAME.get(rest)
    return f"{code} {rest}：{words.chinese}" if words else outcome


def why(  # noqa: PLR0917 - the command's options
    scene: Annotated[str, typer.Option(help="sceneCode")],
    type_code: Annotated[str | None, typer.Option("--type", help="证照类型代码")] = None,
    field: Annotated[str | None, typer.Option(help="a field, as scenarios name it")] = None,
    interface: Annotated[str | None, typer.Option(help="I1 to I7")] = None,
    province: Annotated[str | None, typer.Option(help="the source province")] = None,
    application: Annotated[str | None, typer.Option()] = None,
    item: Annotated[str | None, typer.Option(help="事项编码")] = None,
    org: Annotated[str | None, typer.Option(help="统一社会信用代码 of the user")] = None,
    purpose: Annotated[str | None, typer.Option(help="head.useFor")] = None,
    home: Home = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Tell what would be granted now, and if not which condition decides; what is not named is as the scenario has it.

    Exit 1 when nothing of it would be granted.
    """
    if interface is not None and interface not in INTERFACES:
        raise typer.BadParameter(f"there is no interface {interface}; there are {', '.join(INTERFACES)}")
    provinces_of((province,) if province else None)
    wish = Wish(scene, type_code, field, interface, province, application, item, org, purpose)
    version = reachable(_current(place_of(home_of(home), ())))
    now = now_ms()
    found = tried(wish, version.snapshot, now)
    if as_json:
        print(orjson.dumps(why_document(found, version, now)).decode())
    else:
        show_why(found, version, now)
    if all(isinstance(one.result, Refusal) for one in found):
        print("certlane: 均不会准予 / nothing of it would be granted", file=sys.stderr)
        raise typer.Exit(1)


def why_document(found: Sequence[Tried], version: Version, now: int) -> dict[str, Any]:
    """What would be granted as JSON members; of one request alone with its steps."""
    rows = [
        {
            "province": one.province,
            "interface": one.interface,
            "type": one.type_code,
            "granted": not isinstance(one.result, Refusal),
            "status": one.result.code if isinstance(one.result, Refusal) else 0,
            "condition": _decided(one),
            "scenario": one.result.scenario,
        }
        for one in found
    ]
    told = [step_document(step) for step in _steps(found[0], version, now)] if len(found) == 1 else []
    return {"version": version.snapshot.version, "rows": rows, "steps": told}


def _decided(one: Tried) -> str:
    return one.result.condition if isinstance(one.result, Refusal) else ""


def _steps(one: Tried, version: Version, now: int) -> list[Any]:
    """The judge's steps of a request that was not made."""
    look = Look(one.case, version.snapshot, one.province, now, full=True)
    return [step for step in steps(_decided(one), look) if step.part == "judge"]


def show_why(found: Sequence[Tried], version: Version, now: int) -> None:
    """A line for each type and province, in it each interface; then what refuses, or of one request its conditions."""
    interfaces = sorted({one.interface for one in found})
    table = Table("类型 / type", "省", *interfaces, box=box.SIMPLE_HEAD)
    cells = {(one.type_code, one.province, one.interface): one.result for one in found}
    for type_code, province in dict.fromkeys((one.type_code, one.province) for one in found):
        marks = [_mark(cells.get((type_code, province, interface))) for interface in interfaces]
        table.add_row(Text(clean(type_code) or "政务服务码"), province, *marks)
    page().print(table)
    refusals = {(one.result.code, one.result.condition) for one in found if isinstance(one.result, Refusal)}
    for code, condition in sorted(refusals):
        words = BY_NAME[condition]
        told = f"✗ {code} {STATUSES[code].message}：{words.chinese} / {words.english} [{condition}]"
        page().print(Text(told))
    if len(found) == 1:
        show_steps(_steps(found[0], version, now), getattr(found[0].result, "code", 0))


def _mark(result: Grant | Refusal | None) -> str:
    return "" if result is None else f"✗ {result.code}" if isinstance(result, Refusal) else "✓"
