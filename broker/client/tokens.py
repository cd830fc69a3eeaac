"""The client's token: given, or got for an assertion that the application signed, and renewed in time (RFC 7523)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from broker.bus.keys import KeySigner
from broker.client.conversation import Conversation
from broker.client.errors import MalformedError
from broker.client.steps import Got, Letter
from schemas.oauth import ASSERTION_TYPE, GRANT_TYPE, TOKEN_PATH
from schemas.wire import sign_compact

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.bus.keys import KeyFile
    from broker.client.conversation import Times

_ASSERTION_SECONDS = 60
_RENEWED_AT = 0.9  # of its life, so that no call meets its end
_FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}

_encode = msgspec.json.Encoder().encode


class Assertions:
    """Writes assertions of one application; `node` is for whom, else the token address of the gateway that is asked."""

    def __init__(self, *, keys: KeyFile, application: str, node: str, wall_ms: Callable[[], int]) -> None:
        self._signer = KeySigner(keys.signing)
        self._application, self._node, self._wall_ms = application, node, wall_ms

    def write(self, gateway: str) -> bytes:
        """The form of one token request; never the same twice, because each assertion counts once."""
        issued = self._wall_ms() // 1000
        claims = {
            "iss": self._application,
            "sub": self._application,
            "aud": self._node or gateway + TOKEN_PATH,
            "iat": issued,
            "exp": issued + _ASSERTION_SECONDS,
            "jti": uuid.uuid4().hex,
        }
        form = {
            "grant_type": GRANT_TYPE,
            "client_id": self._application,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": sign_compact(self._signer, _encode(claims), "JWT").decode(),
        }
        return urlencode(form).encode()


class Issued(Struct, frozen=True, kw_only=True):
    """A token as it is answered; never shown."""

    access_token: str
    expires_in: int

    def __repr__(self) -> str:
        return f"Issued(expires_in={self.expires_in})"


class _Held(NamedTuple):
    token: str
    good_until: float


_issued = msgspec.json.Decoder(Issued).decode


class Tokens:
    """What a client holds; `now` is a monotonic clock's."""

    def __init__(self, *, given: str = "", assertions: Assertions | None = None) -> None:
        self._assertions = assertions
        self._held = _Held(given, float("inf"))

    @property
    def renewable(self) -> bool:
        return self._assertions is not None

    def current(self, now: float, *, not_this: str = "") -> str:
        """A token to use, empty when one must be got first; `not_this` was not accepted."""
        good = self._held.token != not_this and now < self._held.good_until
        return self._held.token if good or self._assertions is None else ""

    def conversation(self, times: Times) -> Conversation[Issued]:
        """The one that gets a token."""
        assert self._assertions is not None
        letter = Letter("POST", TOKEN_PATH, _FORM, self._assertions.write, authorised=False)
        return Conversation(letter, read=_read, times=times)

    def take(self, issued: Issued, now: float) -> str:
        self._held = _Held(issued.access_token, now + issued.expires_in * _RENEWED_AT)
        return issued.access_token


def _read(got: Got) -> Issued:
    try:
        return _issued(got.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedError("the token's answer has no access_token and expires_in") from error
