"""The story that `make demo` plays: 新生儿出生一件事, through all seven interfaces (DOMAIN §8.6).

A service in Shanghai serves a mother who was married in Anhui. By showing her code she agrees to what is then asked of
her certificates, once each; what is asked twice, or beyond the scenario, is refused, and one province is down. Then
every request of demo.json is sent as well, and the picture shows where the time went.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import orjson

from broker.bus.clock import now_ms
from broker.client import Client, Head, RefusedError
from deploy.demo.asking import CODE, mother
from deploy.demo.codes import issue_code
from deploy.demo.document import document_path
from deploy.demo.picture import phases, show_phases, show_story
from deploy.local import commands
from deploy.tracing import trace
from schemas.answers import SourceState
from schemas.regions import BY_CODE, PROVINCES
from schemas.service_codes import CODE_LIFE_MS
from workers.stores.sqlite_layout import read_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.client import Answer
    from deploy.local.home import Home
    from schemas.certificates import CertificateRecord

_SECONDS = 20.0
_APPLICATION = "yct-newborn"
_DOWN = "33"
_HEAD = Head(
    scene_code="YRD-310000-2026-00006",  # 亮码: it lives on what the holder agrees to
    org_name="上海市新生儿服务专窗（演示）",
    org_code="11310000MB9A0003XP",
    username="窗口三号（演示）",
    item_name="新生儿出生一件事",
    item_code="11310000MB9A0003XP2000612002001",
    business_code="DEMO-2026-000002",
    use_for="GOV_SERVICE",
)
_BY_STATUTE = Head(scene_code="YRD-310000-2026-00005")  # the same service, without the holder's consent
_STATES = {
    SourceState.ANSWERED: "有",
    SourceState.EMPTY: "无",
    SourceState.REFUSED: "拒绝",
    SourceState.LATE: "迟",
    SourceState.UNAVAILABLE: "停机",
}


class Row(NamedTuple):
    """One call of the story: what was asked, of whom, what came of it and how long it took."""

    name: str
    interface: str
    provinces: tuple[str, ...]
    status: int
    message: str
    milliseconds: float
    evidence: str
    request_id: str
    as_expected: bool


def play(home: Home, *, as_json: bool) -> int:
    """Play it on the stack of this home; 0 when everything was as expected."""
    document = orjson.loads(document_path(home).read_bytes())
    with httpx.Client(trust_env=False, timeout=_SECONDS) as http:
        requests = [_call(http, document, number, one) for number, one in enumerate(document["requests"])]
        repeat = _repeat(http, document)
    rows = _Story(home, document).play()
    traces = asyncio.run(_traces(home, rows))
    if as_json:
        story, times = [row._asdict() for row in rows], [one._asdict() for one in phases(traces)]
        print(orjson.dumps({"story": story, "requests": requests, "repeat": repeat, "phases": times}).decode())
    else:
        show_story(rows)
        wrong = [one["name"] for one in requests if not one["asExpected"]]
        print(f"\ndemo.json 的 {len(requests)} 个请求：{len(requests) - len(wrong)} 个与预期一致")
        print("同一 requestId 先后提交给两个网关：", "同一份答复" if repeat["same"] else "答复不一致！")
        print("同一 requestId、不同内容：HTTP", repeat["otherBody"], "\n")
        show_phases(traces)
    missed = [row.name for row in rows if not row.as_expected]
    missed += [one["name"] for one in requests if not one["asExpected"]]
    if missed or not repeat["same"] or not traces:
        print("与预期不符：", ", ".join(missed) or "重复提交或追踪")
        return 1
    return 0


class _Story:
    """The calls in their order; what one of them tells the next one asks with."""

    def __init__(self, home: Home, document: dict[str, Any]) -> None:
        token = next(one["token"] for one in document["applications"] if one["id"] == _APPLICATION)
        self._home, self._rows = home, list[Row]()
        self._client = Client(document["gateways"], token=token, head=_HEAD, deadline_seconds=_SECONDS)
        stores = {province: list(read_store(home.store / f"{province}.db")) for province in PROVINCES}
        self._mother = mother(stores)

    def play(self) -> list[Row]:
        birth, marriage = self._mother["出生医学证明"], self._mother["结婚证"]
        ends = now_ms() + CODE_LIFE_MS
        code = issue_code(self._home, "34", expires_at=ends, holder_code=marriage.holder_code).code
        client, holder = self._client, _holder(marriage)
        of_marriage = {**holder, "type_code": CODE["结婚证"], "region_codes": ("340000",)}
        file = self._home.run / f"{birth.certificate_id}.ofd"
        with client:
            shown = self._tell(
                "核验母亲出示的安徽政务服务码，得到授权",
                "I7",
                lambda: client.verify_code(code=code, pos="窗口", use="办事"),
            )
            yes = Head(auth_code=shown.data.data_list[0].auth_token if shown else None)
            self._tell("凭授权检索母亲在四省的证照", "I1", lambda: client.search(**holder, head=yes))
            self._tell("凭授权按持证主体取安徽的结婚证", "I5", lambda: client.data_by_holder(**of_marriage, head=yes))
            self._tell(
                "同一授权再取一次：已使用，拒绝", "I5", lambda: client.data_by_holder(**of_marriage, head=yes), 3009
            )
            self._tell(
                "凭授权按标识取上海的出生医学证明",
                "I4",
                lambda: client.data_by_id(certificate_id=birth.certificate_id, head=yes),
            )
            told = self._tell(
                "凭授权下载出生医学证明的原件",
                "I2",
                lambda: client.file_by_id(certificate_id=birth.certificate_id, original=True, head=yes),
            )
            if told:
                client.download(told.data.data_list[0], file)
                proof = file.read_bytes()
                self._tell(
                    "核验下载的原件",
                    "I6",
                    lambda: client.verify_file(
                        type_code=birth.type_code, content=proof, certificate_id=birth.certificate_id, head=yes
                    ),
                )
            self._tell("凭授权按持证主体下载结婚证文件", "I3", lambda: client.file_by_holder(**of_marriage, head=yes))
            self._tell(
                "点名要了场景不给的住址：拒绝",
                "I5",
                lambda: client.data_by_holder(**holder, type_code=CODE["居民身份证"], fields=("KZ_ZZ",), head=yes),
                3007,
            )
            self._tell("没有授权：拒绝", "I5", lambda: client.data_by_holder(**of_marriage), 3008)
            commands.stop(self._home.path, f"worker-{_DOWN}")
            self._tell("浙江停机时依法定职责检索四省", "I1", lambda: client.search(**holder, head=_BY_STATUTE), 7003)
        return self._rows

    def _tell(self, name: str, interface: str, ask: Callable[[], Answer[Any]], expected: int = 0) -> Answer[Any] | None:
        begun = time.monotonic()
        answer: Answer[Any] | None = None
        try:
            told: Answer[Any] | RefusedError = (answer := ask())
            status, message = answer.status, answer.message
        except RefusedError as error:
            told, status, message = error, error.code, error.message
        provinces = tuple(f"{BY_CODE[one.region_code].name} {_STATES[one.state]}" for one in told.sources)
        self._rows.append(
            Row(
                name=name,
                interface=interface,
                provinces=provinces or (told.evidence[:2],),
                status=status,
                message=message,
                milliseconds=round((time.monotonic() - begun) * 1000, 1),
                evidence=told.evidence,
                request_id=told.request_id,
                as_expected=status == expected,
            )
        )
        return answer


def _holder(record: CertificateRecord) -> dict[str, Any]:
    return {
        "holder_code": record.holder_code,
        "holder_type_code": record.holder_type_code,
        "holder_name": record.holder_name,
    }


async def _traces(home: Home, rows: list[Row]) -> list[Any]:
    return [one for row in rows if row.request_id for one in await trace(home, row.request_id)]


def _call(http: httpx.Client, document: dict[str, Any], number: int, one: dict[str, Any]) -> dict[str, Any]:
    """One request of demo.json, to the gateways in turn."""
    answer = _post(http, document["gateways"][number % len(document["gateways"])], document, one, uuid.uuid4().hex)
    told = {"http": answer.status_code, "status": answer.json()["head"]["status"]}
    return {"name": one["name"], "interface": one["interface"], **told, "asExpected": told == one["expect"]}


def _post(
    http: httpx.Client, gateway: str, document: dict[str, Any], one: dict[str, Any], request_id: str
) -> httpx.Response:
    body = {"head": one["body"]["head"] | {"requestId": request_id}, "data": one["body"]["data"]}
    headers = {"Authorization": f"Bearer {one.get('token', document['token'])}", "Prefer": "wait=15"}
    return http.post(gateway + one["path"], json=body, headers=headers)


def _repeat(http: httpx.Client, document: dict[str, Any]) -> dict[str, Any]:
    """The same request at both gateways, then another one under its id."""
    first, other = document["requests"][0], document["requests"][1]
    request_id = uuid.uuid4().hex
    answers = [_post(http, gateway, document, first, request_id).json() for gateway in document["gateways"]]
    same = answers[0]["data"] == answers[1]["data"] and answers[0]["head"]["evidence"] == answers[1]["head"]["evidence"]
    return {"same": same, "otherBody": _post(http, document["gateways"][0], document, other, request_id).status_code}
