"""Opening a lane's record: headers, signature, seal, items, each refused with its reason; expired items are dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from broker.bus import telemetry
from schemas import statuses
from schemas.form import Form, check_form
from schemas.interfaces import INTERFACES
from schemas.items import NO_DATA, RequestItem, decode_bare, decode_data, decode_request, request_digest
from schemas.jose import JoseError
from schemas.lot import CLOCK_TOLERANCE_MS, MAX_DEADLINE_AHEAD_MS, REQUEST_TYPE, LotError
from schemas.sharing import DataByIdRequest, Head
from schemas.statuses import RefusedError
from schemas.topics import LANE_PARTITIONS, reply_topic
from schemas.wire import check_open, open_lot, parse_headers
from workers.judge import Case, Refusal

if TYPE_CHECKING:
    from broker.bus.kafka import Incoming
    from broker.bus.keys import KeyOpener
    from broker.registry.snapshot import Snapshot
    from schemas.consents import OpenedConsent
    from schemas.lot import Envelope, Item
    from schemas.service_codes import ServiceCode
    from schemas.sharing import Asked


NOT_TYPED = DataByIdRequest()  # stands where the data of a request could not be read
NOT_NAMED = Form()  # stands where the form of a request was refused


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

    cases: list[Case]
    refused: list[tuple[Case, Refusal]]
    unreadable: int


class Proofs(Protocol):
    """What only a province's keys can tell right from wrong of what a request brings; see `workers.consents`."""

    def opened(self, head: Head, snapshot: Snapshot, now_ms: int) -> tuple[OpenedConsent | None, str]:
        """The consent in `head.authCode`, or why what is there is none."""

    def genuine(self, code: ServiceCode) -> bool:
        """Whether this province issued the code, as far as its tag tells."""


def read_items(opened: Opened, province: str, now_ms: int, snapshot: Snapshot, proofs: Proofs) -> Read:
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
            out.refused.append((_not_typed(opened, raw.body, item), Refusal(statuses.BAD_VALUE, "form")))
        else:
            case, refusal = _read_one(opened, raw.body, item, province, now_ms)
            code = case.form.code
            if refusal is None and code and not proofs.genuine(code):  # nothing is looked up of what nobody issued
                refusal = Refusal(statuses.CODE_UNKNOWN, "tag", "", "请核对 data.certQrCode")
            if refusal is None:
                consent, why_not = proofs.opened(item.head, snapshot, now_ms)
                out.cases.append(case._replace(consent=consent, consent_wrong=why_not))
            else:
                out.refused.append((case, refusal))
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


def _not_typed(opened: Opened, raw: bytes, item: RequestItem) -> Case:
    return Case(opened.node, raw, item, NOT_TYPED, NOT_NAMED, "")


def _read_one(opened: Opened, raw: bytes, item: RequestItem, province: str, now_ms: int) -> tuple[Case, Refusal | None]:
    """The request with its data typed, and why it is not to be judged if it is not well formed."""
    try:
        data = decode_data(item)
    except LotError:
        return _not_typed(opened, raw, item), Refusal(statuses.BAD_VALUE, "form")
    if data is None:
        return _not_typed(opened, raw, item), Refusal(statuses.NOT_OFFERED, "offered")
    digest = request_digest(item.interface, item.application, item.head, data)
    form, refusal = _form(item, data, province, now_ms)
    return Case(opened.node, raw, item, data, form, digest), refusal


def _form(item: RequestItem, data: Asked, province: str, now_ms: int) -> tuple[Form, Refusal | None]:
    if item.deadline > now_ms + MAX_DEADLINE_AHEAD_MS + CLOCK_TOLERANCE_MS:
        return NOT_NAMED, Refusal(statuses.BAD_VALUE, "deadline")
    try:
        form = check_form(INTERFACES[item.interface], item.head, data)
    except RefusedError as error:
        return NOT_NAMED, Refusal(error.code, "form", "", error.detail)
    if form.code and form.code.province != province:
        return form, Refusal(statuses.CODE_UNKNOWN, "issuer", "", "该政务服务码不由本省签发")
    return form, None
