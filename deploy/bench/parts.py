"""The benchmark's parts: the product beside an echo, the registry at scale, the judgement beside policy engines."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import orjson

from deploy.bench import Part, judging, registry, run
from deploy.local.commands import say_on_stderr, temporary_stack

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Measured(NamedTuple):
    """One part's measurement: as JSON and as text."""

    told: object
    table: str


def measure(parts: Collection[Part], *, seconds: float) -> dict[str, Measured]:
    """These parts in their order; those that need one get a stack of their own. Kafka's echo runs `seconds` a row."""
    out: dict[str, Measured] = {}
    if Part.JUDGE in parts:  # first: nothing else runs meanwhile
        judged = judging.judging_bench(say_on_stderr)
        out[Part.JUDGE.value] = Measured(judging.told(judged), judging.table(judged))
    with ExitStack() as life:
        if parts != {Part.JUDGE}:
            home = life.enter_context(temporary_stack(say_on_stderr))
        if Part.LANE in parts:
            rows = run.bench(home, seconds=seconds, say=say_on_stderr)
            out[Part.LANE.value] = Measured([row._asdict() for row in rows], run.table(rows))
        if Part.REGISTRY in parts:
            loaded = registry.registry_bench(home, say=say_on_stderr)
            out[Part.REGISTRY.value] = Measured([row._asdict() for row in loaded], registry.table(loaded))
    return out


def written(measured: Mapping[str, Measured], *, as_json: bool) -> str:
    """All parts as one JSON object by their names, or as text."""
    if as_json:
        return orjson.dumps({name: one.told for name, one in measured.items()}).decode()
    return "\n\n".join(one.table for one in measured.values())
