"""POST /oauth2/token."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.responses import JSONResponse

from broker.bus.clock import now_ms
from broker.bus.redis import prefix
from broker.gateway.tokens import TOKEN_SECONDS, check_assertion, issue
from schemas import statuses
from schemas.oauth import ASSERTION_TYPE, GRANT_TYPE, TOKEN_PATH
from schemas.statuses import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis
    from starlette.requests import Request
    from starlette.responses import Response

    from broker.bus.keys import KeySigner
    from broker.gateway.reading import BodyReader
    from broker.registry.snapshot import Snapshot

_MAX_FORM_BYTES = 16_384


class TokenEndpoint:
    """POST /oauth2/token: client credentials with a signed assertion (RFC 6749 §4.4, RFC 7523)."""

    def __init__(
        self,
        *,
        node: str,
        public_url: str,
        signer: KeySigner,
        redis: Redis,
        snapshot: Callable[[], Snapshot],
        bodies: BodyReader,
    ) -> None:
        self._node, self._signer, self._redis, self._snapshot, self._bodies = node, signer, redis, snapshot, bodies
        self._audiences = frozenset({node, f"{public_url.rstrip('/')}{TOKEN_PATH}"})

    async def grant(self, request: Request) -> Response:
        """A token for a good assertion, each assertion once."""
        async with self._bodies.reading(request, _MAX_FORM_BYTES) as raw:
            form = {name: values[0] for name, values in parse_qs(raw.decode("latin-1")).items()}
        if form.get("grant_type") != GRANT_TYPE:
            return _oauth_error(400, "unsupported_grant_type", f"grant_type 应为 {GRANT_TYPE}")
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
