"""The object store on a real folder: written whole or not at all, read in parts, swept by age and name."""

import asyncio
import os
import stat
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from broker.bus.objects import NoObjectError, Objects, ObjectsError
from broker.bus.settings import SettingsError

ADDRESS, OTHER = "0a" * 16, "0b" * 16
SEGMENT: Final = 262_160
OLD_SECONDS: Final = 10_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "with a 空 %20" / "objects"


@pytest.fixture
async def objects(folder: Path) -> AsyncIterator[Objects]:
    made = Objects(folder.as_uri())
    yield made
    await made.close()


async def stream(segments: list[bytes], *, error: BaseException | None = None) -> AsyncGenerator[bytes, None]:
    for segment in segments:
        yield segment
    if error:
        raise error


def aged(path: Path, seconds: float = OLD_SECONDS) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def block(folder: Path) -> None:
    """Put something in its place that is no folder."""
    folder.rmdir()
    folder.write_bytes(b"")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_folder(folder: Path) -> None:
    """The folder is made for nobody but its owner, whatever characters its path has."""
    Objects(folder.as_uri())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("url", ["", "objects", "/objects", "file:objects", "file://host/objects", "s3://", "gs://b"])
def test_url_that_is_none(url: str) -> None:
    """A setting that names neither a folder nor a bucket is refused with what to write there."""
    with pytest.raises(SettingsError, match="s3://bucket"):
        Objects(url)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 40])
async def test_whole(objects: Objects, folder: Path, count: int) -> None:
    """What was streamed is read back byte by byte, and its name is its address alone."""
    segments = [os.urandom(SEGMENT) for _ in range(count)]
    await objects.write(ADDRESS, stream([*segments, b"end"]))
    assert await objects.read(ADDRESS, 0, count * SEGMENT + 3) == b"".join(segments) + b"end"
    assert await objects.read(ADDRESS, count * SEGMENT, count * SEGMENT + 2) == b"en"
    assert names(folder) == {ADDRESS}


async def test_beyond_the_end(objects: Objects) -> None:
    """A range that ends behind the object gives what there is, one that begins there fails."""
    await objects.write(ADDRESS, stream([b"0123456789"]))
    assert await objects.read(ADDRESS, 8, 20) == b"89"
    with pytest.raises(ObjectsError):
        await objects.read(ADDRESS, 11, 20)


@pytest.mark.parametrize("count", [1, 40])
async def test_broken_stream(objects: Objects, folder: Path, count: int) -> None:
    """A stream that breaks leaves nothing behind, and its own error is raised."""
    with pytest.raises(KeyError):
        await objects.write(ADDRESS, stream([bytes(SEGMENT)] * count, error=KeyError()))
    assert names(folder) == set()


async def test_cancelled(objects: Objects, folder: Path) -> None:
    """A write that is cancelled leaves nothing behind."""
    begun = asyncio.Event()

    async def slow() -> AsyncGenerator[bytes, None]:
        for _ in range(20):
            yield bytes(SEGMENT)
        begun.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(objects.write(ADDRESS, slow()))
    await begun.wait()
    assert names(folder) == {f"{ADDRESS}#1"}
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert names(folder) == set()


async def test_missing(objects: Objects) -> None:
    """An object that is not there cannot be read, and may be deleted."""
    with pytest.raises(NoObjectError):
        await objects.read(ADDRESS, 0, 1)
    await objects.delete(ADDRESS)


async def test_deleted(objects: Objects, folder: Path) -> None:
    """Deleting takes one object and no other."""
    await objects.write(ADDRESS, stream([b"one"]))
    await objects.write(OTHER, stream([b"other"]))
    await objects.delete(ADDRESS)
    assert names(folder) == {OTHER}


async def test_sweep(objects: Objects, folder: Path) -> None:
    """Sweeping takes what is old and ours, half-written files too, and leaves everything else."""
    for address in (ADDRESS, OTHER, "0c" * 16):
        await objects.write(address, stream([b"one"]))
    aged(folder / ADDRESS)
    aged(folder / ("0c" * 16))
    strangers = ["report.pdf", "0A" * 16, f"{'0d' * 16}#x", f"{'0d' * 16}.json"]
    (folder / "sub").mkdir()
    inner = folder / "sub" / ("0e" * 16)
    for path in (*(folder / name for name in strangers), inner):
        path.write_bytes(b"theirs")
        aged(path)
    (folder / f"{'0d' * 16}#1").write_bytes(b"half")
    aged(folder / f"{'0d' * 16}#1")
    (folder / f"{'0d' * 16}#2").write_bytes(b"being written")
    await objects.sweep(OLD_SECONDS - 100)
    assert names(folder) == {OTHER, "sub", *strangers, f"{'0d' * 16}#2"}
    assert inner.exists()


async def test_away(objects: Objects, folder: Path) -> None:
    """A store that cannot be used says so without its places or addresses."""
    block(folder)
    with pytest.raises(ObjectsError) as read:
        await objects.read(ADDRESS, 0, 1)
    with pytest.raises(ObjectsError) as written:
        await objects.write(ADDRESS, stream([bytes(SEGMENT)] * 20))
    with pytest.raises(ObjectsError) as swept:
        await objects.sweep(1)
    for told in (read, written, swept):
        assert ADDRESS not in str(told.value)
        assert "objects" not in str(told.value)
        assert told.value.__suppress_context__


def test_process_ends_in_peace(folder: Path) -> None:
    """A process may end right after using the store: no thread of the library speaks to an interpreter that is gone."""
    code = f"""
import asyncio
from broker.bus.objects import Objects
async def segments():
    yield b"x" * {SEGMENT}
async def main():
    objects = Objects({folder.as_uri()!r})
    await objects.write({ADDRESS!r}, segments())
    await objects.delete({ADDRESS!r})
asyncio.run(main())
"""
    for _ in range(3):
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, b"")
