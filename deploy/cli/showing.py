"""An answer as tables for a terminal: head, sources, data with what was withheld, and how to go on."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from broker.bus.clock import SHANGHAI
from broker.client import PendingError, RefusedError
from schemas.answers import SearchAnswer, SourceState
from schemas.names import short_label
from schemas.regions import BY_CODE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from broker.client import Answer, ClientError
    from schemas.answers import Source
    from schemas.interfaces import Interface

_STATES = {
    SourceState.ANSWERED: "已答复",
    SourceState.EMPTY: "无此证照",
    SourceState.REFUSED: "拒绝",
    SourceState.LATE: "未及时答复",
    SourceState.UNAVAILABLE: "不可用",
}
_HIT = ("certificateName", "certificateNumber", "issueDept", "issueDate", "certificateStatus", "certificateID")
_PIPED_COLUMNS = 180
_LONG = 96  # of a value; a file's base64 is not for reading


def show_answer(row: Interface, answer: Answer[Any], milliseconds: float, files: Iterable[Path]) -> None:
    """An answer that was granted, in part too."""
    console = page()
    head = {
        "接口": f"{row.key} {row.name}",
        "状态": f"{answer.status} {answer.message}",
        "请求编号": answer.request_id,
        "存证编号": answer.evidence,
        "场景": answer.scenario,
        "用时": f"{milliseconds} 毫秒",
    }
    _show_head(console, head)
    _show_sources(console, answer.sources)
    data = msgspec.to_builtins(answer.data)
    if row.answer is SearchAnswer:
        _show_hits(console, data["total"], data["dataList"])
    else:
        for place, one in enumerate(data["dataList"], 1):
            _show_one(console, f"第 {place} 条，共 {data['total']} 条", one)
    if withheld := data.get("withheld"):
        console.print(f"场景未授权而没有给出：{'、'.join(map(short_label, withheld))}", highlight=False)
    for path in files:
        console.print(f"文件：{path}", highlight=False)
    if not answer.final:
        console.print(f"仍有省份可能补充：凭请求编号查询 GET /v1/requests/{answer.request_id}", highlight=False)
    _how_to_trace(console, answer.request_id)


def show_refusal(error: ClientError, milliseconds: float) -> None:
    """Why there is no answer, and what to do."""
    console = page()
    if isinstance(error, RefusedError):
        head = {
            "状态": f"{error.code} {error.message}",
            "怎么办": error.remedy,
            "HTTP": str(error.http),
            "请求编号": error.request_id,
            "存证编号": error.evidence,
            "场景": error.scenario,
        }
    elif isinstance(error, PendingError):
        look = f"稍后凭请求编号查询 GET /v1/requests/{error.request_id}"
        head = {"状态": "已受理，尚无最终结果", "怎么办": look, "请求编号": error.request_id}
    else:
        head = {
            "状态": f"没有得到答复：{error}",
            "怎么办": "`certlane doctor` 检查各部分",
            "请求编号": error.request_id,
        }
    _show_head(console, head | {"用时": f"{milliseconds} 毫秒"})
    _show_sources(console, getattr(error, "sources", ()))
    _how_to_trace(console, error.request_id if getattr(error, "evidence", "") else "")


def page() -> Console:
    return Console(width=None if Console().is_terminal else _PIPED_COLUMNS)


def _show_head(console: Console, head: Mapping[str, str]) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in head.items():
        if value:
            table.add_row(name, Text(value))
    console.print(table)


def _show_sources(console: Console, sources: Iterable[Source]) -> None:
    table = Table(
        "省份", "结果", "状态", "说明", "毫秒", "存证编号", title="来源", title_justify="left", box=box.SIMPLE_HEAD
    )
    for one in sources:
        table.add_row(
            BY_CODE[one.region_code].name if one.region_code in BY_CODE else one.region_code,
            _STATES[one.state],
            str(one.status),
            Text(one.message),
            "" if one.elapsed_ms is None else str(one.elapsed_ms),
            one.evidence or "",
        )
    if table.row_count:
        console.print(table)


def _show_hits(console: Console, total: int, hits: Sequence[Mapping[str, Any]]) -> None:
    """What a search found, a line each."""
    title = f"共 {total} 条，本页 {len(hits)} 条"
    table = Table(*map(short_label, _HIT), title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for one in hits:
        table.add_row(*(Text(str(one[name])) for name in _HIT))
    console.print(table)


def _show_one(console: Console, title: str, one: Mapping[str, Any]) -> None:
    """One certificate, file, verdict or holder; what is a list in it becomes rows of its own."""
    table = Table("字段", "名称", "值", title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name, value in one.items():
        for inner in value if isinstance(value, tuple) else ():
            if isinstance(inner, str):
                table.add_row(name, short_label(name), Text(inner))
                continue
            told = inner.get("value") or "，".join(text for key, text in inner.items() if text and key != "item")
            table.add_row(inner.get("columnName", name), inner.get("name") or inner.get("item"), Text(told))
        if not isinstance(value, tuple):
            table.add_row(name, short_label(name), Text(_readable(name, value)))
    console.print(table)


def _readable(name: str, value: object) -> str:
    if isinstance(value, int) and name.endswith(("Time", "Expires")):
        return datetime.fromtimestamp(value / 1000, SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")
    text = str(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def _how_to_trace(console: Console, request_id: str) -> None:
    if request_id:
        console.print(f"全程：certlane trace {request_id}", highlight=False)
