"""/docs: the OpenAPI document as one page for people: no script, no picture, nothing from a network.

Why our own: the Swagger UI that can be had as a plain package (4.15) cannot show OpenAPI 3.1.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--post:#0a7d4f;--get:#1660c4}
body{font:16px/1.6 system-ui,"Noto Sans CJK SC","Microsoft YaHei",sans-serif;margin:0}
main{max-width:60rem;margin:0 auto;padding:1rem 1.25rem 4rem}
nav{border-bottom:1px solid var(--line);padding:.5rem 1.25rem;columns:18rem;font-size:.9rem}
nav a{display:block;text-decoration:none}
h2{margin-top:3rem;border-bottom:1px solid var(--line)}
h3{margin-top:2.5rem}h3 code{font-size:.85em}
table{border-collapse:collapse;width:100%;font-size:.9rem;display:block;overflow-x:auto}
th,td{border:1px solid var(--line);padding:.3rem .6rem;text-align:left;vertical-align:top}
th{background:var(--soft);white-space:nowrap}
pre{background:var(--soft);padding:.75rem;overflow-x:auto;font-size:.85rem}
code{font-family:ui-monospace,"Noto Sans Mono",monospace}
summary{cursor:pointer}
.post,.get{color:#fff;border-radius:.25rem;padding:.1rem .4rem;font-size:.75em;margin-right:.4rem}
.post{background:var(--post)}.get{background:var(--get)}
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

_CODE = re.compile(r"`([^`]+)`")
_REF = "#/components/schemas/"


def page(document: Mapping[str, Any]) -> str:
    """The page as HTML; every text of the document is escaped."""
    info, components = document["info"], document["components"]
    operations = [
        (path, method, operation) for path, item in document["paths"].items() for method, operation in item.items()
    ]
    tags = [tag["name"] for tag in document["tags"]]
    links = "".join(
        f'<a href="#{escape(operation["operationId"])}">{escape(operation["summary"])}</a>'
        for _, _, operation in operations
    )
    parts = [
        f"<h2>{escape(tag)}</h2>"
        + "".join(_operation(*one, components) for one in operations if tag in one[2].get("tags", ()))
        for tag in tags
    ]
    shapes = "".join(_shape(name, schema) for name, schema in sorted(components["schemas"].items()))
    title = escape(info["title"])
    return (
        f'<!DOCTYPE html><html lang="zh-CN"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head><body>'
        f'<nav>{links}<a href="#shapes">数据类型与状态码</a><a href="/openapi.json">openapi.json</a></nav>'
        f"<main><h1>{title}</h1>{_prose(info['description'])}{_first_call(document)}{''.join(parts)}"
        f'<h2 id="shapes">数据类型</h2>{shapes}</main></body></html>'
    )


def _first_call(document: Mapping[str, Any]) -> str:
    """A call that can be copied: the first interface that needs an identifier alone."""
    path = next(path for path in document["paths"] if path.endswith("DataByCertificateID"))
    body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"]["request"]["value"]
    text = (
        f'curl -s "$GATEWAY{path}" -H "Authorization: Bearer $TOKEN" \\\n'
        f"  -H 'Content-Type: application/json' -d '{json.dumps(body, ensure_ascii=False)}'"
    )
    return f"<h2>第一次调用</h2><pre>{escape(text)}</pre>"


def _operation(path: str, method: str, operation: Mapping[str, Any], components: Mapping[str, Any]) -> str:
    out = [
        f'<h3 id="{escape(operation["operationId"])}">{escape(operation["summary"])}</h3>',
        f'<p><span class="{method}">{method.upper()}</span><code>{escape(path)}</code></p>',
    ]
    if parameters := operation.get("parameters"):
        rows = ((one["name"], one["in"], one.get("description", "")) for one in parameters)
        out.append(_table(("参数", "位置", "说明"), rows))
    if body := operation.get("requestBody"):
        for content in body["content"].values():
            out.append(f"<p>请求：{_type(content['schema'])}</p>" if "$ref" in content["schema"] else "")
            out += _examples(content)
    out.append("<p>答复：</p>")
    for http, response in operation["responses"].items():
        told = components["responses"][response["$ref"].rpartition("/")[2]] if "$ref" in response else response
        shown = "".join(part for content in told.get("content", {}).values() for part in _examples(content))
        kinds = ", ".join(_type(one["schema"]) for one in told.get("content", {}).values())
        out.append(
            f"<details><summary><b>{http}</b> {_inline(told['description'])}</summary><p>{kinds}</p>{shown}</details>"
        )
    return "".join(out)


def _examples(content: Mapping[str, Any]) -> list[str]:
    named = content.get("examples") or (
        {"": {"summary": "", "value": content["example"]}} if "example" in content else {}
    )
    return [f"<p>{escape(one['summary'])}</p>{_json(one['value'])}" for one in named.values()]


def _shape(name: str, schema: Mapping[str, Any]) -> str:
    must = set(schema.get("required", ()))
    either = {part for one in schema.get("anyOf", ()) for part in one.get("required", ())}
    rows = (
        (field, _type(value), "必填" if field in must else "二选一" if field in either else "", value["description"])
        for field, value in schema.get("properties", {}).items()
    )
    body = "".join(
        f"<tr><td><code>{escape(field)}</code></td><td>{kind}</td><td>{told}</td><td>{_prose(text)}</td></tr>"
        for field, kind, told, text in rows
    )
    return (
        f'<h3 id="{escape(name)}"><code>{escape(name)}</code></h3><table><tr><th>名称</th><th>类型</th><th></th>'
        f"<th>说明</th></tr>{body}</table>"
    )


def _type(schema: Mapping[str, Any]) -> str:
    """A type in a few words, as HTML."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(_REF))
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema and "type" not in schema:
        return " | ".join(_type(one) for one in schema["anyOf"])
    kinds = schema.get("type", "")
    kind = next(one for one in kinds if one != "null") if isinstance(kinds, list) else kinds
    if kind == "array":
        return f"{_type(schema.get('items', {}))}[]"
    most = f" ≤ {schema['maxLength']}" if "maxLength" in schema else ""
    return escape(kind + most)


def _table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{_inline(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _prose(text: str) -> str:
    """Paragraphs, lists and tables of the little Markdown that the document uses."""
    out = []
    for block in re.split(r"\n{2,}", text.strip()):
        lines = block.splitlines()
        if all(line.startswith("- ") for line in lines):
            out.append(f"<ul>{''.join(f'<li>{_inline(line[2:])}</li>' for line in lines)}</ul>")
        elif all(line.startswith("|") for line in lines):
            cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
            out.append(_table(cells[0], cells[2:]))
        else:
            out.append(f"<p>{_inline(block)}</p>" if len(text) > len(block) else _inline(block))
    return "".join(out)


def _inline(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _json(value: object) -> str:
    return f"<pre>{escape(json.dumps(value, ensure_ascii=False, indent=2))}</pre>"
