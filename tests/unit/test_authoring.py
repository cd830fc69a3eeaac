"""The registry as people write it: what is read, and that each complaint names its file and its entry."""

from collections.abc import Callable
from copy import deepcopy
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
import pytest
import yaml

import deploy.demo
from broker.bus.keys import make_keys
from broker.registry.authoring import AuthoringError, read_folder
from schemas.filing import Wanted
from schemas.kinds import Kind
from schemas.registry import BODIES, Application, Party
from schemas.scenes import Scene

DEMO: Final = Path(deploy.demo.__file__).parent / "registry"
CARD: Final = "11100000000013127D001"
TODAY: Final = date(2026, 6, 1)
PARTIES: Final = ("31-yct", "31-sdk", "31", "32", "33", "34")
Files = dict[str, Any]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for party in (*PARTIES, "yct-enterprise"):
        make_keys(folder, party)
    return folder


@pytest.fixture(scope="module")
def demo(keys: Path) -> dict[str, Wanted]:
    return {f"{one.kind}/{one.id}": one for one in read_folder(DEMO, keys, TODAY)}


WRITTEN: Final[Files] = {path.name: yaml.safe_load(path.read_text()) for path in sorted(DEMO.glob("*.yaml"))}


@pytest.fixture
def files() -> Files:
    """The demonstration's files as they would be written by hand, to be changed."""
    return deepcopy(WRITTEN)


@pytest.fixture
def complaint(tmp_path: Path, keys: Path) -> Callable[[Files], str]:
    """What is said of these files."""

    def read(files: Files) -> str:
        for name, content in files.items():
            if content == WRITTEN.get(name):
                continue  # what is right has nothing to be told of it
            text = content if isinstance(content, bytes) else yaml.safe_dump(content, allow_unicode=True).encode()
            (tmp_path / name).write_bytes(text)
        with pytest.raises(AuthoringError) as error:
            read_folder(tmp_path, keys, TODAY)
        return str(error.value)

    return read


def test_demo_folder(demo: dict[str, Wanted]) -> None:
    """Every file of the demonstration reads, and every record of it has the form of its kind."""
    for one in demo.values():
        made = msgspec.json.decode(one.body, type=BODIES[one.kind])
        assert made.id == one.id
        assert bytes(one.body) == msgspec.json.encode(made)
    assert {kind: sum(one.kind is kind for one in demo.values()) for kind in Kind} == {
        Kind.FILING: 0,
        Kind.WITHDRAWAL: 0,
        Kind.PARTY: 6,
        Kind.APPLICATION: 6,
        Kind.CATALOGUE: 10,
        Kind.SCENE: 5,
    }


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
        ("today+300", date(2027, 3, 28)),
        (date(2026, 1, 1), date(2026, 1, 1)),
    ],
)
def test_days(written: object, day: date, files: Files, tmp_path: Path, keys: Path) -> None:
    """A day begins at midnight in Shanghai, and may be told from the day of `apply`."""
    scene = files["scenes.yaml"]["scenes"][0] | {"validFrom": written, "validTo": "today+365"}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({"scenes": [scene]}, allow_unicode=True))
    (wanted,) = read_folder(tmp_path, keys, TODAY)
    starts = msgspec.json.decode(wanted.body, type=Scene).valid_from
    assert starts == datetime(day.year, day.month, day.day, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp() * 1000


def test_no_files(tmp_path: Path, keys: Path) -> None:
    """A folder without files is a mistake, and the complaint says where the form can be seen."""
    with pytest.raises(AuthoringError, match=r"no \.yaml files; deploy/demo/registry"):
        read_folder(tmp_path, keys, TODAY)


SCENES, APPLICATIONS, CATALOGUE, PARTY = (
    ("scenes.yaml", "scenes", "YRD-310000-2026-00001"),
    ("applications.yaml", "applications", "yct-enterprise"),
    ("catalogue.yaml", "catalogue", CARD),
    ("parties.yaml", "parties", "31-yct"),
)


@pytest.mark.parametrize(
    ("where", "changes", "said"),
    [
        (SCENES, {"items": []}, "items"),
        (SCENES, {"items": [{"itemCode": "x", "itemName": "x"}]}, "x is not an item code"),
        (SCENES, {"purposes": ["FUN"]}, "there is no purpose FUN; there are GOV_SERVICE"),
        (SCENES, {"validFrom": "yesterday"}, "a day is yyyy-mm-dd, today"),
        (SCENES, {"validFrom": 20260101}, "a day is yyyy-mm-dd, today"),
        (SCENES, {"validTo": "today-31"}, "validTo should be after validFrom"),
        (SCENES, {"perDay": -1}, "perDay"),
        (SCENES, {"perDay": "many"}, "perDay"),
        (SCENES, {"status": "PUBLISH"}, "status"),
        (SCENES, {"sceneName": None}, "sceneName"),
        (
            SCENES,
            {"types": [{"typeCode": "t", "sourceProvinces": [], "interfaces": ["I8"], "fields": []}]},
            "there is no interface I8",
        ),
        (APPLICATIONS, {"orgCodes": ["11310000MB9A0001X0"]}, "11310000MB9A0001X0 is not a 统一社会信用代码"),
        (APPLICATIONS, {"perSecond": 0}, "perSecond"),
        (APPLICATIONS, {"addresses": "all"}, "addresses"),
        (CATALOGUE, {"interfaces": ["I4", "I9"]}, "there is no interface I9"),
        (CATALOGUE, {"holderCategory": "cat"}, "holderCategory"),
        (CATALOGUE, {"fields": [{"column": "KZ_XM", "label": "姓名", "mask": "black"}]}, "mask"),
        (PARTY, {"kind": "person"}, "kind"),
    ],
)
def test_complaints(
    where: tuple[str, str, str], changes: dict[str, Any], said: str, files: Files, complaint: Callable[[Files], str]
) -> None:
    """A wrong value is told with its file, its entry and what is wrong."""
    name, section, entry = where
    files[name][section][0] |= changes
    told = complaint(files)
    assert told.startswith(f"{name}: {section} {entry}: ")
    assert said in told


def test_wrong_scene_code(files: Files, complaint: Callable[[Files], str]) -> None:
    """A scene whose code has another form is told by that code."""
    files["scenes.yaml"]["scenes"][0]["sceneCode"] = "YRD-990000-2026-00001"
    assert complaint(files).startswith("scenes.yaml: scenes YRD-990000-2026-00001: sceneCode should be YRD-")


@pytest.mark.parametrize("section", ["parties", "applications", "catalogue", "scenes"])
def test_entry_without_a_name(section: str, files: Files, complaint: Callable[[Files], str]) -> None:
    """An entry without an id is a mistake that names its section."""
    files[f"{section}.yaml"][section].append({"name": "x"})
    assert complaint(files).startswith(f"{section}.yaml: {section} (no id): ")


def test_party_without_keys(files: Files, complaint: Callable[[Files], str]) -> None:
    """A party whose public keys are not there is a mistake, and the complaint says which file is missing."""
    files["parties.yaml"]["parties"].append({"id": "35", "kind": "province", "name": "x"})
    assert "parties 35: no public keys in" in complaint(files)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"parties: [", "not YAML"),
        (b"\xff\xff", "not YAML"),
        (b"parties: !!python/object:os.system {}", "not YAML"),
        ({"partys": []}, "the sections are parties, applications, catalogue, scenes"),
        (["parties"], "the sections are"),
        ({1: []}, "the sections are"),
        ({"scenes": ["x"]}, "each entry of scenes is a mapping"),
        ({"scenes": "x"}, "scenes is a list of entries"),
    ],
)
def test_wrong_files(content: Any, said: str, complaint: Callable[[Files], str]) -> None:
    """A file that is not YAML, or holds something else than the sections, is told by its name."""
    told = complaint({"wrong.yaml": content})
    assert told.startswith("wrong.yaml: ")
    assert said in told


@pytest.mark.parametrize("content", [b"", b"# nothing yet\n", b"parties:\n", b"parties: []\n"])
def test_empty_files(content: bytes, tmp_path: Path, keys: Path) -> None:
    """A file or a section with nothing in it describes nothing."""
    (tmp_path / "empty.yaml").write_bytes(content)
    assert read_folder(tmp_path, keys, TODAY) == []


@pytest.mark.parametrize("content", [{"scenes": 5}, b"scenes:\n  - {validFrom: 2026-13-45}\n"])
def test_wrong_files_again(content: Any, complaint: Callable[[Files], str]) -> None:
    """A section that is no list, or a day that no calendar has, is told by its file."""
    assert complaint({"wrong.yaml": content}).startswith("wrong.yaml: ")


@pytest.mark.parametrize(
    ("where", "changes"),
    [(APPLICATIONS, {"suspend": True}), (SCENES, {"Status": "SUSPENDED"}), (SCENES, {"maskedfields": ["KZ_XM"]})],
)
def test_misspelt_names(
    where: tuple[str, str, str], changes: dict[str, Any], files: Files, complaint: Callable[[Files], str]
) -> None:
    """A misspelt name, which would leave a scenario or an application open, is told."""
    name, section, entry = where
    files[name][section][0] |= changes
    assert entry in complaint(files)


@pytest.mark.parametrize(
    ("where", "changes"),
    [
        (APPLICATIONS, {"addresses": ["10.0.0.1/8"]}),
        (SCENES, {"useOrgCode": "x"}),
        (SCENES, {"types": [{"typeCode": CARD, "sourceProvinces": ["35"], "interfaces": ["I4"], "fields": []}]}),
        (CATALOGUE, {"provinces": ["35"]}),
        (CATALOGUE, {"definingBodyCode": "x"}),
    ],
)
def test_what_names_nothing(
    where: tuple[str, str, str], changes: dict[str, Any], files: Files, complaint: Callable[[Files], str]
) -> None:
    """A network, a code or a province that means nothing is told."""
    name, section, entry = where
    files[name][section][0] |= changes
    assert entry in complaint(files)


def test_the_same_entry_twice(files: Files, complaint: Callable[[Files], str]) -> None:
    """An entry that stands there twice is told."""
    files["scenes.yaml"]["scenes"].append(files["scenes.yaml"]["scenes"][0])
    assert "YRD-310000-2026-00001" in complaint(files)
