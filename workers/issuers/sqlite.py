"""The simulated issuer: the codes in an embedded store's SQLite file, read only, on a thread of its own."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import msgspec

from workers.issuers.port import CodeRecord, IssuerError
from workers.stores.port import StoreError
from workers.stores.sqlite_connection import ReadConnection
from workers.stores.sqlite_layout import CODE_JSON

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_MAX_BYTES: Final = 1 << 20  # of one value and of one answer
# One row of JSON for all: see `sqlite_looks`.
_LOOK: Final = f"""SELECT json_group_array(json_array(digest, {CODE_JSON}))
    FROM json_each(?1) AS asked CROSS JOIN service_code ON digest = asked.value"""  # noqa: S608 - nothing from outside
_ROWS_FAULT: Final = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG})  # what a row's content makes SQLite say

_decode = msgspec.json.Decoder(list[tuple[str, CodeRecord]]).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class SqliteIssuer:
    """Reads the table `service_code` of `sqlite_layout`, and trusts nothing in it to have the form it should have."""

    def __init__(self, path: Path) -> None:
        self._source = ReadConnection(path, max_value_bytes=_MAX_BYTES)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-issuer")
        self._closed = False

    async def look(self, digests: Sequence[str]) -> Mapping[str, CodeRecord | None]:
        """See `CodeIssuer.look`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._look, list(dict.fromkeys(digests)))

    async def close(self) -> None:
        """Close the file and end the thread; see `CodeIssuer.close`."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._source.close)
            self._thread.shutdown()

    def _look(self, digests: list[str]) -> dict[str, CodeRecord | None]:
        try:
            with self._source.failing_closed():
                return self._found(digests)
        except StoreError as error:
            raise IssuerError(str(error)) from None

    def _found(self, digests: list[str]) -> dict[str, CodeRecord | None]:
        if not digests:
            return {}
        rows = self._rows(digests)
        if rows is not None and len({digest for digest, _ in rows}) == len(rows):
            return dict(rows)
        if len(digests) == 1:
            return {digests[0]: None}
        # One bad row spoils the whole answer, two of one digest contradict each other: halving finds them.
        middle = len(digests) // 2
        return self._found(digests[:middle]) | self._found(digests[middle:])

    def _rows(self, digests: list[str]) -> list[tuple[str, CodeRecord]] | None:
        """The rows of these digests, None when one of them cannot be used; raises OSError, sqlite3.Error."""
        try:
            return _decode(self._ask(digests))
        except _UNREADABLE:
            return None
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) not in _ROWS_FAULT:
                raise
            self._ask([])  # raises when it is the table that is wrong, and not a row
            return None

    def _ask(self, digests: list[str]) -> bytes:
        asked = msgspec.json.encode(digests).decode()
        answer: bytes = self._source.get().execute(_LOOK, (asked,)).fetchone()[0]
        return answer
