"""One suite for every issuer of service codes, the fake included; and what only a file can do to its reader."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from schemas.holders import CITIZEN_ID_TYPE
from tests.contract.stores import RECORDS
from tests.support_registry import CITIZEN_ID
from workers.issuers.memory import MemoryIssuer
from workers.issuers.port import CodeIssuer, CodeRecord, CodeState, IssuerError
from workers.issuers.sqlite import SqliteIssuer
from workers.stores.sqlite_layout import put_code, set_code_state, write_store

CODE: Final = CodeRecord(
    holder_name="测小试",
    holder_code=CITIZEN_ID,
    holder_type_code=CITIZEN_ID_TYPE,
    mobile="12000000001",
    expires_at=1 << 41,
)
LAST: Final = "c" * 64
CODES: Final = {f"{place:064x}": CODE for place in range(3)} | {
    "a" * 64: replace(CODE, state=CodeState.REVOKED),
    "b" * 64: replace(CODE, state=CodeState.REFUSED),
    LAST: CodeRecord(holder_name="测", holder_code="X", holder_type_code="411", mobile=None, expires_at=0),
}


@pytest.fixture
def codes(tmp_path: Path) -> Path:
    """A SQLite store that holds these codes."""
    path = tmp_path / "of 32%20?.sqlite"
    write_store(path, RECORDS[:3])
    for digest, code in CODES.items():
        put_code(path, digest, code)
    return path


@pytest.fixture(params=["memory", "sqlite"])
async def issuer(request: pytest.FixtureRequest, codes: Path) -> AsyncIterator[CodeIssuer]:
    made: CodeIssuer = MemoryIssuer(CODES) if request.param == "memory" else SqliteIssuer(codes)
    yield made
    await made.close()


@pytest.fixture
async def sqlite_issuer(codes: Path) -> AsyncIterator[SqliteIssuer]:
    made = SqliteIssuer(codes)
    yield made
    await made.close()


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def loose(path: Path, statement: str) -> None:
    """Update the codes in place, in a table that holds its columns to nothing."""
    with closing(sqlite3.connect(path)) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(service_code)")]
    execute(
        path,
        f"CREATE TABLE loose ({', '.join(columns)})",
        "INSERT INTO loose SELECT * FROM service_code",
        "DROP TABLE service_code",
        "ALTER TABLE loose RENAME TO service_code",
        statement,
    )


async def test_codes(issuer: CodeIssuer) -> None:
    """Codes are found by their digests exactly as they were issued, in every state, expired ones too."""
    assert await issuer.look([*CODES, "d" * 64]) == CODES


async def test_nothing_asked(issuer: CodeIssuer) -> None:
    """Who asks for nothing is told nothing."""
    assert await issuer.look([]) == {}


async def test_the_same_code_twice(issuer: CodeIssuer) -> None:
    """A full lot may ask for one code again and again."""
    assert await issuer.look([LAST] * 256) == {LAST: CODES[LAST]}


@pytest.mark.parametrize("text", ["", "%", "' OR 1=1 --", '"]', "\0", "\U0001f600", "*", "null", "[]", LAST.upper()])
async def test_hostile_texts(issuer: CodeIssuer, text: str) -> None:
    """What is asked for is a value and nothing else: no text finds what it does not name."""
    assert await issuer.look([text, LAST]) == {LAST: CODES[LAST]}


async def test_many_at_once(issuer: CodeIssuer) -> None:
    """Looks at the same time do not mix."""
    answers = await asyncio.gather(*(issuer.look([digest]) for digest in CODES))
    assert [dict(answer) for answer in answers] == [{digest: code} for digest, code in CODES.items()]


async def test_close_twice(issuer: CodeIssuer) -> None:
    """An issuer may be closed twice."""
    await issuer.look([LAST])
    await issuer.close()
    await issuer.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_unreachable_and_back(kind: str, codes: Path) -> None:
    """An issuer out of reach raises IssuerError, and answers again as soon as it is back."""
    memory, sqlite = MemoryIssuer(CODES), SqliteIssuer(codes)
    issuer: CodeIssuer = memory if kind == "memory" else sqlite
    assert await issuer.look([LAST])
    memory.reachable = False
    execute(codes, "ALTER TABLE service_code RENAME TO elsewhere")
    with pytest.raises(IssuerError):
        await issuer.look([LAST])
    memory.reachable = True
    execute(codes, "ALTER TABLE elsewhere RENAME TO service_code")
    assert await issuer.look([LAST]) == {LAST: CODES[LAST]}
    await sqlite.close()


@pytest.mark.parametrize(
    "assignment",
    [
        "expires_at = 'soon'",
        "expires_at = NULL",
        "expires_at = 1.5",
        "expires_at = '17'",
        "holder_name = NULL",
        "holder_name = x'ff'",
        "holder_code = CAST(x'fffe' AS TEXT)",
        "holder_type_code = 111",
        "mobile = 12000000001",
        "mobile = hex(zeroblob(1000000))",
        "state = 'valid'",
        "state = NULL",
        "state = ''",
    ],
)
async def test_hostile_codes(sqlite_issuer: SqliteIssuer, codes: Path, assignment: str) -> None:
    """A code whose row cannot be read is there and unreadable, and harms no neighbour."""
    loose(codes, f"UPDATE service_code SET {assignment} WHERE digest = '{LAST}'")
    assert await sqlite_issuer.look([*CODES]) == CODES | {LAST: None}


async def test_contradictory_codes(sqlite_issuer: SqliteIssuer, codes: Path) -> None:
    """Two codes with one digest contradict each other, and neither is believed."""
    loose(codes, f"UPDATE service_code SET digest = '{LAST}'")
    assert await sqlite_issuer.look([LAST, "0" * 64]) == {LAST: None}


@pytest.mark.parametrize("content", [b"", b"no database at all", None])
async def test_no_issuer(codes: Path, content: bytes | None) -> None:
    """A file that is none, or that is not there, is an issuer out of reach, and not one that issued nothing."""
    if content is None:
        await asyncio.to_thread(codes.unlink)
    else:
        await asyncio.to_thread(codes.write_bytes, content)
    issuer = SqliteIssuer(codes)
    with pytest.raises(IssuerError):
        await issuer.look([LAST])
    await issuer.close()


async def test_statements(sqlite_issuer: SqliteIssuer) -> None:
    """However many are asked for, a look costs one statement."""
    await sqlite_issuer.look([LAST])
    seen: list[str] = []
    source = sqlite_issuer._source
    await asyncio.wrap_future(sqlite_issuer._thread.submit(lambda: source.get().set_trace_callback(seen.append)))
    await sqlite_issuer.look([f"{place:064x}" for place in range(256)])
    assert len(seen) == 1


async def test_codes_are_replaced(sqlite_issuer: SqliteIssuer, codes: Path) -> None:
    """A code that is stored again is stored once, as it was last; its state may be said anew at any time."""
    put_code(codes, LAST, replace(CODE, expires_at=7))
    assert await sqlite_issuer.look([LAST]) == {LAST: replace(CODE, expires_at=7)}
    for state in CodeState:
        set_code_state(codes, LAST, state)
        assert await sqlite_issuer.look([LAST]) == {LAST: replace(CODE, expires_at=7, state=state)}


def test_state_of_no_code(codes: Path) -> None:
    """Nothing can be said of a code that nobody issued."""
    with pytest.raises(LookupError):
        set_code_state(codes, "d" * 64, CodeState.REVOKED)
