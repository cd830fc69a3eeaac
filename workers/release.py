"""The release: pure; checks that the store returned what was asked for, then minimises, masks and shapes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from schemas import statuses
from schemas.answers import CodeAnswer, DataAnswer, SearchAnswer, VerdictAnswer
from schemas.certificates import INTERFACE_CODES, CertificateStatus
from schemas.form import blank
from schemas.items import encode
from schemas.sharing import FileByHolderRequest, FileByIdRequest, SearchRequest
from workers.checking import is_what_was_asked
from workers.judge import Refusal, file_format
from workers.shaping import code_holder, hit, shape, state
from workers.stores.port import ByCode, ByFile, ByHolder
from workers.verdict import verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.registry.compiled import CompiledType
    from schemas.certificates import CertificateRecord
    from schemas.items import Ticket
    from schemas.sharing import Asked
    from workers.judge import Case, Grant
    from workers.shaping import Here
    from workers.stores.port import CodeRecord, Found, Look

# What a search tells of each certificate, as evidence names it.
HIT_FIELDS = frozenset(
    ("certificateName", "certificateNumber", "certificateType", "certificateAreaCode", "issueDept", "issueDate")
)
CODE_FIELDS = frozenset(("holderName", "holderCode", "mobile"))
VERDICT_FIELDS = frozenset(("certificateStatus",))
_VALID = CertificateStatus.VALID


class Released(NamedTuple):
    """What leaves: the answer's bytes, whose it is, which fields went out, and the tickets of its files."""

    data: bytes
    holder_code: str
    fields: frozenset[str]
    tickets: tuple[Ticket, ...] = ()


class Shipment(NamedTuple):
    """Certificates whose files in this format may leave: they are still to be read and sent."""

    records: tuple[CertificateRecord, ...]
    types: Mapping[str, CompiledType]
    file_format: str
    scenario: str


def release(case: Case, grant: Grant, look: Look, found: Found, here: Here) -> Released | Shipment | Refusal:
    """What leaves of what the store returned for this look."""
    name, identifier = grant.scenario, case.form.identifier
    if found.unusable:
        return Refusal(statuses.OTHER, "store", name)
    if not is_what_was_asked(look, found, identifier):
        return Refusal(statuses.OTHER, "store", name, "证照源返回的数据未通过核对，已停止提供")
    if isinstance(look, ByCode):
        return _of_code(case, grant, found.code, here)
    if not found.records:
        wrong = identifier is not None and not identifier.check_is_right
        return Refusal(statuses.ID_CHECK_WRONG if wrong else statuses.NOT_FOUND, "store", name)
    if isinstance(look, ByFile):
        return _of_file(look, found, here)
    records = _in_name(case.data, found.records) if isinstance(look, ByHolder) else found.records
    if not records:
        return Refusal(statuses.REAL_NAME_WRONG, "name", name, "请核对 data.certificateHolderName")
    if isinstance(case.data, SearchRequest):
        return _hits(case.data, grant, records, here)
    valid = tuple([record for record in records if state(record, here.day) is _VALID])
    if not valid:
        return Refusal(INTERFACE_CODES[state(records[0], here.day)], "status", name)
    if isinstance(case.data, (FileByIdRequest, FileByHolderRequest)):
        return Shipment(valid, grant.types, file_format(case.data), name)
    return _data(grant, valid)


def _in_name(data: Asked, records: Sequence[CertificateRecord]) -> Sequence[CertificateRecord]:
    """The real-name check: where the holder's name is told, only certificates in this name."""
    told: str | None = getattr(data, "holder_name", None)
    if told is None or blank(told):
        return records
    return [record for record in records if record.holder_name == told.strip()]


def _hits(data: SearchRequest, grant: Grant, records: Sequence[CertificateRecord], here: Here) -> Released:
    """All that there are, in their states; of the list as much as the page may need once provinces are merged."""
    ordered = sorted(records, key=lambda record: (record.type_code, record.certificate_id))
    told = ordered[: data.page_no * data.page_size]
    answer = SearchAnswer(
        total=len(ordered),
        data_list=tuple([hit(record, grant.types[record.type_code], here) for record in told]),
        page_no=data.page_no,
        page_size=data.page_size,
    )
    return Released(encode(answer), ordered[0].holder_code, HIT_FIELDS)


def _data(grant: Grant, records: tuple[CertificateRecord, ...]) -> Released:
    types = grant.types
    if len(types) > 1:  # one name may stand for several; what is told is then of those that were found
        types = {record.type_code: types[record.type_code] for record in records}
    granted, *others = types.values()
    fields, withheld = granted.granted, granted.withheld
    if others:
        fields = fields.union(*(one.granted for one in others))
        withheld = tuple(sorted({*withheld, *(name for one in others for name in one.withheld)}))
    told = tuple([shape(record, types[record.type_code]) for record in records])
    answer = DataAnswer(total=len(told), data_list=told, withheld=withheld)
    return Released(encode(answer), records[0].holder_code, fields)


def _of_file(look: ByFile, found: Found, here: Here) -> Released:
    (record,) = found.records
    told = verdict(look.digest, record, found.digests, state(record, here.day), here.now_ms)
    return Released(encode(VerdictAnswer(total=1, data_list=(told,))), record.holder_code, VERDICT_FIELDS)


def _of_code(case: Case, grant: Grant, code: CodeRecord | None, here: Here) -> Released | Refusal:
    """Who shows the code, shortened but for what the scenario grants in full (DOMAIN §4, I7)."""
    if code is None:
        return Refusal(statuses.CODE_UNKNOWN, "store", grant.scenario)
    if code.expires_at <= here.now_ms:
        return Refusal(statuses.CODE_EXPIRED, "expiry", grant.scenario)
    told = code_holder(code, grant.code_fields, once=case.form.code is None or case.form.code.once, here=here)
    fields = CODE_FIELDS if told.mobile else CODE_FIELDS - {"mobile"}
    return Released(encode(CodeAnswer(total=1, data_list=(told,))), code.holder_code, fields)
