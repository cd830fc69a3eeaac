import hashlib
import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from broker.bus.clock import now_ms, today
from broker.bus.keys import make_keys
from deploy.cli.main import run
from deploy.demo.certificates import demo_certificates, sample, write_demo_store
from deploy.demo.codes import issuers_key
from deploy.demo.files import ofd_of
from deploy.demo.types import TYPES
from deploy.local.home import Home
from schemas.form import sm3_hex
from schemas.holders import CITIZEN_ID_TYPE, USCC_TYPE
from schemas.service_codes import is_genuine, parse_service_code
from workers.issuers.port import CodeRecord, CodeState
from workers.issuers.sqlite import SqliteIssuer

TODAY: Final = today()
RECORDS: Final = demo_certificates("31", today=TODAY)
ONE: Final = RECORDS[0]


class Ended(NamedTuple):
    """How a command ended: its exit code, what it told, what it said."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("home"))
    home.create()
    write_demo_store(home.store / "31.db", "31", TODAY)
    for province in ("31", "33"):
        make_keys(home.keys, province)
    return home


@pytest.fixture
def store(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`certlane store …` on the home, as a person calls it."""

    def called(*argv: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["certlane", "store", *map(str, argv), "--home", str(home.path)])
        with pytest.raises(SystemExit) as ended:
            run()
        return Ended(int(ended.value.code or 0), *capsys.readouterr())

    return called


async def stored_code(home: Home, digest: str) -> CodeRecord | None:
    """What the agent finds by this digest."""
    issuer = SqliteIssuer(home.store / "31.db")
    found = await issuer.look([digest])
    await issuer.close()
    return found.get(digest)


def is_one_line(ended: Ended) -> bool:
    """Whether a command failed with one line that says why, and told nothing."""
    return ended.code == 1 and not ended.out and ended.err.startswith("certlane: ") and ended.err.count("\n") == 1


async def test_code(store: Command, home: Home) -> None:
    """A code is all that is printed, and the store has it by its digest, of the first person sampled, for a minute."""
    before = now_ms()
    ended = store("code")
    code = parse_service_code(ended.out.removesuffix("\n"))
    assert (ended.code, ended.err, code.province, code.once) == (0, "", "31", True)
    assert is_genuine(code, issuers_key(home, "31"))
    record = await stored_code(home, code.digest)
    assert record is not None
    person = next(
        one
        for one in sample(home.store / "31.db", 9, [kind.type_code for kind in TYPES])
        if one["holderTypeCode"] == CITIZEN_ID_TYPE
    )
    assert (record.holder_code, record.holder_name) == (person["holderCode"], person["holderName"])
    assert record.mobile is not None
    assert record.mobile.startswith("120")
    assert before + 60_000 <= record.expires_at <= now_ms() + 60_000


async def test_code_as_json(store: Command, home: Home) -> None:
    """As JSON a code comes with province, expiry and holder; a reusable one for as long as is said, of whom is said."""
    holder = next(record for record in RECORDS[50:] if record.holder_type_code == CITIZEN_ID_TYPE)
    ended = store("code", "--json", "--reusable", "--seconds", 600, "--holder", holder.holder_code)
    told = json.loads(ended.out)
    code = parse_service_code(told["code"])
    record = await stored_code(home, code.digest)
    assert record is not None
    assert not code.once
    assert told == {
        "code": told["code"],
        "province": "31",
        "expiresAt": record.expires_at,
        "holderCode": holder.holder_code,
    }
    assert (record.holder_code, record.holder_name) == (holder.holder_code, holder.holder_name)
    assert record.expires_at > now_ms() + 300_000


def test_code_itself_is_not_stored(store: Command, home: Home) -> None:
    """The store keeps a code's digest and not the code."""
    code = store("code").out.strip()
    content = (home.store / "31.db").read_bytes()
    assert hashlib.sha256(code.encode()).hexdigest().encode() in content
    assert code.encode() not in content


async def test_state_of_a_code(store: Command, home: Home) -> None:
    """A code can be revoked, its holder can refuse, and both can be taken back; one that nobody issued cannot."""
    code = store("code").out.strip()
    for state in CodeState:
        assert store("code-state", code, state.value.lower()) == (0, "", "")
        record = await stored_code(home, parse_service_code(code).digest)
        assert record is not None
        assert record.state is state
    assert is_one_line(store("code-state", code[:-1] + ("A" if code[-1] != "A" else "B"), "revoked"))


ORGANISATION: Final = next(record.holder_code for record in RECORDS if record.holder_type_code == USCC_TYPE)


@pytest.mark.parametrize(
    "argv",
    [
        ("code", "--holder", "nobody"),
        ("code", "--holder", ORGANISATION),
        ("code", "--province", "32"),
        ("code", "--seconds", 61),
        ("file", ONE.certificate_id, "--province", "32"),
        ("file", "1.2.156.3005.2.none", "--province", "31"),
        ("file", ONE.certificate_id, "--province", "31", "--format", "png"),
        ("file", "1.2.156.3005.2.none", "--province", "31", "--put", __file__),
        ("file", ONE.certificate_id, "--province", "31", "--out", "/no/such/folder/file"),
    ],
)
def test_what_is_not_there(store: Command, argv: tuple[str, ...]) -> None:
    """What the store does not have is one clear line."""
    assert is_one_line(store(*argv))


@pytest.mark.parametrize(
    "argv",
    [
        ("code-state", "no code", "revoked"),
        ("code", "--seconds", 0),
        ("code", "--seconds", 86_401),
        ("file", ONE.certificate_id),
        ("file", ONE.certificate_id, "--province", "31", "--format", "doc"),
        ("file", ONE.certificate_id, "--province", "31", "--put", "/no/such/file"),
        ("file", ONE.certificate_id, "--province", "31", "--put", __file__, "--out", "never"),
    ],
)
def test_called_wrongly(store: Command, argv: tuple[object, ...]) -> None:
    """A command called wrongly ends with 2."""
    assert store(*argv).code == 2


def test_file(store: Command, tmp_path: Path) -> None:
    """A stored file is shown by size and SM3, and written out byte for byte in the place of what is there."""
    ofd = ofd_of(ONE)
    out = tmp_path / "out.ofd"
    out.write_bytes(b"before")
    shown = store("file", ONE.certificate_id, "--province", "31", "--out", out)
    assert shown == (0, f"{len(ofd)} bytes, SM3 {sm3_hex(ofd)}\n", "")
    assert out.read_bytes() == ofd
    assert list(tmp_path.iterdir()) == [out]


def test_put(store: Command, tmp_path: Path) -> None:
    """A file that is put into the store is what it then shows and writes out."""
    content = bytes(range(256)) * 9_000
    source, out = tmp_path / "in", tmp_path / "out"
    source.write_bytes(content)
    argv = ("file", RECORDS[1].certificate_id, "--province", "31", "--format", "pdf", "--json")
    told = json.loads(store(*argv, "--put", source).out)
    assert told == {
        "certificateID": RECORDS[1].certificate_id,
        "province": "31",
        "format": "pdf",
        "size": len(content),
        "digest": sm3_hex(content),
    }
    assert json.loads(store(*argv, "--out", out).out) == told
    assert out.read_bytes() == content


def test_file_that_is_not_what_it_says(store: Command, home: Home, tmp_path: Path) -> None:
    """A file whose content does not have its digest is one clear line, and nothing of it is written out."""
    with closing(sqlite3.connect(home.store / "31.db", isolation_level=None)) as connection:
        where = "WHERE certificate_identifier = ?"
        connection.execute(f"UPDATE certificate_file SET content = x'00' {where}", (RECORDS[2].certificate_id,))
    assert is_one_line(store("file", RECORDS[2].certificate_id, "--province", "31", "--out", tmp_path / "out"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("argv", [("code",), ("file", ONE.certificate_id)])
def test_no_store(store: Command, home: Home, argv: tuple[str, ...]) -> None:
    """A file that is no store is one clear line."""
    (home.store / "33.db").write_text("no database at all")
    assert is_one_line(store(*argv, "--province", "33"))
