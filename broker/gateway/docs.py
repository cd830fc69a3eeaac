"""GET /openapi.json and /docs, without a network; nobody carries either until somebody asks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

_JSON, _HTML = "application/json", "text/html; charset=utf-8"


class _Written(NamedTuple):
    """Both texts as they are sent, and the policy under which a browser may show the page."""

    openapi: bytes
    page: bytes
    policy: str


def docs_routes() -> list[Route]:
    """The routes of the document and of its page for people; the first call writes both, beside the loop."""
    written: list[_Written] = []

    async def texts() -> _Written:
        if not written:
            written[:] = [await asyncio.to_thread(_write)]
        return written[0]

    async def openapi(_: Request) -> Response:
        return Response((await texts()).openapi, media_type=_JSON)

    async def docs(_: Request) -> Response:
        told = await texts()
        headers = {
            "Content-Security-Policy": told.policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        return Response(told.page, headers=headers, media_type=_HTML)

    return [Route("/openapi.json", openapi), Route("/docs", docs)]


def _write() -> _Written:
    # Imported here: with the examples they are a megabyte that no call of an interface needs.
    import orjson  # noqa: PLC0415

    from broker.gateway.openapi import document  # noqa: PLC0415
    from broker.gateway.page import POLICY, page  # noqa: PLC0415

    told = document()
    return _Written(orjson.dumps(told), page(told).encode(), POLICY)
