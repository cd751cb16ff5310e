"""All adapters that a configuration can name: built in, of installed packages, and its own YAML documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TypeVar

from adapters.contract import Adapter
from adapters.converters import Converter
from adapters.declarative import BadDocument, Declared, build
from adapters.registry import ADAPTERS
from gateway.problems import Problems
from gateway.yaml_files import read_yaml
from processing.errors import ConfigError

FOLDER = "adapters"
T = TypeVar("T")

PLUG_INS, CONVERTERS = "tillgate.adapters", "tillgate.converters"


def plugged_in() -> dict[str, Adapter]:
    """The built-in ones and those of installed packages. Errors: ConfigError."""
    found = dict(ADAPTERS)
    for point in entry_points(group=PLUG_INS):
        adapter = _loaded(point, Adapter)
        if adapter.name in found:
            raise ConfigError(f"entry point {point.name!r} of {PLUG_INS}: an adapter is named {adapter.name!r} already")
        found[adapter.name] = adapter
    return found


def converters() -> tuple[Converter, ...]:
    """Those of installed packages. Errors: ConfigError."""
    return tuple(_loaded(point, Converter) for point in entry_points(group=CONVERTERS))


def _loaded(point: EntryPoint, kind: type[T]) -> T:
    """Errors: ConfigError, whatever the package raises: a till's link must not stop for a reason that nobody sees."""
    try:
        loaded = point.load()
    except Exception as error:
        raise ConfigError(f"entry point {point.name!r} of {point.group}: {type(error).__name__}: {error}") from error
    if not isinstance(loaded, kind):
        raise ConfigError(
            f"entry point {point.name!r} of {point.group}: found {loaded!r:.60}, expected an {kind.__name__}"
        )
    return loaded


def declared(file: Path) -> Declared:
    """The adapter of a YAML document. Errors: ConfigError with all that is wrong with it."""
    problems = Problems(file.parent)
    found = read(file.parent, file.name, problems, converters())
    if found is None:
        raise ConfigError("\n".join(problems.lines))
    return found


def number_of_rules(found: Declared) -> int:
    """Of messages, files, pushes and polling together."""
    told = found.document
    parts = [told, *(told[name] for name in ("files", "pull") if name in told)]
    return len(told["push"]) + sum(len(part["rules"]) for part in parts)


def read(root: Path, name: str, problems: Problems, others: tuple[Converter, ...]) -> Declared | None:
    """The adapter of the document at this path below ``root``; ``None`` with its problems noted."""
    try:
        raw = read_yaml(root / name)
    except ValueError as error:
        problems.say(name, (), str(error))
        return None
    if not isinstance(raw, dict):
        problems.say(name, (), "expected a mapping: the document of an adapter")
        return None
    try:
        return build(raw, others)
    except BadDocument as error:
        for path, text in error.mistakes:
            problems.say(name, path, text)
        return None


def of_folder(root: Path, known: Mapping[str, Adapter], problems: Problems) -> Iterator[Declared]:
    """The configuration's own documents; what is wrong with the others is noted."""
    files = sorted((root / FOLDER).glob("*.yaml"))
    others = converters() if files else ()
    for path in files:
        name = f"{FOLDER}/{path.name}"
        found = read(root, name, problems, others)
        if found is None:
            continue
        adapter = found.adapter
        if adapter.name != path.stem:
            problems.say(name, ("adapter",), f"found {adapter.name!r}, expected {path.stem!r} as the file is named")
        elif adapter.name in known:
            problems.say(name, ("adapter",), f"an adapter is named {adapter.name!r} already")
        else:
            yield found
