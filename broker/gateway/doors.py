"""What a caller is told at the door, before anything is produced: too fast, or something is away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.bus import telemetry
from broker.gateway.answers import Problem
from schemas import statuses

if TYPE_CHECKING:
    from broker.exchange.errors import UnavailableError
    from schemas.registry import Application


def rate_headers(application: Application, left: int) -> dict[str, str]:
    """What the application may still ask in this second (draft-ietf-httpapi-ratelimit-headers-10)."""
    return {
        "RateLimit-Policy": f'"application";q={application.per_second};w=1',
        "RateLimit": f'"application";r={left};t=1',
    }


def too_fast(application: Application, request_id: str = "") -> Problem:
    telemetry.REFUSED.labels("rate").inc()
    headers = {"Retry-After": "1", **rate_headers(application, 0)}
    return Problem(429, statuses.RATE_LIMITED, request_id=request_id, headers=headers)


_PARTS = {
    "redis": "Redis 暂不可达",
    "kafka": "Kafka 暂不可达",
    "answers": "正在重建答复记录",
    "registry": "登记信息已过期",
    "lane": "在途请求过多",
    "agents": "该省暂无可用的代理",
    "clock": "时钟偏差过大",
}


def unavailable(error: UnavailableError, request_id: str) -> Problem:
    telemetry.REFUSED.labels(error.part).inc()
    remedy = "未提交，请稍后重试" if error.known else "是否已提交未知，请使用同一 requestId 重试"
    return Problem(
        503,
        statuses.UNREACHABLE,
        f"{_PARTS.get(error.part, error.part)}；{remedy}",
        request_id=request_id,
        headers={"Retry-After": str(error.retry_after)},
    )
