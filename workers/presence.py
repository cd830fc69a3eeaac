"""Whether this agent may take work, said on the presence topic each second; and the gate that pauses its lane."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING

import msgspec

from broker.bus import telemetry
from broker.bus.clock import apart_ms, now_ms
from broker.bus.kafka import KafkaFailure
from broker.bus.redis import RedisFailure
from schemas.lot import CLOCK_TOLERANCE_MS
from schemas.presence import JWS_TYPE, PERIOD_SECONDS, Presence
from schemas.suites import SUITES
from schemas.topics import PRESENCE
from schemas.wire import sign_compact

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer
    from redis.asyncio import Redis

    from broker.bus.keys import KeySigner
    from broker.registry.reader import RegistryReader
    from workers.rebuilding import Rebuilder

_LEAVE_SECONDS = 1.0
_KAFKA_SECONDS = 2.0  # a heartbeat not acknowledged within it: Kafka is away, evidence cannot be written


class PresenceLoop:
    """Opens and closes the gate: registry fresh, Redis there and whole, Kafka writable, clocks together."""

    def __init__(
        self,
        *,
        province: str,
        signer: KeySigner,
        kafka: AIOKafkaProducer,
        redis: Redis,
        registry: RegistryReader,
        rebuilder: Rebuilder,
        gate: asyncio.Event,
    ) -> None:
        self._province, self._signer, self._kafka = province, signer, kafka
        self._redis, self._registry, self._rebuilder, self._gate = redis, registry, rebuilder, gate
        self._incarnation = uuid.uuid4().hex
        self._beat: asyncio.Task[None] | None = None
        self._appended_apart_ms = 0
        self._leaving = False

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            reason = await self._reason()
            self._open(reason)
            await self._say(reason)
            await asyncio.sleep(PERIOD_SECONDS)

    async def leave(self) -> None:
        """Say that this agent is going, so that nobody waits for it; Kafka may be away."""
        self._leaving = True
        with contextlib.suppress(*KafkaFailure, TimeoutError):
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._send("")

    def _open(self, reason: str) -> None:
        if (not reason) != self._gate.is_set():
            telemetry.log.info("lane paused" if reason else "lane open", reason=reason)
        if reason:
            self._gate.clear()
        else:
            self._gate.set()
        telemetry.tell_ready(reason)

    async def _reason(self) -> str:
        """Empty when ready, else the first thing that is wrong."""
        try:
            seconds, micros = await self._redis.time()
        except RedisFailure:
            return "redis"
        if abs(seconds * 1000 + micros // 1000 - now_ms()) > CLOCK_TOLERANCE_MS:
            return "clock"
        if self._beat is not None and not self._beat.done():
            return "kafka"
        if abs(self._appended_apart_ms) > CLOCK_TOLERANCE_MS:
            return "clock"
        if not self._registry.fresh(now_ms()):
            return "registry"
        if not self._rebuilder.standing:
            return "rebuilding"
        return ""

    async def _say(self, reason: str) -> None:
        """Send a heartbeat unless the last one is still on its way; wait a little for its acknowledgement."""
        beat = self._beat
        if beat is None or beat.done():
            beat = self._beat = asyncio.ensure_future(self._send(reason))
        await asyncio.wait([beat], timeout=_KAFKA_SECONDS)
        if beat.done():
            beat.result()

    async def _send(self, reason: str) -> None:
        snapshot = self._registry.snapshot
        reason = "stopping" if self._leaving else reason  # also in the beats that follow, until the process ends
        sent = now_ms()
        beat = Presence(
            province=self._province,
            incarnation=self._incarnation,
            ready=not reason,
            reason=reason,
            snapshot_version=snapshot.version if snapshot else 0,
            suites=tuple(suite.name for suite in SUITES),
            clock=sent,
        )
        jws = sign_compact(self._signer, msgspec.json.encode(beat), JWS_TYPE)
        told = await self._kafka.send_and_wait(PRESENCE, jws, key=self._province.encode(), partition=0)
        self._appended_apart_ms = apart_ms(sent, told.timestamp, now_ms())
