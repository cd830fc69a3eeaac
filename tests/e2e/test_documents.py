"""The documents proven: their commands run and print what stands below them, and what they name is there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import pytest

from schemas.topics import QUARANTINED, TOPICS
from tests.e2e.conftest import Stack

CHECKOUT = Path(__file__).parents[2]
READMES = (CHECKOUT / "README.md", CHECKOUT / "README.zh-CN.md")
DOCUMENTS = (*READMES, CHECKOUT / "CHANGELOG.md", *sorted((CHECKOUT / "docs").glob("*.md")))
ARCHITECTURE = CHECKOUT / "docs" / "architecture.md"

BY_CI = "<!-- run by CI -->"  # before a block that starts or stops a whole stack
COMMANDS, SHOWN = ("sh", "console"), ("text", "json")
WRITTEN = ("yaml",)  # a file as people write it; tests/unit proves those
SECONDS = 240

_FENCE = re.compile(r"^```(?P<language>\S*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s#]+)[^)]*\)")
_PATH = re.compile(r"(?<![\w./-])(?:schemas|broker|workers|deploy|tests|docs|\.ci)/[\w./-]*[\w/]")
_CALL = re.compile(r"`(?:\.venv/bin/)?((?:make|certlane) [a-z]+)")
# What differs from run to run: ids, times of day, spans, process ids.
_VARYING = re.compile(r"[0-9a-f]{32}|\d\d:\d\d:\d\d\.\d{3}|\+ *\d+ ms|共 *\d+ ms|(?<=running) +\d+")


class Block(NamedTuple):
    """A fenced block: whether CI runs it, and the output that stands directly below its commands."""

    language: str
    text: str
    by_ci: bool
    shown: str

    @property
    def commands(self) -> str:
        """What a shell is given: of a console block, what follows its prompts."""
        if self.language == "sh":
            return self.text
        return "".join(line[2:] + "\n" for line in self.text.splitlines() if line.startswith("$ "))

    @property
    def lines(self) -> list[str]:
        """The commands, without their comments."""
        return [line for line in (re.sub(r"(^|\s+)# .*", "", one) for one in self.commands.splitlines()) if line]


def blocks(document: Path) -> list[Block]:
    """Every block of commands; a block in a language that is neither commands nor output is refused."""
    text = document.read_text()
    found = list(_FENCE.finditer(text))
    languages = {match["language"] for match in found}
    assert languages <= {*COMMANDS, *SHOWN, *WRITTEN}, f"{document.name}: a fence's language"
    out = []
    for match, after in zip_longest(found, found[1:]):
        if match["language"] in COMMANDS:
            below = after is not None and after["language"] in SHOWN and not text[match.end() : after.start()].strip()
            by_ci = text[: match.start()].rstrip().endswith(BY_CI)
            out.append(Block(match["language"], match["text"], by_ci, after["text"] if below and after else ""))
    return out


def shape(text: str) -> str:
    """A text without white space and without what differs from run to run."""
    return re.sub(r"\s", "", _VARYING.sub("", text))


def shows(shown: str, printed: str) -> bool:
    """Whether this was printed, `…` standing for anything."""
    pattern = ".*?".join(re.escape(part) for part in shape(shown).split("…"))
    return re.search(pattern, shape(printed), re.DOTALL) is not None


def by_name(document: Path) -> str:
    return document.name


def with_commands() -> list[Path]:
    return [document for document in DOCUMENTS if any(not block.by_ci for block in blocks(document))]


@pytest.fixture
def folder(stack: Stack, tmp_path: Path) -> Path:
    """A checkout as a reader sees it, whose `.certlane` is the tests' stack; the real one is never touched."""
    certlane = Path(sys.executable).with_name("certlane")
    command = f'#!/bin/sh\nexec {shlex.quote(str(certlane))} "$@" --home {shlex.quote(str(stack.home.path))}\n'
    shim = tmp_path / ".venv" / "bin" / "certlane"
    shim.parent.mkdir(parents=True)
    shim.write_text(command)
    shim.chmod(0o755)
    python = shim.with_name("python")
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    (tmp_path / ".certlane").symlink_to(stack.home.path)
    (tmp_path / "deploy").symlink_to(CHECKOUT / "deploy")
    return tmp_path


@pytest.mark.parametrize("document", with_commands(), ids=by_name)
def test_the_commands_of_a_document_do_what_it_shows(folder: Path, document: Path) -> None:
    """Run one after the other in one shell, every block succeeds and prints what the document shows below it."""
    mine = [block for block in blocks(document) if not block.by_ci]
    script = "".join(f"echo '@@ {place}'\n{block.commands}" for place, block in enumerate(mine))
    done = subprocess.run(
        ["sh", "-euc", script],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    for place, block in enumerate(mine):
        printed = done.stdout.partition(f"@@ {place}\n")[2].partition(f"@@ {place + 1}\n")[0]
        assert shows(block.shown, printed), f"{block.text}printed\n{printed}"


def test_what_is_marked_as_run_by_ci_is_run_by_ci() -> None:
    """Every command of a marked block is a make target that `.ci/run` calls."""
    run = (CHECKOUT / ".ci" / "run").read_text()
    called = set(re.findall(r"^ *make --no-print-directory ([a-z]+)", run, re.MULTILINE))
    marked = [line for document in DOCUMENTS for block in blocks(document) if block.by_ci for line in block.lines]
    assert marked
    assert {line.removeprefix("make ") for line in marked} <= called


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_link_leads_to_a_file(document: Path) -> None:
    """A link that is not to the web leads to a file of the checkout."""
    targets = [match["target"] for match in _LINK.finditer(document.read_text()) if "://" not in match["target"]]
    assert [target for target in targets if not (document.parent / target).is_file()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_path_that_is_named_exists(document: Path) -> None:
    """A file or folder of the checkout that a document names is there."""
    named = set(_PATH.findall(document.read_text()))
    assert sorted(path for path in named if not (CHECKOUT / path).exists()) == []


def test_both_languages_name_the_same_commands() -> None:
    """README.md and README.zh-CN.md have the same blocks, outputs apart from comments, and name the same commands."""
    english, chinese = ([(block.by_ci, block.lines) for block in blocks(readme)] for readme in READMES)
    assert english == chinese
    named, too = (set(_CALL.findall(readme.read_text())) for readme in READMES)
    assert named == too


def test_the_architecture_names_every_topic() -> None:
    """Each kind of topic in the table of topics stands on the page, those with a quarantine too."""
    page = ARCHITECTURE.read_text()
    names = [row.name.format(party=f"<{row.per}>") for row in TOPICS]
    assert [name for name in names if f"`{name}`" not in page] == []
    assert not QUARANTINED or "`<topic>.dlq`" in page
