"""`certlane trace`: every hop of a request with its time."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime

import orjson
import typer

from broker.bus.clock import SHANGHAI
from broker.bus.kafka import KafkaFailure
from deploy.cli.stack import Home, Json
from deploy.local.home import LocalStackError, home_of
from deploy.tracing import HOPS, Trace
from deploy.tracing import trace as find


def add_to(app: typer.Typer) -> None:
    """Add `trace`."""

    @app.command()
    def trace(request_id: str, home: Home = None, as_json: Json = False) -> None:  # noqa: FBT002
        """Show every hop of a request with its time; exit 1 when nobody knows it."""
        try:
            found = asyncio.run(find(home_of(home), request_id.lower()))
        except KafkaFailure as error:
            raise LocalStackError("Kafka 不可达，无法查询；请先 certlane up") from error
        if as_json:
            print(orjson.dumps([one._asdict() for one in found]).decode())
        for one in () if as_json else found:
            show(one)
        if not found:
            print("certlane: 没有该请求的记录；请核对 requestId（32 位十六进制）", file=sys.stderr)
            raise typer.Exit(1)


def show(one: Trace) -> None:
    print(f"{one.request_id}  状态 {one.status}  省份 {one.province}  {one.scenario}  第 {one.attempt} 次")
    print(f"证据 {one.evidence}（来自{'答复' if one.found_in == 'answer' else '存证明细'}）")
    before = begun = next(iter(sorted(one.hops.values())), 0)
    for hop, at in sorted(one.hops.items(), key=lambda pair: pair[1]):
        clock = datetime.fromtimestamp(at / 1000, SHANGHAI).strftime("%H:%M:%S.%f")[:-3]
        print(f"  {clock}  +{at - before:>4} ms  共 {at - begun:>5} ms  {HOPS.get(hop, hop)}")
        before = at
