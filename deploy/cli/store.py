"""`certlane store`: looking into a province's store."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer

from deploy.cli.stack import Home, Json
from deploy.local.home import LocalStackError, home_of

app = typer.Typer(help="a province's certificate store", no_args_is_help=True)


@app.callback()
def _store() -> None:
    """A group even while it has one command."""


@app.command()
def sample(
    province: Annotated[str, typer.Option()],
    n: Annotated[int, typer.Option("-n", min=1, max=2_500)] = 5,
    home: Home = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Print valid certificates and their holders (synthetic persons) that the demo's first scenario can read."""
    from deploy.demo.certificates import sample as take  # noqa: PLC0415
    from deploy.demo.asking import READABLE  # noqa: PLC0415

    path = home_of(home).store / f"{province}.db"
    if not path.exists():
        raise LocalStackError(f"there is no store {path}; `make up` makes those of 31, 32, 33 and 34")
    rows = take(path, n, READABLE)
    if as_json:
        print(orjson.dumps(rows).decode())
        return
    for row in rows:
        print(f"{row['certificateID']}  {row['typeName']}  {row['holderName']}")
