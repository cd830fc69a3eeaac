"""What the machine must have: programs, room on the disk."""

from __future__ import annotations

import platform
import shutil
import sys
from typing import TYPE_CHECKING

from deploy.doctor.site import IllError
from deploy.local import kafka, redis
from deploy.local.home import LocalStackError

if TYPE_CHECKING:
    from deploy.doctor.site import Site

_OLDEST_PYTHON = (3, 11)
_LEAST_FREE_BYTES = 2 << 30


def python(_: Site) -> str:
    if sys.version_info < _OLDEST_PYTHON:
        raise IllError(f"Python {platform.python_version()}")
    return f"Python {platform.python_version()}"


def java(_: Site) -> str:
    try:
        return str(kafka.find_java())
    except LocalStackError as error:
        raise IllError("没有 Java 17 或更高版本") from error


def redis_server(_: Site) -> str:
    try:
        return str(redis.find_server())
    except LocalStackError as error:
        raise IllError("没有 redis-server 或 valkey-server 7 或更高版本") from error


def maven(_: Site) -> str:
    """Needed once, to fetch Kafka; what is there need not be fetched."""
    found, fetched = shutil.which("mvn"), kafka.LIBS.is_dir()
    if not found and not fetched:
        raise IllError("没有 mvn，也还没有 Kafka 的程序包")
    return found or "没有 mvn；Kafka 的程序包已在"


def kafka_jars(_: Site) -> str:
    jars = len(list(kafka.LIBS.glob("*.jar")))
    if not jars:
        raise IllError("没有 Kafka 的程序包")
    return f"{jars} 个程序包"


def disk(site: Site) -> str:
    folder = next(one for one in (site.home.path, *site.home.path.parents) if one.exists())
    free = shutil.disk_usage(folder).free
    told = f"可用 {free / (1 << 30):.1f} GiB"
    if free < _LEAST_FREE_BYTES:
        raise IllError(told)
    return told
