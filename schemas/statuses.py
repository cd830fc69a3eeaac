"""head.status, one table: the national codes (DOMAIN §3.2) and our own four-digit ones (§3.3, design choice)."""

from __future__ import annotations

from typing import NamedTuple


class Status(NamedTuple):
    """One code, the nearest national code for old clients, and its sentence for an official."""

    code: int
    gb: int
    message: str


_ROWS = (
    Status(0, 0, "接口调用成功"),
    Status(2, 2, "证照源未提供此服务接口"),
    Status(10, 10, "未找到匹配的证照信息"),
    Status(11, 11, "身份验证不通过"),
    Status(12, 12, "必填参数为空"),
    Status(13, 13, "证照类型不存在或未发布"),
    Status(21, 21, "该电子证照已废止或已注销"),
    Status(22, 22, "该电子证照已过期"),
    Status(23, 23, "该电子证照已受限使用"),
    Status(99, 99, "其他异常"),
    Status(102, 102, "参数值不正确"),
    Status(103, 103, "持证主体代码类型代码不符合规范"),
    Status(113, 113, "证照类型代码有误"),
    Status(2001, 11, "报文签名不正确"),
    Status(2002, 11, "报文时间超出允许范围"),
    Status(2003, 11, "报文重复提交"),
    Status(2004, 11, "令牌已失效，请重新获取"),
    Status(2005, 11, "通道身份与应用标识不一致"),
    Status(2006, 11, "来源地址不在应用登记的范围内"),
    Status(2007, 11, "调用过于频繁，请稍后再试"),
    Status(3001, 100, "应用场景不存在、未发布或已暂停"),
    Status(3002, 100, "不在应用场景有效期内"),
    Status(3003, 100, "事项不在应用场景内"),
    Status(3004, 100, "机构或应用未获该场景授权"),
    Status(3005, 100, "证照类型不在该场景授权范围内"),
    Status(3006, 100, "接口不在该场景授权范围内"),
    Status(3007, 100, "所请求的字段不在该场景授权范围内"),
    Status(3008, 100, "缺少持证主体授权"),
    Status(3009, 100, "持证主体授权已过期、已使用或已撤销"),
    Status(3010, 100, "调用额度已用完"),
    Status(3011, 100, "用途不在该场景允许范围内"),
    Status(3012, 100, "持证主体实名核验未通过"),
    Status(3013, 100, "缺少经办人或经办人不被允许"),
    Status(4001, 102, "证照标识格式不正确"),
    Status(4002, 102, "证照标识校验位不正确"),
    Status(4003, 102, "统一社会信用代码不正确"),
    Status(4004, 102, "公民身份号码不正确"),
    Status(4005, 102, "事项编码格式不正确"),
    Status(6001, 102, "政务服务码格式无法识别"),
    Status(6002, 99, "政务服务码已过期"),
    Status(6003, 99, "政务服务码已使用过"),
    Status(6004, 99, "政务服务码签发方暂不可达"),
    Status(6005, 99, "持码人未同意"),
    Status(6006, 99, "政务服务码已撤销"),
    Status(7001, 99, "证照源暂不可达，请稍后重试"),
    Status(7002, 99, "未能在截止时间前答复"),
    Status(7003, 99, "部分证照源未答复"),
)

STATUSES = {row.code: row for row in _ROWS}

OK = 0
NOT_OFFERED = 2
NOT_FOUND = 10
UNAUTHENTICATED = 11
REQUIRED_EMPTY = 12
TYPE_UNPUBLISHED = 13
OTHER = 99
BAD_VALUE = 102
HOLDER_TYPE_WRONG = 103
TYPE_CODE_WRONG = 113
SIGN_WRONG = 2001
CLOCK_WINDOW = 2002
REPLAYED = 2003
TOKEN_EXPIRED = 2004
WRONG_CHANNEL = 2005
ADDRESS_NOT_ALLOWED = 2006
RATE_LIMITED = 2007
SCENE_UNKNOWN = 3001
SCENE_WINDOW = 3002
ITEM_NOT_IN_SCENE = 3003
CALLER_NOT_ALLOWED = 3004
TYPE_NOT_ALLOWED = 3005
INTERFACE_NOT_ALLOWED = 3006
FIELD_NOT_ALLOWED = 3007
CONSENT_MISSING = 3008
CONSENT_ENDED = 3009
QUOTA_USED_UP = 3010
PURPOSE_NOT_ALLOWED = 3011
REAL_NAME_WRONG = 3012
OPERATOR_MISSING = 3013
ID_MALFORMED = 4001
ID_CHECK_WRONG = 4002
USCC_WRONG = 4003
CITIZEN_ID_WRONG = 4004
ITEM_CODE_MALFORMED = 4005
CODE_UNKNOWN = 6001
CODE_EXPIRED = 6002
CODE_USED = 6003
ISSUER_UNREACHABLE = 6004
CODE_REFUSED = 6005
CODE_REVOKED = 6006
UNREACHABLE = 7001
TIMED_OUT = 7002
PARTIAL = 7003

NO_ANSWER = frozenset({OTHER, UNREACHABLE, TIMED_OUT, PARTIAL})
"""Codes of a source that could not say what it has."""


class RefusedError(Exception):
    """The requester's fault, with the code that says which; `detail` says what to do about it, never whose data."""

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(f"{code} {detail}".strip())
        self.code = code
        self.detail = detail
