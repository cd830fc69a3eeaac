"""The gateway as one expression: routes from the table of interfaces, errors as problem details, operation."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.redis import prefix
from broker.gateway.answers import Problem, problem
from broker.gateway.openapi import document
from broker.gateway.sharing import bounded
from broker.gateway.tokens import ASSERTION_TYPE, TOKEN_SECONDS, check_assertion, issue
from schemas import statuses
from schemas.interfaces import TYPED
from schemas.lot import LotError
from schemas.statuses import RefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis
    from starlette.requests import Request

    from broker.bus.keys import KeySigner
    from broker.gateway.sharing import Desk
    from broker.registry.snapshot import Snapshot
    from schemas.interfaces import Interface

_MAX_FORM_BYTES = 16_384
_PATHS = frozenset(row.path for row in TYPED.values())  # other paths may hold anything


class TokenEndpoint:
    """POST /oauth2/token: client credentials with a signed assertion (RFC 6749 §4.4, RFC 7523)."""

    def __init__(
        self, *, node: str, public_url: str, signer: KeySigner, redis: Redis, snapshot: Callable[[], Snapshot]
    ) -> None:
        self._node, self._signer, self._redis, self._snapshot = node, signer, redis, snapshot
        self._audiences = frozenset({node, f"{public_url.rstrip('/')}/oauth2/token"})

    async def grant(self, request: Request) -> Response:
        """A token for a good assertion, each assertion once."""
        raw = await bounded(request, _MAX_FORM_BYTES)
        form = {name: values[0] for name, values in parse_qs(raw.decode("latin-1")).items()}
        if form.get("grant_type") != "client_credentials":
            return _oauth_error(400, "unsupported_grant_type", "grant_type 应为 client_credentials")
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            return _oauth_error(400, "invalid_request", f"client_assertion_type 应为 {ASSERTION_TYPE}")
        now = now_ms() // 1000
        try:
            claims = check_assertion(
                form.get("client_assertion", ""),
                client_id=form.get("client_id", ""),
                node=self._node,
                audiences=self._audiences,
                snapshot=self._snapshot(),
                now=now,
            )
        except RefusedError as error:
            return _oauth_error(401, "invalid_client", error.detail, error.code)
        once = f"{prefix(self._node)}jti:{claims.sub}:{claims.jti}"
        if not await self._redis.set(once, "1", nx=True, ex=600):
            return _oauth_error(401, "invalid_client", "该断言已使用过，请重新签发", statuses.REPLAYED)
        token = issue(self._signer, node=self._node, application=claims.sub, now=now)
        body = {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS}
        return JSONResponse(body, headers={"Cache-Control": "no-store"})


def _oauth_error(http: int, error: str, description: str, status: int = statuses.UNAUTHENTICATED) -> Response:
    head = {"status": status, "message": description, "timestamp": now_ms()}
    return JSONResponse({"error": error, "error_description": description, "head": head}, http)


def build(*, desk: Desk, token: TokenEndpoint, unready: Callable[[], str]) -> Starlette:
    """The application of one gateway instance."""
    openapi = orjson.dumps(document())

    async def livez(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        away = unready()
        headers = {"Retry-After": "2"} if away else None
        return JSONResponse({"status": "unready" if away else "ready", "away": away}, 503 if away else 200, headers)

    async def metrics(_: Request) -> Response:
        telemetry.READY.set(0 if unready() else 1)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def openapi_json(_: Request) -> Response:
        return Response(openapi, media_type="application/json")

    app = Starlette(
        routes=[
            *(Route(row.path, _sharing(desk, row), methods=["POST"]) for row in TYPED.values()),
            Route("/v1/requests/{request_id}", desk.look, methods=["GET"]),
            Route("/oauth2/token", token.grant, methods=["POST"]),
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/openapi.json", openapi_json),
        ],
        exception_handlers={
            Problem: _on_problem,
            HTTPException: _on_http,
            RedisError: _on_unavailable,
            LotError: _on_unavailable,  # no registry yet
            ClientDisconnect: _on_gone,
            Exception: _on_defect,
        },
    )
    app.router.redirect_slashes = False  # a redirect would be built from the caller's own Host
    return app


def _sharing(desk: Desk, interface: Interface) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await desk.share(request, interface)

    return endpoint


async def _on_gone(_: Request, _error: Exception) -> Response:
    """Nobody is there to read it."""
    return Response(status_code=400)


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem(error)


async def _on_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    http = error.status_code if error.status_code in (404, 405) else 400
    return problem(Problem(http, statuses.OTHER, headers=error.headers))


async def _on_unavailable(_: Request, _error: Exception) -> Response:
    return problem(Problem(503, statuses.UNREACHABLE, headers={"Retry-After": "2"}))


async def _on_defect(request: Request, error: Exception) -> Response:
    telemetry.log.error("defect", error, interface=request.url.path if request.url.path in _PATHS else "?")
    return problem(Problem(500, statuses.OTHER))
