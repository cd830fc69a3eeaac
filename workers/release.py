"""The release: pure; checks that the store returned what was asked for, then minimises, masks and shapes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from schemas import statuses
from schemas.answers import DataAnswer, SearchAnswer, VerdictAnswer
from schemas.certificates import INTERFACE_CODES, CertificateStatus
from schemas.items import encode
from schemas.sharing import FileByHolderRequest, FileByIdRequest, SearchRequest
from workers.checking import is_what_was_asked
from workers.judge import Refusal, file_format
from workers.names import name_ask
from workers.shaping import hit, shape, state
from workers.stores.port import ByFile
from workers.verdict import verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.registry.compiled import CompiledType
    from schemas.certificates import CertificateRecord
    from schemas.consents import OpenedConsent
    from schemas.items import Ticket
    from schemas.sharing import Asked
    from workers.judge import Case, Grant
    from workers.shaping import Here
    from workers.stores.port import Found, Look

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


def release(
    case: Case, grant: Grant, look: Look, found: Found, here: Here, *, names: frozenset[str] | None = None
) -> Released | Shipment | Refusal:
    """What leaves of what the store returned for this look.

    `names` are the records' names that the name told is right for; None: nobody could say.
    """
    name, identifier = grant.scenario, case.form.identifier
    if found.unusable:
        return Refusal(statuses.OTHER, "store", name)
    if not is_what_was_asked(look, found, identifier):
        return Refusal(statuses.OTHER, "store", name, "证照源返回的数据未通过核对，已停止提供")
    if not found.records:
        wrong = identifier is not None and not identifier.check_is_right
        return Refusal(statuses.ID_CHECK_WRONG if wrong else statuses.NOT_FOUND, "store", name)
    if not all(_is_consenting(case.consent, record) for record in found.records):
        return Refusal(statuses.CONSENT_MISSING, "consent", name, "所查证照不属于授权的持证主体")
    if isinstance(look, ByFile):
        return _of_file(look, found, here)
    records = _in_name(case.data, found.records, names, name)
    if isinstance(records, Refusal):
        return records
    if isinstance(case.data, SearchRequest):
        return _hits(case.data, grant, records, here)
    most = grant.limits.max_records if grant.limits else None
    valid = tuple([record for record in records if state(record, here.day) is _VALID])[:most]
    if not valid:
        return Refusal(INTERFACE_CODES[state(records[0], here.day)], "status", name)
    if isinstance(case.data, (FileByIdRequest, FileByHolderRequest)):
        return Shipment(valid, grant.types, file_format(case.data), name)
    return _data(grant, valid)


def _is_consenting(consent: OpenedConsent | None, record: CertificateRecord) -> bool:
    """Whether the record is that of who consented; without a consent the judge has said that none is needed."""
    return consent is None or (consent.holder_code, consent.holder_type_code) == (
        record.holder_code,
        record.holder_type_code,
    )


def _in_name(
    data: Asked, records: tuple[CertificateRecord, ...], names: frozenset[str] | None, scenario: str
) -> Sequence[CertificateRecord] | Refusal:
    """The real-name check: where the holder's name is told, only certificates in this name."""
    if name_ask(data, records) is None:
        return records
    if names is None:
        return Refusal(statuses.UNREACHABLE, "name", scenario)
    wrong = Refusal(statuses.REAL_NAME_WRONG, "name", scenario, "请核对 data.certificateHolderName")
    return [record for record in records if record.holder_name in names] or wrong


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
