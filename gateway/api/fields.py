"""The fields that bodies and answers are made of, with their bounds, patterns and examples for the document.

What depends on the caller (the chain's scales, whether personal data is shown) is asked of the ``READER``, which
is set for each request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from gateway.api.amounts import PATTERN, TOLD_PATTERN, minor, money_scale, written
from processing.commands import MAX_KEY, MAX_KEYS, MAX_PAGE
from processing.directory import Directory
from processing.execute import MAX_NAME
from processing.units import QUANTITY_SCALE, major

MAX_TEXT = 255
MAX_REASON = 500
# With a request key of 255 letters in it.
MAX_CURSOR = 2_048
DEFAULT_PAGE = 50
MAX_ID = 2**63 - 1

FIRST_INSTANT = datetime(2000, 1, 1, tzinfo=UTC)
LAST_INSTANT = datetime(2100, 1, 1, tzinfo=UTC)

# No control characters, which PostgreSQL and slips can not carry, and no halves of characters.
_PLAIN = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]*")
_PLAIN_PATTERN = r"^[^\u0000-\u001f\u007f]*$"
_PLAIN_WORDS = "text without control characters"
_INSTANT_WORDS = (
    "Expected an instant with its time zone, such as 2026-05-04T16:52:00+03:00 or 2026-05-04T13:52:00Z; "
    "in an address + is written %2B."
)


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom bodies are read and answers written."""

    directory: Directory
    sees_personal: bool = False

    @property
    def money_scale(self) -> int:
        return money_scale(self.directory)


READER: ContextVar[Reader] = ContextVar("reader")

# What comes in -----------------------------------------------------------------------------------------------


class Text(fields.String):
    """Text of a shape and length; a number has to be quoted, so that 007 stays what was written.

    What need not be told may be told empty.
    """

    def __init__(self, most: int, least: int, pattern: str, words: str, **options: Any) -> None:
        is_optional = not options.get("required")
        shown = f"^(?:{pattern})?$" if is_optional else f"^{pattern}$"
        metadata = {"pattern": shown if pattern else _PLAIN_PATTERN, **options.pop("metadata", {})}
        super().__init__(validate=validate.Length(0 if is_optional else least, most), metadata=metadata, **options)
        self._least = least
        self._shape = re.compile(pattern) if pattern else _PLAIN
        self._words = words or _PLAIN_WORDS

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text and (len(text) < self._least or not self._shape.fullmatch(text)):
            raise ValidationError(f"Expected {self._words}.")
        return text


class Key(Text):
    """The core takes what Python calls printable."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not text.isprintable():
            raise ValidationError(f"Expected {self._words}.")
        return text


def text(most: int = MAX_TEXT, least: int = 1, pattern: str = "", words: str = "", **options: Any) -> Text:
    """Text of ``least`` to ``most`` characters; what is not required is empty where it is not told."""
    return Text(most, least, pattern, words, **_optional(options, ""))


def _optional(options: dict[str, Any], default: Any) -> dict[str, Any]:
    """A field that is not required takes this default, and ``describe`` and ``example`` go to the document."""
    metadata = options.pop("metadata", {})
    if "describe" in options:
        metadata = {**metadata, "description": options.pop("describe")}
    if "example" in options:
        metadata = {**metadata, "examples": [options.pop("example")]}
    if not options.get("required"):
        options.setdefault("load_default", default)
    return {**options, "metadata": metadata}


def code(describe: str, **options: Any) -> Text:
    """The code of a store, product or unit."""
    return text(64, pattern=r"[A-Za-z0-9_-]+", words="a code", describe=describe, **options)


def unit(**options: Any) -> Text:
    options.setdefault("required", True)
    return code("code of the unit", example="BONUS", **options)


def store(describe: str = "code of the store that asks", **options: Any) -> Text:
    options.setdefault("required", True)
    return code(describe, example="nevsky", **options)


def key(**options: Any) -> Text:
    """A request key as it stands in the books."""
    metadata = {"pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$"}
    return Key(MAX_KEY, 1, "", "printable characters", **_optional({**options, "metadata": metadata}, ""))


def keys() -> fields.List[str]:
    return fields.List(
        key(required=True),
        load_default=list,
        validate=validate.Length(max=MAX_KEYS),
        metadata={
            "description": "natural keys of this request, unique in the store; needed without an Idempotency-Key",
            "examples": [["fiscal:9289000100123456:17"]],
        },
    )


def name(describe: str, **options: Any) -> Text:
    """A short name, such as a till's or a receipt's number."""
    return text(MAX_NAME, describe=describe, **options)


def pin(**options: Any) -> Text:
    return text(8, 4, r"[0-9]*", "4 to 8 digits", describe="the card's PIN", example="4711", **options)


def reason(**options: Any) -> Text:
    return text(MAX_REASON, describe="why, for the operator who reads it later", example="lost", **options)


def choice(*choices: str, describe: str = "", **options: Any) -> fields.String:
    """One of a closed list."""
    return fields.String(validate=validate.OneOf(choices), **_optional({**options, "describe": describe}, choices[0]))


class OneOf(Text):
    """A filter: nothing, or one of what there is."""

    def __init__(self, choices: Sequence[str], most: int, **options: Any) -> None:
        options["metadata"] = {**options.get("metadata", {}), "enum": ["", *choices]}
        super().__init__(most, 0, "", "", **options)
        self._choices = frozenset(choices)
        self._told = ", ".join(choices)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text and text not in self._choices:
            raise ValidationError(f"Must be one of: {self._told}.")
        return text


def one_of(*choices: str, **options: Any) -> OneOf:
    """A filter that takes one of a closed list; empty where it is not told."""
    return OneOf(choices, max(map(len, choices)), **_optional(options, ""))


def whole(least: int, most: int, describe: str, **options: Any) -> fields.Integer:
    """A whole number within bounds; neither true nor "5"."""
    return fields.Integer(
        strict=True, validate=validate.Range(least, most), **_optional({**options, "describe": describe}, None)
    )


def switch(describe: str, default: bool = False) -> fields.Boolean:
    """``true`` or ``false``, and no other spelling."""
    return Switch(load_default=default, metadata={"description": describe})


class Switch(fields.Boolean):
    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Instant(fields.AwareDateTime):
    """An instant with its offset, kept in UTC."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:
        at = super()._deserialize(value, attr, data, **kwargs)
        if not FIRST_INSTANT <= at < LAST_INSTANT:
            raise ValidationError("Must lie between the years 2000 and 2100.")
        return at.astimezone(UTC)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return value


def instant(describe: str, **options: Any) -> Instant:
    words = dict.fromkeys(("invalid", "invalid_awareness"), _INSTANT_WORDS)
    told = {"example": "2026-05-04T16:52:00+03:00", "error_messages": words, **options, "describe": describe}
    return Instant(**_optional(told, None))


class Day(fields.Date):
    """A date in a store's own calendar."""

    def __init__(self, first: date, **options: Any) -> None:
        super().__init__(**options)
        self._first = first

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> date:
        day = super()._deserialize(value, attr, data, **kwargs)
        if not self._first <= day < LAST_INSTANT.date():
            raise ValidationError(f"Must lie between the years {self._first.year} and 2100.")
        return day

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return value


def day(describe: str, first_year: int = 2000, **options: Any) -> Day:
    return Day(date(first_year, 1, 1), **_optional({**options, "describe": describe}, None))


class Amount(fields.Field[Any]):
    """A decimal text, made by ``read`` into whole numbers, told by ``tell`` as text again."""

    def __init__(self, read: Callable[[Any], Any], tell: Callable[[Any, Any], str], **options: Any) -> None:
        metadata = {"type": ["string", "number"], "pattern": PATTERN, **options.pop("metadata", {})}
        default = options.get("load_default")
        if default is not None:
            # As a function, else it would be told to the document when nobody reads yet.
            options["load_default"] = lambda: default
        super().__init__(metadata=metadata, **options)
        self._read = read
        self._tell = tell

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        return self._read(value)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return None if value is None else self._tell(value, obj)


def _tell_money(value: int, obj: Any) -> str:
    return major(value, READER.get().money_scale)


def _tell_own(value: int, obj: Any) -> str:
    return major(value, obj.scale)


def _tell_pieces(value: int, obj: Any) -> str:
    return major(value, QUANTITY_SCALE)


def money(describe: str, least: int | None = 0, **options: Any) -> Amount:
    """Money of the chain. Negative only where ``least`` lets it."""
    options = _optional({"example": "450.50", **options, "describe": describe}, 0)
    return Amount(lambda value: minor(value, READER.get().money_scale, least), _tell_money, **options)


def pieces(describe: str, least: int | None = 1, **options: Any) -> Amount:
    """A quantity, to a thousandth of a piece."""
    options = _optional({"example": "1.5", **options, "describe": describe}, None)
    return Amount(lambda value: minor(value, QUANTITY_SCALE, least), _tell_pieces, **options)


def amount(describe: str, **options: Any) -> Amount:
    """An amount whose unit stands beside it: kept as text until both are known."""
    return Amount(written, _tell_own, **_optional({"example": "450.50", **options, "describe": describe}, None))


def some(inner: fields.Field[Any], most: int, describe: str = "", least: int = 0) -> fields.List[Any]:
    """A list of at most so many."""
    options: dict[str, Any] = {"required": True} if least else {"load_default": list}
    return fields.List(
        inner, validate=validate.Length(least, most), metadata={"description": describe} if describe else {}, **options
    )


def nested(schema: type[Schema] | Schema, describe: str = "", **options: Any) -> fields.Nested:
    return fields.Nested(schema, **_optional({**options, "describe": describe} if describe else options, None))


# Pages -------------------------------------------------------------------------------------------------------


def limit(most: int = MAX_PAGE, default: int = DEFAULT_PAGE) -> fields.Integer:
    """Of a page; query strings have only texts."""
    metadata = {"description": "rows of a page", "default": default}
    return fields.Integer(load_default=default, validate=validate.Range(1, most), metadata=metadata)


def cursor() -> Text:
    return text(
        MAX_CURSOR,
        0,
        r"[A-Za-z0-9_.=:-]*",
        "the cursor of the page before",
        describe="from the page before, as it was told",
    )


# What goes out -----------------------------------------------------------------------------------------------


class Told(Schema):
    """An answer, or a part of one. Later versions may tell more."""

    class Meta:
        unknown = "exclude"


def _required(describe: str, options: dict[str, Any]) -> dict[str, Any]:
    metadata = {**options.pop("metadata", {}), **({"description": describe} if describe else {})}
    return {"required": True, **options, "metadata": metadata}


def told(describe: str = "", **options: Any) -> fields.String:
    return fields.String(**_required(describe, options))


def told_whole(describe: str = "", **options: Any) -> fields.Integer:
    return fields.Integer(**_required(describe, options))


def told_switch(describe: str = "", **options: Any) -> fields.Boolean:
    return fields.Boolean(**_required(describe, options))


def told_at(describe: str = "", **options: Any) -> Instant:
    return Instant(**_required(describe, options))


def told_day(describe: str = "", **options: Any) -> Day:
    return Day(FIRST_INSTANT.date(), **_required(describe, options))


def told_amount(describe: str = "", **options: Any) -> Amount:
    """In the unit beside it, with all digits of its scale."""
    return _told(_tell_own, describe, options)


def told_money(describe: str = "", **options: Any) -> Amount:
    return _told(_tell_money, describe, options)


def told_pieces(describe: str = "", **options: Any) -> Amount:
    return _told(_tell_pieces, describe, options)


def _told(tell: Callable[[Any, Any], str], describe: str, options: dict[str, Any]) -> Amount:
    metadata = {"type": "string", "pattern": TOLD_PATTERN, "examples": ["450.50"]}
    return Amount(written, tell, **_required(describe, {**options, "metadata": metadata}))


def told_some(inner: fields.Field[Any] | type[Schema], describe: str = "") -> fields.List[Any]:
    return fields.List(fields.Nested(inner) if isinstance(inner, type) else inner, **_required(describe, {}))


class Worked(fields.List[Any]):
    """A list of parts that ``work`` makes of the whole answer."""

    def __init__(self, part: type[Schema], work: Callable[[Any], list[dict[str, Any]]], describe: str) -> None:
        super().__init__(fields.Nested(part), **_required(describe, {}))
        self._work = work

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return self._work(obj)


class Part(fields.Nested):
    """A part that ``work`` makes of the whole answer."""

    def __init__(self, part: type[Schema], work: Callable[[Any], dict[str, Any]], describe: str) -> None:
        super().__init__(part, **_required(describe, {}))
        self._work = work

    def get_value(self, obj: Any, *args: Any, **kwargs: Any) -> Any:
        return self._work(obj)


def told_texts(describe: str = "") -> fields.List[Any]:
    return fields.List(fields.String(), **_required(describe, {}))


class Personal(fields.String):
    """Of a person: whoever may not see it learns whether it is there, and of a phone its last four digits."""

    def __init__(self, hide: Callable[[str], str], **options: Any) -> None:
        super().__init__(**options)
        self._hide = hide

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return value if READER.get().sees_personal or not value else self._hide(value)


def hide(value: str) -> str:
    return "***"


def hide_phone(value: str) -> str:
    return f"***{value[-4:]}"


def personal(describe: str, hidden: Callable[[str], str] = hide) -> Personal:
    return Personal(hidden, **_required(f"{describe}; masked without the scope personal:read", {}))


class Birthday(fields.Date):
    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return value if READER.get().sees_personal else None


class Details(fields.Dict):
    """What outside systems keep of a person."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return value if READER.get().sees_personal else {}
