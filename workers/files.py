"""Files on their way out: small ones inside the reply, large ones sealed through the object store (DESIGN §10)."""

from __future__ import annotations

import asyncio
import os
import secrets
from base64 import b64encode
from typing import TYPE_CHECKING, NamedTuple

from cryptography.hazmat.primitives.hashes import SM3, Hash

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.objects import ObjectsError
from schemas.items import Ticket
from schemas.jose import b64
from schemas.sealed_files import MAX_FILE_BYTES, SEGMENT_BYTES, SealedFile
from schemas.suites import CONTENT_KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from broker.bus.objects import Objects
    from schemas.suites import Suite
    from workers.stores.port import StoredFile

TICKET_MS = 600_000  # ten minutes (DOMAIN §4, I2)
SWEPT_SECONDS = 900  # a download that began in time may end after its ticket
_SWEEP_PERIOD_SECONDS = 60.0
_SENDS_AT_ONCE = 4  # each holds a part of the object store in memory


class Delivered(NamedTuple):
    """A file as the reply carries it: SM3 in hex, size, and either base64 or the ticket of the sealed file."""

    digest: str
    size: int
    content: str | None
    ticket: Ticket | None


class FileError(Exception):
    """The file is not what the store said it is; the provider's fault."""


class FileSender:
    """Sends a province's files, byte-exact or not at all."""

    def __init__(self, *, objects: Objects, suite: Suite) -> None:
        self._objects, self._suite = objects, suite
        self._turn = asyncio.Semaphore(_SENDS_AT_ONCE)

    async def send(self, stored: StoredFile, *, inline_bytes: int) -> Delivered:
        """Send a file: inline when it has at most so many bytes; raises FileError, StoreError, ObjectsError."""
        if stored.size <= inline_bytes:
            content = b"".join([segment async for segment in _segments(stored)])
            return Delivered(stored.digest, stored.size, b64encode(content).decode(), None)
        if stored.size > MAX_FILE_BYTES:
            raise FileError("the file is too large")
        async with self._turn:
            return Delivered(stored.digest, stored.size, None, await self._sealed(stored))

    async def _sealed(self, stored: StoredFile) -> Ticket:
        ticket = Ticket(
            address=secrets.token_hex(16),
            key=b64(os.urandom(CONTENT_KEY_BYTES)),
            enc=self._suite.seal_enc,
            size=stored.size,
            expires=now_ms() + TICKET_MS,
        )
        try:
            await self._objects.write(ticket.address, _sealed_segments(stored, SealedFile(ticket)))
        except Exception:
            telemetry.FILES_SEALED.labels("failed").inc()
            raise
        telemetry.FILES_SEALED.labels("sealed").inc()
        return ticket


async def _sealed_segments(stored: StoredFile, sealed: SealedFile) -> AsyncGenerator[bytes, None]:
    number = 0
    async for plain in _segments(stored):
        yield sealed.seal(number, plain)
        number += 1


async def _segments(stored: StoredFile) -> AsyncGenerator[bytes, None]:
    """The file in segments, the last one only once the whole is what the store said; raises FileError, StoreError.

    Hashing (0.5 ms a segment) and sealing (0.03 ms) stay on the loop: both keep the interpreter's lock, so that a
    thread would hold the loop up just as long, and after each segment the loop has its turn.
    """
    digest, pending, left = Hash(SM3()), bytearray(), stored.size
    async for chunk in stored.chunks():
        pending += chunk
        if len(pending) > left:
            raise FileError("the file is longer than the store said")
        while len(pending) >= SEGMENT_BYTES and left > SEGMENT_BYTES:
            segment = bytes(pending[:SEGMENT_BYTES])
            del pending[:SEGMENT_BYTES]
            left -= SEGMENT_BYTES
            digest.update(segment)
            yield segment
    if len(pending) != left:
        raise FileError("the file is shorter than the store said")
    digest.update(pending)
    if digest.finalize().hex() != stored.digest:
        raise FileError("the file has another digest than the store said")
    yield bytes(pending)


async def sweep(objects: Objects) -> None:
    """Delete what nobody fetched, for ever: a ticket ends after ten minutes, its object goes after fifteen."""
    while True:
        try:
            await objects.sweep(SWEPT_SECONDS)
        except ObjectsError as error:
            telemetry.log.warning("objects not swept", reason=str(error))
        await asyncio.sleep(_SWEEP_PERIOD_SECONDS)
