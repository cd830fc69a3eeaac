"""YAML and JSON as people write them: bounded, and every value knows its line."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from yaml import events as told

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FILE_BYTES = 4 << 20
MAX_VALUES = 200_000  # with aliases followed: a few lines of them can stand for more than any memory holds
MAX_DEPTH = 16
ENDINGS = (".yaml", ".yml", ".json")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # read event by event: it constructs nothing
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}
_WHOLE = re.compile("-?(0|[1-9][0-9]{0,17})")
_MERGE = "<<"
_TOKEN = re.compile(r'\s*([{}\[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+)')

Scalar = str | int | float | bool | None


class Node(NamedTuple):
    """A value with its line, and of a mapping the lines of its names; `size` counts the values in it."""

    value: Scalar | list[Node] | dict[str, Node]
    line: int
    names: dict[str, int] = {}  # noqa: RUF012  # never changed
    size: int = 1


class Fault(NamedTuple):
    """What is wrong with a file itself."""

    line: int
    message: str
    remedy: str


class _FaultError(Exception):
    def __init__(self, line: int, message: str, remedy: str) -> None:
        super().__init__(message)
        self.fault = Fault(line, message, remedy)


def read_document(name: str, raw: bytes) -> tuple[Node | None, list[Fault]]:
    """The value that a file holds (None: nothing, or nothing that can be read) and all that is wrong with the file."""
    faults: list[Fault] = []
    if len(raw) > MAX_FILE_BYTES:
        return None, [Fault(1, f"文件超过 {MAX_FILE_BYTES >> 20} MiB (file too large)", "请分成几个文件")]
    try:
        text = raw.decode("utf-8-sig")
        node = (_of_json if name.endswith(".json") else _of_yaml)(text, faults)
    except _FaultError as error:
        return None, [*faults, error.fault]
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return None, [Fault(line, "不是 UTF-8 文本 (not UTF-8)", "请以 UTF-8 编码保存")]
    return node, faults


def node_of(value: Any, line: int = 0) -> Node:
    """A typed value as a document would hold it, all of it on one line."""
    if isinstance(value, dict):
        return _mapping([(str(name), line, node_of(inner, line)) for name, inner in value.items()], line, [])
    if isinstance(value, list | tuple):
        return Node([node_of(inner, line) for inner in value], line)
    return Node(value, line)


def line_of(node: Node, path: tuple[str | int, ...]) -> int:
    """The line of the value at this path; of one that is not there, the line of what should hold it."""
    for step in path:
        inner = node.value
        if isinstance(inner, dict) and step in inner:
            node = inner[str(step)]
        elif isinstance(inner, list) and isinstance(step, int) and step < len(inner):
            node = inner[step]
        else:
            break
    return node.line


def _mapping(entries: list[tuple[str, int, Node]], line: int, faults: list[Fault]) -> Node:
    """Names in their order, the first of two that are the same; what `<<` brings comes behind."""
    values: dict[str, Node] = {}
    names: dict[str, int] = {}
    for name, at, node in entries:
        if name in values:
            message = f"{name} 出现了两次，第一次在第 {names[name]} 行 (duplicate key)"
            faults.append(Fault(at, message, "请删去其一"))
            continue
        values[name], names[name] = node, at
    merged = values.pop(_MERGE, None)
    if merged is not None:
        for one in merged.value if isinstance(merged.value, list) else [merged]:
            if not isinstance(one.value, dict):
                raise _FaultError(merged.line, "<< 之后应为映射 (<< merges mappings)", "请写为 <<: *名称")
            for name, node in one.value.items():
                values.setdefault(name, node)
                names.setdefault(name, merged.line)
    size = 1 + sum(one.size for one in values.values())
    return _sized(Node(values, line, names, size))


class _Entries:
    """A list as it grows: it is too large as soon as it is, not only once it is whole."""

    def __init__(self, line: int) -> None:
        self._nodes: list[Node] = []
        self._line, self._size = line, 1

    def add(self, node: Node) -> None:
        self._nodes.append(node)
        self._size += node.size
        _sized(self.node())

    def node(self) -> Node:
        return Node(self._nodes, self._line, {}, self._size)


def _sized(node: Node) -> Node:
    if node.size > MAX_VALUES:
        raise _FaultError(node.line, f"内容超过 {MAX_VALUES} 个值 (too many values)", "请分成几个文件，少用别名")
    return node


def _deeper(depth: int, line: int) -> int:
    if depth >= MAX_DEPTH:
        raise _FaultError(line, f"嵌套超过 {MAX_DEPTH} 层 (nested too deeply)", "请按 docs/registry.md 的形式书写")
    return depth + 1


def _of_yaml(text: str, faults: list[Fault]) -> Node | None:
    try:
        return _Yaml(text, faults).document()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        line = min(mark.line, text.count("\n")) + 1 if mark else 1
        raise _FaultError(line, f"不是 YAML：{problem} (not YAML)", "请核对缩进、引号与括号") from error


class _Yaml:
    """Composes the events of YAML's parser, so that depth, size and aliases are bounded before anything is made."""

    def __init__(self, text: str, faults: list[Fault]) -> None:
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=_LOADER))
        self._anchors: dict[str, Node] = {}
        self._faults = faults

    def document(self) -> Node | None:
        next(self._events)  # the stream
        if isinstance(next(self._events), told.StreamEndEvent):
            return None
        node = self._node(next(self._events), 0)
        next(self._events)  # the document's end
        if isinstance(after := next(self._events), told.DocumentStartEvent):
            raise _FaultError(_at(after), "一个文件只写一份文档 (one document a file)", "请删去 --- 之后的内容，或另存")
        return node

    def _node(self, event: Any, depth: int) -> Node:
        line = _at(event)
        if isinstance(event, told.AliasEvent):
            if event.anchor not in self._anchors:
                raise _FaultError(line, f"没有名为 {event.anchor} 的锚点 (unknown anchor)", "请先写 &名称，再写 *名称")
            return self._anchors[event.anchor]._replace(line=line)
        if event.tag is not None:
            raise _FaultError(line, f"不接受标签 {event.tag} (tags are not taken)", "请删去以 ! 开头的标签")
        if isinstance(event, told.ScalarEvent):
            node = Node(_plain(event.value) if event.implicit[0] else event.value, line)
        else:
            node = self._inner(event, _deeper(depth, line), line)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _inner(self, event: Any, depth: int, line: int) -> Node:
        if isinstance(event, told.SequenceStartEvent):
            entries = _Entries(line)
            while not isinstance(inner := next(self._events), told.SequenceEndEvent):
                entries.add(self._node(inner, depth))
            return entries.node()
        pairs = []
        while not isinstance(name := next(self._events), told.MappingEndEvent):
            if not isinstance(name, told.ScalarEvent):
                raise _FaultError(_at(name), "名称应为文字 (a name is a plain text)", "请写为 名称: 值")
            pairs.append((name.value, _at(name), self._node(next(self._events), depth)))
        return _mapping(pairs, line, self._faults)


def _at(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _plain(text: str) -> Scalar:
    """What an unquoted text means: YAML 1.2's words and whole numbers; 17:30, 007, yes and days stay texts."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    return int(text) if _WHOLE.fullmatch(text) else text


def _of_json(text: str, faults: list[Fault]) -> Node | None:
    if not text.strip():
        return None
    try:
        json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise _FaultError(
            1, f"嵌套超过 {MAX_DEPTH} 层 (nested too deeply)", "请按 docs/registry.md 的形式书写"
        ) from None
    except ValueError as error:
        line, problem = getattr(error, "lineno", 1), getattr(error, "msg", str(error))
        raise _FaultError(line, f"不是 JSON：{problem} (not JSON)", "请核对引号、逗号与括号") from error
    return _Json(text, faults).node(0)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


class _Json:
    """Walks the tokens of a text that is known to be JSON, counting lines."""

    def __init__(self, text: str, faults: list[Fault]) -> None:
        self._text, self._faults = text, faults
        self._place, self._line = 0, 1

    def _token(self) -> str:
        match = _TOKEN.match(self._text, self._place)
        if match is None:  # never: it was parsed before
            raise _FaultError(self._line, "不是 JSON (not JSON)", "请核对引号、逗号与括号")
        self._line += self._text.count("\n", self._place, match.start(1))
        self._place = match.end()
        return match[1]

    def node(self, depth: int) -> Node:
        return self._node(self._token(), depth)

    def _node(self, part: str, depth: int) -> Node:
        line = self._line
        if part == "[":
            depth, entries = _deeper(depth, line), _Entries(line)
            while (part := self._token()) != "]":
                if part != ",":
                    entries.add(self._node(part, depth))
            return entries.node()
        if part != "{":
            return Node(json.loads(part), line)
        depth, pairs = _deeper(depth, line), []
        while (part := self._token()) != "}":
            if part != ",":
                name, at = json.loads(part), self._line
                self._token()  # the colon
                pairs.append((name, at, self.node(depth)))
        return _mapping(pairs, line, self._faults)
