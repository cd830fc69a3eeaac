"""What lies in the home: keys, stores, files, demo.json."""

from __future__ import annotations

import os
import sqlite3
import stat
from typing import TYPE_CHECKING, Any

import orjson

from broker.bus.clock import now_ms
from broker.bus.keys import read_keys
from broker.gateway.tokens import read_claims
from deploy.doctor.site import IllError
from deploy.local import processes
from schemas.statuses import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.doctor.site import Site

_SOON_SECONDS = 3_600


def private_files(site: Site) -> str:
    """Keys, and what holds tokens, are for their owner alone."""
    files = [path for path in site.home.keys.glob("*.json") if not path.name.endswith(".public.json")]
    files += [path for path in (site.home.path / "demo.json", site.home.run / "supervisord.conf") if path.exists()]
    if not files:
        raise IllError("还没有密钥")
    open_to_others = sorted(path.name for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077)
    if open_to_others:
        raise IllError(f"其他用户可读：{'、'.join(open_to_others)}")
    return f"{len(files)} 个文件仅所有者可读"


def stores(site: Site) -> str:
    counted = {province: _certificates(site.home.store / f"{province}.db") for province in processes.PROVINCES}
    return "、".join(f"{province} 有 {count} 件" for province, count in counted.items())


def _certificates(path: Path) -> int:
    if not path.exists():
        raise IllError(f"没有 {path.name}")
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        try:
            (count,) = connection.execute("SELECT count(*) FROM certificate").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise IllError(f"{path.name} 无法读取（{type(error).__name__}）") from error
    return int(count)


def objects(site: Site) -> str:
    """The folder of sealed files on their way."""
    folder = site.home.objects
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise IllError("目录不存在或不可写")
    return f"可写，现有 {sum(1 for _ in folder.iterdir())} 个在途文件"


def demo_tokens(site: Site) -> str:
    """Those of demo.json are signed by the node's own key and have not ended."""
    path = site.home.path / "demo.json"
    if not path.exists():
        raise IllError("没有 demo.json")
    document: dict[str, Any] = orjson.loads(path.read_bytes())
    key = read_keys(site.home.keys / f"{processes.NODE}.public.json").signing
    left = []
    for application in document["applications"]:
        try:
            left.append(read_claims(application["token"], key).exp - now_ms() // 1000)
        except RefusedError as error:
            raise IllError(f"{application['id']} 的令牌不是由本节点签发") from error
    if min(left) <= 0:
        raise IllError("令牌已过期")
    told = f"{len(left)} 个令牌，最早的还有 {min(left) // 60} 分钟"
    if min(left) < _SOON_SECONDS:
        raise IllError(told)
    return told
