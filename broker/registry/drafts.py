"""The check of a filing (申请核验): what a machine can say of a draft before people look at it (DOMAIN §8.3).

That a security level of 3 is asked for, and what counts as plausible, are design choices, not the standard's.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING

from broker.registry.complaints import MAX_COMPLAINTS, Complaint, path_text, wrongs_of
from broker.registry.scene_checks import SHORTENED, of_scene, of_scene_with
from broker.registry.shapes import Wrong, first_at_each_place, guess, indexed
from schemas.catalogue import Mask
from schemas.scenes import SceneStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from broker.registry.complaints import Known
    from schemas.catalogue import CatalogueEntry
    from schemas.filing import Draft
    from schemas.scenes import Limits, SceneType

LEVEL_OF_PERSONS = 3  # 等保 of a system that gets somebody's data unmasked
MAX_QUOTA_TIMES = 1_000  # perDay may be so many times what is expected


def check_draft(draft: Draft, known: Known, now_ms: int | None = None) -> Iterator[Complaint]:
    """What is wrong with a draft, up to 50 complaints; without `now_ms` not whether its window is over."""
    shape = list(wrongs_of(draft, known))
    further = first_at_each_place(of_draft(draft, known, now_ms), {one.path: one for one in shape})
    yield from islice(map(_told, chain(shape, further)), MAX_COMPLAINTS)


def _told(wrong: Wrong) -> Complaint:
    return Complaint("", wrong.line, path_text(wrong.path), wrong.message, wrong.remedy)


def of_draft(draft: Draft, known: Known, now_ms: int | None) -> Iterator[Wrong]:
    """What is wrong with a draft whose every single value has its form."""
    scene = draft.scene
    for wrong in chain(of_scene(scene), of_scene_with(scene, known)):
        yield wrong._replace(path=("scene", *wrong.path))
    if scene.status is not SceneStatus.PUBLISHED or scene.suspended_by:
        yield Wrong(("scene", "status"), "状态由流程决定 (the life cycle sets it)", "请删去 status 与 suspendedBy")
    if now_ms is not None and scene.valid_to <= now_ms:
        yield Wrong(("scene", "validTo"), "有效期已过 (the window is over)", "请写将来的日期")
    for place, granted in indexed(scene.types, "scene", "types"):
        yield from _of_reasons(granted, draft.justifications)
        if draft.security_level < LEVEL_OF_PERSONS and (whole := _whole(granted, known.catalogue or {})):
            message = f"要求不掩码的个人信息（{whole}），等保为 {draft.security_level} 级 (security level too low)"
            remedy = f"应为 {LEVEL_OF_PERSONS} 级及以上（本系统约定），或将其写入 maskedFields；见 {path_text(place)}"
            yield Wrong(("securityLevel",), message, remedy)
    asked = {granted.type_code for granted in scene.types}
    for code in draft.justifications.keys() - asked:
        message = f"说明了没有申请的证照类型 {code} (not asked for)"
        yield Wrong(("justifications", code), message, f"{guess(code, asked)}请删去，或在 scene.types 中申请")
    yield from _of_quota(draft.expected_per_day, scene.limits)


def _of_reasons(granted: SceneType, reasons: Mapping[str, Mapping[str, str]]) -> Iterator[Wrong]:
    told, asked = reasons.get(granted.type_code, {}), {*granted.fields, *granted.masked_fields}
    for name in sorted(asked - told.keys()):
        message = f"没有说明为何需要 {granted.type_code} 的 {name} (not justified)"
        yield Wrong(("justifications", granted.type_code, name), message, "请逐个字段说明；不需要的不要申请")
    for name in sorted(told.keys() - asked):
        message = f"说明了没有申请的字段 {name} (not asked for)"
        yield Wrong(("justifications", granted.type_code, name), message, f"{guess(name, asked)}请删去，或申请该字段")


def _whole(granted: SceneType, catalogue: Mapping[str, CatalogueEntry]) -> str:
    """What this grants of a person unshortened: one name of it, "" for nothing.

    Personal is what the catalogue has a mask for, and of a person's certificate who holds it; an original shows all.
    """
    entry = catalogue.get(granted.type_code)
    if entry is None:
        return ""
    personal = [field.column for field in entry.fields if field.mask is not Mask.NONE]
    personal += SHORTENED if entry.holder_category == "person" else ()
    if granted.allow_original and personal:
        return f"{entry.type_name}原件"
    return next((name for name in granted.fields if name in personal), "")


def _of_quota(expected: int, limits: Limits) -> Iterator[Wrong]:
    path = ("expectedPerDay",)
    if expected > limits.per_day:
        message = f"预计每日 {expected} 次，多于限额 {limits.per_day} (more than perDay)"
        yield Wrong(path, message, "请改 scene.limits.perDay，或核对预计次数")
    elif expected * MAX_QUOTA_TIMES < limits.per_day:
        message = f"限额 {limits.per_day} 超过预计每日 {expected} 次的 {MAX_QUOTA_TIMES} 倍 (implausible quota)"
        yield Wrong(path, message, "请按实际需要申请限额（本系统约定）")
    elif limits.per_hour is not None and expected > limits.per_hour * _hours(limits):
        message = f"每小时 {limits.per_hour} 次达不到预计每日 {expected} 次 (perHour is too small)"
        yield Wrong(path, message, "请改 scene.limits.perHour，或核对预计次数")


def _hours(limits: Limits) -> int:
    """How many clock hours it is open in, begun ones too."""
    if limits.time_of_day is None:
        return 24
    start, end = limits.time_of_day.start, limits.time_of_day.end
    return int(end[:2]) - int(start[:2]) + (end[3:] != "00")
