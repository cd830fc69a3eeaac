"""JSON Schemas of the records as people write them, for editors and forms: `python -m schemas.json_schemas`.

They say the form of each value; what values say together, and whom they name, is checked when the files are read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from schemas.catalogue import CatalogueEntry
from schemas.filing import Draft
from schemas.form import FILE_FORMATS
from schemas.interfaces import INTERFACES, Subject
from schemas.record_names import told
from schemas.regions import PROVINCES
from schemas.registry import Application, Party
from schemas.scenes import PURPOSES, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msgspec import Struct

FOLDER = Path(__file__).parent / "json"
SECTIONS: dict[str, type[Struct]] = {
    "parties": Party,
    "applications": Application,
    "catalogue": CatalogueEntry,
    "scenes": Scene,
}
FILES: dict[str, type[Struct]] = {
    "party": Party,
    "application": Application,
    "catalogue": CatalogueEntry,
    "scene": Scene,
    "draft": Draft,
}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_USCC = "[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}"
_DAY = {"type": "string", "pattern": "^([0-9]{4}-[0-9]{2}-[0-9]{2}|today([+-][0-9]{1,4})?)$"}
_TYPE = f"^{_USCC}[0-9]{{3}}$"
_PROVINCE = {"enum": list(PROVINCES)}
# By the name of the field: what its value, or each of its values, must look like besides its type.
_LEAVES: dict[str, dict[str, Any]] = {
    "id": {"pattern": "^[0-9A-Za-z][0-9A-Za-z._-]*$"},
    "useOrgCode": {"pattern": f"^{_USCC}$"},
    "orgCodes": {"pattern": f"^{_USCC}$"},
    "definingBodyCode": {"pattern": f"^{_USCC}$"},
    "itemCode": {"pattern": f"^{_USCC}[0-9A-Z]{{13}}([0-9A-Z]{{2}})?$"},
    "typeCode": {"pattern": _TYPE},
    "sceneCode": {"pattern": f"^YRD-({'|'.join(PROVINCES)})[0-9]{{4}}-[0-9]{{4}}-[0-9]{{5}}$"},
    "provinces": _PROVINCE,
    "sourceProvinces": _PROVINCE,
    "interfaces": {"enum": [key for key, row in INTERFACES.items() if row.subject is not Subject.CODE]},
    "fileFormats": {"enum": list(FILE_FORMATS)},
    "purposes": {"enum": list(PURPOSES)},
}
_NAMES: dict[str, dict[str, Any]] = {"aliases": _PROVINCE, "justifications": {"pattern": _TYPE}}
_UNWRITTEN = {"Jwk": ("d",)}  # what may never be written
_SET_BY_LIFE_CYCLE = ("status", "suspendedBy")


def documents() -> dict[str, dict[str, Any]]:
    """Each schema by its file's name: one a record, one of a whole file of the registry."""
    out = {f"{name}.schema.json": _document(kind) for name, kind in FILES.items()}
    return out | {"registry.schema.json": _registry()}


def _document(kind: type[Struct]) -> dict[str, Any]:
    (reference,), components = _components(kind)
    if kind is Draft:
        for name in _SET_BY_LIFE_CYCLE:
            del components[Scene.__name__]["properties"][name]
    top = components.pop(kind.__name__)
    assert reference == {"$ref": f"#/$defs/{kind.__name__}"}
    return {"$schema": _DIALECT, **top, "$defs": components} if components else {"$schema": _DIALECT, **top}


def _registry() -> dict[str, Any]:
    references, components = _components(*SECTIONS.values())
    lists = {
        section: {**_titled(kind.__name__), "type": ["array", "null"], "items": reference}
        for (section, kind), reference in zip(SECTIONS.items(), references, strict=True)
    }
    return {
        "$schema": _DIALECT,
        "title": "登记文件",
        "description": "one file of a folder that `certlane registry` reads; every section may be left out",
        "type": ["object", "null"],
        "properties": lists,
        "additionalProperties": False,
        "$defs": components,
    }


def _components(*kinds: type[Struct]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    references, components = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    for name, schema in components.items():
        if "properties" in schema:
            _dress(name, schema)
        else:
            del schema["title"]
            schema.pop("description", None)  # the docstring is for those who read the code
    return tuple(references), dict(sorted(components.items()))


def _dress(kind: str, schema: dict[str, Any]) -> None:
    """Titles in Chinese, descriptions in English, the form of codes; unknown names are refused."""
    for name in _UNWRITTEN.get(kind, ()):
        del schema["properties"][name]
    schema |= _titled(kind)
    schema["additionalProperties"] = False
    for name, value in schema["properties"].items():
        if name in {"validFrom", "validTo", "notBefore", "notAfter"}:
            value.clear()
            value.update(_DAY)
        for leaf in _leaves(value):
            leaf.update(_LEAVES.get(name, {}))
        if name in _NAMES:
            value["propertyNames"] = _NAMES[name]
        value.update(_titled(name, kind))
    if kind == Party.__name__:
        schema["required"].remove("keys")  # they are taken from their file


def _titled(name: str, kind: str = "") -> dict[str, str]:
    title, description = told(name, kind)
    return {"title": title, "description": description}


def _leaves(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if schema.get("type") == "string":
        yield schema
    elif isinstance(schema.get("items"), dict) and schema["items"].get("type") == "string":
        yield schema["items"]


def text_of(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, made in documents().items():
        (FOLDER / file).write_text(text_of(made))
