"""The house rules that a machine can watch (STYLE 11, 13; what must never stand in the project)."""

import ast
import contextlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
ROOMS: Final = ("schemas", "broker", "workers", "deploy")
MAX_MODULE_LINES, MAX_FUNCTION_LINES = 300, 40
# The long and the few: each with its reason, so that no other joins them unseen.
LONG_MODULES: Final = {"broker/exchange/ledger.py": "half of it is Redis scripts"}
LONG_FUNCTIONS: Final = {
    "broker/gateway/app.py:build": "the application in one expression",
    "broker/gateway/sharing.py:share": "one call of one interface, told in the order of the document",
    "deploy/cli/stack.py:add_to": "the command's options",
    "deploy/demo/story.py:play": "the story, told in its order",
    "deploy/roots/gateway.py:run": "a composition root",
    "deploy/roots/worker.py:run": "a composition root",
}
SENTENCE_END: Final = re.compile(r"[.。](\s|$)")


def modules(*rooms: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for room in rooms for path in (ROOT / room).rglob("*.py"))


PRODUCT: Final = modules(*ROOMS)
TESTS: Final = [name for name in modules("tests") if Path(name).name.startswith("test_")]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(name: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse((ROOT / name).read_text())):
        if isinstance(node, Function):
            yield node


def is_one_sentence(text: str) -> bool:
    """Whether a docstring is one sentence: it ends with its only full stop and has no second paragraph."""
    plain = re.sub(r"`[^`]*`|\w+(\.\w+)+", "", text)  # names and numbers of clauses have full stops too
    return plain.endswith(".") and "\n\n" not in text and len(SENTENCE_END.findall(plain)) == 1


@pytest.mark.parametrize("name", TESTS)
def test_docstrings_of_tests(name: str) -> None:
    """Every test states one truth in one sentence."""
    wrong = [
        one.name
        for one in functions(name)
        if one.name.startswith("test_") and not is_one_sentence(ast.get_docstring(one) or "")
    ]
    assert wrong == []


@pytest.mark.parametrize("text", ["", "One.\n\nTwo.", "One. Two.", "No end", "\n"])
def test_what_is_no_sentence(text: str) -> None:
    """The check of docstrings finds what is not one sentence."""
    assert not is_one_sentence(text)


def test_module_lines() -> None:
    """No module of the product is longer than 300 lines but the few that say why."""
    long = {name for name in PRODUCT if len((ROOT / name).read_text().splitlines()) > MAX_MODULE_LINES}
    assert long <= LONG_MODULES.keys()
    assert PRODUCT


def test_function_lines() -> None:
    """No function of the product is longer than 40 lines but the few that say why."""
    long = {
        f"{name}:{one.name}"
        for name in PRODUCT
        for one in functions(name)
        if (one.end_lineno or 0) - one.lineno >= MAX_FUNCTION_LINES
    }
    assert long <= LONG_FUNCTIONS.keys()


def test_no_mocks() -> None:
    """No test imports a library of mocks: fakes are whole (STYLE 12)."""
    mocked = re.compile(r"^\s*(from|import) (unittest\.mock|pytest_mock|mock)\b", re.MULTILINE)
    assert [name for name in modules("tests") if mocked.search((ROOT / name).read_text())] == []


@cache
def texts() -> dict[str, str]:
    """Every file of the project that is text, but for what tools and the local stack leave behind."""
    tops = [path for path in ROOT.iterdir() if not path.name.startswith(".")]
    found = {}
    for path in (ROOT / ".gitignore", *tops, *(inner for top in tops for inner in top.rglob("*"))):
        if path.is_file() and "__pycache__" not in path.parts:
            with contextlib.suppress(UnicodeDecodeError):
                found[str(path.relative_to(ROOT))] = path.read_text("utf-8")
    return found


# Written apart, so that this file does not hold what it looks for.
FORBIDDEN: Final = {
    "a package registry": re.compile(
        r"pypi\.[a-z]|python"
        r"hosted|repo1?\.maven|npm"
        r"js|https?://[^\s\"']*/simp"
        r"le\b|https?://[^\s/]*(artifact|nexus|mirror)",
    ),
    "a machine's path": re.compile(r"(?<![\w.{}/-])/(work|home|root|Users)/\w"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_what_must_not_stand_in_the_project(what: str) -> None:
    """No file of the project names a package registry's host or a path of somebody's machine."""
    found = [name for name, text in texts().items() if FORBIDDEN[what].search(text)]
    assert found == []


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("a package registry", "index = https://pypi" + ".org/simple"),
        ("a package registry", "https://files.python" + "hosted.org/x"),
        ("a package registry", "http://proxy.test:8081/some/simp" + "le"),
        ("a machine's path", "see /wo" + "rk/main"),
        ("a machine's path", '"/ro' + 'ot/x"'),
    ],
)
def test_what_is_looked_for_is_found(what: str, text: str) -> None:
    """The check of the project's texts finds what it looks for."""
    assert FORBIDDEN[what].search(text)
