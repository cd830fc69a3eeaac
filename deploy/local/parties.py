"""Keys and stores of every party of the local stack, made on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.bus.clock import today
from broker.bus.keys import make_keys
from deploy.demo.certificates import write_demo_store
from schemas.regions import PROVINCES

if TYPE_CHECKING:
    from deploy.local.home import Home

NODES = ("31-yct", "31-sdk")
APPLICATIONS = ("yct-enterprise", "yct-realestate", "yct-newborn", "yct-limited", "yct-national", "sdk-enterprise")
REGISTRAR = "registrar"


def prepare(home: Home) -> None:
    """Keys where there are none, and the demonstration's stores anew: their dates are relative to today."""
    for party in (REGISTRAR, *NODES, *PROVINCES, *APPLICATIONS):
        make_keys(home.keys, party)
    for province in PROVINCES:
        write_demo_store(home.store / f"{province}.db", province, today())
