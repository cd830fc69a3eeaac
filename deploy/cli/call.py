"""`certlane call`: one request to a running stack, by the Python client, and its answer as tables."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import orjson
import typer
from msgspec.structs import replace

from broker.client import Answer, Client, ClientError, Head, RefusedError
from deploy.cli.showing import show_answer, show_refusal
from deploy.cli.stack import Home, Json
from deploy.local.home import LocalStackError, home_of
from schemas.form import sm3_hex
from schemas.holders import CITIZEN_ID_TYPE, USCC_TYPE
from schemas.identifiers import is_uscc
from schemas.interfaces import INTERFACES
from schemas.regions import BY_PROVINCE
from schemas.sharing import DEFAULT_WAIT_SECONDS, DIGEST, MAX_WAIT_SECONDS

if TYPE_CHECKING:
    from deploy.local import home as local
    from schemas.interfaces import Interface
    from schemas.sharing import Asked

_BEYOND_SECONDS = 5.0  # what the gateway is asked to wait, the client waits a little longer


class Planned(NamedTuple):
    """A request ready to be sent: whose, and with which token."""

    row: Interface
    head: Head
    data: Asked
    token: str


def add_to(app: typer.Typer) -> None:
    """Add `call`."""
    app.command()(call)


def call(  # noqa: PLR0917 - the command's options
    what: Annotated[str, typer.Argument(help="I1 to I7, or how the name of a request in demo.json begins")],
    identifier: Annotated[str | None, typer.Option("--id", help="证照标识")] = None,
    holder: Annotated[str | None, typer.Option(help="持证主体代码")] = None,
    holder_type: Annotated[str | None, typer.Option(help="持证主体代码类型代码; by itself from the code")] = None,
    type_code: Annotated[str | None, typer.Option("--type", help="证照类型代码")] = None,
    number: Annotated[str | None, typer.Option(help="证照编号")] = None,
    code: Annotated[str | None, typer.Option(help="政务服务码")] = None,
    file: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="文件；只送其 SM3 摘要")] = None,
    fields: Annotated[list[str] | None, typer.Option("--field", help="only this field; may be repeated")] = None,
    province: Annotated[list[str] | None, typer.Option(help="ask this province; may be repeated")] = None,
    application: Annotated[str, typer.Option("--as", help="calling application")] = "",
    scene: Annotated[str, typer.Option(help="场景编码，报文头随之; by itself as in demo.json")] = "",
    auth: Annotated[str, typer.Option(help="head.authCode: 授权凭证，见 I7 的 authToken 或 certlane consent new")] = "",
    wait: Annotated[
        float, typer.Option(min=0, max=MAX_WAIT_SECONDS, help="seconds to wait for the answer")
    ] = DEFAULT_WAIT_SECONDS,
    gateway: Annotated[str, typer.Option(help="its address; by itself those of demo.json")] = "",
    save: Annotated[Path | None, typer.Option(help="bring the files of the answer into this folder")] = None,
    home: Home = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Ask one thing and show the answer; exit 0 when it was granted, in part too, else 1."""
    told = {
        "certificate_id": identifier,
        "holder_code": holder,
        "holder_type_code": holder_type or _holder_type(holder),
        "type_code": type_code,
        "number": number,
        "code": code,
        **({"content_type": DIGEST, "content": sm3_hex(file.read_bytes())} if file else {}),
        "fields": tuple(fields) if fields else None,
        "region_codes": tuple(BY_PROVINCE[one].code if one in BY_PROVINCE else one for one in province or ()),
    }
    document = _document(home_of(home))
    planned = plan(document, what, {name: value for name, value in told.items() if value}, application)
    planned = planned._replace(head=in_scene(document, planned.head, scene, auth))
    over = [gateway] if gateway else document["gateways"]
    with Client(over, token=planned.token, wait_seconds=wait, deadline_seconds=wait + _BEYOND_SECONDS) as client:
        raise typer.Exit(_call(client, planned, save=save, as_json=as_json))


def _document(home: local.Home) -> dict[str, Any]:
    path = home.path / "demo.json"
    if not path.exists():
        raise LocalStackError(f"there is no {path}; `certlane up` writes it")
    document: dict[str, Any] = orjson.loads(path.read_bytes())
    return document


def plan(document: dict[str, Any], what: str, told: dict[str, Any], application: str = "") -> Planned:
    """The request that is meant; what is not told is as in demo.json. Raises LocalStackError, typer.BadParameter."""
    base = _base(document, what, application)
    row = INTERFACES[base["interface"]]
    data = msgspec.convert(base["body"]["data"], row.request)
    if unknown := told.keys() - set(row.request.__struct_fields__):
        raise typer.BadParameter(f"{row.key} does not know {', '.join(sorted(unknown))}")
    if told.keys() - {"region_codes", "fields"}:
        # Another certificate or holder: of the demo's data only what must be there stays.
        needed = {one for names in row.required for one in names.split("|")} - told.keys()
        data = row.request(**{name: getattr(data, name) for name in needed})
    head = msgspec.convert(base["body"]["head"], Head)
    tokens = {one["id"]: one["token"] for one in document["applications"]}
    if application and application not in tokens:
        raise typer.BadParameter(f"applications of demo.json: {', '.join(tokens)}")
    token = tokens[application] if application else base.get("token", document["token"])
    return Planned(row, head, replace(data, **told), token)


def in_scene(document: dict[str, Any], head: Head, scene: str, auth: str = "") -> Head:
    """The head of demo.json's first request in this scenario, else this head in that scenario; with this consent."""
    heads = (one["body"]["head"] for one in document["requests"])
    found = next((one for one in heads if scene and one.get("sceneCode") == scene), None)
    if found is not None:
        head = replace(msgspec.convert(found, Head), auth_code=None)
    return replace(head, scene_code=scene or head.scene_code, auth_code=auth or head.auth_code)


def _base(document: dict[str, Any], what: str, application: str) -> dict[str, Any]:
    """The request of demo.json that this begins from: by its name, else the interface's first that succeeds."""
    requests = document["requests"]
    if what.upper() not in INTERFACES:
        named: dict[str, Any] | None = next((one for one in requests if one["name"].startswith(what)), None)
        if named is None:
            raise LocalStackError(f"demo.json has no request whose name begins with {what}; I1 to I7 name interfaces")
        return named
    token = next((one["token"] for one in document["applications"] if one["id"] == application), "")
    good = [one for one in requests if one["interface"] == what.upper() and one["expect"]["status"] == 0]
    own = [one for one in good if token and one.get("token", document["token"]) == token]
    if not good:
        raise LocalStackError(f"demo.json has no request of {what.upper()} that succeeds")
    return dict((own or good)[0])


def _holder_type(code: str | None) -> str | None:
    if code is None:
        return None
    return USCC_TYPE if is_uscc(code) else CITIZEN_ID_TYPE


def _call(client: Client, planned: Planned, *, save: Path | None, as_json: bool) -> int:
    """Ask, bring what files there are, show; the exit code."""
    begun = time.monotonic()
    try:
        answer = client.ask(planned.row.key, planned.data, planned.row.answer, head=planned.head)
        milliseconds = round((time.monotonic() - begun) * 1000, 1)
        files = _files(client, answer, save) if save else []
    except ClientError as error:
        milliseconds = round((time.monotonic() - begun) * 1000, 1)
        _say_refused(error, milliseconds, as_json=as_json)
        return 1
    if as_json:
        told = {**msgspec.to_builtins(answer), "milliseconds": milliseconds, "files": [str(path) for path in files]}
        print(orjson.dumps(told).decode())
    else:
        show_answer(planned.row, answer, milliseconds, files)
    return 0


def _files(client: Client, answer: Answer[Any], folder: Path) -> list[Path]:
    """Each file of the answer under its digest, which tells nobody's name."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [one for one in answer.data.data_list if hasattr(one, "file_digest")]
    return [client.download(one, folder / f"{one.file_digest[:16]}.{one.file_format}") for one in files]


def _say_refused(error: ClientError, milliseconds: float, *, as_json: bool) -> None:
    refused = error if isinstance(error, RefusedError) else None
    if not as_json:
        show_refusal(error, milliseconds)
        return
    told: dict[str, Any] = {"requestId": error.request_id, "milliseconds": milliseconds, "message": str(error)}
    if refused:
        told |= {
            "status": refused.code,
            "message": refused.message,
            "remedy": refused.remedy,
            "http": refused.http,
            "evidence": refused.evidence,
            "scenario": refused.scenario,
            "sources": msgspec.to_builtins(refused.sources),
        }
    print(orjson.dumps(told).decode())
    print(f"certlane: {error}", file=sys.stderr)
