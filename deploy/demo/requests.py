"""The demonstration's requests: one that succeeds for each province, and one refused for each code that is shown."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from deploy.demo.asking import CODE, READABLE, Question, first, questions
from schemas.identifiers import make_certificate_id, parse_certificate_id
from schemas.regions import PROVINCES
from workers.stores.sqlite_layout import read_store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.local.home import Home
    from schemas.certificates import CertificateRecord

SCENE = "YRD-310000-2026-00001"
_ITEM = "11310000MB9A0001XM2000142001001"
_HEAD = {
    "sceneCode": SCENE,
    "orgName": "上海市企业服务中心（演示）",
    "orgCode": "11310000MB9A0001XM",
    "username": "窗口一号（演示）",
    "itemName": "企业设立登记",
    "itemCode": _ITEM,
    "businessCode": "DEMO-2026-000001",
    "useFor": "BUSINESS_REGISTRATION",
}
_REAL_ESTATE: dict[str, Any] = {
    "sceneCode": "YRD-310000-2026-00002",
    "itemName": "国有建设用地使用权及房屋所有权转移登记",
    "itemCode": "11310000MB9A0001XM2000715001001",
    "useFor": "REAL_ESTATE",
}


class DemoRequest(NamedTuple):
    """One request, ready to send but for its request id; `token` names an application, or is a bad token.

    `more` is what else is known of its answer: a file's size and SM3, a verdict.
    """

    name: str
    interface: str
    body: dict[str, Any]
    http: int
    status: int
    token: str = ""
    more: dict[str, Any] = {}  # noqa: RUF012  # never changed


def demo_requests(home: Home) -> list[DemoRequest]:
    """All of them, on certificates of the stores as they lie in this home."""
    stores = {province: list(read_store(home.store / f"{province}.db")) for province in PROVINCES}
    licence, identity = CODE["营业执照"], CODE["居民身份证"]
    good = str(_one(stores["32"], licence))
    person = _one(stores["32"], identity)
    out = [_request(f"{province} 查得营业执照", str(_one(stores[province], licence)), 0) for province in PROVINCES]
    out += [
        _request("32 查得居民身份证，部分字段掩码", person, 0),
        _request("33 只要两个字段", _one(stores["33"], identity), 0, fields=["KZ_XM", "certificateName"]),
        _request(
            "34 由第二个应用查得结婚证",
            _one(stores["34"], CODE["结婚证"]),
            0,
            application="yct-realestate",
            **_REAL_ESTATE,
        ),
        _request("未找到", _absent(licence, stores["32"]), 10),
        _request("令牌无法识别", good, 11, http=401, application="not-a-token"),
        _request("缺少办件编号", good, 12, businessCode=None),
        _request("证照类型未在该省发布", _absent(CODE["社会保障卡"], stores["33"]), 13),
        _request("已注销", _with_status(stores["31"], "CANCELLED"), 21),
        _request("已过期", _with_status(stores["32"], "EXPIRED"), 22),
        _request("已暂停使用", _with_status(stores["33"], "SUSPENDED"), 23),
        _request("场景不存在", good, 3001, sceneCode="YRD-310000-2026-99999"),
        _request("场景已暂停", good, 3001, sceneCode="YRD-310000-2026-00004"),
        _request("场景尚未生效", good, 3002, sceneCode="YRD-310000-2026-00003"),
        _request("事项不在场景内", good, 3003, itemCode="11310000MB9A0001XM2000999001001"),
        _request("应用未获授权", good, 3004, application="yct-realestate"),
        _request("证照类型未授权", _one(stores["32"], CODE["出生医学证明"]), 3005),
        _request("接口未授权", _one(stores["32"], CODE["结婚证"]), 3006),
        _request("点名要了未授权的字段", person, 3007, fields=["KZ_XM", "KZ_ZZ"]),
        _request("用途不符", good, 3011, useFor="SUPERVISION"),
        _request("没有经办人", good, 3013, username=None),
        _request("证照标识格式不对", "1.2.156.3005.2.not-an-identifier", 4001),
        _request("证照标识校验位不对且查无此证", _wrong_check(_absent(licence, stores["32"])), 4002),
        _request("校验位不对但库中确有此证", _stored_wrong_check(stores["32"]), 0),
    ]
    return out + [_of(question) for question in questions(home, stores)]


def sdk_items(home: Home, application: str) -> list[dict[str, Any]]:
    """Items for a client that speaks Kafka; it adds `id` and `deadline` and sends each to its province."""
    out = []
    for province in PROVINCES:
        store = list(read_store(home.store / f"{province}.db"))
        licence = _one(store, CODE["营业执照"])
        rows: tuple[tuple[str, str, dict[str, str], int], ...] = (
            ("查得营业执照", licence, {}, 0),
            ("未找到", _absent(CODE["营业执照"], store), {}, 10),
            ("用途不符", licence, {"useFor": "SUPERVISION"}, 3011),
        )
        for name, identifier, changed, status in rows:
            item = {
                "interface": "I4",
                "application": application,
                "address": "127.0.0.1",
                "head": _HEAD | changed,
                "data": {"certificateID": identifier},
            }
            entry = {"name": f"{province} {name}", "province": province, "item": item, "expect": {"status": status}}
            out.append(entry)
    return out


def _request(
    name: str,
    identifier: str,
    status: int,
    *,
    http: int = 200,
    application: str = "",
    fields: list[str] | None = None,
    **head: Any,
) -> DemoRequest:
    data: dict[str, Any] = {"certificateID": identifier}
    if fields:
        data["fields"] = fields
    return DemoRequest(name, "I4", _body(head, data), http, status, application)


def _of(question: Question) -> DemoRequest:
    body = _body(question.head, question.data)
    return DemoRequest(question.name, question.interface, body, 200, question.status, question.token, question.more)


def _body(head: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    whole = {"version": "1.0", "requestId": uuid.uuid4().hex, **_HEAD, **head}
    return {"head": {name: value for name, value in whole.items() if value is not None}, "data": data}


def _one(records: Iterable[CertificateRecord], type_code: str) -> str:
    return first(records, type_code).certificate_id


def _right(record: CertificateRecord) -> bool:
    return parse_certificate_id(record.certificate_id).check_is_right


def _with_status(records: Iterable[CertificateRecord], status: str) -> str:
    return next(
        record.certificate_id for record in records if record.type_code in READABLE and record.status.value == status
    )


def _stored_wrong_check(records: Iterable[CertificateRecord]) -> str:
    return next(record.certificate_id for record in records if record.type_code in READABLE and not _right(record))


def _absent(type_code: str, records: list[CertificateRecord]) -> str:
    """A right identifier of this province's issuer that no store holds."""
    issuer = parse_certificate_id(records[0].certificate_id).issuer_code
    return make_certificate_id(type_code, issuer, "DEMO99999999", "001")


def _wrong_check(identifier: str) -> str:
    return identifier[:-1] + ("0" if identifier[-1] != "0" else "1")
