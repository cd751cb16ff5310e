"""What differs between two programmes, in the words of their files: paths with the old and the new value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from gateway.programme_text import Form

# Items of lists that have a name are told apart by it, wherever they stand.
NAMES = ("rule", "tier", "limit")
# Where the order says who goes first.
ORDERED = ("groups", "rules", "levels")


class Difference(NamedTuple):
    """``None``: it is not said there."""

    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        if self.old is None:
            return f"+ {self.path}: {one_line(self.new)}"
        if self.new is None:
            return f"- {self.path}: {one_line(self.old)}"
        return f"~ {self.path}: {one_line(self.old)} -> {one_line(self.new)}"


def differences(old: Form, new: Form, path: str = "") -> Iterator[Difference]:
    """In the order of the old file, what is only in the new one last; none for files that say the same."""
    for key in [*old, *(key for key in new if key not in old)]:
        at = f"{path}.{key}" if path else str(key)
        before, after = _named(old.get(key)), _named(new.get(key))
        if isinstance(before, dict) and isinstance(after, dict):
            yield from differences(before, after, at)
            if key in ORDERED:
                yield from _order(before, after, at)
        elif before != after:
            yield Difference(at, old.get(key), new.get(key))


def _named(value: Any) -> Any:
    """A list of named things as a mapping of them."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        name = next((name for name in NAMES if name in value[0]), None)
        if name is not None:
            return {each[name]: each for each in value}
    return value


def _order(old: Form, new: Form, path: str) -> Iterator[Difference]:
    before, after = [key for key in old if key in new], [key for key in new if key in old]
    if before != after:
        yield Difference(f"{path} (their order)", before, after)


def one_line(value: Any) -> str:
    """For reading, not for a file: without quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {one_line(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(one_line, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)
