"""A record whose header name is not UTF-8 would stop its partition for ever: aiokafka decodes names while it unpacks.

A stranger's record must not do that (a poison pill that survives every restart). So the rest of the batch it lies in,
which is of the same producer, is handed out as one empty record, and goes into quarantine like any other junk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka.consumer import fetcher

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Junk(NamedTuple):
    """What stands for records that cannot be unpacked."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: None = None
    value: bytes = b""
    checksum: None = None
    headers: tuple[()] = ()


class _Batch:
    """A record batch whose iteration never raises UnicodeDecodeError."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        batch = self._batch
        following = batch.base_offset
        try:
            for record in batch:
                following = record.offset + 1
                yield record
        except UnicodeDecodeError:
            yield _Junk(following, batch.max_timestamp, batch.timestamp_type)


class _Batches:
    def __init__(self, records: Any) -> None:
        self._records = records

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def next_batch(self) -> _Batch:
        return _Batch(self._records.next_batch())


class PatientRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka is untyped
    """aiokafka's unpacking over such batches."""

    def __init__(self, tp: Any, records: Any, *more: Any, **named: Any) -> None:
        super().__init__(tp, _Batches(records), *more, **named)


def install() -> None:
    """Let every consumer of this process, Faust's too, unpack patiently."""
    fetcher.PartitionRecords = PatientRecords
