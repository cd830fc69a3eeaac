"""Poison on a topic: header names that are not UTF-8."""

from __future__ import annotations

from typing import Any

from aiokafka import TopicPartition
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords

from broker.bus.unpacking import PatientRecords


class _Poison(str):
    """A header name whose bytes are not UTF-8."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe"


def batch(offset: int, names: list[str]) -> bytes:
    builder = _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=1,
        producer_epoch=0,
        base_sequence=0,
        batch_size=99_999,
    )
    for place, name in enumerate(names):
        builder.append(place, timestamp=7, key=None, value=b"v", headers=[(name, b"x")])
    raw = bytearray(builder.build())
    raw[0:8] = offset.to_bytes(8, "big")
    return bytes(raw)


def unpacked(*batches: bytes) -> list[Any]:
    records = MemoryRecords(b"".join(batches))
    place = TopicPartition("t", 0)
    return list(PatientRecords(place, records, [], 0, None, None, False, 0))


def test_good_batches_are_unpacked_as_they_are() -> None:
    """Every record of a good batch comes out with its offset and headers."""
    assert [(r.offset, r.headers) for r in unpacked(batch(0, ["a", "b"]), batch(2, ["c"]))] == [
        (0, (("a", b"x"),)),
        (1, (("b", b"x"),)),
        (2, (("c", b"x"),)),
    ]


def test_a_poisoned_batch_is_one_empty_record_and_the_next_one_comes() -> None:
    """The rest of a batch that cannot be unpacked is one empty record, and what follows it is untouched."""
    out = unpacked(batch(0, ["a"]), batch(1, ["b", _Poison("p"), "d"]), batch(4, ["e"]))
    assert [(r.offset, r.value, len(r.headers)) for r in out] == [(0, b"v", 1), (1, b"v", 1), (2, b"", 0), (4, b"v", 1)]
