"""The embedded store: one SQLite file, read only, on a thread of its own.

A lot is one statement whose result is one row. sqlite3 lets go of the interpreter's lock at every row, and beside a
busy thread each taking back costs up to a switch interval (5 ms): 256 rows took 1.3 s so, one row of JSON 14 ms.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from schemas.certificates import CertificateRecord, minimise_surface
from workers.stores.port import Ask, Found, StoreError
from workers.stores.sqlite_layout import RECORD_JSON

# CROSS JOIN keeps the order of the tables: every asked identifier is one look into the index.
_SELECT: Final = (
    f"SELECT json_group_array({RECORD_JSON}) FROM json_each(?) AS asked"  # noqa: S608 - nothing in it comes from outside
    " CROSS JOIN certificate ON certificate_identifier = asked.value"
)
_MAX_BYTES: Final = 1 << 20  # of one value and of one answer: a larger lot is read in parts, a larger row not at all
_BUSY_SECONDS: Final = 1.0  # how long a writer in place may hold us up

_ROWS_FAULT: Final = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG})  # what a row's content makes SQLite say

_decode = msgspec.json.Decoder(list[CertificateRecord]).decode


class SqliteStore:
    """Reads a file of `sqlite_layout`, and trusts nothing in it to have the form it should have.

    The file is opened at the first fetch, and again after a failure or when another file has taken its place. A
    writer may change it in place meanwhile, with a rollback journal or WAL.
    """

    def __init__(self, path: Path) -> None:
        self.unusable_rows = 0
        self._file = _File(path.absolute())
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-store")
        self._closed = False

    async def fetch(self, asks: Sequence[Ask]) -> AsyncIterator[Sequence[Found]]:
        """Yield everything at once; see `Store.fetch`."""
        if asks:
            yield await asyncio.get_running_loop().run_in_executor(self._thread, self._fetch, asks)

    async def close(self) -> None:
        """Close the file and end the thread; see `Store.close`."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
            self._thread.shutdown()

    def _fetch(self, asks: Sequence[Ask]) -> list[Found]:
        try:
            rows = _read(self._file.connection(), list({ask.certificate_id for ask in asks}))
        except (OSError, sqlite3.Error) as error:
            self._file.close()
            # its kind only: its words may quote a row
            kind = getattr(error, "sqlite_errorname", type(error).__name__)
            raise StoreError(f"the SQLite store cannot be read: {kind}") from None
        self.unusable_rows += sum(row is None for row in rows.values())
        return [_found(ask, rows) for ask in asks]


class _File:
    """The open file; all of it happens on the store's thread, as sqlite3 demands by default."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)

    def connection(self) -> sqlite3.Connection:
        """Return a connection to the file that has the name now; raises OSError, sqlite3.Error."""
        status = self._path.stat()  # 2 µs a lot: a store written anew is seen without a restart
        if self._connection is None or self._identity != (status.st_dev, status.st_ino):
            self.close()
            uri = f"{self._path.as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
            self._connection.text_factory = bytes  # decoded once, by msgspec
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_BYTES)
            _ask(self._connection, [])
            self._identity = (status.st_dev, status.st_ino)
        return self._connection

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            connection.close()


def _read(connection: sqlite3.Connection, identifiers: list[str]) -> dict[str, CertificateRecord | None]:
    """Return the rows of those identifiers that have one, None for a row that cannot be used."""
    rows = _usable(connection, identifiers)
    if rows is not None:
        return rows
    if len(identifiers) == 1:
        return {identifiers[0]: None}
    # One bad row spoils the whole answer: halving finds it, and its neighbours keep theirs.
    middle = len(identifiers) // 2
    return _read(connection, identifiers[:middle]) | _read(connection, identifiers[middle:])


def _usable(connection: sqlite3.Connection, identifiers: list[str]) -> dict[str, CertificateRecord | None] | None:
    """Return the rows of those identifiers that have one, None when a row among them cannot be used."""
    try:
        records = _decode(_ask(connection, identifiers))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) not in _ROWS_FAULT:
            raise
        _ask(connection, [])  # raises when it is the table that is wrong, and not a row
        return None
    rows: dict[str, CertificateRecord | None] = {record.certificate_id: record for record in records}
    return rows if len(rows) == len(records) else None  # two rows of one identifier: which of them holds is unknown


def _ask(connection: sqlite3.Connection, identifiers: list[str]) -> bytes:
    answer: bytes = connection.execute(_SELECT, (msgspec.json.encode(identifiers).decode(),)).fetchone()[0]
    return answer


def _found(ask: Ask, rows: dict[str, CertificateRecord | None]) -> Found:
    if ask.certificate_id not in rows:
        return Found(key=ask.key, records=())
    record = rows[ask.certificate_id]
    if record is None:
        return Found(key=ask.key, records=(), unusable=True)
    return Found(key=ask.key, records=(minimise_surface(record, ask.fields),))
