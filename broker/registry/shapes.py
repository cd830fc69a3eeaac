"""Whether a written value has the form of its type: every wrong value is told, each at its place."""

from __future__ import annotations

import difflib
import re
from datetime import date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import inspect

from broker.bus.clock import SHANGHAI
from broker.registry.leaves import LEAVES, NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from msgspec import Struct

    from broker.registry.documents import Node

Path = tuple[str | int, ...]
_DAYS = {"validFrom", "validTo", "notBefore", "notAfter"}
_RELATIVE = re.compile(r"today([+-][0-9]{1,4})?")
_MOST_GUESSED = 1_024  # a look costs some 20 µs, and strangers decide how many there are
_QUOTE = "请加引号写成文字"
_CHOICES = re.compile(r"\^\(([a-z|]+)\)\$")


class Wrong(NamedTuple):
    """What is wrong at a place, and what should stand there; line 0 until it is known."""

    path: Path
    message: str
    remedy: str
    line: int = 0


class Shape:
    """Reads values as their types say and notes in `wrong` all that is not so.

    With a `today` days are written as people write them, without it they are unix ms.
    """

    def __init__(self, today: date | None) -> None:
        self.wrong: list[Wrong] = []
        self._today = today

    def read(self, node: Node, kind: type[Struct], path: Path = ()) -> Any:
        """The plain value with days as unix ms, without names that the type does not have."""
        return self._read(node, inspect.type_info(kind), path, "")

    def _say(self, node: Node, path: Path, message: str, remedy: str) -> None:
        self.wrong.append(Wrong(path, message, remedy, node.line))

    def _read(self, node: Node, kind: inspect.Type, path: Path, name: str) -> Any:
        match kind:
            case inspect.UnionType():
                if node.value is None:
                    return None
                (kind,) = (one for one in kind.types if not isinstance(one, inspect.NoneType))
                return self._read(node, kind, path, name)
            case inspect.StructType():
                return self._struct(node, kind, path)
            case inspect.DictType():
                return self._dict(node, kind, path, name)
            case inspect.VarTupleType():
                return self._list(node, kind, path, name)
            case inspect.IntType() if name in _DAYS and self._today is not None:
                return self._day(node, self._today, path)
        if told := _misfit(node.value, kind) or _leaf(node.value, name):
            self._say(node, path, *told)
        return node.value

    def _struct(self, node: Node, kind: inspect.StructType, path: Path) -> Any:
        if not isinstance(node.value, dict):
            self._say(node, path, "应为映射 (a mapping is expected)", "请按 docs/registry.md 的形式逐项书写")
            return node.value
        fields = {field.encode_name: field for field in kind.fields}
        for name in node.value.keys() - fields.keys():
            at = node.names.get(name, node.line)
            remedy = f"{guess(name, fields)}可写：{'、'.join(fields)}"
            self.wrong.append(Wrong((*path, name), f"没有名为 {name} 的项 (unknown name)", remedy, at))
        for name, field in fields.items():
            if field.required and name not in node.value:
                remedy = f"请写明 {name}，见 docs/registry.md"
                self._say(node, (*path, name), f"缺少 {name} (missing)", remedy)
        return {
            name: self._read(inner, fields[name].type, (*path, name), name)
            for name, inner in node.value.items()
            if name in fields
        }

    def _dict(self, node: Node, kind: inspect.DictType, path: Path, name: str) -> Any:
        if not isinstance(node.value, dict):
            self._say(node, path, "应为映射 (a mapping is expected)", "请写为 名称: 值")
            return node.value
        for key in node.value:
            if told := NAMES[name](key) if name in NAMES else None:
                self.wrong.append(Wrong((*path, key), *told, node.names.get(key, node.line)))
        return {key: self._read(inner, kind.value_type, (*path, key), "") for key, inner in node.value.items()}

    def _list(self, node: Node, kind: inspect.VarTupleType, path: Path, name: str) -> Any:
        if not isinstance(node.value, list):
            self._say(node, path, "应为列表 (a list is expected)", "请写为 [甲, 乙]，或逐行以 - 开头")
            return node.value
        if len(node.value) < (kind.min_length or 0):
            self._say(node, path, f"至少应有 {kind.min_length} 项 (too few)", "请补充")
        seen = set()
        for place, one in enumerate(node.value):
            if isinstance(one.value, str) and one.value in seen:
                self._say(one, (*path, place), f"{one.value} 重复 (given twice)", "请删去其一")
            if isinstance(one.value, str):
                seen.add(one.value)
        return [self._read(one, kind.item_type, (*path, place), name) for place, one in enumerate(node.value)]

    def _day(self, node: Node, today: date, path: Path) -> Any:
        """Midnight in Shanghai of a day, unix ms."""
        try:
            day = _day_of(node.value, today)
        except (ValueError, OverflowError):
            day = None
        if day is None:
            remedy = "请写 yyyy-mm-dd、today、today-30 或 today+300"
            self._say(node, path, f"{node.value} 不是日期 (not a day)", remedy)
            return 0
        return int(datetime(day.year, day.month, day.day, tzinfo=SHANGHAI).timestamp() * 1000)


def guess(name: str, known: Iterable[str]) -> str:
    """“did you mean”: the known name that is nearest, "" when none is near; of very many the first are looked at."""
    by_lower = {one.lower(): one for one in islice(known, _MOST_GUESSED)}
    near = difflib.get_close_matches(name[:128].lower(), by_lower, 1, 0.7)
    return f"是否想写 {by_lower[near[0]]}？(did you mean {by_lower[near[0]]}?) " if near else ""


def indexed(values: Iterable[Any], *path: str | int) -> Iterator[tuple[Path, Any]]:
    """Each value with its path."""
    yield from (((*path, place), value) for place, value in enumerate(values))


def _day_of(written: object, today: date) -> date | None:
    if not isinstance(written, str):
        return None
    if match := _RELATIVE.fullmatch(written):
        return today + timedelta(days=int(match[1] or 0))
    return date.fromisoformat(written) if len(written) == 10 else None


def _misfit(value: object, kind: inspect.Type) -> tuple[str, str] | None:
    match kind:
        case inspect.StrType():
            return _text_misfit(value, kind)
        case inspect.IntType():
            return _number_misfit(value, kind)
        case inspect.BoolType():
            if not isinstance(value, bool):
                return f"{value} 不是真假值 (true or false is expected)", "请写 true 或 false"
        case inspect.EnumType(cls=cls):
            return _choice_misfit(value, [str(one.value) for one in cls])
        case inspect.LiteralType(values=values):
            return _choice_misfit(value, [str(one) for one in values])
    return None


def _text_misfit(value: object, kind: inspect.StrType) -> tuple[str, str] | None:
    if not isinstance(value, str):
        return ("不能为空 (empty)", "请填写") if value is None else ("应为文字 (a text is expected)", _QUOTE)
    if value.isspace() or len(value) < (kind.min_length or 0):
        return "不能为空 (empty)", "请填写"
    if kind.max_length is not None and len(value) > kind.max_length:
        return f"超过 {kind.max_length} 个字 (too long)", "请缩短"
    if any(one < " " or one == "\x7f" for one in value):
        return "含有控制字符或换行 (control characters)", "请写成一行文字"
    if kind.pattern is not None and not re.search(kind.pattern, value):
        return f"{value[:64]} 不合形式 (wrong form)", _in_words(kind.pattern)
    return None


def _in_words(pattern: str) -> str:
    """What a pattern asks for, as people say it."""
    if choices := _CHOICES.fullmatch(pattern):
        return f"可写：{choices[1].replace('|', '、')}"
    return "应符合 HH:MM，例如 08:30" if pattern.endswith(":[0-5][0-9]$") else f"应符合 {pattern}"


def _number_misfit(value: object, kind: inspect.IntType) -> tuple[str, str] | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return f"{value} 不是整数 (a whole number is expected)", "请写不带引号和小数点的整数"
    least, most = kind.ge, kind.le
    if (least is not None and value < least) or (most is not None and value > most):
        bounds = f"应为 {least} 至 {most}" if most is not None else f"应至少为 {least}"
        return f"{value} 超出范围 (out of range)", bounds
    return None


def _choice_misfit(value: object, choices: list[str]) -> tuple[str, str] | None:
    if value in choices:
        return None
    return f"没有 {value} 这一取值 (unknown value)", f"{guess(str(value), choices)}可写：{'、'.join(choices)}"


def _leaf(value: object, name: str) -> tuple[str, str] | None:
    return LEAVES[name](value) if name in LEAVES and isinstance(value, str) else None


def first_at_each_place(wrongs: Iterable[Wrong], told: Mapping[Path, object]) -> Iterator[Wrong]:
    """Of several things that are wrong at one place the first: what follows from it would only confuse."""
    seen = set(told)
    for wrong in wrongs:
        if wrong.path not in seen:
            seen.add(wrong.path)
            yield wrong
