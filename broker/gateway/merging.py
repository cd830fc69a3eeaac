"""From the parts of a request to what its caller is told: pure (DESIGN §6, DOMAIN §3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import orjson
from msgspec import Meta, Struct

from broker.exchange.state import Answer, Missing
from schemas import statuses
from schemas.answers import MISSING, Source, SourceState
from schemas.jose import MALFORMED
from schemas.regions import BY_CODE, BY_PROVINCE
from schemas.statuses import NO_ANSWER, STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from broker.exchange.state import Part, State
    from schemas.items import ReplyItem

NOT_YET = "尚未答复，可稍后查询"  # its deadline is still ahead
# There is one, or nobody looked though it was granted: so "not found" would be wrong.
_THERE_IS_ONE = (
    *(statuses.REAL_NAME_WRONG, 21, 22, 23),
    *(statuses.CONSENT_MISSING, statuses.CONSENT_ENDED, statuses.QUOTA_USED_UP),
)


class _Data(Struct, rename="camel"):
    """What every interface's data have in common; the list's elements stay as the province wrote them."""

    total: Annotated[int, Meta(ge=0, le=1 << 31)]
    data_list: tuple[msgspec.Raw, ...]
    withheld: tuple[str, ...] = ()
    page_no: Annotated[int, Meta(ge=1)] | None = None
    page_size: Annotated[int, Meta(ge=1)] | None = None


_decode = msgspec.json.Decoder(_Data).decode


class Told(NamedTuple):
    """An answer before it is written down; the rows of `data` are the provinces' own bytes."""

    status: int
    message: str
    data: Mapping[str, Any] | None
    evidence: str
    scenario: str


def alone(part: Part) -> Told:
    """What one province that the request itself named has said."""
    if not isinstance(part, Answer):
        return Told(standing(part)[1], "", None, "", "")
    item = part.item
    status, data = _heard(item)
    return Told(status, _said(item, status), _together([data]) if data else None, item.evidence, item.scenario)


def merged(state: State) -> Told:
    """What all provinces together have said, each of them named in `sources`."""
    found: dict[str, _Data] = {}
    sources = []
    for province in sorted(state.parts):
        source, data = _source(province, state.parts[province])
        sources.append(source)
        if data is not None:
            found[province] = data
    status = _status(sources)
    first = next((one for one in sources if one.state is SourceState.ANSWERED), None) or next(
        (one for one in sources if one.evidence), None
    )
    together = _together(list(found.values())) | {"sources": sources}
    evidence, scenario = (first.evidence or "", first.scenario or "") if first else ("", "")
    return Told(status, message_of(status, sources, final=state.final), together, evidence, scenario)


def _source(province: str, part: Part) -> tuple[Source, _Data | None]:
    """What became of one province, and its data if it has answered with some."""
    code = BY_PROVINCE[province].code if province in BY_PROVINCE else province
    if not isinstance(part, Answer):
        state, status = standing(part)
        message = NOT_YET if part is Missing.PENDING else STATUSES[status].message
        return Source(region_code=code, state=state, status=status, message=message), None
    item = part.item
    status, data = _heard(item)
    return Source(
        region_code=code,
        state=_state(status),
        status=status,
        message=_said(item, status) or STATUSES[status].message,
        elapsed_ms=max(part.appended_ms - item.hops.get("received", part.appended_ms), 0),
        evidence=item.evidence or None,
        scenario=item.scenario or None,
    ), data


_STATES = {
    statuses.OK: SourceState.ANSWERED,
    statuses.NOT_FOUND: SourceState.EMPTY,
    **dict.fromkeys(NO_ANSWER, SourceState.UNAVAILABLE),
}


def _state(status: int) -> SourceState:
    return _STATES.get(status, SourceState.REFUSED)


def standing(part: Part) -> tuple[SourceState, int]:
    """State and status of one province's part, by what it says of itself: its data are not read."""
    if part is Missing.UNAVAILABLE:
        return SourceState.UNAVAILABLE, statuses.UNREACHABLE
    if not isinstance(part, Answer):
        return SourceState.LATE, statuses.TIMED_OUT
    status = part.item.status if part.item.status in STATUSES else statuses.OTHER
    return _state(status), status


def _heard(item: ReplyItem) -> tuple[int, _Data | None]:
    """A province's status, and its data if it has answered with some; nonsense says nothing of what it has (99)."""
    if item.status != statuses.OK:
        return (item.status if item.status in STATUSES else statuses.OTHER), None
    try:
        orjson.dumps(orjson.loads(bytes(item.data)))  # rows go on as they came, so anybody must be able to read them
        data = _decode(item.data)
    except (ValueError, TypeError, *MALFORMED):  # a province of a later version, or a wrong one
        return statuses.OTHER, None
    if not data.total and not data.data_list:
        return statuses.NOT_FOUND, None
    return (statuses.OK, data) if 0 < len(data.data_list) <= data.total else (statuses.OTHER, None)


def _said(item: ReplyItem, status: int) -> str:
    """The province's own words, as long as we take its status as it said it."""
    return item.message if status == item.status else ""


def _status(sources: Sequence[Source]) -> int:
    """0, 7003, 7001, 7002, what hides a find, 10 or the sources' own refusal; never 10 while a source is missing."""
    states = [one.state for one in sources]
    missing = MISSING.intersection(states)
    if SourceState.ANSWERED in states:
        return statuses.PARTIAL if missing else statuses.OK
    if missing:
        return statuses.TIMED_OUT if SourceState.LATE in missing else statuses.UNREACHABLE
    codes = [one.status for one in sources]
    about_one = [code for code in codes if code in _THERE_IS_ONE]
    return (about_one or [statuses.NOT_FOUND] * (SourceState.EMPTY in states) or codes)[0]


def message_of(status: int, sources: Iterable[Source], *, final: bool) -> str:
    """The status in words, with the provinces that are missing, or what the source itself said."""
    if status in (statuses.PARTIAL, statuses.UNREACHABLE, statuses.TIMED_OUT):
        codes = [one.region_code for one in sources if one.state in MISSING]
        missing = [BY_CODE[code].name if code in BY_CODE else code for code in codes]
        what = NOT_YET if status == statuses.TIMED_OUT and not final else STATUSES[status].message
        return f"{what}：{'、'.join(missing)}"
    return next((one.message for one in sources if one.status == status and status != statuses.OK), "")


def _together(found: Sequence[_Data]) -> dict[str, Any]:
    """All lists one after the other, cut to the page that was asked for."""
    rows = [row for data in found for row in data.data_list]
    out: dict[str, Any] = {"total": sum(data.total for data in found), "dataList": rows}
    paged = next((data for data in found if data.page_no and data.page_size), None)
    if paged and paged.page_no and paged.page_size:
        first = (paged.page_no - 1) * paged.page_size
        out |= {"dataList": rows[first : first + paged.page_size]}
        out |= {"pageNo": paged.page_no, "pageSize": paged.page_size}
    if withheld := sorted({name for data in found for name in data.withheld}):
        out["withheld"] = withheld
    return out
