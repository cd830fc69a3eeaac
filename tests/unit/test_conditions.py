"""The table of conditions against the code that refuses."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from schemas import statuses
from schemas.certificates import INTERFACE_CODES
from schemas.statuses import STATUSES
from workers.conditions import BY_NAME, CONDITIONS, ELSEWHERE

WORKERS: Final = Path(__file__).parents[2] / "workers"


def refusals() -> Iterator[tuple[str, int | None]]:
    """Every refusal that is written out in the worker half: its condition and, where it is written out, its code."""
    for path in WORKERS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "Refusal" or len(node.args) < 2:
                continue
            code, condition = node.args[:2]
            if isinstance(condition, ast.Constant):
                named = isinstance(code, ast.Attribute) and code.attr.isupper()
                yield str(condition.value), getattr(statuses, code.attr) if named else None  # type: ignore[attr-defined]


def test_every_refusal_is_of_the_table() -> None:
    """Every refusal that is written in the worker half names a condition of the table, with one of its codes."""
    written = set(refusals())
    assert {one.name for one in CONDITIONS} <= {name for name, _ in written}
    assert [name for name, _ in written if name not in BY_NAME] == []
    assert [(name, code) for name, code in written if code is not None and code not in BY_NAME[name].codes] == []


def test_the_states_of_a_certificate_are_of_the_table() -> None:
    """Whatever its state, a certificate that is not valid is refused with a code of the condition that looks at it."""
    assert {code for code in INTERFACE_CODES.values() if code} == {*BY_NAME["status"].codes}


def test_names() -> None:
    """No two conditions have one name, and each names it in one word."""
    assert len(BY_NAME) == len(CONDITIONS) + len(ELSEWHERE)
    assert all(name.isalpha() and name.islower() for name in BY_NAME)


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_each_condition(name: str) -> None:
    """Each condition has codes of the table of codes, a step of DOMAIN §8.4, and its sentence in both languages."""
    one = BY_NAME[name]
    assert one.codes
    assert set(one.codes) <= STATUSES.keys()
    assert 0 <= one.step <= 12
    assert not one.chinese.isascii()
    assert one.english.isascii()
