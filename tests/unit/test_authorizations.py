"""What a redeemed code tells, and the authorization it gives: for whom, for what, until when, and always the same."""

from typing import Any, Final

import msgspec
import pytest
from msgspec.structs import replace

from broker.bus.keys import KeyFile, KeyOpener
from broker.registry.snapshot import Snapshot
from schemas.answers import CodeAnswer
from schemas.consents import OpenedConsent
from schemas.form import check_form
from schemas.interfaces import INTERFACES
from schemas.items import RequestItem, decode_data, request_digest
from schemas.scenes import Basis, ConsentMode, ConsentRule, LegalBasis, Scene, SceneType
from schemas.service_codes import parse_service_code
from tests.support import KEYS, request, service_code
from tests.support_registry import (
    APPLICATION,
    CARD,
    CITIZEN_ID,
    LICENCE,
    NODE,
    ORG,
    PROVINCE,
    SCENE,
    UNSHARED,
    alias_of,
    bodies,
    compiled,
    granted,
    party,
    scene,
)
from workers.consents import AUTHORIZATION_MS, Authorization, Consents
from workers.issuers.port import CodeRecord, CodeState
from workers.judge import Case, Grant, Refusal
from workers.redeeming import redeem
from workers.release import CODE_FIELDS, Released

NOW: Final = 1_780_300_000_000
SCENARIO: Final = f"{SCENE}@1"
CODE: Final = CodeRecord(
    holder_name="测小试",
    holder_code=CITIZEN_ID,
    holder_type_code="111",
    mobile="19900000123",
    expires_at=NOW + 1,
)
GIVEN: Final = Authorization("a token", (CARD,), NOW + 9)


def by_code(*types: SceneType, **changes: Any) -> Scene:
    """The scenario, living on what the holder agrees to by showing a code."""
    made = replace(
        scene(),
        consent=ConsentRule(mode=ConsentMode.CODE),
        legal_basis=LegalBasis(kind=Basis.CONSENT, text="测试用"),
        types=types or (granted(),),
    )
    return replace(made, **changes)


def registry(scene: Scene | None = None, *known: KeyFile) -> Snapshot:
    """The registry with this scenario and these provinces."""
    others = [body for body in bodies() if not isinstance(body, Scene)]
    return compiled(*others, scene or by_code(), *map(party, known or (KEYS["31"], KEYS[PROVINCE])))


def case_of(item: RequestItem | None = None, node: str = NODE, **data: Any) -> Case:
    """A request that shows the code of serial 1."""
    item = item or request(1, "I7")
    typed = decode_data(item)
    assert typed is not None
    typed = replace(typed, **data)
    digest = request_digest(item.interface, item.application, item.head, typed)
    return Case(node, b"{}", item, typed, check_form(INTERFACES["I7"], item.head, typed), digest)


def issued(case: Case | None = None, at: Snapshot | None = None, now: int = NOW) -> Authorization | None:
    """What showing the code gives, by a province that begins anew."""
    keys = KEYS[PROVINCE]
    return Consents(keys, KeyOpener(keys.sealing)).authorization(case or case_of(), CODE, at or registry(), now)


def opened(given: Authorization | None, at: str = PROVINCE) -> OpenedConsent:
    """The consent as this source reads it."""
    assert given is not None
    keys = KEYS[at]
    head = replace(request(1).head, auth_code=given.token)
    consent, wrong = Consents(keys, KeyOpener(keys.sealing)).opened(head, registry(), NOW)
    assert not wrong
    assert consent is not None
    return consent


def test_what_it_says() -> None:
    """An authorization is bound to scenario, case, requester, types and holder, for ten minutes, for one use each."""
    given = issued()
    assert given is not None
    assert (given.types, given.expires_at) == ((CARD,), NOW + 600_000 if AUTHORIZATION_MS == 600_000 else None)
    consent = opened(given)
    claims = consent.claims
    assert consent[1:] == (CITIZEN_ID, "111", "")
    assert claims.holder.keys() == {"31", PROVINCE}
    assert replace(claims, holder={}, id="0" * 32) == replace(
        claims,
        id="0" * 32,
        iss=PROVINCE,
        mode=ConsentMode.CODE,
        scene=SCENE,
        node=NODE,
        application=APPLICATION,
        org=ORG,
        types=(CARD,),
        holder={},
        iat=NOW,
        exp=NOW + 600_000,
        case="TEST-1",
        once=True,
        level=0,
    )
    assert opened(given, "31")[1:] == consent[1:]


def test_the_same_request_again() -> None:
    """Who asks again, even of an agent that has started anew, gets a consent of the same id, its time and its end."""
    first, second = (opened(issued()).claims for _ in range(2))
    assert replace(first, holder={}) == replace(second, holder={})


@pytest.mark.parametrize(
    "other",
    [
        case_of(replace(request(1, "I7"), id="f" * 32)),
        case_of(node="31-sdk"),
        case_of(request(1, "I7", business_code="TEST-2")),
        case_of(request(1, "I7", item_code="11310000MB9A0001XM2000142001002")),
        case_of(request(1, "I7", username="窗口二号（测试）")),
        case_of(replace(request(1, "I7"), application="another")),
        case_of(equipment_code="K-2"),
        case_of(pos="二号窗口"),
        case_of(requested_types=(CARD,)),
    ],
)
def test_another_redemption(other: Case) -> None:
    """Any other node, request, item, case, operator, device or requester makes another digest, and another consent."""
    assert (other.node, other.item.id, other.digest) != (NODE, case_of().item.id, case_of().digest)
    assert opened(issued(other)).claims.id != opened(issued()).claims.id


def test_each_province_has_its_own_ids() -> None:
    """Nobody but the issuer can tell the id of a consent from the request that redeemed it."""
    other = replace(KEYS[PROVINCE], holder_key="AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE")
    given = Consents(other, KeyOpener(other.sealing)).authorization(case_of(), CODE, registry(), NOW)
    assert opened(given).claims.id != opened(issued()).claims.id


@pytest.mark.parametrize("mode", [ConsentMode.NONE, ConsentMode.ONLINE, ConsentMode.AGENT])
def test_scenes_that_do_not_live_on_codes(mode: ConsentMode) -> None:
    """Where a code is not how the holder agrees, showing one agrees to nothing."""
    assert issued(at=registry(by_code(consent=ConsentRule(mode=mode)))) is None


def test_a_scenario_that_is_gone() -> None:
    """A scenario that has gone meanwhile gives no authorization."""
    assert issued(at=registry(by_code(scene_code="YRD-310000-2026-00009"))) is None


def test_a_shorter_life() -> None:
    """A scenario may let its consents live shorter than ten minutes, but not longer."""
    for seconds, wanted in ((60, 60_000), (86_400, 600_000)):
        given = issued(at=registry(by_code(consent=ConsentRule(mode=ConsentMode.CODE, ttl_seconds=seconds))))
        assert given is not None
        assert given.expires_at == NOW + wanted


TWO: Final = (granted(), replace(granted(), type_code=LICENCE, source_provinces=("31",)))


@pytest.mark.parametrize(
    ("requested", "types", "sources"),
    [
        (None, (CARD, LICENCE), {"31", PROVINCE}),
        ((), (CARD, LICENCE), {"31", PROVINCE}),
        ((CARD,), (CARD,), {"31", PROVINCE}),
        ((LICENCE, UNSHARED), (LICENCE,), {"31"}),
        ((alias_of(LICENCE),), (CARD, LICENCE), {"31", PROVINCE}),  # some province calls both so
        ((CARD, LICENCE, CARD), (CARD, LICENCE), {"31", PROVINCE}),
    ],
)
def test_scope(requested: tuple[str, ...] | None, types: tuple[str, ...], sources: set[str]) -> None:
    """The scope is what was asked for, by code or name, of what the scenario has; the holder is told to its sources."""
    given = issued(case_of(requested_types=requested), registry(by_code(*TWO)))
    assert given is not None
    assert given.types == types
    assert opened(given, "31").claims.holder.keys() == sources


@pytest.mark.parametrize("requested", [(UNSHARED,), ("nothing",), ("",)])
def test_nothing_in_scope(requested: tuple[str, ...]) -> None:
    """Who asks for nothing that the scenario has gets no authorization."""
    assert issued(case_of(requested_types=requested)) is None


def test_provinces_that_are_not_there() -> None:
    """A source that the registry does not know gets nothing sealed, and a type of it alone is left out."""
    far = replace(granted(), type_code=LICENCE, source_provinces=("33",))
    given = issued(at=registry(by_code(granted(), far)))
    assert given is not None
    assert given.types == (CARD,)
    assert issued(at=registry(by_code(far))) is None


def test_tokens_are_opened_once() -> None:
    """One token on many items of a lot is verified once, and again when a party of the registry has changed."""
    given = issued()
    assert given is not None
    keys, head = KEYS[PROVINCE], replace(request(1).head, auth_code=given.token)
    consents = Consents(keys, KeyOpener(keys.sealing))
    before, after = registry(), registry()
    first = consents.opened(head, before, NOW)
    assert consents.opened(head, before, NOW) is first
    assert consents.opened(head, after, NOW) is not first
    strange = replace(head, auth_code="nonsense")
    assert consents.opened(strange, after, NOW) == (None, "form")


def test_a_revoked_key_is_noticed() -> None:
    """A token that was good is none as soon as its issuer's key is revoked."""
    given = issued()
    assert given is not None
    keys, head = KEYS[PROVINCE], replace(request(1).head, auth_code=given.token)
    consents = Consents(keys, KeyOpener(keys.sealing))
    assert consents.opened(head, registry(), NOW)[0]
    revoked = party(KEYS[PROVINCE])
    revoked = replace(revoked, keys=tuple(replace(key, revoked=True) for key in revoked.keys))
    others = [body for body in bodies() if not isinstance(body, Scene)]
    assert consents.opened(head, compiled(*others, by_code(), revoked), NOW) == (None, "signature")


@pytest.mark.parametrize(("token", "scene_code"), [(None, SCENE), ("", SCENE), ("x", "YRD-310000-2026-00009")])
def test_nothing_to_open(token: str | None, scene_code: str) -> None:
    """Where nothing is brought, or there is no such scenario, nothing is held against a request."""
    keys = KEYS[PROVINCE]
    head = replace(request(1).head, auth_code=token, scene_code=scene_code)
    assert Consents(keys, KeyOpener(keys.sealing)).opened(head, registry(), NOW) == (None, "")


def test_scenes_without_consents_verify_none() -> None:
    """What comes as a consent where none is needed is not even looked at."""
    keys, head = KEYS[PROVINCE], replace(request(1).head, auth_code="nonsense")
    assert Consents(keys, KeyOpener(keys.sealing)).opened(head, registry(scene()), NOW) == (None, "")


def test_keys_without_a_secret() -> None:
    """A province without a secret issues nothing at all."""
    with pytest.raises(ValueError, match="short"):
        Consents(replace(KEYS[PROVINCE], holder_key=""), KeyOpener(KEYS[PROVINCE].sealing))


def told(
    *whole: str, code: CodeRecord | None = CODE, case: Case | None = None, given: Authorization | None = None
) -> Released | Refusal:
    """What leaves of this code."""
    case = case or case_of()
    digest = case.form.code.digest if case.form.code else ""
    grant = Grant(SCENARIO, {}, frozenset(whole))
    return redeem(case, grant, {digest: code}, lambda _: given, province=PROVINCE, shown_ms=NOW)


def shown(result: Released | Refusal) -> dict[str, Any]:
    assert isinstance(result, Released)
    answer = msgspec.json.decode(result.data, type=CodeAnswer)
    assert answer.total == len(answer.data_list) == 1
    one: dict[str, Any] = msgspec.to_builtins(answer.data_list[0])
    return one


def refusal(result: Released | Refusal) -> tuple[int, str]:
    assert isinstance(result, Refusal)
    assert result.scenario == SCENARIO
    return result.code, result.condition


SHORT: Final = {
    "holderName": "测*试",
    "holderCode": CITIZEN_ID[0] + "*" * 16 + CITIZEN_ID[-1],
    "holderTypeCode": "111",
    "mobile": "199****0123",
    "codeStatus": "VALID",
    "codeType": "ONE_TIME",
    "issueRegion": "320000",
    "expireTime": NOW + 1,
}


def test_holder_of_a_code() -> None:
    """A service code tells who shows it, shortened, and how long it would have been good for."""
    assert shown(told()) == SHORT


def test_with_an_authorization() -> None:
    """Beside the holder stands the authorization, for which types it is and until when."""
    more = {"authToken": "a token", "authScope": (CARD,), "authExpires": NOW + 9}
    assert shown(told(given=GIVEN)) == SHORT | more


@pytest.mark.parametrize(
    ("field", "whole"), [("holderName", "测小试"), ("holderCode", CITIZEN_ID), ("mobile", "19900000123")]
)
def test_unmasked_holder(field: str, whole: str) -> None:
    """What the scenario grants of a code's holder in full is told in full, and nothing else is."""
    assert shown(told(field)) == SHORT | {field: whole}


def test_code_that_may_be_shown_again() -> None:
    """A code that is not used up says so."""
    case = case_of(code=service_code(1, once=False))
    assert shown(told(case=case)) == SHORT | {"codeType": "REUSABLE"}


@pytest.mark.parametrize("mobile", [None, ""])
def test_holder_without_a_mobile(mobile: str | None) -> None:
    """A holder without a mobile has none in the answer, and none in the evidence."""
    result = told(code=replace(CODE, mobile=mobile))
    assert "mobile" not in shown(result)
    assert isinstance(result, Released)
    assert result.fields == CODE_FIELDS - {"mobile"}


def test_whose_code_it_is() -> None:
    """The evidence of a code names whose it is and what was told."""
    result = told()
    assert isinstance(result, Released)
    assert (result.holder_code, result.fields) == (CITIZEN_ID, CODE_FIELDS)


def test_unknown_code() -> None:
    """A code that the issuer does not know is 6001, also beside one that it knows."""
    digest = parse_service_code(service_code(2)).digest
    result = redeem(case_of(), Grant(SCENARIO, {}), {digest: CODE}, lambda _: None, province=PROVINCE, shown_ms=NOW)
    assert refusal(result) == (6001, "store")


@pytest.mark.parametrize(("ahead_ms", "code"), [(1, 0), (0, 6002), (-1, 6002)])
def test_expired_code(ahead_ms: int, code: int) -> None:
    """A code is good until its last millisecond, and then 6002."""
    result = told(code=replace(CODE, expires_at=NOW + ahead_ms))
    assert (result.code if isinstance(result, Refusal) else 0) == code


@pytest.mark.parametrize(("state", "code"), [(CodeState.REVOKED, 6006), (CodeState.REFUSED, 6005)])
@pytest.mark.parametrize("ahead_ms", [1, -1])
def test_stopped_code(state: CodeState, code: int, ahead_ms: int) -> None:
    """A code that was revoked is 6006, one whose holder refuses 6005, expired or not."""
    assert refusal(told(code=replace(CODE, state=state, expires_at=NOW + ahead_ms))) == (code, "state")


@pytest.mark.parametrize(
    "changes",
    [
        {"holder_name": ""},
        {"holder_name": " "},
        {"holder_code": CITIZEN_ID[::-1]},
        {"holder_type_code": "000"},
        {"holder_type_code": "001"},
    ],
)
def test_a_lying_issuer(changes: dict[str, Any]) -> None:
    """A code whose holder does not agree with itself tells nothing: 99."""
    assert refusal(told(code=replace(CODE, **changes))) == (99, "store")


def test_an_unreadable_code() -> None:
    """A code that the issuer has and cannot read is 99, for 6001 would say that nobody issued it."""
    assert refusal(told(code=None)) == (99, "store")


@pytest.mark.parametrize(
    "code", [None, *(replace(CODE, **one) for one in ({"state": CodeState.REVOKED}, {"expires_at": 0}))]
)
def test_nothing_is_signed_for_a_refusal(code: CodeRecord | None) -> None:
    """Where nothing leaves no authorization is made."""
    case = case_of()
    digest = case.form.code.digest if case.form.code else ""

    def never(_: CodeRecord) -> Authorization | None:
        raise AssertionError

    refusal(redeem(case, Grant(SCENARIO, {}), {digest: code}, never, province=PROVINCE, shown_ms=NOW))
