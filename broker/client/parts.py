"""A file that is being downloaded, on disk beside its later name; a later process goes on with it."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING

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
        self.size = self._path.stat().st_size if self._path.exists() else 0
        if self.size > file.file_size:
            self.restart()

    def append(self, chunk: bytes) -> None:
        with self._path.open("ab") as out:
            out.write(chunk)
        self.size += len(chunk)

    def restart(self) -> None:
        self._path.unlink(missing_ok=True)
        self.size = 0

    def digest(self) -> str:
        hasher = hashes.Hash(hashes.SM3())
        if self.size:
            with self._path.open("rb") as whole:
                while chunk := whole.read(_READ_BYTES):
                    hasher.update(chunk)
        return hasher.finalize().hex()

    def finish(self) -> Path:
        if not self.size:
            self._path.touch()
        return self._path.replace(self._to)


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
