"""Both clients against a whole fake node on loopback: methods, tokens, retries, late parts, files."""

import asyncio
import base64
import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, get_type_hints

import msgspec
import pytest

from broker.client import (
    AsyncClient,
    Client,
    Head,
    MalformedError,
    PendingError,
    RefusedError,
    UnreachableError,
    plans,
)
from broker.client.plans import METHODS, Call, Core
from schemas.answers import CertificateFile, DataAnswer, SearchAnswer
from schemas.form import sm3_hex
from schemas.interfaces import INTERFACES
from tests.support_node import FILE, KEYS, FakeNode, Mood, file_entry, nobody, served
from tests.support_registry import APPLICATION, NODE

HEAD: Final = Head(scene_code="YRD-310000-2026-00001", username="窗口一号", business_code="A")
HOLDER: Final = {"holder_code": "990001199001010018", "holder_type_code": "111"}
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def serving() -> Iterator[tuple[FakeNode, str]]:
    node = FakeNode()
    with served(node) as address:
        yield node, address


@pytest.fixture
def node(serving: tuple[FakeNode, str]) -> FakeNode:
    """The node as if nobody had called it."""
    fresh, running = FakeNode(), serving[0]
    for name in ("moods", "seen", "bodies", "heads", "tokens_issued", "token_seconds", "data", "file_sent_once"):
        setattr(running, name, getattr(fresh, name))
    return running


@pytest.fixture
def address(serving: tuple[FakeNode, str]) -> str:
    return serving[1]


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, node: FakeNode, address: str) -> Ask:
    """Calls a method of either client by name; `client` says with which settings and over which gateways."""

    def call(method: str, *args: Any, client: dict[str, Any] | None = None, **told: Any) -> Any:
        settings = {"head": HEAD, "deadline_seconds": 30.0, **(client or {"token": node.token()})}
        over = settings.pop("over", (address,))
        if request.param == "sync":
            with Client(over, **settings) as one:
                return getattr(one, method)(*args, **told)

        async def run() -> Any:
            async with AsyncClient(over, **settings) as one:
                return await getattr(one, method)(*args, **told)

        return asyncio.run(run())

    return call


# method -> what it is told, what `data` of the request then is
CALLS: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "search": (
        {**HOLDER, "number": "N", "region_codes": ("310000",), "page_no": 2, "page_size": 5},
        {
            "certificateHolderCode": "990001199001010018",
            "certificateHolderTypeCode": "111",
            "certificateNumber": "N",
            "regionCodes": ["310000"],
            "pageNo": 2,
            "pageSize": 5,
        },
    ),
    "file_by_id": ({"certificate_id": "X", "original": True}, {"certificateID": "X", "original": True}),
    "file_by_holder": (
        {**HOLDER, "type_code": "T", "file_format": "pdf"},
        {
            "certificateHolderCode": "990001199001010018",
            "certificateHolderTypeCode": "111",
            "certificateTypeCode": "T",
            "fileFormat": "pdf",
        },
    ),
    "data_by_id": ({"certificate_id": "X", "fields": ("KZ_XM",)}, {"certificateID": "X", "fields": ["KZ_XM"]}),
    "data_by_holder": (
        {**HOLDER, "type_name": "居民身份证"},
        {
            "certificateHolderCode": "990001199001010018",
            "certificateHolderTypeCode": "111",
            "certificateType": "居民身份证",
        },
    ),
    "verify_file": (
        {"type_code": "T", "content": b"abc"},
        {"certTypeCode": "T", "contentType": "base64", "content": base64.b64encode(b"abc").decode()},
    ),
    "verify_code": ({"code": "C", "pos": "P", "use": "U"}, {"certQrCode": "C", "pos": "P", "use": "U"}),
}
PAGES: Final = {"total": 0, "dataList": [], "pageNo": 1, "pageSize": 10}


@pytest.mark.parametrize("method", CALLS)
def test_each_interface_has_its_method(ask: Ask, node: FakeNode, method: str) -> None:
    """Each method sends its interface's path, the standing facts, a new request id and the typed data, and decodes."""
    told, data = CALLS[method]
    node.data = PAGES
    answer = ask(method, **told)
    row = INTERFACES[METHODS[method]]
    assert node.seen == [("POST", row.path)]
    ((body,),) = node.bodies.values()
    sent = json.loads(body)
    assert sent["data"] == data
    assert sent["head"]["sceneCode"] == HEAD.scene_code
    assert answer.request_id == sent["head"]["requestId"]
    assert len(answer.request_id) == 32
    assert isinstance(answer.data, row.answer)
    assert node.heads[0]["prefer"] == "wait=5"


def parameters(method: str) -> dict[str, bool]:
    """The names a method can be told, but for those of any call; whether each must be there."""
    signature = inspect.signature(getattr(Core, method))
    out = {name: one.default is one.empty for name, one in signature.parameters.items() if one.kind is one.KEYWORD_ONLY}
    more = get_type_hints(getattr(Core, method), globalns={**vars(plans), "Callable": Callable})["more"]
    out |= dict.fromkeys(get_type_hints(more.__args__[0]), False)
    return {name: must for name, must in out.items() if name not in Call.__annotations__}


@pytest.mark.parametrize("method", METHODS)
def test_methods_are_those_of_the_table(method: str) -> None:
    """A method takes exactly what its interface's request has, and requires what the interface requires."""
    row = INTERFACES[METHODS[method]]
    told = parameters(method)
    implied = {"content_type"}  # it follows from the type of `content`
    assert told.keys() == set(row.request.__struct_fields__) - implied
    assert {name for name, must in told.items() if must} == {
        name for name in row.required if "|" not in name and name not in implied
    }
    assert sorted(METHODS.values()) == sorted(INTERFACES)


def test_both_clients_have_the_same_methods() -> None:
    """What one client can be asked, the other can, with the same names."""
    names = {name for name in vars(AsyncClient) if not name.startswith("_")} - {"aclose"}
    assert names == {name for name in vars(Client) if not name.startswith("_")} - {"close"}
    assert names >= {*METHODS, "collect", "rest", "scenes", "types", "download"}


def test_what_differs_in_one_call(ask: Ask, node: FakeNode) -> None:
    """A call's own head stands over the client's, and its own id, wait and deadline are sent."""
    told = {"head": Head(business_code="B"), "request_id": "ab" * 16, "wait_seconds": 0.0, "deadline_seconds": 9.0}
    ask("data_by_id", certificate_id="X", **told)
    ((body,),) = node.bodies.values()
    head = json.loads(body)["head"]
    assert (head["businessCode"], head["username"], head["requestId"]) == ("B", "窗口一号", "ab" * 16)
    assert head["deadline"] > 0
    assert node.heads[0]["prefer"] == "respond-async"


def test_the_gateway_counts_the_usual_deadline(node: FakeNode, address: str) -> None:
    """A client that was told no deadline sends none: its clock need not be right."""
    with Client(address, token=node.token()) as client:
        client.data_by_id(certificate_id="X")
    ((body,),) = node.bodies.values()
    assert "deadline" not in json.loads(body)["head"]


def test_over_the_next_gateway(ask: Ask, node: FakeNode, address: str) -> None:
    """Where nobody listens the next gateway is asked, and one that cannot is asked again with the same bytes."""
    node.moods.extend([Mood(503, 7001, headers={"retry-after": "0"}), Mood(breaks_after=4)])
    ask("data_by_id", certificate_id="X", client={"over": (nobody(), address), "token": node.token()})
    ((body,),) = node.bodies.values()
    assert body
    assert len(node.seen) == 3


def test_nobody_there(ask: Ask) -> None:
    """Without any gateway the call ends at its deadline and says so."""
    with pytest.raises(UnreachableError):
        ask("types", client={"over": (nobody(), nobody()), "token": "x", "deadline_seconds": 0.5})


def test_late_answer(ask: Ask, node: FakeNode) -> None:
    """What was accepted is looked for until it is final."""
    node.moods.extend([Mood(202, headers={"retry-after": "1"})])
    answer = ask("data_by_id", certificate_id="X")
    assert [method for method, _ in node.seen] == ["POST", "GET"]
    assert node.seen[1][1] == f"/v1/requests/{answer.request_id}"


def test_pending(ask: Ask, node: FakeNode) -> None:
    """What is not final at the deadline can be collected later by its request id."""
    node.moods.extend([Mood(202)] * 9)
    with pytest.raises(PendingError) as pending:
        ask("data_by_id", certificate_id="X", deadline_seconds=1.5)
    node.moods.clear()
    answer = ask("collect", pending.value.request_id, DataAnswer)
    assert answer.request_id == pending.value.request_id


def test_the_rest_of_a_partial_answer(ask: Ask, node: FakeNode) -> None:
    """A partial answer is completed once its late parts are in."""
    node.data = {**PAGES, "sources": [{"regionCode": "340000", "state": "late", "status": 7002, "message": "迟"}]}
    node.moods.extend([Mood(200, 7003), Mood(202, 7003, headers={"retry-after": "1"})])
    partial = ask("search", **HOLDER)
    assert (partial.partial, partial.final) == (True, False)
    assert partial.sources[0].state == "late"
    node.data = PAGES
    whole = ask("rest", partial)
    assert (whole.status, whole.final, whole.request_id) == (0, True, partial.request_id)
    assert isinstance(whole.data, SearchAnswer)
    asked = len(node.seen)
    assert ask("rest", whole) == whole
    assert len(node.seen) == asked


def test_the_rest_that_never_comes(ask: Ask, node: FakeNode) -> None:
    """Late parts that do not come in time leave the partial answer as it was."""
    node.data = {**PAGES, "sources": []}
    node.moods.extend([Mood(200, 7003), *[Mood(202, 7003)] * 9])
    partial = ask("search", **HOLDER)
    assert ask("rest", partial, deadline_seconds=1.5).partial


def keyed(**more: Any) -> dict[str, Any]:
    return {"application": APPLICATION, "keys": KEYS[APPLICATION], **more}


@pytest.mark.parametrize("aud", ["", NODE])
def test_a_token_for_a_signed_assertion(ask: Ask, node: FakeNode, aud: str) -> None:
    """With its keys a client gets its token by itself, made out to the node or to the gateway's token address."""
    ask("scenes", client=keyed(node=aud))
    assert node.tokens_issued == 1


def test_keys_from_a_file(ask: Ask, node: FakeNode, tmp_path: Path) -> None:
    """The keys may be a file."""
    path = tmp_path / "keys.json"
    path.write_bytes(msgspec.json.encode(KEYS[APPLICATION]))
    ask("types", client=keyed(keys=path))
    assert node.tokens_issued == 1


def test_a_wrong_key(ask: Ask, node: FakeNode) -> None:
    """A key that is not the application's gets no token, and the call is refused with 11."""
    with pytest.raises(RefusedError) as refused:
        ask("types", client=keyed(keys=KEYS[NODE]))
    assert refused.value.code == 11


def test_many_calls_need_one_token(node: FakeNode, address: str) -> None:
    """Calls side by side share one token."""

    async def run() -> None:
        async with AsyncClient(address, **keyed()) as client:
            await asyncio.gather(*(client.scenes() for _ in range(8)))

    asyncio.run(run())
    assert (node.tokens_issued, len(node.seen)) == (1, 8)


def test_a_token_is_renewed_before_it_ends(node: FakeNode, address: str) -> None:
    """A token near its end is replaced before the next call."""
    node.token_seconds = 0
    with Client(address, **keyed()) as client:
        client.types()
        client.types()
    assert node.tokens_issued == 2


def test_a_token_that_is_not_accepted_is_replaced(ask: Ask, node: FakeNode) -> None:
    """A 401 in the middle of a token's life gets a fresh token, and the call goes on."""
    node.moods.append(Mood(401, 2004))
    ask("types", client=keyed())
    assert (node.tokens_issued, len(node.seen)) == (2, 2)


@pytest.mark.parametrize(
    "settings",
    [{}, {"token": "x", "keys": KEYS[APPLICATION], "application": "a"}, {"keys": KEYS[APPLICATION]}],
)
def test_either_token_or_keys(settings: dict[str, Any]) -> None:
    """A client has either a token, or an application with its keys."""
    with pytest.raises(ValueError, match="either token"):
        Client("http://gateway.test", **settings)
    with pytest.raises(ValueError, match="address"):
        Client((), token="x")


@pytest.mark.parametrize("seconds", [0.0, -1.0, 601.0])
def test_a_deadline_has_bounds(address: str, seconds: float) -> None:
    """A deadline lies ahead, at most ten minutes."""
    with (
        Client(address, token="x", deadline_seconds=seconds or 700.0) as client,
        pytest.raises(ValueError, match="600"),
    ):
        client.data_by_id(certificate_id="X", deadline_seconds=seconds or 601.0)


def entry(address: str, whole: bytes = FILE, **changes: Any) -> CertificateFile:
    return msgspec.convert(file_entry(f"{address}/v1/files/{'0' * 64}", whole, **changes), CertificateFile)


def test_a_file_comes_whole(ask: Ask, node: FakeNode, address: str, tmp_path: Path) -> None:
    """A file is brought byte by byte to its place, and nothing else is left beside it."""
    to = tmp_path / "a.ofd"
    assert ask("download", entry(address), to) == to
    assert to.read_bytes() == FILE
    assert list(tmp_path.iterdir()) == [to]


def test_a_broken_download_goes_on(ask: Ask, node: FakeNode, address: str, tmp_path: Path) -> None:
    """Each break is followed by a Range from where it broke."""
    node.moods.extend([Mood(breaks_after=100_000), Mood(503), Mood(breaks_after=200_000)])
    ask("download", entry(address), tmp_path / "a.ofd")
    assert (tmp_path / "a.ofd").read_bytes() == FILE
    ranges = [told for _, told in node.seen]
    assert ranges[0] == ""
    begins = [int(told.removeprefix("bytes=").removesuffix("-")) for told in ranges[1:]]
    assert begins == sorted(begins)
    assert 0 < begins[0] <= 100_000 < begins[-1] <= 300_000


def test_a_later_process_goes_on(ask: Ask, node: FakeNode, address: str, tmp_path: Path) -> None:
    """What an earlier process left is gone on with."""
    (tmp_path / f"a.ofd.{sm3_hex(FILE)[:16]}.part").write_bytes(FILE[:1_000])
    ask("download", entry(address), tmp_path / "a.ofd")
    assert (tmp_path / "a.ofd").read_bytes() == FILE
    assert node.seen == [("GET", "bytes=1000-")]


async def test_a_cancelled_download(tmp_path: Path) -> None:
    """A download that is cancelled has all on disk that came, for a later one to go on with."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(FILE) + FILE[:1_000])
        await reader.read()
        writer.close()

    async with asyncio.timeout(60), await asyncio.start_server(serve, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()
        async with AsyncClient(f"http://{host}:{port}", token="x") as client:
            download = asyncio.ensure_future(client.download(entry(""), tmp_path / "a.ofd"))
            while not (left := await asyncio.to_thread(lambda: list(tmp_path.iterdir()))):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            download.cancel()
            await asyncio.wait([download])
    assert left[0].read_bytes() == FILE[:1_000]


def test_a_token_goes_to_no_stranger(ask: Ask, node: FakeNode, tmp_path: Path) -> None:
    """Whatever host an answer's address names, the file is fetched from the client's own gateways."""
    ask("download", entry("http://stranger.invalid"), tmp_path / "a.ofd")
    assert len(node.seen) == 1


def test_a_file_in_the_answer(ask: Ask, node: FakeNode, tmp_path: Path) -> None:
    """A file that came inline is written without another call."""
    content = base64.b64encode(b"abc").decode()
    ask("download", entry("", b"abc", content=content, fileUrl=None), tmp_path / "a.ofd")
    assert (tmp_path / "a.ofd").read_bytes() == b"abc"
    assert node.seen == []


@pytest.mark.parametrize(
    "changes",
    [
        {"fileSize": len(FILE) - 1},
        {"fileDigest": "0" * 64},
        {"content": "!"},
        {"content": base64.b64encode(b"other").decode()},
        {"content": base64.b64encode(FILE + b"x").decode()},
    ],
)
def test_another_file_than_was_told(
    ask: Ask, node: FakeNode, address: str, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Bytes of another size or SM3 than was told are refused, and nothing is left of them."""
    with pytest.raises(MalformedError):
        ask("download", entry(address, **changes), tmp_path / "a.ofd", deadline_seconds=5.0)
    assert not (tmp_path / "a.ofd").exists()


def test_a_file_that_is_gone(ask: Ask, node: FakeNode, address: str, tmp_path: Path) -> None:
    """A file that was fetched once is refused with what the gateway says."""
    node.file_sent_once = True
    with pytest.raises(RefusedError) as refused:
        ask("download", entry(address), tmp_path / "a.ofd")
    assert (refused.value.http, refused.value.remedy) == (410, "不再保留")
