"""The story on a terminal: its table, and where the time went."""

from __future__ import annotations

import statistics
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.demo.story import Row
    from deploy.tracing import Trace

_WIDTH = 48
_COLUMNS = ("步骤", "接口", "省份", "状态", "说明", "毫秒", "证据编号")
_RIGHT = ("状态", "毫秒")
# hop at which a phase ends -> what was done until then, in the order of the way
_PHASES = {
    "lane": "网关收到，写入账本，进入 Kafka 请求通道",
    "opened": "省级代理取到，拆封验签",
    "judged": "授权判定，防重标记",
    "fetched": "证照库查询",
    "replied": "存证落盘，答复进入 Kafka",
    "collected": "网关验签，写入答复",
}


class Phase(NamedTuple):
    """One part of the way: its median and its longest time over all traces, in milliseconds."""

    name: str
    median_ms: float
    longest_ms: int


def phases(traces: Sequence[Trace]) -> list[Phase]:
    """What each part of the way took; a hop that a request did not make belongs to the next one."""
    took: dict[str, list[int]] = {hop: [] for hop in _PHASES}
    for one in traces:
        made = sorted(((at, hop) for hop, at in one.hops.items() if hop == "received" or hop in _PHASES))
        for (before, _), (at, hop) in pairwise(made):
            took[hop].append(at - before)
    return [Phase(_PHASES[hop], statistics.median(ms), max(ms)) for hop, ms in took.items() if ms]


def show_story(rows: Sequence[Row]) -> None:
    table = Table(title="新生儿出生一件事（演示）：上海窗口，母亲曾居安徽")
    for name in _COLUMNS:
        table.add_column(name, overflow="fold", justify="right" if name in _RIGHT else "left")
    for row in rows:
        table.add_row(
            row.name,
            row.interface,
            "\n".join(row.provinces),
            str(row.status),
            row.message,
            str(row.milliseconds),
            row.evidence or "（网关已答复，未到省级）",
        )
    Console(width=None if Console().is_terminal else 150).print(table)


def show_phases(traces: Sequence[Trace]) -> None:
    """A bar for each part of the way, as long as its share of the median time."""
    told = phases(traces)
    whole = sum(one.median_ms for one in told) or 1
    print(f"时间花在哪里（{len(traces)} 份省级答复，各段的中位数，合计 {whole:.0f} 毫秒）：")
    for one in told:
        bar = "█" * round(one.median_ms / whole * _WIDTH)
        print(f"  {one.median_ms:>6.1f} ms  最长 {one.longest_ms:>4} ms  {bar:<{_WIDTH}}  {one.name}")
