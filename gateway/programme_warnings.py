"""What a programme may say and yet hardly means: rules that never give anything, names that lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from gateway.problems import did_you_mean, shown
from gateway.yaml_files import Steps, read_yaml
from processing.chain import Chain
from processing.programme.document import (
    ByReceipt,
    ByTier,
    ByTurnover,
    DiscountRule,
    Multiply,
    NthPiece,
    Percent,
    PointsRule,
    ProgrammeDocument,
    Step,
    When,
)

Found = Iterator[tuple[Steps, str]]
Rule = DiscountRule | PointsRule
# By convention the options of adapters that translate names of programmes.
TRANSLATED = ("discounts", "bonuses")
Translated = Mapping[str, Set[str]]


def translated(directory: Path) -> Translated:
    """The names that any link maps to what its till calls them, by option; options that no link has are not there."""
    found: dict[str, set[str]] = {}
    for path in sorted((directory / "links").glob("*.yaml")):
        try:
            options = read_yaml(path)["options"]
        except (ValueError, KeyError, TypeError):
            continue
        for name in TRANSLATED:
            if isinstance(options, dict) and isinstance(options.get(name), dict):
                found.setdefault(name, set()).update(map(str, options[name]))
    return found


def warnings(document: ProgrammeDocument, chain: Chain, names: Translated, today: date) -> Found:
    """Path and text of each; ``names`` as ``translated`` finds them."""
    own = {product.code for product in chain.products if product.programme == document.code}
    if not own:
        yield ("programme",), "no product of chain.yaml has this programme: nobody is in it"
    else:
        yield from _untranslated(document, names)
        yield from _foreign_products(document, own)
    yield from _unused_goods(document)
    for section, path, rule in _rules(document):
        yield from _never(document, path, rule, today)
        yield from _falling(path, rule)
        yield from _one_language(path, rule)
        if section == "points" and isinstance(rule.give, Multiply) and _is_alone(document):
            yield (*path, "multiply"), "there are no other rules whose points it could multiply"
    yield from _groups(document)
    yield from _unspendable(document)
    for n, limit in enumerate(document.limits):
        if not limit.most and limit.then == "block":
            yield ("limits", n, "most"), "0: nothing of it is ever allowed"


def _rules(document: ProgrammeDocument) -> Iterator[tuple[str, Steps, Rule]]:
    for n, discount in enumerate(document.discounts.rules):
        yield "discounts", ("discounts", "rules", n), discount
    for n, accrual in enumerate(document.points.rules):
        yield "points", ("points", "rules", n), accrual


# Names --------------------------------------------------------------------------------------------------------


def _untranslated(document: ProgrammeDocument, names: Translated) -> Found:
    """Names for the tills that no link knows, where links translate such names."""
    levels = document.tiers.levels if document.tiers else ()
    said: list[tuple[Steps, str, str]] = [
        (("discount",), "discounts", document.discount),
        (("bonus",), "bonuses", document.bonus),
    ]
    for n, level in enumerate(levels):
        said.append((("tiers", "levels", n, "discount"), "discounts", level.discount))
        said.append((("tiers", "levels", n, "bonus"), "bonuses", level.bonus))
    for path, option, name in said:
        known = names.get(option, frozenset())
        # A link without any names of bonuses lets the programme compute them.
        if name and known and name not in known:
            yield path, f"no link maps {shown(name)} under options.{option}{did_you_mean(name, known)}"


def _foreign_products(document: ProgrammeDocument, own: Set[str]) -> Found:
    """Cards of another programme never meet these rules."""
    for _, path, rule in _rules(document):
        for n, product in enumerate(rule.when.products):
            if product not in own:
                yield (*path, "when", "products", n), f"cards of {shown(product)} are in another programme"
    for product in document.certificates:
        if product not in own:
            yield ("certificates", product), f"cards of {shown(product)} are in another programme"


def _unused_goods(document: ProgrammeDocument) -> Found:
    named = [name for _, _, rule in _rules(document) for name in (*rule.goods, *rule.without)]
    named += [*document.payment.without, *(name for price in document.prices for name in price.goods)]
    for name in document.goods:
        if name not in named:
            yield ("goods", name), "nothing names these goods"


def _one_language(path: Steps, rule: Rule) -> Found:
    if bool(rule.ru) != bool(rule.en):
        yield (*path, "text"), f"there is none in {'English' if rule.ru else 'Russian'}"


# Rules that never give anything -------------------------------------------------------------------------------


def _never(document: ProgrammeDocument, path: Steps, rule: Rule, today: date) -> Found:
    when = rule.when
    if when.last_day is not None and when.last_day < today:
        yield (*path, "when", "until"), f"{when.last_day} is over: the rule never gives anything again"
    least, below = when.receipt_from_minor, when.receipt_below_minor
    if below is not None and (least or 0) >= below:
        yield (*path, "when", "receipt_below"), "no receipt is that small: the rule never gives anything"
    if rule.goods and set(rule.goods) <= set(rule.without):
        yield (*path, "without"), "all of its goods are taken out: the rule never gives anything"
    fixed = {name for price in document.prices if price.is_fixed for name in price.goods}
    if isinstance(rule, DiscountRule) and rule.goods and set(rule.goods) <= fixed:
        yield (*path, "goods"), "their price is fixed: the rule never gives anything"
    if not any(_percents(rule.give)):
        yield path, "it gives 0 %"


def _percents(give: Any) -> list[int]:
    """Every percent that the rule may mean; of what gives something else one that is not zero."""
    if isinstance(give, Percent | NthPiece):
        return [give.hundredths]
    if isinstance(give, ByTier):
        return list(give.hundredths.values())
    steps = _steps(give)
    return [step.hundredths for step in steps] if steps else [1]


def _steps(give: Any) -> tuple[Step, ...]:
    return give.steps if isinstance(give, ByReceipt | ByTurnover) else ()


def _falling(path: Steps, rule: Rule) -> Found:
    """Steps on which more money brings less."""
    for lower, step in pairwise(_steps(rule.give)):
        if step.hundredths < lower.hundredths:
            name = "percent_by_receipt" if isinstance(rule.give, ByReceipt) else "percent_by_turnover"
            yield (*path, name), "a higher step gives less than the one below it"
            return


def _is_alone(document: ProgrammeDocument) -> bool:
    return all(isinstance(rule.give, Multiply) for rule in document.points.rules)


def _groups(document: ProgrammeDocument) -> Found:
    """Groups without rules, and rules behind one that always comes first."""
    for section, said in (("discounts", document.discounts), ("points", document.points)):
        for group in said.groups:
            inside = [(n, rule) for n, rule in enumerate(said.rules) if rule.group == group.group]
            if not inside:
                yield (section, "groups", group.group), "no rule is in this group"
            if group.take == "first":
                yield from _behind(section, inside)


def _behind(section: str, inside: Sequence[tuple[int, Any]]) -> Found:
    ranked = sorted((each for each in inside if not each[1].exclusive), key=lambda each: (-each[1].priority, each[0]))
    first = next((place for place, (_, rule) in enumerate(ranked) if _is_always(rule)), len(ranked))
    for n, _ in ranked[first + 1 :]:
        yield (section, "rules", n), f"{shown(ranked[first][1].rule)} comes first for all goods: this never gives"


def _is_always(rule: Rule) -> bool:
    plain = rule.when == When() and not rule.goods and not rule.without and not rule.price_from_minor
    return plain and not getattr(rule, "once", "") and isinstance(rule.give, Percent) and rule.give.hundredths > 0


def _unspendable(document: ProgrammeDocument) -> Found:
    """Points that are given, and pay for nothing."""
    payment = document.payment
    gives = document.points.rules or document.points.events
    if gives and not payment.hundredths and not any(payment.by_tier.values()):
        yield ("payment",), "points are given, and none may be spent: payment.percent is 0"
