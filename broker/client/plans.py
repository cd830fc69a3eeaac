"""What a client can be asked, each as the conversation that brings it about: both clients are made from this table."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack
from urllib.parse import quote

import msgspec

from broker.client.answers import Answer, partial_answer, read_answer
from broker.client.conversation import Conversation, Gateways, Times
from broker.client.steps import Letter, nothing
from schemas.answers import CodeAnswer, DataAnswer, FileAnswer, SearchAnswer, VerdictAnswer
from schemas.interfaces import INTERFACES
from schemas.lot import MAX_DEADLINE_AHEAD_MS
from schemas.offers import ScenesAnswer, TypesAnswer
from schemas.sharing import DEFAULT_DEADLINE_MS, DEFAULT_PAGE_SIZE, DIGEST, Asked, CodeOperator, Head

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.client.tokens import Tokens

A = TypeVar("A")
_JSON = {"accept": "application/json"}
_ASK = {**_JSON, "content-type": "application/json"}
_DEFAULT_DEADLINE_SECONDS, _MAX_DEADLINE_SECONDS = DEFAULT_DEADLINE_MS / 1000, MAX_DEADLINE_AHEAD_MS / 1000

_encode = msgspec.json.Encoder().encode

# method of a client -> interface
METHODS = {
    "search": "I1",
    "file_by_id": "I2",
    "file_by_holder": "I3",
    "data_by_id": "I4",
    "data_by_holder": "I5",
    "verify_file": "I6",
    "verify_code": "I7",
}


class Call(TypedDict, total=False):
    """What may differ from the client's other calls; what `head` leaves out stays as the client has it.

    `deadline_seconds` bounds the whole call, and nobody works on the request after it. With a `request_id` of your own
    (32 hex digits) a call may be repeated after a crash, and is still one request.
    """

    head: Head
    request_id: str
    wait_seconds: float
    deadline_seconds: float


class AnyRequest(Call, total=False):
    region_codes: tuple[str, ...]
    use_for: str


class FileChoice(AnyRequest, total=False):
    """`original`: 原件; cause and expiry are for an annotated copy (加注件)."""

    file_format: str
    original: bool
    copy_cause: str
    copy_expiring_time: str


class Holder(AnyRequest, total=False):
    """More about whose certificates, and which: the type by its code, or by its name."""

    holder_name: str
    type_code: str
    type_name: str
    number: str


class HolderFile(Holder, FileChoice, total=False):
    pass


class HolderData(Holder, total=False):
    fields: tuple[str, ...]


class IdentifierData(AnyRequest, total=False):
    fields: tuple[str, ...]


class FileProof(AnyRequest, total=False):
    certificate_id: str


class CodeUse(AnyRequest, total=False):
    """What may be told of the scan (DOMAIN §4, I7)."""

    code_region: str
    requested_types: tuple[str, ...]
    operator: CodeOperator
    equipment_name: str
    equipment_code: str
    case_id: str
    num: str
    case_code: str
    case_name: str


class Core:
    """A client without its I/O; `now` gives seconds of a monotonic clock, `wall_ms` unix time, `draw` jitter."""

    def __init__(
        self,
        *,
        gateways: Gateways,
        tokens: Tokens,
        head: Head,
        wait_seconds: float,
        deadline_seconds: float | None,
        now: Callable[[], float],
        wall_ms: Callable[[], int],
        draw: Callable[[], float],
    ) -> None:
        self.gateways, self.tokens, self.now = gateways, tokens, now
        self._head, self._wait, self._deadline = head, wait_seconds, deadline_seconds
        self._wall_ms, self._draw = wall_ms, draw

    def times(self, seconds: float | None = None) -> Times:
        """The time of one conversation, from now; raises ValueError beyond what a request may have."""
        seconds = seconds or self._deadline or _DEFAULT_DEADLINE_SECONDS
        if not 0 < seconds <= _MAX_DEADLINE_SECONDS:
            raise ValueError(f"deadline_seconds: more than 0, at most {_MAX_DEADLINE_SECONDS:.0f}")
        return Times(self.gateways, ends=self.now() + seconds, draw=self._draw)

    def search(
        self,
        *,
        holder_code: str,
        holder_type_code: str,
        page_no: int = 1,
        page_size: int = DEFAULT_PAGE_SIZE,
        **more: Unpack[Holder],
    ) -> Conversation[Answer[SearchAnswer]]:
        """I1 电子证照检索: which certificates a holder has, over all provinces of the scenario."""
        told = {"holder_code": holder_code, "holder_type_code": holder_type_code}
        return self._asked("search", SearchAnswer, {**told, "page_no": page_no, "page_size": page_size, **more})

    def file_by_id(self, *, certificate_id: str, **more: Unpack[FileChoice]) -> Conversation[Answer[FileAnswer]]:
        """I2 基于证照标识下载证照文件; `download` brings the bytes."""
        return self._asked("file_by_id", FileAnswer, {"certificate_id": certificate_id, **more})

    def file_by_holder(
        self, *, holder_code: str, holder_type_code: str, **more: Unpack[HolderFile]
    ) -> Conversation[Answer[FileAnswer]]:
        """I3 基于持证主体下载证照文件: `type_code` or `type_name` must be there."""
        told = {"holder_code": holder_code, "holder_type_code": holder_type_code}
        return self._asked("file_by_holder", FileAnswer, {**told, **more})

    def data_by_id(self, *, certificate_id: str, **more: Unpack[IdentifierData]) -> Conversation[Answer[DataAnswer]]:
        """I4 基于证照标识获取证照信息; `fields` narrows what the scenario grants."""
        return self._asked("data_by_id", DataAnswer, {"certificate_id": certificate_id, **more})

    def data_by_holder(
        self, *, holder_code: str, holder_type_code: str, **more: Unpack[HolderData]
    ) -> Conversation[Answer[DataAnswer]]:
        """I5 基于持证主体获取证照信息: `type_code` or `type_name` must be there."""
        told = {"holder_code": holder_code, "holder_type_code": holder_type_code}
        return self._asked("data_by_holder", DataAnswer, {**told, **more})

    def verify_file(
        self, *, type_code: str, content: bytes | str, **more: Unpack[FileProof]
    ) -> Conversation[Answer[VerdictAnswer]]:
        """I6 电子证照文件核验: the file's bytes (to 7 MiB), or its SM3 in hex as text, and the file stays at home."""
        proof = {"content_type": DIGEST, "content": content}
        if isinstance(content, bytes):
            proof = {"content_type": "base64", "content": base64.b64encode(content).decode()}
        return self._asked("verify_file", VerdictAnswer, {"type_code": type_code, **proof, **more})

    def verify_code(
        self, *, code: str, pos: str, use: str, **more: Unpack[CodeUse]
    ) -> Conversation[Answer[CodeAnswer]]:
        """I7 政务服务码验证: the scanned text, the place and the purpose of the scan."""
        return self._asked("verify_code", CodeAnswer, {"code": code, "pos": pos, "use": use, **more})

    def ask(self, interface: str, data: Asked, kind: type[A], **call: Unpack[Call]) -> Conversation[Answer[A]]:
        """Any interface by its key, with typed data, answered as `kind` (`INTERFACES[interface].answer`)."""
        request_id = call.get("request_id") or uuid.uuid4().hex
        seconds = call.get("deadline_seconds", self._deadline)
        head = _over(self._head, call.get("head")) | {"version": "1.0", "requestId": request_id}
        if seconds is not None:  # else the gateway counts its own sixty seconds, whatever our clock says
            head["deadline"] = self._wall_ms() + int(seconds * 1000)
        body = _encode({"head": head, "data": data})
        held = int(min(call.get("wait_seconds", self._wait), seconds or _DEFAULT_DEADLINE_SECONDS))
        prefer = f"wait={held}" if held else "respond-async"
        letter = Letter(
            "POST", INTERFACES[interface].path, {**_ASK, "prefer": prefer}, lambda _gateway: body, float(held)
        )
        return self._talk(letter, kind, request_id, self.times(seconds), _look(request_id))

    def collect(
        self, request_id: str, kind: type[A], *, deadline_seconds: float | None = None
    ) -> Conversation[Answer[A]]:
        """The answer of an earlier request of this application, of the kind that its interface gives."""
        letter = _look(request_id)
        return self._talk(letter, kind, request_id, self.times(deadline_seconds), letter)

    def rest(self, answer: Answer[A], *, deadline_seconds: float | None = None) -> Conversation[Answer[A]]:
        """The whole of a partial answer once its late parts are in; what there is by then when the time is over."""
        kind = type(answer.data)
        letter = _look(answer.request_id)
        talk = self._talk(letter, kind, answer.request_id, self.times(deadline_seconds), letter)
        talk.holds(answer)
        if answer.final:
            talk.ended(answer)
        return talk

    def scenes(self) -> Conversation[Answer[ScenesAnswer]]:
        """The scenarios that the application may name."""
        return self._talk(Letter("GET", "/v1/scenes", _JSON, nothing), ScenesAnswer, "", self.times())

    def types(self) -> Conversation[Answer[TypesAnswer]]:
        """The certificate types in them."""
        return self._talk(Letter("GET", "/v1/types", _JSON, nothing), TypesAnswer, "", self.times())

    def _asked(self, method: str, kind: type[A], told: dict[str, Any]) -> Conversation[Answer[A]]:
        row = INTERFACES[METHODS[method]]
        call: Any = {name: told.pop(name) for name in Call.__annotations__ if name in told}
        return self.ask(row.key, row.request(**told), kind, **call)

    def _talk(
        self, letter: Letter, kind: type[A], request_id: str, times: Times, later: Letter | None = None
    ) -> Conversation[Answer[A]]:
        return Conversation(
            letter,
            read=lambda got: read_answer(got, kind),
            times=times,
            request_id=request_id,
            later=later,
            glimpse=lambda got: partial_answer(got, kind),
            renewable=self.tokens.renewable,
        )


def _look(request_id: str) -> Letter:
    return Letter("GET", f"/v1/requests/{quote(request_id, safe='')}", _JSON, nothing)


def _over(standing: Head, told: Head | None) -> dict[str, Any]:
    """The client's head with what this call says otherwise."""
    own: dict[str, Any] = msgspec.to_builtins(told) if told else {}
    return {**msgspec.to_builtins(standing), **own}
