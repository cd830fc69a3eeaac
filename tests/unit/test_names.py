"""The real-name check: by the names in the store, or by whoever else knows them."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import pytest
from msgspec.structs import replace

from schemas.items import RequestItem, encode
from tests.support import DATA, Province, file_of, request
from tests.support_registry import CITIZEN_ID, granted, identifier_of, scene
from tests.support_store import certificate
from workers.names import NameAsk, NameCheckError, RegisteredNames
from workers.stores.memory import MemoryStore

NAME, OTHER_NAME = "测小试", "测试小"
STORED: Final = [certificate(1), certificate(2, number="TEST-000001", holder_name=OTHER_NAME)]
FILES: Final = {(identifier_of(serial), "ofd"): file_of(serial) for serial in (1, 2)}


class Service:
    """A real-name service: plays one that is down or slow, or says what it is told to say."""

    def __init__(self, says: frozenset[str] = frozenset(), *, away: bool = False, slow: bool = False) -> None:
        self.says, self.away, self.slow = says, away, slow
        self.asked: list[NameAsk] = []

    async def right(self, asks: Sequence[NameAsk]) -> Sequence[frozenset[str]]:
        self.asked += asks
        if self.slow:
            await asyncio.Event().wait()
        if self.away:
            raise NameCheckError("away")
        return [one.registered & self.says for one in asks]


async def ready(service: Service | None = None) -> Province:
    province = await Province(MemoryStore(STORED, files=FILES), names=service).ready()
    await province.publish(replace(scene(), types=(replace(granted(), by_holder_only=True),)))
    await province.registry.refresh()
    return province


def telling(name: str | None, interface: str = "I5", number: int = 1, in_ms: int = 60_000) -> RequestItem:
    """A request by holder that tells this name."""
    data: dict[str, Any] = {**DATA[interface](1), **({"certificateHolderName": name} if name is not None else {})}
    return replace(request(1, interface, data=encode(data), in_ms=in_ms), id=f"{number:032x}")


async def status(province: Province, item: RequestItem) -> int:
    return (await province.answers(item))[item.id].status


@pytest.mark.parametrize("interface", ["I1", "I3", "I5"])
async def test_names_of_the_store(interface: str) -> None:
    """By default a name is right that the store has, exactly, but for white space around it."""
    province = await ready()
    told = {NAME: 0, f" {NAME} ": 0, OTHER_NAME: 0, "测小": 3012, "某某": 3012, "": 0}
    assert {name: await status(province, telling(name, interface, place)) for place, name in enumerate(told, 1)} == told


async def test_a_service() -> None:
    """A real-name service is asked for holder, name and the store's names, and its word is what counts."""
    service = Service(frozenset({OTHER_NAME}))
    province = await ready(service)
    assert await status(province, telling("小试")) == 0
    assert service.asked == [NameAsk(CITIZEN_ID, "111", "小试", frozenset({NAME, OTHER_NAME}))]
    service.says = frozenset()
    assert await status(province, telling(NAME, number=2)) == 3012


async def test_one_question_for_all() -> None:
    """All names of a lot are asked at once, and where none is told nobody is asked."""
    service = Service(frozenset({NAME}))
    province = await ready(service)
    told = await province.answers(telling(NAME), telling("某某", number=2), telling(None, number=3), request(9, "I4"))
    assert sorted(one.status for one in told.values()) == [0, 0, 0, 10]
    assert [one.told for one in service.asked] == [NAME, "某某"]


async def test_nobody_can_be_asked() -> None:
    """While the service is away a name is neither right nor wrong (7001); who tells none is answered."""
    province = await ready(Service(away=True))
    told = await province.answers(telling(NAME), telling(None, number=2))
    assert [told[f"{number:032x}"].status for number in (1, 2)] == [7001, 0]


async def test_a_service_that_never_answers() -> None:
    """A service that does not answer is given up at the deadline, and holds up nobody who told no name."""
    province = await ready(Service(slow=True))
    record = province.lot([telling(NAME, in_ms=400), telling(None, number=2, in_ms=400)])
    told = {key: status for out in await province.work(record) for key, status in province.reply(out).statuses.items()}
    assert told == {f"{2:032x}": 0}


async def test_the_default() -> None:
    """The default asks nobody: of the registered names the one that was told is right."""
    asks = [NameAsk("1", "111", name, frozenset({NAME, OTHER_NAME})) for name in (NAME, "某某")]
    assert await RegisteredNames().right(asks) == [frozenset({NAME}), frozenset()]
