"""Why a rule fired or did not: worked out anew from what a decision saw, by the code that made it. Pure.

Short texts in Russian and English tell cashier, slip and holder the same.
"""

from __future__ import annotations

import msgspec

from processing.allocation import lines_of, weights
from processing.commands import Line, Receipt
from processing.programme.compiled import (
    DISCOUNT,
    POINTS,
    Moment,
    Programme,
    Rule,
    Said,
    Scene,
    why_not_now,
    why_not_on,
)
from processing.programme.decide import Decision, Part, before_discounts, decide
from processing.programme.document import DiscountRule, Multiply

FIRED = "fired"

# Why not, in the order in which it is looked at. The last two: alone it would have given something, or nothing.
TEXTS: dict[str, tuple[str, str]] = {
    FIRED: ("сработало", "applied"),
    "store": ("не для этого магазина", "not for this store"),
    "weekday": ("не в этот день недели", "not on this day of the week"),
    "not_yet": ("ещё не началось", "has not begun yet"),
    "over": ("уже закончилось", "is over"),
    "goods": ("в чеке нет таких товаров", "no such goods in the receipt"),
    "price": ("товары дешевле, чем требуется", "the goods cost less than it takes"),
    "hours": ("не в это время дня", "not at this time of day"),
    "tender": ("другой вид оплаты", "another way of payment"),
    "product": ("не для этого вида карт", "not for this kind of card"),
    "tier": ("не для этого уровня", "not for this tier"),
    "receipt_too_small": ("сумма чека меньше, чем требуется", "the receipt is smaller than it takes"),
    "receipt_too_large": ("сумма чека больше допустимой", "the receipt is larger than it may be"),
    "not_first_purchase": ("это не первая покупка", "this is not the first purchase"),
    "no_birthday": ("не день рождения, или дата рождения неизвестна", "no birthday, or it is not known"),
    "given_already": ("уже было начислено раньше", "was given before"),
    "no_money": ("за эти товары не заплачено деньгами", "no money was paid for these goods"),
    "beaten": ("другое правило выгоднее или исключает это", "another rule gives more, or excludes it"),
    "capped": ("достигнут предел начисления", "the most that may be earned is reached"),
    "nothing": ("по условиям правила получается ноль", "by its own terms it comes to nothing"),
}


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: what it ``gives`` (discount or points), how much it gave, and ``why``; a code of TEXTS, told in words.

    ``ru`` and ``en`` are the rule's own texts, where the programme has some.
    """

    rule: str
    gives: str
    amount: int
    base_minor: int
    why: str
    why_ru: str
    why_en: str
    ru: str = ""
    en: str = ""


def reasons(
    receipt: Receipt, part: Part, moment: Moment, decision: Decision, place: int, is_final: bool = True
) -> tuple[Reason, ...]:
    """Every rule of the programme of the part at ``place`` in a decision, in the order of the file."""
    if part.programme is None:
        return ()
    fired = {(told["gives"], told["rule"]): told for told in decision.explanation[place]["rules"]}
    found = []
    for gives, rules in ((DISCOUNT, part.programme.discount_rules), (POINTS, part.programme.points_rules)):
        for rule in rules:
            told = fired.get((gives, rule.said.rule))
            why = FIRED if told else why_not(part.programme, rule, receipt, part, moment, is_final)
            if why == "beaten" and gives == POINTS and decision.explanation[place].get("cut"):
                why = "capped"
            found.append(_reason(gives, rule, told, why))
    return tuple(found)


def _reason(gives: str, rule: Rule, fired: dict[str, int] | None, why: str) -> Reason:
    ru, en = TEXTS[why]
    return Reason(
        rule=rule.said.rule,
        gives=gives,
        amount=fired["amount"] if fired else 0,
        base_minor=fired["base_minor"] if fired else 0,
        why=why,
        why_ru=ru,
        why_en=en,
        ru=rule.said.ru,
        en=rule.said.en,
    )


def why_not(
    programme: Programme, rule: Rule, receipt: Receipt, part: Part, moment: Moment, is_final: bool = True
) -> str:
    """The first thing that keeps a rule from giving what it would; ``beaten`` where nothing of its own does."""
    said: Said = rule.said
    if on := why_not_on(said, moment.store, moment.day):
        return on
    lines = sorted(lines_of(receipt), key=lambda line: line.number)
    sums = weights(lines)
    meant = [(line, total) for line, total in zip(lines, sums, strict=True) if _is_for(programme, rule, line)]
    if not any(total > 0 or line.kind != "goods" for line, total in meant):
        return "goods"
    if all(line.price_minor < said.price_from_minor for line, _ in meant):
        return "price"
    gross = before_discounts(receipt, lines, sums) if is_final else sums
    if now := why_not_now(said, Scene(receipt, sum(gross), part.product, part.facts, moment)):
        return now
    return _alone(programme, said, receipt, part, moment, is_final)


def _is_for(programme: Programme, rule: Rule, line: Line) -> bool:
    return rule.is_for(programme.sets.of(line), line)


def _alone(programme: Programme, said: Said, receipt: Receipt, part: Part, moment: Moment, is_final: bool) -> str:
    """What the rule would have done without the others: ``beaten``, ``no_money`` or ``nothing``."""
    if isinstance(said.give, Multiply):
        return "nothing"
    document = programme.document
    own = msgspec.structs.replace(said, group="", exclusive=False)
    if isinstance(said, DiscountRule):
        alone = msgspec.structs.replace(
            document, discounts=msgspec.structs.replace(document.discounts, rules=(own,), groups=())
        )
        asked = msgspec.structs.replace(part, programme=Programme(alone, programme.things))
        return "beaten" if decide(receipt, [asked], moment, is_final).discount_minor else "nothing"
    alone = msgspec.structs.replace(document, points=msgspec.structs.replace(document.points, rules=(own,), groups=()))
    asked = msgspec.structs.replace(part, programme=Programme(alone, programme.things))
    if decide(receipt, [asked], moment, is_final).earnings[0].amount:
        return "beaten"
    unpaid = msgspec.structs.replace(asked, redeemed_minor=0)
    return "no_money" if decide(receipt, [unpaid], moment, is_final).earnings[0].amount else "nothing"
