"""Reading YAML and JSON as people write them: lines, bounds, and what is wrong with a file itself."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.registry.documents import MAX_DEPTH, MAX_FILE_BYTES, MAX_VALUES, Node, line_of, node_of, read_document


def plain(node: Node | None) -> Any:
    """The value without its lines."""
    match node and node.value:
        case dict() as inner:
            return {name: plain(one) for name, one in inner.items()}
        case list() as inner:
            return [plain(one) for one in inner]
        case value:
            return value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\nb: [x, -2, 0]", {"a": 1, "b": ["x", -2, 0]}),
        ("a: true\nb: FALSE\nc: ~\nd:\ne: null", {"a": True, "b": False, "c": None, "d": None, "e": None}),
        (
            "a: yes\nb: no\nc: 17:30\nd: 007\ne: 2026-01-01\nf: 1.5",
            dict(zip("abcdef", ("yes", "no", "17:30", "007", "2026-01-01", "1.5"), strict=True)),
        ),
        ("a: '31'\nb: \"true\"\nc: |\n  x\n", {"a": "31", "b": "true", "c": "x\n"}),
        ("a: 11100000000013127901", {"a": "11100000000013127901"}),
        ("a: &x [1, 2]\nb: *x", {"a": [1, 2], "b": [1, 2]}),
        ("a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}", {"a": {"k": 1, "l": 2}, "b": {"l": 3, "k": 1}}),
        ("a: &x {k: 1}\nb: &y {l: 2}\nc: {<<: [*x, *y]}", {"a": {"k": 1}, "b": {"l": 2}, "c": {"k": 1, "l": 2}}),
        ("\ufeffa: 1", {"a": 1}),
        ("# nothing", None),
        ("", None),
    ],
)
def test_yaml(text: str, value: object) -> None:
    """Texts stay texts unless they are YAML 1.2's words or whole numbers; anchors and merges are followed."""
    node, faults = read_document("x.yaml", text.encode())
    assert (plain(node), faults) == (value, [])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text().filter(lambda name: name != "<<"), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(value=VALUES, indent=st.sampled_from([None, 0, 2]), ascii_only=st.booleans())
def test_json(value: Any, indent: int | None, ascii_only: bool) -> None:  # noqa: FBT001  # what hypothesis draws
    """Whatever JSON holds is read as that, however it is laid out."""
    node, faults = read_document("x.json", json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode())
    assert faults == []
    assert plain(node) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.yaml", "a:\n  - 1\n  - b: 2\n    c: 3\n"),
        ("x.yml", "# one\n\na: [\n\n1, {b: 2,\nc: 3}]\n"),
        ("x.json", '{\n "a": [\n  1,\n  {"b": 2,\n   "c": 3}]}'),
    ],
)
def test_lines(name: str, text: str) -> None:
    """Every value and every name knows its line, in YAML and in JSON."""
    node, _ = read_document(name, text.encode())
    assert node is not None
    lines = text.splitlines()
    assert "3" in lines[line_of(node, ("a", 1, "c")) - 1]
    assert "2" in lines[line_of(node, ("a", 1, "b")) - 1]
    assert line_of(node, ("a", 1, "missing")) == line_of(node, ("a", 1))
    assert line_of(node, ("a", 7)) == line_of(node, ("a",))
    assert line_of(node, ("a", "name")) == line_of(node, ("a",))
    assert isinstance(node.value, dict)
    assert "a" in lines[node.names["a"] - 1]


DEEP = MAX_DEPTH + 1
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
MERGES = "a: &a {" + ", ".join(f"k{n}: 1" for n in range(2_000)) + "}\nb:\n" + "  - {<<: *a}\n" * 20_000


@pytest.mark.parametrize(
    ("name", "text", "line", "said"),
    [
        ("x.yaml", "a: 1\nb: [", 2, "不是 YAML"),
        ("x.yaml", "a: 1\n\tb: 2", 2, "不是 YAML"),
        ("x.yaml", "a: 1\nb: !!python/object:os.system {}", 2, "不接受标签"),
        ("x.yaml", "a: !int 5", 1, "不接受标签"),
        ("x.yaml", "a: 1\nb: *x", 2, "没有名为 x 的锚点"),
        ("x.yaml", "a: &a\n  - *a", 2, "没有名为 a 的锚点"),
        ("x.yaml", "a: 1\n---\nb: 2", 2, "只写一份文档"),
        ("x.yaml", "? [a]\n: 1", 1, "名称应为文字"),
        ("x.yaml", "a: {<<: 5}", 1, "<< 之后应为映射"),
        ("x.yaml", "[" * DEEP + "]" * DEEP, 1, "嵌套超过"),
        ("x.yaml", "[" * 200_000, 1, "嵌套超过"),
        ("x.yaml", BOMB, 6, "个值"),
        ("x.yaml", MERGES, 3, "个值"),
        ("x.yaml", "[" + "1," * 200_001 + "]", 1, "个值"),
        ("x.json", "[" + "1," * 200_001 + "1]", 1, "个值"),
        ("x.json", '{"a": 1,\n"b": }', 2, "不是 JSON"),
        ("x.json", '{"a": NaN}', 1, "不是 JSON"),
        ("x.json", "9" * 5_000, 1, "不是 JSON"),
        ("x.json", "[" * DEEP + "]" * DEEP, 1, "嵌套超过"),
        ("x.json", "[" * 200_000 + "]" * 200_000, 1, "嵌套超过"),
        ("x.json", '{"a":\n ' * DEEP + "1" + "}" * DEEP, 17, "嵌套超过"),
        ("x.yaml", " " * (MAX_FILE_BYTES + 1), 1, "超过 4 MiB"),
    ],
)  # fmt: skip
def test_faults(name: str, text: str, line: int, said: str) -> None:
    """A file that is malformed, too large, too deep or tagged is refused at its line, and soon."""
    begun = time.process_time()
    node, (fault,) = read_document(name, text.encode())
    assert time.process_time() - begun < 10
    assert node is None
    assert said in fault.message
    assert fault.line == line
    assert fault.remedy


@pytest.mark.parametrize(
    "text", [" " * MAX_FILE_BYTES, "[" + "1," * (MAX_VALUES - 1) + "]", "[" * MAX_DEPTH + "]" * MAX_DEPTH]
)
def test_the_largest_that_is_read(text: str) -> None:
    """What lies just inside the bounds is read."""
    assert read_document("x.yaml", text.encode())[1] == []


def test_not_utf8() -> None:
    """A file in another encoding is told with the line of its first strange byte."""
    node, (fault,) = read_document("x.yaml", "a: 1\nb: 名".encode("gbk"))
    assert (node, fault.line) == (None, 2)
    assert "UTF-8" in fault.message


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [("x.yaml", "a: 1\nb: 2\na: 3\nb: {c: 1, c: 2}", [4, 3, 4]), ("x.json", '{"a": 1,\n "b": 2,\n"a": 3}', [3])],
)
def test_the_same_name_twice(name: str, text: str, lines: list[int]) -> None:
    """A name that stands twice in one mapping is told each time, with the line of the first."""
    node, faults = read_document(name, text.encode())
    assert [fault.line for fault in faults] == lines
    assert all("出现了两次，第一次在第" in fault.message for fault in faults)
    assert plain(node)["a"] == 1


@given(text=st.text(alphabet="ab01:-[]{},&*!|>?#'\"\n \\<", max_size=60), name=st.sampled_from(["x.yaml", "x.json"]))
def test_anything(text: str, name: str) -> None:
    """Whatever a file holds, it is read or its faults are told."""
    node, faults = read_document(name, text.encode())
    assert node is not None or faults or plain(node) is None
    assert all(1 <= fault.line <= text.count("\n") + 1 for fault in faults)


def test_typed_values() -> None:
    """What did not come from a file is read like what did, all on one line."""
    node = node_of({"a": [1, {"b": "x"}], "c": (None, True)}, 7)
    assert plain(node) == {"a": [1, {"b": "x"}], "c": [None, True]}
    assert {line_of(node, path) for path in (("a",), ("a", 1, "b"), ("c", 0))} == {7}
