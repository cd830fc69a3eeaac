"""A small registry as somebody writes it: every kind of record, and what is said when a text in it changes."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Final

import pytest

from broker.bus.keys import make_keys
from broker.registry.authoring import AuthoringError, Complaint

TODAY: Final = date(2026, 6, 1)
REGISTRY: Final = """\
parties:
  - {id: 31-yct, kind: node, name: 节点}
  - {id: "31", kind: province, name: 上海市}
applications:
  - id: yct-window
    node: 31-yct
    name: 窗口系统
    orgCodes: [11310000MB9A0001XM]
    addresses: [192.0.2.0/24]
    perSecond: 100
catalogue:
  - typeCode: "11100000000013127D001"
    typeName: 居民身份证
    aliases: {"32": [身份证]}
    codeVerified: true
    definingBody: 公安部
    definingBodyCode: "11100000000013127D"
    definingLevel: 国家级
    issuingLevel: 区县级
    validityRange: 20年
    fileFormats: [ofd]
    holderCategory: person
    provinces: ["31", "32"]
    interfaces: [I1, I2, I4]
    fields:
      - {column: KZ_XM, label: 姓名, mask: name}
      - {column: KZ_XB, label: 性别, mask: none}
  - typeCode: "111000000000131433001"
    typeName: 结婚证
    codeVerified: true
    definingBody: 民政部
    definingBodyCode: "111000000000131433"
    definingLevel: 国家级
    issuingLevel: 区县级
    validityRange: 长期
    holderCategory: person
    provinces: ["32"]
    interfaces: [I4]
    fields: []
scenes:
  - sceneCode: YRD-310000-2026-00009
    sceneName: 企业开办
    items:
      - {itemCode: 11310000MB9A0001XM2000142001001, itemName: 企业设立登记}
    useOrgCode: 11310000MB9A0001XM
    useOrgName: 企业服务中心
    applications: [yct-window]
    purposes: [BUSINESS_REGISTRATION]
    purposeText: 核对所持证照
    legalBasis: {kind: STATUTORY, text: 演示用}
    consent: {mode: NONE}
    limits: {perDay: 100}
    retention: {days: 30}
    validFrom: today
    validTo: today+300
    types:
      - typeCode: "11100000000013127D001"
        sourceProvinces: ["31", "32"]
        interfaces: [I1, I4]
        fields: [certificateName, KZ_XB]
        maskedFields: [KZ_XM]
"""
"""Each case of a test changes a text that stands here once."""

_SCENE: Final = REGISTRY[REGISTRY.index("  - sceneCode") :]
DRAFT: Final = (
    "scene:\n"
    + _SCENE.replace("  - sceneCode", "    sceneCode").replace("\n    ", "\n  ").replace("    sceneCode", "  sceneCode")
    + """\
orgProof: 机构证明-001
securityLevel: 2
expectedPerDay: 50
justifications:
  "11100000000013127D001": {certificateName: 核对证照, KZ_XB: 核对性别, KZ_XM: 核对姓名}
attachments: [自评估.pdf]
"""
)
Read = Callable[[Path], object]


def party_keys(folder: Path) -> Path:
    """A folder with the public keys of the parties."""
    for party in ("31-yct", "31-sdk", "31", "32", "33", "34", "yct-enterprise"):
        make_keys(folder, party)
    return folder


def changed(text: str, old: str, new: str) -> str:
    """The text with this one place of it changed."""
    assert text.count(old) == 1, f"{old} stands there {text.count(old)} times"
    return text.replace(old, new)


def complaints(read: Read, path: Path) -> tuple[Complaint, ...]:
    """All that is said of what is at this path."""
    with pytest.raises(AuthoringError) as error:
        read(path)
    assert str(error.value).splitlines()[: len(error.value.complaints)] == [str(one) for one in error.value.complaints]
    return error.value.complaints
