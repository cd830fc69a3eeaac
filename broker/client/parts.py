"""A file that is being downloaded, on disk beside its later name; a later process goes on with it."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from cryptography.hazmat.primitives import hashes

from broker.client.errors import MalformedError

if TYPE_CHECKING:
    from schemas.answers import CertificateFile

_READ_BYTES = 1 << 20


class DiskPart:
    """`<name>.<beginning of its SM3>.part`: what another file left behind is never taken for a part of this one."""

    def __init__(self, to: Path, file: CertificateFile) -> None:
        self._to = to
        self._path = to.with_name(f"{to.name}.{file.file_digest[:16]}.part")
        self._out: BinaryIO | None = None
        self._hash, self.size = hashes.Hash(hashes.SM3()), 0
        if self._path.exists():
            self._resume(file.file_size)

    def _resume(self, most: int) -> None:
        """Take what is there for a beginning, unless it is longer than the file."""
        if self._path.stat().st_size > most:
            self.restart()
            return
        with self._path.open("rb") as there:
            while chunk := there.read(_READ_BYTES):
                self._count(chunk)

    def _count(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self.size += len(chunk)

    def append(self, chunk: bytes) -> None:
        if self._out is None:
            self._out = self._path.open("ab")
        self._out.write(chunk)
        self._count(chunk)

    def restart(self) -> None:
        self.close()
        self._path.unlink(missing_ok=True)
        self._hash, self.size = hashes.Hash(hashes.SM3()), 0

    def digest(self) -> str:
        return self._hash.copy().finalize().hex()

    def finish(self) -> Path:
        self.close()
        if not self.size:
            self._path.touch()
        return self._path.replace(self._to)

    def close(self) -> None:
        if self._out is not None:
            self._out.close()
            self._out = None


def inline(file: CertificateFile) -> bytes | None:
    """The bytes that came in the answer itself, None where they are behind `fileUrl`; raises MalformedError."""
    if file.content is None:
        return None
    try:
        content = base64.b64decode(file.content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError("the file's content is not base64") from error
    if len(content) != file.file_size:
        raise MalformedError("the file is not as long as was told")
    return content
