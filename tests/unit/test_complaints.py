"""What is said of a record that is wrong: each with its place, its line, what is wrong and the remedy."""

from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pytest
from msgspec.structs import replace

from broker.registry.authoring import (
    MAX_COMPLAINTS,
    AuthoringError,
    Complaint,
    Known,
    check_record,
    known_of,
    read_folder,
)
from broker.registry.scene_checks import CODE_FIELDS, SHORTENED
from schemas.answers import CodeHolder
from schemas.catalogue import Mask
from schemas.filing import Wanted
from schemas.kinds import Kind
from schemas.registry import BODIES, Body
from tests.support_authoring import REGISTRY, TODAY, changed, complaints, party_keys
from tests.support_registry import CARD, LICENCE, bodies, entry
from workers.fields import CORE
from workers.release import CODE_FIELDS as RELEASED_OF_CODES


class Case(NamedTuple):
    """A text of the registry, what stands in its place; the complaint's place, message and remedy (parts of them)."""

    old: str
    new: str
    path: str
    message: str
    remedy: str
    at: str = ""  # what stands in its line, where that is not the line that was changed


_TYPE = "scenes[0].types[0]"
_CONSENT_MODES = "    consent: {mode: NONE}"
CASES: Final = (
    # codes
    Case("M2000142001001,", "M200014200100,", "scenes[0].items[0].itemCode", "不是事项编码，长 30 位", "31 位"),
    Case(
        "{itemCode: 11310000MB9A0001XM",
        "{itemCode: 11310000MB9A0001XN",
        "scenes[0].items[0].itemCode",
        "校验码不对，应为 M",
        "核对",
    ),
    Case(
        "useOrgCode: 11310000MB9A0001XM",
        "useOrgCode: 11310000MB9A0001XN",
        "scenes[0].useOrgCode",
        "应为 M (USCC",
        "18 位",
    ),
    Case("orgCodes: [11310000MB9A0001XM]", "orgCodes: [x]", "applications[0].orgCodes[0]", "不是统一社会信用", "18 位"),
    Case(
        "useOrgCode: 11310000MB9A0001XM",
        "useOrgCode: 1131000OMB9A0001XM",
        "scenes[0].useOrgCode",
        "不是统一",
        "不含 I、O",
    ),
    Case("YRD-310000-2026-00009", "YRD-990000-2026-00009", "scenes[0].sceneCode", "不是场景编码", "310000、320000"),
    Case(
        '- typeCode: "11100000000013127D001"\n        s',
        '- typeCode: "1110"\n        s',
        f"{_TYPE}.typeCode",
        "长 4 位",
        "21 位",
    ),
    Case(
        '- typeCode: "11100000000013127D001"\n        s',
        '- typeCode: "11100000000013127X001"\n        s',
        f"{_TYPE}.typeCode",
        "校验码不对，应为 D",
        "核对",
    ),
    Case(
        'definingBodyCode: "111000000000131433"',
        'definingBodyCode: "11100000000013127D"',
        "catalogue[1].definingBodyCode",
        "与证照类型代码的前 18 位 111000000000131433 不一致",
        "开头",
    ),
    Case(
        "addresses: [192.0.2.0/24]",
        "addresses: [192.0.2.7/24]",
        "applications[0].addresses[0]",
        "不是网段",
        "192.0.2.0/24",
    ),
    Case("addresses: [192.0.2.0/24]", "addresses: [any]", "applications[0].addresses[0]", "不是网段", "2001:db8::/32"),
    Case("id: 31-yct,", "id: yct,", "parties[0].id", "没有以省份开头", "31-yct"),
    Case('{id: "31", kind: province', '{id: "35", kind: province', "parties[1].id", "没有省 35", "31、32、33、34"),
    Case("id: yct-window", "id: ../window", "applications[0].id", "不是编号", "字母"),
    Case(
        "useOrgCode: 11310000MB9A0001XM",
        "useOrgCode: 11310000MB9A0001IM",
        "scenes[0].useOrgCode",
        "不是统一社会信用代码 (not a USCC)",
        "不含 I、O",
    ),
    # names and forms
    Case("sceneName:", "scenename:", "scenes[0].scenename", "没有名为 scenename 的项", "是否想写 sceneName？"),
    Case("    sceneName: 企业开办\n", "", "scenes[0].sceneName", "缺少 sceneName", "请写明 sceneName", "sceneCode:"),
    Case("perSecond: 100", "perSecond: 0", "applications[0].perSecond", "0 超出范围", "应至少为 1"),
    Case("perSecond: 100", "perSecond: 1.5", "applications[0].perSecond", "1.5 不是整数", "整数"),
    Case("perSecond: 100", "perSecond: true", "applications[0].perSecond", "True 不是整数", "整数"),
    Case(
        "codeVerified: true\n    definingBody: 民政部",
        "codeVerified: yes\n    definingBody: 民政部",
        "catalogue[1].codeVerified",
        "yes 不是真假值",
        "true 或 false",
    ),
    Case('["31", "32"]\n        i', '["31", 32]\n        i', f"{_TYPE}.sourceProvinces[1]", "应为文字", "加引号"),
    Case("[I1, I4]", "I1", f"{_TYPE}.interfaces", "应为列表", "[甲, 乙]"),
    Case("limits: {perDay: 100}", "limits: 100", "scenes[0].limits", "应为映射", "docs/registry.md"),
    Case('aliases: {"32": [身份证]}', "aliases: [身份证]", "catalogue[0].aliases", "应为映射", "名称: 值"),
    Case("sceneName: 企业开办", 'sceneName: " "', "scenes[0].sceneName", "不能为空", "请填写"),
    Case("sceneName: 企业开办", "sceneName:", "scenes[0].sceneName", "不能为空", "请填写"),
    Case("sceneName: 企业开办", f"sceneName: {'长' * 129}", "scenes[0].sceneName", "超过 128 个字", "缩短"),
    Case("sceneName: 企业开办", 'sceneName: "企业\\n开办"', "scenes[0].sceneName", "控制字符", "一行"),
    Case("kind: node", "kind: nodes", "parties[0].kind", "nodes 不合形式", "可写：node、province"),
    Case(
        "issuingLevel: 区县级\n    validityRange: 长期",
        "issuingLevel: 县级\n    validityRange: 长期",
        "catalogue[1].issuingLevel",
        "没有 县级 这一取值",
        "区县级",
    ),
    Case(
        "    items:\n      - {itemCode: 11310000MB9A0001XM2000142001001, itemName: 企业设立登记}",
        "    items: []",
        "scenes[0].items",
        "至少应有 1 项",
        "补充",
    ),
    # provinces, interfaces, formats, purposes
    Case(
        '["31", "32"]\n        i',
        '["31", "35"]\n        i',
        f"{_TYPE}.sourceProvinces[1]",
        "没有省 35",
        "31、32、33、34",
    ),
    Case("[I1, I4]", "[I1, I8]", f"{_TYPE}.interfaces[1]", "没有接口 I8", "I1、I2"),
    Case("[I1, I4]", "[I1, I7]", f"{_TYPE}.interfaces[1]", "没有接口 I7", "serviceCode"),
    Case("[I1, I4]", "[I1, I1]", f"{_TYPE}.interfaces[1]", "I1 重复", "删去其一"),
    Case(
        "fileFormats: [ofd]", "fileFormats: [docx]", "catalogue[0].fileFormats[0]", "没有文件格式 docx", "ofd、pdf、png"
    ),
    Case("[BUSINESS_REGISTRATION]", "[FUN]", "scenes[0].purposes[0]", "没有用途 FUN", "GOV_SERVICE"),
    Case("[BUSINESS_REGISTRATION]", "[]", "scenes[0].purposes", "没有用途", "GOV_SERVICE"),
    # the window
    Case("validTo: today+300", "validTo: today", "scenes[0].validTo", "有效期为空", "晚于 validFrom"),
    Case("validTo: today+300", "validTo: today+367", "scenes[0].validTo", "367 天，超过一年", "最多 366 天"),
    Case("validFrom: today\n", "validFrom: tomorrow\n", "scenes[0].validFrom", "tomorrow 不是日期", "today-30"),
    Case("validFrom: today\n", "validFrom: 20260101\n", "scenes[0].validFrom", "20260101 不是日期", "yyyy-mm-dd"),
    Case("validFrom: today\n", "validFrom: 2026-02-30\n", "scenes[0].validFrom", "2026-02-30 不是日期", "yyyy-mm-dd"),
    Case("validFrom: today\n", "validFrom: 2026-01-01 12:00\n", "scenes[0].validFrom", "不是日期", "yyyy-mm-dd"),
    # consent
    Case("kind: STATUTORY", "kind: CONSENT", "scenes[0].consent.mode", "须有法律依据", "STATUTORY", "consent:"),
    Case("text: 演示用", 'text: ""', "scenes[0].legalBasis.text", "不能为空", "请填写"),
    Case(", text: 演示用", "", "scenes[0].legalBasis.text", "缺少 text", "请写明 text"),
    Case(_CONSENT_MODES, "    consent: {mode: ONLINE}", "scenes[0].consent.level", "没有写实名等级", "level: 1 至 4"),
    Case(_CONSENT_MODES, "    consent: {mode: ONLINE, level: 5}", "scenes[0].consent.level", "5 超出范围", "0 至 4"),
    Case(
        _CONSENT_MODES,
        "    consent: {mode: CODE}",
        "scenes[0].serviceCode",
        "没有写可核验的码",
        "sourceProvinces",
        "sceneCode:",
    ),
    Case(
        _CONSENT_MODES, "    consent: {mode: code}", "scenes[0].consent.mode", "没有 code 这一取值", "是否想写 CODE？"
    ),
    Case(
        _CONSENT_MODES,
        f'{_CONSENT_MODES}\n    serviceCode: {{sourceProvinces: ["31"], fields: [holdername]}}',
        "scenes[0].serviceCode.fields[0]",
        "持码人没有字段 holdername",
        "是否想写 holderName？",
    ),
    # limits
    Case("{perDay: 100}", "{perDay: 100, perHour: 101}", "scenes[0].limits.perHour", "101 大于 perDay 100", "改小"),
    Case(
        "{perDay: 100}",
        "{perDay: 100, perHolderPerDay: 101}",
        "scenes[0].limits.perHolderPerDay",
        "大于 perDay",
        "改小",
    ),
    Case(
        "{perDay: 100}",
        '{perDay: 100, timeOfDay: {from: "09:00", to: "09:00"}}',
        "scenes[0].limits.timeOfDay.to",
        "时段为空",
        "晚于 from",
    ),
    Case(
        "{perDay: 100}",
        '{perDay: 100, timeOfDay: {from: "17:30", to: 09:00}}',
        "scenes[0].limits.timeOfDay.to",
        "时段为空",
        "晚于 from",
    ),
    Case(
        "{perDay: 100}",
        "{perDay: 100, timeOfDay: {from: 9, to: 17:30}}",
        "scenes[0].limits.timeOfDay.from",
        "应为文字",
        "加引号",
    ),
    Case(
        "{perDay: 100}",
        "{perDay: 100, timeOfDay: {from: 9:00, to: 17:30}}",
        "scenes[0].limits.timeOfDay.from",
        "9:00 不合形式",
        "应符合 HH:MM",
    ),
    Case("{perDay: 100}", "{perDay: 100, maxRecords: 201}", "scenes[0].limits.maxRecords", "201 超出范围", "1 至 200"),
    Case("{perDay: 100}", "{perHour: 100}", "scenes[0].limits.perDay", "缺少 perDay", "请写明 perDay", "perHour"),
    # what is granted of a type
    Case(
        "maskedFields: [KZ_XM]", "maskedFields: [KZ_XM, KZ_XB]", f"{_TYPE}.maskedFields[1]", "同时在 fields", "只留其一"
    ),
    Case(
        "fields: [certificateName, KZ_XB]",
        "fields: [certificateName]\n        copyMaxDays: 91",
        f"{_TYPE}.copyMaxDays",
        "91 超出范围",
        "1 至 90",
    ),
    Case("[I1, I4]", "[I1, I2]", f"{_TYPE}.fileFormats", "没有写文件格式", "fileFormats", "typeCode:"),
    Case("interfaces: [I1, I4]", "interfaces: []", f"{_TYPE}.interfaces", "等于不授权", "逐一列出"),
    Case(
        "itemName: 企业设立登记}",
        "itemName: 企业设立登记}\n      - {itemCode: 11310000MB9A0001XM2000142001001, itemName: 同一事项}",
        "scenes[0].items[1].itemCode",
        "在 items 中重复",
        "合并",
    ),
    Case(
        "maskedFields: [KZ_XM]\n",
        "maskedFields: [KZ_XM]\n"
        '      - {typeCode: "11100000000013127D001", sourceProvinces: ["31"], interfaces: [I1], fields: []}\n',
        "scenes[0].types[1].typeCode",
        "在 types 中重复",
        "合并",
    ),
    Case(
        REGISTRY[REGISTRY.index("    types:") :],
        "    types: []\n",
        "scenes[0].types",
        "没有授权任何证照",
        "serviceCode",
    ),
    # against the catalogue
    Case(
        '- typeCode: "11100000000013127D001"\n        s',
        '- typeCode: "11100000000013127D002"\n        s',
        f"{_TYPE}.typeCode",
        "目录中没有证照类型",
        "是否想写 11100000000013127D001？",
    ),
    Case(
        '["31", "32"]\n        i',
        '["31", "33"]\n        i',
        f"{_TYPE}.sourceProvinces[1]",
        "不经省 33 共享",
        "可用的：31、32",
    ),
    Case("[I1, I4]", "[I1, I5]", f"{_TYPE}.interfaces[1]", "不经接口 I5 共享", "可用的：I1、I2、I4"),
    Case(
        "[I1, I4]",
        "[I2]\n        fileFormats: [pdf]",
        f"{_TYPE}.fileFormats[0]",
        "不经文件格式 pdf 共享",
        "可用的：ofd",
    ),
    Case(
        "[certificateName, KZ_XB]",
        "[certificateName, KZ_XP]",
        f"{_TYPE}.fields[1]",
        "居民身份证没有字段 KZ_XP",
        "是否想写 KZ_X",
    ),
    Case(
        "[certificateName, KZ_XB]\n        maskedFields: [KZ_XM]",
        "[certificateName]\n        maskedFields: [KZ_XM, KZ_XB]",
        f"{_TYPE}.maskedFields[1]",
        "KZ_XB 没有掩码方式",
        "写在 fields",
    ),
    Case(
        "maskedFields: [KZ_XM]",
        "maskedFields: [issueDept]",
        f"{_TYPE}.maskedFields[0]",
        "issueDept 没有掩码方式",
        "写在 fields",
    ),
    Case("column: KZ_XB", "column: KZ_XM", "catalogue[0].fields[1].column", "KZ_XM 重复", "删去其一"),
    Case("column: KZ_XB", "column: issueDept", "catalogue[0].fields[1].column", "通用字段的名称", "KZ_"),
    Case(
        'aliases: {"32": [身份证]}',
        'aliases: {"35": [身份证]}',
        "catalogue[0].aliases.35",
        "没有省 35",
        "31、32、33、34",
    ),
    Case(
        'aliases: {"32": [身份证]}',
        'aliases: {"33": [身份证]}',
        "catalogue[0].aliases.33",
        "33 不共享该证照",
        "provinces",
    ),
    Case(
        'aliases: {"32": [身份证]}',
        'aliases: {"32": [结婚证]}',
        "catalogue[0].aliases.32[0]",
        "也是 111000000000131433001 的名称",
        "同一省内",
    ),
    Case('provinces: ["32"]', "provinces: []", "catalogue[1].provinces", "没有省份共享", "列出"),
    # against applications and parties
    Case(
        "applications: [yct-window]",
        "applications: [yct-windo]",
        "scenes[0].applications[0]",
        "没有应用 yct-windo",
        "是否想写 yct-window？",
    ),
    Case("applications: [yct-window]", "applications: []", "scenes[0].applications", "没有应用", "逐一列出"),
    Case("node: 31-yct", "node: 31-yc", "applications[0].node", "没有节点 31-yc", "是否想写 31-yct？"),
    Case("node: 31-yct", 'node: "31"', "applications[0].node", "31 不是节点", "node"),
    Case(
        "orgCodes: [11310000MB9A0001XM]",
        "orgCodes: [11320000MB9A0002XT]",
        "scenes[0].applications[0]",
        "不代表 11310000MB9A0001XM",
        "orgCodes",
        "applications: [yct",
    ),
    Case("orgCodes: [11310000MB9A0001XM]", "orgCodes: []", "applications[0].orgCodes", "没有用证单位", "列出"),
    Case(
        "YRD-310000-2026-00009",
        "YRD-320000-2026-00009",
        "scenes[0].useOrgCode",
        "场景编码属江苏省，用证单位却属上海市",
        "所在省申报",
        "useOrgCode:",
    ),
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return party_keys(tmp_path_factory.mktemp("keys"))


def told(text: str, folder: Path, keys: Path, known: Known | None = None) -> tuple[Complaint, ...]:
    (folder / "registry.yaml").write_text(text)
    return complaints(lambda path: read_folder(path, keys, TODAY, known), folder)


def test_the_registry_of_these_tests_is_right(tmp_path: Path, keys: Path) -> None:
    """Of the registry that the cases change nothing is said as it stands."""
    (tmp_path / "registry.yaml").write_text(REGISTRY)
    assert [f"{one.kind}/{one.id}" for one in read_folder(tmp_path, keys, TODAY, known_of(()))] == [
        "party/31-yct",
        "party/31",
        "application/yct-window",
        "catalogue/11100000000013127D001",
        "catalogue/111000000000131433001",
        "scene/YRD-310000-2026-00009",
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.path}: {case.message}")
def test_complaint(case: Case, tmp_path: Path, keys: Path) -> None:
    """What is wrong is told with the file, the line of the wrong value, its path, what is wrong and the remedy."""
    text = changed(REGISTRY, case.old, case.new)
    found = next((one for one in told(text, tmp_path, keys) if one.path == case.path), None)
    assert found is not None
    assert case.message in found.message
    assert case.remedy in found.remedy
    first = REGISTRY[: REGISTRY.index(case.old)].count("\n") + 1
    last = first + max(case.old.count("\n"), case.new.count("\n"))
    if case.at:
        assert case.at in text.splitlines()[found.line - 1]
    else:
        assert first <= found.line <= last
    assert str(found) == f"registry.yaml:{found.line}: {case.path}: {found.message}。{found.remedy}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{perDay: 100}", "{perDay: 100, perHour: null, timeOfDay: ~}"),
        ("{perDay: 100}", "{perDay: 100, perHour: 100, perHolderPerDay: 100, maxRecords: 200}"),
        ("{perDay: 100}", '{perDay: 100, timeOfDay: {from: "09:00", to: "09:01"}}'),
        ("validTo: today+300", "validTo: today+366"),
        ("validTo: today+300", "validTo: today+1"),
        ("{mode: NONE}", "{mode: ONLINE, level: 1}"),
        ("sceneName: 企业开办", f"sceneName: {'长' * 128}"),
        ("fields: [certificateName, KZ_XB]", "fields: []\n        copyMaxDays: 90"),
        ("[I1, I4]", "[I2]\n        fileFormats: [ofd]"),
        ("YRD-310000-2026-00009\n", "YRD-310000-2026-00009\n    agentAllowed: true\n    holderKinds: [person]\n"),
        ("maskedFields: [KZ_XM]", "maskedFields: [certificateNumber, certificateHolder, certificateHolderCode]"),
        ("useOrgCode: 11310000MB9A0001XM", "useOrgCode: 11100000000013338W"),
    ],
)
def test_what_is_right(old: str, new: str, tmp_path: Path, keys: Path) -> None:
    """What lies just inside the bounds, or need not be there, is taken."""
    text = changed(REGISTRY, old, new)
    text = changed(text, "orgCodes: [11310000MB9A0001XM]", "orgCodes: [11310000MB9A0001XM, 11100000000013338W]")
    (tmp_path / "registry.yaml").write_text(text)
    assert len(read_folder(tmp_path, keys, TODAY)) == 6


def test_the_line_is_that_of_the_value(tmp_path: Path, keys: Path) -> None:
    """A value that stands on a line of its own is told with this line, a name that nobody knows with its own."""
    text = changed(REGISTRY, "[I1, I4]", "\n          - I1\n          - I8\n        nonsense:\n          - 1")
    lines = text.splitlines()
    found = {one.path: lines[one.line - 1].strip() for one in told(text, tmp_path, keys)}
    assert found == {f"{_TYPE}.interfaces[1]": "- I8", f"{_TYPE}.nonsense": "nonsense:"}


def test_everything_is_told_at_once(tmp_path: Path, keys: Path) -> None:
    """Several wrong values in several records are told together, in the order of their lines."""
    text = changed(REGISTRY, "perSecond: 100", "perSecond: 0")
    text = changed(text, "sceneName:", "sceneNam:")
    text = changed(text, "[BUSINESS_REGISTRATION]", "[FUN]")
    text = changed(text, "column: KZ_XB", "column: KZ_XM")
    found = told(text, tmp_path, keys)
    assert [one.path for one in found] == [
        "applications[0].perSecond",
        "catalogue[0].fields[1].column",
        "scenes[0].sceneName",
        "scenes[0].sceneNam",
        "scenes[0].purposes[0]",
    ]


def test_what_follows_from_another_mistake_is_not_told(tmp_path: Path, keys: Path) -> None:
    """That an application or a type is wrong itself is not told again by those who name it."""
    text = changed(REGISTRY, "perSecond: 100", "perSecond: many")
    text = changed(text, "typeName: 居民身份证", "typeName: 5")
    assert [one.path for one in told(text, tmp_path, keys)] == ["applications[0].perSecond", "catalogue[0].typeName"]


def test_at_most_fifty(tmp_path: Path, keys: Path) -> None:
    """Of very many complaints the first fifty are told, and how many there are besides."""
    (tmp_path / "many.yaml").write_text("scenes:\n" + "  - {}\n" * 30)
    with pytest.raises(AuthoringError, match=r"另有 400 处") as error:
        read_folder(tmp_path, keys, TODAY)
    assert len(error.value.complaints) == MAX_COMPLAINTS


def test_against_the_records_in_force(tmp_path: Path, keys: Path) -> None:
    """What a scenario names may be in force already instead of in the folder, and may be nowhere else."""
    whole, scenes = REGISTRY.split("scenes:\n")
    (tmp_path / "registry.yaml").write_text(whole)
    rows = [msgspec.json.decode(one.body, type=BODIES[one.kind]) for one in read_folder(tmp_path, keys, TODAY)]
    (tmp_path / "registry.yaml").write_text(f"scenes:\n{scenes}")
    (wanted,) = read_folder(tmp_path, keys, TODAY, known_of(rows))
    assert wanted.kind is Kind.SCENE
    paths = [one.path for one in told(f"scenes:\n{scenes}", tmp_path, keys, known_of(()))]
    assert paths == ["scenes[0].applications[0]", "scenes[0].types[0].typeCode"]


def test_a_folder_of_scenarios_alone(tmp_path: Path, keys: Path) -> None:
    """Where neither folder nor caller knows a catalogue, nothing is said of what it may hold."""
    (tmp_path / "scenes.yaml").write_text("scenes:\n" + REGISTRY.split("scenes:\n")[1])
    assert len(read_folder(tmp_path, keys, TODAY)) == 1


@pytest.mark.parametrize("body", bodies(), ids=lambda body: body.id)
def test_a_record_that_comes_from_elsewhere(body: Body) -> None:
    """A record that came in an intake is held against the same rules as one from a file."""
    kind = next(kind for kind, known in BODIES.items() if isinstance(body, known))
    right = Wanted(kind=kind, id=body.id, body=msgspec.Raw(msgspec.json.encode(body)))
    told_of_it = [str(one) for one in check_record(right, known_of(()))]
    expected = {
        Kind.APPLICATION: ["没有节点 31-yct"],
        Kind.SCENE: ["超过一年", "没有应用 yct-enterprise", "目录中没有证照类型"],
    }.get(kind, [])
    assert len(told_of_it) == len(expected)
    assert all(part in line for part, line in zip(expected, told_of_it, strict=True))


def test_a_name_that_is_taken() -> None:
    """An alias may not be another type's name, also of an entry from an intake; another province's alias it may be."""
    other = entry(LICENCE)
    elsewhere = replace(entry(CARD), aliases={"32": other.aliases["31"]})
    fine = Wanted(kind=Kind.CATALOGUE, id=CARD, body=msgspec.Raw(msgspec.json.encode(elsewhere)))
    assert list(check_record(fine, known_of([other]))) == []
    renamed = replace(entry(CARD), type_name="另一证照", aliases={"31": (other.type_name,)})
    wanted = Wanted(kind=Kind.CATALOGUE, id=CARD, body=msgspec.Raw(msgspec.json.encode(renamed)))
    (found,) = check_record(wanted, known_of([other]))
    assert found.path == f"catalogue/{CARD}.aliases.31[0]"
    assert f"也是 {LICENCE} 的名称" in found.message


@pytest.mark.parametrize("body", [b"{}", b"[]", b"\xff", b"nonsense"])
def test_a_record_that_is_none(body: bytes) -> None:
    """A record without the form of its kind is told as that."""
    (found,) = check_record(Wanted(kind=Kind.SCENE, id="x", body=msgspec.Raw(body)), known_of(()))
    assert found.path == "scene/x"
    assert "不合形式" in found.message


def test_what_can_be_shortened() -> None:
    """The names with a mask, and those of a code's holder, are the ones that the release knows."""
    assert set(SHORTENED) == {name for name, (_, _, mask) in CORE.items() if mask is not Mask.NONE}
    assert set(CODE_FIELDS) == set(RELEASED_OF_CODES) <= set(CodeHolder.__struct_encode_fields__)
