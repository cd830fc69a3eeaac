"""`.certlane/demo.json`: what a newcomer, and any check from outside, needs to know of a running stack."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from broker.bus.clock import now_ms
from broker.bus.keys import KeyFile, KeySigner, read_keys
from broker.gateway.tokens import issue
from deploy.demo.requests import DemoRequest, demo_requests, sdk_items
from deploy.local import ports, processes
from schemas.interfaces import INTERFACES
from schemas.regions import PROVINCES
from schemas.topics import reply_topic, request_topic

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.local.home import Home

_DAY_SECONDS = 86_400
_PER_SECOND = {  # as in registry/applications.yaml
    "yct-enterprise": 5_000,
    "yct-realestate": 2_000,
    "yct-newborn": 2_000,
    "yct-limited": 5,
    "yct-national": 500,
}
SDK_NODE, SDK_APPLICATION = "31-sdk", "sdk-enterprise"


def document_path(home: Home) -> Path:
    return home.path / "demo.json"


async def write_demo_document(home: Home) -> None:
    """Write the document anew; its tokens live 24 hours."""
    listening = ports.remembered(home)
    node = read_keys(home.keys / f"{processes.NODE}.json")
    tokens = {application: _token(node, application) for application in _PER_SECOND}
    gateways = [f"http://127.0.0.1:{listening[name]}" for name in ("gateway-1", "gateway-2")]
    metrics = {name: f"http://127.0.0.1:{listening[name]}/metrics" for name in processes.LISTENERS if name in _SCRAPED}
    body = {
        "gateways": gateways,
        "kafka": listening.bootstrap,
        "token": tokens["yct-enterprise"],
        "applications": [
            {"id": name, "token": tokens[name], "perSecond": per_second} for name, per_second in _PER_SECOND.items()
        ],
        "metrics": metrics,
        "requests": [_request(one, tokens) for one in demo_requests(home)],
        "node": _node(home),
    }
    path = document_path(home)
    fresh = path.with_suffix(".tmp")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # it holds tokens and a node's keys
    with os.fdopen(handle, "wb") as file:
        file.write(orjson.dumps(body, option=orjson.OPT_INDENT_2))
    fresh.replace(path)


_SCRAPED = frozenset(
    ("gateway-1", "gateway-2", "registrar", *(f"{kind}-{p}" for kind in ("worker", "follower") for p in PROVINCES))
)


def _token(node: KeyFile, application: str) -> str:
    now = now_ms() // 1000
    return issue(KeySigner(node.signing), node=node.party, application=application, now=now, seconds=_DAY_SECONDS)


def _request(one: DemoRequest, tokens: dict[str, str]) -> dict[str, Any]:
    row = INTERFACES[one.interface]
    out: dict[str, Any] = {"name": one.name, "interface": one.interface, "path": row.path, "body": one.body}
    if one.token:
        out["token"] = tokens.get(one.token, one.token)
    return out | one.more | {"expect": {"http": one.http, "status": one.status}}


def _node(home: Home) -> dict[str, Any]:
    keys = read_keys(home.keys / f"{SDK_NODE}.json")
    provinces = {}
    for province in PROVINCES:
        public = read_keys(home.keys / f"{province}.public.json")
        provinces[province] = {
            "topic": request_topic(province),
            "signingKey": msgspec.to_builtins(public.signing),
            "sealingKey": msgspec.to_builtins(public.sealing),
        }
    return {
        "id": SDK_NODE,
        "application": SDK_APPLICATION,
        "signingKey": msgspec.to_builtins(keys.signing),
        "sealingKey": msgspec.to_builtins(keys.sealing),
        "replyTopic": reply_topic(SDK_NODE),
        "provinces": provinces,
        "items": sdk_items(home, SDK_APPLICATION),
    }
