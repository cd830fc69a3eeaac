"""A province's details: a stream from its topic, opened with its key; nothing is believed before it is typed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from aiokafka import TopicPartition
from msgspec import Struct

from broker.bus import kafka
from broker.bus.keys import KeyOpener
from schemas.evidence import Detail, evidence_id
from schemas.items import decode_bare
from schemas.jose import MALFORMED, JoseError
from schemas.lot import DETAIL_TYPE, Envelope, Item, LotError, unframe
from schemas.suites import ED, CryptoError
from schemas.topics import LANE_PARTITIONS, detail_topic
from schemas.wire import unseal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping

    from aiokafka import AIOKafkaConsumer
    from aiokafka.structs import ConsumerRecord

    from broker.bus.keys import KeyFile

_POLL_MS = 500
_MAX_HEADERS = 16
_MAX_NUMBER = 1 << 53
_LOT = re.compile(rb"[0-9a-f]{32}")
_NAMES = ("ce_id", "ce_type", "ce_source", "seal")


class Recorded(NamedTuple):
    """One judgement as its province recorded it, and where; `lot` is the reply lot's id."""

    province: str
    lot: str
    place: int
    request_id: str
    detail: Detail

    @property
    def evidence(self) -> str:
        return evidence_id(self.province, self.lot, self.place)


class Progress(NamedTuple):
    """How far the reading of one topic has come, in records."""

    province: str
    read: int
    of: int


class _Named(Struct, frozen=True):
    """As much of a detail as says which request it is about."""

    request: msgspec.Raw


_named = msgspec.json.Decoder(_Named)
_detail = msgspec.json.Decoder(Detail)


class Details:
    """One province's details as whoever holds its key reads them; `strange` counts what could not be opened or read."""

    def __init__(
        self, bootstrap: str, keys: KeyFile, *, say: Callable[[Progress], None] = lambda _: None, name: str = "details"
    ) -> None:
        self.province = keys.party
        self._bootstrap, self._opener, self._say, self._name = bootstrap, KeyOpener(keys.sealing), say, name
        self.strange = 0

    async def read(self, *, since_ms: int = 0, about: Collection[str] | None = None) -> AsyncGenerator[Recorded, None]:
        """What was recorded from this time on until now, about these requests alone where they are named.

        Judgements of one partition come in their order. Raises KafkaError, OSError.
        """
        reader = kafka.consumer(self._bootstrap, f"certlane-{self._name}")
        await reader.start()
        try:
            places = await self._places(reader, since_ms)
            done, total = 0, sum(end - start for start, end in places.values())
            reader.assign(list(places))
            for place, (start, _) in places.items():
                reader.seek(place, start)
            while [place for place, (_, end) in places.items() if await reader.position(place) < end]:
                for place, records in (await reader.getmany(timeout_ms=_POLL_MS)).items():
                    within = [record for record in records if record.offset < places[place][1]]
                    done += len(within)
                    for record in within:
                        for recorded in self.opened(record, about):
                            yield recorded
                self._say(Progress(self.province, done, total))
        finally:
            await reader.stop()

    async def _places(self, reader: AIOKafkaConsumer, since_ms: int) -> dict[TopicPartition, tuple[int, int]]:
        """From where to where each partition that has something is to be read."""
        places = [TopicPartition(detail_topic(self.province), place) for place in range(LANE_PARTITIONS)]
        starts, ends = await reader.beginning_offsets(places), await reader.end_offsets(places)
        if since_ms:
            found = await reader.offsets_for_times(dict.fromkeys(places, since_ms))
            starts = {place: at.offset if (at := found.get(place)) else ends[place] for place in places}
        return {place: (starts[place], ends[place]) for place in places if starts[place] < ends[place]}

    def opened(self, record: ConsumerRecord[bytes, bytes], about: Collection[str] | None = None) -> Iterator[Recorded]:
        """The judgements in one record of the topic; what is not ours or not a detail is counted and passed over."""
        try:
            lot, items = self._items(record)
        except (LotError, JoseError, CryptoError, *MALFORMED):
            self.strange += 1
            return
        for place, item in enumerate(items):
            try:
                request_id = decode_bare(_named.decode(item.body).request).id
                if about is None or request_id in about:
                    yield Recorded(self.province, lot, place, request_id, _typed(item.body))
            except (LotError, *MALFORMED):
                self.strange += 1

    def _items(self, record: ConsumerRecord[bytes, bytes]) -> tuple[str, list[Item]]:
        named = _headers(record)
        envelope = Envelope(
            ce_id=named["ce_id"],
            ce_type=named["ce_type"],
            ce_source=named["ce_source"],
            ce_time="",
            ce_deadline="0",
            ce_items="0",
        )
        if envelope.ce_type != DETAIL_TYPE or envelope.ce_source != self.province:
            raise LotError("header")
        sealed, value = named["seal"].encode("latin-1"), record.value or b""
        items, _ = unframe(unseal(envelope, sealed, value, me=self.province, opener=self._opener), ED)
        lot = record.key or b""
        if not _LOT.fullmatch(lot):
            raise LotError("header")
        return lot.decode(), items


def _typed(body: bytes) -> Detail:
    """The detail; raises DecodeError, and LotError("form") for numbers that no clock and no count ever shows."""
    detail = _detail.decode(body)
    numbers = (detail.status, detail.attempt, detail.registry, detail.judged, detail.taken, *detail.hops.values())
    if not all(0 <= number < _MAX_NUMBER for number in numbers):
        raise LotError("form")
    return detail


def _headers(record: ConsumerRecord[bytes, bytes]) -> Mapping[str, str]:
    """The headers that a detail has, each once; raises LotError("header")."""
    named = [(name, (value or b"").decode("latin-1")) for name, value in record.headers[:_MAX_HEADERS]]
    known = {name: value for name, value in named if name in _NAMES}
    if len(known) != len(_NAMES):
        raise LotError("header")
    return known
