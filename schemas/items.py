"""The items of lots: one request, one reply; JSON on the wire, unknown members ignored (v1)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Struct

from schemas.interfaces import TYPED
from schemas.lot import LotError
from schemas.sharing import Head

if TYPE_CHECKING:
    from collections.abc import Callable

RequestId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
_Name = Annotated[str, Meta(max_length=64)]
_Millis = Annotated[int, Meta(ge=0, le=1 << 53)]
Hops = Annotated[dict[Annotated[str, Meta(max_length=16)], _Millis], Meta(max_length=16)]


class RequestItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request: `deadline` and hop times in unix milliseconds, `data` as its interface says."""

    id: RequestId
    interface: _Name
    application: _Name
    deadline: _Millis
    head: Head
    data: msgspec.Raw
    address: Annotated[str, Meta(max_length=45)] | None = None
    trace: Annotated[str, Meta(max_length=128)] | None = None
    hops: Hops = msgspec.field(default_factory=dict)


class ReplyItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reply: `id` of the request (or of the whole lot that was refused), status, data, and what it rests on."""

    id: RequestId
    status: int
    application: str = ""
    digest: str = ""
    deadline: int = 0
    message: str = ""
    data: msgspec.Raw | None = None
    scenario: str = ""
    evidence: str = ""
    attempt: int = 1
    hops: dict[str, int] = msgspec.field(default_factory=dict)


decode_request: Callable[[bytes], RequestItem] = msgspec.json.Decoder(RequestItem).decode
decode_reply: Callable[[bytes], ReplyItem] = msgspec.json.Decoder(ReplyItem).decode
encode: Callable[[object], bytes] = msgspec.json.Encoder().encode
_data = {key: msgspec.json.Decoder(row.request).decode for key, row in TYPED.items()}


def decode_data(item: RequestItem) -> Struct | None:
    """The typed data of a request, None for an interface that is not typed; raises LotError("form")."""
    decoder = _data.get(item.interface)
    if decoder is None:
        return None
    try:
        return decoder(item.data)  # type: ignore[no-any-return]  # a Struct of the table
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LotError("form", trusted=True) from error


def request_digest(interface: str, application: str, head: Head, data: Struct | None) -> str:
    """SHA-256 hex over the typed request in canonical form: declared order, defaults left out (DESIGN §5)."""
    return hashlib.sha256(encode((interface, application, head, data))).hexdigest()
