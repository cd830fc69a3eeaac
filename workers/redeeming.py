"""What is told of who shows a service code: pure but for the one look at the issuer (DOMAIN §4 I7, §8.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas import statuses
from schemas.answers import CodeAnswer
from schemas.items import encode
from workers.checking import is_sound_code
from workers.issuers.port import CodeState
from workers.judge import Refusal
from workers.release import CODE_FIELDS, Released
from workers.shaping import code_holder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workers.consents import Authorization
    from workers.issuers.port import CodeRecord
    from workers.judge import Case, Grant

_STOPPED = {
    CodeState.REVOKED: Refusal(statuses.CODE_REVOKED, "state"),
    CodeState.REFUSED: Refusal(statuses.CODE_REFUSED, "state"),
}


def digest_of(case: Case) -> str:
    """By what the issuer knows the code of this request."""
    return case.form.code.digest if case.form.code else ""


def redeem(
    case: Case,
    grant: Grant,
    codes: Mapping[str, CodeRecord | None],
    authorize: Callable[[CodeRecord], Authorization | None],
    *,
    province: str,
    shown_ms: int,
) -> Released | Refusal:
    """Who shows the code, shortened but for what the scenario grants in full, and what may be asked of them then.

    `shown_ms` is when the request stood on the lane, for that does not move when it is delivered again: a code shown in
    time is not late because an agent died over it.
    """
    digest, name = digest_of(case), grant.scenario
    if digest not in codes:
        return Refusal(statuses.CODE_UNKNOWN, "store", name)
    code = codes[digest]
    if code is None:
        return Refusal(statuses.OTHER, "store", name)
    if not is_sound_code(code):
        return Refusal(statuses.OTHER, "store", name, "签发方返回的数据未通过核对，已停止提供")
    if stopped := _STOPPED.get(code.state):
        return stopped._replace(scenario=name)
    if code.expires_at <= shown_ms:
        return Refusal(statuses.CODE_EXPIRED, "expiry", name)
    once = case.form.code is None or case.form.code.once
    told = code_holder(code, grant.code_fields, authorize(code), once=once, province=province)
    fields = CODE_FIELDS if told.mobile else CODE_FIELDS - {"mobile"}
    return Released(encode(CodeAnswer(total=1, data_list=(told,))), code.holder_code, fields)
