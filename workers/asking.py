"""From a grant to an ask: what the store is asked for one item, and nothing beyond what is granted (DESIGN §8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.sharing import (
    MAX_HITS,
    DataByHolderRequest,
    DataByIdRequest,
    FileByIdRequest,
    SearchRequest,
    VerifyCodeRequest,
    VerifyFileRequest,
)
from workers.judge import NOTHING
from workers.stores.port import Ask, ByFile, ByHolder, ByIdentifier

if TYPE_CHECKING:
    from workers.judge import Case, Grant
    from workers.stores.port import Look

MAX_FOUND = 50  # certificates of one holder in one answer with data or files: a page's bound (DOMAIN §3.5)


def ask(key: int, case: Case, grant: Grant) -> Ask:
    """What to ask for the item with this key; columns of faces only where data of them is wanted."""
    if isinstance(case.data, (DataByIdRequest, DataByHolderRequest)):
        columns = {type_code: granted.granted for type_code, granted in grant.types.items()}
    else:
        columns = dict.fromkeys(grant.types, NOTHING)
    return Ask(key=key, look=_look(case, grant), columns=columns)


def _look(case: Case, grant: Grant) -> Look:
    data = case.data
    if isinstance(data, (DataByIdRequest, FileByIdRequest)):
        return ByIdentifier(certificate_id=data.certificate_id or "")
    if isinstance(data, VerifyFileRequest):
        return ByFile(
            type_code=data.type_code or "", digest=data.content or "", certificate_id=data.certificate_id or None
        )
    assert not isinstance(data, VerifyCodeRequest)  # a code is its issuer's to know
    return ByHolder(
        holder_code=data.holder_code or "",
        holder_type_code=data.holder_type_code or "",
        type_codes=frozenset(grant.types),
        number=data.number or None,
        limit=MAX_HITS if isinstance(data, SearchRequest) else MAX_FOUND,
    )
