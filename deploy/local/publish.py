"""Handing a folder of the registry to the registrar, and waiting until its version is out."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from broker.bus import kafka
from broker.bus.clock import now_ms, today
from broker.bus.keys import KeySigner, read_keys
from broker.registry.authoring import read_folder
from broker.registry.follower import Follower
from broker.registry.registrar import Intake, sign_intake
from deploy.local.home import LocalStackError
from deploy.local.parties import REGISTRAR
from schemas.topics import INTAKE

if TYPE_CHECKING:
    from deploy.local.home import Home
    from schemas.registry import Manifest

DEMO_REGISTRY = Path(__file__).parents[1] / "demo" / "registry"
_WAIT_SECONDS = 30.0


async def publish_demo_registry(home: Home, bootstrap: str) -> None:
    """Publish the demonstration's registry; its days are relative to today."""
    await apply(DEMO_REGISTRY, home=home, bootstrap=bootstrap)


async def apply(folder: Path, *, home: Home, bootstrap: str) -> Manifest:
    """Sign the folder's records as the registrar's intake and wait for the version that holds them.

    Raises AuthoringError for a wrong file, LocalStackError when the registrar does not answer.
    """
    keys = read_keys(home.keys / f"{REGISTRAR}.json")
    wanted = read_folder(folder, home.keys, today())
    intake = Intake(id=uuid.uuid4().hex, time=now_ms(), records=tuple(wanted))
    producer = kafka.producer(bootstrap, "certlane-apply")
    await producer.start()
    try:
        await producer.send_and_wait(INTAKE, sign_intake(KeySigner(keys.signing), intake), partition=0)
    finally:
        await producer.stop()
    follower = Follower(bootstrap=bootstrap, name="certlane-apply", registrar=keys.signing.public)
    following = asyncio.ensure_future(follower.run())
    try:
        ends = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < ends and not following.done():
            manifest = follower.trusted.manifest
            if manifest is not None and intake.id in follower.trusted.intakes:
                return manifest
            await asyncio.sleep(0.05)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    raise LocalStackError("the registrar did not publish; look into log/registrar.log, and `certlane start registrar`")
