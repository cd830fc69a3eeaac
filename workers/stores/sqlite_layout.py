"""The one table of an embedded store, named after the national collection record (DOMAIN §6.3), and its writer."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from schemas.certificates import CertificateRecord

# field of CertificateRecord, column, type in the table
_COLUMNS: Final = (
    ("certificate_id", "certificate_identifier", "TEXT NOT NULL PRIMARY KEY"),
    ("type_code", "certificate_type_code", "TEXT NOT NULL"),
    ("type_name", "certificate_type", "TEXT NOT NULL"),
    ("name", "certificate_name", "TEXT NOT NULL"),
    ("number", "certificate_number", "TEXT NOT NULL"),
    ("holder_name", "certificate_holder", "TEXT NOT NULL"),
    ("holder_code", "certificate_holder_code", "TEXT NOT NULL"),
    ("holder_type_code", "certificate_holder_type_code", "TEXT NOT NULL"),
    ("issuer_name", "issue_dept", "TEXT NOT NULL"),
    ("issuer_code", "issue_dept_code", "TEXT NOT NULL"),
    ("issue_date", "issue_date", "TEXT NOT NULL"),
    ("valid_from", "certificate_validate_start", "TEXT NOT NULL"),
    ("valid_to", "certificate_validate_end", "TEXT"),
    ("status", "certificate_status", "TEXT NOT NULL"),
    ("area_code", "certificate_area_code", "TEXT NOT NULL"),
    ("surface", "surface", "TEXT NOT NULL"),  # the face as JSON: [{name, columnName, value, valueType}]
)
_DAYS: Final = ("issue_date", "valid_from", "valid_to")

DDL: Final = (
    f"CREATE TABLE certificate ({', '.join(f'{column} {kind}' for _, column, kind in _COLUMNS)}) STRICT",
    "CREATE INDEX certificate_by_holder ON certificate (certificate_holder_code)",
)

_INSERT: Final = f"INSERT INTO certificate VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - from our own table


def _json_value(field: str, column: str) -> str:
    # 0 stands where no record can have it, so that the row does not decode.
    if field == "surface":  # a BLOB would pass for text in some versions of SQLite
        return f"json(iif(typeof({column}) = 'text', {column}, 0))"
    if field in _DAYS:  # "长期" must not pass for a late day; only what is moved comes out as a day that exists
        return f"iif(date({column}, '+0 days') IS {column}, {column}, 0)"
    return column


_PAIRS: Final = ", ".join(f"'{field}', {_json_value(field, column)}" for field, column, _ in _COLUMNS)
RECORD_JSON: Final = f"json_object({_PAIRS})"
"""SQL expression: a row as the JSON of a CertificateRecord; an error, or a JSON that does not decode, if it is none."""


def write_store(path: Path, records: Iterable[CertificateRecord]) -> None:
    """Write a store that holds exactly these records, in one step: a reader sees the old file or the new one.

    Raises sqlite3.IntegrityError when two records have one identifier, and leaves what was there.
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with closing(sqlite3.connect(partial)) as connection, connection:
            for statement in DDL:
                connection.execute(statement)
            connection.executemany(_INSERT, map(_row, records))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _row(record: CertificateRecord) -> list[str | None]:
    row = [getattr(record, field) for field, _, _ in _COLUMNS[:-1]]
    return [*row, msgspec.json.encode(record.surface).decode()]


def read_store(path: Path) -> Iterator[CertificateRecord]:
    """Yield every record of a store in the order written, for commands; a worker reads through `SqliteStore`.

    Raises sqlite3.Error when the file is no store, msgspec.DecodeError when a row is no certificate.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        for (text,) in connection.execute(f"SELECT {RECORD_JSON} FROM certificate ORDER BY rowid"):  # noqa: S608
            yield msgspec.json.decode(text, type=CertificateRecord)
