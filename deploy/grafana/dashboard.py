"""The Grafana dashboard, made from the table of metrics: `python -m deploy.grafana.dashboard` writes it anew.

What a panel asks for follows from the metric's kind: of a counter its rate, of a gauge its highest value, of a
histogram three quantiles, of a summary the mean. The unit stands in the name, the explanation in the table.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from broker.bus.telemetry import ROWS

if TYPE_CHECKING:
    from broker.bus.families import Row

PATH = Path(__file__).with_name("certlane.json")
_WIDTH, _HEIGHT, _ACROSS = 8, 7, 3  # of a panel; of a grid of 24 columns
_OURS = '{party=~"$party"}'
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_QUANTILES = (0.5, 0.95, 0.99)


class Panel(NamedTuple):
    """One metric of the table, a curve for each combination of these labels, or `stat`: only what is so now."""

    title: str
    metric: str
    by: tuple[str, ...] = ()
    stat: bool = False


SECTIONS: dict[str, tuple[Panel, ...]] = {
    "运行 · Processes": (
        Panel("就绪 · ready", "certlane_ready", ("job", "instance"), stat=True),
        Panel("不可达的部分 · away", "certlane_away", ("instance", "part")),
        Panel("版本 · version", "certlane_build_info", ("job", "version"), stat=True),
    ),
    "流量 · Traffic": (
        Panel("请求 · requests by interface", "certlane_requests_total", ("interface",)),
        Panel("结果 · outcomes", "certlane_requests_total", ("outcome",)),
        Panel("状态码 · statuses", "certlane_statuses_total", ("status",)),
        Panel("时延 · latency", "certlane_request_seconds"),
        Panel("各接口时延 · latency by interface", "certlane_request_seconds", ("interface",)),
        Panel("在途 · in flight", "certlane_in_flight", ("instance",)),
        Panel("拒收 · refused at the door", "certlane_refused_total", ("instance", "reason")),
        Panel("迟到的答复 · late replies", "certlane_late_replies_total", ("cause",)),
        Panel("过期 · expired", "certlane_expired_total", ("job", "stage")),
    ),
    "各省 · Provinces": (
        Panel("就绪代理 · ready agents", "certlane_ready_agents", ("province",), stat=True),
        Panel("各省状态 · parts by province and state", "certlane_parts_total", ("province", "state")),
        Panel("各省平均用时 · mean seconds by province", "certlane_part_seconds", ("province",)),
        Panel("分发结果 · parts by state", "certlane_parts_total", ("state",)),
        Panel("通道积压 · lane lag", "certlane_lane_lag_records", ("party",)),
        Panel("未确认最久 · oldest unacknowledged", "certlane_queue_age_seconds", ("instance",)),
    ),
    "代理 · Agents": (
        Panel("判定 · judged", "certlane_judged_total", ("party", "outcome")),
        Panel("按接口判定 · judged by interface", "certlane_judged_total", ("interface", "outcome")),
        Panel("处理中的批 · lots in work", "certlane_lots_in_work", ("instance",)),
        Panel("各阶段平均用时 · mean seconds by stage", "certlane_stage_seconds", ("stage",)),
        Panel("一批用时 · lot", "certlane_lot_seconds"),
        Panel("批大小 · lot sizes", "certlane_lot_size_items", ("kind",)),
    ),
    "证照库与文件 · Store and files": (
        Panel("查询 · store reads", "certlane_store_reads_total", ("party",)),
        Panel("查询结果 · store answers", "certlane_store_answers_total", ("lookup", "outcome")),
        Panel("不可读 · unusable", "certlane_store_unusable_total", ("party",)),
        Panel("文件下载 · files", "certlane_files_total", ("outcome",)),
        Panel("文件字节 · bytes of files", "certlane_files_sent_bytes_total", ("instance",)),
        Panel("文件封装 · files sealed", "certlane_files_sealed_total", ("party", "outcome")),
    ),
    "登记与隔离 · Registry and quarantine": (
        Panel("登记版本 · snapshot version", "certlane_snapshot_version", ("instance",)),
        Panel("登记时效 · snapshot age", "certlane_snapshot_age_seconds", ("instance",)),
        Panel("拒绝的登记信息 · registry refused", "certlane_registry_refused_total", ("instance", "reason")),
        Panel("隔离 · quarantine", "certlane_quarantined_total", ("topic", "reason")),
        Panel("未声明的标签 · undeclared", "certlane_undeclared_total", ("instance",)),
    ),
}


def dashboard() -> dict[str, Any]:
    """The whole dashboard; the data source and the parties are chosen at its top."""
    return {
        "uid": "certlane",
        "title": "Certlane 证照通道",
        "tags": ["certlane"],
        "timezone": "Asia/Shanghai",
        "schemaVersion": 39,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_DATASOURCE, _PARTIES]},
        "panels": _panels(),
    }


_DATASOURCE = {"name": "datasource", "type": "datasource", "query": "prometheus"}
_PARTIES = {
    "name": "party",
    "label": "机构 · party",
    "type": "query",
    "datasource": _SOURCE,
    "query": {"query": "label_values(certlane_ready, party)", "refId": "party"},
    "refresh": 2,
    "multi": True,
    "includeAll": True,
    "allValue": ".*",
    "current": {"text": ["All"], "value": ["$__all"]},
}


def _panels() -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    top = 0
    for section, panels in SECTIONS.items():
        place = {"x": 0, "y": top, "w": _WIDTH * _ACROSS, "h": 1}
        out.append({"id": len(out) + 1, "type": "row", "title": section, "collapsed": False, "gridPos": place})
        for number, panel in enumerate(panels):
            down, right = divmod(number, _ACROSS)
            place = {"x": right * _WIDTH, "y": top + 1 + down * _HEIGHT, "w": _WIDTH, "h": _HEIGHT}
            out.append({"id": len(out) + 1, **_panel(panel), "gridPos": place})
        top += 1 + -(-len(panels) // _ACROSS) * _HEIGHT
    return out


def _panel(panel: Panel) -> dict[str, Any]:
    row = ROWS[panel.metric]
    return {
        "type": "stat" if panel.stat else "timeseries",
        "title": panel.title,
        "description": row.help,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": _unit(row), "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": _SOURCE, "expr": expr, "legendFormat": legend}
            for number, (expr, legend) in enumerate(_queries(row, panel.by))
        ],
    }


def _queries(row: Row, by: tuple[str, ...]) -> list[tuple[str, str]]:
    """What is asked for, and what each curve is called."""
    legend = " ".join(f"{{{{{label}}}}}" for label in by) or row.name
    grouped = f" by ({', '.join(by)})" if by else ""
    match row.kind:
        case "counter":
            return [(f"sum{grouped} ({_rate(row.name)})", legend)]
        case "gauge":
            return [(f"max{grouped} ({row.name}{_OURS})", legend)]
        case "summary":
            total, count = (f"sum{grouped} ({_rate(row.name + part)})" for part in ("_sum", "_count"))
            return [(f"{total} / {count}", legend)]
        case _:
            buckets = f"sum by ({', '.join(('le', *by))}) ({_rate(row.name + '_bucket')})"
            return [
                (f"histogram_quantile({quantile}, {buckets})", f"p{quantile * 100:.0f}" + (f" {legend}" if by else ""))
                for quantile in _QUANTILES
            ]


def _rate(series: str) -> str:
    return f"rate({series}{_OURS}[$__rate_interval])"


def _unit(row: Row) -> str:
    """Grafana's name of the unit that the metric's name ends with."""
    name = row.name.removesuffix("_total")
    if row.kind == "counter":
        return "Bps" if name.endswith("_bytes") else "ops"
    return "s" if name.endswith("_seconds") else "short"


def text() -> str:
    """As it stands in the file."""
    return json.dumps(dashboard(), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
