"""`certlane store`: looking into a province's store, and putting codes and files into it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import uuid4

import orjson
import typer
from cryptography.hazmat.primitives.hashes import SM3, Hash

from broker.bus.clock import now_ms
from deploy.cli.stack import Home, Json
from deploy.local.home import LocalStackError, home_of
from schemas.statuses import RefusedError
from workers.stores.port import StoreError
from workers.stores.sqlite import SqliteStore
from workers.stores.sqlite_layout import put_file, read_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.local import home as local
    from workers.stores.port import StoredFile

app = typer.Typer(help="a province's certificate store", no_args_is_help=True)

_DAY_SECONDS = 86_400


@app.command()
def sample(
    province: Annotated[str, typer.Option()],
    n: Annotated[int, typer.Option("-n", min=1, max=2_500)] = 5,
    home: Home = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Print valid certificates and their holders (synthetic persons) that the demo's first scenario can read."""
    from deploy.demo.asking import READABLE  # noqa: PLC0415
    from deploy.demo.certificates import sample as take  # noqa: PLC0415

    rows = take(_store(home, province), n, READABLE)
    if as_json:
        print(orjson.dumps(rows).decode())
        return
    for row in rows:
        print(f"{row['certificateID']}  {row['typeName']}  {row['holderName']}")


@app.command()
def code(  # noqa: PLR0917 - the command's options
    province: Annotated[str, typer.Option()] = "31",
    seconds: Annotated[int, typer.Option(min=1, max=_DAY_SECONDS, help="how long it may be shown; once: ≤ 60")] = 60,
    holder: Annotated[str | None, typer.Option(help="a natural person's code; default the first in the store")] = None,
    reusable: Annotated[bool, typer.Option("--reusable", help="not used up by being redeemed once")] = False,  # noqa: FBT002
    home: Home = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Make a service code (政务服务码) of a synthetic person, store its digest, and print it."""
    from deploy.demo.codes import issue_code  # noqa: PLC0415

    with _one_line():
        made = issue_code(
            _home(home, province),
            province,
            expires_at=now_ms() + seconds * 1000,
            holder_code=holder,
            once=not reusable,
        )
    if as_json:
        told = {"code": made.code, "province": province, "expiresAt": made.expires_at, "holderCode": made.holder_code}
        print(orjson.dumps(told).decode())
        return
    print(made.code)


@app.command("code-state")
def code_state(
    code: Annotated[str, typer.Argument(help="a service code, as it is shown")],
    state: Annotated[Literal["revoked", "refused", "valid"], typer.Argument(help="what is said of it from now on")],
    home: Home = None,
) -> None:
    """Revoke a service code, or play its holder refusing what is asked with it."""
    from schemas.service_codes import parse_service_code  # noqa: PLC0415
    from workers.issuers.port import CodeState  # noqa: PLC0415
    from workers.stores.sqlite_layout import set_code_state  # noqa: PLC0415

    try:
        shown = parse_service_code(code)
    except RefusedError as error:
        raise typer.BadParameter("this is no service code") from error
    with _one_line():
        set_code_state(_store(home, shown.province), shown.digest, CodeState(state.upper()))


@app.command()
def file(  # noqa: PLR0917 - the command's options
    identifier: Annotated[str, typer.Argument(help="a certificate's identifier (证照标识)")],
    province: Annotated[str, typer.Option()],
    file_format: Annotated[Literal["ofd", "pdf", "png"], typer.Option("--format")] = "ofd",
    put: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="store this file in its place")] = None,
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="write the stored file here")] = None,
    home: Home = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Show size and SM3 of a certificate's file; store another in its place, or write it out byte for byte."""
    if put and out:
        raise typer.BadParameter("--put and --out exclude each other")
    path = _store(home, province)
    with _one_line():
        if not any(record.certificate_id == identifier for record in read_store(path)):
            raise LookupError(f"the store of {province} has no certificate {identifier}")
        if put:
            put_file(path, identifier, file_format, put)
        stored = asyncio.run(_read_file(path, identifier, file_format, out))
        if stored is None:
            raise LookupError(f"the store of {province} has no {file_format} file of {identifier}")
    if as_json:
        told = {"certificateID": identifier, "province": province, "format": file_format}
        print(orjson.dumps(told | {"size": stored.size, "digest": stored.digest}).decode())
        return
    print(f"{stored.size} bytes, SM3 {stored.digest}")


def _store(home: Path | None, province: str) -> Path:
    return _home(home, province).store / f"{province}.db"


def _home(home: Path | None, province: str) -> local.Home:
    """The home, which has a store of this province."""
    found = home_of(home)
    if not (path := found.store / f"{province}.db").exists():
        raise LocalStackError(f"there is no store {path}; `make up` makes those of 31, 32, 33 and 34")
    return found


@contextmanager
def _one_line() -> Iterator[None]:
    """Say what a person can mend, or the store's file suffers from, in one line."""
    try:
        yield
    except (LookupError, ValueError, OSError, StoreError, sqlite3.Error) as error:
        raise LocalStackError(str(error.args[0]) if isinstance(error, LookupError) else str(error)) from error


async def _read_file(path: Path, identifier: str, file_format: str, out: Path | None) -> StoredFile | None:
    """The stored file, written to `out` if it is named; what lies there is replaced in one step."""
    store = SqliteStore(path)
    try:
        stored = await store.file(identifier, file_format)
        if stored is not None and out is not None:
            partial = out.with_name(f".{out.name}.{uuid4().hex}")
            try:
                digest = Hash(SM3())
                with partial.open("wb") as target:
                    async for chunk in stored.chunks():
                        digest.update(chunk)
                        target.write(chunk)
                if digest.finalize().hex() != stored.digest:
                    raise StoreError("the file does not have the digest that the store tells")
                partial.replace(out)
            finally:
                partial.unlink(missing_ok=True)
        return stored
    finally:
        await store.close()
