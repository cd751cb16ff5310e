"""What an adapter's own modules import and call: the vocabulary and parsers, no clock, no file, no chance."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from adapters.contract import Adapter

OURS = {f"processing.{name}" for name in ("commands", "results", "errors", "events", "units")}
PARSERS = {"lxml", "marshmallow", "msgspec", "segno", "urllib.parse", "xml.sax.saxutils", "yaml", "zoneinfo"}
PLAIN = {
    "__future__",
    "base64",
    "binascii",
    "codecs",
    "collections",
    "collections.abc",
    "csv",
    "contextlib",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "enum",
    "functools",
    "hashlib",
    "hmac",
    "itertools",
    "json",
    "re",
    "string",
    "struct",
    "threading",
    "types",
    "typing",
    "uuid",
    "zlib",
}
CLOCKS_AND_DOORS = {"now", "today", "utcnow", "time", "uuid4", "uuid1", "open", "urandom", "getenv", "read_text"}


def sources(adapter: Adapter) -> list[Path]:
    """The files that the adapter is made of: the package of each of its functions, or their module alone."""
    found: set[Path] = set()
    for name in _modules(adapter):
        path = Path(inspect.getfile(sys.modules[name]))
        inside = path.parent.name != "adapters" and (path.parent / "__init__.py").exists()
        found |= set(path.parent.rglob("*.py")) if inside else {path}
    return sorted(found)


def own_packages(adapter: Adapter) -> set[str]:
    """The top-level names that the adapter's own modules stand under."""
    return {name.partition(".")[0] for name in _modules(adapter)} | {"adapters"}


def _modules(adapter: Adapter) -> set[str]:
    functions: list[Callable[..., Any]] = [adapter.refuse, *(route.handler for route in adapter.routes)]
    functions += [function for face in adapter.files for function in (face.names, face.read)]
    names = {inspect.unwrap(function).__module__ for function in functions} | {adapter.options.__module__}
    return {name for name in names if name.partition(".")[0] not in PARSERS}


def foreign_imports(source: str, own: set[str]) -> list[str]:
    """The modules that an adapter may not import."""
    return [name for name in imported(ast.parse(source)) if not is_allowed(name, own)]


def forbidden_calls(source: str) -> set[str]:
    """The calls that read a clock, a file or chance."""
    return CLOCKS_AND_DOORS & set(called(ast.parse(source)))


def is_allowed(module: str, own: set[str]) -> bool:
    if module.startswith("adapters.testing"):
        return False
    return module in OURS or module.partition(".")[0] in own or module in PLAIN | PARSERS


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."


def called(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "attr", getattr(node.func, "id", ""))
