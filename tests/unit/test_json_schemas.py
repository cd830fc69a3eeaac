"""The JSON Schemas of the records: up to date, in two languages, and true of the demonstration's files."""

import json
import re
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import msgspec
import pytest
import yaml

import deploy.demo
from broker.registry.authoring import known_of, read_draft, read_folder
from schemas.json_schemas import FILES, FOLDER, SECTIONS, documents, text_of
from schemas.record_names import RECORD_NAMES
from schemas.registry import BODIES
from tests.support_authoring import DRAFT, REGISTRY, TODAY, changed, party_keys
from tests.support_registry import new_party_keys

ROOT: Final = Path(__file__).parents[2]
DEMO: Final = Path(deploy.demo.__file__).parent / "registry"
BY_KIND: Final = {kind: f"{name}.schema.json" for name, kind in FILES.items()}


def validator(name: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json.loads((FOLDER / name).read_text()))


def test_up_to_date() -> None:
    """The files are those that the types give; `python -m schemas.json_schemas` writes them."""
    assert {path.name: path.read_text() for path in FOLDER.iterdir()} == {
        name: text_of(document) for name, document in documents().items()
    }


@pytest.mark.parametrize("path", sorted(DEMO.glob("*.yaml")), ids=lambda path: path.name)
def test_the_demonstration_is_valid(path: Path) -> None:
    """Every file of the demonstration, and every entry of it, is valid."""
    content = yaml.safe_load(path.read_bytes())
    validator("registry.schema.json").validate(content)
    for section, entries in content.items():
        for entry in entries:
            validator(BY_KIND[SECTIONS[section]]).validate(entry)


def test_a_draft_is_valid() -> None:
    """A draft as somebody writes it is valid."""
    validator("draft.schema.json").validate(yaml.safe_load(DRAFT))


def test_keys_are_valid() -> None:
    """A party may be written with its public keys, and with no private one."""
    keys = new_party_keys("33-new")
    entry: dict[str, Any] = {"id": "33-new", "kind": "node", "name": "新节点"}
    for jwk, right in ((keys.signing.public, True), (keys.signing, False)):
        entry["keys"] = [{"jwk": msgspec.to_builtins(jwk), "notBefore": "today", "notAfter": "2027-01-01"}]
        assert validator("party.schema.json").is_valid(entry) is right


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("orgCodes: [11310000MB9A0001XM]", "orgCodes: [x]"),
        ("perSecond: 100", "perSecond: 0"),
        ("[I1, I4]", "[I1, I7]"),
        ('["31", "32"]\n        i', '["31", "35"]\n        i'),
        ('aliases: {"32": [身份证]}', 'aliases: {"35": [身份证]}'),
        ("validFrom: today\n", "validFrom: tomorrow\n"),
        ("sceneName:", "scenename:"),
        ("{perDay: 100}", "{perDay: 100, timeOfDay: {from: 25:00, to: 26:00}}"),
        ("{perDay: 100}", "{perDay: 100, maxRecords: 0}"),
        ("{mode: NONE}", "{mode: none}"),
        ("YRD-310000", "YRD-990000"),
        ("[BUSINESS_REGISTRATION]", "[FUN]"),
        ("mask: name", "mask: black"),
        ("id: yct-window", "id: ../window"),
    ],
)
def test_what_is_wrong_is_not_valid(old: str, new: str) -> None:
    """What has not the form of its type is not valid."""
    right = validator("registry.schema.json")
    assert right.is_valid(yaml.safe_load(REGISTRY))
    assert not right.is_valid(yaml.safe_load(changed(REGISTRY, old, new)))


def objects(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The schemas of a document that have properties, by name."""
    defined = {name: schema for name, schema in document.get("$defs", {}).items() if "properties" in schema}
    return {"": document, **defined} if "properties" in document else defined


@pytest.mark.parametrize("name", documents())
def test_every_name_is_told(name: str) -> None:
    """Every record and every field has a title in Chinese and a description in English, and takes no other names."""
    for schema in objects(documents()[name]).values():
        assert schema["additionalProperties"] is False
        for one in (schema, *schema["properties"].values()):
            assert any("\u4e00" <= letter <= "\u9fff" for letter in one["title"])
            assert re.search("[A-Za-z]", one["description"])


def test_no_name_is_told_in_vain() -> None:
    """Every name that is told occurs in some record."""
    used = set()
    for kind, schema in objects(documents()["registry.schema.json"]).items():
        used |= {kind, *schema["properties"], *(f"{kind}.{name}" for name in schema["properties"])}
    draft = documents()["draft.schema.json"]
    assert RECORD_NAMES.keys() <= used | {"Draft", *draft["properties"]}


def test_the_document_tells_every_field() -> None:
    """docs/registry.md has every field of every record, whether it must be there, and its meaning in both languages."""
    text = (ROOT / "docs" / "registry.md").read_text()
    registry = objects(documents()["registry.schema.json"])
    del registry[""]
    for kind, schema in {**registry, "Draft": documents()["draft.schema.json"]}.items():
        part = text.split(f"\n### {kind} ", 1)[1].split("\n#", 1)[0]
        for name, value in schema["properties"].items():
            must = "✓" if name in schema["required"] else ""
            assert f"| `{name}` | {must} | {value['title']} | {value['description']} |" in part


def test_the_examples_of_the_document(tmp_path: Path) -> None:
    """The examples of docs/registry.md are read without a complaint, the draft against the records before it."""
    *records, draft = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "registry.md").read_text(), re.DOTALL)
    (tmp_path / "records").mkdir()
    for number, text in enumerate(records):
        (tmp_path / "records" / f"{number}.yaml").write_text(text)
    (tmp_path / "draft.yaml").write_text(draft)
    keys = party_keys(tmp_path)
    wanted = read_folder(tmp_path / "records", keys, TODAY, known_of(()))
    assert len(wanted) == 6
    known = known_of(msgspec.json.decode(one.body, type=BODIES[one.kind]) for one in wanted)
    read_draft(tmp_path / "draft.yaml", TODAY, known)
