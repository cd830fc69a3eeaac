"""The object store both sides reach outbound: a folder (`file:///…`) or a bucket (`s3://bucket/prefix`, by obstore).

obstore is called on threads of our own and not by its coroutines: those end on threads of Rust that the interpreter
does not know, and a process that goes meanwhile is aborted (PyO3/pyo3-async-runtimes, issue 40).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from broker.bus.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from obstore.store import ObjectStore

_THREADS = 8
_MIB = 1 << 20
_FOLDER_PART_BYTES = _MIB
_BUCKET_PART_BYTES = 5 * _MIB  # the least that S3 takes for a part that is not the last
_OURS = re.compile(r"[0-9a-f]{32}")
_UNFINISHED = re.compile(r"[0-9a-f]{32}#\d+")  # how obstore names a file in a folder while it is written

P = ParamSpec("P")
T = TypeVar("T")


class ObjectsError(Exception):
    """The object store is out of reach or refuses; the message never repeats what it said."""


class NoObjectError(ObjectsError):
    """There is no object at this address (any more)."""


class Objects:
    """Sealed files by address; nothing but addresses is in their names. A folder is made (0700) when it is not there.

    Raises SettingsError for a URL that is neither. Keys of a bucket come from the environment (`AWS_*`).
    """

    def __init__(self, url: str) -> None:
        self._folder = Path(url2pathname(urlsplit(url).path)) if url.startswith("file:///") else None
        self._part_bytes = _FOLDER_PART_BYTES if self._folder else _BUCKET_PART_BYTES
        self._store = _folder(self._folder) if self._folder else _bucket(url)
        self._threads = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="objects")

    async def write(self, address: str, segments: AsyncGenerator[bytes, None]) -> None:
        """Write an object, whole or not at all, with one part of it in memory; raises ObjectsError.

        What `segments` raises ends the writing and is raised.
        """
        # one part at a time: more in flight would be more in memory
        writer = obstore.open_writer(self._store, address, buffer_size=self._part_bytes, max_concurrency=1)
        try:
            async with contextlib.aclosing(segments):
                async for segment in segments:
                    await self._call(writer.write, segment)
            await self._call(writer.close)
        except BaseException as error:
            with contextlib.suppress(ObjectsError):
                await self._call(writer.__exit__, type(error), error, None)  # gives the parts up
            raise

    async def read(self, address: str, start: int, stop: int) -> bytes:
        """The bytes of an object from `start` up to `stop`, fewer when it ends before; raises ObjectsError."""
        found = await self._call(obstore.get_range, self._store, address, start=start, end=stop)
        return found.to_bytes()

    async def delete(self, address: str) -> None:
        """Delete an object if there is one; raises ObjectsError."""
        with contextlib.suppress(NoObjectError):
            await self._call(obstore.delete, self._store, address)

    async def sweep(self, older_than_seconds: float) -> None:
        """Delete what was written longer ago than this, and nothing that is not ours; raises ObjectsError."""
        before = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        await self._call(self._sweep, before)

    async def close(self) -> None:
        """Wait for what is under way, and let go of the threads."""
        await asyncio.to_thread(self._threads.shutdown)

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, partial(function, *args, **kwargs))
        except FileNotFoundError:
            raise NoObjectError from None
        except (BaseError, OSError, ValueError) as error:
            # its kind only: its words hold names and places
            raise ObjectsError(type(error).__name__) from None

    def _sweep(self, before: datetime) -> None:
        for batch in obstore.list(self._store):
            old = [row["path"] for row in batch if row["last_modified"] < before and _OURS.fullmatch(row["path"])]
            with contextlib.suppress(FileNotFoundError):  # another sweeper was faster; the rest is left for next time
                obstore.delete(self._store, old)
        for path in self._folder.iterdir() if self._folder else ():
            with contextlib.suppress(FileNotFoundError):
                if _UNFINISHED.fullmatch(path.name) and path.stat().st_mtime < before.timestamp():
                    path.unlink()


def _folder(path: Path) -> ObjectStore:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return LocalStore(path)


def _bucket(url: str) -> ObjectStore:
    # Time bounds of a call are obstore's own, 5 s to connect and 30 s in all; it would try again for 3 minutes.
    try:
        return S3Store.from_url(url, retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=20)})
    except (BaseError, ValueError) as error:
        raise SettingsError("objects: write file:///folder or s3://bucket/prefix") from error
