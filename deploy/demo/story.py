"""The story that `make demo` plays: requests to four provinces, refusals with their reasons, a repeat, a trace."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import orjson
from rich.console import Console
from rich.table import Table

from broker.bus.clock import iso, now_ms
from deploy.cli.tracing import show
from deploy.demo.document import document_path
from deploy.tracing import trace

if TYPE_CHECKING:
    from deploy.local.home import Home

_SECONDS = 20.0


def play(home: Home, *, as_json: bool) -> int:
    """Play it on the stack of this home; 0 when everything was as expected."""
    document = orjson.loads(document_path(home).read_bytes())
    with httpx.Client(trust_env=False, timeout=_SECONDS) as client:
        rows = [_call(client, document, number, one) for number, one in enumerate(document["requests"])]
        repeat = _repeat(client, document)
    traces = asyncio.run(trace(home, rows[0]["requestId"]))
    if as_json:
        print(orjson.dumps({"requests": rows, "repeat": repeat, "trace": [one._asdict() for one in traces]}).decode())
    else:
        _show(rows)
        print("\n同一 requestId 先后提交给两个网关：", "同一份答复" if repeat["same"] else "答复不一致！")
        print("同一 requestId、不同内容：HTTP", repeat["otherBody"])
        print("\n第一个请求的全程：")
        for one in traces:
            show(one)
    wrong = [row["name"] for row in rows if not row["asExpected"]]
    if wrong or not repeat["same"] or not traces:
        print("与预期不符：", ", ".join(wrong) or "重复提交或追踪")
        return 1
    return 0


def _call(client: httpx.Client, document: dict[str, Any], number: int, one: dict[str, Any]) -> dict[str, Any]:
    gateway = document["gateways"][number % len(document["gateways"])]
    request_id = uuid.uuid4().hex
    begun = time.monotonic()
    answer = _post(client, gateway, document, one, request_id)
    body = answer.json()
    head = body["head"]
    return {
        "name": one["name"],
        "requestId": request_id,
        "interface": one["interface"],
        "http": answer.status_code,
        "status": head["status"],
        "message": head["message"],
        "province": head.get("evidence", "")[:2],
        "milliseconds": round((time.monotonic() - begun) * 1000, 1),
        "evidence": head.get("evidence", ""),
        "at": iso(now_ms()),
        "asExpected": {"http": answer.status_code, "status": head["status"]} == one["expect"],
    }


def _post(
    client: httpx.Client, gateway: str, document: dict[str, Any], one: dict[str, Any], request_id: str
) -> httpx.Response:
    body = {"head": one["body"]["head"] | {"requestId": request_id}, "data": one["body"]["data"]}
    headers = {"Authorization": f"Bearer {one.get('token', document['token'])}", "Prefer": "wait=15"}
    return client.post(gateway + one["path"], json=body, headers=headers)


def _repeat(client: httpx.Client, document: dict[str, Any]) -> dict[str, Any]:
    """The same request at both gateways, then another one under its id."""
    first, other = document["requests"][0], document["requests"][1]
    request_id = uuid.uuid4().hex
    answers = [_post(client, gateway, document, first, request_id).json() for gateway in document["gateways"]]
    same = answers[0]["data"] == answers[1]["data"] and answers[0]["head"]["evidence"] == answers[1]["head"]["evidence"]
    return {"same": same, "otherBody": _post(client, document["gateways"][0], document, other, request_id).status_code}


def _show(rows: list[dict[str, Any]]) -> None:
    table = Table(title="Certlane 证照通道：基于证照标识获取证照信息（I4）")
    for name in ("请求", "接口", "省份", "状态", "说明", "毫秒", "证据编号"):
        table.add_column(name, overflow="fold", justify="right" if name in ("状态", "毫秒") else "left")
    for row in rows:
        told = row["evidence"] or "（网关已答复，未到省级）"
        table.add_row(
            row["name"],
            row["interface"],
            row["province"],
            str(row["status"]),
            row["message"],
            str(row["milliseconds"]),
            told,
        )
    Console(width=None if Console().is_terminal else 150).print(table)
