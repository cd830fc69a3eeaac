"""`certlane explain`: a recorded judgement judged again by the version it cites, step by step, in words."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import orjson
import typer
from rich import box
from rich.table import Table
from rich.text import Text

from broker.bus.kafka import KafkaFailure
from deploy.cli.showing import page
from deploy.cli.stack import Home, Json
from deploy.explaining import Explained, explain_many, place_of
from deploy.local.home import LocalStackError, home_of
from schemas.catalogue import Mask
from schemas.interfaces import INTERFACES
from schemas.regions import BY_PROVINCE, PROVINCES
from schemas.statuses import STATUSES
from workers.fields import MASKS
from workers.judge import Grant, Refusal
from workers.replaying import released
from workers.steps import State, Step
from workers.wording import clock

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence

    from deploy.details import Progress
    from deploy.local import home as local
    from schemas.evidence import Detail
    from schemas.sharing import Head

Provinces = Annotated[list[str] | None, typer.Option("--province", help="this province alone; may be repeated")]
T = TypeVar("T")
_MARKS = {
    State.PASSED: ("✓", ""),
    State.DECIDED: ("✗", "bold red"),
    State.NOT_REACHED: ("·", "dim"),
    State.ASIDE: ("–", "dim"),
}
_PARTS = {"before": "受理 / opening", "judge": "判定 / judge", "after": "其后 / after"}
_TOLD_OF_HEAD = ("sceneCode", "orgName", "orgCode", "username", "itemName", "itemCode", "businessCode", "useFor")


def add_to(app: typer.Typer) -> None:
    """Add `explain`."""

    @app.command()
    def explain(
        request_id: str,
        province: Provinces = None,
        full: Annotated[bool, typer.Option("--full", help="show personal data unmasked")] = False,  # noqa: FBT002
        home: Home = None,
        as_json: Json = False,  # noqa: FBT002
    ) -> None:
        """Judge a recorded request again, step by step; exit 1 when nobody knows it or it is judged otherwise."""
        asked = provinces_of(province)
        found = reachable(_explained(home_of(home), request_id.lower(), asked, full=full))
        if as_json:
            print(orjson.dumps([document(one, full=full) for one in found]).decode())
        for one in () if as_json else found:
            show(one, full=full)
        if not found:
            print(
                "certlane: 没有该请求的存证明细，或没有该省的密钥；请核对 requestId（32 位十六进制）", file=sys.stderr
            )
        for one in found:
            if not one.equal:
                told = one.unknown or "；".join(f"{d.what}: {d.recorded!r} ≠ {d.judged!r}" for d in _differences(one))
                print(
                    f"certlane: {clean(one.recorded.evidence)} 重现的判定与记录不一致 / differs: {clean(told)}",
                    file=sys.stderr,
                )
        raise typer.Exit(0 if found and all(one.equal for one in found) else 1)


async def _explained(home: local.Home, request_id: str, provinces: Sequence[str], *, full: bool) -> list[Explained]:
    place = place_of(home, provinces)
    async with aclosing(explain_many(place, {request_id}, full=full)) as found:
        return [one async for one in found]


def provinces_of(named: Sequence[str] | None) -> tuple[str, ...]:
    """The provinces that are meant; raises typer.BadParameter."""
    if strange := set(named or ()) - set(PROVINCES):
        raise typer.BadParameter(f"there is no province {', '.join(sorted(strange))}; there are {', '.join(PROVINCES)}")
    return tuple(named or PROVINCES)


def reachable(reading: Coroutine[None, None, T]) -> T:
    """What this coroutine gives; raises LocalStackError when Kafka is away."""
    try:
        return asyncio.run(reading)
    except KafkaFailure as error:
        raise LocalStackError("Kafka 不可达，无法查询；请先 certlane up") from error


def say(progress: Progress) -> None:
    """How far the details of a province are read, on a terminal."""
    if sys.stderr.isatty():
        end = "\n" if progress.read >= progress.of else ""
        print(f"\r{progress.province}: {progress.read} / {progress.of}", end=end, file=sys.stderr, flush=True)


def clean(text: str) -> str:
    """A text for a terminal: what is not printable is shown as a mark, so that it does nothing."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def document(one: Explained, *, full: bool = False) -> dict[str, Any]:
    """One explanation as JSON members; times in unix ms."""
    detail, replay = one.recorded.detail, one.replay
    told: dict[str, Any] = {
        "requestId": one.recorded.request_id,
        "province": one.recorded.province,
        "evidence": one.recorded.evidence,
        "attempt": detail.attempt,
        "node": detail.node,
        "registry": detail.registry,
        "judgedAt": detail.judged,
        "equal": one.equal,
        "recorded": {"status": detail.status, "condition": detail.condition, "scenario": detail.scenario},
        "after": {
            "taken": detail.taken,
            "uses": detail.uses,
            "fields": released(detail),
            "holder": detail.holder,
            "hops": detail.hops,
        },
    }
    if replay is None:
        return told | {"unknown": one.unknown}
    item = replay.case.item
    return told | {
        "interface": item.interface,
        "application": item.application,
        "request": _head(item.head, full=full),
        "judged": _judged(replay.judged),
        "differences": [each._asdict() for each in replay.differences],
        "steps": [step_document(step) for step in one.steps],
    }


def step_document(step: Step) -> dict[str, Any]:
    return {**step._asdict(), "state": step.state.value}


def _judged(judged: Grant | Refusal | None) -> dict[str, Any] | None:
    if judged is None:
        return None
    if isinstance(judged, Refusal):
        return {"granted": False, "status": judged.code, **judged._asdict()}
    fields = {code: sorted(granted.granted) for code, granted in judged.types.items()}
    return {"granted": True, "status": 0, "condition": "", "scenario": judged.scenario, "types": fields}


def _head(head: Head, *, full: bool) -> dict[str, str]:
    told: dict[str, str] = {name: value for name, value in msgspec.to_builtins(head).items() if name in _TOLD_OF_HEAD}
    if "username" in told and not full:
        told["username"] = MASKS[Mask.NAME](told["username"])
    return told


def _differences(one: Explained) -> Sequence[Any]:
    return one.replay.differences if one.replay else ()


def show(one: Explained, *, full: bool = False) -> None:
    """One explanation as tables: what was asked, each condition, what came after."""
    detail, replay, console = one.recorded.detail, one.replay, page()
    province = BY_PROVINCE[one.recorded.province].name
    lines = {
        "请求 / request": f"{one.recorded.request_id}  {province}  第 {detail.attempt} 次",
        "证据 / evidence": one.recorded.evidence,
        "依据 / by": _by(detail),
        "记录 / recorded": _outcome(detail.status, detail.condition, detail.scenario),
    }
    if replay is None:
        lines["重现 / judged again"] = f"不能重现 / not possible：{one.unknown}"
    else:
        row = INTERFACES.get(replay.case.item.interface)
        lines["接口 / interface"] = f"{row.key} {row.name}" if row else replay.case.item.interface
        lines["应用 / application"] = f"{replay.case.item.application}（{detail.node}）"
        lines["报文 / head"] = "  ".join(_head(replay.case.item.head, full=full).values())
        lines["重现 / judged again"] = _again(replay.judged) + ("，一致 / same" if one.equal else "，不一致 / differs")
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in lines.items():
        table.add_row(name, Text(clean(value)))
    console.print(table)
    show_steps(one.steps, detail.status)
    if fetched := detail.hops.get("fetched"):
        console.print(Text(f"取证 / fetched：{moment(fetched)}"))
    if detail.taken:
        console.print(Text(clean(f"效果 / effects：{moment(detail.taken)} {'、'.join(detail.uses)}")))
    if not detail.status:
        console.print(Text(clean(f"给出 / released：{'、'.join(released(detail))}")))


def show_steps(steps: Iterable[Step], code: int = 0) -> None:
    """Each condition with its mark: ✓ passed, ✗ decided (with `code`), · not reached, – does not apply."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("", "条件", "condition", "请求 / asked", "登记簿 / registry says"):
        table.add_column(name, overflow="fold")
    part = ""
    for step in steps:
        if step.part != part:
            part = step.part
            table.add_row("", Text(_PARTS[part], style="bold"))
        mark, style = _MARKS[step.state]
        told = [step.chinese, step.english, step.asked or (str(code) if step.state is State.DECIDED else ""), step.says]
        table.add_row(mark, *(Text(clean(one)) for one in told), style=style)
    page().print(table)


def _by(detail: Detail) -> str:
    if not detail.registry:
        return "未用到登记簿 / before any version was asked"
    return f"登记簿第 {detail.registry} 版 / registry version {detail.registry}，{moment(detail.judged)}"


def _outcome(status: int, condition: str, scenario: str) -> str:
    message = STATUSES[status].message if status in STATUSES else "?"
    return f"{status} {message} {condition and f'[{condition}]'} {scenario}"


def _again(judged: Grant | Refusal | None) -> str:
    if judged is None:
        return "未进入判定 / the judge was not asked"
    if isinstance(judged, Refusal):
        return " ".join((_outcome(judged.code, judged.condition, judged.scenario).strip(), judged.detail)).strip()
    return f"准予 / granted {judged.scenario}"


def moment(ms: int) -> str:
    """A time in Shanghai; "—" when there is none."""
    return clock(ms) if ms else "—"
