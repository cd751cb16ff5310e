"""What a core may answer: for every ask a plain result, and any result that its type allows.

Made from the types of the vocabulary, so that an ask which is added later is covered without a word here.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from adapters.contract import Outcome
from processing.commands import Ask
from processing.errors import by_code
from processing.results import Result

AT = datetime(2026, 5, 4, 16, 52, 31, tzinfo=UTC)

AWKWARD = ["", 'Анна "А" & <Б>', "😀" * 300, "]]>", "a\x00b\x0bc\nd", "\ud800"]
TEXTS = st.text(max_size=400) | st.sampled_from(AWKWARD)
AMOUNTS = st.integers(-(10**15), 10**15)
ANY: dict[Any, st.SearchStrategy[Any]] = {
    int: AMOUNTS,
    str: TEXTS,
    bool: st.booleans(),
    datetime: st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    date: st.dates(),
    Any: st.none() | TEXTS,
}
# Fields of which the core promises more than their type says.
ANY_NAMED: dict[str, st.SearchStrategy[Any]] = {
    "account": st.integers(0, 2**32 - 1),
    "operation_id": st.integers(0, 2**63 - 1),
    "holder_id": st.integers(0, 2**63 - 1),
    "number": st.text("0123456789", min_size=1, max_size=19),
    "card": TEXTS | st.just("5550001234"),
    "unit": TEXTS | st.sampled_from(["BONUS", "GIFT"]),
    "scale": st.integers(0, 3),
    "status": st.sampled_from(["issued", "active", "blocked", "expired", "replaced", "closed", "?"]),
    "usable": st.sampled_from(["", "no_such_code", *sorted(by_code())]),
    "flags": st.lists(st.sampled_from(["superseded", "card_not_usable", "debt", "?"]), max_size=3).map(tuple),
    "replayed": st.booleans(),
}
PLAIN: dict[Any, Any] = {int: 1, str: "text", bool: False, datetime: AT, date: AT.date(), Any: None}
PLAIN_NAMED: dict[str, Any] = {
    "number": "5550001234",
    "card": "5550001234",
    "unit": "BONUS",
    "scale": 2,
    "status": "active",
    "usable": "",
    "flags": (),
}


def plain_core(asks: Sequence[Ask[Any]]) -> list[Outcome]:
    """A core that carries out whatever it is asked."""
    return [plain(result_of(type(ask))) for ask in asks]


@functools.cache
def result_of(ask: type[Ask[Any]]) -> type[Result]:
    """What this kind of ask is answered with: the type argument of ``Command[...]`` or ``Query[...]``."""
    for base in getattr(ask, "__orig_bases__", ()):
        for told in get_args(base):
            if isinstance(told, type) and issubclass(told, Result):
                return told
    raise AssertionError(f"{ask.__name__} does not say what it is answered with")


@functools.cache
def plain(struct: type[Any]) -> Any:
    """A result as it comes on an ordinary day, the same every time."""
    return struct(**{field.name: _plain(field.type, field.name) for field in msgspec.structs.fields(struct)})


def _plain(kind: Any, name: str) -> Any:
    if name in PLAIN_NAMED and not _is_struct(kind):
        return PLAIN_NAMED[name]
    if kind in PLAIN:
        return PLAIN[kind]
    if _is_struct(kind):
        return plain(kind)
    args = get_args(kind)
    if get_origin(kind) is tuple:
        return (_plain(args[0], name),) if args[1:] == (...,) else tuple(_plain(arg, "") for arg in args)
    if get_origin(kind) in (Union, types.UnionType):
        return _plain(args[0], name)
    if get_origin(kind) is Literal:
        return args[0]
    if get_origin(kind) is dict:
        return {}
    raise AssertionError(f"{name}: no plain value of {kind}")


def any_outcome(ask: type[Ask[Any]]) -> st.SearchStrategy[Any]:
    """Any result that the core could give to this kind of ask."""
    return any_of(result_of(ask))


@functools.cache
def any_of(struct: type[Any]) -> st.SearchStrategy[Any]:
    """Any value of the struct."""
    return st.builds(struct, **{field.name: _any(field.type, field.name) for field in msgspec.structs.fields(struct)})


def _any(kind: Any, name: str) -> st.SearchStrategy[Any]:
    if name in ANY_NAMED and not _is_struct(kind):
        return ANY_NAMED[name]
    if kind in ANY:
        return ANY[kind]
    if kind is type(None):
        return st.none()
    if _is_struct(kind):
        return any_of(kind)
    args = get_args(kind)
    if get_origin(kind) is tuple:
        several = args[1:] == (...,)
        return st.lists(_any(args[0], name), max_size=3).map(tuple) if several else st.tuples(*map(_unnamed, args))
    if get_origin(kind) in (Union, types.UnionType):
        return st.one_of(*(_any(arg, name) for arg in args))
    if get_origin(kind) is Literal:
        return st.sampled_from(args)
    if get_origin(kind) is dict:
        return st.dictionaries(TEXTS, ANY[Any], max_size=3)
    raise AssertionError(f"{name}: no strategy for {kind}")


def _unnamed(kind: Any) -> st.SearchStrategy[Any]:
    return _any(kind, "")


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
