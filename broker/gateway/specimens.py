"""One specimen of every message, for examples: synthetic persons only (area 990xxx is nobody's), with right codes."""

from __future__ import annotations

from typing import Any, NamedTuple

from broker.gateway.merging import NOT_YET
from schemas import answers, offers, sharing
from schemas.certificates import SurfaceField
from schemas.checks import citizen_check, uscc_check
from schemas.form import sm3_hex
from schemas.identifiers import make_certificate_id
from schemas.scenes import Limits, Retention, SceneItem, TimeOfDay
from schemas.statuses import OK, STATUSES, TIMED_OUT

NOW = 1_780_000_000_000
REQUEST_ID = "6f1d2c3b4a5948576a7b8c9d0e1f2031"
_ADDRESS = "aa00bb11cc22dd33ee44ff5566778899"
EVIDENCE = "33:9c78f2193fdd432f8af219018aeefea8:0"
SCENE = "YRD-310000-2026-00001"
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
    """What is asked, what is then granted, and a refusal that is typical of it.

    `fans_out`: the provinces are chosen by the gateway, so an answer names them.
    """

    asked: sharing.Asked
    granted: Any
    refusal: int
    fans_out: bool


_BY_HOLDER: dict[str, Any] = {"holder_code": _HOLDER, "holder_type_code": "111", "type_code": _TYPE}
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
            file_url=f"https://gateway.example/v1/files/{REQUEST_ID}{_ADDRESS}",
            url_expire_time=NOW + 600_000,
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
                answers.Check(item="metadata", result="passed"),
                answers.Check(item="status", result="passed"),
            ),
            certificate_id=_IDENTIFIER,
            certificate_status="VALID",
            status_time=NOW,
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
            code_status="VALID",
            code_type="ONE_TIME",
            issue_region="340000",
            expire_time=NOW + 60_000,
            auth_token="eyJhbGciOiJFZERTQSIsImtpZCI6IuKApiIsInR5cCI6ImNlcnRsYW5lLWNvbnNlbnQifQ.e30.c2lnbmF0dXJl",  # noqa: S106 - a specimen
            auth_scope=(_TYPE,),
            auth_expires=NOW + 600_000,
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
            code="CERTLANE:34:ABCDEFGHIJKLMNOPQRSTUVWXYZ.234567ABCDEFGHIJKLMNOPQRST",
            pos="示例市政务服务中心（演示）",
            use="窗口办事",
        ),
        _CODE,
        6003,
        fans_out=False,
    ),
}
HEAD: dict[str, Any] = {
    "version": "1.0",
    "requestId": REQUEST_ID,
    "sceneCode": SCENE,
    "orgName": "上海市企业服务中心（演示）",
    "orgCode": _ORG,
    "username": "窗口一号（演示）",
    "itemName": "企业设立登记",
    "itemCode": _ITEM,
    "businessCode": "DEMO-2026-000001",
    "useFor": "BUSINESS_REGISTRATION",
}
ANSWERED = answers.Source(
    region_code="330000",
    state=answers.SourceState.ANSWERED,
    status=OK,
    message=STATUSES[OK].message,
    elapsed_ms=27,
    evidence=EVIDENCE,
    scenario=f"{SCENE}@3",
)
LATE = answers.Source(
    region_code="340000",
    state=answers.SourceState.LATE,
    status=TIMED_OUT,
    message=NOT_YET,
)
SCENES = offers.ScenesAnswer(
    total=1,
    data_list=(
        offers.OfferedScene(
            scene_code=SCENE,
            scene_name="企业开办“免提交”（演示）",
            version=3,
            status="PUBLISHED",
            items=(SceneItem(item_code=_ITEM, item_name="企业设立登记"),),
            org_code=_ORG,
            org_name="上海市企业服务中心（演示）",
            use_for=("BUSINESS_REGISTRATION",),
            purpose_text="办理企业开办事项，核对申请人所持证照",
            valid_from="2026-01-01T00:00:00.000Z",
            valid_to="2027-01-01T00:00:00.000Z",
            legal_basis=offers.OfferedBasis(kind="CONSENT", text="持证主体在线授权（演示）"),
            consent=offers.OfferedConsent(
                modes=("ONLINE", "AGENT"),
                send="将持证主体的在线授权凭证（实名等级不低于 3）或代理人的委托授权凭证填入 head.authCode",
                level=3,
                ttl_seconds=86_400,
                one_time=True,
            ),
            limits=Limits(
                per_day=10_000,
                per_hour=2_000,
                per_holder_per_day=20,
                time_of_day=TimeOfDay(start="08:30", end="17:30"),
                max_records=50,
            ),
            retention=Retention(days=30, archive=True),
            holder_kinds=("person",),
            types=(
                offers.OfferedGrant(
                    certificate_type_code=_TYPE,
                    certificate_type=_TYPE_NAME,
                    region_codes=("310000", "330000"),
                    interfaces=("I1", "I4"),
                    fields=("certificateName", "KZ_XM"),
                    masked_fields=("certificateNumber",),
                    file_formats=("ofd",),
                    original=True,
                    copy_max_days=90,
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
            validity_range="5年、10年、20年或长期",
            scene_codes=(SCENE,),
            region_codes=("310000", "330000"),
            interfaces=("I1", "I4"),
            file_formats=("ofd",),
            fields=(offers.OfferedField(column_name="KZ_XM", name="姓名", masked=False),),
        ),
    ),
)
