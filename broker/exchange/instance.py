"""The life of one gateway instance on the exchange: its epoch, its leases, its readers, its probes, its health."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING

from broker.bus import telemetry
from broker.bus.clock import apart_ms, now_ms
from broker.bus.kafka import KafkaFailure
from broker.bus.lots import Lane
from broker.bus.redis import RedisFailure
from broker.exchange.exchange import Exchange
from broker.exchange.leases import Leases
from broker.exchange.ledger import EpochError
from broker.exchange.replies import ReplyReader
from schemas.lot import CLOCK_TOLERANCE_MS, REQUEST_TYPE
from schemas.regions import PROVINCES
from schemas.topics import LANE_PARTITIONS, reply_topic, request_topic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka import AIOKafkaProducer

    from broker.bus.lots import Packer
    from broker.exchange.flights import Bounds
    from broker.exchange.ledger import Ledger
    from broker.exchange.presence import PresenceReader
    from broker.exchange.replies import ReplyOpener

_TICK_SECONDS = 0.5
_SETTLE_SECONDS = 2.0  # after Redis was emptied: time for every instance to write its in-flight records again
_PROBE_SECONDS = 2.0
_OVERDUE_LOOK_SECONDS = 0.1
_SILENT_SECONDS = 12.0
_DRAIN_SECONDS = 2.0
_UNREACHABLE = "unreachable"


class HomeLostError(Exception):
    """Another instance took our reply partition; the process starts anew with another one."""


class Instance:
    """One instance of a node; `exchange` is what the gateway asks."""

    def __init__(
        self,
        *,
        node: str,
        bootstrap: str,
        name: str,
        ledger: Ledger,
        packer: Packer,
        opener: ReplyOpener,
        kafka: AIOKafkaProducer,
        presence: PresenceReader,
        bounds: Bounds,
    ) -> None:
        self._node, self._ledger, self._packer, self._kafka = node, ledger, packer, kafka
        self._leases = Leases(ledger)
        self._home = -1
        self._lanes: dict[str, Lane] = {}
        self._settled_at = 0.0
        self.whole = False
        self.redis_away = "not asked yet"
        self._probe: asyncio.Task[None] | None = None
        self._unread_since: float | None = None  # when the first probe was acknowledged that has not come back
        self._clock_apart = 0
        self._probe_read = time.monotonic()
        self.exchange = Exchange(
            ledger=ledger,
            lanes=self._current_lanes,
            opener=opener,
            bounds=bounds,
            incarnation=self._leases.incarnation,
            home=lambda: self._home,
            staffed=presence.roll.staffed,
        )
        self._presence = presence
        kit = {"bootstrap": bootstrap, "topic": reply_topic(node), "ledger": ledger, "opener": opener, "kafka": kafka}
        reader = partial(ReplyReader, **kit, taken=self.exchange.taken)
        self._reader = reader(name=f"{name}-home", drained=self._read_home, replaced=self.exchange.replaced)
        self._drainer = reader(name=f"{name}-drain", drained=lambda *_: None, replaced=lambda: None)

    async def run(self) -> None:
        """Live until an error; whoever keeps the process starts it again."""
        async with asyncio.TaskGroup() as tasks:
            keeping = (self._keep, self._probe_often, self._hear)
            for part in (*keeping, self._reader.run, self._drainer.run, self._presence.run):
                tasks.create_task(part())

    async def stop(self) -> None:
        """Nothing new comes: what was handed over is sent, then the leases are given back."""
        with contextlib.suppress(TimeoutError):  # Kafka may be away
            async with asyncio.timeout(_DRAIN_SECONDS):
                await asyncio.gather(*(lane.lots.drain() for lane in self._lanes.values()))
        await self._leases.release()

    def unready(self) -> str:
        """Empty when requests can be taken, else what is away."""
        if self.redis_away:
            return "redis"
        if abs(self._clock_apart) > CLOCK_TOLERANCE_MS:
            return "clock"
        if self._home < 0 or time.monotonic() - self._probe_read > 3 * _PROBE_SECONDS:
            return "kafka"
        return "" if self.whole else "answers"

    def _current_lanes(self) -> Mapping[str, Lane]:
        return self._lanes

    async def _keep(self) -> None:
        while True:
            try:
                await self._check_epoch()
                await self._keep_leases()
                await self.exchange.say_again()
                self.whole = await self._ledger.rebuilt_count() >= LANE_PARTITIONS
                self.redis_away = await self._ledger.away()
            except (*RedisFailure, EpochError) as error:
                if not self.redis_away:
                    telemetry.log.warning("redis is away", part="exchange", error=type(error).__name__)
                self.redis_away = _UNREACHABLE
            telemetry.QUEUE_AGE.set(max((lane.lots.oldest_seconds() for lane in self._lanes.values()), default=0))
            await asyncio.sleep(_TICK_SECONDS)

    async def _check_epoch(self) -> None:
        epoch = await self._ledger.current_epoch(uuid.uuid4().hex)
        if epoch == self._ledger.epoch:
            return
        telemetry.log.info("redis has a new epoch", in_flight=len(self.exchange.flights))
        self.whole = False
        self._settled_at = time.monotonic() + _SETTLE_SECONDS
        self._drainer.hold([])
        await self._keep_home()
        claims = [flight.entry for flight in self.exchange.flights]
        incarnation = self._leases.incarnation
        await self._ledger.rewrite(claims, epoch=epoch, incarnation=incarnation, partition=self._home)
        self._ledger.epoch = epoch  # last: until all of it is done the next tick begins again, and nobody writes

    async def _keep_home(self) -> None:
        place = await self._leases.home(self._home)
        if place is None:
            raise HomeLostError
        if place != self._home:
            self._home = place
            reply_to = f"{reply_topic(self._node)}/{place}"
            self._lanes = {
                province: Lane(
                    topic=request_topic(province),
                    to=province,
                    event_type=REQUEST_TYPE,
                    reply_to=reply_to,
                    packer=self._packer,
                    kafka=self._kafka,
                )
                for province in PROVINCES
            }
            self._reader.hold([place])

    async def _keep_leases(self) -> None:
        await self._keep_home()
        if time.monotonic() >= self._settled_at:
            self._drainer.hold(await self._leases.drains())

    def _read_home(self, partition: int, read_ms: int) -> None:
        if partition == self._home:
            self._probe_read, self._unread_since = time.monotonic(), None
            self.exchange.drained(read_ms)

    async def _probe_often(self) -> None:
        """A probe to each partition we read every two seconds, to our home at once when a deadline has passed."""
        rounds = 0.0
        while True:
            await asyncio.sleep(_OVERDUE_LOOK_SECONDS)
            now = time.monotonic()
            if self.redis_away == _UNREACHABLE:  # nothing can be written, so a probe that is not read says nothing
                self._probe_read, self._unread_since = now, None
                continue
            if self._probe is not None:
                if not self._probe.done():
                    continue
                self._probe.result()
            if self._unread_since is not None and now - self._unread_since > _SILENT_SECONDS:
                raise RuntimeError("probes are acknowledged but do not come back: the reply consumer is stuck")
            everywhere = now - rounds >= _PROBE_SECONDS
            if self._home >= 0 and (everywhere or self.exchange.flights.any_past(now_ms())):
                rounds = now if everywhere else rounds
                self._probe = asyncio.ensure_future(self._probe_once(everywhere=everywhere))

    async def _probe_once(self, *, everywhere: bool) -> None:
        try:
            sent = now_ms()
            appended = await self._reader.probe(self._home)
            self._clock_apart = apart_ms(sent, appended, now_ms())
            if self._unread_since is None:
                self._unread_since = time.monotonic()
            if everywhere:
                await self._drainer.probe_all()
        except KafkaFailure as error:
            telemetry.log.warning("probe failed", error=type(error).__name__)
            if not getattr(error, "retriable", False):  # this producer will never send again
                raise

    async def _hear(self) -> None:
        """Wake those who joined a request of another instance when its answer is written."""
        channel = f"{self._ledger.base}answered"
        while True:
            try:
                async with self._ledger.redis.pubsub() as pushes:
                    await pushes.subscribe(channel)
                    while True:
                        push = await pushes.get_message(ignore_subscribe_messages=True, timeout=_TICK_SECONDS)
                        for event in self.exchange.joined.get(push["data"].decode(), ()) if push else ():
                            event.set()
            except RedisFailure:
                await asyncio.sleep(_TICK_SECONDS)
