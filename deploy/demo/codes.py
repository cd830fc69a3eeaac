"""Service codes (政务服务码) for the demonstration's holders: what an issuer's app would show on a telephone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from broker.bus.clock import now_ms
from broker.bus.keys import read_keys
from schemas.certificates import CertificateStatus
from schemas.form import sm3_hex
from schemas.holders import HOLDER_TYPES, HolderCategory
from schemas.jose import unb64
from schemas.service_codes import CODE_LIFE_MS, code_key, new_service_code, parse_service_code
from workers.issuers.port import CodeRecord, CodeState
from workers.stores.sqlite_layout import put_code, read_store

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.local.home import Home
    from schemas.certificates import CertificateRecord


class IssuedCode(NamedTuple):
    """A code that the store now knows by its digest; `expires_at` in unix milliseconds."""

    code: str
    province: str
    expires_at: int
    holder_code: str


def issue_code(
    home: Home,
    province: str,
    *,
    expires_at: int,
    holder_code: str | None = None,
    once: bool = True,
    state: CodeState = CodeState.VALID,
) -> IssuedCode:
    """Make a code of this natural person of a province's store, or of the first one with a valid certificate.

    Raises LookupError when the store has no such person, ValueError when the code would live longer than a code may,
    sqlite3.Error when it is no store, OSError when the province has no keys.
    """
    if once and expires_at > now_ms() + CODE_LIFE_MS:
        raise ValueError(f"a code is good for {CODE_LIFE_MS // 1_000} s at most; one for demonstrations is --reusable")
    store = home.store / f"{province}.db"
    person = _person(store, holder_code)
    code = new_service_code(province, issuers_key(home, province), once=once)
    record = CodeRecord(
        holder_name=person.holder_name,
        holder_code=person.holder_code,
        holder_type_code=person.holder_type_code,
        mobile=_mobile(person.holder_code),
        expires_at=expires_at,
        state=state,
    )
    put_code(store, parse_service_code(code).digest, record)
    return IssuedCode(code, province, expires_at, person.holder_code)


def issuers_key(home: Home, province: str) -> bytes:
    """Under which a province of this home tags its codes; raises OSError when it has no keys."""
    return code_key(unb64(read_keys(home.keys / f"{province}.json").holder_key))


def _person(store: Path, holder_code: str | None) -> CertificateRecord:
    for record in read_store(store):
        if HOLDER_TYPES[record.holder_type_code].category is not HolderCategory.PERSON:
            continue
        if record.holder_code == holder_code or (holder_code is None and record.status is CertificateStatus.VALID):
            return record
    raise LookupError("the store has no certificate of such a natural person")


def _mobile(holder_code: str) -> str:
    return f"120{int(sm3_hex(holder_code.encode()), 16) % 10**8:08d}"  # no mobile operator has 120
