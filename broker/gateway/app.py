"""The gateway as one expression: routes from the table of interfaces, errors as problem details, operation."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from broker.bus import telemetry
from broker.gateway.answers import Problem, problem
from broker.gateway.dialects import spoken
from broker.gateway.docs import docs_routes
from schemas import statuses
from schemas.interfaces import INTERFACES
from schemas.lot import LotError
from schemas.oauth import TOKEN_PATH
from schemas.registry import Dialect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from broker.gateway.files import FileDesk
    from broker.gateway.offers import Offers
    from broker.gateway.sharing import Desk
    from broker.gateway.token_endpoint import TokenEndpoint

_PATHS = frozenset(row.path for row in INTERFACES.values())  # other paths may hold anything


def build(
    *, desk: Desk, offers: Offers, files: FileDesk, token: TokenEndpoint, unready: Callable[[], str]
) -> Starlette:
    """The application of one gateway instance."""

    async def livez(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        away = unready()
        headers = {"Retry-After": "2"} if away else None
        return JSONResponse({"status": "unready" if away else "ready", "away": away}, 503 if away else 200, headers)

    async def metrics(_: Request) -> Response:
        telemetry.tell_ready(unready())
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    app = Starlette(
        routes=[
            *(
                Route(row.path, _in_dialect(partial(desk.share, interface=row)), methods=["POST"])
                for row in INTERFACES.values()
            ),
            Route("/v1/requests/{request_id}", _in_dialect(desk.look), methods=["GET"]),
            Route("/v1/scenes", _in_dialect(offers.scenes), methods=["GET"]),
            Route("/v1/types", _in_dialect(offers.types), methods=["GET"]),
            Route("/v1/files/{ticket}", files.download, methods=["GET"]),
            Route(TOKEN_PATH, token.grant, methods=["POST"]),
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            *docs_routes(),
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


def _in_dialect(tell: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return _spoken(request, await tell(request))

    return endpoint


def _spoken(request: Request, response: Response) -> Response:
    """The answer as the calling application reads it."""
    dialect = getattr(request.state, "dialect", Dialect.CERTLANE)
    if dialect is Dialect.CERTLANE:
        return response
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    return Response(spoken(bytes(response.body), dialect), response.status_code, headers)


async def _on_gone(_: Request, _error: Exception) -> Response:
    """Nobody is there to read it."""
    return Response(status_code=400)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _spoken(request, problem(error))


async def _on_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    http = error.status_code if error.status_code in (404, 405) else 400
    detail = "没有这个地址；全部地址见 /docs" if http == 404 else ""
    return problem(Problem(http, statuses.OTHER, detail, headers=error.headers))


async def _on_unavailable(request: Request, _error: Exception) -> Response:
    return _spoken(request, problem(Problem(503, statuses.UNREACHABLE, headers={"Retry-After": "2"})))


async def _on_defect(request: Request, error: Exception) -> Response:
    telemetry.log.error("defect", error, interface=request.url.path if request.url.path in _PATHS else "?")
    return _spoken(request, problem(Problem(500, statuses.OTHER)))
