"""A service code is redeemed once, by one request, whatever happens between its redemption and its answer."""

import asyncio
from typing import Final

import pytest
from aiokafka.errors import KafkaError
from msgspec.structs import replace

from broker.bus.clock import now_ms
from broker.bus.kafka import Outgoing
from schemas.items import RequestItem, encode
from schemas.service_codes import parse_service_code
from schemas.topics import evidence_topic
from tests.support import DATA, Province, request, service_code, until
from tests.support_registry import CITIZEN_ID, PROVINCE, scene
from workers.engine.port import Work
from workers.issuers.port import CodeRecord
from workers.stores.memory import MemoryStore

CODE, REUSABLE = service_code(1), service_code(2, once=False)
DIGEST, REUSABLE_DIGEST = (parse_service_code(code).digest for code in (CODE, REUSABLE))
HOLDER: Final = CodeRecord(
    holder_name="测小试",
    holder_code=CITIZEN_ID,
    holder_type_code="111",
    mobile="19900000123",
    expires_at=now_ms() + 3_600_000,
)


async def ready() -> Province:
    """A province whose issuer knows both codes."""
    return await Province(MemoryStore([]), codes={DIGEST: HOLDER, REUSABLE_DIGEST: HOLDER}).ready()


def showing(serial: int, code: str = CODE) -> RequestItem:
    """One request that shows this code."""
    return request(serial, "I7", data=encode({**DATA["I7"](serial), "certQrCode": code}))


async def statuses(province: Province, *items: RequestItem) -> list[int]:
    """The status of each, in a lot of its own."""
    return [one.status for item in items for one in (await province.answers(item)).values()]


def told(province: Province, outs: list[Outgoing]) -> dict[str, int]:
    return {key: status for out in outs for key, status in province.reply(out).statuses.items()}


async def test_first_come() -> None:
    """The first request that shows a code is answered, every other one is told that it is used (6003)."""
    assert await statuses(await ready(), showing(1), showing(2), showing(3)) == [0, 6003, 6003]


async def test_the_same_request_again() -> None:
    """The request that has used a code is answered again with it, as its next attempt."""
    province, item = await ready(), showing(1)
    answers = [(await province.answers(item))[item.id] for _ in range(2)]
    assert [(one.status, one.attempt) for one in answers] == [(0, 1), (0, 2)]
    assert bytes(answers[0].data) == bytes(answers[1].data)


async def test_redelivery() -> None:
    """A redelivered lot redeems nothing a second time and is answered."""
    province = await ready()
    record = province.lot([showing(1), showing(2)])
    wanted = {f"{1:032x}": 0, f"{2:032x}": 6003}
    assert [told(province, await province.work(record)) for _ in range(2)] == [wanted, wanted]
    assert len(province.redis.codes) == 1


async def test_reusable_codes() -> None:
    """A code that is not used up is answered to each request that shows it, and nothing is remembered of it."""
    province = await ready()
    assert await statuses(province, showing(1, REUSABLE), showing(2, REUSABLE)) == [0, 0]
    assert province.redis.codes == {}


async def test_crash_between_effects_and_reply() -> None:
    """An agent that dies after a code was redeemed and before its reply leaves it to that request alone."""
    province = await ready()
    province.issuer.gate.clear()
    record = province.lot([showing(1)])
    work = asyncio.create_task(province.work(record))
    await until(lambda: bool(province.redis.codes))
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    province.issuer.gate.set()
    assert await statuses(province, showing(2)) == [6003]
    assert told(province, await province.work(record)) == {f"{1:032x}": 0}
    assert len(province.redis.codes) == 1


async def test_crash_between_record_and_reply() -> None:
    """A code whose reply was lost while its evidence was written is still its request's."""
    province = await ready()
    record = province.lot([showing(1)])
    province.kafka.held = {evidence_topic(PROVINCE)}
    first = asyncio.ensure_future(anext(aiter(province.handler(record, Work()))))
    await until(lambda: bool(province.kafka.sent))
    province.kafka.fail(KafkaError())
    await asyncio.gather(first, return_exceptions=True)
    province.kafka.held = set()
    assert told(province, await province.work(record)) == {f"{1:032x}": 0}
    assert await statuses(province, showing(2)) == [6003]


@pytest.mark.parametrize("change", [{"use_for": "SUPERVISION"}, {"org_name": None}])
async def test_a_refused_request_redeems_nothing(change: dict[str, str]) -> None:
    """Nothing is taken for a request that is refused: its code is good for the next one."""
    province = await ready()
    refused = replace(showing(1), head=replace(showing(1).head, **change))
    await province.answers(refused)
    assert province.redis.codes == {}
    assert await statuses(province, showing(2)) == [0]


async def test_a_scene_without_codes_redeems_nothing() -> None:
    """A scenario that may not verify codes uses none up."""
    province = await ready()
    await province.publish(replace(scene(), service_code=None))
    await province.registry.refresh()
    assert await statuses(province, showing(1)) == [3006]
    assert province.redis.codes == {}


async def test_code_of_another_province() -> None:
    """A code that another province issued is unknown here (6001) even if its issuer has it, and is not used up."""
    province, foreign = await ready(), service_code(1, province="31")
    province.issuer.codes[parse_service_code(foreign).digest] = HOLDER
    assert await statuses(province, showing(1, foreign)) == [6001]
    assert province.redis.codes == {}


async def test_an_unknown_code_stays_unknown() -> None:
    """A code that nobody issued is unknown (6001) to every request that shows it, and never called used."""
    strange = service_code(7)
    assert await statuses(await ready(), showing(1, strange), showing(2, strange)) == [6001, 6001]


async def test_while_redis_is_away() -> None:
    """While Redis is away no code is redeemed and nothing is said; once it is back the first request gets it."""
    province = await ready()
    province.redis.away = True
    work = asyncio.create_task(province.work(province.lot([showing(1)])))
    await asyncio.sleep(0.05)
    assert (province.redis.codes, work.done()) == ({}, False)
    province.redis.away = False
    assert told(province, await work) == {f"{1:032x}": 0}
    assert await statuses(province, showing(2)) == [6003]
