"""What the stores under test hold, and how they are asked."""

import random
from datetime import date
from pathlib import Path
from typing import Final

from deploy.demo.certificates import demo_certificates
from schemas.form import sm3_hex
from schemas.holders import CITIZEN_ID_TYPE
from tests.support_registry import CARD, CITIZEN_ID, LICENCE
from tests.support_store import certificate
from workers.stores.port import Ask, ByFile, ByHolder, ByIdentifier, Found, Look, Store, StoredFile
from workers.stores.sqlite_layout import NewFile, write_store

RECORDS: Final = demo_certificates("32", count=400, today=date(2026, 3, 1))

# One holder's, written in no order, of two types.
HELD: Final = [certificate(serial, CARD if serial % 3 else LICENCE) for serial in (7, 2, 9, 4, 1, 8, 3, 6, 5)]
# The code of somebody else's, of another kind, is the same; it stands first among them.
TWIN: Final = certificate(0, CARD, holder_type_code="114")
STORED: Final = [*RECORDS, *HELD, TWIN]

COLUMNS: Final = {
    kind: frozenset(field.column_name for record in STORED if record.type_code == kind for field in record.surface)
    for kind in {record.type_code for record in STORED}
}
TYPES: Final = frozenset(COLUMNS)

SIZES: Final = (0, 20, 255 << 10, 257 << 10, 1 << 20, 3 << 20, (3 << 20) + 1)
_draw: Final = random.Random(5)
FILES: Final = {(RECORDS[place].certificate_id, "pdf"): _draw.randbytes(size) for place, size in enumerate(SIZES)} | {
    (RECORDS[20].certificate_id, "png"): b"print",
    (RECORDS[20].certificate_id, "ofd"): b"original",
    (RECORDS[20].certificate_id, "pdf"): b"picture",
    (HELD[0].certificate_id, "ofd"): b"one for all",
    (HELD[1].certificate_id, "ofd"): b"one for all",
    (HELD[2].certificate_id, "ofd"): b"one for all",
}


def write_whole_store(path: Path) -> None:
    """Write a SQLite store that holds all of this."""
    write_store(path, STORED, (NewFile(*key, content) for key, content in FILES.items()))


def ask(key: int, look: str | Look, columns: frozenset[str] | None = None) -> Ask:
    """An ask for a certificate, or with another look; every column of every type is granted, or only these."""
    granted = COLUMNS if columns is None else dict.fromkeys(TYPES, columns)
    return Ask(key=key, look=ByIdentifier(certificate_id=look) if isinstance(look, str) else look, columns=granted)


def of_holder(
    holder_code: str = CITIZEN_ID,
    *,
    kind: str = CITIZEN_ID_TYPE,
    types: frozenset[str] = TYPES,
    number: str | None = None,
    limit: int = 50,
) -> ByHolder:
    return ByHolder(holder_code=holder_code, holder_type_code=kind, type_codes=types, number=number, limit=limit)


def of_file(content: bytes, type_code: str, certificate_id: str | None = None) -> ByFile:
    return ByFile(type_code=type_code, digest=sm3_hex(content), certificate_id=certificate_id)


async def fetch(store: Store, *asks: Ask) -> dict[int, Found]:
    """Return what was found by key, each key seen exactly once."""
    found = [one async for together in store.fetch(asks) for one in together]
    assert sorted(one.key for one in found) == sorted(one.key for one in asks)
    return {one.key: one for one in found}


async def stored_file(store: Store, certificate_id: str, file_format: str = "pdf") -> StoredFile:
    """Return the file, which there must be."""
    file = await store.file(certificate_id, file_format)
    assert file is not None
    return file


async def read(file: StoredFile) -> bytes:
    return b"".join([chunk async for chunk in file.chunks()])
