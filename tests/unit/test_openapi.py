"""The OpenAPI document: it says what the application does, and has the shape of OpenAPI 3.1."""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import orjson
import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import Route

from broker.bus.keys import KeyOpener, KeySigner
from broker.exchange.exchange import Exchange
from broker.exchange.flights import Bounds
from broker.exchange.ledger import Ledger
from broker.exchange.replies import ReplyOpener
from broker.gateway.answers import PROBLEMS, Problem, problem
from broker.gateway.app import TokenEndpoint, build
from broker.gateway.body import HttpHead
from broker.gateway.openapi import document
from broker.gateway.sharing import Desk
from broker.gateway.tokens import TokenDesk
from broker.registry.snapshot import Snapshot
from schemas.interfaces import TYPED
from schemas.statuses import STATUSES
from tests.support_registry import NODE, compiled, new_party_keys

OPERATION: Final = {"/livez", "/readyz", "/metrics", "/openapi.json", "/docs"}  # for those who run it (DESIGN §6)
DOCUMENT: Final = document()
METHODS: Final = {"get", "post", "put", "delete", "patch"}
KEYS: Final = new_party_keys(NODE)


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
async def app() -> Starlette:
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
    )
    tokens = TokenDesk(node=NODE, key=KEYS.signing.public)
    desk = Desk(exchange=exchange, tokens=tokens, snapshot=known, unready=str)
    token = TokenEndpoint(node=NODE, signer=KeySigner(KEYS.signing), redis=redis, public_url="", snapshot=known)
    return build(desk=desk, token=token, unready=str)


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
    """Every typed interface of the table has its path, and none that is not typed."""
    assert {path for path in DOCUMENT["paths"] if path.split("/")[-1][0].isupper()} == {
        row.path for row in TYPED.values()
    }


def test_shape() -> None:
    """The document has the members that OpenAPI 3.1 requires, and is JSON."""
    assert orjson.loads(orjson.dumps(DOCUMENT))["paths"].keys() == DOCUMENT["paths"].keys()
    assert re.fullmatch(r"3\.1\.\d+", DOCUMENT["openapi"])
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    assert DOCUMENT.keys() <= {"openapi", "info", "servers", "paths", "components", "security", "tags", "webhooks"}
    assert all(path.startswith("/") and item.keys() <= METHODS for path, item in DOCUMENT["paths"].items())


def test_operations() -> None:
    """Every operation has an id of its own and responses with codes of HTTP, each described."""
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(ids)) == len(ids)
    for _, _, operation in operations():
        assert operation["summary"]
        assert "200" in operation["responses"]
        for code, response in operation["responses"].items():
            assert re.fullmatch("[1-5][0-9]{2}", code)
            assert response["description"]


def test_parameters() -> None:
    """Every place of a path is declared, and every declared parameter is described by a schema."""
    for path, _, operation in operations():
        parameters = operation.get("parameters", [])
        assert {one["name"] for one in parameters if one["in"] == "path"} == set(re.findall(r"\{([^}]*)\}", path))
        assert all(one["required"] for one in parameters if one["in"] == "path")
        assert all("type" in one["schema"] for one in parameters)


def test_references() -> None:
    """Every reference leads to a schema of the document, and every schema is led to."""
    schemas = DOCUMENT["components"]["schemas"]
    led = {reference.removeprefix("#/components/schemas/") for reference in every(DOCUMENT, "$ref")}
    assert led == schemas.keys()


def test_security() -> None:
    """Every operation but the token's own needs a bearer token, which is declared."""
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert all(set(one) <= schemes.keys() for one in DOCUMENT["security"])
    assert [path for path, _, operation in operations() if operation.get("security") == []] == ["/oauth2/token"]


def test_status_codes() -> None:
    """Every interface lists every status code with its sentence."""
    for row in TYPED.values():
        told = DOCUMENT["paths"][row.path]["post"]["description"]
        for status in STATUSES.values():
            assert f"{status.code} {status.message}" in told


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


def test_data() -> None:
    """The data of each interface requires what the form asks for."""
    for row in TYPED.values():
        assert row.request is not None
        names = dict(zip(row.request.__struct_fields__, row.request.__struct_encode_fields__, strict=True))
        told = DOCUMENT["components"]["schemas"][row.request.__name__]
        assert set(told.get("required", ())) >= {names[attribute] for attribute in row.required}


GIVEN: Final = {"post": {400, 401, 409, 410, 413, 415, 429, 500, 503}, "get": {401, 404, 410, 500, 503}}


def test_problems() -> None:
    """Of every operation exactly those problems are told that the gateway can answer with, each with its body."""
    for path, method, operation in operations():
        if path != "/oauth2/token":
            told = {int(code) for code, response in operation["responses"].items() if _is_problem(response)}
            assert told == GIVEN[method]


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
