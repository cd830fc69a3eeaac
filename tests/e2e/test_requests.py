"""Every request of demo.json, from either gateway, and the ways of HTTP around it."""

from __future__ import annotations

import copy
import socket
import time
import uuid

import orjson
import pytest

from broker.bus.clock import now_ms
from broker.bus.keys import KeySigner, read_keys
from broker.gateway.tokens import Claims, issue, sign_claims
from schemas.interfaces import INTERFACES
from schemas.oauth import ASSERTION_TYPE
from tests.e2e.conftest import Stack

NATIONAL = {0, 2, 10, 11, 12, 13, 21, 22, 23, 99, 102, 103}
OURS = {3001, 3002, 3003, 3004, 3005, 3006, 3007, 3008, 3011, 3012, 3013, 4001, 4002, 4004, 6001, 6002, 6005, 6006}


@pytest.mark.parametrize("gateway", [0, 1])
def test_every_request_of_the_document_gives_what_it_expects(stack: Stack, gateway: int) -> None:
    """Each request of demo.json, with a new id, gives the HTTP and head status that stand beside it."""
    seen = {}
    for one in stack.document["requests"]:
        body = copy.deepcopy(one["body"])
        body["head"]["requestId"] = uuid.uuid4().hex
        answer = stack.post(body, gateway=gateway, token=one.get("token"), path=one["path"])
        seen[one["name"]] = {"http": answer.status_code, "status": answer.json()["head"]["status"]}
    assert seen == {one["name"]: one["expect"] for one in stack.document["requests"]}


def test_the_document_shows_every_code_and_every_interface(stack: Stack) -> None:
    """demo.json has a succeeding request for each interface, and one for each status code that it can show."""
    requests = stack.document["requests"]
    assert {one["interface"] for one in requests if one["expect"] == {"http": 200, "status": 0}} == set(INTERFACES)
    assert {one["expect"]["status"] for one in requests} == NATIONAL | OURS


def test_fields_not_granted_are_withheld_and_listed(stack: Stack) -> None:
    """An answer holds no field that the scenario does not grant, and names those it withholds."""
    data = stack.post(
        stack.request("32 查得居民身份证")["body"]
        | stack.body(stack.request("32 查得居民身份证")["body"]["data"]["certificateID"])
    ).json()["data"]
    told = {item["columnName"] for item in data["dataList"][0]["surface"]} | set(data["dataList"][0])
    assert "KZ_ZZ" in data["withheld"]
    assert not told & set(data["withheld"])


def test_a_masked_field_shows_only_its_ends(stack: Stack) -> None:
    """A citizen id that is granted shortened leaves with its first and last character only."""
    identifier = stack.request("32 查得居民身份证")["body"]["data"]["certificateID"]
    holder_code = stack.post(stack.body(identifier)).json()["data"]["dataList"][0]["certificateHolderCode"]
    assert holder_code[1:-1] == "*" * 16


def test_who_does_not_wait_gets_202_and_collects_later(stack: Stack) -> None:
    """`Prefer: respond-async` answers 202 with a Location, where either gateway gives the answer later."""
    body = stack.body()
    accepted = stack.post(body, wait="respond-async")
    assert accepted.status_code == 202
    assert accepted.headers["location"] == f"/v1/requests/{body['head']['requestId']}"
    ends = time.monotonic() + 60
    while (answer := stack.look(body["head"]["requestId"], gateway=1)).status_code == 202 and time.monotonic() < ends:
        time.sleep(0.05)
    assert (answer.status_code, answer.json()["head"]["status"]) == (200, 0)


def test_another_application_cannot_collect_an_answer(stack: Stack) -> None:
    """An answer is unknown (404) to every application but its own."""
    body = stack.body()
    assert stack.post(body).status_code == 200
    other = stack.document["applications"][1]["token"]
    assert stack.look(body["head"]["requestId"], token=other).status_code == 404


@pytest.mark.parametrize(
    ("content", "headers", "http", "status"),
    [
        (b"{", {}, 400, 102),
        (b"[]", {}, 400, 102),
        (b'{"head": {}, "HEAD": {}}', {}, 400, 102),
        (b'{"head": {"requestId": "xyz"}, "data": {}}', {}, 400, 102),
        (b'{"head": {"nosuchname": 1}, "data": {}}', {}, 400, 102),
        (b'{"head": {"sceneCode": 7}, "data": {}}', {}, 400, 102),
        (b'{"head": {"orgName": "\\ud800"}, "data": {}}', {}, 400, 102),
        (b"[" * 100_000, {}, 400, 102),
        (b"{}", {"Content-Type": "text/plain"}, 415, 99),
        (b" " * (10 << 20) + b"{}", {}, 413, 99),
    ],
)
def test_what_is_not_a_request_is_refused_clearly(
    stack: Stack, content: bytes, headers: dict[str, str], http: int, status: int
) -> None:
    """A body that cannot be a request gives its 4xx as a problem detail with head.status."""
    all_headers = {"Authorization": f"Bearer {stack.token}", "Content-Type": "application/json"} | headers
    answer = stack.http.post(stack.gateways[0] + stack.request()["path"], content=content, headers=all_headers)
    assert (answer.status_code, answer.json()["head"]["status"]) == (http, status)
    assert answer.headers["content-type"] == "application/problem+json"


def test_names_are_read_in_any_letter_case(stack: Stack) -> None:
    """PascalCase names of the national form are understood."""
    body = stack.body()
    shouted = {part.upper(): {name.upper(): value for name, value in body[part].items()} for part in body}
    assert stack.post(shouted).json()["head"]["status"] == 0


def test_a_deadline_already_past_is_7002_and_one_too_far_is_102(stack: Stack) -> None:
    """Nobody works on a request whose deadline has passed, and none may be more than ten minutes ahead."""
    past = stack.post(stack.body(deadline=now_ms() - 1))
    far = stack.post(stack.body(deadline=now_ms() + 700_000))
    assert (past.status_code, past.json()["head"]["status"]) == (200, 7002)
    assert (far.status_code, far.json()["head"]["status"]) == (400, 102)


def test_an_expired_token_is_2004(stack: Stack) -> None:
    """A token of ours that has run out is told apart from one that we cannot read."""
    node = read_keys(stack.home.keys / "31-yct.json")
    token = issue(KeySigner(node.signing), node="31-yct", application="yct-enterprise", now=0)
    answer = stack.post(stack.body(), token=token)
    assert (answer.status_code, answer.json()["head"]["status"]) == (401, 2004)


def test_an_application_gets_a_token_for_its_signed_assertion_once(stack: Stack) -> None:
    """A signed assertion gives a token that works; the same assertion again gives none."""
    signer = KeySigner(read_keys(stack.home.keys / "yct-enterprise.json").signing)
    claims = Claims(
        iss="yct-enterprise", sub="yct-enterprise", aud="31-yct", exp=int(time.time()) + 60, jti=uuid.uuid4().hex
    )
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": sign_claims(signer, claims),
    }
    first = stack.http.post(stack.gateways[0] + "/oauth2/token", data=form)
    again = stack.http.post(stack.gateways[1] + "/oauth2/token", data=form)
    assert stack.post(stack.body(), token=first.json()["access_token"]).json()["head"]["status"] == 0
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")


def test_a_nonce_is_good_for_one_request(stack: Stack) -> None:
    """A nonce seen with another request is refused (2003), with the same request it is a repeat."""
    body = stack.body(nonce="0123456789abcdef" + uuid.uuid4().hex)
    assert stack.post(body).json()["head"]["status"] == 0
    assert stack.post(body, gateway=1).json()["head"]["status"] == 0
    other = stack.post(stack.body(nonce=body["head"]["nonce"]))
    assert (other.status_code, other.json()["head"]["status"]) == (401, 2003)


@pytest.mark.parametrize(
    ("sent", "http"),
    [
        (b"GET /readyz HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70_000, 431),
        (b"FOO / HTTP/1.1\r\n\r\n", 400),
        (b"POST /oauth2/token HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)
def test_what_is_not_http_is_refused_with_a_head_status(stack: Stack, sent: bytes, http: int) -> None:
    """Bytes that are no HTTP, or a head without end, get a problem detail and a closed connection."""
    host, port = stack.gateways[0].removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(sent)
        told = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = told.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {http} ".encode())
    assert orjson.loads(body)["head"]["status"] in (99, 102)


def test_a_caller_who_goes_away_leaves_no_defect(stack: Stack) -> None:
    """A connection that ends within its body is no error of ours and leaves no line in the log."""
    host, port = stack.gateways[0].removeprefix("http://").split(":")
    log = stack.home.log / "gateway-1.log"
    before = log.stat().st_size
    for head in (
        f"{stack.request()['path']} HTTP/1.1\r\nAuthorization: Bearer {stack.token}",
        "/oauth2/token HTTP/1.1",
    ):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            lines = f"POST {head}\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
            connection.sendall(lines.encode())
    assert stack.post(stack.body()).status_code == 200
    with log.open("rb") as file:
        file.seek(before)
        assert b"defect" not in file.read()


def test_a_forwarded_address_is_not_believed(stack: Stack) -> None:
    """The address that is judged is the connection's, whatever a header says."""
    headers = {
        "Authorization": f"Bearer {stack.token}",
        "X-Forwarded-For": "203.0.113.9",
        "Forwarded": "for=203.0.113.9",
    }
    answer = stack.http.post(stack.gateways[0] + stack.request()["path"], json=stack.body(), headers=headers)
    assert answer.json()["head"]["status"] == 0


def test_an_offer_of_another_protocol_is_passed_over(stack: Stack) -> None:
    """A request that offers HTTP/2 or a WebSocket, as Java's client does first, is answered in HTTP/1.1."""
    for offer in ("h2c", "websocket"):
        headers = {"Authorization": f"Bearer {stack.token}", "Connection": "Upgrade, HTTP2-Settings", "Upgrade": offer}
        headers["HTTP2-Settings"] = "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"
        answer = stack.http.post(stack.gateways[0] + stack.request()["path"], json=stack.body(), headers=headers)
        assert (answer.status_code, answer.json()["head"]["status"]) == (200, 0)


def test_trailers_are_bounded(stack: Stack) -> None:
    """A client that sends trailers without end is cut off."""
    host, port = stack.gateways[0].removeprefix("http://").split(":")
    lines = f"POST {stack.request()['path']} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(lines.encode())
        with pytest.raises(OSError):  # noqa: PT011, PT012  # a reset or a broken pipe
            for _ in range(1_000):
                connection.sendall(b"X-n: " + b"a" * 65_000 + b"\r\n")
                time.sleep(0.001)


def test_who_is_answered_early_can_read_the_answer(stack: Stack) -> None:
    """A large body with a bad token is taken to its end, so that its sender gets to read the 401."""
    body = {"head": {}, "data": {"content": "A" * (8 << 20)}}
    headers = {"Authorization": "Bearer not-a-token"}
    answer = stack.http.post(f"{stack.gateways[0]}/v1/VerifyCertificateFile", json=body, headers=headers)
    assert (answer.status_code, answer.json()["head"]["status"]) == (401, 11)


def test_a_body_that_nobody_wants_is_not_read_for_ever(stack: Stack) -> None:
    """A body without end behind an early refusal is cut off."""
    host, port = stack.gateways[0].removeprefix("http://").split(":")
    lines = "POST /v1/VerifyCertificateFile HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"a" * 65_536 + b"\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(lines.encode())
        with pytest.raises(OSError):  # noqa: PT011, PT012  # a reset or a broken pipe
            for _ in range(2_000):
                connection.sendall(chunk)
