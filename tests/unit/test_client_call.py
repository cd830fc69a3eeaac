"""`certlane call`: which request is meant by what, and how its answer is shown."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import typer
from msgspec.structs import replace
from typer.testing import CliRunner

from broker.gateway.specimens import HEAD, SHOWN
from deploy.cli.app import app
from deploy.cli.call import in_scene, plan
from deploy.local.home import LocalStackError
from schemas.interfaces import INTERFACES
from schemas.items import encode
from schemas.sharing import Head
from tests.support_node import FakeNode, Mood, served
from tests.support_registry import CITIZEN_ID, ORG

OTHER: Final = "yct-realestate"


def request(name: str, key: str, status: int = 0, **more: Any) -> dict[str, Any]:
    data = orjson.loads(encode(SHOWN[key].asked))
    return {"name": name, "interface": key, "body": {"head": HEAD, "data": data}, "expect": {"status": status}} | more


def document(token: str = "one", gateways: tuple[str, ...] = ()) -> dict[str, Any]:
    """What demo.json says, with one request of each interface and one that is refused."""
    return {
        "gateways": list(gateways),
        "token": token,
        "applications": [{"id": "yct-enterprise", "token": token}, {"id": OTHER, "token": "two"}],
        "requests": [
            request("用途不符", "I4", 3011),
            *(request(f"请求 {key}", key) for key in INTERFACES),
            request("由第二个应用", "I4", token="two") | {"body": {"head": {"orgCode": "B"}, "data": {}}},
        ],
    }


def test_a_scenario() -> None:
    """In a scenario of demo.json a call has that one's head without its consent, else its own in that scenario."""
    known = document()
    known["requests"][1]["body"] = {"head": {"sceneCode": "S", "orgCode": "C", "authCode": "old"}, "data": {}}
    head = plan(known, "I4", {}).head
    assert in_scene(known, head, "S") == Head(scene_code="S", org_code="C")
    assert in_scene(known, head, "T") == replace(head, scene_code="T")
    assert in_scene(known, head, "", "yes") == replace(head, auth_code="yes")


@pytest.mark.parametrize("key", INTERFACES)
def test_an_interface_alone(key: str) -> None:
    """An interface's key is the demo's first request of it that succeeds, in any letter case."""
    planned = plan(document(), key.lower(), {})
    assert planned.row is INTERFACES[key]
    assert planned.data == SHOWN[key].asked
    assert planned.head.scene_code == HEAD["sceneCode"]
    assert planned.token == "one"


def test_the_beginning_of_a_name() -> None:
    """The beginning of a name is that request, with its own token and head, whatever comes of it."""
    assert plan(document(), "用途", {}).row.key == "I4"
    planned = plan(document(), "由第二个", {})
    assert (planned.token, planned.head.org_code) == ("two", "B")
    with pytest.raises(LocalStackError, match="I1 to I7"):
        plan(document(), "没有", {})


def test_another_application() -> None:
    """For another application its own token and its own request are taken, the first one's where it has none."""
    planned = plan(document(), "I4", {}, OTHER)
    assert (planned.token, planned.head.org_code) == ("two", "B")
    assert plan(document(), "I1", {}, OTHER).head.scene_code == HEAD["sceneCode"]
    with pytest.raises(typer.BadParameter):
        plan(document(), "I4", {}, "nobody")


def test_what_is_told_stands_in_its_place() -> None:
    """A holder that is told takes the place of the demo's, of which only what is required is left."""
    planned = plan(document(), "I3", {"holder_code": ORG, "holder_type_code": "001"})
    data: Any = planned.data
    shown: Any = SHOWN["I3"].asked
    assert (data.holder_code, data.holder_type_code) == (ORG, "001")
    assert (data.type_code, data.file_format) == (shown.type_code, None)
    only: Any = plan(document(), "I1", {"region_codes": ("310000",)}).data
    assert (only.region_codes, only.holder_code) == (("310000",), SHOWN["I1"].asked.holder_code)  # type: ignore[union-attr]
    with pytest.raises(typer.BadParameter, match="I4 does not know holder_code"):
        plan(document(), "I4", {"holder_code": ORG})


@pytest.fixture(scope="module")
def node() -> Iterator[tuple[FakeNode, str]]:
    one = FakeNode()
    with served(one) as address:
        yield one, address


def run(home: Path, node: tuple[FakeNode, str], *arguments: str) -> Any:
    document_text = orjson.dumps(document(node[0].token(), (node[1],)))
    (home / "demo.json").write_bytes(document_text)
    return CliRunner().invoke(app, ["call", *arguments, "--home", str(home)])


@pytest.mark.parametrize("key", INTERFACES)
def test_an_answer_is_shown(tmp_path: Path, node: tuple[FakeNode, str], key: str) -> None:
    """Each interface's answer is shown with status, request id and how to trace it, and the exit code is 0."""
    node[0].data = orjson.loads(encode(SHOWN[key].granted))
    done = run(tmp_path, node, key)
    assert done.exit_code == 0, done.output
    ((request_id, _),) = [*node[0].bodies.items()][-1:]
    assert f"{key} {INTERFACES[key].name}" in done.stdout
    assert f"全程：certlane trace {request_id}" in done.stdout
    for name in SHOWN[key].granted.withheld:
        assert name in done.stdout or "手机号码" in done.stdout


def test_a_partial_answer_is_shown(tmp_path: Path, node: tuple[FakeNode, str]) -> None:
    """Of several provinces each is named with what became of it, and a part of them ends with 0 too."""
    source = {"regionCode": "340000", "state": "late", "status": 7002, "message": "迟"}
    node[0].data = orjson.loads(encode(SHOWN["I1"].granted)) | {"sources": [source]}
    node[0].moods.append(Mood(200, 7003))
    done = run(tmp_path, node, "I1", "--holder", CITIZEN_ID)
    assert done.exit_code == 0
    assert "安徽省" in done.stdout
    assert "未及时答复" in done.stdout
    body = orjson.loads([*node[0].bodies.values()][-1].copy().pop())
    assert body["data"]["certificateHolderCode"] == CITIZEN_ID
    assert body["data"]["certificateHolderTypeCode"] == "111"


@pytest.mark.parametrize("as_json", [False, True])
def test_a_refusal_is_shown(tmp_path: Path, node: tuple[FakeNode, str], as_json: bool) -> None:  # noqa: FBT001
    """A refusal is shown with what to do, and the exit code is 1."""
    node[0].moods.append(Mood(200, 3011))
    done = run(tmp_path, node, "用途不符", *(["--json"] if as_json else []))
    assert done.exit_code == 1
    if as_json:
        told = orjson.loads(done.stdout.splitlines()[0])
        assert (told["status"], told["http"]) == (3011, 200)
        assert "head.useFor" in told["remedy"]
    else:
        assert "3011" in done.stdout
        assert "怎么办" in done.stdout


def test_without_a_stack(tmp_path: Path) -> None:
    """Where there is no demo.json it is said what writes it."""
    done = CliRunner().invoke(app, ["call", "I1", "--home", str(tmp_path)])
    assert isinstance(done.exception, LocalStackError)
    assert "certlane up" in str(done.exception)
