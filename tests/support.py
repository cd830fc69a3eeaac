"""Whole fakes: a party's Redis and a Kafka in memory, and a province's agent between them, with the node that asks it.

The wire between node and province, the registry's trust and the handler are the real ones.
"""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from broker.bus.clock import now_ms
from broker.bus.kafka import Incoming, Outgoing
from broker.bus.keys import KeyFile, KeyOpener, KeySigner, Sealer
from broker.bus.lots import Packer
from broker.bus.objects import NoObjectError, Objects, ObjectsError
from broker.registry.reader import RegistryReader
from broker.registry.stored import Beat, Held, StoredRegistry, Write
from broker.registry.stored import Head as RedisHead
from schemas.consents import Consent, Consenting, seal_holder, sign_consent
from schemas.evidence import EvidenceBody
from schemas.form import sm3_hex
from schemas.items import ReplyItem, RequestItem, decode_reply, encode
from schemas.jose import unb64
from schemas.lot import REQUEST_TYPE, Envelope, Item, WireRecord, unframe
from schemas.scenes import ConsentMode
from schemas.service_codes import code_key, tagged_code
from schemas.sharing import Head
from schemas.suites import ED
from schemas.topics import detail_topic, evidence_topic, reply_topic, request_topic
from schemas.wire import OpenLot, open_lot, parse_headers, unseal
from tests.support_registry import (
    ADDRESS,
    APPLICATION,
    CARD,
    CITIZEN_ID,
    ITEM,
    NODE,
    ORG,
    OTHER_NODE,
    PROVINCE,
    PURPOSE,
    SCENE,
    Body,
    bodies,
    identifier_of,
    manifest_of,
    new_party_keys,
    next_manifest,
    party,
    records_of,
    signed,
)
from workers.consents import Consents
from workers.effects import (
    CODE_USED,
    CONSENT_USED,
    MARK_HELD,
    QUOTA_USED_UP,
    Effect,
    Effects,
    EpochError,
    Mark,
    ReplayedError,
)
from workers.engine.port import Work
from workers.evidence import EvidenceWriter
from workers.files import FileSender
from workers.handler import Handler
from workers.issuers.memory import NO_CODES, MemoryIssuer
from workers.issuers.port import CodeRecord
from workers.names import NameCheck, RegisteredNames
from workers.stores.port import Store

KEYS: Final = {name: new_party_keys(name) for name in (NODE, OTHER_NODE, PROVINCE, "31", "registrar")}
REPLY_PARTITION: Final = 7


class PartyRedis:
    """One party's Redis: what registry and effects keep in it; `away` plays an outage, `wipe` the loss of all."""

    def __init__(self) -> None:
        self.away = False
        self.wipe()

    def wipe(self) -> None:
        self.records: dict[str, bytes] = {}
        self.manifest, self.version, self.epoch = b"", 0, b""
        self.manifests: dict[int, bytes] = {}
        self.stood_ms: int | None = None
        self.lots: dict[tuple[str, str], str] = {}
        self.marks: dict[tuple[str, str], tuple[int, str]] = {}
        self.codes: dict[str, str] = {}
        self.uses: dict[str, str] = {}
        self.taken: dict[tuple[str, str], int] = {}
        self.counts: Counter[str] = Counter()

    def touch(self) -> None:
        if self.away:
            raise RedisConnectionError("away")


class MemoryStored(StoredRegistry):
    """The registry in a PartyRedis, with the rules of the real one's scripts."""

    def __init__(self, memory: PartyRedis) -> None:
        self._memory = memory
        self.channel = "changed"

    async def store(self, version: int, manifest: bytes, records: Mapping[str, bytes], now_ms: int) -> None:
        """As a follower does that has read the topic up to this version."""
        memory = self._memory
        if memory.version == version and memory.manifest == manifest and memory.records and memory.epoch:
            memory.touch()
            memory.stood_ms = now_ms
        elif memory.version <= version:
            await self.replace(
                Write(version, manifest, now_ms, memory.manifest, {**memory.manifests, version: manifest}), records
            )

    async def replace(self, write: Write, records: Mapping[str, bytes]) -> bool:
        return self._set(write, dict(records), {})

    async def change(self, write: Write) -> bool:
        return bool(self._memory.records) and self._set(write, self._memory.records, self._memory.manifests)

    def _set(self, write: Write, records: dict[str, bytes], manifests: Mapping[int, bytes]) -> bool:
        memory = self._memory
        memory.touch()
        if memory.manifest != write.found:
            return False
        memory.records = {k: v for k, v in (records | dict(write.put)).items() if k not in write.dropped}
        memory.manifests = {
            v: jws for v, jws in (dict(manifests) | dict(write.history)).items() if v > write.version - 256
        }
        memory.manifest, memory.version, memory.stood_ms = write.manifest, write.version, write.now_ms
        memory.epoch = b"" if write.new_life else memory.epoch
        memory.epoch = memory.epoch or uuid.uuid4().hex.encode()
        return True

    async def stood(self, version: int, now_ms: int) -> bool:
        memory = self._memory
        memory.touch()
        if not (memory.records and memory.manifest and memory.epoch) or memory.version != version:
            return False
        memory.stood_ms = now_ms
        return True

    async def records(self, keys: Iterable[str] = ()) -> Held:
        memory = self._memory
        memory.touch()
        version = f"{memory.version}".encode() if memory.version else b""
        head = RedisHead(memory.manifest, version, memory.epoch, len(memory.records))
        return Held(head, {key: memory.records.get(key) for key in keys})

    async def manifests(self, first: int, last: int) -> list[bytes | None]:
        self._memory.touch()
        return [self._memory.manifests.get(version) for version in range(first, last + 1)]

    async def scan(self) -> AsyncIterator[dict[str, bytes]]:
        self._memory.touch()
        yield dict(self._memory.records)

    async def beat(self) -> Beat:
        self._memory.touch()
        return Beat(self._memory.version, self._memory.epoch, self._memory.stood_ms)


class MemoryEffects(Effects):
    """What a lot takes, in a PartyRedis, with the rules of the real one's script; nothing in it ever ends."""

    def __init__(self, memory: PartyRedis) -> None:
        self._memory = memory
        self.calls = 0
        self.life = b""

    async def take(
        self, epoch: bytes, *, node: str, lot: str, place: str, ends_ms: int, marks: Sequence[Mark], now_ms: int
    ) -> list[Effect]:
        memory = self._memory
        self.calls += 1
        memory.touch()
        if not memory.epoch or memory.epoch != epoch:
            raise EpochError
        if memory.lots.setdefault((node, lot), place) != place:
            raise ReplayedError
        return [self._mark(mark, now_ms) for mark in marks]

    def _mark(self, mark: Mark, now_ms: int) -> Effect:
        memory, name = self._memory, (mark.node, mark.request_id)
        attempt, digest = memory.marks.get(name, (0, mark.digest))
        if digest != mark.digest:
            return Effect(MARK_HELD)
        if any(memory.uses.get(use, mark.user) != mark.user for use in mark.uses):
            return Effect(CONSENT_USED)
        if memory.codes.get(mark.code, mark.user) != mark.user:
            return Effect(CODE_USED)
        if not attempt and any(memory.counts[counter.key] >= counter.limit for counter in mark.counters):
            return Effect(QUOTA_USED_UP)
        memory.uses.update(dict.fromkeys(mark.uses, mark.user))
        memory.codes.update({mark.code: mark.user} if mark.code else {})
        memory.counts.update(() if attempt else [counter.key for counter in mark.counters])
        attempt = max(attempt, mark.attempt) if mark.attempt else attempt + 1
        memory.marks[name] = attempt, digest
        return Effect(attempt, memory.taken.setdefault(name, now_ms))

    async def give_back(self, marks: Sequence[Mark]) -> None:
        self._memory.touch()
        for mark in marks:
            if self._memory.marks.get((mark.node, mark.request_id), (0, ""))[0] != 1:
                continue
            for held, names in ((self._memory.codes, (mark.code,)), (self._memory.uses, mark.uses)):
                for name in names:
                    if held.get(name) == mark.user:
                        del held[name]


class MemoryObjects(Objects):
    """Sealed files in a dictionary; `away` plays an outage, `gate` holds what is written."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.writing = self.most_writing = 0

    async def write(self, address: str, segments: AsyncGenerator[bytes, None]) -> None:
        self.writing += 1
        self.most_writing = max(self.most_writing, self.writing)
        try:
            await self.gate.wait()
            self._touch()
            self.held[address] = b"".join([segment async for segment in segments])
        finally:
            self.writing -= 1

    async def read(self, address: str, start: int, stop: int) -> bytes:
        self._touch()
        if address not in self.held:
            raise NoObjectError
        return self.held[address][start:stop]

    async def delete(self, address: str) -> None:
        self._touch()
        self.held.pop(address, None)

    async def sweep(self, older_than_seconds: float) -> None:
        self._touch()

    async def close(self) -> None:
        self.held.clear()

    def _touch(self) -> None:
        if self.away:
            raise ObjectsError("away")


class Sent(NamedTuple):
    """A record as a producer was given it."""

    topic: str
    partition: int | None
    key: bytes | None
    headers: dict[str, bytes]
    value: bytes


class Acknowledged(NamedTuple):
    timestamp: int


class MemoryKafka:
    """A producer whose topics are one list; the topics in `held` are not acknowledged until `acknowledge`."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.held: set[str] = set()
        self._waiting: list[asyncio.Future[Acknowledged]] = []

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> asyncio.Future[Acknowledged]:
        future: asyncio.Future[Acknowledged] = asyncio.get_running_loop().create_future()
        self.sent.append(Sent(topic, partition, key, dict(headers or ()), value or b""))
        if topic in self.held:
            self._waiting.append(future)
        else:
            future.set_result(Acknowledged(now_ms()))
        return future

    def acknowledge(self) -> None:
        self.held = set()
        for future in self._waiting:
            if not future.done():
                future.set_result(Acknowledged(now_ms()))

    def fail(self, error: Exception) -> None:
        """Every record that waits for its acknowledgement failed."""
        for future in self._waiting:
            future.set_exception(error)

    def on(self, topic: str) -> list[Sent]:
        return [one for one in self.sent if one.topic == topic]


class Reply(NamedTuple):
    """A reply lot as its node reads it."""

    lot: OpenLot
    items: list[ReplyItem]

    @property
    def statuses(self) -> dict[str, int]:
        return {item.id: item.status for item in self.items}


async def until(true: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Wait for something that comes by itself."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not come"
        await asyncio.sleep(0.001)


def file_of(serial: int) -> bytes:
    """The file of the certificate of this serial."""
    return f"OFD of {identifier_of(serial)}".encode()


def service_code(serial: int, *, once: bool = True, province: str = PROVINCE) -> str:
    """The service code of this serial, under the tag of its issuer."""
    key = code_key(unb64(KEYS[province].holder_key))
    return tagged_code(province, serial.to_bytes(16, "big"), key, once=once)


def by_id(serial: int) -> dict[str, Any]:
    return {"certificateID": identifier_of(serial)}


def by_holder(serial: int) -> dict[str, Any]:
    whose = {"certificateHolderCode": CITIZEN_ID, "certificateHolderTypeCode": "111"}
    return {**whose, "certificateTypeCode": CARD, "certificateNumber": f"TEST-{serial:06}"}


DATA: Final[dict[str, Callable[[int], dict[str, Any]]]] = {
    "I1": by_holder,
    "I2": by_id,
    "I3": by_holder,
    "I4": by_id,
    "I5": by_holder,
    "I6": lambda serial: {"certTypeCode": CARD, "contentType": "digest", "content": sm3_hex(file_of(serial))},
    "I7": lambda serial: {"certQrCode": service_code(serial), "pos": "示例大厅一号窗口", "use": "企业设立登记"},
}


def request(
    serial: int, interface: str = "I4", *, in_ms: int = 60_000, data: bytes | None = None, **head: str | None
) -> RequestItem:
    """A request that is granted, about the certificate or the code of this serial, unless something of it is wrong.

    `data` stands in for all that the interface asks with.
    """
    good = Head(
        scene_code=SCENE,
        org_name="企业服务中心（测试）",
        org_code=ORG,
        username="窗口一号（测试）",
        item_name="企业设立登记",
        item_code=ITEM,
        business_code=f"TEST-{serial}",
        use_for=PURPOSE,
    )
    return RequestItem(
        id=f"{serial:032x}",
        interface=interface,
        application=APPLICATION,
        deadline=now_ms() + in_ms,
        head=replace(good, **head),
        data=msgspec.Raw(encode(DATA[interface](serial)) if data is None else data),
        address=ADDRESS,
        hops={"received": 1},
    )


def consent_token(serial: int, keys: KeyFile, *, now: int, **changes: object) -> str:
    """A consent that 31 issued (signed by `keys`) for the application of these tests, sealed to the province."""
    claims = Consent(
        id=f"{serial:032x}",
        iss="31",
        mode=ConsentMode.ONLINE,
        scene=SCENE,
        node=NODE,
        application=APPLICATION,
        org=ORG,
        types=(CARD,),
        holder={},
        iat=now - 1_000,
        exp=now + 600_000,
    )
    whose = Consenting(code=CITIZEN_ID, type_code="111")
    sealing = Sealer().next(PROVINCE, KEYS[PROVINCE].sealing.public)
    holder = {PROVINCE: seal_holder(whose, sealing, issuer="31", consent=claims.id)}
    return sign_consent(replace(claims, holder=holder, **changes), KeySigner(keys.signing))


class GatedIssuer(MemoryIssuer):
    """An issuer that answers at once until its gate is shut."""

    def __init__(self, codes: Mapping[str, CodeRecord | None]) -> None:
        super().__init__(codes)
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[str] = []

    async def look(self, digests: Sequence[str]) -> Mapping[str, CodeRecord | None]:
        self.asked += digests
        await self.gate.wait()
        return await super().look(digests)


class Province:
    """A province's agent on these fakes, and the node that asks it."""

    def __init__(
        self,
        store: Store,
        *,
        parties: Iterable[Body] | None = None,
        codes: Mapping[str, CodeRecord | None] = NO_CODES,
        names: NameCheck | None = None,
    ) -> None:
        self.issuer = GatedIssuer(codes)
        self.names: NameCheck = names or RegisteredNames()
        self.consents = Consents(KEYS[PROVINCE], KeyOpener(KEYS[PROVINCE].sealing))
        self.redis, self.kafka, self.objects, self.store = PartyRedis(), MemoryKafka(), MemoryObjects(), store
        self.effects = MemoryEffects(self.redis)
        self.stored = MemoryStored(self.redis)
        self.registry = RegistryReader(redis=Redis(), stored=self.stored, registrar=KEYS["registrar"].signing.public)
        known = [party(KEYS[name]) for name in (NODE, OTHER_NODE, PROVINCE, "31")]
        self._records = records_of([*bodies(), *known, *(parties or ())])
        self._manifest = manifest_of(self._records)
        self._packers = {name: self._packer(keys) for name, keys in KEYS.items()}
        self._offset = 0
        self.handler = Handler(
            province=PROVINCE,
            registry=self.registry,
            opener=KeyOpener(KEYS[PROVINCE].sealing),
            effects=self.effects,
            store=store,
            issuer=self.issuer,
            consents=self.consents,
            names=self.names,
            files=FileSender(objects=self.objects, suite=ED),
            evidence=EvidenceWriter(
                party=PROVINCE, keys=KEYS[PROVINCE], packer=self._packers[PROVINCE], kafka=self.kafka
            ),
        )

    def _packer(self, keys: KeyFile) -> Packer:
        return Packer(
            party=keys.party, signer=KeySigner(keys.signing), sealer=Sealer(), recipients=self.registry.current
        )

    async def publish(self, *changed: Body) -> None:
        """Let the follower write the registry, with these records changed, as its next version."""
        new = records_of(changed, self._manifest.version + 1)
        self._records = {**self._records, **new}
        if changed:
            self._manifest = next_manifest(self._manifest, self._records, new)
        await self.stored.store(
            self._manifest.version, signed(self._manifest, KEYS["registrar"]), self._records, now_ms()
        )

    async def ready(self) -> "Province":
        await self.publish()
        await self.registry.refresh()
        return self

    def lot(
        self,
        items: Sequence[RequestItem | bytes],
        *,
        by: str = NODE,
        to: str = PROVINCE,
        deadline: int | None = None,
        reply_to: str | None = None,
    ) -> Incoming:
        """A lot of these items at the next place of the lane."""
        ends = [item.deadline for item in items if isinstance(item, RequestItem)]
        packer = self._packers[by]
        made = packer.envelope(
            REQUEST_TYPE,
            len(items),
            deadline or max(ends, default=now_ms() + 60_000),
            f"{reply_topic(by)}/{REPLY_PARTITION}" if reply_to is None else reply_to,
        )
        encoded = [item if isinstance(item, bytes) else encode(item) for item in items]
        record = packer.pack(made, packer.frames(encoded), to)
        self._offset += 1
        return Incoming(request_topic(PROVINCE), 3, self._offset, now_ms(), record.headers, record.value)

    async def work(self, record: Incoming) -> list[Outgoing]:
        """All that leaves for one record of the lane; a lot that would never end fails."""
        async with asyncio.timeout(5):
            return [out async for out in self.handler(record, Work())]

    async def answers(self, *items: RequestItem | bytes) -> dict[str, ReplyItem]:
        """The reply items of one lot by request id; each id comes once."""
        replies = [self.reply(out) for out in await self.work(self.lot(items)) if out.topic == reply_topic(NODE)]
        told = [item for reply in replies for item in reply.items]
        assert len({item.id for item in told}) == len(told)
        return {item.id: item for item in told}

    def reply(self, out: Outgoing) -> Reply:
        """A reply lot, opened and verified by the node."""
        assert (out.topic, out.partition) == (reply_topic(NODE), REPLY_PARTITION)
        opened, signature, sealed = parse_headers(out.record.headers)
        lot = open_lot(
            opened,
            signature,
            sealed,
            out.record.value,
            me=NODE,
            keys=self.registry.current(),
            opener=KeyOpener(KEYS[NODE].sealing),
            now_ms=now_ms(),
        )
        return Reply(lot, [decode_reply(item.body) for item in lot.items])

    def evidence(self) -> list[tuple[Sent, EvidenceBody]]:
        """The evidence records in the order in which they were written."""
        sent = self.kafka.on(evidence_topic(PROVINCE))
        return [(one, msgspec.json.decode(one.value, type=EvidenceBody)) for one in sent]

    def details(self) -> list[tuple[Sent, list[dict[str, Any]], list[bytes]]]:
        """The detail records as the province opens them, with the hash of each detail."""
        out = []
        for sent in self.kafka.on(detail_topic(PROVINCE)):
            items, leaves = opened_detail(sent, KEYS[PROVINCE])
            out.append((sent, [msgspec.json.decode(item.body) for item in items], leaves))
        return out


def opened_detail(sent: Sent, keys: KeyFile) -> tuple[list[Item], list[bytes]]:
    """The items and leaf hashes of a detail record, opened with these keys."""
    named: dict[str, Any] = {name: sent.headers[name].decode() for name in ("ce_id", "ce_type", "ce_source")}
    envelope = Envelope(**named, ce_time="", ce_deadline="0", ce_items="0")
    plaintext = unseal(envelope, sent.headers["seal"], sent.value, me=keys.party, opener=KeyOpener(keys.sealing))
    return unframe(plaintext, ED)


def incoming(record: WireRecord, like: Incoming) -> Incoming:
    """This record at the place of another one."""
    return like._replace(headers=record.headers, value=record.value)
