"""The schemas of the OpenAPI document: from the typed messages, with what stands in code rather than in a type."""

from __future__ import annotations

from typing import Any, Optional

import msgspec
from msgspec import Struct, defstruct

from broker.gateway.body import HttpHead
from schemas.answers import Source, SourceState
from schemas.form import REQUIRED_HEAD, wire_name
from schemas.interfaces import INTERFACES
from schemas.names import described
from schemas.offers import ScenesAnswer, TypesAnswer
from schemas.remedies import REMEDIES
from schemas.sharing import CodeOperator
from schemas.statuses import STATUSES

HEX_ID = "^[0-9a-fA-F]{32}$"
_MAX_MILLIS = 1 << 53


class AnswerHead(Struct, kw_only=True, omit_defaults=True, rename="camel"):
    """`head` of every answer."""

    status: int
    message: str
    timestamp: int
    gb_status: int | None = None
    request_id: str | None = None
    evidence: str | None = None
    scenario: str | None = None
    deadline: int | None = None
    final: bool | None = None
    remedy: str | None = None


class ProblemDetail(Struct, kw_only=True):
    """RFC 9457 with `head` as an extension member."""

    type: str
    title: str
    status: int
    detail: str
    head: AnswerHead


class Listed(Struct, kw_only=True):
    head: AnswerHead


class ScenesTold(Listed, kw_only=True):
    data: ScenesAnswer


class TypesTold(Listed, kw_only=True):
    data: TypesAnswer


def schemas() -> dict[str, Any]:
    kinds: list[Any] = [HttpHead, AnswerHead, ProblemDetail, ScenesTold, TypesTold]
    for row in INTERFACES.values():
        kinds.append(defstruct(f"{row.operation}Request", [("head", HttpHead), ("data", row.request)]))
        told = ("data", Optional[row.answer], None)  # noqa: UP045  # a type of run time
        kinds.append(defstruct(f"{row.operation}Answer", [("head", AnswerHead), told]))
    _, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    asked = {"HttpHead", CodeOperator.__name__, *(row.request.__name__ for row in INTERFACES.values())}
    asked |= {f"{row.operation}Request" for row in INTERFACES.values()}
    states = components.pop(SourceState.__name__)["enum"]  # shown where it stands
    components[Source.__name__]["properties"]["state"] = {"type": "string", "enum": states}
    for name, schema in components.items():
        _dress(name, schema, asked=name in asked)
    _require(components)
    return components


def _dress(kind: str, schema: dict[str, Any], *, asked: bool) -> None:
    """Chinese descriptions; of what is asked unknown names are refused and null counts as absent."""
    schema.pop("description", None)  # the docstring is for those who read the code
    for name, value in schema["properties"].items():
        value.pop("default", None) if value.get("default", "") is None else None
        if (either := value.get("anyOf")) and {"type": "null"} in either:
            del value["anyOf"]
            value.update(next(one for one in either if one != {"type": "null"}))
            if asked and "type" in value:
                value["type"] = [value["type"], "null"]
        value["description"] = described(name, kind)
    if asked:
        schema["additionalProperties"] = False


def _require(components: dict[str, Any]) -> None:
    """What the gateway asks for, and the bounds that stand in code rather than in a type."""
    head = components["HttpHead"]
    head["required"] = ["requestId", *(wire for _, wire in REQUIRED_HEAD), "username"]
    head["properties"]["requestId"] |= {"type": "string", "pattern": HEX_ID}
    for name in ("timestamp", "deadline"):
        head["properties"][name] |= {"minimum": 0, "maximum": _MAX_MILLIS}
    for row in INTERFACES.values():
        schema = components[row.request.__name__]
        for told in row.required:
            names = [wire_name(row.request, attribute) for attribute in told.split("|")]
            if len(names) == 1:
                schema.setdefault("required", []).append(names[0])
            else:
                schema["anyOf"] = [{"required": [name]} for name in names]
        whole = components[f"{row.operation}Request"]
        whole["required"] = ["head", "data"]
        whole["anyOf"] = [{"properties": {place: {"required": ["useFor"]}}} for place in ("head", "data")]
    components["SearchAnswer"]["required"] = ["total", "dataList"]  # without a hit there is no page
    status = components["AnswerHead"]["properties"]["status"]
    status |= {"enum": list(STATUSES), "description": _statuses()}


def _statuses() -> str:
    rows = (f"| {row.code} | {row.message} | {REMEDIES.get(row.code, '')} |" for row in STATUSES.values())
    return "\n".join(("状态码：", "", "| 状态 | 说明 | 怎么办 |", "| ---: | --- | --- |", *rows))
