"""Which provinces have an agent that takes work: signed heartbeats, each good for three seconds (DESIGN §4)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from aiokafka import TopicPartition

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.kafka import consumer
from schemas.jose import MALFORMED, JoseError, parse_jws
from schemas.lot import CLOCK_TOLERANCE_MS, LotError
from schemas.presence import JWS_TYPE, SILENT_SECONDS, Presence
from schemas.regions import PROVINCES
from schemas.suites import CryptoError
from schemas.topics import PRESENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import AIOKafkaConsumer

    from broker.registry.snapshot import Snapshot

_POLL_MS = 200
_FRESH_MS = 1_000
_REMEMBERED_SECONDS = 60.0  # far longer than a beat can be replayed
_MAX_BEAT_BYTES = 8_192
_decode = msgspec.json.Decoder(Presence).decode


class _Beat(NamedTuple):
    heard: float
    ready: bool
    clock: int


class Roll:
    """Who has been heard of, pure: `now` is a monotonic time in seconds.

    Silence is counted up to `read`, when the topic was last read to its end, so that a reader that was held up does
    not take its own delay for theirs; and only once it has listened for as long as an agent may be silent.
    """

    def __init__(self) -> None:
        self._beats: dict[str, dict[str, _Beat]] = {}
        self._since: float | None = None
        self._read = 0.0

    def hear(self, beat: Presence, now: float) -> None:
        """Take a beat that is newer than its agent's last one: an older one is a replay, or came late."""
        agents = self._beats.setdefault(beat.province, {})
        last = agents.get(beat.incarnation)
        if last is None or beat.clock > last.clock:
            agents[beat.incarnation] = _Beat(now, beat.ready, beat.clock)
        for name in [name for name, one in agents.items() if now - one.heard > _REMEMBERED_SECONDS]:
            del agents[name]

    def read_to_end(self, now: float) -> None:
        self._since = now if self._since is None else self._since
        self._read = now

    def ready(self, province: str) -> int:
        """How many agents of this province take work."""
        agents = self._beats.get(province, {}).values()
        return sum(one.ready and self._read - one.heard <= SILENT_SECONDS for one in agents)

    def staffed(self, province: str) -> bool:
        """Whether a request to this province finds somebody, as far as that can be known."""
        if self._since is None or self._read - self._since < SILENT_SECONDS:
            return not self._beats.get(province) or self.ready(province) > 0
        return self.ready(province) > 0


async def _at_end(reader: AIOKafkaConsumer, tp: TopicPartition) -> bool:
    """Whether a fetch without error has said within the last second that there is no more: an empty poll says nothing.

    While Kafka is away, or has no leader for the topic, nobody's silence is counted.
    """
    polled = reader.last_poll_timestamp(tp)
    if polled is None or now_ms() - polled > _FRESH_MS:
        return False
    return bool(await reader.position(tp) >= (reader.highwater(tp) or 0))


class PresenceReader:
    """Keeps the roll from the presence topic; believes a beat only by its province's signature."""

    def __init__(self, *, bootstrap: str, name: str, snapshot: Callable[[], Snapshot]) -> None:
        self._bootstrap, self._name, self._snapshot = bootstrap, name, snapshot
        self.roll = Roll()

    async def run(self) -> None:
        """Read for ever."""
        reader = consumer(self._bootstrap, self._name)
        await reader.start()
        try:
            tp = TopicPartition(PRESENCE, 0)
            reader.assign([tp])
            await reader.seek_to_end(tp)
            while True:
                records = (await reader.getmany(tp, timeout_ms=_POLL_MS)).get(tp, [])
                now = time.monotonic()
                for record in records:
                    if beat := self._verified(record.value or b"", record.timestamp):
                        self.roll.hear(beat, now)
                if await _at_end(reader, tp):
                    self.roll.read_to_end(now)
                for province in PROVINCES:
                    telemetry.READY_AGENTS.labels(province).set(self.roll.ready(province))
        finally:
            await reader.stop()

    def _verified(self, value: bytes, appended_ms: int) -> Presence | None:
        """A heartbeat that its province has signed; anybody may write to the topic, so the rest is only counted."""
        try:
            return self._read(value, appended_ms)
        except (JoseError, CryptoError, LotError, KeyError, *MALFORMED):
            telemetry.QUARANTINED.labels(PRESENCE, "signature").inc()
            return None

    def _read(self, value: bytes, appended_ms: int) -> Presence:
        if len(value) > _MAX_BEAT_BYTES:
            raise JoseError("too long")
        jws = parse_jws(value)
        beat = _decode(jws.payload)
        snapshot = self._snapshot()
        replayed = abs(appended_ms - beat.clock) > 1_000 * SILENT_SECONDS + CLOCK_TOLERANCE_MS
        if jws.header.typ != JWS_TYPE or replayed or snapshot.parties[beat.province].kind != "province":
            raise JoseError("not a heartbeat")
        check = snapshot.verifier(beat.province, jws.header.kid, jws.header.alg, now_ms())
        check(jws.signature, jws.signing_input)
        return beat
