"""Every condition that can decide about a request, in the order in which they are looked at (DOMAIN §8.4)."""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

from schemas import statuses as s


class Condition(NamedTuple):
    """One condition: its name, the codes it refuses with, what it asks for; `step` is DOMAIN §8.4's, 0 before them."""

    name: str
    step: int
    codes: tuple[int, ...]
    chinese: str
    english: str


_FORM_CODES = (
    *(s.REQUIRED_EMPTY, s.BAD_VALUE, s.HOLDER_TYPE_WRONG, s.TYPE_CODE_WRONG, s.CODE_UNKNOWN),
    *(s.ID_MALFORMED, s.ID_CHECK_WRONG, s.USCC_WRONG, s.CITIZEN_ID_WRONG, s.ITEM_CODE_MALFORMED),
)

CONDITIONS = (
    Condition("node", 1, (s.WRONG_CHANNEL,), "应用属于签名节点", "the application belongs to the node that signed"),
    Condition(
        "application",
        1,
        (s.CALLER_NOT_ALLOWED,),
        "应用已登记且未停用",
        "the application is registered and not suspended",
    ),
    Condition(
        "address", 1, (s.ADDRESS_NOT_ALLOWED,), "来源地址已为该应用登记", "the address is one of the application's"
    ),
    Condition("scene", 2, (s.SCENE_UNKNOWN,), "场景已发布且未暂停", "the scenario is published, not suspended"),
    Condition("window", 2, (s.SCENE_WINDOW,), "在场景有效期内", "it is in the scenario's window"),
    Condition("hours", 2, (s.SCENE_WINDOW,), "在场景每日时段内", "it is in the scenario's hours of the day"),
    Condition("item", 3, (s.ITEM_NOT_IN_SCENE,), "事项在场景内", "the item is one of the scenario's"),
    Condition(
        "organisation",
        3,
        (s.CALLER_NOT_ALLOWED,),
        "机构为场景的用证单位，且该应用可代表该机构",
        "the organisation is the scenario's and the application acts for it",
    ),
    Condition("applications", 3, (s.CALLER_NOT_ALLOWED,), "应用列入场景", "the application is one of the scenario's"),
    Condition("operator", 4, (s.OPERATOR_MISSING,), "有经办人", "an operator is named"),
    Condition("purpose", 5, (s.PURPOSE_NOT_ALLOWED,), "用途在场景内", "the purpose is one of the scenario's"),
    Condition("identifier", 6, (s.BAD_VALUE,), "证照标识与证照类型一致", "the identifier is of the type that is named"),
    Condition("catalogue", 6, (s.TYPE_UNPUBLISHED,), "本省共享该类型证照", "this province shares the type"),
    Condition("type", 6, (s.TYPE_NOT_ALLOWED,), "证照类型在场景内", "the type is one of the scenario's"),
    Condition(
        "region",
        6,
        (s.TYPE_NOT_ALLOWED,),
        "场景可向本省取该类型证照",
        "the scenario may have the type from this province",
    ),
    Condition(
        "holder", 6, (s.TYPE_NOT_ALLOWED,), "持证主体的种类在场景内", "the holder is of a kind that the scenario is for"
    ),
    Condition("interface", 6, (s.INTERFACE_NOT_ALLOWED,), "接口在场景授权范围内", "the interface is granted"),
    Condition(
        "number",
        6,
        (s.REQUIRED_EMPTY,),
        "按持证主体查询时填写证照编号（场景免填的除外）",
        "by holder, the number is told unless it need not be",
    ),
    Condition("format", 6, (s.INTERFACE_NOT_ALLOWED,), "文件格式在授权范围内", "the file's format is granted"),
    Condition(
        "original",
        6,
        (s.INTERFACE_NOT_ALLOWED, s.NOT_OFFERED),
        "可提供原件；加注件暂不能出具",
        "the original may be given; annotated copies are not made yet",
    ),
    Condition("consent", 8, (s.CONSENT_MISSING, s.CONSENT_ENDED), "持证主体授权有效", "the holder's consent holds"),
    Condition("records", 9, (s.QUOTA_USED_UP,), "条数不超过场景上限", "no more records than the scenario allows"),
    Condition("field", 11, (s.FIELD_NOT_ALLOWED,), "字段在授权范围内", "the fields are granted"),
)
"""The judge's own, in the order in which it looks at them."""

ELSEWHERE = (
    # when the lot is opened and before anything of it is judged
    Condition("lot", 1, (s.BAD_VALUE,), "报文批次可以打开", "the lot can be opened"),
    Condition("deadline", 0, (s.BAD_VALUE,), "截止时间不过远", "the deadline is not too far ahead"),
    Condition("form", 0, _FORM_CODES, "请求完整且格式正确", "the request is complete and well formed"),
    Condition("offered", 0, (s.NOT_OFFERED,), "有此服务接口", "there is such an interface"),
    Condition("issuer", 0, (s.CODE_UNKNOWN,), "政务服务码由本省签发", "the service code was issued here"),
    Condition("tag", 0, (s.CODE_UNKNOWN,), "政务服务码的签发标记真实", "the service code's tag is its issuer's"),
    Condition("registry", 0, (s.UNREACHABLE,), "登记信息最新且已验证", "the registry is verified and fresh"),
    # effects
    Condition("mark", 1, (s.REPLAYED,), "请求标识未被另一请求使用", "no other request has this id"),
    Condition("quota", 9, (s.QUOTA_USED_UP,), "额度未用完", "the quota is not used up"),
    Condition("code", 8, (s.CODE_USED,), "政务服务码未使用", "the service code was not used before"),
    # fetch and release
    Condition(
        "store",
        10,
        (s.UNREACHABLE, s.OTHER, s.NOT_FOUND, s.ID_CHECK_WRONG, s.CODE_UNKNOWN),
        "证照源可达、有此证照且返回的正是所请求的",
        "the store can be reached, has it, and returned what was asked for",
    ),
    Condition("reach", 10, (s.ISSUER_UNREACHABLE,), "政务服务码签发方可达", "the code's issuer can be reached"),
    Condition(
        "state",
        10,
        (s.CODE_REFUSED, s.CODE_REVOKED),
        "持码人已同意，政务服务码未撤销",
        "the holder agreed, the service code was not revoked",
    ),
    Condition("expiry", 10, (s.CODE_EXPIRED,), "政务服务码未过期", "the service code has not expired"),
    Condition("name", 7, (s.REAL_NAME_WRONG, s.UNREACHABLE), "持证主体实名核验通过", "the holder's name is right"),
    Condition("status", 10, (21, 22, 23, s.OTHER), "证照有效", "the certificate is valid"),
    Condition(
        "file",
        10,
        (s.UNREACHABLE, s.NOT_FOUND, s.OTHER),
        "文件可读且通过核对",
        "the file can be read and is the right one",
    ),
    Condition("size", 10, (s.OTHER,), "答复不超过大小限制", "the answer is not too large"),
)
"""Those of the other stages: before the judge or after it."""

BY_NAME = MappingProxyType({one.name: one for one in (*CONDITIONS, *ELSEWHERE)})
