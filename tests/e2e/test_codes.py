"""Service codes and what holders agree to with them, on a running stack (DOMAIN §8.6)."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import redis

from broker.bus.clock import now_ms
from broker.bus.redis import prefix
from deploy.demo.asking import CODE, first, holder_of, mother
from deploy.demo.codes import issue_code
from schemas.interfaces import INTERFACES
from schemas.regions import BY_PROVINCE, PROVINCES
from schemas.service_codes import CODE_LIFE_MS, parse_service_code
from tests.e2e.conftest import Stack, until
from workers.issuers.port import CodeState
from workers.stores.sqlite_layout import read_store, set_code_state

if TYPE_CHECKING:
    import httpx

    from schemas.certificates import CertificateRecord

SCENE: Final = "YRD-310000-2026-00006"
ONLINE: Final = "YRD-310000-2026-00007"
BIRTH, MARRIAGE, CARD = CODE["出生医学证明"], CODE["结婚证"], CODE["居民身份证"]
SECONDS: Final = 240.0


class Window:
    """A counter of the service that lives on codes, and the holder who stands before it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.stores = {one: list(read_store(stack.home.store / f"{one}.db")) for one in PROVINCES}
        self.mother = mother(self.stores)
        self._head = self.head("亮码场景")
        self._tokens = {one["id"]: one["token"] for one in stack.document["applications"]}

    def head(self, name: str) -> dict[str, Any]:
        """The head of a request of demo.json."""
        head: dict[str, Any] = self.stack.request(name)["body"]["head"]
        return {key: value for key, value in head.items() if key != "requestId"}

    @property
    def token(self) -> str:
        return str(self._tokens["yct-newborn"])

    @property
    def holder(self) -> CertificateRecord:
        return self.mother["结婚证"]

    def code(self, *, in_ms: int = CODE_LIFE_MS, holder: str | None = None) -> str:
        """A fresh code of the mother, or of somebody else."""
        ends, whose = now_ms() + in_ms, holder or self.holder.holder_code
        return issue_code(self.stack.home, "34", expires_at=ends, holder_code=whose).code

    def ask(
        self,
        key: str,
        data: dict[str, Any],
        *,
        token: str | None = None,
        application: str = "yct-newborn",
        wait: str = "wait=30",
        gateway: int = 0,
        head: dict[str, Any] | None = None,
    ) -> httpx.Response:
        """One call of this interface in the scenario that lives on codes, unless the head says otherwise."""
        whole = {**self._head, "requestId": uuid.uuid4().hex, **({"authCode": token} if token else {}), **(head or {})}
        path, bearer = INTERFACES[key].path, self._tokens[application]
        body = {"head": {name: value for name, value in whole.items() if value is not None}, "data": data}
        return self.stack.post(body, token=bearer, path=path, wait=wait, gateway=gateway)

    def status(self, key: str, data: dict[str, Any], **more: Any) -> int:
        answer = self.ask(key, data, **more)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["head"]["status"])

    def scan(self, code: str, **more: Any) -> tuple[int, dict[str, Any]]:
        """The status of a scanned code, and what is told of its holder."""
        answer = self.ask("I7", scanned(code), **more).json()
        rows = (answer.get("data") or {}).get("dataList") or [{}]
        return answer["head"]["status"], rows[0]

    def agreed(self, **data: Any) -> str:
        """The authorization that the mother gives by showing a code."""
        answer = self.ask("I7", scanned(self.code()) | data).json()
        assert answer["head"]["status"] == 0, answer
        return str(answer["data"]["dataList"][0]["authToken"])

    def by_holder(self, type_code: str, province: str | None = None, record: CertificateRecord | None = None) -> Any:
        asked = {**holder_of(record or self.holder), "certificateTypeCode": type_code}
        return asked | ({"regionCodes": [BY_PROVINCE[province].code]} if province else {})


def scanned(code: str) -> dict[str, Any]:
    return {"certQrCode": code, "pos": "示例大厅一号窗口", "use": "窗口办事"}


@pytest.fixture
def window(stack: Stack) -> Window:
    return Window(stack)


def test_a_code_is_good_once(window: Window) -> None:
    """The first request gets code and authorization, at both gateways the same; every other request gets 6003."""
    code, request_id = window.code(), uuid.uuid4().hex
    head = {"requestId": request_id}
    first = window.ask("I7", scanned(code), head=head).json()
    assert first["head"]["status"] == 0
    assert first["data"]["dataList"][0]["authScope"] == [BIRTH, MARRIAGE, CARD]
    assert window.ask("I7", scanned(code), head=head, gateway=1).json()["data"] == first["data"]
    assert [window.scan(code, gateway=place)[0] for place in (0, 1)] == [6003, 6003]


def test_a_code_says_nothing_of_its_holder(window: Window) -> None:
    """Who shows a code is told shortened, and neither code nor authorization holds the holder's number."""
    code = window.code()
    status, told = window.scan(code)
    assert status == 0
    whole = f"{code} {told}"
    assert window.holder.holder_code not in whole
    assert told["holderName"] == window.holder.holder_name  # granted in full by this scenario


def test_a_late_code(window: Window) -> None:
    """A code is good for its time and not after it, whoever has it."""
    code = window.code(in_ms=200)
    ends = now_ms() + 250
    until(lambda: now_ms() > ends)
    assert [window.scan(code)[0] for _ in range(2)] == [6002, 6002]


def test_a_forged_code(window: Window) -> None:
    """A code without its issuer's tag is unknown, and so is another province's code under this one's name."""
    code = window.code()
    forged = [code[:-1] + ("A" if code[-1] != "A" else "B"), code.replace("CERTLANE:34:", "CERTLANE:34:R")]
    forged += [code.replace(":34:", f":{province}:") for province in ("31", "32", "33")]
    assert [window.scan(one)[0] for one in forged] == [6001] * 5
    assert window.scan(code)[0] == 0


def test_a_code_at_another_organisation(window: Window) -> None:
    """Who may not verify codes in a scenario uses none up; who may comes too late for one that was used."""
    code = window.code()
    enterprise = window.head("核验政务服务码")
    other = {name: enterprise[name] for name in ("orgName", "orgCode", "itemCode", "itemName", "useFor")}
    assert window.scan(code, application="yct-enterprise")[0] == 3004
    assert window.scan(code, head={"orgCode": other["orgCode"]})[0] == 3004
    assert window.scan(code)[0] == 0
    elsewhere = other | {"sceneCode": enterprise["sceneCode"]}
    assert window.scan(code, application="yct-enterprise", head=elsewhere)[0] == 6003


@pytest.mark.parametrize(("state", "status"), [(CodeState.REVOKED, 6006), (CodeState.REFUSED, 6005)])
def test_a_stopped_code(window: Window, state: CodeState, status: int) -> None:
    """A code that was revoked, or whose holder refuses, is refused as that."""
    code = window.code()
    set_code_state(window.stack.home.store / "34.db", parse_service_code(code).digest, state)
    assert [window.scan(code)[0] for _ in range(2)] == [status, status]


def test_an_issuer_that_is_away(window: Window) -> None:
    """While the issuer is away its codes are 6004 and certificates still come; once it is back the code is good."""
    code, store = window.code(), window.stack.home.store / "34.db"
    token = window.agreed()
    with closing(sqlite3.connect(store, isolation_level=None)) as connection:
        connection.execute("ALTER TABLE service_code RENAME TO elsewhere")
        try:
            assert window.scan(code)[0] == 6004
            assert window.status("I5", window.by_holder(MARRIAGE, "34"), token=token) == 0
        finally:
            connection.execute("ALTER TABLE elsewhere RENAME TO service_code")
    assert window.scan(code)[0] == 0


def test_once_for_each_source_interface_and_type(window: Window) -> None:
    """An authorization works once for each source province, interface and type, and then is used (3009)."""
    token, mother = window.agreed(), window.mother
    birth, marriage = mother["出生医学证明"], mother["结婚证"]
    calls: list[tuple[str, dict[str, Any]]] = [
        ("I1", holder_of(window.holder)),
        ("I5", window.by_holder(MARRIAGE, "34")),
        ("I5", window.by_holder(BIRTH, "31")),
        ("I3", window.by_holder(MARRIAGE, "34")),
        ("I4", {"certificateID": birth.certificate_id}),
        ("I4", {"certificateID": marriage.certificate_id}),
        ("I2", {"certificateID": birth.certificate_id, "original": True}),
    ]
    assert [window.status(key, data, token=token) for key, data in calls] == [0] * 7
    assert [window.status(key, data, token=token, gateway=1) for key, data in calls] == [3009] * 7
    assert window.status("I5", window.by_holder(MARRIAGE, "31"), token=token) != 3009  # another source


def test_for_nothing_else(window: Window) -> None:
    """An authorization is for its holder, case, scenario, requester and types, and refused for any other (3008)."""
    token = window.agreed(requestedTypes=[MARRIAGE])
    other = next(
        one for one in window.stores["34"] if one.type_code == MARRIAGE and one.holder_code != window.holder.holder_code
    )
    online = window.head("线上授权场景")
    right = window.by_holder(MARRIAGE, "34")
    wrong = {
        "holder": window.ask("I5", window.by_holder(MARRIAGE, "34", other), token=token),
        "certificate": window.ask("I4", {"certificateID": other.certificate_id}, token=token),
        "type": window.ask("I5", window.by_holder(CARD, "34"), token=token),
        "case": window.ask("I5", right, token=token, head={"businessCode": "ANOTHER"}),
        "scenario": window.ask(
            "I5", window.by_holder(CARD, "34"), application="yct-enterprise", head=online | {"authCode": token}
        ),
        "altered": window.ask("I5", right, token=token[:-4] + "AAAA"),
        "absent": window.ask("I5", right),
    }
    assert {name: answer.json()["head"]["status"] for name, answer in wrong.items()} == dict.fromkeys(wrong, 3008)
    told = wrong["certificate"].text
    assert not any(text in told for text in (other.holder_name, other.holder_code, other.number))
    assert window.status("I5", right, token=token) == 0


def certlane(stack: Stack, *argv: str) -> str:
    """What a command prints; its talk goes elsewhere."""
    command = [str(Path(sys.executable).with_name("certlane")), *argv, "--home", str(stack.home.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def test_consents_that_were_given_elsewhere(window: Window) -> None:
    """A holder's yes in an app, and an agent's mandate, open what they are for; a weaker yes, or none, does not."""
    card = first(window.stores["31"], CARD)
    head, data = window.head("线上授权场景"), {"certificateID": card.certificate_id}
    new = ("consent", "new", "--scene", ONLINE, "--holder", card.holder_code)
    tokens = {
        "level 3": certlane(window.stack, *new, "--level", "3"),
        "an agent's": certlane(window.stack, *new, "--agent", "41400000001"),
        "level 2": certlane(window.stack, *new, "--level", "2"),
        "another type's": certlane(window.stack, *new, "--types", CODE["营业执照"]),
        "another case's": certlane(window.stack, *new, "--case", "ANOTHER"),
    }
    told = {
        name: window.status("I4", data, application="yct-enterprise", head=head | {"authCode": token})
        for name, token in tokens.items()
    }
    wanted = {"level 3": 0, "an agent's": 0, "level 2": 3008, "another type's": 3008, "another case's": 3008}
    assert told == wanted


def test_a_consent_that_was_taken_back(window: Window) -> None:
    """What its holder takes back is no consent any more, within seconds at every source."""
    card = first(window.stores["31"], CARD)
    head, data = window.head("线上授权场景"), window.by_holder(CARD, record=card)
    token = certlane(window.stack, "consent", "new", "--scene", ONLINE, "--holder", card.holder_code)
    certlane(window.stack, "consent", "withdraw", token)

    def ended() -> bool:
        answer = window.ask("I5", data, application="yct-enterprise", head=head | {"authCode": token}).json()
        return {one["status"] for one in answer["data"]["sources"]} == {3009}

    until(ended, 10)


def test_killed_agents_lose_neither_a_code_nor_its_answer(window: Window) -> None:
    """The issuing agent killed again and again: each code has one redeemer, who gets its answer and can use it."""
    rng, rounds = random.Random(7), 4
    codes: dict[str, list[str]] = {}
    answers: dict[str, dict[str, Any]] = {}
    for _ in range(rounds):
        window.stack.until_ready()
        fresh = {window.code(): [uuid.uuid4().hex for _ in range(3)] for _ in range(8)}
        codes |= fresh
        with ThreadPoolExecutor(24) as pool:
            sent = [
                pool.submit(submit, window, code, request_id, place % 2)
                for code, requests in fresh.items()
                for place, request_id in enumerate(requests)
            ]
            time.sleep(rng.uniform(0, 0.2))  # the point: at any moment of the work
            window.stack.signal("worker-34", signal.SIGKILL)
            assert {one.result() for one in sent} <= {200, 202, 503}
        answers |= {one: final(window, one) for requests in fresh.values() for one in requests}
    told = {code: sorted(answers[one]["head"]["status"] for one in requests) for code, requests in codes.items()}
    assert told == {code: [0, 6003, 6003] for code in codes}
    tokens = [
        row["authToken"] for one in answers.values() for row in (one.get("data") or {}).get("dataList") or [] if row
    ]
    assert len(tokens) == len(set(tokens)) == len(codes)
    window.stack.until_ready()
    asked = [window.status("I5", window.by_holder(MARRIAGE, "34"), token=token) for token in tokens for _ in range(2)]
    assert asked == [0, 3009] * len(codes)


def test_an_agent_that_dies_between_effects_and_reply(window: Window) -> None:
    """A code that was taken for a request whose agent then died is that request's, which gets its answer."""
    code, request_id = window.code(), uuid.uuid4().hex
    taken = f"{prefix('34')}code:{parse_service_code(code).digest}"
    with (
        closing(redis.Redis.from_url(window.stack.redis_url)) as memory,
        closing(sqlite3.connect(window.stack.home.store / "34.db", isolation_level=None)) as store,
    ):
        store.execute("BEGIN EXCLUSIVE")  # the issuer waits for this a second: so long nothing is answered
        assert submit(window, code, request_id, 0) == 202
        until(lambda: memory.exists(taken), 10)
        window.stack.signal("worker-34", signal.SIGKILL)
        store.execute("ROLLBACK")
    answer = final(window, request_id)
    assert answer["head"]["status"] == 0
    token = answer["data"]["dataList"][0]["authToken"]
    window.stack.until_ready()
    assert window.scan(code)[0] == 6003
    asked = [window.status("I5", window.by_holder(MARRIAGE, "34"), token=token) for _ in range(2)]
    assert asked == [0, 3009]


def submit(window: Window, code: str, request_id: str, gateway: int) -> int:
    """Hand a request in, as often as the gateway says that it cannot take it now."""
    head = {"requestId": request_id, "deadline": now_ms() + 300_000}
    answer = window.ask("I7", scanned(code), head=head, wait="respond-async, wait=0", gateway=gateway)
    return answer.status_code


def final(window: Window, request_id: str) -> dict[str, Any]:
    """The answer of a request, when it is there."""
    answer: dict[str, Any] = {}

    def there() -> bool:
        nonlocal answer
        looked = window.stack.look(request_id, token=window.token, gateway=1)
        answer = looked.json()
        return looked.status_code == 200

    until(there, SECONDS)
    return answer
