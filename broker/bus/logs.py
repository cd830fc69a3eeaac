"""Structured logs: one JSON line an event on stderr, never a person, an id or free text (invariant I8)."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any

import orjson

from broker.bus.clock import iso, now_ms


class Log:
    """One JSON line an event on stderr; a structured-logging library would cost each process 7 MB for these lines."""

    def __init__(self) -> None:
        self.process = ""

    def info(self, event: str, **fields: object) -> None:
        self._line("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._line("warning", event, fields)

    def error(self, event: str, error: BaseException | None = None, **fields: object) -> None:
        """With the stack of an error, which shows code and never values."""
        if error is not None:
            frames = traceback.extract_tb(error.__traceback__)
            fields["error"] = type(error).__name__
            fields["stack"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        self._line("error", event, fields)

    def _line(self, level: str, event: str, fields: dict[str, object]) -> None:
        line = {"time": iso(now_ms()), "level": level, "process": self.process, "event": event, **fields}
        sys.stderr.buffer.write(orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE))
        sys.stderr.buffer.flush()


class _Frames(logging.Formatter):
    """Log lines of libraries: of an exception the frames and its type, never its text, which may hold anything."""

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's name
        frames = [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(ei[2])]
        return "\n".join([*frames, getattr(ei[0], "__name__", "")])


def hush_libraries() -> None:
    """Let libraries say what is wrong on stderr, without texts of exceptions."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Frames("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # a defect is logged where it is answered
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells each of a thousand retries; we say what is away
