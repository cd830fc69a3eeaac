"""What a caller does about each head.status: one sentence for an official's screen (design choice)."""

from __future__ import annotations

_AGAIN = "请稍后使用新的 requestId 重新提交"  # a final answer stays what it is under its own id
_SCENE = "请核对 head.sceneCode 与已发布的用证清单（GET /v1/scenes）"
_CERTIFICATE = "该证照不能使用；请持证主体向颁发机构了解情况"
_FORMAT = "请按接口文档（/docs）核对参数值"

REMEDIES: dict[int, str] = {
    2: "该证照源尚未提供此接口；请改用其他接口或联系该省",
    10: "请核对标识、持证主体代码和证照类型",
    11: "请通过 POST /oauth2/token 获取令牌，并放入 Authorization: Bearer",
    12: "请补全提示中的必填参数",
    13: "请在 GET /v1/types 中核对证照类型及其共享省份",
    21: _CERTIFICATE,
    22: "证照已过有效期；请持证主体换领后再用",
    23: _CERTIFICATE,
    99: "请按说明处理；如为系统异常，请使用新的 requestId 重新提交，仍失败请凭 requestId 联系节点运维人员",
    102: _FORMAT,
    103: "请使用 GB/T 36903 中的持证主体代码类型代码，例如 111、001",
    113: "请在 GET /v1/types 中核对证照类型代码",
    2001: "请核对签名密钥与签名内容",
    2002: "请校准系统时钟，与标准时间相差不超过 5 分钟",
    2003: "请为每个请求使用新的 nonce 和断言",
    2004: "请重新获取令牌",
    2005: "请使用该应用登记的通道证书",
    2006: "请从应用登记的网络地址调用，或申请登记新地址",
    2007: "请按 Retry-After 所示秒数等待，并降低调用频率",
    3001: _SCENE,
    3002: "请在 GET /v1/scenes 中核对该场景的有效期和每日可用时段；已到期的请申请续期",
    3003: "请核对 head.itemCode，或申请将该事项加入场景",
    3004: "请核对 head.orgCode 与调用方应用，或申请授权",
    3005: "请在 GET /v1/scenes 中核对该场景可用的证照类型",
    3006: "请在 GET /v1/scenes 中核对该证照类型可用的接口",
    3007: "请去掉未获授权的字段；可用字段见 GET /v1/types",
    3008: "请先取得持证主体授权，并填写 head.authCode",
    3009: "请重新取得持证主体授权",
    3010: "请在 GET /v1/scenes 中核对该场景的限额：减少每页条数，或待额度恢复后再试，或申请提高额度",
    3011: "head.useFor 请填写场景允许的用途代码或用途原文",
    3012: "请核对持证主体姓名与证件号码",
    3013: "请填写经办人 head.username",
    4001: "请核对 data.certificateID（GB/T 36904）",
    4002: "请核对 data.certificateID 的校验位",
    4003: "请核对统一社会信用代码（GB 32100）",
    4004: "请核对公民身份号码（GB 11643）",
    4005: "事项编码应为 31 或 33 位，前 18 位为统一社会信用代码",
    6001: "请重新扫描政务服务码",
    6002: "请持码人刷新政务服务码后重新扫描",
    6003: "请持码人刷新政务服务码后重新扫描",
    6004: _AGAIN,
    6005: "请持码人同意后重新出示",
    6006: "请持码人重新申领政务服务码",
    7001: _AGAIN,
    7002: "请使用新的 requestId 重新提交，并适当延长 head.deadline",
    7003: "先使用已到的部分；未到的省份见 data.sources，可稍后凭 requestId 查询",
}
