"""The embedded store: one SQLite file, read only, on a thread of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from msgspec.structs import replace

from workers.stores.granted import granted_records
from workers.stores.port import Ask, ByHolder, Found, Look, StoreError
from workers.stores.sqlite_connection import ReadConnection
from workers.stores.sqlite_files import SqliteFile, file_row
from workers.stores.sqlite_looks import KINDS, MAX_BYTES, Answer, read

_T = TypeVar("_T")

_PORTIONS_TOGETHER: Final = 8  # each from an answer of at most MAX_BYTES


class SqliteStore:
    """Reads a file of `sqlite_layout`, and trusts nothing in it to have the form it should have.

    The file is opened when it is first asked, and again after a failure or when another file has taken its place. A
    writer may change it in place meanwhile, with a rollback journal or WAL. A table that is missing fails what needs
    it and nothing else: a store without files answers for its certificates.
    """

    def __init__(self, path: Path) -> None:
        self._rows = ReadConnection(path, max_value_bytes=MAX_BYTES)
        self._files = ReadConnection(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-store")
        self._closed = False

    async def fetch(self, asks: Sequence[Ask]) -> AsyncIterator[Sequence[Found]]:
        """Yield everything at once, and only where rows are bad or large in more groups; see `Store.fetch`."""
        waiting, portions = len(asks), self._portions(asks)
        while waiting:
            found, error = await self._on_thread(partial(_together, portions))
            if found:
                yield found
            if error:
                raise error
            assert found, "every kind of look is read"
            waiting -= len(found)

    async def file(self, certificate_id: str, file_format: str) -> SqliteFile | None:
        """See `Store.file`."""
        key = (certificate_id, file_format)
        row = await self._on_thread(partial(file_row, self._files, key))
        return row and SqliteFile(key=key, row=row, source=self._files, on_thread=self._on_thread)

    async def close(self) -> None:
        """Close the file and end the thread; see `Store.close`."""
        if not self._closed:
            self._closed = True
            await self._on_thread(self._rows.close)
            await self._on_thread(self._files.close)
            self._thread.shutdown()

    async def _on_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _portions(self, asked: Sequence[Ask]) -> Iterator[list[Found]]:
        for kind in KINDS:
            waiting: dict[Look, list[Ask]] = {}
            for ask in asked:
                if type(ask.look) is kind:
                    waiting.setdefault(_granted_look(ask), []).append(ask)
            alike = iter(waiting.values())
            with self._rows.failing_closed():
                for answers in read(self._rows, kind, list(waiting)):
                    yield [_found(ask, answer) for answer, asks in zip(answers, alike, strict=False) for ask in asks]


def _together(portions: Iterator[list[Found]]) -> tuple[list[Found], StoreError | None]:
    """Return several portions as one, for each way to the thread and back costs, and the error that ended them."""
    found: list[Found] = []
    try:
        for portion in islice(portions, _PORTIONS_TOGETHER):
            found += portion
    except StoreError as error:
        return found, error
    return found, None


def _granted_look(ask: Ask) -> Look:
    look = ask.look
    if isinstance(look, ByHolder) and not look.type_codes <= ask.columns.keys():
        return replace(look, type_codes=look.type_codes.intersection(ask.columns))
    return look


def _found(ask: Ask, answer: Answer) -> Found:
    records = granted_records(ask, answer.records)
    return Found(
        key=ask.key,
        records=records,
        digests=answer.digests if records else (),
        unusable=answer.unusable,
    )
