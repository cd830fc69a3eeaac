"""The judgement alone, in one process: its time at 100 and at a million rules, and beside two policy engines.

Every request is decoded from its bytes just before it is judged, as in an agent, and is for a scenario drawn at random,
so that of a large registry little is in the processor's cache. The clock's own time is part of each measurement.
"""

from __future__ import annotations

import os
import time
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from broker.registry.snapshot import Snapshot
from deploy.bench.engines import ENGINES, EngineRow, Question, engine_row, install
from deploy.bench.many_rules import Shape, records_of
from schemas.checks import citizen_check
from schemas.form import Form
from schemas.identifiers import CERTIFICATE_ID_ROOT, parse_certificate_id
from schemas.items import decode_data, decode_request, encode
from schemas.registry import Manifest
from workers.judge import Case, Grant, judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.registry.compiled import CompiledScene

FEW, MANY, BESIDE_ENGINES = Shape(2, 50), Shape(20_000, 50), Shape(200, 50)
REQUESTS, ROUNDS = 10_000, 3
AIM_P50_US, AIM_P99_US, AIM_RATIO, AIM_ENGINES = 3.0, 15.0, 4.0, 100.0
_NOW_MS = 1_780_000_000_000
_ORG = "11310000MB9A0001XM"  # made up, right in its check character
_HOLDER = "99000119900101001" + citizen_check("99000119900101001")  # area 990xxx is nobody's


class Way(NamedTuple):
    """What is asked, and what is wrong with it."""

    name: str
    interface: str
    wrong: str = ""


WAYS = (
    Way("by identifier, granted", "I4"),
    Way("by holder, granted", "I5"),
    Way("by identifier, another type", "I4", "type"),
    Way("by holder, another field", "I5", "field"),
)


class JudgeRow(NamedTuple):
    """One way at one number of rules; of several rounds the best, for the machine may do other things too."""

    rules: int
    way: str
    p50_us: float
    p99_us: float


class Judging(NamedTuple):
    """All that was measured."""

    rows: list[JudgeRow]
    engines: list[EngineRow]


class Registry:
    """A registry of so many rules, as if it had been verified, and requests to it."""

    def __init__(self, shape: Shape) -> None:
        manifest = Manifest(
            version=1, previous=0, count=0, root="", changed={}, issued_at=_NOW_MS, expires_at=_NOW_MS + 86_400_000
        )
        self.snapshot = Snapshot(manifest, records_of(shape))
        self._scenes = list(self.snapshot.scenes.values())
        self._draw = Random(1)  # noqa: S311  # the same ones each time

    def question(self, wrong: str = "") -> Question:
        """What a request is about: a rule of some scenario, or a type that this one does not grant."""
        scene: CompiledScene = self._draw.choice(self._scenes)
        type_code = self._draw.choice(list(scene.types))
        if wrong == "type":
            type_code = next(code for code in self.snapshot.catalogue if code not in scene.types)
        province = min(scene.types[type_code].sources) if type_code in scene.types else "31"
        (application,) = scene.applications
        item = self._draw.choice(scene.scene.items).item_code
        return Question(scene.scene.scene_code, item, application, scene.organisation, type_code, "I4", province)

    def case(self, way: Way, question: Question) -> Case:
        """The question as a request, decoded from its bytes."""
        data: dict[str, object] = {"fields": ["none of its"]} if way.wrong == "field" else {}
        if way.interface == "I4":
            serial = f"{self._draw.randrange(1 << 30):010}"
            data["certificateID"] = f"{CERTIFICATE_ID_ROOT}.{question.type_code}.{_ORG}.{serial}.001.A"
        else:
            data |= {"certificateHolderCode": _HOLDER, "certificateHolderTypeCode": "111", "certificateNumber": "1"}
            data["certificateTypeCode"] = question.type_code
        raw = encode(
            {
                "id": f"{self._draw.getrandbits(128):032x}",
                "interface": way.interface,
                "application": question.application,
                "deadline": _NOW_MS,
                "address": "192.0.2.7",
                "head": {
                    "sceneCode": question.scene,
                    "orgCode": question.org,
                    "username": "测试经办人",
                    "itemCode": question.item,
                    "businessCode": "TEST-1",
                    "useFor": "GOV_SERVICE",
                },
                "data": data,
            }
        )
        item = decode_request(raw)
        typed = decode_data(item)
        assert typed is not None
        told = getattr(typed, "certificate_id", None)
        form = Form(parse_certificate_id(told) if told else None)
        return Case(self.snapshot.applications[question.application].node, raw, item, typed, form, "")

    def times(self, way: Way, count: int) -> list[int]:
        """How long each of so many judgements took, in nanoseconds, in their order by length."""
        took = []
        for _ in range(count):
            question = self.question(way.wrong)
            case, province = self.case(way, question), question.province
            begun = time.perf_counter_ns()
            result = judge(case, self.snapshot, province, _NOW_MS)
            took.append(time.perf_counter_ns() - begun)
            assert isinstance(result, Grant) is not bool(way.wrong), result
        return sorted(took)


def judging_bench(say: Callable[[str], None], *, many: Shape = MANY, requests: int = REQUESTS) -> Judging:
    """Few rules and many in turn, then the engines; an engine that cannot be installed is left out and said so."""
    registries = [Registry(shape) for shape in (FEW, many)]
    rows = [
        _row(registry, shape, way, requests)
        for way in WAYS
        for registry, shape in zip(registries, (FEW, many), strict=True)
    ]
    say(f"judged at {FEW.rules:,} and {many.rules:,} rules")
    del registries
    if not install(say):
        return Judging(rows, [])
    registry = Registry(BESIDE_ENGINES)
    ours = [_row(registry, BESIDE_ENGINES, way, requests) for way in WAYS if way.interface == "I4"]
    questions = {way.wrong: [registry.question(way.wrong) for _ in range(200)] for way in WAYS if way.interface == "I4"}
    engines = []
    for name, engine in ENGINES.items():
        say(f"{name} at {BESIDE_ENGINES.rules:,} rules")
        engines.append(engine_row(name, engine(_rules(registry.snapshot)), questions, [row.p50_us for row in ours]))
    return Judging([*rows, *ours], engines)


def _row(registry: Registry, shape: Shape, way: Way, requests: int) -> JudgeRow:
    registry.times(way, requests // 2)  # the first of each application looks up its address
    rounds = [registry.times(way, requests) for _ in range(ROUNDS)]
    p50, p99 = (min(times[int(len(times) * share)] for times in rounds) / 1e3 for share in (0.5, 0.99))
    return JudgeRow(shape.rules, way.name, p50, p99)


def _rules(snapshot: Snapshot) -> list[Question]:
    """Every (scenario, item, organisation, type, interface) of the registry."""
    return [
        Question(one.scene.scene_code, item.item_code, application, one.organisation, type_code, interface, "")
        for one in snapshot.scenes.values()
        for item in one.scene.items
        for application in one.applications
        for type_code, granted in one.types.items()
        for interface in sorted(granted.interfaces)
    ]


def ratios(judging: Judging) -> dict[str, float]:
    """How many times longer a judgement takes at many rules, by way."""
    few, many = ([row for row in judging.rows if row.rules == rules] for rules in _ends(judging))
    return {one.way: other.p50_us / one.p50_us for one, other in zip(few, many, strict=True)}


def _ends(judging: Judging) -> tuple[int, int]:
    return min(row.rules for row in judging.rows), max(row.rules for row in judging.rows)


def told(judging: Judging) -> dict[str, object]:
    """The measurement as JSON."""
    return {
        "judge": [row._asdict() for row in judging.rows],
        "ratios": ratios(judging),
        "engines": [row._asdict() for row in judging.engines],
    }


def table(judging: Judging) -> str:
    """Rows, ratios and engines as text, each beside what it is to reach."""
    lines = [f"{'judgement':<30}{'rules':>12}{'p50 µs':>10}{'p99 µs':>10}"]
    lines += [f"{row.way:<30}{row.rules:>12,}{row.p50_us:>10.2f}{row.p99_us:>10.2f}" for row in judging.rows]
    longest = max(ratios(judging).values())
    lines += [
        _aim("longest p50", max(row.p50_us for row in judging.rows), AIM_P50_US),
        _aim("longest p99", max(row.p99_us for row in judging.rows), AIM_P99_US),
        _aim("most rules / fewest, at p50", longest, AIM_RATIO),
    ]
    lines += (
        [f"{'engine':<30}{'rules':>12}{'granted µs':>12}{'refused µs':>12}{'of ours':>10}"] if judging.engines else []
    )
    lines += [
        f"{row.engine:<30}{row.rules:>12,}{row.granted_us:>12,.0f}{row.refused_us:>12,.0f}{row.times_ours:>9,.0f}×"
        for row in judging.engines
    ]
    slower = [row.times_ours for row in judging.engines if not row.indexed]
    lines += [_aim("engines that look for the rule themselves", min(slower), AIM_ENGINES, least=True)] if slower else []
    lines.append(
        f"one process, {os.cpu_count()} cores; engines decide scenario, item, application, type and interface only"
    )
    return "\n".join(lines)


def _aim(what: str, value: float, aim: float, *, least: bool = False) -> str:
    reached = value >= aim if least else value <= aim
    return f"{what}: {value:.1f} (aim {'≥' if least else '≤'} {aim:g}: {'reached' if reached else 'short'})"
