"""The filing of a scenario as somebody writes it, and what the machine says of it before people look at it."""

import time
from datetime import date
from pathlib import Path
from typing import Final

import msgspec
import pytest
from msgspec.structs import replace

from broker.registry.authoring import (
    MAX_COMPLAINTS,
    AuthoringError,
    Known,
    check_draft,
    known_of,
    read_draft,
    read_folder,
)
from schemas.filing import Draft
from schemas.registry import BODIES
from schemas.scenes import SceneStatus
from tests.support_authoring import DRAFT, REGISTRY, TODAY, changed, complaints, party_keys

CARD: Final = "11100000000013127D001"
_WHY = f"justifications.{CARD}"


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """The registry of these tests as it is in force."""
    folder = tmp_path_factory.mktemp("registry")
    (folder / "registry.yaml").write_text(REGISTRY)
    wanted = read_folder(folder, party_keys(tmp_path_factory.mktemp("keys")), TODAY)
    return known_of(msgspec.json.decode(one.body, type=BODIES[one.kind]) for one in wanted)


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    (tmp_path / "draft.yaml").write_text(DRAFT)
    return read_draft(tmp_path / "draft.yaml", TODAY)


def test_a_draft(draft: Draft, known: Known) -> None:
    """A draft that is complete and plausible is read, and nothing is said of it."""
    assert draft.scene.id == "YRD-310000-2026-00009"
    assert draft.justifications[CARD]["KZ_XB"] == "核对性别"
    assert list(check_draft(draft, known, draft.scene.valid_from)) == []


def test_a_draft_in_json(draft: Draft, tmp_path: Path) -> None:
    """A draft may be written as JSON too."""
    text = msgspec.json.encode(draft).decode()
    for day, written in ((draft.scene.valid_from, "today"), (draft.scene.valid_to, "2027-03-28")):
        text = changed(text, str(day), f'"{written}"')
    (tmp_path / "draft.json").write_text(text)
    assert read_draft(tmp_path / "draft.json", TODAY) == draft


CASES: Final = (
    ("orgProof: 机构证明-001\n", "", "orgProof", "缺少 orgProof", "请写明 orgProof"),
    ("securityLevel: 2", "securityLevel: 6", "securityLevel", "6 超出范围", "1 至 5"),
    ("orgProof:", "orgproof:", "orgproof", "没有名为 orgproof", "是否想写 orgProof？"),
    ("KZ_XB: 核对性别, ", "", f"{_WHY}.KZ_XB", "没有说明为何需要", "逐个字段说明"),
    ("KZ_XB: 核对性别, ", 'KZ_XB: "", ', f"{_WHY}.KZ_XB", "不能为空", "请填写"),
    ("KZ_XB: 核对性别, ", "KZ_XB: 核对性别, KZ_MZ: 核对民族, ", f"{_WHY}.KZ_MZ", "没有申请的字段 KZ_MZ", "请删去"),
    (
        "attachments:",
        '  "111000000000131433001": {certificateName: 核对证照}\nattachments:',
        "justifications.111000000000131433001",
        "没有申请的证照类型",
        "请删去",
    ),
    ("attachments:", "  card: {}\nattachments:", "justifications.card", "不是证照类型代码", "21 位"),
    ("expectedPerDay: 50", "expectedPerDay: 101", "expectedPerDay", "多于限额 100", "perDay"),
    ("expectedPerDay: 50", "expectedPerDay: 0", "expectedPerDay", "超过预计每日 0 次的 1000 倍", "按实际需要"),
    ("{perDay: 100}", "{perDay: 100, perHour: 2}", "expectedPerDay", "每小时 2 次达不到预计每日 50 次", "perHour"),
    (
        "{perDay: 100}",
        '{perDay: 100, perHour: 10, timeOfDay: {from: "09:00", to: "12:30"}}',
        "expectedPerDay",
        "每小时 10 次达不到",
        "perHour",
    ),
    ("validFrom: today\n", "validFrom: today-30\n", None, "", ""),
    ("expectedPerDay: 50", "expectedPerDay: 100", None, "", ""),
    ("expectedPerDay: 50", "expectedPerDay: 1", None, "", ""),
    ("{perDay: 100}\n", "{perDay: 50000}\n", None, "", ""),
    ("{perDay: 100}\n", "{perDay: 50001}\n", "expectedPerDay", "1000 倍", "按实际需要"),
    ("{perDay: 100}", '{perDay: 100, perHour: 10, timeOfDay: {from: "09:00", to: "13:30"}}', None, "", ""),
    ("{perDay: 100}", '{perDay: 100, perHour: 10, timeOfDay: {from: "09:00", to: "14:00"}}', None, "", ""),
    ("validFrom: today\n  validTo: today+300", "validFrom: today-30\n  validTo: today+1", None, "", ""),
    (
        "validFrom: today\n  validTo: today+300",
        "validFrom: today-30\n  validTo: today",
        "scene.validTo",
        "已过",
        "将来",
    ),
    ("sceneName: 企业开办", "sceneName: 企业开办\n  status: SUSPENDED", "scene.status", "由流程决定", "请删去"),
    ("{mode: NONE}", "{mode: ONLINE}", "scene.consent.level", "没有写实名等级", "level"),
)


@pytest.mark.parametrize("case", CASES)
def test_complaint(case: tuple[str, str, str | None, str, str], tmp_path: Path) -> None:
    """What is wrong with a draft is told with file, line, path and remedy; what is right is not."""
    old, new, path, message, remedy = case
    (tmp_path / "draft.yaml").write_text(changed(DRAFT, old, new))
    if path is None:
        read_draft(tmp_path / "draft.yaml", TODAY)
        return
    found = {one.path: one for one in complaints(lambda file: read_draft(file, TODAY), tmp_path / "draft.yaml")}
    assert message in found[path].message
    assert remedy in found[path].remedy
    assert found[path].file == "draft.yaml"
    lines = changed(DRAFT, old, new).splitlines()
    named = path.rpartition(".")[2]
    shown = lines[found[path].line - 1]
    assert named in shown or message.startswith(("缺少", "没有写", "没有说明"))


def test_against_the_catalogue(tmp_path: Path, known: Known) -> None:
    """A draft is held against catalogue and applications where they are known, and the lines are its own."""
    (tmp_path / "draft.yaml").write_text(changed(DRAFT, "[certificateName, KZ_XB]", "[certificateName, KZ_XP]"))
    found = {one.path: one for one in complaints(lambda file: read_draft(file, TODAY, known), tmp_path / "draft.yaml")}
    assert found.keys() == {"scene.types[0].fields[1]", f"{_WHY}.KZ_XB", f"{_WHY}.KZ_XP"}
    assert "KZ_XP" in (tmp_path / "draft.yaml").read_text().splitlines()[found["scene.types[0].fields[1]"].line - 1]


@pytest.mark.parametrize(
    ("old", "new", "whole"),
    [
        ("[certificateName, KZ_XB]\n      maskedFields: [KZ_XM]", "[certificateName, KZ_XB, KZ_XM]", "KZ_XM"),
        ("[certificateName, KZ_XB]", "[certificateHolderCode, KZ_XB]", "certificateHolderCode"),
        ("[certificateName, KZ_XB]", "[KZ_XB]\n      allowOriginal: true", "居民身份证原件"),
    ],
)
def test_security_level(old: str, new: str, whole: str, tmp_path: Path, known: Known) -> None:
    """Who asks for somebody's data unmasked, or for an original, has a system of level 3."""
    text = changed(DRAFT, old, new)
    text = changed(text, "certificateName: 核对证照", "certificateName: 核对, certificateHolderCode: 核对")
    for level, levels in ((2, [f"要求不掩码的个人信息（{whole}），等保为 2 级 (security level too low)"]), (3, [])):
        (tmp_path / "draft.yaml").write_text(changed(text, "securityLevel: 2", f"securityLevel: {level}"))
        told = complaints(lambda file: read_draft(file, TODAY, known), tmp_path / "draft.yaml")
        assert [one.message for one in told if one.path == "securityLevel"] == levels


def test_a_draft_that_came_in_an_intake(draft: Draft, known: Known) -> None:
    """A draft that did not come from a file is held against the same rules, its values too."""
    scene = replace(
        draft.scene, use_org_code="x", status=SceneStatus.SUSPENDED, applications=("yct-window", "yct-window")
    )
    wrong = replace(draft, scene=scene, expected_per_day=-1)
    assert {one.path for one in check_draft(wrong, known, draft.scene.valid_to)} == {
        "scene.useOrgCode",
        "scene.applications[0]",
        "scene.applications[1]",
        "scene.status",
        "scene.validTo",
        "expectedPerDay",
    }
    assert not any(one.file or one.line for one in check_draft(wrong, known))
    assert "scene.validTo" not in {one.path for one in check_draft(wrong, known)}


def test_a_hostile_draft_is_soon_told(draft: Draft, known: Known) -> None:
    """A draft that names thousands of things that are not there costs the registrar little."""
    types = tuple(
        replace(draft.scene.types[0], type_code=f"11100000000013127D{number:03d}", fields=tuple(map(str, range(50))))
        for number in range(1_000)
    )
    reasons = {f"111000000000131433{number:03d}": {"x": "y"} for number in range(1_000)}
    wrong = replace(draft, scene=replace(draft.scene, types=types), justifications=reasons)
    begun = time.process_time()
    assert len(list(check_draft(wrong, known))) == MAX_COMPLAINTS
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("text", ["", "[]", "scene: 5", "scene: [", "- scene: {}"])
def test_no_draft(text: str, tmp_path: Path) -> None:
    """A file that holds no draft is told by its name and line."""
    (tmp_path / "draft.yaml").write_text(text)
    with pytest.raises(AuthoringError) as error:
        read_draft(tmp_path / "draft.yaml", date(2026, 6, 1))
    assert str(error.value).startswith("draft.yaml:1: ")
