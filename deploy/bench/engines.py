"""Two policy engines with the judge's rules: what each decides is only whether there is a rule for the five names.

PyCasbin and Cedar get one policy for each rule, read once beforehand. They are asked the five names alone and decide
nothing else; the judge decides all of its conditions. PyCasbin's FastEnforcer is told by hand which names to index by.
"""

from __future__ import annotations

import subprocess
import sys
import time
from importlib import invalidate_caches
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LOCK = Path(__file__).with_name("engines.lock")
_MODEL = """
[request_definition]
r = scene, item, application, type, interface
[policy_definition]
p = scene, item, application, type, interface
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = {}
""".format(" && ".join(f"r.{name} == p.{name}" for name in ("scene", "item", "application", "type", "interface")))


class Question(NamedTuple):
    """One request as an engine sees it, and as a rule; the organisation and the province are the judge's alone."""

    scene: str
    item: str
    application: str
    org: str
    type_code: str
    interface: str
    province: str

    @property
    def five(self) -> tuple[str, str, str, str, str]:
        return self.scene, self.item, self.application, self.type_code, self.interface


class Engine(Protocol):
    """A policy engine that was given its rules."""

    def __call__(self, question: Question) -> bool: ...


class EngineRow(NamedTuple):
    """One engine; `times_ours` is the lesser of how many times longer a grant and a refusal take than ours."""

    engine: str
    rules: int
    indexed: bool
    granted_us: float
    refused_us: float
    times_ours: float


def install(say: Callable[[str], None]) -> bool:
    """Whether both engines are there; the first time they are installed from the package index."""
    if find_spec("casbin") and find_spec("cedarpy"):
        return True
    say("installing the engines to compare with, once")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"]
    done = subprocess.run([*pip, str(LOCK)], check=False)
    invalidate_caches()
    if done.returncode:
        say("they could not be installed: nothing is compared")
    return not done.returncode


class PyCasbin:
    """PyCasbin's Enforcer; each request is matched with rule after rule."""

    indexed = False

    def __init__(self, rules: Sequence[Question]) -> None:
        import casbin  # noqa: PLC0415  # installed by `install`

        self._enforcer = self._made(casbin)
        self._enforcer.add_policies([list(rule.five) for rule in rules])

    def _made(self, casbin: Any) -> Any:
        return casbin.Enforcer(casbin.Enforcer.new_model(text=_MODEL))

    def __call__(self, question: Question) -> bool:
        return bool(self._enforcer.enforce(*question.five))


class FastPyCasbin(PyCasbin):
    """PyCasbin's FastEnforcer, told to index by all five names."""

    indexed = True

    def _made(self, casbin: Any) -> Any:
        from casbin.model import FastModel  # noqa: PLC0415  # installed by `install`

        model = FastModel(range(5))
        model.load_model_from_text(_MODEL)
        return casbin.FastEnforcer(model, cache_key_order=range(5))


class Cedar:
    """Cedar's authorizer through cedarpy, its policies parsed once."""

    indexed = False

    def __init__(self, rules: Sequence[Question]) -> None:
        import cedarpy  # noqa: PLC0415  # installed by `install`

        self._cedar = cedarpy
        self._policies = cedarpy.PolicySet.from_str("\n".join(map(self._policy, rules)))
        self._entities = cedarpy.Entities.from_json_str("[]")

    @staticmethod
    def _policy(rule: Question) -> str:
        return (
            f'permit(principal == Application::"{rule.application}", action == Action::"{rule.interface}", '
            f'resource == Type::"{rule.type_code}") '
            f'when {{ context.scene == "{rule.scene}" && context.item == "{rule.item}" }};'
        )

    def __call__(self, question: Question) -> bool:
        asked = {
            "principal": f'Application::"{question.application}"',
            "action": f'Action::"{question.interface}"',
            "resource": f'Type::"{question.type_code}"',
            "context": {"scene": question.scene, "item": question.item},
        }
        return bool(self._cedar.is_authorized(asked, self._policies, self._entities).allowed)


ENGINES: Mapping[str, Callable[[Sequence[Question]], Engine]] = {
    "PyCasbin Enforcer": PyCasbin,
    "PyCasbin FastEnforcer": FastPyCasbin,
    "Cedar (cedarpy)": Cedar,
}
_SECONDS = 3.0  # for each of grants and refusals


def engine_row(
    name: str, engine: Engine, questions: Mapping[str, Sequence[Question]], ours_us: Sequence[float]
) -> EngineRow:
    """The median time of grants and of refusals, each beside ours for the same questions."""
    granted, refused = (_median_us(engine, some, granted=not wrong) for wrong, some in questions.items())
    times = min(granted / ours_us[0], refused / ours_us[1])
    return EngineRow(name, 10_000, getattr(engine, "indexed", False), granted, refused, times)


def _median_us(engine: Engine, questions: Sequence[Question], *, granted: bool) -> float:
    took, ends = [], time.perf_counter() + _SECONDS
    for question in questions:
        begun = time.perf_counter_ns()
        allowed = engine(question)
        took.append(time.perf_counter_ns() - begun)
        assert allowed is granted, question
        if time.perf_counter() > ends:
            break
    return sorted(took)[len(took) // 2] / 1e3
