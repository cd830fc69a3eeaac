"""Files on their way (I2, I3): read from the store, inline in the answer or sealed behind a ticket (DESIGN §10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.bus import telemetry
from broker.bus.objects import ObjectsError
from schemas import statuses
from schemas.answers import CertificateFile, FileAnswer
from schemas.items import encode
from workers.files import FileError
from workers.judge import Refusal
from workers.release import Released
from workers.shaping import number
from workers.stores.port import StoreError

if TYPE_CHECKING:
    from schemas.certificates import CertificateRecord
    from workers.files import Delivered, FileSender
    from workers.release import Shipment
    from workers.stores.port import Store

MAX_INLINE_BYTES = 256 * 1024  # of one item's files together, as they are
FILE_FIELDS = frozenset(("certificateType", "certificateNumber", "issueDept", "issueDate", "file"))  # as evidence says


async def deliver(shipment: Shipment, *, store: Store, files: FileSender) -> Released | Refusal:
    """The answer with every file that there is of these certificates, one after the other."""
    name, left = shipment.scenario, MAX_INLINE_BYTES
    sent: list[tuple[CertificateRecord, Delivered]] = []
    try:
        for record in shipment.records:
            stored = await store.file(record.certificate_id, shipment.file_format)
            if stored is not None:
                delivered = await files.send(stored, inline_bytes=left)
                left -= 0 if delivered.content is None else delivered.size
                sent.append((record, delivered))
    except FileError:
        return Refusal(statuses.OTHER, "file", name, "证照源的文件未通过核对，已停止提供")
    except (StoreError, ObjectsError) as error:
        telemetry.log.warning("file not sent", error=type(error).__name__)
        return Refusal(statuses.UNREACHABLE, "file", name)
    if not sent:
        return Refusal(statuses.NOT_FOUND, "file", name, "该证照没有所请求格式的文件")
    told = tuple([_told(record, delivered, shipment) for record, delivered in sent])
    tickets = tuple([delivered.ticket for _, delivered in sent if delivered.ticket])
    return Released(encode(FileAnswer(total=len(told), data_list=told)), sent[0][0].holder_code, FILE_FIELDS, tickets)


def _told(record: CertificateRecord, delivered: Delivered, shipment: Shipment) -> CertificateFile:
    ticket = delivered.ticket
    return CertificateFile(
        certificate_id=record.certificate_id,
        certificate_type_code=record.type_code,
        certificate_status=record.status.value,
        certificate_type=record.type_name,
        certificate_number=number(record, shipment.types[record.type_code]),
        issue_dept=record.issuer_name,
        issue_date=record.issue_date,
        file_format=shipment.file_format,
        file_kind="original",
        file_digest=delivered.digest,
        file_size=delivered.size,
        content_type=None if delivered.content is None else "base64",
        content=delivered.content,
        file_url=ticket.address if ticket else None,
        url_expire_time=ticket.expires if ticket else None,
    )
