"""The demonstration's requests by holder, for files, for verification and by service code: I1, I2, I3, I5, I6, I7."""

from __future__ import annotations

import base64
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from broker.bus.clock import now_ms
from deploy.demo.codes import issue_code, issuers_key
from deploy.demo.files import ofd_of, sized_files
from deploy.demo.types import TYPES
from schemas.certificates import CertificateStatus
from schemas.form import sm3_hex
from schemas.identifiers import parse_certificate_id
from schemas.service_codes import new_service_code
from workers.issuers.port import CodeState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from deploy.local.home import Home
    from schemas.certificates import CertificateRecord


CODE = {kind.type_name: kind.type_code for kind in TYPES}
READABLE = tuple(  # the types that the first scenario lets I4 read
    CODE[name]
    for name in (
        "营业执照",
        "居民身份证",
        "不动产权证书",
        "机动车驾驶证",
        "居住证",
        "安管人员考核合格证",
        "特种作业操作资格证",
    )
)
_DAY_MS = 86_400_000
_BY_CODE = {  # 亮码: what is asked there rests on a consent that I7 gives
    "sceneCode": "YRD-310000-2026-00006",
    "orgName": "上海市新生儿服务专窗（演示）",
    "orgCode": "11310000MB9A0003XP",
    "itemName": "新生儿出生一件事",
    "itemCode": "11310000MB9A0003XP2000612002001",
    "businessCode": "DEMO-2026-000002",
    "useFor": "GOV_SERVICE",
}
_MANY_PROVINCES = 4


class Question(NamedTuple):
    """One request without its head: interface, data, what is expected; `head` what differs from the usual one."""

    name: str
    interface: str
    data: dict[str, Any]
    status: int
    token: str = ""
    head: dict[str, Any] = {}  # noqa: RUF012  # never changed
    more: dict[str, Any] = {}  # noqa: RUF012


def questions(home: Home, stores: Mapping[str, Sequence[CertificateRecord]]) -> list[Question]:
    """All of them, on certificates of the stores as they lie in this home."""
    return [*_by_holder(stores), *_files(home, stores), *_verifying(stores), *_codes(home), *_consenting(home, stores)]


def holder_of(record: CertificateRecord) -> dict[str, Any]:
    """A certificate's holder as the interfaces name one."""
    return {
        "certificateHolderCode": record.holder_code,
        "certificateHolderTypeCode": record.holder_type_code,
        "certificateHolderName": record.holder_name,
    }


def mother(stores: Mapping[str, Sequence[CertificateRecord]]) -> dict[str, CertificateRecord]:
    """The holder of the story, married in Anhui, her child born in Shanghai: her certificate of each by its type."""
    married = {one.holder_code: one for one in stores["34"] if one.type_code == CODE["结婚证"] and _good(one)}
    born = (one for one in stores["31"] if one.type_code == CODE["出生医学证明"] and _good(one))
    birth = next(one for one in born if one.holder_code in married)
    return {"出生医学证明": birth, "结婚证": married[birth.holder_code]}


def first(records: Iterable[CertificateRecord], type_code: str) -> CertificateRecord:
    """The first valid certificate of a type."""
    return next(record for record in records if record.type_code == type_code and _good(record))


def _good(record: CertificateRecord) -> bool:
    return record.status is CertificateStatus.VALID and parse_certificate_id(record.certificate_id).check_is_right


def _by_holder(stores: Mapping[str, Sequence[CertificateRecord]]) -> list[Question]:
    known = _known_in_many(stores)
    stranger = {**holder_of(known), "certificateHolderCode": "990000190001010016"}
    card, licence = CODE["居民身份证"], first(stores["33"], CODE["营业执照"])
    cancelled = _only_cancelled(stores)
    at32 = first(stores["32"], card)
    return [
        Question("检索：持证主体在四省的证照", "I1", holder_of(known), 0),
        Question("检索：第二页，每页一条", "I1", {**holder_of(known), "pageNo": 2, "pageSize": 1}, 0),
        Question("检索：只查浙江的营业执照", "I1", _typed(licence) | {"regionCodes": ["330000"]}, 0),
        Question("检索：查无此人", "I1", stranger, 10),
        Question("检索：没有持证主体代码", "I1", {"certificateHolderTypeCode": "111"}, 12),
        Question("检索：代码类型不在规范内", "I1", {**holder_of(known), "certificateHolderTypeCode": "112"}, 103),
        Question("检索：公民身份号码不正确", "I1", {**stranger, "certificateHolderCode": "990000190001010017"}, 4004),
        Question("按持证主体取信息", "I5", _typed(at32), 0),
        Question("按持证主体取信息：以别名指明类型", "I5", {**holder_of(at32), "certificateType": "身份证"}, 0),
        Question("按持证主体取信息：姓名与登记不符", "I5", {**_typed(at32), "certificateHolderName": "某某"}, 3012),
        Question("按持证主体取信息：仅有已注销的", "I5", _typed(cancelled), 21),
        Question("按持证主体取信息：须有证照编号", "I5", _typed(first(stores["31"], CODE["社会保障卡"])), 12),
        Question("按持证主体取信息：未知的类型名称", "I5", {**holder_of(at32), "certificateType": "月球居民证"}, 13),
        Question("国家接口形式的答复", "I5", _typed(at32), 0, "yct-national"),
        Question("国家接口形式的拒绝", "I5", _typed(at32), 99, "yct-national", {"useFor": "SUPERVISION"}),
    ]


def _files(home: Home, stores: Mapping[str, Sequence[CertificateRecord]]) -> list[Question]:
    licence, permit = first(stores["32"], CODE["营业执照"]), first(stores["31"], CODE["居住证"])
    card = first(stores["33"], CODE["居民身份证"])
    out = [
        Question("下载营业执照的原件", "I2", {"certificateID": licence.certificate_id, "original": True}, 0),
        Question("场景不给原件的文件", "I2", {"certificateID": permit.certificate_id}, 2),
        Question("场景不给的格式", "I2", {"certificateID": licence.certificate_id, "fileFormat": "png"}, 3006),
        Question("没有这种格式的文件", "I2", {"certificateID": licence.certificate_id, "fileFormat": "pdf"}, 10),
        Question("按持证主体下载身份证文件", "I3", {**_typed(card), "regionCodes": ["330000"]}, 0),
    ]
    for certificate_id, _, size, digest in sized_files(home.store / "34.db"):
        data = {"certificateID": certificate_id, "fileFormat": "pdf", "original": True}
        more = {"file": {"size": size, "sm3": digest}}
        out.append(Question(f"下载 {size} 字节的原件", "I2", data, 0, more=more))
    return out


def _verifying(stores: Mapping[str, Sequence[CertificateRecord]]) -> list[Question]:
    licence = first(stores["31"], CODE["营业执照"])
    content = ofd_of(licence)
    base = {"certTypeCode": licence.type_code, "certificateID": licence.certificate_id}
    whole = {"contentType": "base64", "content": base64.b64encode(content).decode()}
    digest = {"contentType": "digest", "content": sm3_hex(content)}
    unknown = {"contentType": "digest", "content": "0" * 64}
    return [
        Question("核验文件：原文", "I6", base | whole, 0),
        Question("核验文件：只送摘要", "I6", base | digest, 0),
        Question("核验文件：没有证照标识，四省同查", "I6", {"certTypeCode": licence.type_code, **digest}, 0),
        Question("核验文件：摘要与证照源不符", "I6", base | unknown, 0, more={"result": 7}),
        Question("核验文件：四省均无此文件", "I6", {"certTypeCode": licence.type_code, **unknown}, 10),
        Question("核验文件：摘要格式不对", "I6", {**base, "contentType": "digest", "content": "abc"}, 102),
    ]


def _codes(home: Home) -> list[Question]:
    scanned = {"pos": "上海市示例区政务服务中心（演示）", "use": "窗口办事"}
    now, key = now_ms(), issuers_key(home, "33")
    shown = {**scanned, "certQrCode": issue_code(home, "34", expires_at=now + _DAY_MS, once=False).code}
    stopped = {
        state: {**scanned, "certQrCode": issue_code(home, "34", expires_at=now + _DAY_MS, once=False, state=state).code}
        for state in (CodeState.REVOKED, CodeState.REFUSED)
    }
    past = {**scanned, "certQrCode": issue_code(home, "34", expires_at=now - 1, once=False).code}
    unknown, foreign = new_service_code("33", key), new_service_code("34", key)
    return [
        Question("核验政务服务码（演示码，一天内可重复使用）", "I7", shown, 0),
        Question("核验政务服务码：已过期", "I7", past, 6002),
        Question("核验政务服务码：已撤销", "I7", stopped[CodeState.REVOKED], 6006),
        Question("核验政务服务码：持码人未同意", "I7", stopped[CodeState.REFUSED], 6005),
        Question("核验政务服务码：无人签发", "I7", {**scanned, "certQrCode": unknown}, 6001),
        Question("核验政务服务码：签发方标记系伪造", "I7", {**scanned, "certQrCode": foreign}, 6001),
        Question("核验政务服务码：不是政务服务码", "I7", {**scanned, "certQrCode": "http://example.invalid/"}, 6001),
    ]


def _consenting(home: Home, stores: Mapping[str, Sequence[CertificateRecord]]) -> list[Question]:
    """Scenarios that live on a holder's consent, as far as one can ask without one: consents are good once."""
    code = issue_code(home, "34", expires_at=now_ms() + _DAY_MS, once=False).code
    scanned = {"certQrCode": code, "pos": "上海市示例区政务服务中心（演示）", "use": "窗口办事"}
    married, card = first(stores["34"], CODE["结婚证"]), first(stores["31"], CODE["居民身份证"])
    by_id = {"certificateID": card.certificate_id}
    strange, online = _BY_CODE | {"authCode": "not-a-consent"}, {"sceneCode": "YRD-310000-2026-00007"}
    newborn = "yct-newborn"
    return [
        Question("亮码场景：核验政务服务码，得到授权", "I7", scanned, 0, newborn, _BY_CODE),
        Question("亮码场景：没有授权", "I5", _typed(married) | {"regionCodes": ["340000"]}, 3008, newborn, _BY_CODE),
        Question("亮码场景：不是授权凭证", "I4", {"certificateID": married.certificate_id}, 3008, newborn, strange),
        Question("线上授权场景：没有授权", "I4", by_id, 3008, head=online),
    ]


def _typed(record: CertificateRecord) -> dict[str, Any]:
    return {**holder_of(record), "certificateTypeCode": record.type_code}


def _known_in_many(stores: Mapping[str, Sequence[CertificateRecord]]) -> CertificateRecord:
    """A certificate of somebody who has valid ones in several provinces."""
    provinces: defaultdict[str, set[str]] = defaultdict(set)
    for province, records in stores.items():
        for one in records:
            if one.type_code in READABLE and _good(one):
                provinces[one.holder_code].add(province)
    return next(one for one in stores["31"] if len(provinces[one.holder_code]) >= _MANY_PROVINCES)


def _only_cancelled(stores: Mapping[str, Sequence[CertificateRecord]]) -> CertificateRecord:
    """A cancelled certificate whose holder has no other of its type anywhere."""
    counted: defaultdict[tuple[str, str], int] = defaultdict(int)
    for records in stores.values():
        for one in records:
            counted[one.holder_code, one.type_code] += 1
    return next(
        one
        for records in stores.values()
        for one in records
        if one.status is CertificateStatus.CANCELLED
        and one.type_code in READABLE
        and counted[one.holder_code, one.type_code] == 1
    )
