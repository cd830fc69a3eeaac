"""Files on their way out of a province: byte-exact, inline while they fit, a few at once, and nobody waits for them."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.form import sm3_hex
from schemas.items import ReplyItem, RequestItem, Ticket, encode
from schemas.sealed_files import SEALED_SEGMENT_BYTES, SealedFile
from tests.support import DATA, Province, request, until
from tests.support_registry import granted, identifier_of, scene
from tests.support_store import certificate
from workers.engine.port import Work
from workers.stores.memory import MemoryFile, MemoryStore
from workers.stores.port import Ask, Found, StoreError

KIB: Final = 1024
INLINE: Final = 256 * KIB
NUMBER: Final = "TEST-000001"


class Files(MemoryStore):
    """A store with one file of these bytes for each certificate of one holder; `gate` holds those of `slow`."""

    def __init__(self, *sizes: int, slow: Iterable[int] = ()) -> None:
        serials = range(1, len(sizes) + 1)
        super().__init__(
            [certificate(serial, number=NUMBER) for serial in serials],
            files={(identifier_of(at), "ofd"): content(at, size) for at, size in zip(serials, sizes, strict=True)},
        )
        self.slow = {identifier_of(serial) for serial in slow}
        self.gate = asyncio.Event()
        self.reading = self.most_reading = 0

    async def file(self, certificate_id: str, file_format: str) -> MemoryFile | None:
        self.reading += 1
        self.most_reading = max(self.most_reading, self.reading)
        try:
            if certificate_id in self.slow:
                await self.gate.wait()
            return await super().file(certificate_id, file_format)
        finally:
            self.reading -= 1


def content(serial: int, size: int) -> bytes:
    return bytes([serial]) * size


async def ready(store: MemoryStore) -> Province:
    return await Province(store).ready()


async def reply_to(province: Province, item: RequestItem) -> ReplyItem:
    (reply,) = (await province.answers(item)).values()
    return reply


def listed(reply: ReplyItem) -> list[dict[str, Any]]:
    assert reply.status == 0
    found: dict[str, Any] = msgspec.json.decode(reply.data)
    assert found["total"] == len(found["dataList"])
    return list(found["dataList"])


def opened(province: Province, ticket: Ticket) -> bytes:
    """The file behind a ticket, as the requester's node opens it."""
    sealed = SealedFile(ticket)
    held = province.objects.held[ticket.address]
    assert len(held) == sealed.sealed_size
    parts = [held[at : at + SEALED_SEGMENT_BYTES] for at in range(0, len(held), SEALED_SEGMENT_BYTES)]
    return b"".join(sealed.open(number, part) for number, part in enumerate(parts))


@pytest.mark.parametrize("size", [0, 20, 255 * KIB, INLINE])
async def test_inline(size: int) -> None:
    """A file of at most 256 KiB stands in its answer byte for byte, with its digest and size, and has no ticket."""
    province = await ready(Files(size))
    reply = await reply_to(province, request(1, "I2"))
    (told,) = listed(reply)
    assert base64.b64decode(told["content"]) == content(1, size)
    assert (told["contentType"], told["fileKind"], told["fileFormat"]) == ("base64", "original", "ofd")
    assert (told["fileDigest"], told["fileSize"]) == (sm3_hex(content(1, size)), size)
    assert told.keys().isdisjoint({"fileUrl", "urlExpireTime"})
    assert (reply.tickets, province.objects.held) == ((), {})


@pytest.mark.parametrize("size", [INLINE + 1, 257 * KIB, 2_000 * KIB])
async def test_behind_a_ticket(size: int) -> None:
    """A larger file lies sealed behind the ticket that its answer names, byte for byte, and not in the answer."""
    province = await ready(Files(size))
    reply = await reply_to(province, request(1, "I2"))
    (told,), (ticket,) = listed(reply), reply.tickets
    assert opened(province, ticket) == content(1, size)
    assert (told["fileUrl"], told["urlExpireTime"]) == (ticket.address, ticket.expires)
    assert (told["fileDigest"], told["fileSize"], ticket.size) == (sm3_hex(content(1, size)), size, size)
    assert told.keys().isdisjoint({"content", "contentType"})


async def test_what_a_file_says_of_its_certificate() -> None:
    """A file says of which certificate it is and who issued it, and its number only as the scenario grants it."""
    (told,) = listed(await reply_to(await ready(Files(20)), request(1, "I2")))
    assert {name: told[name] for name in ("certificateID", "certificateStatus", "certificateType", "issueDept")} == {
        "certificateID": identifier_of(1),
        "certificateStatus": "VALID",
        "certificateType": "测试证照",
        "issueDept": "测试发证机关",
    }
    assert told["certificateNumber"] == "*******0001"
    assert "测小试" not in str(told)


async def test_whole_number() -> None:
    """A certificate's number stands whole beside its file where the scenario grants it in full."""
    province = await ready(Files(20))
    await province.publish(replace(scene(), types=(replace(granted(), fields=("certificateNumber",)),)))
    await province.registry.refresh()
    (told,) = listed(await reply_to(province, request(1, "I2")))
    assert told["certificateNumber"] == NUMBER


@pytest.mark.parametrize(
    ("sizes", "inline"),
    [
        ((100, 100, 100), (True, True, False)),
        ((200, 100, 56), (True, False, True)),
        ((256, 0, 1), (True, True, False)),
        ((300, 256), (False, True)),
    ],
)
async def test_files_of_one_answer(sizes: Sequence[int], inline: Sequence[bool]) -> None:
    """The inline files of one answer have at most 256 KiB together; what no longer fits has a ticket."""
    province = await ready(Files(*(size * KIB for size in sizes)))
    reply = await reply_to(province, request(1, "I3"))
    told = listed(reply)
    assert tuple("content" in one for one in told) == tuple(inline)
    assert [one["fileUrl"] for one in told if "fileUrl" in one] == [ticket.address for ticket in reply.tickets]
    assert [one["certificateID"] for one in told] == [identifier_of(at) for at in range(1, len(sizes) + 1)]


@settings(max_examples=40)
@given(st.lists(st.integers(0, 300 * KIB), min_size=1, max_size=6))
def test_every_byte_arrives(sizes: list[int]) -> None:
    """Whatever their sizes, all files of an answer arrive byte for byte, inline or not, and inline at most 256 KiB."""

    async def all_of() -> tuple[list[bytes], int]:
        province = await ready(Files(*sizes))
        reply = await reply_to(province, request(1, "I3"))
        tickets = {ticket.address: ticket for ticket in reply.tickets}
        inline = [base64.b64decode(one["content"]) for one in listed(reply) if "content" in one]
        files = [
            base64.b64decode(one["content"]) if "content" in one else opened(province, tickets[one["fileUrl"]])
            for one in listed(reply)
        ]
        return files, sum(map(len, inline))

    files, inline = asyncio.run(all_of())
    assert files == [content(at, size) for at, size in enumerate(sizes, 1)]
    assert inline <= INLINE


async def test_no_such_file() -> None:
    """A certificate without a file of this format is 10, and the answer says what is missing."""
    reply = await reply_to(
        await ready(Files(20)), request(1, "I2", data=encode({**DATA["I2"](1), "fileFormat": "pdf"}))
    )
    assert reply.status == 10
    assert reply.message.endswith("该证照没有所请求格式的文件")


async def test_some_without_a_file() -> None:
    """Of a holder's certificates those leave that have a file of this format; when none has, it is 10."""
    store = Files(20, 20, 20)
    del store.files[identifier_of(2), "ofd"]
    told = listed(await reply_to(await ready(store), request(1, "I3")))
    assert [one["certificateID"] for one in told] == [identifier_of(1), identifier_of(3)]
    store.files.clear()
    assert (await reply_to(await ready(store), request(1, "I3"))).status == 10


class LyingFiles(Files):
    """The file of certificate 2 is not what the store says it is."""

    async def file(self, certificate_id: str, file_format: str) -> MemoryFile | None:
        found = await super().file(certificate_id, file_format)
        if found and certificate_id == identifier_of(2):
            found.digest = "0" * 64
        return found


@pytest.mark.parametrize("size", [20, 300 * KIB])
async def test_file_of_another_digest(size: int) -> None:
    """A file that is not what its store says it is never leaves (99), nor do the files beside it in its answer."""
    province = await ready(LyingFiles(20, size))
    for item in (request(2, "I2"), request(3, "I3", data=encode(DATA["I3"](1)))):
        reply = await reply_to(province, item)
        assert (reply.status, bytes(reply.data), reply.tickets) == (99, b"null", ())
    assert province.objects.held == {}
    assert (await reply_to(province, request(1, "I2"))).status == 0


class DarkFiles(Files):
    """A store whose records can be read and whose files cannot."""

    async def file(self, certificate_id: str, file_format: str) -> MemoryFile | None:
        await super().file(certificate_id, file_format)
        raise StoreError("the store cannot be reached")


async def test_files_out_of_reach() -> None:
    """When its files cannot be reached a store is unreachable (7001), for files and for nothing else."""
    province = await ready(DarkFiles(20))
    told = await province.answers(request(1, "I2"), request(2, "I3", data=encode(DATA["I3"](1))), request(1001, "I1"))
    assert sorted(item.status for item in told.values()) == [10, 7001, 7001]


async def test_objects_out_of_reach() -> None:
    """When the object store is away large files are 7001, and small ones travel as before."""
    province = await ready(Files(20, 300 * KIB))
    province.objects.away = True
    told = await province.answers(request(1, "I2"), request(2, "I2"))
    assert {key[-1]: item.status for key, item in told.items()} == {"1": 0, "2": 7001}


async def test_files_hold_no_data() -> None:
    """A slow file holds neither the data nor the refusals nor the other files of its lot."""
    store = Files(20, 20, 20, slow=[1])
    province = await ready(store)
    items = [request(1, "I2"), request(2, "I2"), request(3), request(4, use_for="x")]
    out = province.handler(province.lot(items), Work())
    early = [province.reply(await anext(out)).statuses for _ in range(3)]
    assert {key[-1]: status for told in early for key, status in told.items()} == {"2": 0, "3": 0, "4": 3011}
    store.gate.set()
    assert province.reply(await anext(out)).statuses == {f"{1:032x}": 0}
    assert await anext(out, None) is None


class OneByOne(Files):
    """Answers its asks one by one, each after the first only once `more` is set."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.more = asyncio.Event()

    async def fetch(self, asks: Sequence[Ask]) -> AsyncIterator[Sequence[Found]]:
        for place, ask in enumerate(asks):
            if place:
                await self.more.wait()
            async for found in super().fetch([ask]):
                yield found


async def test_files_do_not_wait_for_the_store() -> None:
    """A file that is sent is answered while the store still looks for what else its lot asks for."""
    store = OneByOne(20, 20)
    province = await ready(store)
    out = province.handler(province.lot([request(1, "I2"), request(2)]), Work())
    assert province.reply(await anext(out)).statuses == {f"{1:032x}": 0}
    store.more.set()
    assert province.reply(await anext(out)).statuses == {f"{2:032x}": 0}
    assert await anext(out, None) is None


async def test_a_few_at_once() -> None:
    """Of one lot at most four files are on their way at once, and all of them arrive."""
    store = Files(*[20] * 12, slow=range(1, 13))
    province = await ready(store)
    work = asyncio.create_task(province.work(province.lot([request(serial, "I2") for serial in range(1, 13)])))
    await until(lambda: store.reading == 4)
    await asyncio.sleep(0.02)
    assert (store.reading, store.most_reading) == (4, 4)
    store.gate.set()
    told = [item.status for out in await work for item in province.reply(out).items]
    assert (told, store.most_reading) == ([0] * 12, 4)


@pytest.mark.parametrize("size", [20, 300 * KIB])
async def test_file_past_its_deadline(size: int) -> None:
    """A file that is not sent by its deadline is neither recorded nor answered, and its lot comes to its end."""
    store = Files(size, 20, slow=[1])
    province = await ready(store)
    outs = await province.work(province.lot([request(1, "I2", in_ms=100), request(2, "I2")]))
    assert [province.reply(out).statuses for out in outs] == [{f"{2:032x}": 0}]
    assert [item.request_id for _, body in province.evidence() for item in body.items] == [f"{2:032x}"]
    assert store.reading == 0


async def test_object_store_that_hangs() -> None:
    """An object store that never answers holds a file until its deadline and nothing else."""
    province = await ready(Files(300 * KIB, 20))
    province.objects.gate.clear()
    outs = await province.work(province.lot([request(1, "I2", in_ms=100), request(2, "I2")]))
    assert [province.reply(out).statuses for out in outs] == [{f"{2:032x}": 0}]
    assert province.objects.writing == 0


async def test_lot_that_is_left() -> None:
    """When a lot is left, as when its partition is revoked, nothing of it goes on."""
    store = Files(*[20] * 6, slow=range(1, 6))
    province = await ready(store)
    work = asyncio.create_task(province.work(province.lot([request(serial, "I2") for serial in range(1, 7)])))
    await until(lambda: store.reading == 4)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert store.reading == 0
    store.gate.set()
    await asyncio.sleep(0.01)
    assert (store.reading, province.kafka.sent) == (0, [])


async def test_lot_that_is_left_between_two_replies() -> None:
    """Whoever stops reading a lot's replies ends what is still on its way."""
    store = Files(20, 20, slow=[2])
    province = await ready(store)
    out = province.handler(province.lot([request(1, "I2"), request(2, "I2")]), Work())
    await anext(out)
    assert store.reading == 1
    await out.aclose()
    assert store.reading == 0


async def test_defect_while_sending() -> None:
    """A defect in sending ends the work on its lot, so that it is not lost in a task that nobody reads."""

    class Broken(Files):
        async def file(self, certificate_id: str, file_format: str) -> MemoryFile | None:
            raise ZeroDivisionError

    province = await ready(Broken(20))
    with pytest.raises(ZeroDivisionError):
        await province.work(province.lot([request(1, "I2")]))


async def test_file_in_the_evidence() -> None:
    """The evidence of a file says that a file left, of whom, and nothing of what stands in it."""
    province = await ready(Files(20))
    await reply_to(province, request(1, "I2"))
    ((_, (detail,), _),) = province.details()
    assert "file" in detail["fields"]
    assert len(detail["holder"]) == 64
