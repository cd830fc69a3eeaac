"""One file's bytes until all are there, without I/O: a broken download goes on where it broke (RFC 9110 §14)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from broker.client.conversation import Conversation
from broker.client.errors import MalformedError
from broker.client.steps import Got, Letter, nothing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from broker.client.conversation import Times
    from schemas.answers import CertificateFile

_RANGE = re.compile(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15}|\*)")


class Part(Protocol):
    """Where the bytes are put together."""

    size: int

    def append(self, chunk: bytes) -> None: ...

    def restart(self) -> None:
        """Forget what is there."""

    def digest(self) -> str:
        """SM3 in hex of all that is there."""

    def finish(self) -> Path:
        """Give the file its name; it is whole and right."""

    def close(self) -> None:
        """Let go of it, as it is."""


class Transfer(Conversation["Path"]):
    """`opened`, `chunk` and `closed` tell of a response that is the file; every other is `got`."""

    def __init__(self, file: CertificateFile, *, part: Part, times: Times, renewable: bool) -> None:
        # Only the path: a token goes to the client's own gateways, wherever an answer points.
        path = urlsplit(file.file_url or "").path
        letter = Letter("GET", path, {"accept-encoding": "identity"}, nothing)
        super().__init__(letter, read=_no_file, times=times, renewable=renewable)
        self._size, self._digest, self._part, self._file_path = file.file_size, file.file_digest, part, path
        self._go_on()

    def opened(self, http: int, headers: Mapping[str, str]) -> bool:
        """Whether what follows is the file from where we stand; raises MalformedError for another place in it."""
        if http == 206:
            told = _RANGE.fullmatch(headers.get("content-range", "").strip())
            if told is None or int(told[1]) != self._part.size:
                raise MalformedError("the gateway sends another part of the file than was asked for")
        elif http == 200:
            self._part.restart()
        return http in (200, 206)

    def chunk(self, data: bytes) -> None:
        """Take some bytes; raises MalformedError beyond the size that was told."""
        if self._part.size + len(data) > self._size:
            self._part.restart()
            raise MalformedError("the file is longer than was told")
        self._part.append(data)
        self.times.went_well()

    def closed(self, now: float) -> None:
        """The response ended, or the connection did."""
        if self._part.size < self._size:
            self.broke(now)
        self._go_on()

    def close(self) -> None:
        """Let go of the part; nothing comes any more."""
        self._part.close()

    def _go_on(self) -> None:
        """Ask from where we stand, or end; raises MalformedError for other bytes than were told."""
        have = self._part.size
        if have < self._size:
            headers = {**self.letter.headers, "range": f"bytes={have}-"} if have else self.letter.headers
            self.letter = self.letter._replace(headers=headers)
            return
        if self._part.digest() != self._digest:
            self._part.restart()
            raise MalformedError("the file is not the one whose SM3 was told")
        self.ended(self._part.finish())


def _no_file(got: Got) -> Path:
    raise MalformedError(f"HTTP {got.http} without a file")
