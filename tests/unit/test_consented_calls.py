"""From the code that a holder shows to the calls that rest on it, through a whole agent."""

import asyncio
from typing import Any, Final

import msgspec
import pytest
from msgspec.structs import replace

from broker.bus.clock import now_ms
from schemas.answers import CodeAnswer, CodeHolder
from schemas.checks import citizen_check
from schemas.interfaces import INTERFACES
from schemas.items import ReplyItem, RequestItem, encode
from schemas.scenes import Basis, ConsentMode, ConsentRule, LegalBasis, Limits, Scene, SceneItem
from schemas.service_codes import parse_service_code
from tests.support import DATA, Province, file_of, request, service_code, until
from tests.support_registry import CARD, CITIZEN_ID, ITEM, ORG, granted, identifier_of, scene
from tests.support_store import GatedStore, certificate
from workers.issuers.port import CodeRecord, CodeState
from workers.stores.memory import MemoryStore

STRANGER: Final = "99000119900101002" + citizen_check("99000119900101002")
HOLDER: Final = CodeRecord(
    holder_name="测小试", holder_code=CITIZEN_ID, holder_type_code="111", mobile=None, expires_at=now_ms() + 3_600_000
)
CODES: Final = {parse_service_code(service_code(serial)).digest: HOLDER for serial in range(1, 5)}
STORED: Final = [
    *(certificate(serial) for serial in range(1, 8)),
    certificate(8, holder_code=STRANGER, holder_name="某某"),
    certificate(9, holder_type_code="999"),
]
FILES: Final = {(identifier_of(serial), "ofd"): file_of(serial) for serial in range(1, 10)}
OTHER_ITEM: Final = f"{ORG}2000142001002"
BY_CODE: Final = ConsentRule(mode=ConsentMode.CODE)


def living_on_codes(**changes: Any) -> Scene:
    """The scenario, once it lives on what holders agree to by showing a code."""
    kind = replace(granted(), by_holder_only=True)
    items = tuple(SceneItem(item_code=code, item_name="测试") for code in (ITEM, OTHER_ITEM))
    basis = LegalBasis(kind=Basis.CONSENT, text="测试用")
    return replace(scene(), **{"consent": BY_CODE, "legal_basis": basis, "types": (kind,), "items": items, **changes})


async def ready(rule: ConsentRule = BY_CODE, store: MemoryStore | None = None) -> Province:
    """A province of such a scenario, whose issuer knows four codes of one holder."""
    province = await Province(store or MemoryStore(STORED, files=FILES), codes=CODES).ready()
    await province.publish(living_on_codes(consent=rule))
    await province.registry.refresh()
    return province


async def answer(province: Province, item: RequestItem) -> ReplyItem:
    return (await province.answers(item))[item.id]


async def shown(province: Province, serial: int = 1, **data: Any) -> CodeHolder:
    """What showing the code of this serial tells; request ids of codes stand beyond those of calls."""
    item = request(1_000 + serial, "I7", data=encode({**DATA["I7"](serial), **data}), business_code="CASE")
    told = await answer(province, item)
    assert told.status == 0
    return holder_in(told)


def holder_in(told: ReplyItem) -> CodeHolder:
    return msgspec.json.decode(told.data, type=CodeAnswer).data_list[0]


def call(number: int, interface: str, token: str | None, serial: int = 1, **head: Any) -> RequestItem:
    """A call about the certificate of this serial that brings this consent."""
    made = request(serial, interface, auth_code=token, **{"business_code": "CASE", **head})
    return replace(made, id=f"{number:032x}")


async def test_the_whole_way() -> None:
    """Each interface of each type once: that is what a holder agrees to by showing a code once."""
    province = await ready()
    token = (await shown(province)).auth_token
    once = [call(place, key, token) for place, key in enumerate(INTERFACES, 1) if key != "I7"]
    again = [replace(one, id=f"{100 + place:032x}") for place, one in enumerate(once)]
    assert [(await answer(province, one)).status for one in once] == [0] * 6
    assert [(await answer(province, one)).status for one in again] == [3009] * 6
    assert [(await answer(province, one)).status for one in once] == [0] * 6


async def test_one_lot_uses_it_once() -> None:
    """Two requests of one lot that bring the same consent for the same do not both get it."""
    province = await ready()
    token = (await shown(province)).auth_token
    told = await province.answers(*(call(number, "I4", token, number) for number in (1, 2, 3)))
    assert sorted(one.status for one in told.values()) == [0, 3009, 3009]


@pytest.mark.parametrize("interface", ["I2", "I4", "I6"])
@pytest.mark.parametrize("serial", [8, 9])
async def test_the_certificate_of_somebody_else(interface: str, serial: int) -> None:
    """By an identifier or a file nobody else's certificate comes, also under the same code of another kind."""
    province = await ready()
    token = (await shown(province)).auth_token
    told = await answer(province, call(1, interface, token, serial))
    assert (told.status, bytes(told.data)) == (3008, b"null")
    stranger = ("某某", STRANGER, identifier_of(serial), "TEST-")
    assert not any(text in told.message for text in stranger)


@pytest.mark.parametrize("interface", ["I1", "I3", "I5"])
async def test_the_certificates_of_somebody_else(interface: str) -> None:
    """By holder nobody else's certificates come."""
    province = await ready()
    token = (await shown(province)).auth_token
    data = {**DATA[interface](1), "certificateHolderCode": STRANGER}
    item = replace(request(1, interface, data=encode(data), auth_code=token, business_code="CASE"), id="1" * 32)
    assert (await answer(province, item)).status == 3008


CHANGED: Final[dict[str, dict[str, Any]]] = {
    "another case": {"business_code": "ANOTHER"},
    "no consent": {"auth_code": None},
    "not a consent": {"auth_code": "nonsense"},
}


@pytest.mark.parametrize("name", CHANGED)
async def test_another_use(name: str) -> None:
    """A consent is for its own case, and there must be one."""
    province = await ready()
    token = (await shown(province)).auth_token
    item = call(1, "I4", token)
    assert (await answer(province, replace(item, head=replace(item.head, **CHANGED[name])))).status == 3008


async def test_only_the_types_that_were_asked_for() -> None:
    """A consent that was asked for other types gives nothing of this one."""
    province = await ready()
    assert (await shown(province, requestedTypes=["nothing of it"])).auth_token is None
    assert (await shown(province, 2, requestedTypes=[CARD])).auth_scope == (CARD,)


async def test_a_scenario_by_statute_asks_for_none() -> None:
    """Where no consent is needed a code gives none, and what comes as one is not looked at."""
    province = await Province(MemoryStore(STORED), codes=CODES).ready()
    assert (await shown(province)).auth_token is None
    assert (await answer(province, call(1, "I4", "nonsense"))).status == 0


async def test_the_id_is_the_requests() -> None:
    """A redelivered redemption gives the same consent: what was used of it stays used."""
    province = await ready()
    item = replace(request(1, "I7", business_code="CASE"), id="a" * 32)
    first, second = [holder_in(await answer(province, item)) for _ in range(2)]
    assert (await answer(province, call(1, "I4", first.auth_token))).status == 0
    assert (await answer(province, call(2, "I4", second.auth_token))).status == 3009
    assert (await answer(province, call(3, "I5", second.auth_token))).status == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"data": {"equipmentCode": "K-2"}},
        {"data": {"operator": {"account": "another"}}},
        {"data": {"pos": "二号窗口"}},
        {"head": {"item_code": OTHER_ITEM}},
        {"head": {"business_code": "ANOTHER"}},
        {"head": {"username": "窗口二号（测试）"}},
    ],
)
async def test_a_redemption_is_of_one_item_case_operator_and_device(changed: dict[str, Any]) -> None:
    """The same request id, or another one, with another item, case, operator or device does not get the code."""
    province = await ready()
    await shown(province)
    data, head = {**DATA["I7"](1), **changed.get("data", {})}, {"business_code": "CASE", **changed.get("head", {})}
    same = request(1_001, "I7", data=encode(data), **head)
    other = replace(same, id="e" * 32)
    assert (await answer(province, same)).status == 2003
    assert (await answer(province, other)).status == 6003
    assert len(province.redis.codes) == 1


async def test_forged_codes() -> None:
    """A code that this province did not tag is unknown, and neither issuer nor Redis is asked about it."""
    province = await ready()
    good = service_code(1)
    forged = [good[:-1] + ("A" if good[-1] != "A" else "B"), good.replace("CERTLANE:32:", "CERTLANE:32:R")]
    forged += [service_code(1, province="31").replace(":31:", ":32:")]
    for number, code in enumerate(forged):
        item = request(50 + number, "I7", data=encode({**DATA["I7"](1), "certQrCode": code}))
        assert (await answer(province, item)).status == 6001
    assert (province.issuer.asked, province.redis.codes, province.redis.marks) == ([], {}, {})


@pytest.mark.parametrize(("state", "status"), [(CodeState.REVOKED, 6006), (CodeState.REFUSED, 6005)])
async def test_stopped_codes(state: CodeState, status: int) -> None:
    """A code that was revoked is 6006, one whose holder refuses 6005, again and again."""
    province = await ready()
    province.issuer.codes[parse_service_code(service_code(1)).digest] = replace(HOLDER, state=state)
    assert [
        (await answer(province, request(number, "I7", data=encode(DATA["I7"](1))))).status for number in (1, 2)
    ] == [
        status,
        status,
    ]


async def test_an_issuer_that_is_away() -> None:
    """While the issuer is away codes are 6004 and certificates come; the code is not used up, but good afterwards."""
    province = await ready(ConsentRule(mode=ConsentMode.NONE))
    province.issuer.reachable = False
    code, other = request(1, "I7"), request(2, "I4")
    told = await province.answers(code, other)
    assert (told[code.id].status, told[other.id].status) == (6004, 0)
    assert province.redis.codes == {}
    province.issuer.reachable = True
    assert (await answer(province, request(3, "I7", data=encode(DATA["I7"](1))))).status == 0


async def test_an_issuer_that_is_away_when_a_request_comes_again() -> None:
    """A code stays used that was told of, though its request comes again while the issuer is away."""
    province = await ready()
    await province.publish(living_on_codes(limits=Limits(per_day=9, per_holder_per_day=9)))
    await province.registry.refresh()
    shown_twice, other = request(1, "I7"), request(2, "I7", data=encode(DATA["I7"](1)))
    assert (await answer(province, shown_twice)).status == 0
    province.issuer.reachable = False
    assert (await answer(province, shown_twice)).status == 6004
    province.issuer.reachable = True
    assert (await answer(province, other)).status == 6003


async def test_store_and_issuer_at_once() -> None:
    """Codes and certificates of one lot do not wait for each other."""
    store = GatedStore(STORED)
    province = await ready(ConsentRule(mode=ConsentMode.NONE), store)
    province.issuer.gate.clear()
    work = asyncio.create_task(province.answers(request(1, "I7"), request(2, "I4")))
    await until(lambda: bool(store.asked) and bool(province.issuer.asked))
    province.issuer.gate.set()
    store.gate.set()
    assert sorted(one.status for one in (await work).values()) == [0, 0]


async def test_one_look_for_all() -> None:
    """However many codes a lot shows, the issuer is asked once."""
    province = await ready()
    looks = []
    look = province.issuer.look

    async def counted(digests: Any) -> Any:
        looks.append(list(digests))
        return await look(digests)

    province.issuer.look = counted  # type: ignore[method-assign]
    told = await province.answers(*(request(number, "I7") for number in (1, 2, 3, 7)))
    assert sorted(one.status for one in told.values()) == [0, 0, 0, 6001]
    assert len(looks) == 1


async def test_late_is_when_it_came() -> None:
    """A code shown in time is not late because an agent died over it; one shown too late is, however soon it comes."""
    province = await ready()
    digest = parse_service_code(service_code(1)).digest
    province.issuer.codes[digest] = replace(HOLDER, expires_at=now_ms() - 10_000)
    late = province.lot([request(1, "I7")])
    early = province.lot([request(2, "I7", data=encode(DATA["I7"](1)))])._replace(appended_ms=now_ms() - 20_000)
    told = [
        status for record in (early, late) for out in await province.work(record) for status in statuses(province, out)
    ]
    assert told == [0, 6002]


def statuses(province: Province, out: Any) -> list[int]:
    return list(province.reply(out).statuses.values())
