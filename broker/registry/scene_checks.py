"""What is wrong with a scenario: by itself, and against catalogue and applications (DOMAIN §8.2, §8.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.registry.shapes import Path, Wrong, guess, indexed
from schemas.answers import GRANTABLE
from schemas.catalogue import Mask
from schemas.kinds import Kind
from schemas.regions import BY_PROVINCE, province_of_area
from schemas.scenes import Basis, ConsentMode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.registry.complaints import Known
    from schemas.catalogue import CatalogueEntry
    from schemas.scenes import Scene, SceneType

YEAR_DAYS = 366
_DAY_MS = 86_400_000
CODE_FIELDS = ("holderName", "holderCode", "mobile")
"""What of a service code's holder may be granted in full."""
SHORTENED = ("certificateNumber", "certificateHolder", "certificateHolderCode")
"""The names of every type that have a way of being shortened; of the columns of a face the catalogue says it."""
_FILE_INTERFACES = {"I2", "I3"}


def of_scene(scene: Scene) -> Iterator[Wrong]:
    """What its values say together."""
    yield from _of_who(scene)
    yield from _of_window(scene)
    yield from _of_consent(scene)
    yield from _of_limits(scene)
    yield from _of_lists(scene)
    for path, granted in indexed(scene.types, "types"):
        yield from _of_type(path, granted)


def _of_who(scene: Scene) -> Iterator[Wrong]:
    """The scenario's province must be its organisation's; a body of the nation has none."""
    province, own = province_of_area(scene.scene_code[4:10]), province_of_area(scene.use_org_code[2:8])
    if province and own and province != own:
        message = (
            f"场景编码属{BY_PROVINCE[province].name}，用证单位却属{BY_PROVINCE[own].name} (another province's body)"
        )
        yield Wrong(("useOrgCode",), message, "场景由用证单位所在省申报；请改场景编码的区划，或另报场景")
    if not scene.applications:
        yield Wrong(("applications",), "没有应用 (no application)", "请逐一列出可用本场景的应用")
    if not scene.purposes:
        yield Wrong(("purposes",), "没有用途 (no purpose)", "请从固定清单中选一项，例如 GOV_SERVICE")


def _of_window(scene: Scene) -> Iterator[Wrong]:
    days = (scene.valid_to - scene.valid_from) / _DAY_MS
    if days <= 0:
        yield Wrong(("validTo",), "有效期为空 (empty window)", "validTo 应晚于 validFrom（不含 validTo 当天）")
    elif days > YEAR_DAYS:
        message = f"有效期为 {days:.0f} 天，超过一年 (window over a year)"
        yield Wrong(("validTo",), message, f"最多 {YEAR_DAYS} 天；到期前以新版本续期")


def _of_consent(scene: Scene) -> Iterator[Wrong]:
    consent, basis = scene.consent, scene.legal_basis
    if consent.mode is ConsentMode.NONE and basis.kind is not Basis.STATUTORY:
        message = "不经持证主体同意 (NONE) 须有法律依据 (NONE needs a statutory basis)"
        yield Wrong(
            ("consent", "mode"), message, "请将 legalBasis 写为 {kind: STATUTORY, text: 法律与条款}，或改用其他方式"
        )
    if consent.mode is ConsentMode.ONLINE and not consent.level:
        message = "在线授权没有写实名等级 (ONLINE needs a level)"
        yield Wrong(("consent", "level"), message, "请写 level: 1 至 4")
    if consent.mode is ConsentMode.CODE and consent.level:
        message = "亮码授权不带实名等级 (CODE knows no level)"
        yield Wrong(("consent", "level"), message, "请去掉 level")
    if consent.mode is ConsentMode.CODE and scene.service_code is None:
        message = "亮码授权没有写可核验的码 (CODE needs serviceCode)"
        yield Wrong(("serviceCode",), message, "请写 serviceCode: {sourceProvinces: [...]}")
    for path, name in indexed(scene.service_code.fields if scene.service_code else (), "serviceCode", "fields"):
        if name not in CODE_FIELDS:
            remedy = f"{guess(name, CODE_FIELDS)}可写：{'、'.join(CODE_FIELDS)}"
            yield Wrong(path, f"持码人没有字段 {name} (unknown field)", remedy)


def _of_limits(scene: Scene) -> Iterator[Wrong]:
    limits = scene.limits
    for name, value in (("perHour", limits.per_hour), ("perHolderPerDay", limits.per_holder_per_day)):
        if value is not None and value > limits.per_day:
            message = f"{name} {value} 大于 perDay {limits.per_day} (more than a day's)"
            yield Wrong(("limits", name), message, "请改小，或删去")
    hours = limits.time_of_day
    if hours is not None and hours.start >= hours.end:
        message = f"时段为空：{hours.start} 至 {hours.end} (from is not before to)"
        yield Wrong(("limits", "timeOfDay", "to"), message, "to 应晚于 from；跨零点的时段请分成两个场景")


def _of_lists(scene: Scene) -> Iterator[Wrong]:
    if not scene.types and scene.service_code is None:
        yield Wrong(("types",), "没有授权任何证照 (nothing is granted)", "请至少写一种证照类型，或 serviceCode")
    for name, codes in (
        ("types", [(path, "typeCode", one.type_code) for path, one in indexed(scene.types, "types")]),
        ("items", [(path, "itemCode", one.item_code) for path, one in indexed(scene.items, "items")]),
    ):
        seen: set[str] = set()
        for path, label, code in codes:
            if code in seen:
                yield Wrong((*path, label), f"{code} 在 {name} 中重复 (given twice)", "请合并为一项")
            seen.add(code)


def _of_type(path: Path, granted: SceneType) -> Iterator[Wrong]:
    for name, values in (("sourceProvinces", granted.source_provinces), ("interfaces", granted.interfaces)):
        if not values:
            yield Wrong((*path, name), f"{name} 为空，等于不授权 (nothing is granted)", "请逐一列出，或删去该证照类型")
    full = set(granted.fields)
    for place, name in indexed(granted.masked_fields, *path, "maskedFields"):
        if name in full:
            message = f"{name} 同时在 fields 与 maskedFields 中 (both in full and masked)"
            yield Wrong(place, message, "请只留其一；掩码后给出的只写在 maskedFields")
    if _FILE_INTERFACES & set(granted.interfaces) and not granted.file_formats:
        message = "授权了下载文件 (I2、I3)，却没有写文件格式 (no file format)"
        yield Wrong((*path, "fileFormats"), message, "请写 fileFormats，例如 [ofd]，或去掉 I2、I3")


def of_scene_with(scene: Scene, known: Known) -> Iterator[Wrong]:
    """Whom and what it names."""
    for place, name in indexed(scene.applications, "applications"):
        yield from _of_application(place, name, scene, known)
    for path, granted in indexed(scene.types, "types"):
        if known.lacks(Kind.CATALOGUE, granted.type_code):
            message = f"目录中没有证照类型 {granted.type_code} (not in the catalogue)"
            remedy = f"{guess(granted.type_code, known.catalogue or ())}请先发布该类型的目录（catalogue）"
            yield Wrong((*path, "typeCode"), message, remedy)
        elif entry := (known.catalogue or {}).get(granted.type_code):
            yield from _against_entry(path, granted, entry)


def _of_application(path: Path, name: str, scene: Scene, known: Known) -> Iterator[Wrong]:
    if known.lacks(Kind.APPLICATION, name):
        near = guess(name, known.applications or ())
        yield Wrong(path, f"没有应用 {name} (unknown application)", f"{near}请先登记该应用（applications）")
    elif application := (known.applications or {}).get(name):
        if known.lacks(Kind.PARTY, application.node):
            message = f"应用 {name} 的节点 {application.node} 不存在 (its node is unknown)"
            yield Wrong(path, message, "请先登记该节点（parties）")
        if scene.use_org_code not in application.org_codes:
            message = f"应用 {name} 不代表 {scene.use_org_code} (it does not act for this organisation)"
            yield Wrong(path, message, "请在应用的 orgCodes 中加上该单位，或从场景中去掉该应用")


def _against_entry(path: Path, granted: SceneType, entry: CatalogueEntry) -> Iterator[Wrong]:
    for attribute, said, shared, what, english in (
        ("sourceProvinces", granted.source_provinces, entry.provinces, "省", "not shared by this province"),
        ("interfaces", granted.interfaces, entry.interfaces, "接口", "not shared by this interface"),
        ("fileFormats", granted.file_formats, entry.file_formats, "文件格式", "not shared in this format"),
    ):
        for place, one in indexed(said, *path, attribute):
            if one not in shared:
                message = f"{entry.type_name}不经{what} {one} 共享 ({english})"
                yield Wrong(place, message, f"目录中可用的：{'、'.join(shared) or '无'}")
    masks = {field.column: field.mask for field in entry.fields}
    possible = (*sorted(GRANTABLE), *masks)
    for attribute, names in (("fields", granted.fields), ("maskedFields", granted.masked_fields)):
        for place, name in indexed(names, *path, attribute):
            if name not in possible:
                message = f"{entry.type_name}没有字段 {name} (the type has no such field)"
                yield Wrong(place, message, f"{guess(name, possible)}照面字段：{'、'.join(masks)}")
            elif attribute == "maskedFields" and masks.get(name, Mask.NONE) is Mask.NONE and name not in SHORTENED:
                message = f"{name} 没有掩码方式 (it has no mask)"
                yield Wrong(place, message, "请写在 fields 中，或在目录中为它规定掩码方式")
