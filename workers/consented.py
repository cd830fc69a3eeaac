"""Whether a holder's consent allows what is asked (DOMAIN §8.4 step 8, §8.5): pure; signature and seal were checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.sharing import DataByHolderRequest, FileByHolderRequest, SearchRequest

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from broker.registry.compiled import CompiledConsent
    from schemas.consents import OpenedConsent
    from schemas.items import RequestItem
    from schemas.sharing import Asked

BY_HOLDER = (SearchRequest, FileByHolderRequest, DataByHolderRequest)
CLOCKS_MS = 2_000  # by so much an issuer's clock may be ahead of ours
WRONG = {
    "": "请填写 head.authCode",
    "form": "head.authCode 无法读取",
    "signature": "授权的签名不正确或签发方未登记",
    "not for us": "授权不适用于本省",
    "agent": "授权方式与代办人不一致",
}


def unfit(
    opened: OpenedConsent, rule: CompiledConsent, node: str, item: RequestItem, data: Asked, *, now_ms: int
) -> str:
    """Why the consent is not for this scenario, case, requester, way or holder, in words for them; "" when it is."""
    claims, head = opened.claims, item.head
    if claims.scene != head.scene_code:
        return "授权不属于该场景"
    if claims.case not in ("", head.business_code):
        return "授权不属于该办件（head.businessCode）"
    if claims.node != node or claims.application != item.application or claims.org != head.org_code:
        return "授权不是给该机构与应用的"
    if claims.mode not in rule.modes:
        return "该场景不接受此种授权方式"
    if claims.level < rule.level:
        return "授权的实名等级不足"
    if claims.iat > now_ms + CLOCKS_MS:
        return "授权的签发时间在将来"
    if isinstance(data, BY_HOLDER) and (data.holder_code, data.holder_type_code) != opened[1:3]:
        return "授权不是该持证主体给的"
    return ""


def ended(opened: OpenedConsent, rule: CompiledConsent, withdrawn: Container[str], now_ms: int) -> str:
    """How the consent has ended, in words; "" while it holds: until its end and no longer than the scenario allows."""
    claims = opened.claims
    if now_ms >= min(claims.exp, claims.iat + rule.life_ms):
        return "授权已过期"
    if claims.name in withdrawn:
        return "持证主体已撤销授权"
    return ""


def uses(opened: OpenedConsent | None, rule: CompiledConsent, interface: str, types: Iterable[str]) -> tuple[str, ...]:
    """What of a one-time consent is used up: once for each interface and type."""
    if opened is None or not (rule.once or opened.claims.once):
        return ()
    name = opened.claims.name
    return tuple([f"{name}:{interface}:{type_code}" for type_code in sorted(types)])
