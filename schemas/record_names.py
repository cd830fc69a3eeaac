"""The names in the records that people write, in both languages: for JSON Schemas and docs/registry.md.

Names of GB/T 36902 are its own (DOMAIN §6.1); the others, the requiredness and all bounds are design choices.
"""

from __future__ import annotations

from typing import NamedTuple


class Told(NamedTuple):
    """A name in Chinese, and what it means in English."""

    chinese: str
    english: str


# "Type.name" where a name means something else in one type
RECORD_NAMES: dict[str, Told] = {
    name: Told(*told)
    for name, told in {
        # parties
        "Party": ("参与方", "a node or a province"),
        "Party.id": ("编号", "a province's two digits, or a node's <province>-<name>"),
        "Party.kind": ("种类", "node: a gateway cluster or a system on Kafka; province: a source of certificates"),
        "Party.name": ("名称", "what people call it"),
        "keys": ("公钥", "taken from <keys>/<id>.public.json where they are not written"),
        "PartyKey": ("公钥及其有效期", "a public key and the time in which it may be used"),
        "jwk": ("公钥（JWK）", "RFC 7517; never a private key"),
        "notBefore": ("启用日期", "the day from which it may be used"),
        "notAfter": ("停用日期", "the day from which it may not be used any more"),
        "revoked": ("已吊销", "true: not to be used any more, whatever its time"),
        "Jwk": ("公钥（JWK）", "RFC 7517, RFC 8037; without `d`, which is the private part"),
        "kty": ("密钥类型", "OKP"),
        "crv": ("曲线", "Ed25519 to sign, X25519 to seal"),
        "x": ("公钥值", "base64url"),
        "kid": ("密钥编号", "thumbprint of the key, RFC 7638"),
        "use": ("用途", "sig: to sign; enc: to seal"),
        "alg": ("算法", "of JOSE"),
        # applications
        "Application": ("应用（用证系统）", "an upstream application"),
        "Application.id": ("应用标识", "the accessId of its requests"),
        "node": ("所属节点", "the node that sends for it; a party of kind node"),
        "Application.name": ("名称", "what people call it"),
        "orgCodes": ("所代表的单位", "USCCs of the organisations that it acts for"),
        "addresses": ("来源网段", "networks (CIDR) it may call from; none: it may not call"),
        "perSecond": ("每秒请求数", "how many requests a second each gateway takes from it"),
        "key": (
            "应用公钥",
            "signs the assertions for its tokens; from <keys>/<id>.public.json where there is that file",
        ),
        "suspended": ("已停用", "true: no token, and every request is refused (11; by a source 3004)"),
        "dialect": ("答复形式", "certlane, or national: names in PascalCase, status 0 to 99 only"),
        # catalogue
        "CatalogueEntry": ("证照目录", "one certificate type and who shares it (GB/T 36902)"),
        "typeCode": ("证照类型代码", "the defining body's USCC and three digits (GB/T 36904)"),
        "typeName": ("证照类型名称", "CertificateTypeName"),
        "codeVerified": ("代码已核实", "false: a made-up serial, to be replaced"),
        "definingBody": ("证照定义机构", "CertificateDefineAuthorityName"),
        "definingBodyCode": ("证照定义机构代码", "CertificateDefineAuthorityCode: the first 18 characters of typeCode"),
        "definingLevel": ("证照定义机构级别", "CertificateDefineAuthorityLevel"),
        "issuingLevel": ("证照颁发机构级别", "CertificateIssuingAuthorityLevel"),
        "validityRange": ("有效期限范围", "ValidityRange, as text: 20年, 长期"),
        "holderCategory": ("持证主体类别", "CertificateHolderCategory: person, or organisation"),
        "provinces": ("共享省份", "the provinces that share it, by their two digits"),
        "CatalogueEntry.interfaces": ("可用接口", "the interfaces by which it is shared, I1 to I6"),
        "CatalogueEntry.fields": ("照面字段", "the columns of its face that may be granted"),
        "CatalogueEntry.fileFormats": ("文件格式", "in which its file is shared: ofd, pdf, png; none: no file"),
        "relatedItems": ("关联事项", "the items that the certificate comes from (RelatedItemName, RelatedItemCode)"),
        "aliases": ("各省别名", "what single provinces call it, by province"),
        "CatalogueField": ("照面字段", "one column of the face"),
        "column": ("字段名", "KZ_ and pinyin initials (GB/T 36903)"),
        "label": ("字段中文名", "as shown to people"),
        "mask": ("掩码方式", "how it is shortened where a scenario grants it masked; none: not personal"),
        "RelatedItem": ("关联事项", "an item that the certificate comes from"),
        # scenarios
        "Scene": ("应用场景（用证清单）", "who may ask for what, of whom, for what and how often"),
        "sceneCode": ("场景编码", "YRD-<region>-<year>-<five digits>; the region is the using province's"),
        "sceneName": ("场景名称", "what people call it"),
        "items": ("可办的事项", "the items in whose course it may be used"),
        "SceneItem": ("事项", "an item of government service"),
        "itemCode": ("事项编码", "31 or 33 characters, beginning with a USCC"),
        "itemName": ("事项名称", "as in the list of items"),
        "useOrgCode": ("用证单位代码", "USCC; of the same province as the scene code, or of a national body"),
        "useOrgName": ("用证单位名称", "as registered"),
        "applications": ("可用的应用", "each by its id: no wildcards; each must act for the organisation"),
        "purposes": ("用途代码", "from the fixed list"),
        "purposeText": ("用途原文", "what an official reads, and what head.useFor may say instead of a code"),
        "legalBasis": ("依据", "law, or consent"),
        "LegalBasis": ("依据", "what the use of somebody's certificates rests on"),
        "LegalBasis.kind": ("依据种类", "STATUTORY: law; CONSENT: the holder's consent"),
        "text": ("依据原文", "law and article, or what the holder consents to"),
        "consent": ("授权方式", "how the holder says yes"),
        "ConsentRule": ("授权方式", "which consent a scenario needs"),
        "mode": (
            "方式",
            "CODE: by showing a code; ONLINE: in an app; AGENT: through an agent; NONE: by statute not at all",
        ),
        "ttlSeconds": ("授权有效秒数", "how old a consent may be; 600 unless written"),
        "oneTime": ("一次有效", "used up once by each source province, interface and type; true unless written"),
        "level": ("最低实名等级", "1 to 4, of an ONLINE consent"),
        "Scene.types": ("授权的证照类型", "what is granted of which type; nothing that is not named"),
        "SceneType": ("证照类型的授权", "what a scenario grants of one type"),
        "sourceProvinces": ("证照源省份", "the provinces that are asked, by their two digits"),
        "SceneType.interfaces": ("可用接口", "I1 to I6"),
        "SceneType.fields": ("授权的字段", "told in full; names of the answer, or columns of the face"),
        "maskedFields": ("掩码后给出的字段", "told shortened; each needs a mask"),
        "SceneType.fileFormats": ("可下载的文件格式", "needed with I2 and I3"),
        "allowOriginal": ("可取原件", "false: an annotated copy only"),
        "byHolderOnly": ("仅凭持证主体", "true: asked for by its holder, it needs no certificate number"),
        "copyMaxDays": ("加注件最长天数", "1 to 90"),
        "limits": ("限额", "of each source province, in days and hours of Asia/Shanghai"),
        "Limits": ("限额", "how much each source province grants"),
        "perDay": ("每日次数", "grants a day"),
        "perHour": ("每小时次数", "grants an hour; at most perDay"),
        "perHolderPerDay": ("每一持证主体每日次数", "grants a holder and day; at most perDay"),
        "timeOfDay": ("可用时段", "outside of it every request is refused (3002)"),
        "TimeOfDay": ("可用时段", "hours of a day in Asia/Shanghai"),
        "from": ("自", "HH:MM, inclusive"),
        "to": ("至", "HH:MM, exclusive, later than `from`"),
        "maxRecords": ("每次最多条数", "of a search: page number times page size, 1 to 200"),
        "retention": ("留存", "how long the user may keep what it got"),
        "Retention": ("留存", "how long the user may keep what it got"),
        "days": ("天数", "0: not at all"),
        "archive": ("可归档", "true: in the archive of the case too"),
        "validFrom": ("生效日期", "yyyy-mm-dd, or relative to the day of reading: today, today-30, today+300"),
        "validTo": ("失效日期", "as validFrom; this day is not in the window, which is a year at most"),
        "status": ("状态", "set by the life cycle, never written by hand"),
        "suspendedBy": ("由谁暂停", "set by the life cycle, never written by hand"),
        "serviceCode": ("可核验的政务服务码", "whose service codes may be verified (I7)"),
        "SceneCode": ("可核验的政务服务码", "whose codes, and what of their holder is told in full"),
        "SceneCode.fields": ("不掩码的字段", "holderName, holderCode, mobile"),
        "holderKinds": ("持证主体种类", "person, organisation; of another kind a request by holder is refused (3005)"),
        "agentAllowed": ("可由代理人授权", "true: a consent of mode AGENT is taken besides"),
        # filings
        "Draft": ("场景申请稿", "what an applicant files"),
        "scene": ("场景", "as it should stand"),
        "orgProof": ("单位证明", "what proves the organisation, by reference"),
        "securityLevel": ("等级保护级别", "1 to 5; at least 3 where personal fields are asked for unmasked"),
        "expectedPerDay": ("预计每日次数", "at most limits.perDay, and at least a thousandth of it"),
        "justifications": ("逐字段说明", "by type code and field: why it is needed"),
        "attachments": ("附件", "by reference: self-assessment, approval, …"),
    }.items()
}


def told(name: str, kind: str = "") -> Told:
    """A name of a record, of this type of record; raises KeyError where nobody has told it."""
    return RECORD_NAMES.get(f"{kind}.{name}") or RECORD_NAMES[name]
