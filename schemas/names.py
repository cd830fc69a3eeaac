"""The names on the wire in Chinese, for documents and for the terminal; and which of them are this system's own.

The standard's full text could not be had: names without a mark were seen in running systems (DOMAIN §4), those marked
are design choices ([DC] there).
"""

from __future__ import annotations

import re

OURS = "本系统约定"
_EXPLAINED = re.compile("[，；：（]")

# "Type.name" where a name means something else in one type
LABELS: dict[str, str] = {
    # head of a request
    "head": "报文头：谁、为何事、在哪个场景下调用",
    "data": "业务数据",
    "version": "报文版本，1.0",
    "requestId": "请求编号，32 位十六进制，每个请求一个；重试时保持不变",
    "accessId": "应用标识；填写时须与令牌一致",
    "accessToken": "令牌；填写时须与 Authorization 一致",
    "timestamp": "发出时间，Unix 毫秒；填写时与服务器相差不得超过 5 分钟",
    "nonce": "一次性随机串，16 至 64 位",
    "signAlg": "签名算法；本节点尚不接受签名",
    "sign": "签名；本节点尚不接受，填写则答复 2001",
    "deadline": "截止时间，Unix 毫秒，最多在 10 分钟之后；不填为受理后 60 秒",
    "sceneCode": "应用场景编码",
    "orgName": "用证单位名称（五要素之一）",
    "orgCode": "用证单位统一社会信用代码（五要素之一）",
    "username": "经办人（五要素之二）；不填答复 3013",
    "userCode": "经办人编号或终端编号",
    "itemName": "事项名称（五要素之三）",
    "itemCode": "事项编码，31 或 33 位（五要素之四）",
    "businessCode": "办件编号（五要素之五）",
    "useFor": "用途：固定清单中的代码，或场景的用途原文；head.useFor 与 data.useFor 至少填一个",
    "authCode": "持证主体授权凭证：I7 答复中的 authToken，或线上授权、委托授权的凭证；场景需要授权时必填",
    "regionCode": "省级行政区划代码",
    # what is asked
    "regionCodes": "只问这些省，例如 310000",
    "certificateID": "证照标识（GB/T 36904）",
    "certificateHolderCode": "持证主体代码",
    "certificateHolderTypeCode": "持证主体代码类型代码，例如 111 公民身份号码、001 统一社会信用代码",
    "certificateHolderName": "持证主体名称，与代码一并核对",
    "certificateTypeCode": "证照类型代码",
    "certificateType": "证照类型名称",
    "certificateNumber": "证照编号",
    "pageNo": "页码，从 1 起",
    "pageSize": "每页条数，最多 50",
    "fileFormat": "文件格式：ofd、pdf 或 png",
    "original": "是否为原件（场景允许时）",
    "copyCause": "加注件的用途",
    "copyExpiringTime": "加注件的有效期",
    "fields": "只要这些字段；照面字段用 columnName",
    "certTypeCode": "证照类型代码；也可写作 certificateTypeCode",
    "contentType": "内容的形式：base64（文件原文）或 digest（文件的 SM3 摘要）",
    "content": "内容：文件原文的 base64，或 64 位十六进制的 SM3 摘要",
    "certQrCode": "扫码所得的原文；也可写作 serviceCode",
    "pos": "扫码地点",
    "use": "扫码用途",
    "codeRegion": "签发地区代码（已知时）",
    "requestedTypes": "希望使用的证照类型",
    "operator": "扫码人员",
    "equipmentName": "设备名称",
    "equipmentCode": "设备编号",
    "caseid": "办件标识",
    "num": "业务流水号",
    "casecode": "事项编码",
    "casename": "事项名称",
    "account": "账号",
    "identity_num": "证件号码",
    "role": "角色",
    "division": "区划",
    "division_code": "区划代码",
    "service_org": "单位",
    "service_org_code": "单位代码",
    # what is answered
    "status": "状态码，0 为成功",
    "gbStatus": "最接近的国家接口状态码",
    "message": "说明",
    "remedy": "处理办法；最终结果不是成功时给出",
    "evidence": "存证编号",
    "scenario": "所依据的场景及其版本",
    "final": "是否为最终结果；不出现即为最终",
    "total": "条数",
    "dataList": "结果列表",
    "withheld": "场景未授权而没有给出的字段",
    "sources": "逐省结果",
    "state": "结果：answered 已答复、empty 无此证照、refused 拒绝、late 未及时答复、unavailable 不可用",
    "elapsedMs": "用时，毫秒",
    "certificateName": "证照名称",
    "certificateAreaCode": "证照所属管辖属地编码",
    "dataSource": "数据来源：1 加省代码",
    "issueDept": "颁发机构",
    "issueDeptCode": "颁发机构代码",
    "issueDate": "颁发日期",
    "certificateStatus": "证照状态",
    "certificateHolder": "持证主体",
    "certificateHolderType": "持证主体代码类型",
    "certificateValidateStart": "有效期起始日期",
    "certificateValidateEnd": "有效期截止日期",
    "surface": "照面信息",
    "name": "名称",
    "columnName": "照面字段名",
    "value": "值",
    "valueType": "值的类型",
    "fileKind": "文件种类：original 原件，annotated 加注件",
    "fileDigest": "文件的 SM3 摘要",
    "fileSize": "文件字节数",
    "fileUrl": "文件地址：十分钟内、由同一应用取用一次",
    "urlExpireTime": "文件地址失效时间，Unix 毫秒",
    "result": "核验结果",
    "FileVerdict.result": (
        "核验结论：0 正确且有效，1 尚未生效，2 暂时无效，3 已失效，4 信息不足，5 无此证照，6 缺少内容，7 不符"
    ),
    "Check.result": "passed 通过、failed 不通过、unknown 无法判断",
    "checks": "逐项核验",
    "item": "核验项",
    "reason": "原因",
    "statusTime": "证照源查询状态的时间，Unix 毫秒",
    "holderName": "持码人姓名",
    "holderCode": "持码人证件号码",
    "holderTypeCode": "证件类型代码",
    "mobile": "手机号码",
    "codeStatus": "码的状态",
    "codeType": "码的类型",
    "issueRegion": "签发地区",
    "expireTime": "失效时间，Unix 毫秒",
    "authToken": "授权凭证：随后各次调用填入 head.authCode；每省、每接口、每证照类型限用一次",
    "authScope": "授权的证照类型",
    "authExpires": "授权失效时间，Unix 毫秒",
    # a problem, the token, what may be asked
    "type": "问题类型",
    "title": "问题",
    "detail": "处理办法",
    "ProblemDetail.status": "HTTP 状态码",
    "sceneName": "场景名称",
    "OfferedScene.version": "场景版本",
    "OfferedScene.status": "状态：PUBLISHED 可用，SUSPENDED 已暂停（调用答复 3001）",
    "OfferedScene.useFor": "可用的用途代码",
    "OfferedScene.types": "可用的证照类型",
    "items": "可办的事项",
    "purposeText": "用途原文",
    "validFrom": "生效时间",
    "validTo": "失效时间",
    "legalBasis": "依据",
    "kind": "依据种类：STATUTORY 法律规定，CONSENT 持证主体同意",
    "text": "依据原文",
    "consent": "授权方式：持证主体如何同意，应用须提交什么",
    "modes": "可用的方式：CODE 亮码，ONLINE 在线授权，AGENT 代理人授权，NONE 依法无需授权",
    "send": "应用须提交什么",
    "level": "最低实名等级",
    "ttlSeconds": "授权自签发起有效的秒数",
    "oneTime": "授权是否一次有效（按省、接口、证照类型各一次）",
    "limits": "限额：每一证照源省份分别计数，按北京时间",
    "perDay": "每日次数",
    "perHour": "每小时次数",
    "perHolderPerDay": "每一持证主体每日次数",
    "timeOfDay": "可用时段（北京时间），时段之外答复 3002",
    "from": "自，HH:MM",
    "to": "至，HH:MM，不含",
    "maxRecords": "每次最多条数",
    "retention": "留存",
    "days": "可留存天数",
    "archive": "是否可归档",
    "holderKinds": "持证主体种类：person 自然人，organisation 法人和其他组织",
    "copyMaxDays": "加注件最长有效天数",
    "masked": "是否只以掩码形式授权",
    "sceneCodes": "授权该证照类型的场景",
    "validityRange": "有效期限范围",
    "serviceCode": "可核验的政务服务码",
    "interfaces": "可用的接口",
    "OfferedGrant.fields": "授权的字段",
    "OfferedCode.fields": "不掩码的字段",
    "OfferedType.fields": "某一场景授权的照面字段",
    "maskedFields": "掩码后给出的字段",
    "fileFormats": "可下载的文件格式",
    "numberRequired": "按持证主体查询时须有证照编号",
    "aliases": "别名",
    "holderCategory": "持证主体类别：person 自然人，organisation 法人和其他组织",
}

# [DC] in DOMAIN §3 and §4: nobody may take them for the standard's
OUR_NAMES = frozenset(
    {
        *("head", "data", "version", "requestId", "accessId", "accessToken", "timestamp", "nonce", "signAlg", "sign"),
        *("deadline", "sceneCode", "orgName", "orgCode", "username", "userCode", "itemName", "itemCode"),
        *("businessCode", "authCode", "regionCode"),
        *("gbStatus", "evidence", "scenario", "final", "remedy", "sources", "state", "elapsedMs", "withheld"),
        *("regionCodes", "certificateHolderTypeCode", "pageNo", "pageSize", "original", "fields", "codeRegion"),
        *("fileKind", "fileDigest", "fileSize", "urlExpireTime", "checks", "item", "reason", "statusTime"),
        *("certificateStatus", "codeStatus", "codeType", "issueRegion", "expireTime", "numberRequired", "sceneName"),
        *(
            "authScope",
            "authExpires",
            "purposeText",
            "validFrom",
            "validTo",
            "maskedFields",
            "fileFormats",
            "aliases",
            "holderCategory",
        ),
        *("interfaces", "items", "serviceCode", "result", "title", "detail", "type"),
        *("legalBasis", "kind", "text", "consent", "modes", "send", "level", "ttlSeconds", "oneTime", "limits"),
        *("perDay", "perHour", "perHolderPerDay", "timeOfDay", "from", "to", "maxRecords", "retention", "days"),
        *("archive", "holderKinds", "copyMaxDays", "masked", "sceneCodes"),
    }
)


def label(name: str, kind: str = "") -> str:
    """A name in Chinese, the name itself where there is none."""
    return LABELS.get(f"{kind}.{name}", LABELS.get(name, name))


def described(name: str, kind: str = "") -> str:
    """A name in Chinese, with a mark where it is this system's own."""
    return f"{label(name, kind)}（{OURS}）" if name in OUR_NAMES else label(name, kind)


def short_label(name: str) -> str:
    """The beginning of a name in Chinese, up to where it is explained."""
    return _EXPLAINED.split(label(name), maxsplit=1)[0]
