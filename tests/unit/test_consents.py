"""A consent: what its issuer signed for whom, and every way in which a token can be none."""

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.bus.keys import KeyFile, KeyOpener, KeySigner, Sealer
from broker.registry.snapshot import Snapshot
from schemas.consents import (
    CONSENT_TYPE,
    MAX_CONSENT_CHARS,
    Consent,
    ConsentError,
    Consenting,
    OpenedConsent,
    open_consent,
    seal_holder,
    sign_consent,
)
from schemas.jose import b64, unb64
from schemas.registry import Party, PartyKey
from schemas.scenes import ConsentMode
from schemas.wire import sign_compact
from tests.support_registry import APPLICATION, CARD, CITIZEN_ID, NODE, ORG, SCENE, compiled, new_party_keys, party

NOW: Final = 1_780_300_000_000
KEYS: Final = {name: new_party_keys(name) for name in ("31", "32", "34", NODE)}
REGISTRY: Final = compiled(*(party(keys) for keys in KEYS.values()))
WHOSE: Final = Consenting(code=CITIZEN_ID, type_code="111")
ID: Final = "0123456789abcdef0123456789abcdef"


def sealed(to: str, whose: Consenting = WHOSE, *, issuer: str = "34", consent: str = ID) -> str:
    """Who consented, for this province."""
    return seal_holder(whose, Sealer().next(to, KEYS[to].sealing.public), issuer=issuer, consent=consent)


def consent(**changes: Any) -> Consent:
    """A consent that Anhui issued for two sources."""
    made = Consent(
        id=ID,
        iss="34",
        mode=ConsentMode.CODE,
        scene=SCENE,
        node=NODE,
        application=APPLICATION,
        org=ORG,
        types=(CARD,),
        holder={"31": sealed("31"), "32": sealed("32")},
        iat=NOW - 1,
        exp=NOW + 600_000,
        case="TEST-1",
    )
    return replace(made, **changes)


GOOD: Final = consent()
TOKEN: Final = sign_consent(GOOD, KeySigner(KEYS["34"].signing))


def signed(claims: Any, by: KeyFile = KEYS["34"], typ: str | None = CONSENT_TYPE) -> str:
    """A token of whatever claims."""
    return sign_compact(KeySigner(by.signing), json.dumps(claims).encode(), typ).decode()


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of the good token, some of them changed, as they are written."""
    written: dict[str, Any] = json.loads(unb64(TOKEN.split(".")[1]))
    return {name: value for name, value in {**written, **changes}.items() if value is not ...}


def opened(text: str, *, at: str = "32", registry: Snapshot = REGISTRY, now: int = NOW) -> OpenedConsent | str:
    """The consent, or why it is none."""
    try:
        return open_consent(text, registry, KeyOpener(KEYS[at].sealing), at, now)
    except ConsentError as error:
        return error.reason


@pytest.mark.parametrize("at", ["31", "32"])
def test_each_source_reads_it(at: str) -> None:
    """Each source that a consent is for reads its claims and its holder."""
    assert opened(TOKEN, at=at) == OpenedConsent(GOOD, CITIZEN_ID, "111")


def test_agents() -> None:
    """Who acted for the holder is told to the sources with the holder."""
    holder = {"32": sealed("32", replace(WHOSE, agent="414T1"))}
    token = sign_consent(consent(holder=holder, mode=ConsentMode.AGENT), KeySigner(KEYS["34"].signing))
    told = opened(token)
    assert isinstance(told, OpenedConsent)
    assert told.agent_code == "414T1"


def test_an_agent_acts_only_by_a_mandate() -> None:
    """A consent by an agent names the agent, and no other consent names one."""
    signer = KeySigner(KEYS["34"].signing)
    named = {"32": sealed("32", replace(WHOSE, agent="414T1"))}
    assert opened(sign_consent(consent(holder=named), signer)) == "agent"
    assert opened(sign_consent(consent(mode=ConsentMode.AGENT), signer)) == "agent"


def test_nothing_personal_is_in_the_open() -> None:
    """Neither holder nor kind of code can be read from a token without a source's key."""
    whole = TOKEN.encode() + b"".join(unb64(part) for part in TOKEN.split("."))
    whole += b"".join(unb64(part) for text in GOOD.holder.values() for part in text.split("."))
    assert CITIZEN_ID.encode() not in whole


def test_size() -> None:
    """A consent for four provinces and all the types it may name is small enough; a larger one is never signed."""
    provinces = dict.fromkeys(("31", "32", "33", "34"), GOOD.holder["32"])
    types = tuple(f"{place:021}" for place in range(64))
    token = sign_consent(consent(holder=provinces, types=types), KeySigner(KEYS["34"].signing))
    assert len(token) < MAX_CONSENT_CHARS
    with pytest.raises(ValueError, match="too long"):
        sign_consent(
            consent(holder={str(place): GOOD.holder["32"] for place in range(20)}), KeySigner(KEYS["34"].signing)
        )


def test_another_province() -> None:
    """A province that a consent is not for reads nothing of it."""
    assert opened(TOKEN, at="34") == "not for us"


ALTERED: Final[dict[str, Any]] = {
    "id": "f" * 32,
    "iss": "31",
    "mode": "ONLINE",
    "scene": "YRD-310000-2026-00009",
    "node": "31-sdk",
    "application": "another",
    "org": "another",
    "types": ["11100000MB0143028R001"],
    "holder": {"32": sealed("32", Consenting(code="T1", type_code="414"))},
    "iat": NOW,
    "exp": NOW + 700_000,
    "case": "TEST-2",
    "once": False,
    "level": 3,
}


def test_every_claim_is_altered_here() -> None:
    """The test below leaves no claim out."""
    assert ALTERED.keys() == set(Consent.__struct_fields__)


@pytest.mark.parametrize("name", ALTERED)
def test_altered_claims(name: str) -> None:
    """A token of which one claim was altered is signed by nobody."""
    header, _, signature = TOKEN.split(".")
    altered = claims(**{name: ALTERED[name]})
    assert altered != claims()
    assert opened(f"{header}.{b64(json.dumps(altered).encode())}.{signature}") == "signature"


@pytest.mark.parametrize("name", ["id", "iss"])
def test_a_seal_is_of_one_consent(name: str) -> None:
    """The holder of one consent cannot be put into another one, whoever signs that."""
    value = {"id": "f" * 32, "iss": "31"}[name]
    assert opened(signed(claims(**{name: value}), KEYS["31"] if name == "iss" else KEYS["34"])) == "not for us"


def test_a_seal_is_for_one_province() -> None:
    """A holder that was sealed for one province is none for another, whatever place it is put in."""
    assert opened(signed(claims(holder={"32": GOOD.holder["31"]}))) == "not for us"


def test_other_issuers() -> None:
    """Who is not the issuer cannot sign for it: another province, a node, somebody unknown."""
    assert opened(signed(claims(), KEYS["31"])) == "signature"
    assert opened(signed(claims(), KEYS[NODE])) == "signature"
    assert opened(signed(claims(), new_party_keys("34"))) == "signature"


def test_a_node_is_no_issuer() -> None:
    """A node that signs for itself issues no consents."""
    assert opened(signed(claims(iss=NODE, holder={"32": sealed("32", issuer=NODE)}), KEYS[NODE])) == "signature"


def test_an_unknown_issuer() -> None:
    """A province that the registry does not know issues no consents."""
    assert opened(signed(claims(iss="99"), new_party_keys("99"))) == "signature"


def known(key: PartyKey) -> Snapshot:
    """A registry in which this is the issuer's signing key."""
    issuer = Party(id="34", kind="province", name="34", keys=(key,))
    return compiled(issuer, *(party(keys) for name, keys in KEYS.items() if name != "34"))


@pytest.mark.parametrize(
    ("not_before", "not_after", "revoked", "good"),
    [
        (0, NOW + 1, False, True),
        (0, NOW, False, True),  # rotated since it was signed
        (0, NOW - 1, False, False),
        (NOW - 1, NOW + 1, False, True),
        (NOW, NOW + 1, False, False),
        (0, NOW + 1, True, False),
    ],
)
def test_when_it_was_signed(not_before: int, not_after: int, *, revoked: bool, good: bool) -> None:
    """A consent is good by the key its issuer had when it was made, and by no key that was revoked."""
    key = PartyKey(jwk=KEYS["34"].signing.public, not_before=not_before, not_after=not_after, revoked=revoked)
    told = opened(TOKEN, registry=known(key))
    assert told == "signature" if not good else isinstance(told, OpenedConsent)


def test_a_key_of_tomorrow() -> None:
    """A consent from the future is not good by a key that is not valid yet."""
    key = PartyKey(jwk=KEYS["34"].signing.public, not_before=NOW + 10, not_after=NOW + 100)
    token = signed(claims(iat=NOW + 20))
    assert opened(token, registry=known(key)) == "signature"


SEALED: Final = GOOD.holder["32"]


@pytest.mark.parametrize(
    "holder",
    [
        {},
        {"32": ""},
        {"32": "."},
        {"32": "...."},
        {"32": SEALED[:-4]},
        {"32": SEALED + "AAAA"},
        {"32": SEALED.rpartition(".")[0]},
        {"32": "." + SEALED},
        {"32": SEALED.replace(".", "")},
        {"32": SEALED.partition(".")[2]},
        {"32": "\u4e0a." + SEALED},
        {"032": SEALED},
    ],
)
def test_broken_seals(holder: dict[str, str]) -> None:
    """A holder whose seal cannot be opened is a consent that is not for us."""
    assert opened(signed(claims(holder=holder))) == "not for us"


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b'{"code":1}', b"\xff", b"[" * 1_100])
def test_strange_holders(content: bytes) -> None:
    """A seal in which no holder lies is a consent that is not for us."""
    sealing = Sealer().next("32", KEYS["32"].sealing.public)
    header, _ = seal_holder(WHOSE, sealing, issuer="34", consent=ID).rsplit(".", 1)
    value = sealing.cipher.encrypt(sealing.nonce, content, header.split(".")[0].encode())
    assert opened(signed(claims(holder={"32": f"{header}.{b64(value)}"}))) == "not for us"


@pytest.mark.parametrize(
    "changes",
    [
        *({name: ...} for name in ("id", "iss", "mode", "scene", "node", "application", "org", "types", "holder")),
        {"iat": ...},
        {"exp": ...},
        {"id": "x" * 32},
        {"id": ID + "\n"},
        {"id": ID.upper()},
        {"mode": "ANY"},
        {"mode": None},
        {"types": [CARD] * 65},
        {"types": CARD},
        {"holder": []},
        {"holder": {"32": 1}},
        {"holder": {"32": "x" * 2_049}},
        {"holder": {str(place): "x" for place in range(65)}},
        {"iat": "now"},
        {"iat": -1},
        {"exp": 1 << 54},
        {"exp": 1e300},
        {"case": "x" * 129},
        {"once": "no"},
        {"level": 5},
    ],
)
def test_malformed_claims(changes: dict[str, Any]) -> None:
    """Claims that are not as they should be make no consent, also under the right signature."""
    assert opened(signed(claims(**changes))) == "form"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "..",
        "a.b.c",
        TOKEN[:-1],
        TOKEN[: len(TOKEN) // 2],
        TOKEN + "=",
        TOKEN + ".",
        " " + TOKEN,
        TOKEN + "\n",
        "上" * 9,
        "\0",
        "A" * (1 << 20),
        TOKEN + "A" * (1 << 20),
        "." * (1 << 20),
    ],
)
def test_texts_that_are_no_tokens(text: str) -> None:
    """What is no token of ours, cut off or a megabyte long, is none for its form or its signature."""
    assert opened(text) in {"form", "signature"}


@pytest.mark.parametrize("typ", [None, "JWT", "certlane-intake", "certlane-refusal"])
def test_other_signatures(typ: str | None) -> None:
    """What a province signed for something else is no consent."""
    assert opened(signed(claims(), typ=typ)) == "form"


@given(st.text(max_size=60) | st.text("abcABC019._-", max_size=200))
def test_any_text(text: str) -> None:
    """Any text is told to be none, and the reason repeats nothing of it."""
    assert opened(text) in {"form", "signature"}


@given(place=st.integers(0, len(TOKEN) - 1), letter=st.sampled_from("AQgw05_-."))
def test_any_change(place: int, letter: str) -> None:
    """A token of which any one character is another one is none."""
    changed = TOKEN[:place] + letter + TOKEN[place + 1 :]
    assert changed == TOKEN or opened(changed) in {"form", "signature"}
