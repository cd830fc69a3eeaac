"""What is asked of an embedded store in SQL: one statement for all looks of a kind, its result one row of JSON.

sqlite3 lets go of the interpreter's lock at every row, and beside a busy thread each taking back costs up to a switch
interval (5 ms): 256 rows took 1.3 s so, one row of JSON 14 ms.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final

import msgspec

from schemas.certificates import CertificateRecord
from workers.stores.port import ByFile, ByHolder, ByIdentifier, Look
from workers.stores.sqlite_connection import ReadConnection
from workers.stores.sqlite_layout import RECORD_JSON

MAX_BYTES: Final = 1 << 20  # of one value and of one answer: a larger lot is read in parts, a larger row not at all

# CROSS JOIN keeps the order of the tables: everything asked for is one look into an index. LIMIT may name no column of
# what is asked, so it is the largest of all; each ask is held to its own afterwards.
_OF_HOLDER: Final = """
    FROM json_each(?1) AS asked CROSS JOIN certificate ON certificate.rowid IN (
        SELECT held.rowid FROM certificate AS held
        WHERE held.certificate_holder_code = json_extract(asked.value, '$.holder_code')
          AND held.certificate_holder_type_code = json_extract(asked.value, '$.holder_type_code')
          AND EXISTS (SELECT 1 FROM json_each(asked.value, '$.type_codes') WHERE value = held.certificate_type_code)
          AND held.certificate_number IS coalesce(json_extract(asked.value, '$.number'), held.certificate_number)
        ORDER BY held.certificate_identifier
        LIMIT (SELECT max(json_extract(value, '$.limit')) FROM json_each(?1)))"""
_STATEMENTS: Final[Mapping[type[Look], str]] = MappingProxyType(
    {
        ByIdentifier: f"""SELECT json_group_array(json_array(asked.key, {RECORD_JSON}))
    FROM json_each(?1) AS asked
    CROSS JOIN certificate ON certificate_identifier = asked.value""",  # noqa: S608 - here and below nothing comes from outside
        ByHolder: f"SELECT json_group_array(json_array(asked.key, {RECORD_JSON})) {_OF_HOLDER}",
        ByFile: f"""SELECT json_group_array(json_array(asked.key, {RECORD_JSON}, json((
        SELECT json_group_array(digest) FROM (
            SELECT file.digest FROM certificate_file AS file
            WHERE file.certificate_identifier = certificate.certificate_identifier ORDER BY file.format)))))
    FROM json_each(?1) AS asked
    CROSS JOIN certificate ON certificate_type_code = json_extract(asked.value, '$.type_code')
        AND certificate_identifier = coalesce(json_extract(asked.value, '$.certificate_id'), (
            SELECT min(held.certificate_identifier) FROM certificate_file AS file
            CROSS JOIN certificate AS held ON held.certificate_identifier = file.certificate_identifier
            WHERE file.digest = json_extract(asked.value, '$.digest')
              AND held.certificate_type_code = json_extract(asked.value, '$.type_code')))""",  # noqa: S608
    }
)
KINDS: Final[Sequence[type[Look]]] = tuple(_STATEMENTS)
"""The kinds of looks in the order they are answered in: first those that need no table but that of certificates."""


def _whole(look: Look) -> Look:
    return look


# A look of one value is that value: taking it out of an object costs a tenth of the statement.
_ASKED: Final[Mapping[type[Look], Callable[[Any], object]]] = MappingProxyType(
    {
        ByIdentifier: attrgetter("certificate_id"),
        ByHolder: _whole,
        ByFile: _whole,
    }
)

_HOLDERS_IDENTIFIERS: Final = f"SELECT json_group_array(json_array(asked.key, certificate_identifier)) {_OF_HOLDER}"

_ROWS_FAULT: Final = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG})  # what a row's content makes SQLite say


class _Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One row found: the place of the look that it answers, and what that kind of look finds."""

    place: int
    record: CertificateRecord
    digests: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What one look found, and how many rows of it could not be read."""

    records: Sequence[CertificateRecord] = ()
    digests: tuple[str, ...] = ()
    unusable: bool = False


_NOTHING: Final = Answer()
_UNUSABLE: Final = Answer(unusable=True)

_decode = msgspec.json.Decoder(list[_Row]).decode
_decode_identifiers = msgspec.json.Decoder(list[tuple[int, str]]).decode


def read(source: ReadConnection, kind: type[Look], looks: Sequence[Look]) -> Iterator[Sequence[Answer]]:
    """Yield the answers to these looks, all of one kind, in order; all at once unless a row among them is unusable.

    Raises OSError, sqlite3.Error.
    """
    if not looks:
        return
    rows = _usable(source, kind, looks)
    if rows is not None:
        yield [_answer(source, looks[place], found) if found else _NOTHING for place, found in enumerate(rows)]
    elif len(looks) == 1:
        yield [_piecemeal(source, looks[0])]
    else:
        # One bad row spoils the whole answer: halving finds it, and its neighbours keep theirs.
        middle = len(looks) // 2
        yield from read(source, kind, looks[:middle])
        yield from read(source, kind, looks[middle:])


def _usable(source: ReadConnection, kind: type[Look], looks: Sequence[Look]) -> list[list[_Row]] | None:
    """Return the rows of each look, None when a row among them cannot be used."""
    try:
        found = _decode(_ask(source, _STATEMENTS[kind], list(map(_ASKED[kind], looks))))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) not in _ROWS_FAULT:
            raise
        _ask(source, _STATEMENTS[kind], [])  # raises when it is the table that is wrong, and not a row
        return None
    rows: list[list[_Row]] = [[] for _ in looks]
    for row in found:
        rows[row.place].append(row)
    return rows


def _answer(source: ReadConnection, look: Look, rows: Sequence[_Row]) -> Answer:
    if len(rows) == 1:
        return Answer((rows[0].record,), rows[0].digests)
    if len({row.record.certificate_id for row in rows}) != len(rows):
        return _piecemeal(source, look)  # two rows of one identifier: which of them holds is unknown
    return Answer([row.record for row in rows])


def _piecemeal(source: ReadConnection, look: Look) -> Answer:
    """Return what can be read of a look whose rows cannot be read together: a holder's, each by itself."""
    if not isinstance(look, ByHolder):
        return _UNUSABLE
    try:
        found = _decode_identifiers(_ask(source, _HOLDERS_IDENTIFIERS, [look]))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _UNUSABLE
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) not in _ROWS_FAULT:
            raise
        return _UNUSABLE
    looks = [ByIdentifier(certificate_id=name) for name in dict.fromkeys(name for _, name in found)]
    answers = [answer for portion in read(source, ByIdentifier, looks) for answer in portion]
    return Answer(
        [record for answer in answers for record in answer.records],
        unusable=any(answer.unusable for answer in answers),
    )


def _ask(source: ReadConnection, statement: str, asked: list[object]) -> bytes:
    answer: bytes = source.get().execute(statement, (msgspec.json.encode(asked).decode(),)).fetchone()[0]
    return answer
