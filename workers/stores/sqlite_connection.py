"""One read-only connection to an embedded store's file, opened again when another file has taken its place."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from workers.stores.port import StoreError

_BUSY_SECONDS: Final = 1.0  # how long a writer in place may hold us up


class ReadConnection:
    """The open file; all of it happens on the store's thread, as sqlite3 demands by default."""

    def __init__(self, path: Path, *, max_value_bytes: int | None = None) -> None:
        self._path = path.absolute()
        self._max_value_bytes = max_value_bytes
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)

    def get(self) -> sqlite3.Connection:
        """Return a connection to the file that has the name now; raises OSError, sqlite3.Error."""
        status = self._path.stat()  # 2 µs a lot: a store written anew is seen without a restart
        if self._connection is None or self._identity != (status.st_dev, status.st_ino):
            self.close()
            uri = f"{self._path.as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
            self._connection.text_factory = bytes  # JSON is decoded once, by msgspec
            if self._max_value_bytes is not None:
                self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self._max_value_bytes)
            self._identity = (status.st_dev, status.st_ino)
        return self._connection

    @contextmanager
    def failing_closed(self) -> Iterator[None]:
        """Raise StoreError for what fails inside; the file is then closed, to be opened again when it is next used."""
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            self.close()
            # its kind only: its words may quote a row
            kind = getattr(error, "sqlite_errorname", type(error).__name__)
            raise StoreError(f"the SQLite store cannot be read: {kind}") from None

    def close(self) -> None:
        """Close the file if it is open."""
        connection, self._connection = self._connection, None
        if connection:
            connection.close()
