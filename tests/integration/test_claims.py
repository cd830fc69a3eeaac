"""The marks of fetched files, on real Redis: one download comes to the end, and a broken one makes room."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from broker.bus.clock import now_ms
from broker.gateway import claims
from broker.gateway.claims import Claims, SpentError
from schemas.items import Ticket

if TYPE_CHECKING:
    from redis.asyncio import Redis

TICKET = Ticket(address="0a" * 16, key="", enc="A256GCM", size=1, expires=now_ms() + 600_000)
KEY = f"certlane:31-yct:file:{TICKET.address}"


@pytest.fixture
def marks(connection: Redis, monkeypatch: pytest.MonkeyPatch) -> Claims:
    monkeypatch.setattr(claims, "_GRACE_SECONDS", 0.1)
    return Claims(connection, "31-yct")


async def test_one_of_many(marks: Claims) -> None:
    """Of many downloads exactly one may send the last byte."""
    told = await asyncio.gather(*(marks.take(TICKET) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(one, str) for one in told) == 1
    assert sum(isinstance(one, SpentError) for one in told) == 19
    with pytest.raises(SpentError):
        await marks.check(TICKET)


@pytest.mark.parametrize("what", ["check", "take"])
async def test_given_back_in_time(marks: Claims, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks again before the break of the first download was noticed waits for it."""
    monkeypatch.setattr(claims, "_GRACE_SECONDS", 60.0)
    token = await marks.take(TICKET)
    waiting: asyncio.Future[str | None] = asyncio.ensure_future(getattr(marks, what)(TICKET))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await marks.give_back(TICKET, token)
    assert await waiting != token


async def test_only_ones_own_is_given_back(marks: Claims) -> None:
    """A download that does not hold the mark cannot give it back."""
    await marks.take(TICKET)
    await marks.give_back(TICKET, "another")
    with pytest.raises(SpentError):
        await marks.take(TICKET)


async def test_spent(marks: Claims, connection: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was fetched is so for everybody at once, until after its ticket has ended."""
    monkeypatch.setattr(claims, "_GRACE_SECONDS", 60.0)
    token = await marks.take(TICKET)
    await marks.spend(TICKET)
    await marks.give_back(TICKET, token)
    async with asyncio.timeout(30):
        with pytest.raises(SpentError):
            await marks.check(TICKET)
    assert await connection.pexpiretime(KEY) == TICKET.expires + 600_000


async def test_each_file_and_node_by_itself(marks: Claims, connection: Redis) -> None:
    """A mark is one file's of one node, and named by its address alone."""
    await marks.take(TICKET)
    await Claims(connection, "31-other").take(TICKET)
    assert set(await connection.keys()) == {KEY.encode(), KEY.replace("yct", "other").encode()}
