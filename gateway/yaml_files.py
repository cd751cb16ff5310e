"""YAML read strictly: no floats, dates, octals or objects, and no key twice."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

Steps = tuple[str | int, ...]


def read_yaml(path: Path) -> Any:
    """The document: mappings, lists, null, true, false and integers; every other scalar is the text as written.

    Errors: ValueError that says where in the file and what.
    """
    try:
        return yaml.load(path.read_text("utf-8-sig"), _PlainLoader)  # noqa: S506  # a SafeLoader
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text at byte {error.start}") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{where}{error.problem}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from None


def lines_of(path: Path) -> dict[Steps, int]:
    """The line of each key and item of the document, by its path; of a file that cannot be read nothing."""
    try:
        root = yaml.compose(path.read_text("utf-8-sig"), _PlainLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    found: dict[Steps, int] = {}
    waiting: list[tuple[Steps, yaml.Node]] = [((), root)] if root is not None else []
    while waiting:
        steps, node = waiting.pop()
        inner: list[tuple[str | int, yaml.Node, yaml.Node]] = []
        if isinstance(node, yaml.MappingNode):
            inner = [(key.value, key, value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            inner = [(n, value, value) for n, value in enumerate(node.value)]
        for step, mark, value in inner:
            found[(*steps, step)] = mark.start_mark.line + 1
            waiting.append(((*steps, step), value))
    return found


class _PlainLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A key that stands twice is an error: the second would silently win."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int):
                raise yaml.MarkedYAMLError(None, None, "a key must be text or a number", key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(None, None, f"key {key!r} stands here twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_PlainLoader.yaml_constructors = {
    tag: make
    for tag, make in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in ("null", "bool", "int", "str", "seq", "map")
}
_PlainLoader.yaml_implicit_resolvers = {}
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:~|null|)$"), ["~", "n", ""])
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)$"), ["t", "f"])
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"-?(?:0|[1-9][0-9]*)$"), list("-0123456789"))
