"""Design law 8, read from the code itself: nothing that touches an amount can make a float."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("processing", "adapters") for path in (ROOT / folder).rglob("*.py"))
TIMES = ("_SECONDS", "_MS")
"""Constants with these endings are durations of the machine, never amounts."""

FLOAT_MAKERS = {("json", "loads"), ("json", "load"), ("orjson", "loads"), ("math", "floor"), ("math", "ceil")}


def floats(source: str) -> Iterator[str]:
    """Every place where a float could come from: literals, ``float``, true division, parsers that make them."""
    tree = ast.parse(source)
    harmless = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign) and _names_a_time(node)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in harmless:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield f"line {node.lineno}: {node.value}"
        if isinstance(node, ast.Name) and node.id == "float" and not _is_annotation(tree, node):
            yield f"line {node.lineno}: float"
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div) and not _about_time(node):
            yield f"line {node.lineno}: /"
        if isinstance(node, ast.Name) and node.id == "round":
            yield f"line {node.lineno}: round"
        if isinstance(node, ast.Call) and _attribute(node.func) in FLOAT_MAKERS and not _reads_decimals(node):
            yield f"line {node.lineno}: {ast.unparse(node.func)}"
        if isinstance(node, ast.ImportFrom) and node.module in ("json", "orjson", "math"):
            yield f"line {node.lineno}: from {node.module}"


def _names_a_time(node: ast.Assign | ast.AnnAssign) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return all(isinstance(target, ast.Name) and target.id.endswith(TIMES) for target in targets)


def _about_time(node: ast.BinOp | ast.AugAssign) -> bool:
    """A division with a duration or a path in it."""
    return any(
        (isinstance(child, ast.Name) and (child.id.endswith(TIMES) or child.id in ("folder", "FOLDER", "Path")))
        or (isinstance(child, ast.Attribute) and child.attr in ("parent", "parents"))
        for child in ast.walk(node)
    )


def _is_annotation(tree: ast.AST, name: ast.Name) -> bool:
    return any(
        name in ast.walk(annotation)
        for node in ast.walk(tree)
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if isinstance(annotation, ast.AST)
    )


def _attribute(function: ast.expr) -> tuple[str, str] | None:
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return function.value.id, function.attr
    return None


def _reads_decimals(call: ast.Call) -> bool:
    return any(keyword.arg == "parse_float" for keyword in call.keywords)


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if "testing" not in path.relative_to(ROOT).parts],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_nothing_here_makes_a_float(path: Path) -> None:
    assert list(floats(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "x = 0.5",
        "float('1')",
        "a = b / 100",
        "a /= 3",
        "json.loads(t)",
        "round(x, 2)",
        "from json import loads",
        "f(2e3)",
    ],
)
def test_the_test_sees_a_float(source: str) -> None:
    assert list(floats(source))


@pytest.mark.parametrize(
    "source",
    ["PAUSE_SECONDS = 0.005", "json.loads(t, parse_float=Decimal)", "a // 100", "def f(x: float) -> None: ..."],
)
def test_durations_and_decimals_are_no_floats(source: str) -> None:
    assert not list(floats(source))
