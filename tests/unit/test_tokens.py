"""Access tokens and the assertions they are issued for: whose, for whom, until when, and every forgery."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from msgspec.structs import replace

from broker.bus.keys import KeySigner
from broker.gateway import tokens
from broker.gateway.tokens import (
    MAX_ASSERTION_SECONDS,
    TOKEN_SECONDS,
    Claims,
    TokenDesk,
    check_assertion,
    issue,
    read_claims,
    sign_claims,
)
from broker.registry.snapshot import Snapshot
from schemas.jose import b64
from schemas.statuses import RefusedError
from schemas.wire import sign_compact
from tests.support_registry import APPLICATION, NODE, OTHER_NODE, application, compiled, new_party_keys

NOW: Final = 1_780_000_000
KEYS: Final = {name: new_party_keys(name) for name in (NODE, OTHER_NODE, APPLICATION)}
SIGNERS: Final = {name: KeySigner(keys.signing) for name, keys in KEYS.items()}
AUDIENCES: Final = frozenset({NODE, "https://gateway.test/oauth2/token"})
KNOWN: Final = replace(application(), key=KEYS[APPLICATION].signing.public)
SNAPSHOT: Final = compiled(KNOWN)
TOKEN: Final = issue(SIGNERS[NODE], node=NODE, application=APPLICATION, now=NOW)


def desk() -> TokenDesk:
    return TokenDesk(node=NODE, key=KEYS[NODE].signing.public)


def refused(call: Callable[[], object]) -> int:
    with pytest.raises(RefusedError) as error:
        call()
    return error.value.code


def claims(**changes: Any) -> Claims:
    made = Claims(iss=APPLICATION, sub=APPLICATION, aud=NODE, iat=NOW, exp=NOW + 60, jti="one")
    return replace(made, **changes)


def checked(assertion: str, *, client_id: str = "", snapshot: Snapshot = SNAPSHOT) -> Claims:
    return check_assertion(assertion, client_id=client_id, node=NODE, audiences=AUDIENCES, snapshot=snapshot, now=NOW)


def test_token_of_an_application() -> None:
    """A token names its application to every gateway of the node that issued it."""
    for scheme in ("Bearer ", "bearer ", "BEARER  "):
        assert desk().application_of(scheme + TOKEN, SNAPSHOT, NOW) == APPLICATION


def test_token_again() -> None:
    """A token whose signature was remembered is judged by the clock and the registry each time again."""
    one = desk()
    for _ in range(2):
        assert one.application_of(f"Bearer {TOKEN}", SNAPSHOT, NOW) == APPLICATION
    assert refused(lambda: one.application_of(f"Bearer {TOKEN}", SNAPSHOT, NOW + TOKEN_SECONDS)) == 2004
    suspended = compiled(replace(KNOWN, suspended=True))
    assert refused(lambda: one.application_of(f"Bearer {TOKEN}", suspended, NOW)) == 11


@pytest.mark.parametrize(("after", "code"), [(TOKEN_SECONDS - 1, 0), (TOKEN_SECONDS, 2004), (TOKEN_SECONDS + 1, 2004)])
def test_end_of_a_token(after: int, code: int) -> None:
    """A token lives two hours, its last second not included, and is then expired and not unknown."""
    if code:
        assert refused(lambda: desk().application_of(f"Bearer {TOKEN}", SNAPSHOT, NOW + after)) == code
    else:
        assert desk().application_of(f"Bearer {TOKEN}", SNAPSHOT, NOW + after) == APPLICATION


@pytest.mark.parametrize("text", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer{TOKEN}"])
def test_no_token(text: str) -> None:
    """An Authorization header without a bearer token is 11."""
    assert refused(lambda: desk().application_of(text, SNAPSHOT, NOW)) == 11


def parts(token: str) -> list[str]:
    return token.split(".")


def forged_header(**header: str) -> str:
    return ".".join((b64(msgspec.json.encode(header)), *parts(TOKEN)[1:]))


FORGERIES: Final = {
    "another node's key": issue(SIGNERS[OTHER_NODE], node=NODE, application=APPLICATION, now=NOW),
    "the application's own key": issue(SIGNERS[APPLICATION], node=NODE, application=APPLICATION, now=NOW),
    "for another node": sign_claims(SIGNERS[NODE], claims(iss=NODE, aud=OTHER_NODE)),
    "by another node": sign_claims(SIGNERS[NODE], claims(iss=OTHER_NODE, aud=NODE)),
    "unknown application": issue(SIGNERS[NODE], node=NODE, application="nobody", now=NOW),
    "another payload": ".".join((parts(TOKEN)[0], b64(msgspec.json.encode(claims(iss=NODE))), parts(TOKEN)[2])),
    "another signature": TOKEN[:-4] + ("AAAA" if TOKEN[-4:] != "AAAA" else "BBBA"),
    "no signature": ".".join((*parts(TOKEN)[:2], "")),
    "alg none": forged_header(alg="none", kid=""),
    "alg HS256": forged_header(alg="HS256", kid=SIGNERS[NODE].kid),
    "another key id": forged_header(alg="EdDSA", kid="x"),
    "not claims": sign_compact(SIGNERS[NODE], b'{"iss":1}').decode(),
    "not JSON": sign_compact(SIGNERS[NODE], b"text").decode(),
    "lone surrogate in it": sign_compact(SIGNERS[NODE], b'{"iss":"\\ud800"}').decode(),
    "empty names": sign_compact(SIGNERS[NODE], b'{"iss":"","sub":"","aud":"","exp":9999999999,"jti":"x"}').decode(),
    "words": "not-a-token",
    "not ASCII": "证照",
    "too long": "a" * 100_000,
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_tokens(name: str) -> None:
    """A token that this node did not issue for an application of its own is 11."""
    assert refused(lambda: desk().application_of(f"Bearer {FORGERIES[name]}", SNAPSHOT, NOW)) == 11


def test_forgery_is_not_remembered() -> None:
    """A forged token takes no place among the verified ones, and those are bounded."""
    one = desk()
    for token in FORGERIES.values():
        refused(lambda token=token: one.application_of(f"Bearer {token}", SNAPSHOT, NOW))  # type: ignore[misc]
    remembered = set(one._verified)
    assert FORGERIES["another node's key"] not in remembered
    assert tokens._REMEMBERED == 4_096


@pytest.mark.parametrize("changes", [{"suspended": True}, {"node": OTHER_NODE}])
def test_application_is_no_longer_ours(changes: dict[str, Any]) -> None:
    """A good token of an application that was suspended or moved to another node is 11."""
    snapshot = compiled(replace(KNOWN, **changes))
    assert refused(lambda: desk().application_of(f"Bearer {TOKEN}", snapshot, NOW)) == 11


def test_tokens_differ() -> None:
    """Two tokens issued in the same second differ."""
    assert issue(SIGNERS[NODE], node=NODE, application=APPLICATION, now=NOW) != TOKEN


def test_good_assertion() -> None:
    """An assertion of the application for this node, with or without client_id, is accepted."""
    assertion = sign_claims(SIGNERS[APPLICATION], claims())
    assert checked(assertion) == checked(assertion, client_id=APPLICATION) == claims()


@pytest.mark.parametrize("audience", sorted(AUDIENCES))
def test_audiences(audience: str) -> None:
    """An assertion names the node or its token endpoint (RFC 7523 §3)."""
    assert checked(sign_claims(SIGNERS[APPLICATION], claims(aud=audience))).aud == audience


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "another"},
        {"sub": "another"},
        {"aud": OTHER_NODE},
        {"exp": NOW - 6},
        {"exp": NOW + MAX_ASSERTION_SECONDS + 6},
    ],
)
@pytest.mark.parametrize("client_id", ["", APPLICATION])
def test_wrong_assertions(changes: dict[str, Any], client_id: str) -> None:
    """An assertion by, about or for somebody else, past its end or with a far one, is 11."""
    assertion = sign_claims(SIGNERS[APPLICATION], claims(**changes))
    assert refused(lambda: checked(assertion, client_id=client_id)) == 11


@pytest.mark.parametrize("signer", [NODE, OTHER_NODE])
def test_assertion_of_another_key(signer: str) -> None:
    """Nobody but the application signs for it, not even its node."""
    assert refused(lambda: checked(sign_claims(SIGNERS[signer], claims()))) == 11


def test_token_is_no_assertion() -> None:
    """A token is not taken for an assertion."""
    assert refused(lambda: checked(TOKEN)) == 11
    assert refused(lambda: checked(TOKEN, client_id=APPLICATION)) == 11


@pytest.mark.parametrize("changes", [{"suspended": True}, {"node": OTHER_NODE}, {"key": None}])
def test_client_without_a_right(changes: dict[str, Any]) -> None:
    """An application that is suspended, of another node or without a key gets no token."""
    snapshot = compiled(replace(KNOWN, **changes))
    assertion = sign_claims(SIGNERS[APPLICATION], claims())
    assert refused(lambda: checked(assertion, snapshot=snapshot)) == 11


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "证照", b64(b"{}") * 3, "a" * 100_000])
@pytest.mark.parametrize("client_id", ["", APPLICATION, "nobody"])
def test_unreadable_assertions(text: str, client_id: str) -> None:
    """A text that is no assertion is 11, and nothing else is ever raised."""
    assert refused(lambda: checked(text, client_id=client_id)) == 11


HOSTILE: Final = [b'{"sub":"\xff"}', b'{"more":' + b"[" * 2_000 + b"]" * 2_000 + b"}"]


@pytest.mark.parametrize("payload", HOSTILE)
def test_hostile_payload_of_a_stranger(payload: bytes) -> None:
    """A payload with bad UTF-8 or deep nesting is 11 before anybody's key is asked."""
    assert refused(lambda: checked(sign_compact(SIGNERS[OTHER_NODE], payload).decode())) == 11


@pytest.mark.parametrize("payload", HOSTILE)
def test_hostile_payload_of_a_client(payload: bytes) -> None:
    """A payload with bad UTF-8 or deep nesting is 11 even when it is rightly signed."""
    token = sign_compact(SIGNERS[APPLICATION], payload).decode()
    assert refused(lambda: read_claims(token, KNOWN.key or KEYS[NODE].signing)) == 11


def test_refusals_do_not_repeat_the_token() -> None:
    """No refusal repeats what was sent."""
    with pytest.raises(RefusedError) as error:
        desk().application_of(f"Bearer {FORGERIES['another payload']}", SNAPSHOT, NOW)
    assert all(part not in f"{error.value}{error.value.detail}" for part in parts(FORGERIES["another payload"]))
