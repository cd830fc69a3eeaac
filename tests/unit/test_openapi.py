"""The OpenAPI document and its page: they say what the application does, with an example of every outcome."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import orjson
import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import Route

from broker.bus.keys import KeyOpener, KeySigner
from broker.bus.objects import Objects
from broker.exchange.exchange import Exchange
from broker.exchange.flights import Bounds
from broker.exchange.ledger import Ledger
from broker.exchange.replies import ReplyOpener
from broker.gateway.answers import PROBLEMS, Problem, problem
from broker.gateway.app import build
from broker.gateway.body import HttpHead, read_body
from broker.gateway.docs import docs_routes
from broker.gateway.files import FileDesk
from broker.gateway.merging import NOT_YET
from broker.gateway.offers import Offers
from broker.gateway.openapi import PROBLEM_STATUS, document
from broker.gateway.page import POLICY
from broker.gateway.reading import BodyReader
from broker.gateway.sharing import Desk
from broker.gateway.token_endpoint import TokenEndpoint
from broker.gateway.tokens import TokenDesk
from broker.registry.snapshot import Snapshot
from schemas.form import check_form, normalised
from schemas.interfaces import INTERFACES, Subject
from schemas.names import LABELS, OUR_NAMES, OURS
from schemas.offers import ScenesAnswer, TypesAnswer
from schemas.regions import BY_CODE
from schemas.remedies import REMEDIES
from schemas.statuses import STATUSES
from tests.support_registry import NODE, compiled, new_party_keys

OPERATION: Final = {"/livez", "/readyz", "/metrics", "/openapi.json", "/docs"}  # for those who run it (DESIGN §6)
DOCUMENT: Final = document()
METHODS: Final = {"get", "post", "put", "delete", "patch"}
KEYS: Final = new_party_keys(NODE)
ROOT: Final = Path(__file__).parents[2]


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def every(value: object, name: str) -> Iterator[Any]:
    """Each value that stands under this name, anywhere in the document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == name:
                yield inner
            yield from every(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from every(inner, name)


@pytest.fixture(scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> Starlette:
    """The application as it runs, on a Redis that nobody calls."""
    redis, snapshot = Redis(), compiled()

    def known() -> Snapshot:
        return snapshot

    exchange = Exchange(
        ledger=Ledger(redis, NODE),
        lanes=dict,
        opener=ReplyOpener(node=NODE, opener=KeyOpener(KEYS.sealing), snapshot=known),
        bounds=Bounds(1, 1, 1),
        incarnation="test",
        home=lambda: 0,
        staffed=lambda _: True,
    )
    tokens, bodies = TokenDesk(node=NODE, key=KEYS.signing.public), BodyReader()
    desk = Desk(exchange=exchange, tokens=tokens, snapshot=known, unready=str, bodies=bodies, public_url="")
    signer = KeySigner(KEYS.signing)
    token = TokenEndpoint(node=NODE, signer=signer, redis=redis, public_url="", snapshot=known, bodies=bodies)
    files = FileDesk(
        application_of=lambda request: desk.application(request).id,
        look=desk.state,
        objects=Objects(tmp_path_factory.mktemp("objects").as_uri()),
        redis=redis,
        node=NODE,
    )
    offers = Offers(application=desk.application, snapshot=known)
    return build(desk=desk, offers=offers, files=files, token=token, unready=str)


def places(path: str) -> str:
    """A path with its places, however they are named."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def test_paths(app: Starlette) -> None:
    """The document's paths and methods are those of the application's routes, but for the operator's own."""
    routes = {
        (places(route.path), method.lower())
        for route in app.routes
        if isinstance(route, Route) and route.path not in OPERATION
        for method in (route.methods or {"POST"}) - {"HEAD"}
    }
    assert {(places(path), method) for path, method, _ in operations()} == routes


def test_every_interface() -> None:
    """Every interface of the table has its path, and there is no other in capitals."""
    assert {path for path in DOCUMENT["paths"] if path.split("/")[-1][0].isupper()} == {
        row.path for row in INTERFACES.values()
    }


def test_shape() -> None:
    """The document has the members that OpenAPI 3.1 requires, and is JSON."""
    assert orjson.loads(orjson.dumps(DOCUMENT))["paths"].keys() == DOCUMENT["paths"].keys()
    assert re.fullmatch(r"3\.1\.\d+", DOCUMENT["openapi"])
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    assert DOCUMENT.keys() <= {"openapi", "info", "servers", "paths", "components", "security", "tags", "webhooks"}
    assert all(path.startswith("/") and item.keys() <= METHODS for path, item in DOCUMENT["paths"].items())


def responses(operation: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The responses of an operation, those that several have in common too."""
    for code, response in operation["responses"].items():
        name = response.get("$ref", "").removeprefix("#/components/responses/")
        yield int(code), DOCUMENT["components"]["responses"][name] if name else response


def test_operations() -> None:
    """Every operation has an id of its own, a tag that is declared, and responses that are described."""
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(ids)) == len(ids)
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    for _, _, operation in operations():
        assert operation["summary"]
        assert set(operation["tags"]) <= tags
        told = dict(responses(operation))
        assert 200 in told
        assert all(100 <= code < 600 and response["description"] for code, response in told.items())


def test_parameters() -> None:
    """Every place of a path is declared, and every declared parameter is described by a bounded schema."""
    for path, _, operation in operations():
        parameters = operation.get("parameters", [])
        assert {one["name"] for one in parameters if one["in"] == "path"} == set(re.findall(r"\{([^}]*)\}", path))
        assert all(one["required"] for one in parameters if one["in"] == "path")
        assert all(one["schema"].keys() & {"pattern", "maxLength"} for one in parameters)


def test_references() -> None:
    """Every reference leads somewhere in the document, and every schema and header is led to."""
    components = DOCUMENT["components"]
    led = {tuple(reference.split("/")[2:]) for reference in every(DOCUMENT, "$ref")}
    assert all(name in components[kind] for kind, name in led)
    for kind in ("schemas", "headers"):
        assert {name for one, name in led if one == kind} == components[kind].keys()


def test_security() -> None:
    """Every operation but the token's own needs a bearer token, which is declared."""
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert all(set(one) <= schemes.keys() for one in DOCUMENT["security"])
    assert [path for path, _, operation in operations() if operation.get("security") == []] == ["/oauth2/token"]


def test_status_codes() -> None:
    """Every status code stands there with its sentence and what to do, and no other may be answered."""
    status = DOCUMENT["components"]["schemas"]["AnswerHead"]["properties"]["status"]
    assert status["enum"] == list(STATUSES)
    for row in STATUSES.values():
        assert f"| {row.code} | {row.message} | {REMEDIES.get(row.code, '')} |" in status["description"]


def test_head() -> None:
    """The head has every name that the gateway takes, and requires those that the form asks for."""
    head = DOCUMENT["components"]["schemas"]["HttpHead"]
    assert head["properties"].keys() == set(HttpHead.__struct_encode_fields__)
    assert set(head["required"]) == {
        "requestId",
        "sceneCode",
        "orgName",
        "orgCode",
        "username",
        "itemName",
        "itemCode",
        "businessCode",
    }


@pytest.mark.parametrize("key", INTERFACES)
def test_data(key: str) -> None:
    """The data of each interface requires what the form asks for, where it must be one of two too."""
    row = INTERFACES[key]
    names = dict(zip(row.request.__struct_fields__, row.request.__struct_encode_fields__, strict=True))
    told = DOCUMENT["components"]["schemas"][row.request.__name__]
    assert set(told["required"]) == {names[attribute] for attribute in row.required if "|" not in attribute}
    either = {frozenset(one["required"]) for one in told.get("anyOf", ())}
    assert either == {frozenset({names[one]}) for told in row.required if "|" in told for one in told.split("|")}
    whole = DOCUMENT["components"]["schemas"][f"{row.operation}Request"]
    assert whole["required"] == ["head", "data"]
    assert whole["anyOf"] == [{"properties": {place: {"required": ["useFor"]}}} for place in ("head", "data")]


def asked_schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """The schemas of what is asked, by name."""
    schemas = DOCUMENT["components"]["schemas"]
    names = {"HttpHead", "CodeOperator"} | {row.request.__name__ for row in INTERFACES.values()}
    yield from ((name, schemas[name]) for name in sorted(names))


@pytest.mark.parametrize(("name", "schema"), list(asked_schemas()))
def test_what_is_asked_is_bounded(name: str, schema: dict[str, Any]) -> None:
    """Every text, list and number of a request has a bound, and a name that is not there is refused."""
    assert schema["additionalProperties"] is False, name
    bounds = {"string": "maxLength", "integer": "maximum", "array": "maxItems"}
    todo = list(schema["properties"].values())
    while todo:
        one = todo.pop()
        kinds = one.get("type", [])
        for kind in [kinds] if isinstance(kinds, str) else kinds:
            assert kind not in bounds or bounds[kind] in one
        todo += [one["items"]] if "items" in one else []


def test_every_name_is_described() -> None:
    """Every name on the wire is told in Chinese, and nothing that is our own is shown as the standard's."""
    for kind, schema in DOCUMENT["components"]["schemas"].items():
        for name, value in schema["properties"].items():
            told = value["description"]
            assert told.startswith("状态码") or f"{kind}.{name}" in LABELS or name in LABELS, f"{kind}.{name}"
            assert (OURS in told) == (name in OUR_NAMES)
    assert "不代表标准的规定" in DOCUMENT["info"]["description"]
    assert "不分大小写" in DOCUMENT["info"]["description"]


GIVEN: Final = {
    "/v1/requests/{requestId}": {401, 404, 410, 431, 500, 503},
    "/v1/files/{ticket}": {401, 404, 410, 416, 431, 500, 503},
    "/v1/scenes": {401, 431, 500, 503},
    "/v1/types": {401, 431, 500, 503},
    "/oauth2/token": {413, 431, 500, 503},
}
SHARING: Final = {400, 401, 409, 410, 413, 415, 429, 431, 500, 503}
NOWHERE: Final = {405}  # of methods that the document does not have


def test_problems() -> None:
    """Of every operation exactly those problems are told that the gateway can answer with, each with its body."""
    everywhere = set()
    for path, _, operation in operations():
        told = {code for code, response in responses(operation) if _is_problem(response)}
        assert told == GIVEN.get(path, SHARING)
        everywhere |= told
    assert everywhere == PROBLEMS.keys() - NOWHERE
    assert PROBLEM_STATUS.keys() == PROBLEMS.keys()


def _is_problem(response: dict[str, Any]) -> bool:
    return "application/problem+json" in response.get("content", {})


@pytest.mark.parametrize("http", PROBLEMS)
def test_problem_has_the_declared_form(http: int) -> None:
    """A problem detail has exactly the members that the document declares, with head.status among them."""
    response = problem(Problem(http, 99, "因为", request_id="0" * 32))
    body = msgspec.json.decode(bytes(response.body))
    schemas = DOCUMENT["components"]["schemas"]
    assert body.keys() == set(schemas["ProblemDetail"]["required"])
    assert body["head"].keys() <= schemas["AnswerHead"]["properties"].keys()
    assert set(schemas["AnswerHead"]["required"]) <= body["head"].keys()
    assert (response.status_code, response.media_type, body["status"]) == (http, "application/problem+json", http)
    shown = DOCUMENT["components"]["responses"][f"Problem{http}"]["content"]["application/problem+json"]["examples"]
    assert shown["problem"]["value"].keys() == body.keys()


def shown(operation: dict[str, Any], http: str) -> dict[str, Any]:
    """The examples of a response, by name."""
    examples = operation["responses"][http]["content"]["application/json"]["examples"]
    return {name: one["value"] for name, one in examples.items()}


@pytest.mark.parametrize("key", INTERFACES)
def test_the_example_of_a_request(key: str) -> None:
    """The example of each request is read by the gateway and is well formed, in any letter case."""
    row = INTERFACES[key]
    body = DOCUMENT["paths"][row.path]["post"]["requestBody"]["content"]["application/json"]["examples"]["request"]
    raw = orjson.dumps(body["value"])
    head, data = read_body(raw, row)
    check_form(row, head, normalised(data))
    assert head.request_id == body["value"]["head"]["requestId"]
    upper = {part: {name.upper(): value for name, value in told.items()} for part, told in body["value"].items()}
    assert read_body(orjson.dumps(upper), row) == (head, data)


@pytest.mark.parametrize("key", INTERFACES)
def test_the_examples_of_an_answer(key: str) -> None:
    """Each interface shows a grant, nothing found, a refusal, a part of several sources, and 202, all typed."""
    row = INTERFACES[key]
    operation = DOCUMENT["paths"][row.path]["post"]
    told, waiting = shown(operation, "200"), shown(operation, "202")
    several = row.subject is not Subject.CODE
    assert told.keys() == {"granted", "notFound", "refused"} | ({"partial"} if several else set())
    assert waiting.keys() == {"accepted"} | ({"waiting"} if several else set())
    assert [told[name]["head"]["status"] for name in ("granted", "notFound")] == [0, 10]
    assert told["refused"]["head"]["status"] in STATUSES.keys() - {0, 10, 7003}
    assert msgspec.convert(told["granted"]["data"], row.answer)
    if several:
        data = msgspec.convert(told["partial"]["data"], row.answer)
        assert (told["partial"]["head"]["status"], told["partial"]["head"]["final"]) == (7003, False)
        assert {source.state for source in getattr(data, "sources", ())} == {"answered", "late"}
        assert waiting["waiting"]["data"]["sources"]
    assert all(one["head"]["final"] is False for one in waiting.values())
    for one in (*told.values(), *waiting.values()):
        _is_head(one["head"])
        assert one["head"]["message"] in _messages(one)


def _messages(answer: dict[str, Any]) -> list[str]:
    """What the gateway says with this answer's status, and with its sources."""
    status, sources = answer["head"]["status"], answer.get("data", {}).get("sources", ())
    missing = [BY_CODE[one["regionCode"]].name for one in sources if one["state"] == "late"]
    own = NOT_YET if status == 7002 else STATUSES[status].message
    return [f"{own}：{'、'.join(missing)}"] if missing else [own, "已受理，结果可稍后查询"]


def _is_head(head: dict[str, Any]) -> None:
    declared = DOCUMENT["components"]["schemas"]["AnswerHead"]
    assert set(declared["required"]) <= head.keys() <= declared["properties"].keys()
    assert head["gbStatus"] == STATUSES[head["status"]].gb


@pytest.mark.parametrize(("path", "kind"), [("/v1/scenes", ScenesAnswer), ("/v1/types", TypesAnswer)])
def test_the_examples_of_what_may_be_asked(path: str, kind: type[Any]) -> None:
    """What an application may ask is shown typed."""
    (value,) = shown(DOCUMENT["paths"][path]["get"], "200").values()
    assert msgspec.convert(value["data"], kind).total == 1
    _is_head(value["head"])


def test_no_real_person() -> None:
    """Every citizen's number in the document lies in area 990xxx, which is nobody's."""
    text = orjson.dumps(DOCUMENT).decode()
    numbers = re.findall(r"(?<![0-9A-Z.])[0-9]{6}(?:19|20)[0-9]{2}[01][0-9][0-3][0-9][0-9]{3}[0-9X](?![0-9A-Z.])", text)
    assert numbers
    assert all(number.startswith("990") for number in numbers)


class _Page(HTMLParser):
    """What a browser would find: unclosed elements, what it would load, where links lead, and which ids there are."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.links: set[str] = set()
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag != "meta":
            self.open.append(tag)
        self.loads += [tag] if tag in {"script", "img", "link", "iframe"} or "src" in told else []
        self.links |= {told["href"] or ""} if "href" in told else set()
        self.ids += [told["id"] or ""] if "id" in told else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_the_page() -> None:
    """/docs shows every operation and schema in well-formed HTML and loads nothing, under a policy that forbids it."""
    transport = httpx.ASGITransport(Starlette(routes=docs_routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
        response = await client.get("/docs")
        assert (await client.get("/openapi.json")).json() == orjson.loads(orjson.dumps(DOCUMENT))
    page = _Page()
    page.feed(response.text)
    assert (page.open, page.loads) == ([], [])
    assert response.headers["content-security-policy"] == POLICY
    assert POLICY.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in POLICY
    assert page.links <= {f"#{name}" for name in page.ids} | {"/openapi.json"}
    assert len(page.ids) == len(set(page.ids))
    assert {operation["operationId"] for _, _, operation in operations()} <= set(page.ids)
    assert DOCUMENT["components"]["schemas"].keys() <= set(page.ids)


def test_the_gateway_does_not_carry_the_document() -> None:
    """A gateway's application is imported without the document, its examples and its page."""
    code = "import sys, broker.gateway.app; print(sorted(n for n in sys.modules if n.startswith('broker.gateway.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    names = ("openapi", "examples", "specimens", "page", "components")
    assert [name for name in names if f"'broker.gateway.{name}'" in done.stdout] == []
