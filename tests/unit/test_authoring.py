"""The registry as people write it: what is read, and that each complaint names its file and its entry."""

from datetime import date, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
import pytest
import yaml

import deploy.demo
from broker.bus.keys import make_keys
from broker.registry.authoring import AuthoringError, read_folder
from schemas.filing import Wanted
from schemas.jose import Jwk
from schemas.kinds import Kind
from schemas.registry import BODIES, Application, Party
from schemas.scenes import Scene
from tests.support_authoring import REGISTRY, TODAY, changed, complaints, party_keys

DEMO: Final = Path(deploy.demo.__file__).parent / "registry"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return party_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def demo(keys: Path) -> dict[str, Wanted]:
    return {f"{one.kind}/{one.id}": one for one in read_folder(DEMO, keys, TODAY)}


def test_demo_folder(demo: dict[str, Wanted]) -> None:
    """Every file of the demonstration reads, and every record of it has the form of its kind."""
    for one in demo.values():
        made = msgspec.json.decode(one.body, type=BODIES[one.kind])
        assert made.id == one.id
        assert bytes(one.body) == msgspec.json.encode(made)
    written = [yaml.safe_load(path.read_text()) for path in DEMO.glob("*.yaml")]
    assert len(demo) == sum(len(entries) for content in written for entries in content.values())
    assert {one.kind for one in demo.values()} == {Kind.PARTY, Kind.APPLICATION, Kind.CATALOGUE, Kind.SCENE}


def test_demo_hangs_together(demo: dict[str, Wanted]) -> None:
    """Every application, type, field and province that the demonstration names is there."""
    entries = {key: msgspec.json.decode(one.body) for key, one in demo.items()}
    scenes = [entry for key, entry in entries.items() if key.startswith("scene/")]
    for application in (name for scene in scenes for name in scene["applications"]):
        assert f"application/{application}" in entries
    for granted in (one for scene in scenes for one in scene["types"]):
        catalogue = entries[f"catalogue/{granted['typeCode']}"]
        assert set(granted["sourceProvinces"]) <= {f"{number}" for number in range(31, 35)}
        assert set(granted["interfaces"]) <= set(catalogue["interfaces"])
    for entry in (entry for key, entry in entries.items() if key.startswith("application/")):
        assert f"party/{entry['node']}" in entries


def test_demo_grants_what_there_is(demo: dict[str, Wanted]) -> None:
    """Every column that the demonstration grants is on the face of its type."""
    entries = {key: msgspec.json.decode(one.body) for key, one in demo.items()}
    scenes = [entry for key, entry in entries.items() if key.startswith("scene/")]
    for granted in (one for scene in scenes for one in scene["types"]):
        columns = {name for name in (*granted["fields"], *granted.get("maskedFields", ())) if name.startswith("KZ_")}
        assert columns <= {field["column"] for field in entries[f"catalogue/{granted['typeCode']}"]["fields"]}


def test_public_keys(demo: dict[str, Wanted]) -> None:
    """A party gets its two public keys, an application its signing key where there is one, and nobody a private one."""
    party = msgspec.json.decode(demo["party/32"].body, type=Party)
    assert [key.jwk.use for key in party.keys] == ["sig", "enc"]
    with_key, without = (
        msgspec.json.decode(demo[f"application/{name}"].body, type=Application)
        for name in ("yct-enterprise", "yct-realestate")
    )
    assert with_key.key is not None
    assert without.key is None
    assert all(b'"d":' not in bytes(one.body) for one in demo.values())


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("today", TODAY),
        ("today-30", date(2026, 5, 2)),
        ("today+90", date(2026, 8, 30)),
        ("2026-05-01", date(2026, 5, 1)),
        ('"2026-05-01"', date(2026, 5, 1)),
    ],
)
def test_days(written: str, day: date, tmp_path: Path, keys: Path) -> None:
    """A day begins at midnight in Shanghai, and may be told from the day of `apply`."""
    (tmp_path / "s.yaml").write_text(changed(REGISTRY, "validFrom: today\n", f"validFrom: {written}\n"))
    wanted = next(one for one in read_folder(tmp_path, keys, TODAY) if one.kind is Kind.SCENE)
    starts = msgspec.json.decode(wanted.body, type=Scene).valid_from
    assert starts == datetime(day.year, day.month, day.day, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp() * 1000


def test_json_and_yaml_give_the_same(tmp_path: Path, keys: Path) -> None:
    """The same records are read from .yaml, .yml and .json, in one file or in several."""
    parts = yaml.load(REGISTRY, Loader=yaml.BaseLoader)
    typed = yaml.safe_load(REGISTRY)
    single, several = tmp_path / "single", tmp_path / "several"
    single.mkdir()
    several.mkdir()
    (single / "registry.json").write_bytes(msgspec.json.encode(typed))
    for section, ending in zip(parts, ("yaml", "yml", "json", "yml"), strict=True):
        (several / f"{section}.{ending}").write_text(
            yaml.safe_dump({section: typed[section]}, allow_unicode=True)
            if ending != "json"
            else msgspec.json.encode({section: typed[section]}).decode()
        )
    (several / "notes.txt").write_text("not read")
    read = [
        {(one.kind, one.id, bytes(one.body)) for one in read_folder(path, keys, TODAY)} for path in (single, several)
    ]
    assert read[0] == read[1]
    assert len(read[0]) == 6


def test_no_files(tmp_path: Path, keys: Path) -> None:
    """A folder without files is a mistake, and the complaint says where the form can be seen."""
    with pytest.raises(AuthoringError, match=r"没有 \.yaml、\.yml 或 \.json 文件.*deploy/demo/registry"):
        read_folder(tmp_path, keys, TODAY)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"parties: [", (1, "", "不是 YAML")),
        (b"\xff\xff", (1, "", "不是 UTF-8")),
        (b"parties: !!python/object:os.system {}", (1, "", "不接受标签")),
        (b"parties: []\npartys: []", (2, "partys", "没有名为 partys 的部分")),
        (b"[parties]", (1, "", "应为各部分的映射")),
        (b"scenes: [x]", (1, "scenes[0]", "应为映射")),
        (b"scenes: x", (1, "scenes", "应为列表")),
        (b"scenes: 5", (1, "scenes", "应为列表")),
        (b"scenes: []\nscenes: []", (2, "", "出现了两次")),
        (b"scenes:\n- {validFrom: 2026-13-45}", (2, "scenes[0].validFrom", "不是日期")),
    ],
)
def test_wrong_files(content: bytes, told: tuple[int, str, str], tmp_path: Path, keys: Path) -> None:
    """A file that cannot be read, or holds something else than the sections, is told by name, line and place."""
    line, path, said = told
    (tmp_path / "wrong.yaml").write_bytes(content)
    found = {one.path: one for one in complaints(lambda folder: read_folder(folder, keys, TODAY), tmp_path)}
    assert said in found[path].message
    assert (found[path].file, found[path].line) == ("wrong.yaml", line)


def test_every_file_is_told_of(tmp_path: Path, keys: Path) -> None:
    """A file that cannot be read does not hide what is wrong with the others."""
    (tmp_path / "a.yaml").write_text("scenes: [")
    (tmp_path / "b.yaml").write_text("scenes: x")
    (tmp_path / "c.json").write_text('{"scenes": [\n5]}')
    found = complaints(lambda folder: read_folder(folder, keys, TODAY), tmp_path)
    assert [(one.file, one.line) for one in found] == [("a.yaml", 1), ("b.yaml", 1), ("c.json", 2)]


@pytest.mark.parametrize("content", [b"", b"# nothing yet\n", b"parties:\n", b"parties: []\n"])
def test_empty_files(content: bytes, tmp_path: Path, keys: Path) -> None:
    """A file or a section with nothing in it describes nothing."""
    (tmp_path / "empty.yaml").write_bytes(content)
    assert read_folder(tmp_path, keys, TODAY) == []


def test_the_same_entry_twice(tmp_path: Path, keys: Path) -> None:
    """An id that two entries have is told at the second, with the place of the first."""
    (tmp_path / "a.yaml").write_text(REGISTRY)
    (tmp_path / "b.yaml").write_text('\nparties:\n  - {id: "31", kind: province, name: 上海市}\n')
    (found,) = complaints(lambda folder: read_folder(folder, keys, TODAY), tmp_path)
    assert (found.file, found.line, found.path) == ("b.yaml", 3, "parties[0]")
    assert "31 出现了两次，第一次在 a.yaml:3" in found.message


NEW_NODE: Final = "parties:\n- {id: 33-new, kind: node, name: 新节点%s}\n"


def test_party_without_keys(tmp_path: Path, keys: Path) -> None:
    """A party whose public keys are not there is a mistake, and the complaint says which file is missing."""
    (tmp_path / "parties.yaml").write_text(NEW_NODE % "")
    (found,) = complaints(lambda folder: read_folder(folder, keys, TODAY), tmp_path)
    assert (found.line, found.path) == (2, "parties[0].keys")
    assert "33-new.public.json" in found.message


def test_party_with_unusable_keys(tmp_path: Path) -> None:
    """A file of keys that holds something else is told as that."""
    (tmp_path / "33-new.public.json").write_text("{")
    (tmp_path / "parties.yaml").write_text(NEW_NODE % "")
    found = complaints(lambda folder: read_folder(folder, folder, TODAY), tmp_path)
    assert any(one.path == "parties[0].keys" and "不可用" in one.message for one in found)


def test_written_keys(tmp_path: Path, keys: Path) -> None:
    """Keys may be written in the entry, with their time and whether they are revoked; never a private one."""
    (tmp_path / "own").mkdir()
    made = make_keys(tmp_path / "own", "33-new")

    def write(key: Jwk) -> None:
        jwk = msgspec.json.encode(key).decode()
        entry = f", keys: [{{jwk: {jwk}, notBefore: 2026-01-01, notAfter: 2027-01-01, revoked: true}}]"
        (tmp_path / "parties.yaml").write_text(NEW_NODE % entry)

    write(made.signing.public)
    (wanted,) = read_folder(tmp_path, keys, TODAY)
    (key,) = msgspec.json.decode(wanted.body, type=Party).keys
    assert (key.jwk, key.revoked) == (made.signing.public, True)
    assert key.not_after - key.not_before == 365 * 86_400_000
    text = (tmp_path / "parties.yaml").read_text()
    (tmp_path / "parties.yaml").write_text(changed(text, "2027-01-01", "2026-01-01"))
    (found,) = complaints(lambda folder: read_folder(folder, keys, TODAY), tmp_path)
    assert (found.path, "有效期为空" in found.message) == ("parties[0].keys[0].notAfter", True)
    write(made.signing)
    (found,) = complaints(lambda folder: read_folder(folder, keys, TODAY), tmp_path)
    assert found.path == "parties[0].keys[0].jwk.d"
    assert "私钥" in found.message
    assert (made.signing.d or "?") not in str(found)
