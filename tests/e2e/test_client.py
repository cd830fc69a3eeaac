"""The Python client, `certlane call`, `certlane doctor` and /docs on the running stack."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import orjson
import pytest

from broker.client import AsyncClient, Client, Head, MalformedError, PendingError, RefusedError
from broker.gateway.page import POLICY
from deploy.local import processes
from schemas.answers import DataAnswer
from schemas.form import sm3_hex
from schemas.interfaces import INTERFACES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import Stack

APPLICATION = "yct-enterprise"
CALLS = 400


def head_of(request: dict[str, Any]) -> Head:
    return msgspec.convert(request["body"]["head"], Head)


def ask(client: Client, request: dict[str, Any]) -> Any:
    """A request of demo.json by the client."""
    row = INTERFACES[request["interface"]]
    data = msgspec.convert(request["body"]["data"], row.request)
    return client.ask(row.key, data, row.answer, head=head_of(request))


def told(call: Callable[[], Any]) -> Any:
    """The answer of a call, or its refusal."""
    try:
        return call()
    except RefusedError as error:
        return error


def certlane(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("certlane")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_every_request_of_the_demo(stack: Stack) -> None:
    """Each request of demo.json ends as it says there: typed data of its interface, or a refusal with that code."""
    for request in stack.document["requests"]:
        with Client(stack.gateways, token=request.get("token", stack.token)) as client:
            came = told(lambda: ask(client, request))  # noqa: B023  # called at once
        if isinstance(came, RefusedError):
            assert {"http": came.http, "status": came.code} == request["expect"], request["name"]
            assert came.remedy
        else:
            assert {"http": 200, "status": came.status} == request["expect"], request["name"]
            assert came.data.total >= len(came.data.data_list) > 0
            assert came.evidence


@pytest.mark.parametrize("node", ["", processes.NODE])
async def test_with_its_own_key(stack: Stack, node: str) -> None:
    """With its key file an application gets its token, made out to the node or to the gateway, and may ask."""
    keys = stack.home.keys / f"{APPLICATION}.json"
    request = stack.request()
    async with AsyncClient(
        stack.gateways[0], application=APPLICATION, keys=keys, node=node, head=head_of(request)
    ) as client:
        answer = await client.data_by_id(certificate_id=request["body"]["data"]["certificateID"])
        scenes, types = await asyncio.gather(client.scenes(), client.types())
    assert answer.status == 0
    assert request["body"]["head"]["sceneCode"] in {scene.scene_code for scene in scenes.data.data_list}
    assert scenes.data.total == len(scenes.data.data_list)
    assert types.data.total == len(types.data.data_list) > 0


def test_who_does_not_wait(stack: Stack) -> None:
    """A request that is not waited for is collected, by the same call or later by its id."""
    request = stack.request()
    identifier = request["body"]["data"]["certificateID"]
    with Client(stack.gateways, token=stack.token, head=head_of(request)) as client:
        answer = client.data_by_id(certificate_id=identifier, wait_seconds=0)
        assert (answer.status, answer.final) == (0, True)
        stack.signal("worker-31", signal.SIGSTOP)
        try:
            with pytest.raises(PendingError) as pending:
                client.data_by_id(certificate_id=identifier, wait_seconds=0, deadline_seconds=2)
        finally:
            stack.signal("worker-31", signal.SIGCONT)
        request_id = pending.value.request_id
        late = told(lambda: client.collect(request_id, DataAnswer))
    assert late.request_id == request_id
    assert not isinstance(late, RefusedError) or late.code == 7002  # it woke after the two seconds


def test_the_rest_of_a_search(stack: Stack) -> None:
    """A search with a province that sleeps is answered in part, and completed when it wakes."""
    request = stack.request("检索：持证主体在四省")
    data = request["body"]["data"]
    holder = {"holder_code": data["certificateHolderCode"], "holder_type_code": data["certificateHolderTypeCode"]}
    with Client(stack.gateways, token=stack.token, head=head_of(request)) as client:
        whole = client.search(**holder)
        stack.signal("worker-34", signal.SIGSTOP)
        try:
            partial = client.search(**holder, wait_seconds=1)
        finally:
            stack.signal("worker-34", signal.SIGCONT)
        assert (partial.status, partial.final) == (7003, False)
        assert {one.region_code for one in partial.sources if one.state == "late"} == {"340000"}
        rest = client.rest(partial)
    assert (rest.status, rest.final, rest.request_id) == (0, True, partial.request_id)
    assert {one.certificate_id for one in rest.data.data_list} == {one.certificate_id for one in whole.data.data_list}


async def test_a_gateway_dies_in_the_middle(stack: Stack) -> None:
    """Calls in flight while a gateway is killed all end in their own answer, over the other gateway."""
    identifiers = [one for province in ("31", "32", "33", "34") for one in stack.certificates(province, 25)]
    async with AsyncClient(
        stack.gateways, token=stack.token, head=head_of(stack.request()), deadline_seconds=120
    ) as client:

        async def one(place: int) -> bool:
            wanted = identifiers[place % len(identifiers)]
            answer = await client.data_by_id(certificate_id=wanted)
            return answer.data.data_list[0].certificate_id == wanted

        calls = [asyncio.ensure_future(one(place)) for place in range(CALLS)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        stack.signal("gateway-1", signal.SIGKILL)
        assert all(await asyncio.gather(*calls))


def test_files(stack: Stack, tmp_path: Path) -> None:
    """Each file of the demo is brought byte by byte, inline or by its address, and by its address only once."""
    wanted = [one for one in stack.document["requests"] if "file" in one and one["expect"]["status"] == 0]
    assert wanted
    for place, request in enumerate(wanted):
        with Client(stack.gateways, token=request.get("token", stack.token)) as client:
            file = ask(client, request).data.data_list[0]
            to = client.download(file, tmp_path / f"{place}")
            assert (to.stat().st_size, sm3_hex(to.read_bytes())) == (file.file_size, file.file_digest)
            assert (file.file_size, file.file_digest) == (request["file"]["size"], request["file"]["sm3"])
            if file.file_url:
                with pytest.raises(RefusedError) as spent:
                    client.download(file, tmp_path / "again")
                assert spent.value.http == 410
            with pytest.raises(MalformedError):
                client.download(msgspec.structs.replace(file, content=""), tmp_path / "wrong")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(str(place) for place in range(len(wanted)))


def test_call(stack: Stack) -> None:
    """`certlane call` ends with 0 for each interface and with 1 for a refusal, and its request can be traced."""
    home = ("--home", str(stack.home.path))
    for key in INTERFACES:
        done = certlane("call", key, "--json", "--wait", "20", *home)
        assert done.returncode == 0, done.stdout + done.stderr
        assert orjson.loads(done.stdout)["status"] == 0
    refused = certlane("call", "用途不符", *home)
    assert refused.returncode == 1
    assert "3011" in refused.stdout
    request_id = refused.stdout.rpartition("certlane trace ")[2].strip()
    assert certlane("trace", request_id, *home).returncode == 0


def test_doctor(stack: Stack) -> None:
    """On a running stack everything is well, but for what other tests have put into quarantine."""
    done = certlane("doctor", "--json", "--home", str(stack.home.path))
    found = {row["name"]: row for row in orjson.loads(done.stdout)}
    assert [row for row in found.values() if row["state"] != "well" and row["name"] != "隔离主题"] == []
    assert {*processes.REGISTRY, *processes.EXCHANGE, "各省代理", "主题", "demo.json 的令牌"} <= found.keys()


def test_doctor_finds_what_is_down(stack: Stack) -> None:
    """A part that is stopped is named with its remedy, and the exit code is 1."""
    home = ("--home", str(stack.home.path))
    assert certlane("stop", "worker-33", *home).returncode == 0
    try:
        done = certlane("doctor", *home)
    finally:
        assert certlane("start", "worker-33", *home).returncode == 0
    assert done.returncode == 1
    assert "✗ worker-33" in done.stdout
    assert "certlane start worker-33" in done.stdout


@pytest.mark.parametrize("gateway", [0, 1])
def test_docs(stack: Stack, gateway: int) -> None:
    """Each gateway serves the document and its page, under a policy that lets a browser load nothing."""
    page = stack.http.get(f"{stack.gateways[gateway]}/docs")
    assert page.status_code == 200
    assert page.headers["content-security-policy"] == POLICY
    document = stack.http.get(f"{stack.gateways[gateway]}/openapi.json").json()
    assert {row.path for row in INTERFACES.values()} <= document["paths"].keys()
    assert all(row.name in page.text for row in INTERFACES.values())
