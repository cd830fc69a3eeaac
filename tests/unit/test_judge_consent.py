"""Step 8 of the judgement: which consent allows what, and what of it is used up."""

import pytest

from schemas.scenes import ConsentMode, ConsentRule
from tests.support_registry import CARD, LICENCE, PROVINCE, UNSHARED, consent, entry
from tests.unit.judging import (
    BY_HOLDER,
    NOW,
    WITH_TYPES,
    Setting,
    case_of,
    good,
    judged,
    of_consent,
    of_consenting,
    of_data,
    of_scene,
    of_type,
    refused,
    snapshot,
)
from tests.unit.test_judge import search, two_types, types_of
from workers.consented import CLOCKS_MS
from workers.judge import Case, Grant, Refusal, judge

NAME = consent(NOW).name
TOLD = {
    "": "请填写 head.authCode",
    "form": "head.authCode 无法读取",
    "signature": "授权的签名不正确或签发方未登记",
    "not for us": "授权不适用于本省",
}


def rule(mode: ConsentMode, *, agents: bool = False, seconds: int = 600, once: bool = False) -> dict[str, object]:
    """Changes of a scenario to this rule."""
    return {"consent": ConsentRule(mode=mode, ttl_seconds=seconds, one_time=once), "agent_allowed": agents}


def uses(setting: Setting) -> tuple[str, ...]:
    """What of the consent the grant uses up."""
    result = judged(setting)
    assert isinstance(result, Grant)
    return result.uses


@pytest.mark.parametrize("interface", WITH_TYPES)
@pytest.mark.parametrize("agents", [False, True])
@pytest.mark.parametrize("asked", list(ConsentMode))
@pytest.mark.parametrize("given", [ConsentMode.CODE, ConsentMode.ONLINE, ConsentMode.AGENT, ConsentMode.NONE])
def test_ways_of_consent(*, interface: str, agents: bool, asked: ConsentMode, given: ConsentMode) -> None:
    """A scenario takes consents of its own way, an agent's too where it allows agents, and any where it needs none."""
    setting = of_consent(mode=given)(of_scene(**rule(asked, agents=agents))(good(interface)))
    allowed = {asked, ConsentMode.AGENT} if agents else {asked}
    assert isinstance(judged(setting), Grant) is (asked is ConsentMode.NONE or given in allowed)


@pytest.mark.parametrize("interface", WITH_TYPES)
@pytest.mark.parametrize("wrong", TOLD)
def test_none_needed(interface: str, wrong: str) -> None:
    """Where a statute stands for the consent nobody looks whether there is one, whatever came as one."""
    setting = of_scene(**rule(ConsentMode.NONE))(good(interface))._replace(consent=None, consent_wrong=wrong)
    assert uses(setting) == ()


def test_code_needs_no_consent() -> None:
    """A service code is verified without consent, for that is how one comes about, and uses none up."""
    assert uses(good("I7")._replace(consent=None)) == ()
    assert uses(of_scene(**rule(ConsentMode.CODE, once=True))(good("I7"))) == ()


@pytest.mark.parametrize("wrong", TOLD)
def test_what_came_is_no_consent(wrong: str) -> None:
    """What came as a consent and is none is refused as a missing one, and the answer says what is wrong with it."""
    result = judged(good()._replace(consent=None, consent_wrong=wrong))
    assert isinstance(result, Refusal)
    assert (result.code, result.condition, result.detail) == (3008, "consent", TOLD[wrong])


def test_a_reason_of_another_version() -> None:
    """A reason that is not known here is refused all the same."""
    assert refused(good()._replace(consent=None, consent_wrong="another")) == (3008, "consent")


def test_nothing_came() -> None:
    """A request of which nothing was said about a consent brings none."""
    setting = good()
    brought = case_of(setting)
    result = judge(Case(*brought[:6]), snapshot(setting), PROVINCE, NOW)
    assert isinstance(result, Refusal)
    assert (result.code, result.detail) == (3008, TOLD[""])


def test_any_case() -> None:
    """A consent for no case in particular is for every case of its scenario."""
    assert isinstance(judged(of_consent(case="")(good())), Grant)


def test_level() -> None:
    """A consent of just the level that is asked for will do."""
    asks = of_scene(consent=ConsentRule(mode=ConsentMode.ONLINE, level=2))
    assert isinstance(judged(of_consent(level=2)(asks(good()))), Grant)
    assert refused(of_consent(level=1)(asks(good()))) == (3008, "consent")


@pytest.mark.parametrize(("ahead", "granted_now"), [(0, True), (CLOCKS_MS, True), (CLOCKS_MS + 1, False)])
def test_clock_of_the_issuer(*, ahead: int, granted_now: bool) -> None:
    """An issuer's clock may be two seconds ahead, and no more."""
    assert isinstance(judged(of_consent(iat=NOW + ahead)(good())), Grant) is granted_now


@pytest.mark.parametrize(("left", "granted_now"), [(1, True), (0, False), (-1, False)])
def test_end_of_a_consent(*, left: int, granted_now: bool) -> None:
    """A consent holds until its own end, and until the scenario's time since it was given has passed, not longer."""
    assert isinstance(judged(of_consent(exp=NOW + left)(good())), Grant) is granted_now
    by_scene = of_scene(**rule(ConsentMode.ONLINE, seconds=30))(of_consent(iat=NOW + left - 30_000)(good()))
    assert isinstance(judged(by_scene), Grant) is granted_now


@pytest.mark.parametrize("interface", ["I2", "I4", "I6"])
def test_holder_is_not_known_yet(interface: str) -> None:
    """Asked for by identifier or file, whose certificate it is shows only later: nothing is compared here."""
    assert isinstance(judged(of_consenting(holder_code="X", holder_type_code="414")(good(interface))), Grant)


@pytest.mark.parametrize("interface", WITH_TYPES)
@pytest.mark.parametrize(("by_scene", "by_consent"), [(True, False), (False, True), (True, True)])
def test_once(*, interface: str, by_scene: bool, by_consent: bool) -> None:
    """What the scenario or the consent itself limits to once is used up for this interface and type."""
    setting = of_consent(once=by_consent)(of_scene(**rule(ConsentMode.ONLINE, once=by_scene))(good(interface)))
    assert uses(setting) == (f"{NAME}:{interface}:{CARD}",)


@pytest.mark.parametrize("interface", WITH_TYPES)
def test_more_than_once(interface: str) -> None:
    """Where neither says once nothing is used up."""
    assert uses(of_consent(once=False)(good(interface))) == ()


def test_name_of_two_types() -> None:
    """Of several types of a name those are granted, and used up, that the consent names."""
    assert uses(two_types()) == (f"{NAME}:I5:{CARD}", f"{NAME}:I5:{LICENCE}")
    assert uses(of_consent(types=(LICENCE,))(two_types())) == (f"{NAME}:I5:{LICENCE}",)
    assert refused(of_consent(types=(UNSHARED,))(two_types())) == (3008, "consent")


def test_search_without_a_type() -> None:
    """A search for no type finds what the consent names, and says so when that is nothing."""
    assert types_of(of_consent(types=(LICENCE,))(search())).keys() == {LICENCE}
    assert refused(of_consent(types=(UNSHARED,))(search())) == (3008, "consent")
    assert refused(of_consent(exp=NOW)(search())) == (3009, "consent")


def test_furthest_decides() -> None:
    """Of several types the one that came furthest says why: a field after the consent, the consent after interfaces."""
    one_consented = of_consent(types=(CARD,))(two_types())
    assert refused(of_data(fields=("KZ_ZZ",))(one_consented)) == (3007, "field")
    assert refused(of_consent(types=(LICENCE,))(two_types(interfaces=("I4",)))) == (3008, "consent")


@pytest.mark.parametrize("interface", BY_HOLDER)
def test_holder_kinds_of_a_search(interface: str) -> None:
    """By a name or for all types, a holder of another kind is refused as such."""
    by_name = of_data(type_code=None, type_name=entry(CARD).type_name)(good(interface))
    assert refused(of_scene(holder_kinds=())(by_name)) == (3005, "holder")
    assert refused(of_scene(holder_kinds=())(search())) == (3005, "holder")
    assert refused(of_type(source_provinces=("31",))(of_scene(holder_kinds=())(search()))) == (3006, "interface")
