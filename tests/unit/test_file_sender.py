"""Files on their way out: inline or sealed behind a ticket, byte-exact or not at all."""

import asyncio
import base64
import os
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.hashes import SM3, Hash

from broker.bus.clock import now_ms
from broker.bus.objects import Objects, ObjectsError
from schemas.items import Ticket
from schemas.sealed_files import SEGMENT_BYTES, SealedFile
from schemas.suites import ED
from workers.files import TICKET_MS, FileError, FileSender
from workers.stores.port import StoreError

INLINE: Final = 256 * 1024
MIB: Final = 1 << 20


def sm3(data: bytes) -> str:
    digest = Hash(SM3())
    digest.update(data)
    return digest.finalize().hex()


class MemoryFile:
    """A file as a store hands it out; `size` and `digest` may lie, and it may break after so many bytes."""

    def __init__(
        self, data: bytes, *, size: int | None = None, digest: str = "", chunk: int = MIB, breaks: int | None = None
    ) -> None:
        self.size, self.digest = len(data) if size is None else size, digest or sm3(data)
        self._data, self._chunk, self._breaks = data, chunk, breaks

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._data), self._chunk):
            if self._breaks is not None and start >= self._breaks:
                raise StoreError("away")
            yield self._data[start : start + self._chunk]


def resident_bytes() -> int:
    """The memory this process has now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class GeneratedFile:
    """A large file that is nowhere as a whole, and sees how much memory there is while it is read."""

    def __init__(self, mib: int) -> None:
        digest = Hash(SM3())
        for number in range(mib):
            digest.update(self._mib(number))
        self.size, self.digest, self._count = mib * MIB, digest.finalize().hex(), mib
        self.most_resident_bytes = 0

    @staticmethod
    def _mib(number: int) -> bytes:
        return (b"%07d\n" % number) * (MIB // 8)

    async def chunks(self) -> AsyncIterator[bytes]:
        for number in range(self._count):
            yield self._mib(number)
            self.most_resident_bytes = max(self.most_resident_bytes, resident_bytes())


@pytest.fixture
async def objects(tmp_path: Path) -> AsyncIterator[Objects]:
    made = Objects((tmp_path / "objects").as_uri())
    yield made
    await made.close()


@pytest.fixture
def sender(objects: Objects) -> FileSender:
    return FileSender(objects=objects, suite=ED)


async def opened(objects: Objects, ticket: Ticket) -> bytes:
    file = SealedFile(ticket)
    return b"".join(
        [file.open(number, await objects.read(ticket.address, *file.place(number))) for number in range(file.segments)]
    )


@pytest.mark.parametrize("size", [0, 1, 20, INLINE - 1, INLINE])
async def test_inline(sender: FileSender, tmp_path: Path, size: int) -> None:
    """A file that has room in the reply travels in it as base64, and nothing is put aside."""
    data = os.urandom(size)
    told = await sender.send(MemoryFile(data, chunk=1000), inline_bytes=INLINE)
    assert (told.digest, told.size, told.ticket) == (sm3(data), size, None)
    assert base64.b64decode(told.content or "") == data
    assert list((tmp_path / "objects").iterdir()) == []


@pytest.mark.parametrize(
    ("size", "chunk"),
    [
        (1, MIB),
        (INLINE + 1, MIB),
        (INLINE + 1, 1000),
        (2 * SEGMENT_BYTES, SEGMENT_BYTES),
        (3 * MIB, MIB),
        (3 * MIB + 17, 77_777),
    ],
)
async def test_sealed(sender: FileSender, objects: Objects, size: int, chunk: int) -> None:
    """A file that has no room in the reply is opened with its ticket, byte-exact, however the store cuts it."""
    data = os.urandom(size)
    told = await sender.send(MemoryFile(data, chunk=chunk), inline_bytes=min(size - 1, INLINE))
    assert (told.digest, told.size, told.content) == (sm3(data), size, None)
    assert told.ticket is not None
    assert told.ticket.size == size
    assert abs(told.ticket.expires - TICKET_MS - now_ms()) < 60_000
    assert await opened(objects, told.ticket) == data


async def test_nothing_readable_in_the_store(sender: FileSender, tmp_path: Path) -> None:
    """What lies in the object store holds nothing of the file, and its name nothing but the address."""
    data = b"310101199001011234 \xe5\xbc\xa0\xe4\xb8\x89\n" * 20_000
    told = await sender.send(MemoryFile(data), inline_bytes=INLINE)
    assert told.ticket is not None
    (path,) = (tmp_path / "objects").iterdir()
    assert path.name == told.ticket.address
    assert b"19900101" not in path.read_bytes()


async def test_every_file_has_its_own_key(sender: FileSender) -> None:
    """The same file sent twice has another address and another key."""
    file = MemoryFile(bytes(INLINE + 1))
    one, two = [(await sender.send(file, inline_bytes=INLINE)).ticket for _ in range(2)]
    assert one is not None
    assert two is not None
    assert one.address != two.address
    assert one.key != two.key


@pytest.mark.parametrize("size", [20, INLINE + 1, 5 * MIB])
@pytest.mark.parametrize("lie", ["longer", "shorter", "changed"])
async def test_not_byte_exact(sender: FileSender, tmp_path: Path, size: int, lie: str) -> None:
    """A file that differs from what the store said in length or digest is refused, and nothing of it is kept."""
    data = os.urandom(size)
    wrong = {
        "longer": MemoryFile(data, size=size - 1),
        "shorter": MemoryFile(data, size=size + 1),
        "changed": MemoryFile(data, digest=sm3(b"another")),
    }[lie]
    with pytest.raises(FileError):
        await sender.send(wrong, inline_bytes=INLINE)
    assert list((tmp_path / "objects").iterdir()) == []


async def test_endless(sender: FileSender) -> None:
    """A file that does not end is refused as soon as it is longer than the store said."""
    read = 0

    class Endless:
        size, digest = 3 * MIB, "0" * 64

        async def chunks(self) -> AsyncIterator[bytes]:
            nonlocal read
            while True:
                read += MIB
                yield bytes(MIB)

    with pytest.raises(FileError):
        await sender.send(Endless(), inline_bytes=INLINE)
    assert read <= 4 * MIB


async def test_store_breaks(sender: FileSender, tmp_path: Path) -> None:
    """A store that breaks in the middle of a file is the store's error, and nothing of the file is kept."""
    with pytest.raises(StoreError):
        await sender.send(MemoryFile(bytes(5 * MIB), breaks=3 * MIB), inline_bytes=INLINE)
    assert list((tmp_path / "objects").iterdir()) == []


async def test_objects_away(sender: FileSender, tmp_path: Path) -> None:
    """Without the object store a large file cannot be sent, and a small one can."""
    (tmp_path / "objects").rmdir()
    (tmp_path / "objects").write_bytes(b"")
    with pytest.raises(ObjectsError):
        await sender.send(MemoryFile(bytes(INLINE + 1)), inline_bytes=INLINE)
    assert (await sender.send(MemoryFile(bytes(20)), inline_bytes=INLINE)).content


async def test_memory(sender: FileSender) -> None:
    """Sending 20 MiB holds no more of it than the part that is being written and some segments."""
    file = GeneratedFile(20)
    await sender.send(GeneratedFile(1), inline_bytes=INLINE)
    before = resident_bytes()
    tracemalloc.start()
    try:
        await sender.send(file, inline_bytes=INLINE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB
    assert file.most_resident_bytes - before < 16 * MIB


async def test_loop_stays_free(sender: FileSender) -> None:
    """While a file of 20 MiB is sent, others have their turn after every segment."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    beside = asyncio.create_task(others())
    await sender.send(GeneratedFile(20), inline_bytes=INLINE)
    beside.cancel()
    assert turns > 20 * MIB // SEGMENT_BYTES
