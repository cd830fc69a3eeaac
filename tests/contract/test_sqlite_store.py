"""What only a file can do to its reader, and what is written into it while it is read."""

import asyncio
import sqlite3
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from schemas.form import sm3_hex
from tests.contract.stores import (
    FILES,
    HELD,
    RECORDS,
    STORED,
    ask,
    fetch,
    of_file,
    of_holder,
    read,
    stored_file,
)
from workers.stores.port import ByIdentifier, Found, Look, StoreError
from workers.stores.sqlite import SqliteStore
from workers.stores.sqlite_connection import ReadConnection
from workers.stores.sqlite_layout import DDL, put_file, read_store, write_store

Change = Callable[[str], None]
NAME: Final = RECORDS[5].certificate_id  # it has a file of 3 MiB
TABLES: Final = ("certificate", "certificate_file", "service_code")


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(path)
    yield made
    await made.close()


@pytest.fixture
def change(path: Path) -> Change:
    """Update a table of the file in place, which then holds its columns to nothing."""

    def updated(statement: str) -> None:
        table = statement.split()[1]
        with closing(sqlite3.connect(path)) as connection:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        execute(
            path,
            f"CREATE TABLE loose ({', '.join(columns)})",
            f"INSERT INTO loose SELECT * FROM {table}",
            f"DROP TABLE {table}",
            f"ALTER TABLE loose RENAME TO {table}",
            statement,
        )

    return updated


@pytest.fixture
def spoil(change: Change) -> Change:
    """Change the row of RECORDS[7] in place."""
    where = f"WHERE certificate_identifier = '{RECORDS[7].certificate_id}'"
    return lambda assignment: change(f"UPDATE certificate SET {assignment} {where}")


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        for statement in statements:
            connection.execute(statement)


BAD_ROWS: Final = [
    "surface = '{'",
    "surface = NULL",
    "surface = '{}'",
    "surface = '[[]]'",
    'surface = \'[{"name": "a"}]\'',
    'surface = \'[{"name": "a", "columnName": "KZ_XM", "value": 7}]\'',
    "surface = x'5b5d'",
    "surface = 0",
    "surface = '[]], [[]'",
    "surface = replace(hex(zeroblob(450)), '00', '[') || replace(hex(zeroblob(450)), '00', ']')",
    "surface = hex(zeroblob(1000000))",
    "certificate_name = hex(zeroblob(1000000))",
    "certificate_status = 'valid'",
    "certificate_status = ''",
    "certificate_status = NULL",
    "certificate_name = 7",
    "certificate_name = NULL",
    "certificate_name = x'ff'",
    "certificate_name = CAST(x'fffe' AS TEXT)",
    "certificate_holder = 1.5",
    "issue_date = NULL",
    "issue_date = '2026-02-30'",
    "certificate_validate_start = 'now'",
    "certificate_validate_end = '长期'",
    "certificate_validate_end = '20300101'",
    "certificate_validate_end = ''",
]


@pytest.mark.parametrize("assignment", BAD_ROWS)
async def test_hostile_rows(store: SqliteStore, spoil: Change, assignment: str) -> None:
    """A row that cannot be read yields no record, says so, and harms no neighbour."""
    spoil(assignment)
    found = await fetch(store, *(ask(key, record.certificate_id) for key, record in enumerate(RECORDS[:16])))
    assert found.pop(7) == Found(key=7, unusable=True)
    assert all(one.records == (RECORDS[key],) for key, one in found.items())


@pytest.mark.parametrize("assignment", BAD_ROWS)
async def test_hostile_rows_of_a_file(store: SqliteStore, spoil: Change, path: Path, assignment: str) -> None:
    """A row that cannot be read yields none by its file either, says so, and harms no neighbour."""
    put_file(path, RECORDS[7].certificate_id, "ofd", b"seven")
    spoil(assignment)
    looks = [of_file(b"", one.type_code, one.certificate_id) for one in RECORDS[:16]]
    found = await fetch(store, ask(99, of_file(b"seven", RECORDS[7].type_code)), *map(ask, range(16), looks))
    assert found.pop(7) == Found(key=7, unusable=True)
    assert found.pop(99) == Found(key=99, unusable=True)
    assert all(one.records == (RECORDS[key],) for key, one in found.items())


@pytest.mark.parametrize("assignment", BAD_ROWS)
async def test_hostile_rows_of_a_holder(store: SqliteStore, change: Change, assignment: str) -> None:
    """A row that cannot be read is told beside what else its holder has, and harms no other holder."""
    change(f"UPDATE certificate SET {assignment} WHERE certificate_identifier = '{HELD[0].certificate_id}'")
    others = [of_holder(one.holder_code, kind=one.holder_type_code) for one in RECORDS[:16]]
    found = await fetch(store, ask(99, of_holder()), *map(ask, range(16), others))
    one = found.pop(99)
    assert one.unusable
    assert {record.certificate_id for record in one.records} == {record.certificate_id for record in HELD[1:]}
    assert all(RECORDS[key] in other.records and not other.unusable for key, other in found.items())


@pytest.mark.parametrize("assignment", ["NULL", "7", "x'00'", "CAST(x'fffe' AS TEXT)"])
async def test_holder_of_the_unnamed(store: SqliteStore, change: Change, assignment: str) -> None:
    """A holder of a certificate without a usable identifier is told as one of whom something cannot be read."""
    change(
        f"UPDATE certificate SET certificate_identifier = {assignment}"
        f" WHERE certificate_identifier = '{HELD[0].certificate_id}'"
    )
    found = await fetch(store, ask(0, of_holder()), ask(1, RECORDS[0].certificate_id))
    assert found[0] == Found(key=0, unusable=True)
    assert found[1].records == (RECORDS[0],)


@pytest.mark.parametrize("assignment", ["digest = NULL", "digest = x'00'", "digest = 7"])
async def test_hostile_digests(store: SqliteStore, change: Change, assignment: str) -> None:
    """A certificate of whose files one has no usable digest is told as one that cannot be read."""
    change(f"UPDATE certificate_file SET {assignment} WHERE certificate_identifier = '{NAME}'")
    found = await fetch(store, ask(0, of_file(b"", RECORDS[5].type_code, NAME)), ask(1, NAME))
    assert found[0] == Found(key=0, unusable=True)
    assert found[1].records == (RECORDS[5],)


async def test_contradictory_rows(store: SqliteStore, spoil: Change) -> None:
    """Two rows with one identifier contradict each other, and neither is believed, however they are looked for."""
    one = RECORDS[8]
    holder = f"certificate_holder_code = '{one.holder_code}', certificate_holder_type_code = '{one.holder_type_code}'"
    spoil(f"certificate_identifier = '{one.certificate_id}', certificate_type_code = '{one.type_code}', {holder}")
    found = await fetch(
        store,
        *(ask(key, RECORDS[key].certificate_id) for key in (7, 8, 9)),
        ask(0, of_file(b"", one.type_code, one.certificate_id)),
        ask(1, of_holder(one.holder_code, kind=one.holder_type_code)),
    )
    assert found[7] == Found(key=7)
    assert found[8] == Found(key=8, unusable=True)
    assert found[9].records == (RECORDS[9],)
    assert found[0] == Found(key=0, unusable=True)
    assert found[1].unusable
    assert one not in found[1].records


async def test_unknown_content_is_ignored(store: SqliteStore, spoil: Change) -> None:
    """A name that we do not know in a stored field is passed over."""
    spoil("surface = json_insert(surface, '$[0].newer', json('[1]'))")
    found = await fetch(store, ask(0, RECORDS[7].certificate_id))
    assert found[0].records == (RECORDS[7],)


async def test_texts_compared_otherwise(store: SqliteStore, path: Path) -> None:
    """What a table finds because it compares texts in its own way is not what was asked for."""
    execute(
        path,
        "CREATE TABLE nocase AS SELECT * FROM certificate",
        "DROP TABLE certificate",
        f"CREATE TABLE certificate ({', '.join(f'{name} TEXT COLLATE NOCASE' for name in column_names())})",
        "INSERT INTO certificate SELECT * FROM nocase",
    )
    lower = RECORDS[0].certificate_id.lower()
    found = await fetch(store, ask(0, lower), ask(1, of_holder(HELD[0].holder_code, number=HELD[0].number.lower())))
    assert found == {0: Found(key=0), 1: Found(key=1)}


def column_names() -> list[str]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(DDL[0])
        return [row[1] for row in connection.execute("PRAGMA table_info(certificate)")]


async def test_all_rows_hostile(store: SqliteStore, change: Change) -> None:
    """A full lot of rows that cannot be read is answered to the last one."""
    change("UPDATE certificate SET certificate_status = 'hostile'")
    found = await fetch(store, *(ask(key, record.certificate_id) for key, record in enumerate(RECORDS[:256])))
    assert all(one.unusable for one in found.values())


async def test_large_lot_is_read_in_parts(store: SqliteStore, path: Path) -> None:
    """Rows that are too much for one answer together are all found, one holder's too, in more groups than one."""
    execute(path, f"UPDATE certificate SET certificate_name = '{'名' * 50_000}'")
    asks = [ask(key, record.certificate_id) for key, record in enumerate(RECORDS[:64])]
    found = await fetch(store, *asks, ask(99, of_holder()))
    assert all(len(one.records[0].name) == 50_000 and not one.unusable for one in found.values())
    assert [record.certificate_id for record in found[99].records] == sorted(record.certificate_id for record in HELD)
    assert len([group async for group in store.fetch(asks)]) > 1


async def test_statements(store: SqliteStore) -> None:
    """A lot costs one statement for each kind of look in it, and all of it comes at once."""
    looks: list[Look] = [
        ByIdentifier(certificate_id=NAME),
        of_holder(),
        of_file(b"", RECORDS[0].type_code),
    ]
    await fetch(store, ask(0, NAME))
    seen: list[str] = []
    await asyncio.wrap_future(store._thread.submit(lambda: store._rows.get().set_trace_callback(seen.append)))
    groups = [group async for group in store.fetch([ask(key, look) for key, look in enumerate(looks * 64)])]
    assert (len(groups), len(groups[0]), len(seen)) == (1, 192, 3)


@pytest.mark.parametrize(
    "statement", ["DROP TABLE certificate", "ALTER TABLE certificate RENAME COLUMN surface TO face"]
)
@pytest.mark.parametrize("opened", [True, False])
async def test_wrong_table(store: SqliteStore, path: Path, statement: str, *, opened: bool) -> None:
    """A file without the table is a failed store, not one in which nothing is found, however late that happens."""
    if opened:
        await fetch(store, ask(0, RECORDS[0].certificate_id))
    execute(path, statement)
    for look in (RECORDS[0].certificate_id, of_holder(), of_file(b"", RECORDS[0].type_code)):
        with pytest.raises(StoreError):
            await fetch(store, ask(0, look))


@pytest.mark.parametrize("opened", [True, False])
async def test_store_without_files(store: SqliteStore, path: Path, *, opened: bool) -> None:
    """A store without the table of files answers for its certificates, and then fails for the rest."""
    if opened:
        await fetch(store, ask(0, NAME))
    execute(path, "DROP TABLE certificate_file")
    groups = store.fetch([ask(0, of_file(b"", RECORDS[0].type_code)), ask(1, of_holder()), ask(2, NAME)])
    assert sorted([one.key for one in await anext(groups)]) == [1, 2]
    with pytest.raises(StoreError):
        await anext(groups)
    with pytest.raises(StoreError):
        await fetch(store, ask(0, of_file(b"", RECORDS[0].type_code)))
    with pytest.raises(StoreError):
        await store.file(NAME, "pdf")
    assert (await fetch(store, ask(0, NAME)))[0].records == (RECORDS[5],)


async def test_no_database(store: SqliteStore, path: Path) -> None:
    """A file that is no database is a failed store, and what it holds does not show in the error."""
    await asyncio.to_thread(path.write_text, "certificate of somebody")
    with pytest.raises(StoreError) as failed:
        await fetch(store, ask(0, RECORDS[0].certificate_id))
    with pytest.raises(StoreError) as failed_too:
        await store.file(NAME, "pdf")
    assert "somebody" not in str(failed.value) + str(failed_too.value)
    assert failed.value.__cause__ is failed_too.value.__cause__ is None


async def test_new_file_is_seen(store: SqliteStore, path: Path) -> None:
    """A store written anew while it is read is seen by the next lot and by the next file."""
    assert (await fetch(store, ask(0, RECORDS[0].certificate_id)))[0].records
    assert await store.file(NAME, "pdf")
    write_store(path, RECORDS[1:])
    assert not (await fetch(store, ask(0, RECORDS[0].certificate_id)))[0].records
    assert await store.file(NAME, "pdf") is None


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
async def test_change_in_place_is_seen(store: SqliteStore, path: Path, mode: str) -> None:
    """A row changed in place by another program is seen by the next lot, in either journal mode."""
    assert (await fetch(store, ask(0, RECORDS[0].certificate_id)))[0].records
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")
        connection.execute("UPDATE certificate SET certificate_status = 'REVOKED'")
        found = await fetch(store, ask(0, RECORDS[0].certificate_id))
    assert found[0].records[0].status == "REVOKED"


async def test_reader_cannot_write(store: SqliteStore) -> None:
    """The store's own connections cannot change the file."""
    await fetch(store, ask(0, RECORDS[0].certificate_id))

    def write(source: ReadConnection) -> None:
        source.get().execute("DELETE FROM certificate")

    for source in (store._rows, store._files):
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await asyncio.wrap_future(store._thread.submit(write, source))


async def test_closed_store_holds_no_file(store: SqliteStore) -> None:
    """A store that was closed has let go of its file."""
    await fetch(store, ask(0, NAME))
    await read(await stored_file(store, NAME))
    await store.close()
    assert store._rows._connection is store._files._connection is None


@pytest.mark.parametrize(
    "assignment",
    [
        f"digest = '{'0' * 64}'",
        "digest = upper(digest)",
        "digest = 'é'",
        "digest = x'ff'",
        "content = zeroblob(length(content))",
    ],
)
async def test_lying_digest(store: SqliteStore, change: Change, assignment: str) -> None:
    """The digest that is stored is told as it is: it is for the reader to see that the content has another."""
    change(f"UPDATE certificate_file SET {assignment} WHERE certificate_identifier = '{NAME}'")
    file = await stored_file(store, NAME)
    assert file.digest != sm3_hex(await read(file))


@pytest.mark.parametrize(
    "assignment",
    [
        "content = NULL",
        "digest = NULL",
        "digest = 7",
        "content = 7",
        "content = 'text'",
        "content = ''",
        "content = CAST(content AS TEXT)",
    ],
)
async def test_hostile_files(store: SqliteStore, change: Change, assignment: str) -> None:
    """A row that holds no file raises StoreError, sooner or later, and harms no other file."""
    change(f"UPDATE certificate_file SET {assignment} WHERE certificate_identifier = '{NAME}'")
    with pytest.raises(StoreError):
        await read(await stored_file(store, NAME))
    other = RECORDS[1].certificate_id
    assert await read(await stored_file(store, other)) == FILES[other, "pdf"]


async def test_contradictory_files(store: SqliteStore, change: Change) -> None:
    """Two files of one certificate in one format contradict each other, and neither is believed."""
    change("UPDATE certificate_file SET format = 'png'")
    with pytest.raises(StoreError):
        await store.file(RECORDS[20].certificate_id, "png")


async def test_memory_does_not_grow_by_the_file(store: SqliteStore, path: Path) -> None:
    """A file of 20 MB passes through a few megabytes of memory."""
    put_file(path, NAME, "ofd", bytes(20_000_000))
    file, size = await stored_file(store, NAME, "ofd"), 0
    tracemalloc.start()
    try:
        async for chunk in file.chunks():
            size += len(chunk)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size == 20_000_000
    assert peak < 5_000_000


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
async def test_writers_are_not_held_up(store: SqliteStore, path: Path, mode: str) -> None:
    """While a file lies half read its store can be written, and the rest of it still comes."""
    execute(path, f"PRAGMA journal_mode={mode}")
    chunks = (await stored_file(store, NAME)).chunks()
    start = await anext(chunks)
    put_file(path, RECORDS[0].certificate_id, "ofd", b"new")
    assert start + b"".join([chunk async for chunk in chunks]) == FILES[NAME, "pdf"]
    assert await read(await stored_file(store, RECORDS[0].certificate_id, "ofd")) == b"new"


async def test_store_is_written_into_while_it_is_read(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    """A file put in the place of another is seen at once, under its own digest, from bytes and from a path."""
    assert await store.file(NAME, "pdf")
    source = tmp_path / "new"
    await asyncio.to_thread(source.write_bytes, b"from a path")
    for content in (b"from bytes", source):
        put_file(path, NAME, "pdf", content)
        raw = content if isinstance(content, bytes) else b"from a path"
        assert await read(await stored_file(store, NAME)) == raw
        found = await fetch(store, ask(0, of_file(raw, RECORDS[5].type_code)))
        assert (found[0].records, found[0].digests) == ((RECORDS[5],), (sm3_hex(raw),))


def test_file_of_no_certificate(path: Path) -> None:
    """A file can only be stored with a certificate, and nowhere but in a store that is there."""
    before = path.read_bytes()
    with pytest.raises(LookupError):
        put_file(path, "1.2.156.3005.2.none", "ofd", b"x")
    assert path.read_bytes() == before
    elsewhere = path.with_name("elsewhere")
    with pytest.raises(sqlite3.OperationalError):
        put_file(elsewhere, NAME, "ofd", b"x")
    assert not elsewhere.exists()


def test_written_anew_without_files(path: Path) -> None:
    """A store written anew holds what is written and nothing of before."""
    write_store(path, STORED)
    assert list(read_store(path)) == STORED
    with closing(sqlite3.connect(path)) as connection:
        assert [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES] == [
            len(STORED),
            0,
            0,
        ]


def test_failed_write_leaves_the_old_store(path: Path) -> None:
    """A store that cannot be written leaves the one that was there, and nothing beside it."""
    before = path.read_bytes()
    with pytest.raises(sqlite3.IntegrityError):
        write_store(path, [RECORDS[0], RECORDS[0]])
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
