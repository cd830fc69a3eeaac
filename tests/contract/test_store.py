"""One suite for every store, the fake included."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec
import pytest

from schemas.certificates import CertificateRecord
from schemas.form import sm3_hex
from schemas.identifiers import parse_certificate_id
from tests.contract.stores import (
    COLUMNS,
    FILES,
    HELD,
    RECORDS,
    SIZES,
    STORED,
    TWIN,
    TYPES,
    ask,
    fetch,
    of_file,
    of_holder,
    read,
    stored_file,
)
from tests.support_registry import CARD, CITIZEN_ID, LICENCE
from workers.stores.memory import MemoryStore
from workers.stores.port import Ask, ByFile, ByIdentifier, Found, Look, Store, StoreError
from workers.stores.sqlite import SqliteStore
from workers.stores.sqlite_layout import put_file, write_store

MEBIBYTE: Final = 1 << 20
HOSTILE: Final = ["", "%", "' OR 1=1 --", '"]', '", "', "\0", "\U0001f600", "*", "null", "[]", "{}"]


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Store]:
    memory = request.param == "memory"
    made: Store = MemoryStore(STORED, files=FILES) if memory else SqliteStore(path)
    yield made
    await made.close()


def by_identifier(records: list[CertificateRecord]) -> tuple[CertificateRecord, ...]:
    return tuple(sorted(records, key=lambda record: record.certificate_id))


async def test_full_lot(store: Store) -> None:
    """A full lot gets every record exactly as it was stored."""
    found = await fetch(store, *(ask(key, record.certificate_id) for key, record in enumerate(RECORDS[:256])))
    assert [found[key].records for key in range(256)] == [(record,) for record in RECORDS[:256]]


async def test_nothing_found(store: Store) -> None:
    """An identifier that is not stored is answered, with nothing, beside one that is."""
    found = await fetch(store, ask(3, "1.2.156.3005.2.none"), ask(9, RECORDS[0].certificate_id))
    assert found[3] == Found(key=3)
    assert found[9].records == (RECORDS[0],)


async def test_same_certificate_twice(store: Store) -> None:
    """Two items may ask for one certificate, each with its own columns."""
    one, column = RECORDS[0], RECORDS[0].surface[0].column_name
    found = await fetch(store, ask(0, one.certificate_id), ask(1, one.certificate_id, frozenset({column})))
    assert found[0].records == (one,)
    assert found[1].records == (msgspec.structs.replace(one, surface=one.surface[:1]),)


async def test_no_column_granted(store: Store) -> None:
    """No column of the face comes back that was not granted."""
    found = await fetch(store, ask(0, RECORDS[0].certificate_id, frozenset()))
    assert found[0].records[0].surface == ()


LOOKS: Final[dict[str, Look]] = {
    "identifier": ByIdentifier(certificate_id=HELD[0].certificate_id),
    "holder": of_holder(types=frozenset({HELD[0].type_code}), limit=1),
    "file": of_file(b"", HELD[0].type_code, HELD[0].certificate_id),
    "digest": of_file(b"one for all", HELD[0].type_code),
}


@pytest.mark.parametrize("look", LOOKS)
async def test_type_not_granted(store: Store, look: str) -> None:
    """No certificate comes back of a type that was not granted, however it is looked for."""
    columns = {kind: granted for kind, granted in COLUMNS.items() if kind != HELD[0].type_code}
    found = await fetch(
        store, Ask(key=0, look=LOOKS[look], columns=COLUMNS), Ask(key=1, look=LOOKS[look], columns=columns)
    )
    assert [record.type_code for record in found[0].records] == [HELD[0].type_code]
    assert found[1] == Found(key=1)


async def test_no_ask(store: Store) -> None:
    """No ask, no answer."""
    assert await fetch(store) == {}


async def test_exact_string(store: Store) -> None:
    """A stored identifier with a wrong check character is found by its exact string, the corrected one is not."""
    wrong = next(r for r in RECORDS if not parse_certificate_id(r.certificate_id).check_is_right)
    twins = [wrong.certificate_id.lower(), wrong.certificate_id + " ", wrong.certificate_id + "\0"]
    found = await fetch(store, ask(0, wrong.certificate_id), *(ask(key, twin) for key, twin in enumerate(twins, 1)))
    assert [bool(found[key].records) for key in range(4)] == [True, False, False, False]


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_texts(store: Store, text: str) -> None:
    """What is asked for is a value and nothing else: no text finds what it does not name, whatever it stands for."""
    kind, held = RECORDS[0].type_code, HELD[0].certificate_id
    looks: list[Look] = [
        ByIdentifier(certificate_id=text),
        of_holder(text),
        of_holder(kind=text),
        of_holder(number=text),
        of_holder(types=frozenset({text})),
        ByFile(type_code=text, digest=sm3_hex(b"one for all"), certificate_id=None),
        ByFile(type_code=text, digest=text, certificate_id=held),
        ByFile(type_code=kind, digest=text, certificate_id=None),
        ByFile(type_code=kind, digest=text, certificate_id=text),
    ]
    found = await fetch(store, ask(99, RECORDS[0].certificate_id), *(ask(key, look) for key, look in enumerate(looks)))
    assert found.pop(99).records == (RECORDS[0],)
    assert list(found.values()) == [Found(key=key) for key in found]
    assert await store.file(text, "ofd") is None
    assert await store.file(held, text) is None


async def test_holder(store: Store) -> None:
    """A holder's certificates come in the order of their identifiers, each with the columns granted for its type."""
    columns = {CARD: frozenset({"KZ_XM"}), LICENCE: frozenset({"KZ_XB"})}
    found = await fetch(store, ask(0, of_holder()), Ask(key=1, look=of_holder(), columns=columns))
    assert found[0].records == by_identifier(HELD)
    faces = {(one.type_code, tuple(field.column_name for field in one.surface)) for one in found[1].records}
    assert faces == {(CARD, ("KZ_XM",)), (LICENCE, ("KZ_XB",))}
    assert len(found[1].records) == len(HELD)


async def test_every_holder(store: Store) -> None:
    """A full lot of holders gets for each exactly what the store holds of them."""
    holders = sorted({(record.holder_code, record.holder_type_code) for record in STORED})[:256]
    found = await fetch(store, *(ask(key, of_holder(code, kind=kind)) for key, (code, kind) in enumerate(holders)))
    for key, holder in enumerate(holders):
        held = [record for record in STORED if (record.holder_code, record.holder_type_code) == holder]
        assert found[key].records == by_identifier(held)


@pytest.mark.parametrize("limit", [0, 1, 4, 9, 10])
async def test_limit(store: Store, limit: int) -> None:
    """Of a holder's certificates the first come, as many as may, whatever the limits of its neighbours."""
    found = await fetch(store, ask(0, of_holder(limit=limit)), ask(1, of_holder(limit=2)), ask(2, of_holder(limit=50)))
    assert [found[key].records for key in range(3)] == [by_identifier(HELD)[:n] for n in (limit, 2, 50)]


async def test_limit_counts_what_is_granted(store: Store) -> None:
    """A certificate that is not asked for, or may not be shown, takes no place of one that is."""
    cards, licences = ([r for r in by_identifier(HELD) if r.type_code == kind] for kind in (CARD, LICENCE))
    assert cards[0].certificate_id < licences[0].certificate_id
    granted = Ask(key=0, look=of_holder(limit=2), columns={LICENCE: COLUMNS[LICENCE]})
    assert (await fetch(store, granted))[0].records == tuple(licences[:2])
    for look, first in (
        (of_holder(types=frozenset({LICENCE}), limit=1), licences[0]),
        (of_holder(number=cards[4].number, limit=1), cards[4]),
        (of_holder(limit=1), cards[0]),
        (of_holder(kind="114", limit=1), TWIN),
    ):
        assert (await fetch(store, ask(0, look)))[0].records == (first,)


async def test_holder_is_matched_whole(store: Store) -> None:
    """Code, code type, certificate type and number must all be those asked for."""
    one = HELD[0]
    looks = [
        of_holder(number=one.number),
        of_holder(number=one.number, types=TYPES - {one.type_code}),
        of_holder(number=one.number.lower()),
        of_holder(kind="115"),
        of_holder(CITIZEN_ID[:-1]),
        of_holder(types=frozenset()),
    ]
    found = await fetch(store, *(ask(key, look) for key, look in enumerate(looks)))
    assert [found[key].records for key in range(6)] == [(one,), (), (), (), (), ()]


DIGESTS: Final = tuple(sm3_hex(content) for content in (b"original", b"picture", b"print"))  # ofd, pdf, png


async def test_file_of_identifier(store: Store) -> None:
    """Beside the certificate come the digests of all its files, in order of format, whichever file was asked about."""
    one, bare = RECORDS[20], RECORDS[30]
    found = await fetch(
        store,
        ask(0, of_file(b"another", one.type_code, one.certificate_id)),
        ask(1, of_file(b"picture", bare.type_code, bare.certificate_id)),
        ask(2, of_file(b"picture", HELD[0].type_code, "1.2.156.3005.2.none")),
    )
    assert found[0] == Found(key=0, records=(one,), digests=DIGESTS)
    assert found[1] == Found(key=1, records=(bare,))
    assert found[2] == Found(key=2)


async def test_file_of_another_type(store: Store) -> None:
    """A certificate of another type than asked for is not found by its file, with its identifier or without."""
    one, other = RECORDS[20], RECORDS[21].type_code
    assert other != one.type_code
    found = await fetch(
        store, ask(0, of_file(b"picture", other, one.certificate_id)), ask(1, of_file(b"picture", other))
    )
    assert found == {0: Found(key=0), 1: Found(key=1)}


async def test_file_of_digest(store: Store) -> None:
    """A digest alone finds the certificate whose file has it, in any format, with the digests of all its files."""
    one = RECORDS[20]
    contents = [b"original", b"print", b"picture", b"neither"]
    found = await fetch(store, *(ask(key, of_file(raw, one.type_code)) for key, raw in enumerate(contents)))
    assert [(found[key].records, found[key].digests) for key in range(4)] == [((one,), DIGESTS)] * 3 + [((), ())]


async def test_one_file_of_all(store: Store) -> None:
    """Of certificates that have one and the same file the first of the type asked for is found."""
    bearers = [record for record in by_identifier(HELD) if (record.certificate_id, "ofd") in FILES]
    assert [record.type_code for record in bearers] == [CARD, CARD, LICENCE]
    unknown = next(kind for kind in TYPES if kind not in {CARD, LICENCE})
    found = await fetch(
        store, *(ask(key, of_file(b"one for all", kind)) for key, kind in enumerate((CARD, LICENCE, unknown)))
    )
    assert [found[key].records for key in range(3)] == [(bearers[0],), (bearers[2],), ()]


async def test_mixed_lot(store: Store) -> None:
    """Looks of every kind stand side by side in one lot, and again and again."""
    looks = [ByIdentifier(certificate_id=HELD[3].certificate_id), *LOOKS.values()] * 40
    found = await fetch(store, *(ask(key, look) for key, look in enumerate(looks)))
    told = [found[key].records[:1] for key in range(len(looks))]
    assert told[:5] == [
        (HELD[3],),
        (HELD[0],),
        by_identifier([record for record in HELD if record.type_code == HELD[0].type_code])[:1],
        (HELD[0],),
        by_identifier(HELD[:2])[:1],
    ]
    assert told == told[:5] * 40


async def test_many_at_once(store: Store) -> None:
    """Lots fetched at the same time do not mix."""
    lots = [RECORDS[start : start + 32] for start in range(0, 320, 32)]

    async def fetched(lot: list[CertificateRecord]) -> list[CertificateRecord]:
        found = await fetch(store, *(ask(key, record.certificate_id) for key, record in enumerate(lot)))
        return [found[key].records[0] for key in range(len(lot))]

    assert await asyncio.gather(*map(fetched, lots)) == lots


@pytest.mark.parametrize("place", range(len(SIZES)))
async def test_files(store: Store, place: int) -> None:
    """A file of any size comes byte for byte, in chunks of at most a mebibyte, with its size and digest told before."""
    name = RECORDS[place].certificate_id
    content = FILES[name, "pdf"]
    file = await stored_file(store, name)
    assert (file.size, file.digest) == (SIZES[place], sm3_hex(content))
    chunks = [chunk async for chunk in file.chunks()]
    assert b"".join(chunks) == content
    assert all(0 < len(chunk) <= MEBIBYTE for chunk in chunks)


async def test_file_read_twice(store: Store) -> None:
    """A file may be read again, and by two at once, while lots are fetched."""
    name = RECORDS[5].certificate_id
    file = await stored_file(store, name)
    lot = [ask(key, record.certificate_id) for key, record in enumerate(RECORDS[:64])]
    *contents, found = await asyncio.gather(read(file), read(file), fetch(store, *lot))
    assert contents == [FILES[name, "pdf"]] * 2
    assert await read(file) == FILES[name, "pdf"]
    assert isinstance(found, dict)
    assert len(found) == 64


async def test_no_file(store: Store) -> None:
    """There is no file of a certificate without one, in a format it has none in, or of no certificate."""
    assert await store.file(RECORDS[300].certificate_id, "ofd") is None
    assert await store.file(RECORDS[0].certificate_id, "ofd") is None
    assert await store.file("1.2.156.3005.2.none", "ofd") is None


@pytest.mark.parametrize("content", [b"another", bytes(3 << 20), None])
async def test_file_changed_in_between(store: Store, path: Path, content: bytes | None) -> None:
    """A file that is replaced or goes while it is read fails: no mixture of two comes out."""
    name = RECORDS[5].certificate_id
    chunks = (await stored_file(store, name)).chunks()
    assert await anext(chunks) == FILES[name, "pdf"][:MEBIBYTE]
    if isinstance(store, MemoryStore):
        store.files = {} if content is None else store.files | {(name, "pdf"): content}
    else:
        write_store(path, STORED) if content is None else put_file(path, name, "pdf", content)
    with pytest.raises(StoreError):
        await anext(chunks)


async def test_close_twice(store: Store) -> None:
    """A store may be closed twice."""
    await fetch(store, ask(0, RECORDS[0].certificate_id))
    await store.close()
    await store.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_unreachable_and_back(kind: str, path: Path) -> None:
    """A store out of reach raises StoreError, also in the midst of a file, and answers again as soon as it is back."""
    memory, sqlite = MemoryStore(STORED, files=FILES), SqliteStore(path)
    store: Store = memory if kind == "memory" else sqlite
    name = RECORDS[5].certificate_id
    chunks = (await stored_file(store, name)).chunks()
    await anext(chunks)
    memory.reachable = False
    aside = await asyncio.to_thread(path.rename, path.with_suffix(".aside"))
    with pytest.raises(StoreError):
        await fetch(store, ask(0, name))
    with pytest.raises(StoreError):
        await store.file(name, "pdf")
    with pytest.raises(StoreError):
        await anext(chunks)
    memory.reachable = True
    await asyncio.to_thread(aside.rename, path)
    assert (await fetch(store, ask(0, name)))[0].records == (RECORDS[5],)
    assert await read(await stored_file(store, name)) == FILES[name, "pdf"]
    await store.close()
    await sqlite.close()
