"""The examples of the OpenAPI document: each interface, each outcome; synthetic persons only (area 990xxx is nobody's).

All are made of the typed messages, with codes that are right in their check characters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec.structs import replace

from broker.gateway.answers import PROBLEMS
from schemas import answers, offers, sharing
from schemas.certificates import SurfaceField
from schemas.checks import citizen_check, uscc_check
from schemas.form import sm3_hex
from schemas.identifiers import make_certificate_id
from schemas.interfaces import INTERFACES
from schemas.registry import SceneItem
from schemas.remedies import REMEDIES
from schemas.statuses import NOT_FOUND, OK, PARTIAL, STATUSES, TIMED_OUT

if TYPE_CHECKING:
    from schemas.answers import Source

_NOW = 1_780_000_000_000
_REQUEST_ID = "6f1d2c3b4a5948576a7b8c9d0e1f2031"
_ADDRESS = "aa00bb11cc22dd33ee44ff5566778899"
_EVIDENCE = "33:9c78f2193fdd432f8af219018aeefea8:0"
_SCENE = "YRD-310000-2026-00001"
_ORG = f"11310000MB9A0001X{uscc_check('11310000MB9A0001X')}"
_ITEM = f"{_ORG}2000142001001"
_ISSUER = f"11330000MB9A0003X{uscc_check('11330000MB9A0003X')}"
_TYPE, _TYPE_NAME = "11100000000013127D001", "居民身份证"
_HOLDER = f"99000019900101001{citizen_check('99000019900101001')}"
_NAME, _MASKED_NAME, _MASKED_HOLDER = "示例人", "示**", f"{_HOLDER[:6]}********{_HOLDER[-4:]}"
_IDENTIFIER = make_certificate_id(_TYPE, _ISSUER, "DEMO00000001", "001")
_NUMBER, _DEPT, _DATE = _MASKED_HOLDER, "示例市公安局（演示）", "2020-01-01"
_DIGEST = sm3_hex(b"certlane")


class Shown(NamedTuple):
    """What is asked, what is then granted, and a refusal that is typical of it."""

    asked: sharing.Asked
    granted: Any
    refusal: int
    fans_out: bool


_BY_HOLDER = {"holder_code": _HOLDER, "holder_type_code": "111", "type_code": _TYPE}
_HIT = answers.CertificateHit(
    certificate_id=_IDENTIFIER,
    certificate_name="中华人民共和国居民身份证",
    certificate_number=_NUMBER,
    certificate_type=_TYPE_NAME,
    certificate_type_code=_TYPE,
    certificate_area_code="330000",
    data_source="133",
    issue_dept=_DEPT,
    issue_date=_DATE,
    certificate_status="VALID",
)
_DATA = answers.DataAnswer(
    total=1,
    data_list=(
        answers.CertificateData(
            certificate_id=_IDENTIFIER,
            certificate_type_code=_TYPE,
            certificate_status="VALID",
            certificate_type=_TYPE_NAME,
            certificate_number=_NUMBER,
            certificate_holder=_MASKED_NAME,
            certificate_holder_code=_MASKED_HOLDER,
            certificate_holder_type="111",
            issue_dept=_DEPT,
            issue_date=_DATE,
            certificate_validate_start=_DATE,
            certificate_validate_end="2040-01-01",
            surface=(
                SurfaceField(name="姓名", column_name="KZ_XM", value=_MASKED_NAME),
                SurfaceField(name="性别", column_name="KZ_XB", value="女"),
            ),
        ),
    ),
    withheld=("KZ_ZZ",),
)
_FILE = answers.FileAnswer(
    total=1,
    data_list=(
        answers.CertificateFile(
            certificate_id=_IDENTIFIER,
            certificate_type_code=_TYPE,
            certificate_status="VALID",
            certificate_type=_TYPE_NAME,
            certificate_number=_NUMBER,
            issue_dept=_DEPT,
            issue_date=_DATE,
            file_format="ofd",
            file_kind="original",
            file_digest=_DIGEST,
            file_size=1_048_576,
            file_url=f"https://gateway.example/v1/files/{_REQUEST_ID}{_ADDRESS}",
            url_expire_time=_NOW + 600_000,
        ),
    ),
)
_VERDICT = answers.VerdictAnswer(
    total=1,
    data_list=(
        answers.FileVerdict(
            result=0,
            message="文件与证照源一致，证照有效",
            checks=(
                answers.Check(item="identifier", result="passed"),
                answers.Check(item="digest", result="passed"),
                answers.Check(item="status", result="passed"),
            ),
            certificate_id=_IDENTIFIER,
            certificate_status="VALID",
            status_time=_NOW,
        ),
    ),
)
_CODE = answers.CodeAnswer(
    total=1,
    data_list=(
        answers.CodeHolder(
            holder_name=_MASKED_NAME,
            holder_code=_MASKED_HOLDER,
            holder_type_code="111",
            code_status="USED",
            code_type="PERSON",
            issue_region="340000",
            expire_time=_NOW + 60_000,
        ),
    ),
    withheld=("mobile",),
)

SHOWN: dict[str, Shown] = {
    "I1": Shown(
        sharing.SearchRequest(holder_code=_HOLDER, holder_type_code="111", holder_name=_NAME),
        answers.SearchAnswer(total=1, data_list=(_HIT,), page_no=1, page_size=10),
        3001,
        fans_out=True,
    ),
    "I2": Shown(sharing.FileByIdRequest(certificate_id=_IDENTIFIER, original=True), _FILE, 3006, fans_out=False),
    "I3": Shown(sharing.FileByHolderRequest(**_BY_HOLDER, file_format="ofd"), _FILE, 2, fans_out=True),
    "I4": Shown(sharing.DataByIdRequest(certificate_id=_IDENTIFIER), _DATA, 3005, fans_out=False),
    "I5": Shown(sharing.DataByHolderRequest(**_BY_HOLDER), _DATA, 3012, fans_out=True),
    "I6": Shown(
        sharing.VerifyFileRequest(type_code=_TYPE, content_type="digest", content=_DIGEST),
        _VERDICT,
        102,
        fans_out=True,
    ),
    "I7": Shown(
        sharing.VerifyCodeRequest(
            code="CERTLANE:34:ABCDEFGHIJKLMNOPQRSTUVWXYZ", pos="示例市政务服务中心（演示）", use="窗口办事"
        ),
        _CODE,
        6003,
        fans_out=False,
    ),
}
HEAD: dict[str, Any] = {
    "version": "1.0",
    "requestId": _REQUEST_ID,
    "sceneCode": _SCENE,
    "orgName": "上海市企业服务中心（演示）",
    "orgCode": _ORG,
    "username": "窗口一号（演示）",
    "itemName": "企业设立登记",
    "itemCode": _ITEM,
    "businessCode": "DEMO-2026-000001",
    "useFor": "BUSINESS_REGISTRATION",
}
_ANSWERED = answers.Source(
    region_code="330000",
    state="answered",
    status=OK,
    message=STATUSES[OK].message,
    elapsed_ms=27,
    evidence=_EVIDENCE,
    scenario=f"{_SCENE}@3",
)
_LATE = answers.Source(region_code="340000", state="late", status=TIMED_OUT, message=STATUSES[TIMED_OUT].message)


def asked(key: str) -> dict[str, Any]:
    """The examples of an interface's request."""
    return {"request": _example(INTERFACES[key].name, {"head": HEAD, "data": SHOWN[key].asked})}


def answered(key: str) -> dict[str, Any]:
    """The examples of a 200: granted, not found, refused, and partial where several provinces may be asked."""
    row = SHOWN[key]
    told = {
        "granted": _example("查得", _answer(OK, _sourced(row.granted, _ANSWERED) if row.fans_out else row.granted)),
        "notFound": _example("未找到", _answer(NOT_FOUND)),
        "refused": _example("被拒绝", _answer(row.refusal)),
    }
    if row.fans_out:
        partial = _answer(PARTIAL, _sourced(row.granted, _ANSWERED, _LATE), final=False, deadline=_NOW + 60_000)
        told["partial"] = _example("部分省份未答复", partial)
    return told


def accepted(key: str) -> dict[str, Any]:
    """The examples of a 202: nothing to be told yet, and of several provinces which have answered."""
    head = {"final": False, "deadline": _NOW + 60_000}
    told = {"accepted": _example("已受理", _answer(OK, message="已受理，结果可稍后查询", evidence="", **head))}
    if SHOWN[key].fans_out:
        nothing: dict[str, Any] = {"total": 0, "dataList": [], "sources": [msgspec.to_builtins(_LATE)]}
        told["waiting"] = _example("尚无省份答复", _answer(TIMED_OUT, nothing, evidence="", **head))
    return told


def problem(http: int, status: int) -> dict[str, Any]:
    """The example of a problem detail."""
    title, remedy = PROBLEMS[http]
    body = {"type": "about:blank", "title": title, "status": http, "detail": remedy, "head": _head(status, evidence="")}
    return {"problem": _example(title, body)}


SCENES = offers.ScenesAnswer(
    total=1,
    data_list=(
        offers.OfferedScene(
            scene_code=_SCENE,
            scene_name="企业开办“免提交”（演示）",
            version=3,
            items=(SceneItem(item_code=_ITEM, item_name="企业设立登记"),),
            org_code=_ORG,
            org_name="上海市企业服务中心（演示）",
            use_for=("BUSINESS_REGISTRATION",),
            purpose_text="办理企业开办事项，核对申请人所持证照",
            valid_from="2026-01-01T00:00:00.000Z",
            valid_to="2027-01-01T00:00:00.000Z",
            types=(
                offers.OfferedGrant(
                    certificate_type_code=_TYPE,
                    region_codes=("310000", "330000"),
                    interfaces=("I1", "I4"),
                    fields=("certificateName", "KZ_XM"),
                    masked_fields=("certificateNumber",),
                    file_formats=("ofd",),
                    original=True,
                    number_required=False,
                ),
            ),
        ),
    ),
)
TYPES = offers.TypesAnswer(
    total=1,
    data_list=(
        offers.OfferedType(
            certificate_type_code=_TYPE,
            certificate_type=_TYPE_NAME,
            aliases=("身份证",),
            holder_category="person",
            region_codes=("310000", "330000"),
            interfaces=("I1", "I4"),
            fields=(offers.OfferedField(column_name="KZ_XM", name="姓名"),),
        ),
    ),
)


def offered(data: offers.ScenesAnswer | offers.TypesAnswer) -> dict[str, Any]:
    """The example of what an application may ask."""
    head = _head(OK, evidence="")
    del head["requestId"]
    return {"offered": _example("可用范围", {"head": head, "data": data})}


def _sourced(data: Any, *sources: Source) -> Any:
    return replace(data, sources=sources)


def _answer(status: int, data: object = None, **head: Any) -> dict[str, Any]:
    told = {"head": _head(status, **head)}
    return told if data is None else told | {"data": data}


def _head(status: int, *, message: str = "", evidence: str = _EVIDENCE, **more: Any) -> dict[str, Any]:
    row = STATUSES[status]
    told = f"{row.message}：{REMEDIES[status]}" if status not in (OK, PARTIAL) else row.message
    out = {"status": status, "gbStatus": row.gb, "message": message or told, "requestId": _REQUEST_ID}
    if evidence:
        out |= {"evidence": evidence, "scenario": f"{_SCENE}@3"}
    return out | {"timestamp": _NOW} | more


def _example(summary: str, value: Any) -> dict[str, Any]:
    return {"summary": summary, "value": msgspec.to_builtins(value)}
