"""Our own processes: whether each takes work, which registry it has, and whether its agents' clocks agree with ours."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, NamedTuple

import httpx
import msgspec
from aiokafka import TopicPartition

from broker.bus import kafka
from broker.bus.clock import now_ms
from broker.bus.keys import read_keys
from broker.registry.refusing import FRESH_MS
from deploy.doctor.site import IllError
from deploy.local import processes
from schemas.jose import MALFORMED, JoseError, parse_jws
from schemas.lot import CLOCK_TOLERANCE_MS
from schemas.presence import JWS_TYPE, SILENT_SECONDS, Presence
from schemas.suites import BY_SIGN_ALG, CryptoError
from schemas.topics import PRESENCE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from deploy.doctor.site import Site
    from deploy.local.processes import Part
    from schemas.jose import Jwk

_READ_BACK = 400  # heartbeats: of some tens of agents the last few seconds
_HTTP_SECONDS = 8.0
_decode = msgspec.json.Decoder(Presence).decode


def ready(part: Part) -> Callable[[Site], Awaitable[str]]:
    """The probe of one process: it says of itself that it takes work."""

    async def probe(_: Site) -> str:
        async with httpx.AsyncClient(trust_env=False, timeout=_HTTP_SECONDS) as client:
            if await processes.answers(part, client):
                return "就绪"
            try:
                told = await client.get(part.ready_url)
            except httpx.HTTPError as error:
                raise IllError("没有答复") from error
        away = told.json().get("away", "") if part.command == "gateway" else ""
        raise IllError(f"未就绪（{away}）" if away else "未就绪")

    return probe


async def registry(site: Site) -> str:
    """Every follower and agent has the same version, and knew of late that it is the newest."""
    parts = [one for one in processes.table(site.home, site.ports) if one.command in ("follower", "worker", "gateway")]
    async with httpx.AsyncClient(trust_env=False, timeout=_HTTP_SECONDS) as client:
        texts = await asyncio.gather(*(_metrics(client, one) for one in parts))
    versions = {one.name: _value(text, "certlane_snapshot_version") for one, text in zip(parts, texts, strict=True)}
    ages = {one.name: _value(text, "certlane_snapshot_age_seconds") for one, text in zip(parts, texts, strict=True)}
    newest = max(versions.values())
    faults = [f"{name} 落后（第 {version:.0f} 版）" for name, version in versions.items() if version < newest]
    faults += [f"{name} 已 {age:.0f} 秒未确认" for name, age in ages.items() if age * 1000 > FRESH_MS]
    if not newest:
        faults = ["还没有发布登记"]
    if faults:
        raise IllError("；".join(faults))
    return f"第 {newest:.0f} 版，最久 {max(ages.values()):.0f} 秒前确认"


async def _metrics(client: httpx.AsyncClient, part: Part) -> str:
    try:
        return (await client.get(part.ready_url.replace("readyz", "metrics"))).text
    except httpx.HTTPError as error:
        raise IllError(f"{part.name} 没有答复") from error


def _value(text: str, name: str) -> float:
    """A metric without labels of its own, 0 where it is not told."""
    found = re.search(rf"^{name}(?:\{{[^}}]*\}})? ([0-9.e+-]+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


class _Heard(NamedTuple):
    beat: Presence
    appended_ms: int


async def presence(site: Site) -> str:
    """Each province has an agent that was heard of within three seconds and takes work."""
    heard = await _heard(site)
    now = now_ms()
    counted: dict[str, int] = {}
    faults = []
    for province in processes.PROVINCES:
        agents = [one for one in heard if one.beat.province == province]
        fresh = [one for one in agents if now - one.appended_ms <= SILENT_SECONDS * 1000]
        counted[province] = sum(one.beat.ready for one in fresh)
        if not counted[province]:
            reasons = {one.beat.reason for one in fresh} - {""}
            faults.append(f"{province} {'暂停：' + '、'.join(sorted(reasons)) if reasons else '没有代理'}")
    if faults:
        raise IllError("；".join(faults))
    return "、".join(f"{province} 有 {count} 个代理" for province, count in counted.items())


async def clocks(site: Site) -> str:
    """No agent's clock is apart from Kafka's by more than the exchange bears."""
    apart = {one.beat.province: abs(one.appended_ms - one.beat.clock) for one in await _heard(site)}
    if not apart:
        raise IllError("没有听到任何代理")
    if wrong := [f"{province} 相差 {ms} 毫秒" for province, ms in sorted(apart.items()) if ms > CLOCK_TOLERANCE_MS]:
        raise IllError("；".join(wrong))
    return f"最大相差 {max(apart.values())} 毫秒"


async def _heard(site: Site) -> list[_Heard]:
    """The last heartbeat of each agent among the latest ones, believed by its province's signature."""
    keys = {one: read_keys(site.home.keys / f"{one}.public.json").signing for one in processes.PROVINCES}
    place = TopicPartition(PRESENCE, 0)
    reader = kafka.consumer(site.ports.bootstrap, "certlane-doctor")
    reader.assign([place])
    await reader.start()
    heard: dict[str, _Heard] = {}
    try:
        end = (await reader.end_offsets([place]))[place]
        begin = (await reader.beginning_offsets([place]))[place]
        reader.seek(place, max(begin, end - _READ_BACK))
        while await reader.position(place) < end:
            for record in (await reader.getmany(place, timeout_ms=500)).get(place, []):
                if beat := _verified(record.value or b"", keys):
                    heard[beat.incarnation] = _Heard(beat, record.timestamp)
    finally:
        await reader.stop()
    return list(heard.values())


def _verified(value: bytes, keys: dict[str, Jwk]) -> Presence | None:
    """A heartbeat that its province has signed; anybody may write to the topic."""
    try:
        jws = parse_jws(value)
        beat = _decode(jws.payload)
        key = keys[beat.province]
        if jws.header.typ != JWS_TYPE or (jws.header.kid, jws.header.alg) != (key.kid, key.alg):
            return None
        BY_SIGN_ALG[jws.header.alg].verifier(key)(jws.signature, jws.signing_input)
    except (JoseError, CryptoError, KeyError, *MALFORMED):
        return None
    return beat
