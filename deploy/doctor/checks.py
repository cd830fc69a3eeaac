"""The checks of `certlane doctor`, one table: name, probe, remedy; all at once, each with its own time."""

from __future__ import annotations

import asyncio
import inspect
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from deploy.doctor import folders, machine, parts, services
from deploy.doctor.site import IllError, Site, look_at
from deploy.local import processes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from deploy.local.home import Home

SECONDS = 20.0
_UP = "certlane up"


class State(StrEnum):
    WELL = "well"
    ILL = "ill"
    SKIPPED = "skipped"


class Check(NamedTuple):
    """One thing to look at; `probe` tells what it found or raises IllError, `remedy` what to do about it.

    `running`: only a stack that is up can be asked.
    """

    name: str
    probe: Callable[[Site], str | Awaitable[str]]
    remedy: str
    running: bool = False


class Finding(NamedTuple):
    """What came of a check; the remedy only where there is something to mend."""

    name: str
    state: State
    told: str
    remedy: str


def _is_up(site: Site) -> str:
    if not site.up:
        raise IllError("没有正在运行的环境")
    return str(site.home.path)


CHECKS = (
    Check("Python", machine.python, "安装 Python 3.11 或更高版本"),
    Check("Java", machine.java, "安装 Java 17，或由 make up 装入 .venv"),
    Check("Redis 程序", machine.redis_server, "安装 redis-server 7，或由 make up 装入 .venv"),
    Check("Maven", machine.maven, "安装 mvn；make up 用它取得 Kafka"),
    Check("Kafka 程序包", machine.kafka_jars, "make up 会取得"),
    Check("磁盘空间", machine.disk, "至少留出 2 GiB"),
    Check("本机环境", _is_up, f"{_UP} 启动"),
    Check("进程", services.supervisor, "certlane start NAME；原因见 log/NAME.log", running=True),
    Check("端口", services.ports, f"certlane status 查看；certlane down 后 {_UP}", running=True),
    Check("Kafka", services.kafka_answers, "certlane start kafka；原因见 log/kafka.log", running=True),
    Check("主题", services.topics, f"certlane down 后 {_UP} 会补建缺少的主题", running=True),
    Check("Redis", services.redis_answers, "certlane start redis；时钟不一致时校准系统时钟", running=True),
    Check("Redis 设置", services.redis_settings, f"certlane down 后 {_UP} 会重写 redis.conf", running=True),
    Check("登记版本", parts.registry, "certlane start follower-NN；未发布时 certlane registry apply", running=True),
    Check("各省代理", parts.presence, "certlane start worker-NN；原因见 log/worker-NN.log", running=True),
    Check("时钟", parts.clocks, "校准各机器的系统时钟（NTP）", running=True),
    Check("隔离主题", services.quarantine, "原因在记录的 certlane_reason 头中；查明发送方", running=True),
    Check("密钥文件", folders.private_files, f"chmod 600；还没有密钥时 {_UP}"),
    Check("证照库", folders.stores, f"{_UP} 会重建演示库"),
    Check("文件目录", folders.objects, f"{_UP} 会建立；检查目录权限"),
    Check("demo.json 的令牌", folders.demo_tokens, f"{_UP} 会重新写入（环境在运行时也可以）"),
)


def checks_of(site: Site) -> tuple[Check, ...]:
    """The table, with one row for each of the stack's own processes."""
    if site.listening is None:
        return CHECKS
    own = (
        Check(one.name, parts.ready(one), f"certlane start {one.name}；原因见 log/{one.name}.log", running=True)
        for one in processes.table(site.home, site.listening)
    )
    return (*CHECKS, *own)


async def examine(home: Home) -> list[Finding]:
    """Every check of this home, in the order of the table."""
    site = await asyncio.to_thread(look_at, home)
    return list(await asyncio.gather(*(_finding(check, site) for check in checks_of(site))))


async def _finding(check: Check, site: Site, seconds: float = SECONDS) -> Finding:
    if check.running and not site.up:
        return Finding(check.name, State.SKIPPED, "环境没有运行，未检查", "")
    try:
        async with asyncio.timeout(seconds):
            return Finding(check.name, State.WELL, await _told(check, site), "")
    except IllError as error:
        told = str(error)
    except TimeoutError:
        told = f"{seconds:.0f} 秒内没有答复"
    except Exception as error:  # noqa: BLE001  # whatever ails a part is a finding, and the others are still looked at
        told = f"无法检查（{type(error).__name__}）"
    return Finding(check.name, State.ILL, told, check.remedy)


async def _told(check: Check, site: Site) -> str:
    told = await asyncio.to_thread(check.probe, site)
    return await told if inspect.isawaitable(told) else told
