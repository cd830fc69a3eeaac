"""The items of lots: one request, one reply; JSON on the wire, unknown members ignored (v1)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from schemas.interfaces import INTERFACES
from schemas.jose import MALFORMED
from schemas.lot import LotError
from schemas.sharing import Head

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.sharing import Asked

NO_DATA = msgspec.Raw(b"null")
MAX_TRACE_CHARS = 128
RequestId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
_Name = Annotated[str, Meta(max_length=64)]
_Millis = Annotated[int, Meta(ge=0, le=1 << 53)]
_Hop = Annotated[str, Meta(max_length=16, pattern="^[a-z0-9_-]*$")]
Hops = Annotated[dict[_Hop, _Millis], Meta(max_length=16)]
_AllHops = Annotated[dict[_Hop, _Millis], Meta(max_length=32)]  # the request's and the province's own


class RequestItem(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True):
    """One request: `deadline` and hop times in unix milliseconds, `data` as its interface says.

    `sources` names every province that was chosen to be asked, this one among them, and comes back in each reply.
    """

    id: RequestId
    interface: _Name
    application: _Name
    deadline: _Millis
    head: Head
    data: msgspec.Raw
    address: Annotated[str, Meta(max_length=45)] | None = None
    trace: Annotated[str, Meta(max_length=MAX_TRACE_CHARS)] | None = None
    sources: Annotated[tuple[Annotated[str, Meta(max_length=8)], ...], Meta(max_length=64)] = ()
    hops: Hops = msgspec.field(default_factory=dict)


class BareItem(Struct, gc=False, frozen=True, kw_only=True):
    """The least that must be readable of a request for it to be refused rather than only put aside."""

    id: RequestId
    deadline: _Millis


class Ticket(Struct, gc=False, frozen=True, kw_only=True):
    """How the requester's node opens one sealed file: its address, content key (base64url), plain size, expiry (ms).

    `enc` is the cipher's name as in a seal.
    """

    address: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    key: Annotated[str, Meta(max_length=64)]
    enc: Annotated[str, Meta(max_length=16)]
    size: Annotated[int, Meta(ge=0, le=1 << 32)]
    expires: _Millis


class ReplyItem(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True):
    """One reply: `id` of the request (or of the whole lot that was refused), status, data, and what it rests on.

    `tickets` are for the node alone; `trace` and `sources` are the request's.
    """

    id: RequestId
    status: int
    application: str = ""
    digest: str = ""
    deadline: int = 0
    message: Annotated[str, Meta(max_length=1_024)] = ""
    data: msgspec.Raw = NO_DATA
    scenario: str = ""
    evidence: str = ""
    attempt: int = 1
    tickets: tuple[Ticket, ...] = ()
    trace: Annotated[str, Meta(max_length=MAX_TRACE_CHARS)] = ""
    sources: tuple[str, ...] = ()
    hops: _AllHops = msgspec.field(default_factory=dict)


T = TypeVar("T", bound=Struct)


def _decoder(kind: type[T]) -> Callable[[bytes], T]:
    """JSON to this type; raises only msgspec.DecodeError."""
    decode = msgspec.json.Decoder(kind).decode

    def decoded(raw: bytes) -> T:
        try:
            return decode(raw)
        except MALFORMED as error:
            raise msgspec.DecodeError(str(error)) from error

    return decoded


decode_request = _decoder(RequestItem)
decode_bare = _decoder(BareItem)
decode_reply = _decoder(ReplyItem)
encode: Callable[[object], bytes] = msgspec.json.Encoder().encode
_data = {key: _decoder(row.request) for key, row in INTERFACES.items()}


def decode_data(item: RequestItem) -> Asked | None:
    """The typed data of a request, None for an interface that there is not; raises LotError("form")."""
    decoder = _data.get(item.interface)
    if decoder is None:
        return None
    try:
        return decoder(item.data)
    except msgspec.DecodeError as error:
        raise LotError("form", trusted=True) from error


def request_digest(interface: str, application: str, head: Head, data: Asked | None) -> str:
    """SHA-256 hex over the typed request in canonical form: declared order, defaults left out (DESIGN §5)."""
    return hashlib.sha256(encode((interface, application, head, data))).hexdigest()
