"""`certlane doctor`: how each part is, and what to do about what is not well."""

from __future__ import annotations

import asyncio
import logging

import orjson
import typer

from deploy.cli.stack import Home, Json
from deploy.local.home import home_of

_MARKS = {"well": "✓", "ill": "✗", "skipped": "－"}


def add_to(app: typer.Typer) -> None:
    """Add `doctor`."""
    app.command()(doctor)


def doctor(home: Home = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Check every part of a stack and say the remedy; exit 0 when all is well, else 1."""
    from deploy.doctor.checks import State, examine  # noqa: PLC0415  # it reaches into every part of the product

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it would say is in the findings
    findings = asyncio.run(examine(home_of(home)))
    if as_json:
        print(orjson.dumps([one._asdict() for one in findings]).decode())
    for one in () if as_json else findings:
        remedy = f"  → {one.remedy}" if one.remedy else ""
        print(f"{_MARKS[one.state]} {one.name}：{one.told}{remedy}")
    if any(one.state is State.ILL for one in findings):
        raise typer.Exit(1)
