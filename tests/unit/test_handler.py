"""The way of one lot through a province: one reply for each item, evidence first, nothing that was not granted."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec
import pytest
from aiokafka.errors import KafkaError
from msgspec.structs import replace

from broker.bus.clock import now_ms
from broker.bus.kafka import Incoming, Outgoing
from schemas import merkle
from schemas.certificates import CertificateStatus, SurfaceField
from schemas.evidence import Detail, body_digest, evidence_id
from schemas.interfaces import INTERFACES
from schemas.items import ReplyItem, RequestItem, encode
from schemas.jose import b64
from schemas.lot import MAX_LOT_BYTES, LotError, WireRecord
from schemas.scenes import SceneStatus
from schemas.service_codes import parse_service_code
from schemas.sharing import Head
from schemas.suites import sha256
from schemas.topics import detail_topic, dlq_topic, evidence_topic, reply_topic, request_topic
from tests.support import DATA, KEYS, Province, file_of, incoming, opened_detail, request, service_code, until
from tests.support_registry import (
    CARD,
    CITIZEN_ID,
    ITEM,
    LICENCE,
    NODE,
    OTHER_NODE,
    PROVINCE,
    SCENE,
    UNSHARED,
    application,
    identifier_of,
    party,
    scene,
)
from tests.support_store import BrokenStore, GatedStore, LyingStore, certificate
from workers.engine.port import Work
from workers.issuers.port import CodeRecord
from workers.stores.memory import MemoryFile, MemoryStore
from workers.stores.port import ByIdentifier

STORED: Final = [certificate(serial) for serial in range(1, 9)]
DLQ: Final = dlq_topic(request_topic(PROVINCE))


async def ready(store: MemoryStore | None = None) -> Province:
    """A province's agent that has its registry."""
    return await Province(store or MemoryStore(STORED), codes=CODES).ready()


def quarantine(outs: list[Outgoing]) -> list[str]:
    """The reasons with which something was put aside."""
    return [dict(out.record.headers)["certlane_reason"].decode() for out in outs if out.topic == DLQ]


def replies(outs: list[Outgoing]) -> list[Outgoing]:
    return [out for out in outs if out.topic == reply_topic(NODE)]


def idle(province: Province) -> bool:
    """Whether neither evidence nor detail was written."""
    return not province.kafka.sent


async def ends(out: AsyncIterator[Outgoing]) -> bool:
    return await anext(out, None) is None


def wrong_check(identifier: str) -> str:
    return identifier[:-1] + ("0" if identifier[-1] != "0" else "1")


def asked(interface: str, like: int = 1, /, **changes: object) -> Callable[[int], RequestItem]:
    """A request of this interface like that for this serial, with other values in its data."""
    return lambda at: request(at, interface, data=encode({**DATA[interface](like), **changes}))


NOBODY: Final[dict[str, object]] = {"certificateHolderCode": "T12345678", "certificateHolderTypeCode": "414"}
OLD: Final = certificate(50, valid_to="2025-01-01", status=CertificateStatus.EXPIRED)
CODE: Final = CodeRecord(
    holder_name="测小试", holder_code=CITIZEN_ID, holder_type_code="111", mobile=None, expires_at=now_ms() + 3_600_000
)
CODES: Final = {
    **{parse_service_code(service_code(serial)).digest: CODE for serial in range(100)},
    parse_service_code(service_code(900)).digest: replace(CODE, expires_at=0),
}
FILES: Final = {(identifier_of(serial), "ofd"): file_of(serial) for serial in (*range(1, 8), 50)}
MIXED: Final[list[tuple[str, Callable[[int], RequestItem], int]]] = [
    ("I1 found", asked("I1"), 0),
    ("I1 by name", asked("I1", certificateTypeCode=None, certificateType="测试证照"), 0),
    ("I1 all types", asked("I1", certificateTypeCode=None, certificateNumber=None), 0),
    ("I1 expired", asked("I1", 50), 0),
    ("I1 nothing found", asked("I1", 1, **NOBODY), 10),
    ("I1 no holder", asked("I1", certificateHolderCode=""), 12),
    ("I1 name unknown", asked("I1", certificateTypeCode=None, certificateType="没有这种证照"), 13),
    ("I1 page too large", asked("I1", pageSize=51), 102),
    ("I1 holder type", asked("I1", certificateHolderTypeCode="000"), 103),
    ("I1 type code", asked("I1", certificateTypeCode="x"), 113),
    ("I1 type", asked("I1", certificateTypeCode=LICENCE), 3005),
    ("I1 holder's name", asked("I1", certificateHolderName="另一人"), 3012),
    ("I1 holder's code", asked("I1", certificateHolderCode=CITIZEN_ID[::-1]), 4004),
    ("I2 found", asked("I2"), 0),
    ("I2 nothing found", asked("I2", 901), 10),
    ("I2 no such file", asked("I2", fileFormat="pdf"), 10),
    ("I2 only a copy", asked("I2", original=False), 2),
    ("I2 expired", asked("I2", 50), 22),
    ("I2 unknown format", asked("I2", fileFormat="doc"), 102),
    ("I2 format", asked("I2", fileFormat="png"), 3006),
    ("I2 wrong check", asked("I2", certificateID=wrong_check(identifier_of(901))), 4002),
    ("I3 found", asked("I3"), 0),
    ("I3 nothing found", asked("I3", 1, **NOBODY), 10),
    ("I3 no such file", asked("I3", 8), 10),
    ("I3 no number", asked("I3", certificateNumber=None), 12),
    ("I3 no type", asked("I3", certificateTypeCode=None), 12),
    ("I3 expired", asked("I3", 50), 22),
    ("I3 holder's name", asked("I3", certificateHolderName="另一人"), 3012),
    ("I4 found", asked("I4"), 0),
    ("I4 found again", asked("I4"), 0),
    ("I4 nothing found", asked("I4", 900), 10),
    ("I4 wrong check", asked("I4", certificateID=wrong_check(identifier_of(900))), 4002),
    ("I4 expired", asked("I4", 50), 22),
    ("I4 no case", lambda at: request(at, business_code=None), 12),
    ("I4 wrong organisation", lambda at: request(at, org_code="x"), 4003),
    ("I4 item code", lambda at: request(at, item_code="x"), 4005),
    ("I4 no identifier", asked("I4", certificateID="x"), 4001),
    ("I4 purpose", lambda at: request(at, use_for="SUPERVISION"), 3011),
    ("I4 scene", lambda at: request(at, scene_code="YRD-310000-2026-99999"), 3001),
    ("I4 item", lambda at: request(at, item_code=ITEM[:-1] + "9"), 3003),
    ("I4 no operator", lambda at: request(at, username=None), 3013),
    ("I4 type", asked("I4", certificateID=identifier_of(1, LICENCE)), 3005),
    ("I4 type unknown", asked("I4", certificateID=identifier_of(1, UNSHARED)), 13),
    ("I4 field", asked("I4", fields=["KZ_ZZ"]), 3007),
    ("I5 found", asked("I5"), 0),
    ("I5 nothing found", asked("I5", 1, **NOBODY), 10),
    ("I5 no number", asked("I5", certificateNumber=None), 12),
    ("I5 expired", asked("I5", 50), 22),
    ("I5 field", asked("I5", fields=["KZ_ZZ"]), 3007),
    ("I5 holder's name", asked("I5", certificateHolderName="另一人"), 3012),
    ("I6 right file", asked("I6"), 0),
    ("I6 another file", asked("I6", certificateID=identifier_of(2)), 0),
    ("I6 no file", asked("I6", certificateID=identifier_of(8)), 0),
    ("I6 expired", asked("I6", 50), 0),
    ("I6 nothing found", asked("I6", 901), 10),
    ("I6 wrong check", asked("I6", certificateID=wrong_check(identifier_of(901))), 4002),
    ("I6 no content", asked("I6", content=None), 12),
    ("I6 whole file", asked("I6", contentType="base64"), 102),
    ("I6 identifier of another type", asked("I6", certificateID=identifier_of(1, LICENCE)), 102),
    ("I7 found", asked("I7", 1), 0),
    ("I7 the same again", asked("I7", 1), 6003),
    ("I7 unknown", asked("I7", 901), 6001),
    ("I7 no code", asked("I7", certQrCode="https://www.example.com/"), 6001),
    ("I7 another province's", asked("I7", certQrCode=service_code(1, province="31")), 6001),
    ("I7 expired", asked("I7", 900), 6002),
    ("I7 no place", asked("I7", pos=" "), 12),
    ("data of another form", lambda at: request(at, data=b'{"certificateID":7}'), 102),
    ("data that is no object", lambda at: request(at, data=b"[]"), 102),
    ("no such interface", lambda at: replace(request(at), interface="I8"), 2),
    ("application unknown", lambda at: replace(request(at), application="nobody"), 3004),
    ("no address", lambda at: replace(request(at), address=None), 2006),
    ("deadline too far ahead", lambda at: request(at, in_ms=660_000), 102),
]


def whole() -> MemoryStore:
    """A store that has something for every interface."""
    return MemoryStore([*STORED, OLD], files=FILES)


async def test_mixed_lot() -> None:
    """Every item of a lot with all interfaces gets exactly one reply, with its own status."""
    province = await ready(whole())
    items = [make(at) for at, (_, make, _) in enumerate(MIXED, 1)]
    deadline = now_ms() + 300_000
    outs = await province.work(province.lot(items, deadline=deadline))
    told = [item for out in outs for item in province.reply(out).items]
    assert Counter(item.id for item in told) == Counter(item.id for item in items)
    statuses = {item.id: item.status for item in told}
    assert {name: statuses[item.id] for item, (name, _, _) in zip(items, MIXED, strict=True)} == {
        name: status for name, _, status in MIXED
    }


@pytest.mark.parametrize("interface", INTERFACES)
async def test_answers_have_their_type(interface: str) -> None:
    """What an interface answers is what its document says, and counts what it lists."""
    (told,) = (await (await ready(whole())).answers(request(1, interface))).values()
    data = msgspec.json.decode(told.data, type=INTERFACES[interface].answer)
    assert told.status == 0
    assert encode(data) == bytes(told.data)
    assert msgspec.to_builtins(data)["total"] == len(msgspec.to_builtins(data)["dataList"]) == 1


@pytest.mark.parametrize("interface", INTERFACES)
async def test_redelivery_of_each(interface: str) -> None:
    """Whatever it asks for, a lot that comes again at the same place is answered the same, as its next attempt."""
    province = await ready(whole())
    record = province.lot([request(1, interface)])
    first, second = [province.reply((await province.work(record))[0]).items[0] for _ in range(2)]
    assert (first.status, first.attempt, second.status, second.attempt) == (0, 1, 0, 2)
    assert told_of(first) == told_of(second)


def told_of(item: ReplyItem) -> dict[str, Any]:
    """What an answer tells, but for the moment at which its source looked."""
    data: dict[str, Any] = msgspec.json.decode(item.data)
    for one in data["dataList"]:
        one.pop("statusTime", None)
    return data


class Steps(MemoryStore):
    """A store that writes down, each time it is asked, how often effects were taken and how much was recorded."""

    def __init__(self) -> None:
        super().__init__(STORED, files=FILES)
        self.steps: list[tuple[str, int, int]] = []
        self.province: Province | None = None

    def note(self, step: str) -> None:
        assert self.province
        self.steps.append((step, self.province.effects.calls, len(self.province.kafka.sent)))

    async def fetch(self, asks: Any) -> AsyncIterator[Any]:
        self.note("fetch")
        async for found in super().fetch(asks):
            yield found

    async def file(self, certificate_id: str, file_format: str) -> MemoryFile | None:
        self.note("file")
        return await super().file(certificate_id, file_format)


async def test_order_of_the_steps() -> None:
    """Taken, fetched, sent, recorded and only then replied: no step comes before the one it rests on."""
    store = Steps()
    store.province = province = await ready(store)
    async for _ in province.handler(province.lot([request(1, "I2")]), Work()):
        store.note("reply")
    assert store.steps == [("fetch", 1, 0), ("file", 1, 0), ("reply", 1, 2)]


async def test_what_a_reply_says() -> None:
    """A reply names its request, application, deadline, scenario, evidence and attempt, and keeps the hop times."""
    province = await ready()
    item = request(1)
    out = (await province.work(province.lot([item])))[0]
    reply = province.reply(out)
    told = reply.items[0]
    assert (told.id, told.application, told.deadline, told.status) == (item.id, item.application, item.deadline, 0)
    assert (told.scenario, told.attempt, len(told.digest)) == (f"{SCENE}@1", 1, 64)
    assert told.evidence == evidence_id(PROVINCE, reply.lot.envelope.ce_id, 0)
    assert [*told.hops] == ["received", "lane", "opened", "judged", "fetched"]
    assert [*told.hops.values()] == sorted(told.hops.values())


@pytest.mark.parametrize("item", [request(1), request(1, use_for="x"), request(1, org_name=None)])
async def test_what_comes_back(item: RequestItem) -> None:
    """Trace and sources of a request come back with its reply, granted or refused."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    item = replace(item, deadline=now_ms() + 60_000)
    (told,) = (await (await ready()).answers(replace(item, trace=trace, sources=("32", "34")))).values()
    assert (told.trace, told.sources) == (trace, ("32", "34"))
    (bare,) = (await (await ready()).answers(item)).values()
    assert (bare.trace, bare.sources, bare.tickets) == ("", (), ())


async def test_only_what_is_granted() -> None:
    """The answer holds what the scenario grants, shortened where it says so, and lists what it withholds."""
    told = (await (await ready()).answers(request(1)))[f"{1:032x}"]
    data = msgspec.json.decode(told.data)
    assert "KZ_ZZ" in data["withheld"]
    shown = data["dataList"][0]
    face = {one["columnName"]: one["value"] for one in shown["surface"]}
    short = CITIZEN_ID[0] + "*" * 16 + CITIZEN_ID[-1]
    assert face == {"KZ_XM": "测小试", "KZ_XB": "女性（测试）", "KZ_GMSFHM": short}
    assert "certificateNumber" not in shown
    assert CITIZEN_ID not in bytes(told.data).decode()


async def test_store_is_asked_for_granted_items_only() -> None:
    """The store is asked once, for granted items and granted fields only."""
    store = GatedStore(STORED)
    store.gate.set()
    province = await ready(store)
    await province.work(province.lot([request(1), request(2, use_for="SUPERVISION"), request(3, business_code="")]))
    assert [one.look for one in store.asked] == [ByIdentifier(certificate_id=identifier_of(1))]
    assert "KZ_ZZ" not in store.asked[0].columns[CARD]


async def test_refusals_do_not_wait() -> None:
    """Refusals leave before the store has answered anything."""
    store = GatedStore(STORED)
    province = await ready(store)
    out = province.handler(province.lot([request(1), request(2, use_for="x"), request(3, org_name="")]), Work())
    first = province.reply(await anext(out))
    assert first.statuses == {f"{2:032x}": 3011, f"{3:032x}": 12}
    store.gate.set()
    assert province.reply(await anext(out)).statuses == {f"{1:032x}": 0}
    assert await ends(out)


async def test_answers_do_not_wait_for_each_other() -> None:
    """A slow certificate does not hold the answer of its neighbour."""
    store = GatedStore(STORED, from_place=1)
    province = await ready(store)
    out = province.handler(province.lot([request(1), request(2)]), Work())
    assert province.reply(await anext(out)).statuses == {f"{1:032x}": 0}
    store.gate.set()
    assert province.reply(await anext(out)).statuses == {f"{2:032x}": 0}
    assert await ends(out)


async def test_the_store_answers_while_a_code_is_recorded() -> None:
    """What the store answers while the answer of a code in the same lot is being recorded is told as well."""
    store = GatedStore(STORED)
    province = await ready(store)
    province.kafka.held = {evidence_topic(PROVINCE)}
    work = asyncio.create_task(province.work(province.lot([request(1, "I7"), request(2)])))
    await until(lambda: bool(province.kafka.sent))
    store.gate.set()
    await asyncio.sleep(0.05)
    province.kafka.acknowledge()
    told = {key: status for out in await work for key, status in province.reply(out).statuses.items()}
    assert told == {f"{serial:032x}": 0 for serial in (1, 2)}


async def test_expired_when_opened() -> None:
    """An item whose deadline has passed when its lot is opened is dropped, and the others are answered."""
    province = await ready()
    assert (await province.answers(request(1, in_ms=-1), request(2))).keys() == {f"{2:032x}"}
    assert [item.request_id for _, body in province.evidence() for item in body.items] == [f"{2:032x}"]


async def test_expired_before_effects() -> None:
    """An item whose deadline passes while Redis is away takes no mark and gets no reply."""
    province = await ready()
    record = province.lot([request(1, in_ms=150), request(2)])
    province.redis.away = True
    work = asyncio.create_task(province.work(record))
    await asyncio.sleep(0.2)
    assert idle(province)
    province.redis.away = False
    outs = await work
    assert [province.reply(out).statuses for out in outs] == [{f"{2:032x}": 0}]
    assert province.redis.marks.keys() == {(NODE, f"{2:032x}")}


async def test_expired_before_the_record() -> None:
    """An item whose deadline passes while the store works is neither recorded nor answered."""
    store = GatedStore(STORED)
    province = await ready(store)
    work = asyncio.create_task(province.work(province.lot([request(1, in_ms=100), request(2)])))
    await asyncio.sleep(0.15)
    store.gate.set()
    assert [province.reply(out).statuses for out in await work] == [{f"{2:032x}": 0}]
    assert [item.request_id for _, body in province.evidence() for item in body.items] == [f"{2:032x}"]


async def test_store_that_never_answers() -> None:
    """Of a store that never answers nothing is heard past the last deadline, and the lot comes to its end."""
    province = await ready(GatedStore(STORED))
    assert await province.work(province.lot([request(1, in_ms=80), request(2, in_ms=120)])) == []
    assert idle(province)


async def test_expired_lot() -> None:
    """A lot that is past its deadline is put aside as expired and nobody is asked."""
    province = await ready()
    outs = await province.work(province.lot([request(1, in_ms=-1)]))
    assert quarantine(outs) == ["expired"]
    assert len(outs) == 1
    assert province.effects.calls == 0


async def test_redelivery() -> None:
    """A lot that comes again at the same place is answered again, as the next attempt of the same request."""
    province = await ready()
    record = province.lot([request(1)])
    first, second = [province.reply((await province.work(record))[0]).items[0] for _ in range(2)]
    assert (first.attempt, second.attempt) == (1, 2)
    assert (first.digest, bytes(first.data)) == (second.digest, bytes(second.data))
    assert [body.attempt for _, body in province.evidence()] == [1, 2]
    assert [detail["attempt"] for _, details, _ in province.details() for detail in details] == [1, 2]


@pytest.mark.parametrize(("partition", "offset"), [(3, 99), (4, 1)])
async def test_replay(partition: int, offset: int) -> None:
    """The same lot at another place of the lane is put aside as replayed: no evidence, no reply, nothing read."""
    store = GatedStore(STORED)
    store.gate.set()
    province = await ready(store)
    record = province.lot([request(1)])
    await province.work(record)
    before, asked = len(province.kafka.sent), len(store.asked)
    outs = await province.work(record._replace(partition=partition, offset=offset))
    assert (quarantine(outs), replies(outs)) == (["replayed"], [])
    assert (len(province.kafka.sent), len(store.asked)) == (before, asked)


async def test_same_id_for_another_request() -> None:
    """A request id that was granted to another request before is refused (2003) and reads nothing."""
    province = await ready()
    first = request(1)
    await province.answers(first)
    other = replace(first, data=msgspec.Raw(encode({"certificateID": identifier_of(2)})))
    told = (await province.answers(other))[first.id]
    assert (told.status, bytes(told.data)) == (2003, b"null")


async def test_the_same_request_in_another_lot() -> None:
    """The same request in another lot continues: it is answered, as its next attempt."""
    province = await ready()
    item = request(1)
    assert [(await province.answers(item))[item.id].attempt for _ in range(3)] == [1, 2, 3]


async def test_new_redis() -> None:
    """When Redis is another one than the registry was read from, the lot is judged again by what it now holds."""
    province = await ready()
    record = province.lot([request(1)])
    province.redis.wipe()
    await province.publish(replace(scene(), status=SceneStatus.SUSPENDED))
    outs = await province.work(record)
    assert [province.reply(out).statuses for out in outs] == [{f"{1:032x}": 3001}]
    assert province.redis.marks == {}


async def test_emptied_redis() -> None:
    """While Redis has no registry nothing leaves, and the lot goes on as soon as a follower has written it."""
    province = await ready()
    record = province.lot([request(1), request(2, use_for="x")])
    province.redis.wipe()
    work = asyncio.create_task(province.work(record))
    await asyncio.sleep(0.05)
    assert idle(province)
    assert not work.done()
    await province.publish()
    told = {key: status for out in await work for key, status in province.reply(out).statuses.items()}
    assert told == {f"{1:032x}": 0, f"{2:032x}": 3011}


async def test_stale_registry() -> None:
    """When the registry may no longer be used, nothing is granted: 7001."""
    province = await ready()
    province.registry.stood_ms = now_ms() - 61_000
    assert {item.status for item in (await province.answers(request(1), request(2))).values()} == {7001}
    assert province.redis.marks == {}


async def test_redis_away_and_back() -> None:
    """While Redis is away nothing leaves, and everything once it is back."""
    store = GatedStore(STORED)
    store.gate.set()
    province = await ready(store)
    record = province.lot([request(1), request(2, use_for="x")])
    province.redis.away = True
    work = asyncio.create_task(province.work(record))
    await asyncio.sleep(0.25)
    assert (idle(province), store.asked, work.done()) == (True, [], False)
    province.redis.away = False
    told = {key: status for out in await work for key, status in province.reply(out).statuses.items()}
    assert told == {f"{1:032x}": 0, f"{2:032x}": 3011}


async def test_redis_away_past_the_deadline() -> None:
    """When Redis stays away past the last deadline the lot ends, and nothing of it is ever read or said."""
    store = GatedStore(STORED)
    store.gate.set()
    province = await ready(store)
    record = province.lot([request(1, in_ms=100), request(2, in_ms=150, use_for="x")])
    province.redis.away = True
    assert await province.work(record) == []
    assert idle(province)
    assert store.asked == []


async def test_store_away() -> None:
    """A store that cannot be reached is 7001, and does not touch the refusals."""
    store = MemoryStore(STORED)
    store.reachable = False
    told = await (await ready(store)).answers(request(1), request(2), request(3, use_for="x"))
    assert {key[-1]: item.status for key, item in told.items()} == {"1": 7001, "2": 7001, "3": 3011}


async def test_store_breaks_in_between() -> None:
    """What a store answered before it broke is told, the rest is 7001."""
    told = await (await ready(BrokenStore(STORED))).answers(request(1), request(2), request(3))
    assert sorted(item.status for item in told.values()) == [0, 7001, 7001]


LIES: Final = {
    "another certificate": certificate(2, holder_name="别人"),
    "another holder's code": certificate(1, holder_name="别人", holder_code=CITIZEN_ID[::-1]),
    "another issuer": certificate(1, holder_name="别人", issuer_code="11310000MB9A0001XM"),
}


async def test_large_answer() -> None:
    """One answer that is too large for a reply is 99 and takes nobody's with it."""
    face = (SurfaceField(name="姓名", column_name="KZ_XM", value="长" * 20_000),)
    many = [certificate(serial, number="TEST-000001", surface=face) for serial in range(20)]
    told = await (await ready(MemoryStore([*many, certificate(21)]))).answers(request(1, "I5"), request(21))
    assert sorted(item.status for item in told.values()) == [0, 99]


@pytest.mark.parametrize("name", LIES)
async def test_lying_store(name: str) -> None:
    """A store that returns another's record is 99, and nothing of that record leaves or is recorded."""
    province = await ready(LyingStore(LIES[name]))
    reply = province.reply((await province.work(province.lot([request(1)])))[0])
    assert reply.statuses == {f"{1:032x}": 99}
    details = [item.body for sent, _, _ in province.details() for item in opened_detail(sent, KEYS[PROVINCE])[0]]
    for text in (b"\xe5\x88\xab\xe4\xba\xba", LIES[name].number.encode(), LIES[name].holder_code.encode()):
        assert all(text not in item.body for item in reply.lot.items)
        assert all(text not in body for body in details)


async def test_unusable_record() -> None:
    """A record that the store itself cannot read is 99, never 10."""
    told = await (await ready(LyingStore(certificate(1), unusable=True))).answers(request(1))
    assert [item.status for item in told.values()] == [99]


async def test_store_that_repeats_itself() -> None:
    """An answer that a store gives again later does not become a second reply."""

    class Repeating(MemoryStore):
        async def fetch(self, asks: Any) -> AsyncIterator[Any]:
            for _ in range(2):
                async for found in super().fetch(asks):
                    yield found

    province = await ready(Repeating(STORED))
    assert len(await province.answers(request(1), request(2))) == 2


async def test_store_that_repeats_itself_at_once() -> None:
    """An answer that a store gives twice together does not become two replies."""
    province = await ready(LyingStore(certificate(1), times=2))
    assert len(await province.answers(request(1))) == 1


@pytest.mark.parametrize("topic", [evidence_topic(PROVINCE), detail_topic(PROVINCE)])
async def test_evidence_first(topic: str) -> None:
    """No reply leaves before its evidence and its detail are both acknowledged."""
    province = await ready()
    province.kafka.held = {topic}
    out = aiter(province.handler(province.lot([request(1)]), Work()))
    first = asyncio.ensure_future(anext(out))
    await asyncio.sleep(0.05)
    assert not first.done()
    assert len(province.kafka.sent) == 2
    province.kafka.acknowledge()
    assert province.reply(await first).statuses == {f"{1:032x}": 0}


@pytest.mark.parametrize("topic", [evidence_topic(PROVINCE), detail_topic(PROVINCE)])
async def test_evidence_that_fails(topic: str) -> None:
    """When its evidence cannot be written a reply never leaves, and the error ends the agent."""
    province = await ready()
    province.kafka.held = {topic}
    out = aiter(province.handler(province.lot([request(1)]), Work()))
    first = asyncio.ensure_future(anext(out))
    await asyncio.sleep(0.02)
    province.kafka.fail(KafkaError())
    with pytest.raises(KafkaError):
        await first
    assert await ends(out)


async def test_evidence_that_outlasts_the_deadline() -> None:
    """Evidence that is acknowledged only after the last deadline does not cancel the work on its lot."""
    store = GatedStore(STORED, from_place=1)
    province = await ready(store)
    province.kafka.held = {evidence_topic(PROVINCE)}
    work = asyncio.create_task(province.work(province.lot([request(1, in_ms=100), request(2, in_ms=100)])))
    await asyncio.wait([work], timeout=0.2)
    province.kafka.acknowledge()
    store.gate.set()
    await asyncio.wait([work], timeout=1)
    assert work.done()
    assert not work.cancelled()


async def test_work_is_marked_before_it_is_recorded() -> None:
    """A lot may be cancelled while the store works, and no longer once its evidence is being written."""
    store = GatedStore(STORED)
    province, work = await ready(store), Work()
    province.kafka.held = {evidence_topic(PROVINCE)}
    first = asyncio.ensure_future(anext(aiter(province.handler(province.lot([request(1)]), work))))
    await asyncio.sleep(0.02)
    assert (work.recording, idle(province)) == (False, True)
    store.gate.set()
    await asyncio.sleep(0.02)
    assert (work.recording, idle(province)) == (True, False)
    province.kafka.acknowledge()
    await first


async def test_chain() -> None:
    """Each evidence record names the digest of the one before it and has the next number, on one partition."""
    province = await ready()
    for serial in range(1, 6):
        await province.work(province.lot([request(serial), request(serial + 10, use_for="x")]))
    chain = province.evidence()
    assert [body.number for _, body in chain] == list(range(10))
    assert chain[0][1].previous == ""
    assert [body.previous for _, body in chain[1:]] == [body_digest(sent.value).hex() for sent, _ in chain[:-1]]
    assert len({body.writer for _, body in chain}) == len({sent.partition for sent, _ in chain}) == 1


async def test_chain_of_lots_at_once() -> None:
    """The chain is one also when many lots are in work together."""
    province = await ready()
    lots = [province.lot([request(serial), request(serial + 10, org_code=None)]) for serial in range(1, 9)]
    await asyncio.gather(*map(province.work, lots))
    chain = province.evidence()
    assert [body.number for _, body in chain] == list(range(16))
    assert [body.previous for _, body in chain[1:]] == [body_digest(sent.value).hex() for sent, _ in chain[:-1]]


async def test_two_incarnations() -> None:
    """Whoever starts again starts a new chain."""
    first, second = await ready(), await ready()
    for province in (first, second):
        await province.work(province.lot([request(1)]))
    assert first.evidence()[0][1].writer != second.evidence()[0][1].writer


async def test_chain_after_a_reply_that_could_not_be_sealed() -> None:
    """A reply that cannot be sealed to its node leaves no gap in the chain of evidence."""
    province = await Province(MemoryStore(STORED), parties=[party(KEYS[OTHER_NODE], uses=("sig",))]).ready()
    await province.work(province.lot([request(1)]))
    outs = await province.work(province.lot([request(2)], by=OTHER_NODE))
    assert quarantine(outs) == ["key"]
    await province.work(province.lot([request(3)]))
    assert [body.number for _, body in province.evidence()] == [0, 1]


async def test_reply_carries_its_evidence() -> None:
    """The reply's signature carries the digest of its evidence record, which carries that signature beside its body."""
    province = await ready()
    reply = province.reply((await province.work(province.lot([request(1)])))[0])
    sent, body = province.evidence()[0]
    assert reply.lot.evidence == b64(body_digest(sent.value))
    assert sent.headers == {"signature": reply.lot.jws}
    assert body.reply_lot == reply.lot.envelope.ce_id
    assert body.root == merkle.root(reply.lot.leaves, sha256).hex()


async def test_evidence_names_the_request_lot() -> None:
    """The evidence record names the lot that was asked with, the writer's time and every request in the reply."""
    province = await ready()
    record = province.lot([request(1), request(2)])
    await province.work(record)
    _, body = province.evidence()[0]
    assert body.request_lot == dict(record.headers)["ce_id"].decode()
    assert abs(body.time - now_ms()) < 5_000
    assert [item.request_id for item in body.items] == [f"{1:032x}", f"{2:032x}"]


async def test_detail() -> None:
    """The detail opens with the province's key and tells who asked for what, under which scenario, and what left."""
    province = await ready()
    item = request(1)
    reply = province.reply((await province.work(province.lot([item])))[0])
    sent, (detail,), leaves = province.details()[0]
    assert sent.key == reply.lot.envelope.ce_id.encode()
    clocks = {"judged": detail["judged"], "taken": detail["taken"]}
    assert detail | {"fields": [], "hops": {}, "holder": ""} == clocks | {
        "request": msgspec.json.decode(encode(item)),
        "node": NODE,
        "scenario": f"{SCENE}@1",
        "status": 0,
        "condition": "",
        "requestDigest": reply.items[0].digest,
        "replyLeaf": reply.lot.leaves[0].hex(),
        "attempt": 1,
        "fields": [],
        "hops": {},
        "holder": "",
        "registry": 1,
    }
    assert detail["hops"]["opened"] <= detail["judged"] <= detail["taken"] <= detail["hops"]["judged"]
    assert "KZ_XM" in detail["fields"]
    assert "KZ_ZZ" not in detail["fields"]
    assert province.evidence()[0][1].items[0].detail == leaves[0].hex()


async def test_detail_has_its_type() -> None:
    """What the province opens is a Detail again."""
    province = await ready()
    await province.work(province.lot([request(1)]))
    body = opened_detail(province.details()[0][0], KEYS[PROVINCE])[0][0].body
    assert encode(msgspec.json.decode(body, type=Detail)) == body


async def test_detail_of_a_refusal() -> None:
    """The detail of a refusal names the condition that decided, and no field."""
    province = await ready()
    await province.work(province.lot([request(1, use_for="x")]))
    _, (detail,), leaves = province.details()[0]
    assert (detail["status"], detail["condition"], detail["scenario"]) == (3011, "purpose", f"{SCENE}@1")
    assert detail["fields"] == []
    assert province.evidence()[0][1].items[0].detail == leaves[0].hex()


async def test_holder_in_the_evidence() -> None:
    """The holder is in the detail as a hash, the same for the same holder, and never as a code or a name."""
    province = await ready()
    await province.work(province.lot([request(1), request(2)]))
    sent, details, _ = province.details()[0]
    assert len({detail["holder"] for detail in details}) == 1
    assert len(details[0]["holder"]) == 64
    for item in opened_detail(sent, KEYS[PROVINCE])[0]:
        assert CITIZEN_ID.encode() not in item.body
        assert "测小试".encode() not in item.body


async def holders(province: Province, *items: RequestItem) -> list[str]:
    """The holders in the details of these requests, each in a lot of its own."""
    for item in items:
        await province.work(province.lot([item]))
    return [detail["holder"] for _, details, _ in province.details() for detail in details]


async def test_holder_of_a_refusal() -> None:
    """Whoever was asked for is in the detail, whether refused for the form, by the judge, or for what was found."""
    found = await holders(
        await ready(whole()),
        request(1),
        request(2, "I5"),
        request(3, "I5", org_name=None),
        request(4, "I1", use_for="x"),
        asked("I3", certificateHolderName="另一人")(5),
        request(6, "I6"),
        request(7, "I7"),
    )
    assert len(found) == 7
    assert len(set(found)) == 1
    assert len(found[0]) == 64


async def test_nobody_in_a_refusal() -> None:
    """A refused request that names no holder has none in its detail."""
    assert (
        await holders(await ready(), request(1, use_for="x"), request(900), request(2, "I7", use_for="x")) == [""] * 3
    )


async def test_nothing_readable_on_the_evidence_topic() -> None:
    """The evidence record tells nothing of scenario, item, purpose, application, certificate or outcome."""
    province = await ready()
    item = request(1)
    await province.work(province.lot([item]))
    sent, _ = province.evidence()[0]
    texts = (SCENE, item.application, identifier_of(1), *(v for v in msgspec.to_builtins(item.head).values()))
    assert all(text.encode() not in sent.value for text in texts)


async def test_nobody_else_opens_the_detail() -> None:
    """The detail is sealed to its own province."""
    province = await ready()
    await province.work(province.lot([request(1)]))
    sent = province.kafka.on(detail_topic(PROVINCE))[0]
    with pytest.raises(LotError, match="recipient"):
        opened_detail(sent, KEYS[NODE])


def changed(record: Incoming, **headers: bytes) -> Incoming:
    return incoming(
        WireRecord([(name, headers.get(name, value)) for name, value in record.headers], record.value), record
    )


async def test_quarantine_record() -> None:
    """What is put aside keeps its value, its place and the reason, and none of the headers that a stranger wrote."""
    province = await ready()
    record = changed(province.lot([request(1)]), signature=b"x.y.z")
    record = record._replace(headers=[*record.headers, ("name", "某人".encode())])
    (out,) = await province.work(record)
    assert (out.topic, out.record.value) == (DLQ, record.value)
    assert dict(out.record.headers) == {
        "certlane_reason": b"signature",
        "certlane_partition": b"3",
        "certlane_offset": str(record.offset).encode(),
        "certlane_bytes": str(len(record.value)).encode(),
    }
    assert idle(province)


async def test_quarantine_is_bounded() -> None:
    """Of a record larger than a lot only its size is kept."""
    province = await ready()
    record = province.lot([request(1)])._replace(value=bytes(MAX_LOT_BYTES + 1))
    (out,) = await province.work(record)
    assert out.record.value == b""
    assert dict(out.record.headers)["certlane_bytes"] == str(MAX_LOT_BYTES + 1).encode()


WRONG: Final[dict[str, Callable[[Province], Incoming]]] = {
    "header": lambda province: province.lot([request(1)])._replace(headers=[]),
    "version": lambda province: changed(province.lot([request(1)]), ce_type=b"certlane.request.v2"),
    "items": lambda province: changed(province.lot([request(1)]), ce_items=b"0"),
    "deadline": lambda province: province.lot([request(1)], deadline=now_ms() + 700_000),
    "size": lambda province: province.lot([request(1)])._replace(value=b"x"),
    "key": lambda province: changed(province.lot([request(1)]), ce_source=OTHER_NODE.encode()),
    "signature": lambda province: changed(province.lot([request(1)]), ce_time=b"2026-01-01T00:00:00.000Z"),
    "recipient": lambda province: province.lot([request(1)], to="31"),
    "replyto": lambda province: province.lot([request(1)], reply_to=f"{reply_topic(OTHER_NODE)}/1"),
    "sender": lambda province: province.lot([request(1)], by="31", reply_to=f"{reply_topic(NODE)}/1"),
}


@pytest.mark.parametrize("reason", WRONG)
async def test_lot_that_cannot_be_trusted(reason: str) -> None:
    """A lot whose sender or reply address cannot be trusted is put aside with its reason, unanswered and unrecorded."""
    province = await ready()
    outs = await province.work(WRONG[reason](province))
    assert (quarantine(outs), len(outs)) == ([reason], 1)
    assert idle(province)
    assert province.effects.calls == 0


@pytest.mark.parametrize("place", ["", "7", "12", "-1", "x", "7/7"])
async def test_reply_addresses(place: str) -> None:
    """A lot whose reply address is not a partition of its sender's own topic is put aside."""
    province = await ready()
    address = "" if not place else f"{reply_topic(NODE)}/{place}"
    outs = await province.work(province.lot([request(1)], reply_to=address))
    assert quarantine(outs) == ([] if place == "7" else ["replyto"])


async def test_whole_lot_refused() -> None:
    """A lot of a known sender whose body is wrong is put aside, and its sender gets one refusal with the lot's id."""
    province = await ready()
    record = province.lot([request(1), request(2)])
    outs = await province.work(record._replace(value=record.value[:-1] + bytes([record.value[-1] ^ 1])))
    assert quarantine(outs) == ["body"]
    (told,) = province.reply(outs[1]).items
    assert (told.id, told.status) == (dict(record.headers)["ce_id"].decode(), 102)
    assert province.evidence()[0][1].items[0].request_id == told.id
    assert len(outs) == 2


async def test_whole_lot_refused_without_an_address() -> None:
    """A lot whose body and reply address are both wrong is put aside once, and nothing else is raised."""
    province = await ready()
    record = province.lot([request(1)], reply_to="nowhere/1")
    assert quarantine(await province.work(record._replace(value=record.value[:-1] + b"x"))) == ["body"]


async def test_unreadable_item() -> None:
    """An item that names no request is put aside with its lot, and its neighbours are answered."""
    province = await ready()
    outs = await province.work(province.lot([request(1), b'{"id":"x"}', b"\xff", request(2)]))
    assert quarantine(outs) == ["form"]
    assert [province.reply(out).statuses for out in replies(outs)] == [{f"{1:032x}": 0, f"{2:032x}": 0}]


async def test_item_of_another_form() -> None:
    """An item of which no more than id and deadline can be read is refused (102) without being put aside."""
    province = await ready()
    bare = encode({"id": f"{1:032x}", "deadline": now_ms() + 60_000, "head": 7})
    outs = await province.work(province.lot([bare, request(2)], deadline=now_ms() + 60_000))
    assert quarantine(outs) == []
    told = {key: status for out in outs for key, status in province.reply(out).statuses.items()}
    assert told == {f"{1:032x}": 102, f"{2:032x}": 0}


async def test_application_of_another_node() -> None:
    """A request of an application that is registered to another node than the one that signed is refused."""
    province = await ready()
    await province.publish(replace(application(), node=OTHER_NODE))
    await province.registry.refresh()
    assert [item.status for item in (await province.answers(request(1))).values()] == [2005]


async def test_full_lot() -> None:
    """A lot of 256 items is taken with one call to Redis and one to the store, and answered with one reply lot."""

    class Counting(MemoryStore):
        calls = 0

        async def fetch(self, asks: Any) -> AsyncIterator[Any]:
            self.calls += 1
            async for found in super().fetch(asks):
                yield found

    counting = Counting([certificate(serial) for serial in range(256)])
    province = await ready(counting)
    outs = await province.work(province.lot([request(serial) for serial in range(256)]))
    assert [len(province.reply(out).items) for out in outs] == [256]
    assert (province.effects.calls, counting.calls, len(province.kafka.sent)) == (1, 1, 2)


async def test_large_answers() -> None:
    """Answers that do not fit one reply lot leave in several, each with its own evidence, none too large."""
    face = (SurfaceField(name="姓名", column_name="KZ_XM", value="长" * 4_000),)
    province = await ready(MemoryStore([certificate(serial, surface=face) for serial in range(64)]))
    outs = await province.work(province.lot([request(serial) for serial in range(64)]))
    told = [item for out in outs for item in province.reply(out).items]
    assert sorted(item.id for item in told) == [f"{serial:032x}" for serial in range(64)]
    assert len(outs) == len(province.evidence()) > 1
    assert all(len(out.record.value) <= MAX_LOT_BYTES for out in outs)


async def test_wordy_requests() -> None:
    """Replies that repeat much of what was asked leave in several lots as well."""
    hops = {f"{at:02}" + "\1" * 14: 1 << 52 for at in range(16)}
    items = [replace(request(at), head=Head(), data=msgspec.Raw(b"{}"), address=None, hops=hops) for at in range(256)]
    assert len(await (await ready()).answers(*items)) == 256


async def test_one_certificate_twice() -> None:
    """Two items of one lot that ask for one certificate are both answered."""
    same = encode({"certificateID": identifier_of(1)})
    told = await (await ready()).answers(request(1, data=same), request(2, data=same))
    assert [item.status for item in told.values()] == [0, 0]
