"""One suite for every store, the fake included; then what only a file can do to its reader."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Final

import msgspec
import pytest

from deploy.demo.certificates import demo_certificates
from schemas.certificates import CertificateRecord
from schemas.identifiers import parse_certificate_id
from workers.stores.memory import MemoryStore
from workers.stores.port import Ask, Found, Store, StoreError
from workers.stores.sqlite import SqliteStore
from workers.stores.sqlite_layout import write_store

RECORDS: Final = demo_certificates("32", count=400, today=date(2026, 3, 1))
ALL_FIELDS: Final = frozenset(field.column_name for record in RECORDS for field in record.surface)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "of 32%20?.sqlite"  # a name that a URI must quote
    write_store(path, RECORDS)
    return path


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Store]:
    made: Store = MemoryStore(RECORDS) if request.param == "memory" else SqliteStore(path)
    yield made
    await made.close()


@pytest.fixture
async def sqlite_store(path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(path)
    yield made
    await made.close()


def ask(key: int, certificate_id: str, fields: frozenset[str] = ALL_FIELDS) -> Ask:
    return Ask(key=key, certificate_id=certificate_id, fields=fields)


async def fetch(store: Store, *asks: Ask) -> dict[int, Found]:
    """Return what was found by key, each key seen exactly once."""
    found = [one async for together in store.fetch(asks) for one in together]
    assert sorted(one.key for one in found) == sorted(one.key for one in asks)
    return {one.key: one for one in found}


async def test_full_lot(store: Store) -> None:
    """A full lot gets every record exactly as it was stored."""
    found = await fetch(store, *(ask(key, record.certificate_id) for key, record in enumerate(RECORDS[:256])))
    assert [found[key].records for key in range(256)] == [(record,) for record in RECORDS[:256]]
    assert store.unusable_rows == 0


async def test_nothing_found(store: Store) -> None:
    """An identifier that is not stored is answered, with nothing, beside one that is."""
    found = await fetch(store, ask(3, "1.2.156.3005.2.none"), ask(9, RECORDS[0].certificate_id))
    assert found[3] == Found(key=3, records=())
    assert found[9].records == (RECORDS[0],)


async def test_same_certificate_twice(store: Store) -> None:
    """Two items may ask for one certificate, each with its own fields."""
    one, column = RECORDS[0], RECORDS[0].surface[0].column_name
    found = await fetch(store, ask(0, one.certificate_id), ask(1, one.certificate_id, frozenset({column})))
    assert found[0].records == (one,)
    assert found[1].records == (msgspec.structs.replace(one, surface=one.surface[:1]),)


async def test_no_field_granted(store: Store) -> None:
    """No field of the face comes back that was not asked for."""
    found = await fetch(store, ask(0, RECORDS[0].certificate_id, frozenset()))
    assert found[0].records[0].surface == ()


async def test_no_ask(store: Store) -> None:
    """No ask, no answer."""
    assert await fetch(store) == {}


async def test_exact_string(store: Store) -> None:
    """A stored identifier with a wrong check character is found by its exact string, the corrected one is not."""
    wrong = next(r for r in RECORDS if not parse_certificate_id(r.certificate_id).check_is_right)
    twins = [wrong.certificate_id.lower(), wrong.certificate_id + " ", wrong.certificate_id + "\0"]
    found = await fetch(store, ask(0, wrong.certificate_id), *(ask(key, twin) for key, twin in enumerate(twins, 1)))
    assert [bool(found[key].records) for key in range(4)] == [True, False, False, False]


@pytest.mark.parametrize("text", ["", "%", "' OR 1=1 --", '"]', '", "', "\0", "\U0001f600", "*"])
async def test_hostile_identifiers(store: Store, text: str) -> None:
    """An identifier is a value and nothing else: no text in it finds what it does not name."""
    found = await fetch(store, ask(0, text), ask(1, RECORDS[0].certificate_id))
    assert found[0] == Found(key=0, records=())
    assert found[1].records == (RECORDS[0],)


async def test_many_at_once(store: Store) -> None:
    """Lots fetched at the same time do not mix."""
    lots = [RECORDS[start : start + 32] for start in range(0, 320, 32)]

    async def read(lot: list[CertificateRecord]) -> list[CertificateRecord]:
        found = await fetch(store, *(ask(key, record.certificate_id) for key, record in enumerate(lot)))
        return [found[key].records[0] for key in range(len(lot))]

    assert await asyncio.gather(*map(read, lots)) == lots


async def test_close_twice(store: Store) -> None:
    """A store may be closed twice."""
    await fetch(store, ask(0, RECORDS[0].certificate_id))
    await store.close()
    await store.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_unreachable_and_back(kind: str, path: Path) -> None:
    """A store out of reach raises StoreError, and answers again as soon as it is back."""
    memory, file = MemoryStore(RECORDS), SqliteStore(path)
    store: Store = memory if kind == "memory" else file
    memory.reachable = False
    aside = await asyncio.to_thread(path.rename, path.with_suffix(".aside"))
    with pytest.raises(StoreError):
        await fetch(store, ask(0, RECORDS[0].certificate_id))
    memory.reachable = True
    await asyncio.to_thread(aside.rename, path)
    assert (await fetch(store, ask(0, RECORDS[0].certificate_id)))[0].records == (RECORDS[0],)
    await store.close()


@pytest.fixture
def spoil(path: Path) -> Iterator[Callable[[str], None]]:
    """Change the row of RECORDS[7] in place, in a table that holds its columns to nothing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(certificate)")]
        connection.execute(f"CREATE TABLE loose ({', '.join(columns)})")
        connection.execute("INSERT INTO loose SELECT * FROM certificate")
        connection.execute("DROP TABLE certificate")
        connection.execute("ALTER TABLE loose RENAME TO certificate")

        def change(assignment: str) -> None:
            where = "WHERE certificate_identifier = ?"
            connection.execute(f"UPDATE certificate SET {assignment} {where}", (RECORDS[7].certificate_id,))

        yield change


@pytest.mark.parametrize(
    "assignment",
    [
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
        "certificate_holder_code = 1.5",
        "issue_date = NULL",
        "issue_date = '2026-02-30'",
        "certificate_validate_start = 'now'",
        "certificate_validate_end = '长期'",
        "certificate_validate_end = '20300101'",
        "certificate_validate_end = ''",
    ],
)
async def test_hostile_rows(sqlite_store: SqliteStore, spoil: Callable[[str], None], assignment: str) -> None:
    """A row that cannot be read yields no record, says so, is counted, and harms no neighbour."""
    spoil(assignment)
    found = await fetch(sqlite_store, *(ask(key, record.certificate_id) for key, record in enumerate(RECORDS[:16])))
    assert found.pop(7) == Found(key=7, records=(), unusable=True)
    assert all(one.records == (RECORDS[key],) for key, one in found.items())
    assert sqlite_store.unusable_rows == 1


async def test_contradictory_rows(sqlite_store: SqliteStore, spoil: Callable[[str], None]) -> None:
    """Two rows with one identifier contradict each other, and neither is believed."""
    spoil(f"certificate_identifier = '{RECORDS[8].certificate_id}'")
    found = await fetch(sqlite_store, *(ask(key, RECORDS[key].certificate_id) for key in (7, 8, 9)))
    assert found[7] == Found(key=7, records=())
    assert found[8] == Found(key=8, records=(), unusable=True)
    assert found[9].records == (RECORDS[9],)


async def test_unknown_content_is_ignored(sqlite_store: SqliteStore, spoil: Callable[[str], None]) -> None:
    """A name that we do not know in a stored field is passed over."""
    spoil("surface = json_insert(surface, '$[0].newer', json('[1]'))")
    found = await fetch(sqlite_store, ask(0, RECORDS[7].certificate_id))
    assert found[0].records == (RECORDS[7],)


async def test_all_rows_hostile(sqlite_store: SqliteStore, spoil: Callable[[str], None], path: Path) -> None:
    """A full lot of rows that cannot be read is answered to the last one."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE certificate SET certificate_status = 'hostile'")
    found = await fetch(sqlite_store, *(ask(key, record.certificate_id) for key, record in enumerate(RECORDS[:256])))
    assert all(one.unusable for one in found.values())
    assert sqlite_store.unusable_rows == 256


async def test_large_lot_is_read_in_parts(sqlite_store: SqliteStore, path: Path) -> None:
    """Rows that are too much for one answer together are all found."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE certificate SET certificate_name = ?", ("名" * 20_000,))
    found = await fetch(sqlite_store, *(ask(key, record.certificate_id) for key, record in enumerate(RECORDS[:64])))
    assert all(len(one.records[0].name) == 20_000 for one in found.values())


@pytest.mark.parametrize(
    "statement",
    ["DROP TABLE certificate", "ALTER TABLE certificate RENAME COLUMN surface TO face"],
)
@pytest.mark.parametrize("opened", [True, False])
async def test_wrong_table(sqlite_store: SqliteStore, path: Path, statement: str, *, opened: bool) -> None:
    """A file without the table is a failed store, not one in which nothing is found, however late that happens."""
    if opened:
        await fetch(sqlite_store, ask(0, RECORDS[0].certificate_id))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)
    with pytest.raises(StoreError):
        await fetch(sqlite_store, ask(0, RECORDS[0].certificate_id))
    assert sqlite_store.unusable_rows == 0


async def test_no_database(sqlite_store: SqliteStore, path: Path) -> None:
    """A file that is no database is a failed store, and what it holds does not show in the error."""
    await asyncio.to_thread(path.write_text, "certificate of somebody")
    with pytest.raises(StoreError) as failed:
        await fetch(sqlite_store, ask(0, RECORDS[0].certificate_id))
    assert "somebody" not in str(failed.value)
    assert failed.value.__cause__ is None


async def test_new_file_is_seen(sqlite_store: SqliteStore, path: Path) -> None:
    """A store written anew while it is read is seen by the next lot."""
    assert (await fetch(sqlite_store, ask(0, RECORDS[0].certificate_id)))[0].records
    write_store(path, RECORDS[1:])
    assert not (await fetch(sqlite_store, ask(0, RECORDS[0].certificate_id)))[0].records


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
async def test_change_in_place_is_seen(sqlite_store: SqliteStore, path: Path, mode: str) -> None:
    """A row changed in place by another program is seen by the next lot, in either journal mode."""
    assert (await fetch(sqlite_store, ask(0, RECORDS[0].certificate_id)))[0].records
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")
        connection.execute("UPDATE certificate SET certificate_status = 'REVOKED'")
        found = await fetch(sqlite_store, ask(0, RECORDS[0].certificate_id))
    assert found[0].records[0].status == "REVOKED"


async def test_reader_cannot_write(sqlite_store: SqliteStore) -> None:
    """The store's own connection cannot change the file."""
    await fetch(sqlite_store, ask(0, RECORDS[0].certificate_id))

    def write() -> None:
        sqlite_store._file.connection().execute("DELETE FROM certificate")

    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await asyncio.wrap_future(sqlite_store._thread.submit(write))


def test_failed_write_leaves_the_old_store(path: Path) -> None:
    """A store that cannot be written leaves the one that was there, and nothing beside it."""
    before = path.read_bytes()
    with pytest.raises(sqlite3.IntegrityError):
        write_store(path, [RECORDS[0], RECORDS[0]])
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
