"""`certlane explain` on a running stack: what was answered is what comes out again, whatever was published since."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import orjson
from msgspec.structs import replace

from broker.bus import kafka
from broker.bus.keys import KeySigner, Sealer, read_keys
from broker.bus.lots import Packer
from broker.registry.snapshot import Snapshot
from deploy.explaining import Explained, explain_many, place_of
from deploy.local import ports
from schemas.items import encode
from schemas.lot import DETAIL_TYPE
from schemas.topics import detail_topic
from tests.e2e.conftest import Stack, until
from tests.support_registry import manifest_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from schemas.evidence import Detail

SCENE = "YRD-310000-2026-00002"  # suspended for a while; no other test waits for it


def certlane(stack: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "deploy.cli.main", *words, "--home", str(stack.home.path)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def explained(stack: Stack, asked: Collection[str]) -> list[Explained]:
    async def found() -> list[Explained]:
        async with aclosing(explain_many(place_of(stack.home), asked)) as many:
            return [one async for one in many]

    return asyncio.run(found())


def told(stack: Stack, request_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = orjson.loads(certlane(stack, "explain", request_id, "--json").stdout)
    return found


def test_every_request_of_the_document_is_explained_as_it_was_answered(stack: Stack) -> None:
    """Each request of demo.json that reached a province is judged again as recorded, and that is what was answered."""
    answered: dict[str, dict[str, int]] = {}
    (national,) = [one["token"] for one in stack.document["applications"] if one["id"] == "yct-national"]
    for one in stack.document["requests"]:
        if one.get("token") == national:  # whose answers tell national codes only
            continue
        body = stack.fresh(one)
        head = stack.post(body, token=one.get("token"), path=one["path"]).json()["head"]
        data = stack.look(body["head"]["requestId"], token=one.get("token")).json()
        sources = (data.get("data") or {}).get("sources") or ()
        parts = {source["evidence"]: source["status"] for source in sources if source.get("evidence")}
        if head.get("evidence"):
            parts.setdefault(head["evidence"], head["status"])
        if parts:
            answered[body["head"]["requestId"]] = parts
    found = explained(stack, answered)
    assert [(one.recorded.evidence, one.unknown, one.replay) for one in found if not one.equal] == []
    recorded = {one.recorded.evidence: one.recorded.detail.status for one in found}
    assert len(answered) > 20
    assert {name: status for parts in answered.values() for name, status in parts.items()}.items() <= recorded.items()
    assert len({one.recorded.detail.status for one in found}) > 10


def test_an_explanation_says_each_condition_in_both_languages(stack: Stack) -> None:
    """The conditions stand in their order with what was asked and what the registry says; a person's data do not."""
    request = stack.request("32 查得居民身份证")
    body = stack.fresh(request)
    assert stack.post(body, path=request["path"]).json()["head"]["status"] == 0
    request_id = body["head"]["requestId"]
    shown = certlane(stack, "explain", request_id)
    assert shown.returncode == 0, shown.stderr
    assert "一致 / same" in shown.stdout
    assert shown.stdout.index("场景已发布且未暂停") < shown.stdout.index("字段在授权范围内")
    assert "the fields are granted" in shown.stdout
    assert body["head"]["username"] not in shown.stdout
    assert body["head"]["username"] in certlane(stack, "explain", request_id, "--full").stdout
    (one,) = told(stack, request_id)
    assert (one["equal"], one["judged"]["granted"], one["province"]) == (True, True, "32")
    assert "KZ_XM" in one["after"]["fields"]
    assert {step["state"] for step in one["steps"]} == {"passed", "does not apply"}


def test_a_refusal_names_the_condition_that_decided(stack: Stack) -> None:
    """Of a refused request one condition decided, the ones behind it were not reached."""
    request = stack.request("点名要了未授权的字段")
    body = stack.fresh(request)
    assert stack.post(body, path=request["path"]).json()["head"]["status"] == 3007
    (one,) = told(stack, body["head"]["requestId"])
    states = {step["name"]: step["state"] for step in one["steps"] if step["part"] == "judge"}
    assert (one["equal"], states["field"], states["purpose"]) == (True, "decided", "passed")
    assert {step["state"] for step in one["steps"] if step["part"] == "after"} == {"not reached"}


def test_an_unknown_request_and_a_strange_province_say_so(stack: Stack) -> None:
    """An id that nobody recorded is exit 1 with a line, a province that there is not is called wrongly."""
    unknown = certlane(stack, "explain", uuid.uuid4().hex)
    strange = certlane(stack, "explain", uuid.uuid4().hex, "--province", "99")
    assert (unknown.returncode, strange.returncode) == (1, 2)
    assert "没有该请求的存证明细" in unknown.stderr


def test_what_was_judged_before_a_suspension_is_explained_after_it(stack: Stack) -> None:
    """Granted, then refused because suspended: both are explained by the version of their time."""
    request = stack.request("34 由第二个应用查得结婚证")

    def status(body: dict[str, Any]) -> int:
        return int(stack.post(body, token=request.get("token"), path=request["path"]).json()["head"]["status"])

    before, after = stack.fresh(request), []

    def refused() -> bool:
        after.append(stack.fresh(request))
        return status(after[-1]) == 3001

    assert status(before) == 0
    suspended = certlane(stack, "registry", "suspend", SCENE, "--reason", "测试", "--as", "registrar")
    assert suspended.returncode == 0, suspended.stderr
    try:
        until(refused)
    finally:
        resumed = certlane(stack, "registry", "publish", SCENE, "--as", "registrar")
    assert resumed.returncode == 0, resumed.stderr
    until(lambda: status(stack.fresh(request)) == 0)
    (was,), (is_now,) = told(stack, before["head"]["requestId"]), told(stack, after[-1]["head"]["requestId"])
    assert (was["equal"], is_now["equal"]) == (True, True)
    assert (was["recorded"]["status"], is_now["recorded"]["status"]) == (0, 3001)
    assert was["registry"] < is_now["registry"]


def test_a_record_that_lies_is_exit_1(stack: Stack) -> None:
    """A detail that tells another outcome than its version gives is told as different, beside the true one."""
    body = stack.body()
    assert stack.post(body).json()["head"]["status"] == 0
    request_id = body["head"]["requestId"]
    (true,) = explained(stack, {request_id})
    asyncio.run(forged(stack, true.recorded.province, replace(true.recorded.detail, status=3011, condition="purpose")))
    shown = certlane(stack, "explain", request_id)
    assert shown.returncode == 1
    assert "重现的判定与记录不一致" in shown.stderr
    assert "3011" in shown.stderr
    assert sorted(one["equal"] for one in told(stack, request_id)) == [False, True]


async def forged(stack: Stack, province: str, detail: Detail) -> None:
    """Write this as a detail of the province, as somebody could who writes to its topic."""
    keys = read_keys(stack.home.keys / f"{province}.json")
    nobody = Snapshot(manifest_of({}), {})
    packer = Packer(party=province, signer=KeySigner(keys.signing), sealer=Sealer(), recipients=lambda: nobody)
    envelope = packer.envelope(DETAIL_TYPE, 1, 0)
    sealed = packer.seal(envelope, packer.frames([encode(detail)]).plaintext, keys.sealing.public)
    producer = kafka.producer(ports.remembered(stack.home).bootstrap, "test-forger")
    await producer.start()
    try:
        topic = detail_topic(province)
        await producer.send_and_wait(topic, sealed.value, key=uuid.uuid4().hex.encode(), headers=sealed.headers)
    finally:
        await producer.stop()
