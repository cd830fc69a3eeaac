"""Personal data stays where invariant I8 allows it: sealed on Kafka and in Redis, and in answers to who may have it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from schemas.regions import PROVINCES
from tests.e2e.conftest import Stack
from workers.stores.sqlite_layout import read_store


def _people(stack: Stack) -> list[tuple[str, str, str]]:
    """Identifier, holder's code and name of fifty certificates of each province."""
    out = []
    for province in PROVINCES:
        wanted = set(stack.certificates(province, 50))
        records = read_store(stack.home.store / f"{province}.db")
        out += [(r.certificate_id, r.holder_code, r.holder_name) for r in records if r.certificate_id in wanted]
    return out


def _files(stack: Stack) -> list[Path]:
    """Logs, Kafka's and Redis' disks, everything but stores, keys and the demo's own document."""
    homes = (stack.home.log, stack.home.kafka, stack.home.redis, stack.home.run)
    return [file for home in homes for file in home.rglob("*") if file.is_file() and "libs" not in file.parts]


def test_no_personal_datum_lies_in_clear_outside_stores_and_answers(stack: Stack) -> None:
    """200 holders' names and codes, sent through everything, are in no log, metric, topic, Redis key or disk file."""
    people = _people(stack)
    assert len(people) == 200
    for number, (identifier, code, name) in enumerate(people):
        answer = stack.post(stack.body(identifier, username=name, businessCode=code), gateway=number % 2)
        assert answer.json()["head"]["status"] == 0
        stack.post({"head": {"requestId": code, "nosuch": name}, "data": {"certificateID": name}})
        stack.look(code)
    needles = {text.encode() for _, code, name in people for text in (code, name) if len(text) > 3}
    places = {str(file.relative_to(stack.home.path)): file.read_bytes() for file in _files(stack)}
    places |= {url: stack.http.get(url).content for url in stack.document["metrics"].values()}
    found = {place for place, content in places.items() for needle in needles if needle in content}
    assert not found


def test_an_error_never_repeats_what_was_sent(stack: Stack) -> None:
    """A refused body is described by place and type, not by its values."""
    secret = "990101190001010019"
    for body in (
        {"head": {secret: 1}},
        {"head": {"orgName": [secret]}},
        {"data": {"fields": secret}},
        {secret: secret},
    ):
        assert secret not in stack.post(body).text


def test_keys_and_the_document_are_their_owners_only(stack: Stack) -> None:
    """Private keys and demo.json can be read by their owner only."""
    private = [file for file in stack.home.keys.glob("*.json") if not file.name.endswith(".public.json")]
    modes = {file.stat().st_mode & 0o077 for file in [*private, stack.home.path / "demo.json"]}
    assert modes == {0}
    told = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert stack.token not in told
