"""The two clients: what a conversation asks for is done, once with and once without asyncio; nothing else is here."""

from __future__ import annotations

import asyncio
import functools
import random
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypedDict, TypeVar, Unpack

import httpx

from broker.bus.clock import now_ms
from broker.bus.keys import KeyFile, read_keys
from broker.client.conversation import Gateways
from broker.client.parts import DiskPart, inline
from broker.client.plans import Core
from broker.client.steps import Got, Pause, Send
from broker.client.tokens import Assertions, Tokens
from broker.client.transfer import Transfer
from schemas.sharing import DEFAULT_WAIT_SECONDS, Head

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from broker.client.conversation import Conversation
    from schemas.answers import CertificateFile

P = ParamSpec("P")
R = TypeVar("R")

_CONNECT_SECONDS = 3.0
_FILE_SECONDS = 600.0  # as long as a file can be fetched (DESIGN §10)


class Settings(TypedDict, total=False):
    """With a `token`, or with the `application` and its `keys`: then tokens are got and renewed by themselves.

    `node`: for whom an assertion is, else for the token address of the gateway that is asked. `head`: the standing
    facts of all calls. `wait_seconds`: how long a gateway holds the line. `deadline_seconds`: bounds each call.
    """

    token: str
    application: str
    keys: Path | KeyFile
    node: str
    head: Head
    wait_seconds: float
    deadline_seconds: float


class _Client:
    """What both clients are given, and what they make of it."""

    def __init__(self, gateways: str | Sequence[str], told: Settings) -> None:
        """Raises ValueError without a gateway, or without either token or keys."""
        addresses = (gateways,) if isinstance(gateways, str) else tuple(gateways)
        if not addresses or not all(one.startswith(("http://", "https://")) for one in addresses):
            raise ValueError("gateways: at least one address, each beginning with http:// or https://")
        token, keys, application = told.get("token", ""), told.get("keys"), told.get("application", "")
        if bool(token) == (keys is not None) or (keys is not None and not application):
            raise ValueError("either token, or application and keys")
        assertions = None
        if keys is not None:
            held = read_keys(keys) if isinstance(keys, Path) else keys
            node = told.get("node", "")
            assertions = Assertions(keys=held, application=application, node=node, wall_ms=now_ms)
        self._core = Core(
            gateways=Gateways(addresses),
            tokens=Tokens(given=token, assertions=assertions),
            head=told.get("head", Head()),
            wait_seconds=told.get("wait_seconds", DEFAULT_WAIT_SECONDS),
            deadline_seconds=told.get("deadline_seconds"),
            now=time.monotonic,
            wall_ms=now_ms,
            draw=random.random,
        )

    def _transfer(self, file: CertificateFile, to: Path, seconds: float) -> Transfer:
        """The conversation that brings this file; of one that came inline there is nothing left to ask."""
        core = self._core
        times, part = core.times(seconds), DiskPart(to, file)
        if (content := inline(file)) is not None:
            part.restart()
            part.append(content)
        return Transfer(file, part=part, times=times, renewable=core.tokens.renewable)


def _sending(step: Send, token: str) -> dict[str, Any]:
    headers = {**step.headers, "authorization": f"Bearer {token}"} if step.authorised else dict(step.headers)
    timeout = httpx.Timeout(step.timeout_seconds, connect=min(_CONNECT_SECONDS, step.timeout_seconds))
    return {"method": step.method, "url": step.url, "headers": headers, "content": step.body, "timeout": timeout}


def _whole(response: httpx.Response) -> Got:
    return Got(response.status_code, response.headers, response.content)


async def _aside(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do this in a thread, as the disk may be slow; whoever is cancelled waits for it: it writes to a file."""
    doing = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        raise


def _later(
    plan: Callable[Concatenate[Core, P], Conversation[R]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]]:
    @functools.wraps(plan)
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._hold(plan(self._core, *args, **kwargs))

    return method


def _now(plan: Callable[Concatenate[Core, P], Conversation[R]]) -> Callable[Concatenate[Client, P], R]:
    @functools.wraps(plan)
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._hold(plan(self._core, *args, **kwargs))

    return method


class AsyncClient(_Client):
    """Asks a node's gateways; `async with`, or `aclose` at the end."""

    def __init__(
        self, gateways: str | Sequence[str], *, http: httpx.AsyncClient | None = None, **told: Unpack[Settings]
    ) -> None:
        super().__init__(gateways, told)
        self._http = http or httpx.AsyncClient(trust_env=False)
        self._renewing = asyncio.Lock()

    search = _later(Core.search)
    file_by_id = _later(Core.file_by_id)
    file_by_holder = _later(Core.file_by_holder)
    data_by_id = _later(Core.data_by_id)
    data_by_holder = _later(Core.data_by_holder)
    verify_file = _later(Core.verify_file)
    verify_code = _later(Core.verify_code)
    ask = _later(Core.ask)
    collect = _later(Core.collect)
    rest = _later(Core.rest)
    scenes = _later(Core.scenes)
    types = _later(Core.types)

    async def download(self, file: CertificateFile, to: Path, *, deadline_seconds: float = _FILE_SECONDS) -> Path:
        """Bring a file of an answer to this path: resumed where it broke, its size and SM3 checked.

        Raises ClientError. A file can be fetched once, for ten minutes, by the application that asked for it.
        """
        with closing(await _aside(self._transfer, file, to, deadline_seconds)) as transfer:
            return await self._hold(transfer)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _hold(self, talk: Conversation[R]) -> R:
        now, token = self._core.now, ""
        while (step := talk.next(now())) is not None:
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                continue
            if step.authorised:
                token = await self._token(token if step.fresh else "", talk)
            try:
                if isinstance(talk, Transfer):
                    await self._stream(talk, _sending(step, token))
                else:
                    talk.got(_whole(await self._http.request(**_sending(step, token))), now())
            except httpx.RequestError:
                talk.broke(now())
        return talk.result

    async def _stream(self, transfer: Transfer, sending: dict[str, Any]) -> None:
        async with self._http.stream(**sending) as response:
            if not transfer.opened(response.status_code, response.headers):
                await response.aread()
                transfer.got(_whole(response), self._core.now())
                return
            try:
                async for chunk in response.aiter_raw():
                    await _aside(transfer.chunk, chunk)
            except httpx.RequestError:
                pass  # what came stays; it goes on from there
            await _aside(transfer.closed, self._core.now())

    async def _token(self, not_this: str, talk: Conversation[R]) -> str:
        tokens, now = self._core.tokens, self._core.now
        if token := tokens.current(now(), not_this=not_this):
            return token
        async with self._renewing:  # many calls, one renewal
            if token := tokens.current(now(), not_this=not_this):
                return token
            return tokens.take(await self._hold(tokens.conversation(talk.times.alike())), now())


class Client(_Client):
    """The same without asyncio; threads may share one."""

    def __init__(
        self, gateways: str | Sequence[str], *, http: httpx.Client | None = None, **told: Unpack[Settings]
    ) -> None:
        super().__init__(gateways, told)
        self._http = http or httpx.Client(trust_env=False)
        self._renewing = threading.Lock()

    search = _now(Core.search)
    file_by_id = _now(Core.file_by_id)
    file_by_holder = _now(Core.file_by_holder)
    data_by_id = _now(Core.data_by_id)
    data_by_holder = _now(Core.data_by_holder)
    verify_file = _now(Core.verify_file)
    verify_code = _now(Core.verify_code)
    ask = _now(Core.ask)
    collect = _now(Core.collect)
    rest = _now(Core.rest)
    scenes = _now(Core.scenes)
    types = _now(Core.types)

    def download(self, file: CertificateFile, to: Path, *, deadline_seconds: float = _FILE_SECONDS) -> Path:
        """Bring a file of an answer to this path, as the other client does."""
        with closing(self._transfer(file, to, deadline_seconds)) as transfer:
            return self._hold(transfer)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hold(self, talk: Conversation[R]) -> R:
        now, token = self._core.now, ""
        while (step := talk.next(now())) is not None:
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                continue
            if step.authorised:
                token = self._token(token if step.fresh else "", talk)
            try:
                if isinstance(talk, Transfer):
                    self._stream(talk, _sending(step, token))
                else:
                    talk.got(_whole(self._http.request(**_sending(step, token))), now())
            except httpx.RequestError:
                talk.broke(now())
        return talk.result

    def _stream(self, transfer: Transfer, sending: dict[str, Any]) -> None:
        with self._http.stream(**sending) as response:
            if not transfer.opened(response.status_code, response.headers):
                response.read()
                transfer.got(_whole(response), self._core.now())
                return
            try:
                for chunk in response.iter_raw():
                    transfer.chunk(chunk)
            except httpx.RequestError:
                pass  # what came stays; it goes on from there
            transfer.closed(self._core.now())

    def _token(self, not_this: str, talk: Conversation[R]) -> str:
        tokens, now = self._core.tokens, self._core.now
        if token := tokens.current(now(), not_this=not_this):
            return token
        with self._renewing:  # many calls, one renewal
            if token := tokens.current(now(), not_this=not_this):
                return token
            return tokens.take(self._hold(tokens.conversation(talk.times.alike())), now())
