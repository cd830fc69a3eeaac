"""`certlane consent`: a simulated consent service gives a holder's yes, and takes it back."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Annotated

import msgspec
import orjson
import typer

from broker.bus.clock import iso, now_ms
from broker.bus.keys import read_keys
from deploy.cli.stack import Home, Json
from deploy.local.home import LocalStackError, home_of
from schemas.consents import MAX_CONSENT_CHARS, Consent
from schemas.filing import Action, Transition
from schemas.jose import MALFORMED, JoseError, parse_jws
from schemas.regions import PROVINCES

if TYPE_CHECKING:
    from broker.bus.keys import KeyFile
    from broker.registry.snapshot import Snapshot
    from deploy.local import home as local

app = typer.Typer(help="consents of holders, by a simulated consent service (模拟授权服务)", no_args_is_help=True)

_MINUTE_MS = 60_000
_YEAR_MS = 31_536_000_000  # about as long as a withdrawal is kept at most
_ID = re.compile("[0-9a-f]{32}")
_SIMULATED = "simulated: no app asked anybody, the province's key in this home signed (模拟授权，仅供演示)"

Province = Annotated[str, typer.Option(help="who gives it: its keys lie in the stack's folder")]


@app.command()
def new(  # noqa: PLR0917 - the command's options
    scene: Annotated[str, typer.Option(help="in which scenario")],
    holder: Annotated[str, typer.Option(help="the holder's code (citizen's number or USCC)")],
    province: Province = "31",
    agent: Annotated[str, typer.Option(help="code of who acts for the holder: a mandate (委托)")] = "",
    level: Annotated[int | None, typer.Option(min=0, max=4, help="real-name level; by itself the scenario's")] = None,
    types: Annotated[list[str] | None, typer.Option(help="only this type; may be repeated")] = None,
    case: Annotated[str, typer.Option(help="only for this head.businessCode")] = "",
    application: Annotated[str, typer.Option(help="for whom; by itself the scenario's first")] = "",
    minutes: Annotated[int, typer.Option(min=1, max=525_600)] = 10,
    home: Home = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Print a consent's token, for head.authCode (ONLINE or AGENT; of a scenario of codes: CODE)."""
    from deploy.demo.consents import Yes, new_consent  # noqa: PLC0415

    where = home_of(home)
    keys, snapshot, now = _keys(where, province), asyncio.run(_registry(where)), now_ms()
    known = snapshot.scenes.get(scene)
    least = known.scene.consent.level if known else 0
    yes = Yes(
        scene=scene,
        holder_code=holder,
        until=now + minutes * _MINUTE_MS,
        agent=agent,
        level=least if level is None else level,
        types=tuple(types or ()),
        case=case,
        application=application,
    )
    try:
        consent, token = new_consent(yes, keys, snapshot, now)
    except (LookupError, ValueError) as error:
        raise LocalStackError(str(error.args[0])) from error
    typer.echo(f"{_SIMULATED}; id {consent.id}, until {iso(consent.exp)}", err=True)
    if as_json:
        told = {"id": consent.id, "token": token, "mode": consent.mode, "types": consent.types, "until": consent.exp}
        print(orjson.dumps(told | {"province": province, "once": consent.once}).decode())
        return
    print(token)


@app.command()
def withdraw(
    consent: Annotated[str, typer.Argument(help="its id, or the token itself")],
    province: Province = "31",
    home: Home = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Take a consent back for its holder: from the registry's next version on it is none (3009)."""
    name, until = _named(consent, province)
    version = asyncio.run(_withdraw(home_of(home), name, until))
    print(orjson.dumps({"consent": name, "registry": version}).decode() if as_json else f"version {version}: {name}")


def _named(consent: str, province: str) -> tuple[str, int]:
    """The name under which it is withdrawn, and until when that must be remembered (unix ms)."""
    if _ID.fullmatch(consent):
        return f"{province}.{consent}", now_ms() + _YEAR_MS - _MINUTE_MS
    try:
        claims = msgspec.json.decode(parse_jws(consent.strip().encode(), MAX_CONSENT_CHARS).payload, type=Consent)
    except (JoseError, *MALFORMED) as error:
        raise typer.BadParameter("this is neither a consent's id nor its token") from error
    return claims.name, claims.exp


def _keys(home: local.Home, province: str) -> KeyFile:
    path = home.keys / f"{province}.json"
    if province not in PROVINCES or not path.exists():
        raise LocalStackError(f"no keys of a province {province} in {home.keys}; `certlane up` makes them")
    return read_keys(path)


async def _withdraw(home: local.Home, name: str, until: int) -> int:
    """Sign it as the province that issued it; the registry's version that knows it."""
    from broker.registry.walk import new_intake  # noqa: PLC0415
    from deploy.local import ports  # noqa: PLC0415
    from deploy.local.desk import Desk  # noqa: PLC0415

    async with Desk(home, ports.remembered(home).bootstrap) as desk:
        wish = Transition(action=Action.WITHDRAW, key=name, until=until)
        await desk.hand_in([new_intake(name.partition(".")[0], [wish], now_ms())])
        return desk.trusted.version


async def _registry(home: local.Home) -> Snapshot:
    """What is in force, verified."""
    from deploy.local import ports  # noqa: PLC0415
    from deploy.local.desk import Desk  # noqa: PLC0415

    async with Desk(home, ports.remembered(home).bootstrap) as desk:
        if desk.trusted.snapshot is None:
            raise LocalStackError("nothing is published; `certlane registry apply` a folder")
        return desk.trusted.snapshot
