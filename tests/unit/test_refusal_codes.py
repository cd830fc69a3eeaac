"""Every refusal code of ours at least once, from the code of the product that gives it."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from msgspec.structs import replace
from starlette.requests import Request

from broker.bus.clock import now_ms
from broker.bus.keys import KeySigner
from broker.gateway.answers import Problem
from broker.gateway.body import HttpHead
from broker.gateway.doors import too_fast
from broker.gateway.sharing import Desk
from broker.gateway.tokens import TOKEN_SECONDS, TokenDesk, issue
from schemas import remedies, statuses
from schemas.items import RequestItem, encode
from schemas.scenes import ConsentMode, ConsentRule, Limits
from schemas.service_codes import parse_service_code
from schemas.statuses import STATUSES, RefusedError
from tests.support import DATA, KEYS, Province, by_holder, request, service_code
from tests.support_registry import (
    APPLICATION,
    CITIZEN_ID,
    NODE,
    OTHER_NODE,
    Body,
    application,
    compiled,
    identifier_of,
    scene,
)
from tests.support_store import certificate
from tests.unit.judging import ALL, BREAKERS, good, refused
from workers.issuers.port import CodeRecord, CodeState
from workers.stores.memory import MemoryStore

WANTED: Final = {*range(2001, 2008), *range(3001, 3014), *range(4001, 4006), *range(6001, 6007)}
NOW: Final = 1_780_000_000
HOLDER: Final = CodeRecord(
    holder_name="测小试", holder_code=CITIZEN_ID, holder_type_code="111", mobile=None, expires_at=now_ms() + 3_600_000
)
Codes = dict[str, CodeRecord | None]


def codes(**changes: Any) -> Codes:
    """The first code, as its issuer keeps it."""
    return {parse_service_code(service_code(1)).digest: replace(HOLDER, **changes)}


async def told(*items: RequestItem, changed: tuple[Body, ...] = (), issued: Codes | None = None) -> int:
    """The status of the last of these requests, each in a lot of its own to an agent with a store."""
    province = await Province(MemoryStore([certificate(1)]), codes=issued or {}).ready()
    await province.publish(*changed)
    await province.registry.refresh()
    for item in items:
        (answer,) = (await province.answers(item)).values()
    return answer.status


async def of_message(**head: Any) -> int:
    """What the gateway says of a message with this in its head."""
    call = Request({"type": "http", "headers": []})
    with pytest.raises(Problem) as problem:
        Desk._check_message(object.__new__(Desk), HttpHead(**head), call, APPLICATION, NOW * 1_000, "")
    return problem.value.status


async def of_old_token() -> int:
    """What the gateway says of a token after its time."""
    token = issue(KeySigner(KEYS[NODE].signing), node=NODE, application=APPLICATION, now=NOW)
    desk = TokenDesk(node=NODE, key=KEYS[NODE].signing.public)
    with pytest.raises(RefusedError) as error:
        desk.application_of(f"Bearer {token}", compiled(application()), NOW + TOKEN_SECONDS)
    return error.value.code


async def of_too_many() -> int:
    """What the gateway says of one call too many."""
    return too_fast(application()).status


def asked(interface: str = "I4", serial: int = 1, number: int = 1, **changes: Any) -> RequestItem:
    """A request with these values in its data."""
    return replace(request(serial, interface, data=encode({**DATA[interface](serial), **changes})), id=f"{number:032x}")


WRONG_CHECK: Final = identifier_of(2)[:-1] + ("A" if identifier_of(2)[-1] != "A" else "B")
WITH_CONSENT: Final = replace(scene(), consent=ConsentRule(mode=ConsentMode.CODE))
ONE_A_DAY: Final = replace(scene(), limits=Limits(per_day=1))


async def with_consent(*calls: tuple[str, int]) -> int:
    """The status of the last of these calls, each with the consent that showing the code gave."""
    province = await Province(MemoryStore([certificate(1)]), codes=codes()).ready()
    await province.publish(WITH_CONSENT)
    await province.registry.refresh()
    (shown,) = (await province.answers(asked("I7", number=100))).values()
    token = bytes(shown.data).split(b'"authToken":"')[1].split(b'"')[0].decode()
    for interface, number in calls:
        item = replace(request(1, interface, auth_code=token), id=f"{number:032x}")
        (answer,) = (await province.answers(item)).values()
    return answer.status


Told = Callable[[], Awaitable[int]]
CASES: Final[dict[str, tuple[int, Told]]] = {
    "a signature of the message, which no node takes yet": (2001, lambda: of_message(sign="x")),
    "a message of long ago": (2002, lambda: of_message(timestamp=NOW * 1_000 - 300_001)),
    "a request id used for something else": (2003, lambda: told(asked(), asked(useFor="2"))),
    "a token after its time": (2004, of_old_token),
    "an application of another node": (2005, lambda: told(asked(), changed=(replace(application(), node=OTHER_NODE),))),
    "an address that is not registered": (2006, lambda: told(replace(asked(), address="198.51.100.1"))),
    "one call too many": (2007, of_too_many),
    "a code used again as consent": (3009, lambda: with_consent(("I4", 1), ("I4", 2))),
    "a quota that is used up": (3010, lambda: told(asked(), asked(number=2), changed=(ONE_A_DAY,))),
    "another holder's name": (3012, lambda: told(asked("I5", certificateHolderName="某某"))),
    "no identifier": (4001, lambda: told(asked(certificateID="1.2.156"))),
    "a wrong check character": (4002, lambda: told(asked(certificateID=WRONG_CHECK))),
    "a wrong organisation code": (4003, lambda: told(request(1, org_code="11310000MB9A0001X0"))),
    "a wrong citizen's number": (
        4004,
        lambda: told(request(1, "I5", data=encode({**by_holder(1), "certificateHolderCode": CITIZEN_ID[:-1] + "?"}))),
    ),
    "no item code": (4005, lambda: told(request(1, item_code="1"))),
    "no service code": (6001, lambda: told(asked("I7", certQrCode="https://www.example.com/"))),
    "a service code that nobody issued": (6001, lambda: told(asked("I7"))),
    "a service code after its time": (6002, lambda: told(asked("I7"), issued=codes(expires_at=1))),
    "a service code used before": (6003, lambda: told(asked("I7"), asked("I7", number=2), issued=codes())),
    "a service code whose holder refuses": (6005, lambda: told(asked("I7"), issued=codes(state=CodeState.REFUSED))),
    "a service code that was revoked": (6006, lambda: told(asked("I7"), issued=codes(state=CodeState.REVOKED))),
}


@pytest.mark.parametrize("name", CASES)
async def test_each_code(name: str) -> None:
    """Each of these is refused with its own code."""
    code, case = CASES[name]
    assert await case() == code


async def test_issuer_out_of_reach() -> None:
    """A service code whose issuer cannot be reached is 6004."""
    province = await Province(MemoryStore([]), codes=codes()).ready()
    province.issuer.reachable = False
    assert [one.status for one in (await province.answers(asked("I7"))).values()] == [6004]


@pytest.mark.parametrize("name", BREAKERS)
def test_each_code_of_the_judge(name: str) -> None:
    """Each pure condition is refused with its own code, for every interface that it concerns."""
    broken = BREAKERS[name]
    told = {refused(broken.spoil(good(interface)))[0] for interface in ALL if interface in broken.interfaces}
    assert told == {broken.code}


def test_no_code_without_a_case() -> None:
    """Every refusal code of the four ranges has its case, here or among the judge's conditions."""
    cases = {code for code, _ in CASES.values()} | {one.code for one in BREAKERS.values()} | {6004}
    assert cases >= WANTED
    assert {code for code in STATUSES if code >= 2_000 and code < statuses.UNREACHABLE} == WANTED


def test_every_code_says_what_to_do() -> None:
    """Every refusal code has its sentence and its remedy."""
    assert all(STATUSES[code].message and remedies.REMEDIES[code] for code in WANTED)
