"""The tables of docs/programmes.md and its Russian twin: each key that a programme's file may have, from the schemas.

``python -m gateway.programme_reference`` writes them between the marks of both pages; what stands around them is
written by hand. tests/docs fails where that would change a page, or where a text has no Russian.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from marshmallow import Schema, fields, missing, validate

from gateway import programme_schemas as schemas
from gateway.problems import EXPECTED
from gateway.programme_schemas import SHORT, Told
from gateway.programme_texts import DEFAULTS, HEADS, KINDS, NUMBERS, RUSSIAN
from gateway.schemas import MAX_SCALE

PAGES = {"en": "programmes.md", "ru": "programmes.ru.md"}
PERCENT, FACTOR = "percent", "factor"

_MARKED = re.compile(r"(<!-- keys: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


class Key(NamedTuple):
    """A key as the file spells it, and its field."""

    name: str
    field: fields.Field[Any]

    @property
    def description(self) -> str:
        return str(self.field.metadata.get("description", ""))


class Part(NamedTuple):
    """A kind of mapping in the file, where its page tells it, and whose keys are told elsewhere."""

    schema: type[Schema]
    heading: str
    shared: type[Schema] | None = None

    @property
    def address(self) -> str:
        """Of its heading in a page, as GitHub makes it."""
        return "#" + re.sub(r"[^\w-]", "", self.heading)


# By the names of their tables. The headings are the same in both languages, and so are their addresses.
PARTS = {
    "programme": Part(schemas.ProgrammeSchema, "programme"),
    "goods": Part(schemas.GoodsSet, "goods"),
    "discounts": Part(schemas.DiscountsSection, "discounts"),
    "discount-rule": Part(schemas.DiscountRuleSection, "discounts.rules[]", schemas._Rule),
    "points": Part(schemas.PointsSection, "points"),
    "points-rule": Part(schemas.PointsRuleSection, "points.rules[]", schemas._Rule),
    "event": Part(schemas.EventSection, "points.events[]"),
    "caps": Part(schemas.CapsSection, "points.caps"),
    "payment": Part(schemas.PaymentSection, "payment"),
    "price": Part(schemas.PriceSection, "prices[]"),
    "tiers": Part(schemas.TiersSection, "tiers"),
    "level": Part(schemas.LevelSection, "tiers.levels[]"),
    "review": Part(schemas.ReviewSection, "tiers.review"),
    "limit": Part(schemas.LimitSection, "limits[]"),
    "rule": Part(schemas._Rule, "rules[]"),
    "when": Part(schemas.When, "when"),
    "birthday": Part(schemas.Birthday, "when.birthday"),
    "turnover": Part(schemas.TurnoverSteps, "percent_by_turnover"),
    "window": Part(schemas.WindowSection, "window"),
    "nth": Part(schemas.Nth, "nth"),
    "per": Part(schemas.Per, "per"),
    "expires": Part(schemas.ExpirySection, "expires"),
    "text": Part(schemas._Texts, "text"),
}
SHORT_FORM = "short"


def keys_of(schema: type[Schema]) -> list[Key]:
    """What a mapping of this kind may say, in the schema's order."""
    return [Key(field.data_key or name, field) for name, field in schema().fields.items()]


def table_keys(name: str) -> list[Key]:
    """The keys of a table: those of its part, without the ones that another table tells for several."""
    if name == SHORT_FORM:
        return [key for key in keys_of(schemas.ProgrammeSchema) if key.name in SHORT]
    part = PARTS[name]
    elsewhere = {key.name for key in keys_of(part.shared)} if part.shared else set()
    if name == "programme":
        elsewhere = set(SHORT)
    return [key for key in keys_of(part.schema) if key.name not in elsewhere]


def schemas_within(schema: type[Schema]) -> Iterator[type[Schema]]:
    """The kinds of mapping that stand in a mapping of this kind, at any depth."""
    for key in keys_of(schema):
        nested = _nested(key.field)
        if nested is not None:
            yield nested
            yield from schemas_within(nested)


def _nested(field: fields.Field[Any]) -> type[Schema] | None:
    for each in (field, getattr(field, "inner", None), getattr(field, "value_field", None)):
        if isinstance(each, fields.Nested):
            return type(each.schema)
    return None


# Words -------------------------------------------------------------------------------------------------------


def table(name: str, language: str) -> str:
    """The Markdown table of a part."""
    rows = ["| " + " | ".join(HEADS[language]) + " |", "|---|---|---|---|"]
    for key in table_keys(name):
        cells = (f"`{key.name}`", kind(key.field, language), default(key.field, language), told(key, language))
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def told(key: Key, language: str) -> str:
    """What the key means. Errors: KeyError for a text without a Russian one."""
    return key.description if language == "en" else RUSSIAN[key.description]


def kind(field: fields.Field[Any], language: str) -> str:
    """What the key takes."""
    words = _kind(field, language)
    return f"{words}, `null`" if field.allow_none else words


def _kind(field: fields.Field[Any] | None, language: str) -> str:
    assert field is not None
    nested = _nested(field)
    if nested is not None:
        address = next(part.address for part in PARTS.values() if part.schema is nested)
        shape = "list" if isinstance(field, fields.List) else "names" if isinstance(field, fields.Dict) else "mapping"
        return f"[{KINDS[shape][language]}]({address})"
    if isinstance(field, fields.List):
        return KINDS["list of"][language].format(_kind(field.inner, language))
    if isinstance(field, fields.Dict):
        names, values = _kind(field.key_field, language), _kind(field.value_field, language)
        return KINDS["dict of"][language].format(names, values)
    choices = choices_of(field)
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    bounds = next((each for each in field.validators if isinstance(each, validate.Range)), None)
    if bounds is not None:
        return NUMBERS[language].format(_number(bounds.min, language), _number(bounds.max, language))
    return KINDS[_expected(field)][language]


def _expected(field: fields.Field[Any]) -> str:
    """What the schema says that it expected, where something else stands there."""
    return str(field.error_messages["invalid"]).removeprefix(EXPECTED)


def choices_of(field: fields.Field[Any]) -> Sequence[str]:
    """The words of which the key takes one; none where it takes other things."""
    found: Sequence[str] = getattr(field, "json", {}).get("enum", ())
    return found


def default(field: fields.Field[Any], language: str) -> str:
    """What holds where the key is not told."""
    if field.required:
        return DEFAULTS["required"][language]
    value = field.load_default
    if value is missing or value is None:
        return DEFAULTS["none"][language]
    if callable(value) or value == "":
        return DEFAULTS["empty"][language]
    if isinstance(value, Told):
        return _number(value.amount // 10**MAX_SCALE, language)
    if isinstance(value, (bool, str)):
        return f"`{str(value).lower()}`"
    return _number(value // _scale(field), language)


def _scale(field: fields.Field[Any]) -> int:
    """By what the value of a field that was read is larger than what the file says."""
    if isinstance(field, fields.Integer):
        return 1
    return 100 if KINDS[_expected(field)]["en"] == PERCENT else 10**MAX_SCALE


def _number(value: Any, language: str) -> str:
    return f"{int(value):,}" if language == "en" else f"{int(value):,}".replace(",", " ")


# Pages -------------------------------------------------------------------------------------------------------


def filled(page: str, language: str) -> str:
    """A page with its tables written anew."""
    return _MARKED.sub(lambda found: f"{found[1]}{table(found[2], language)}{found[3]}", page)


def tables_in(page: str) -> list[str]:
    """The names of the tables that a page has."""
    return [found[2] for found in _MARKED.finditer(page)]


def main(docs: Path = Path("docs")) -> None:
    """Write the tables of both pages."""
    for language, name in PAGES.items():
        page = (docs / name).read_text("utf-8")
        (docs / name).write_text(filled(page, language), "utf-8")


if __name__ == "__main__":
    main()
