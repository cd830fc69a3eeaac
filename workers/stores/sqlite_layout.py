"""The tables of an embedded store, named after the national collection record (DOMAIN §6.3), and their writers."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple
from uuid import uuid4

import msgspec

from schemas.certificates import CertificateRecord
from schemas.form import sm3_hex
from workers.issuers.port import CodeRecord, CodeState

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

# field of CodeRecord, which is the column's name too, type in the table
_CODE_COLUMNS: Final = (
    ("holder_name", "TEXT NOT NULL"),
    ("holder_code", "TEXT NOT NULL"),
    ("holder_type_code", "TEXT NOT NULL"),
    ("mobile", "TEXT"),
    ("expires_at", "INTEGER NOT NULL"),
    ("state", "TEXT NOT NULL"),
)

DDL: Final = (
    f"CREATE TABLE certificate ({', '.join(f'{column} {kind}' for _, column, kind in _COLUMNS)}) STRICT",
    # Holds all that is asked for by holder, in order: a holder's first certificates are found without a sort.
    """CREATE INDEX certificate_by_holder ON certificate (certificate_holder_code, certificate_holder_type_code,
        certificate_identifier, certificate_type_code, certificate_number)""",
    # The content is the last column: what stands before it is read without it.
    """CREATE TABLE certificate_file (certificate_identifier TEXT NOT NULL, format TEXT NOT NULL, digest TEXT NOT NULL,
        content BLOB NOT NULL, PRIMARY KEY (certificate_identifier, format)) STRICT""",
    "CREATE INDEX certificate_file_by_digest ON certificate_file (digest)",
    f"""CREATE TABLE service_code (digest TEXT NOT NULL PRIMARY KEY,
        {", ".join(f"{column} {kind}" for column, kind in _CODE_COLUMNS)}) STRICT""",
)

_INSERT: Final = f"INSERT INTO certificate VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - from our own table
_INSERT_FILE: Final = "INSERT INTO certificate_file VALUES (?, ?, ?, ?)"
_PUT_FILE: Final = (
    "INSERT OR REPLACE INTO certificate_file SELECT certificate_identifier, ?2, ?3, ?4 FROM certificate"
    " WHERE certificate_identifier = ?1"
)
_LIST_FILES: Final = (
    "SELECT certificate_identifier, certificate_type_code, length(content), digest"
    " FROM certificate_file JOIN certificate USING (certificate_identifier) WHERE format = ?"
)
_PUT_CODE: Final = f"INSERT OR REPLACE INTO service_code VALUES (?{', ?' * len(_CODE_COLUMNS)})"  # noqa: S608
_SET_CODE: Final = "UPDATE service_code SET state = ?2 WHERE digest = ?1"


class NewFile(NamedTuple):
    """A file of a certificate as it is written: its digest is told from its content."""

    certificate_id: str
    file_format: str
    content: bytes


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


_CODE_PAIRS: Final = ", ".join(f"'{column}', {column}" for column, _ in _CODE_COLUMNS)
CODE_JSON: Final = f"json_object({_CODE_PAIRS})"
"""SQL expression: a row as the JSON of a CodeRecord."""


def write_store(path: Path, records: Iterable[CertificateRecord], files: Iterable[NewFile] = ()) -> None:
    """Write a store that holds exactly these, in one step: a reader sees the old file or the new one.

    Raises sqlite3.IntegrityError when two records have one identifier, and leaves what was there.
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with closing(sqlite3.connect(partial)) as connection, connection:
            for statement in DDL:
                connection.execute(statement)
            connection.executemany(_INSERT, map(_row, records))
            connection.executemany(_INSERT_FILE, map(_file_row, files))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def put_file(path: Path, certificate_id: str, file_format: str, content: bytes | Path) -> None:
    """Store this as the certificate's file in this format, in the place of one that is there; for commands.

    The store is changed in place, and may be read meanwhile. Raises LookupError when it has no such certificate,
    sqlite3.Error, and OSError when the file to store cannot be read.
    """
    raw = content.read_bytes() if isinstance(content, Path) else content
    with closing(_writable(path)) as connection, connection:
        done = connection.execute(_PUT_FILE, _file_row(NewFile(certificate_id, file_format, raw)))
    if done.rowcount != 1:
        raise LookupError("there is no such certificate")


def put_code(path: Path, digest: str, code: CodeRecord) -> None:
    """Store a service code by its digest, in place, while the store may be read; raises sqlite3.Error."""
    with closing(_writable(path)) as connection, connection:
        connection.execute(_PUT_CODE, (digest, *(getattr(code, column) for column, _ in _CODE_COLUMNS)))


def set_code_state(path: Path, digest: str, state: CodeState) -> None:
    """Revoke a stored code, or say that its holder refuses; raises LookupError when there is none, sqlite3.Error."""
    with closing(_writable(path)) as connection, connection:
        done = connection.execute(_SET_CODE, (digest, state.value))
    if done.rowcount != 1:
        raise LookupError("there is no such code")


def _writable(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)


def _row(record: CertificateRecord) -> list[str | None]:
    row = [getattr(record, field) for field, _, _ in _COLUMNS[:-1]]
    return [*row, msgspec.json.encode(record.surface).decode()]


def _file_row(row: NewFile) -> tuple[str, str, str, bytes]:
    return row.certificate_id, row.file_format, sm3_hex(row.content), row.content


def read_store(path: Path) -> Iterator[CertificateRecord]:
    """Yield every record of a store in the order written, for commands; a worker reads through `SqliteStore`.

    Raises sqlite3.Error when the file is no store, msgspec.DecodeError when a row is no certificate.
    """
    with closing(_readable(path)) as connection:
        for (text,) in connection.execute(f"SELECT {RECORD_JSON} FROM certificate ORDER BY rowid"):  # noqa: S608
            yield msgspec.json.decode(text, type=CertificateRecord)


def list_files(path: Path, file_format: str) -> list[tuple[str, str, int, str]]:
    """Return identifier, type, size and digest of every file of a store in this format; for commands.

    Raises sqlite3.Error when the file is no store.
    """
    with closing(_readable(path)) as connection:
        return connection.execute(_LIST_FILES, (file_format,)).fetchall()


def _readable(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
