"""Opening a lane's record: headers, signature, seal, items, each refused with its reason; expired items are dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from broker.bus import telemetry
from schemas import statuses
from schemas.form import check_form
from schemas.interfaces import TYPED
from schemas.items import NO_DATA, RequestItem, decode_bare, decode_data, decode_request, request_digest
from schemas.jose import JoseError
from schemas.lot import CLOCK_TOLERANCE_MS, MAX_DEADLINE_AHEAD_MS, REQUEST_TYPE, LotError
from schemas.sharing import CertificateDataByIdRequest, Head
from schemas.statuses import RefusedError
from schemas.topics import LANE_PARTITIONS, reply_topic
from schemas.wire import check_open, open_lot, parse_headers
from workers.judge import Asked, Refusal

if TYPE_CHECKING:
    from broker.bus.kafka import Incoming
    from broker.bus.keys import KeyOpener
    from broker.registry.snapshot import Snapshot
    from schemas.lot import Envelope, Item


class Opened(NamedTuple):
    """A lot whose sender, recipient and content were verified, and where its replies go."""

    envelope: Envelope
    items: list[Item]
    reply_topic: str
    reply_partition: int

    @property
    def node(self) -> str:
        return self.envelope.ce_source


def open_record(record: Incoming, *, province: str, snapshot: Snapshot, opener: KeyOpener, now_ms: int) -> Opened:
    """All checks of a request lot in their order; raises LotError."""
    envelope, signature, sealed = parse_headers(record.headers)
    check_open(envelope, record.value, REQUEST_TYPE, now_ms)
    sender = snapshot.parties.get(envelope.ce_source)
    if sender is None or sender.kind != "node":
        raise LotError("sender")
    try:
        lot = open_lot(
            envelope,
            signature,
            sealed,
            record.value,
            me=province,
            keys=snapshot,
            opener=opener,
            now_ms=now_ms,
        )
    except JoseError as error:
        raise LotError("header") from error
    return Opened(envelope, lot.items, *reply_address(envelope))


def closed_record(record: Incoming) -> Opened | None:
    """A lot that was refused as a whole after its signature was verified: its sender's address if good, no items."""
    envelope, _, _ = parse_headers(record.headers)
    try:
        return Opened(envelope, [], *reply_address(envelope))
    except LotError:
        return None


def reply_address(envelope: Envelope) -> tuple[str, int]:
    """Topic and partition of `ce_replyto`; raises LotError("replyto") unless it is the sender's own topic."""
    topic, _, place = envelope.ce_replyto.rpartition("/")
    if topic != reply_topic(envelope.ce_source) or not (place.isdecimal() and place.isascii()) or len(place) > 2:
        raise LotError("replyto")
    if int(place) >= LANE_PARTITIONS:
        raise LotError("replyto")
    return topic, int(place)


class Read(NamedTuple):
    """The items of a lot: those to be judged, those refused for their form, and how many had no readable id."""

    asked: list[Asked]
    refused: list[tuple[Asked, Refusal]]
    unreadable: int


def read_items(opened: Opened, now_ms: int) -> Read:
    """Type every item; an expired one is dropped and counted, a wrong one is refused or, without an id, counted."""
    out = Read([], [], 0)
    unreadable = 0
    for raw in opened.items:
        item, wrong = _item(raw.body)
        if item is None:
            unreadable += 1
        elif item.deadline <= now_ms:
            telemetry.EXPIRED.labels("open").inc()
        elif wrong:
            out.refused.append((_untyped(opened, raw.body, item), Refusal(statuses.BAD_VALUE, "form")))
        else:
            _read_one(opened, raw.body, item, now_ms, out)
    return out._replace(unreadable=unreadable)


def _item(raw: bytes) -> tuple[RequestItem | None, bool]:
    """The item; or as much of it as a refusal needs, and True; or nothing."""
    try:
        return decode_request(raw), False
    except msgspec.DecodeError:
        pass
    try:
        bare = decode_bare(raw)
    except msgspec.DecodeError:
        return None, True
    item = RequestItem(id=bare.id, interface="", application="", deadline=bare.deadline, head=Head(), data=NO_DATA)
    return item, True


def _untyped(opened: Opened, raw: bytes, item: RequestItem) -> Asked:
    return Asked(opened.node, raw, item, CertificateDataByIdRequest(), None, "")


def _read_one(opened: Opened, raw: bytes, item: RequestItem, now_ms: int, out: Read) -> None:
    try:
        data = decode_data(item)
    except LotError:
        out.refused.append((_untyped(opened, raw, item), Refusal(statuses.BAD_VALUE, "form")))
        return
    if not isinstance(data, CertificateDataByIdRequest):
        out.refused.append((_untyped(opened, raw, item), Refusal(statuses.NOT_OFFERED, "interface")))
        return
    digest = request_digest(item.interface, item.application, item.head, data)
    if item.deadline > now_ms + MAX_DEADLINE_AHEAD_MS + CLOCK_TOLERANCE_MS:
        out.refused.append((Asked(opened.node, raw, item, data, None, digest), Refusal(statuses.BAD_VALUE, "deadline")))
        return
    try:
        identifier = check_form(TYPED[item.interface], item.head, data)
    except RefusedError as error:
        refusal = Refusal(error.code, "form", "", error.detail)
        out.refused.append((Asked(opened.node, raw, item, data, None, digest), refusal))
    else:
        out.asked.append(Asked(opened.node, raw, item, data, identifier, digest))
