"""The files of an embedded store, read piece by piece: memory does not grow by the file."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple

from workers.stores.port import StoreError
from workers.stores.sqlite_connection import ReadConnection

_CHUNK_BYTES: Final = 1 << 20

# what is no BLOB has no size
_SELECT: Final = """SELECT rowid, iif(typeof(content) = 'blob', length(content), NULL), digest
    FROM certificate_file WHERE certificate_identifier = ? AND format = ?"""


class FileRow(NamedTuple):
    """The row of a file without its content: its number, the content's size and digest."""

    number: int
    size: int
    digest: str


def file_row(source: ReadConnection, key: tuple[str, str]) -> FileRow | None:
    """Return the row of the file with this identifier and format, on the store's thread; raises StoreError."""
    with source.failing_closed():
        rows = source.get().execute(_SELECT, key).fetchmany(2)
    if not rows:
        return None
    number, size, digest = rows[0]
    if len(rows) > 1 or not isinstance(size, int) or not isinstance(digest, bytes):
        raise StoreError("the store's row of a file cannot be used")
    return FileRow(number, size, digest.decode("ascii", "replace"))


class SqliteFile:
    """One file of a SqliteStore; see `StoredFile`.

    Each chunk is a look of its own, so that a slow reader holds up no writer; that they belong together is proved by
    the digest, which who reads them compares.
    """

    def __init__(
        self,
        *,
        key: tuple[str, str],
        row: FileRow,
        source: ReadConnection,
        on_thread: Callable[[Callable[[], bytes]], Awaitable[bytes]],
    ) -> None:
        self.size, self.digest = row.size, row.digest
        self._key, self._source, self._on_thread = key, source, on_thread

    async def chunks(self) -> AsyncIterator[bytes]:
        """See `StoredFile.chunks`."""
        for start in range(0, self.size, _CHUNK_BYTES):
            yield await self._on_thread(partial(self._chunk, start))

    def _chunk(self, start: int) -> bytes:
        row = file_row(self._source, self._key)
        if row is None or (row.size, row.digest) != (self.size, self.digest):
            raise StoreError("the file has changed while it was read")
        with (
            self._source.failing_closed(),
            self._source.get().blobopen("certificate_file", "content", row.number, readonly=True) as blob,
        ):
            blob.seek(start)
            chunk: bytes = blob.read(_CHUNK_BYTES)
        return chunk
