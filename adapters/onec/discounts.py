"""calculatediscounts, what goes out: a quote of the basket in 1C's rows. Page: docs/adapters/onec.md, "Basket"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from adapters.contract import Asking, Link, WireRequest, WireResponse, each
from adapters.onec import basket, documents
from adapters.onec.answers import (
    EMPTY_DATE,
    answer,
    envelope,
    failure,
    hundredths,
    loyalty_card,
    money,
    percent,
    refusal,
    word,
)
from adapters.onec.basket import Basket, Row
from adapters.onec.cards import lock
from adapters.onec.documents import raw, ref
from adapters.onec.guids import NOBODY, named
from adapters.onec.names import owner
from adapters.onec.queries import number
from processing.commands import Ask, CardUse, Identify, Quote, ReadHolder
from processing.results import HolderTold, Identified, Quoted, QuotedCard, QuotedLine
from processing.units import proportion, spread

# ``20%``, ``20/120``; anything else has no rate.
_RATE = re.compile(r"([0-9]{1,2})(?:%|/1[0-9]{2})")
WHOLE_PERCENT = 100
CASHIER = "cashier"
REFS = ("Item", "Variant", "Package")
# Fields of a row that are told back as they came, if they are numbers: in R3 two of them change places (page).
ECHOED = ("Count", "PackagesCount", "Price", "AmountOfManualDiscount", "PercentOfManualDiscount")


def calculate(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """What comes off each row, what it earns, and how much of it points may pay."""
    told = basket.read(request, link)
    if told.missing:
        return answer(failure(basket.complaint(told.missing, link), link.options), refused="bad_message")
    asks = _asks(told, request, link)
    outcomes: Sequence[Any] = (yield from each(*asks)) if asks else ()
    quoted, found, holder = (_of(outcomes, kind) for kind in (Quoted, Identified, HolderTold))
    refused = [
        outcome for ask, outcome in zip(asks, outcomes, strict=True) if isinstance(ask, Quote) and refusal(outcome)
    ]
    if refused and quoted is None:
        # The last one is that without the card: whatever is said of it is said of the goods.
        raise refused[-1]
    return answer(envelope(link.options, **_answer(told, quoted, found, holder, link)))


def _asks(told: Basket, request: WireRequest, link: Link) -> list[Ask[Any]]:
    """A lock where it is asked for, a quote with the card, one without it in case nobody knows it, and the card.

    A return is not calculated: nothing of it may be decided anew.
    """
    asks: list[Ask[Any]] = []
    cards = told.cards
    if cards and told.wants("GetLoyaltyCardData") and told.wants("BlockBonuses") and not told.is_return:
        asks.append(lock(cards, request, link))
    receipt = told.receipt(request, link)
    if cards and told.rows and not told.is_return:
        use = CardUse(refs=cards, spend_minor=receipt.total_minor)
        asks.append(Quote(store=link.store, receipt=receipt, cards=(use,), owner=owner(request, link)))
    if told.rows and not told.is_return:
        asks.append(Quote(store=link.store, receipt=receipt))
    if cards:
        asks += [
            Identify(store=link.store, refs=cards, owner=owner(request, link), turnover=True),
            ReadHolder(refs=cards),
        ]
    return asks


def _of(outcomes: Sequence[Any], kind: type[Any]) -> Any:
    """The first outcome of this kind; of quotes the one with the card. Errors: what is no refusal."""
    return next((outcome for outcome in outcomes if not refusal(outcome) and isinstance(outcome, kind)), None)


def _answer(
    told: Basket, quoted: Quoted | None, found: Identified | None, holder: HolderTold | None, link: Link
) -> dict[str, Any]:
    """All keys of the page, those too that were not asked for: whether a till misses one is not known (section 11)."""
    card = quoted.cards[0] if quoted and quoted.cards and quoted.cards[0].unit == link.options["unit"] else None
    lines = _lines(told, quoted)
    return {
        "Goods": [_goods(row, line) for row, line in zip(told.rows, lines, strict=True)],
        "DiscountsList": _discounts(told, lines, quoted, link),
        "BonusesToAccrue": _earned(told, lines, quoted, link) if card else [],
        "PromocodesList": [_promo_code(each, link) for each in told.promo_codes],
        "Gifts": [],
        "CurrentDiscounts": [],
        "Messages": _messages(card, link),
        "LoyaltyCardDescription": _description(told, found, holder, link),
        **_payable(told, card, lines, found),
        "PossibleOnPayDiscouns": [],
        "PossibleBonusesToAccrual": 0,
        "GetDiscountsFromParentDocument": told.wants("GetDiscountsFromParentDocument"),
    }


def _lines(told: Basket, quoted: Quoted | None) -> list[QuotedLine]:
    """What becomes of each row; nothing where nothing was calculated."""
    known = {line.number: line for line in quoted.lines} if quoted else {}
    nothing = QuotedLine(number=0, discount_minor=0, payable_minor=0, earned=0)
    return [known.get(row.line.number, nothing) for row in told.rows]


def _goods(row: Row, line: QuotedLine) -> dict[str, Any]:
    told, off = row.told, line.discount_minor
    cost = row.line.sum_minor - off
    return {
        **{name: ref(*documents.reference(told, name)) for name in REFS},
        **{name: _echoed(told, name) for name in ECHOED},
        "Amount": money(cost),
        "TotalAmount": money(cost),
        "LineUID": row.uid,
        "VATRate": documents.text(told, "VATRate"),
        "VATAmount": money(_vat(told, cost, row.line.sum_minor)),
        "AmountOfAutomaticDiscount": money(off),
        "PercentOfAutomaticDiscount": percent(hundredths(off, row.line.sum_minor)),
        "Order": ref(*documents.reference(told, "Order")),
    }


def _echoed(told: documents.Object, name: str) -> Any:
    """A number as it came: as one in JSON, whatever it was before."""
    spelled = number(documents.text(told, name))
    return raw(spelled) if re.fullmatch(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,9})?", spelled) else 0


def _vat(told: documents.Object, cost: int, before: int) -> int:
    """What of the row's price is VAT: by its rate, else the till's own sum in proportion."""
    if match := _RATE.fullmatch(documents.text(told, "VATRate")):
        rate = int(match[1])
        return proportion(max(cost, 0), rate, WHOLE_PERCENT + rate)
    own = documents.amount(told, "VATAmount")
    return proportion(max(own, 0), max(cost, 0), before) if before > 0 else own


def _discounts(told: Basket, lines: Sequence[QuotedLine], quoted: Quoted | None, link: Link) -> list[dict[str, Any]]:
    name = _rules(quoted, "discount") or word("discount", link.options)
    return [
        {
            "KeyRelation": row.line.number,
            "Discount": ref(named("discount", name), name),
            "DiscountValue": percent(hundredths(line.discount_minor, row.line.sum_minor)),
            "Amount": money(line.discount_minor),
            "MinimalPriceRestriction": False,
            "Comment": "",
            "LineUID": row.uid,
            "Return": False,
            "AdditionalProperties": None,
        }
        for row, line in zip(told.rows, lines, strict=True)
        if line.discount_minor > 0
    ]


def _earned(told: Basket, lines: Sequence[QuotedLine], quoted: Quoted | None, link: Link) -> list[dict[str, Any]]:
    """When points begin and end the quote does not tell."""
    name = _rules(quoted, "points") or link.options["unit_name"]
    today = quoted.at.astimezone(link.zone).date() if quoted else None
    return [
        {
            "LineUID": row.uid,
            "KeyRelation": row.line.number,
            "Discount": ref(named("points", name), name),
            "BonusProgramm": ref(named("unit", link.options["unit"]), link.options["unit_name"]),
            "BonusCount": money(line.earned, line.scale),
            "AccuralDate": f"{today.isoformat()}T00:00:00" if today else EMPTY_DATE,
            "WriteOffDate": EMPTY_DATE,
        }
        for row, line in zip(told.rows, lines, strict=True)
        if line.earned > 0
    ]


def _rules(quoted: Quoted | None, gives: str) -> str:
    """The names of the rules that fired; of which row each is the quote does not tell."""
    stories = quoted.explanation if quoted else ()
    rules = [rule for story in stories for rule in story.get("rules") or () if isinstance(rule, dict)]
    return ", ".join(dict.fromkeys(str(rule.get("rule", "")) for rule in rules if rule.get("gives") == gives))


def _promo_code(told: documents.Object, link: Link) -> dict[str, Any]:
    return {
        "Promocode": documents.text(told, "Promocode"),
        "DiscountActive": False,
        "PromocodeActivation": False,
        "PromocodeDiscount": ref(),
        "ErrorDescription": word("no_promo", link.options),
        "PromocodeUID": documents.text(told, "PromocodeUID") or NOBODY,
        "DiscountCondition": ref(),
    }


def _messages(card: QuotedCard | None, link: Link) -> list[dict[str, Any]]:
    """Texts for the cashier at once, all others with the receipt."""
    return [
        {
            "AfterSale": text.audience != CASHIER,
            "MessageText": text.en if link.options["language"] == "en" else text.ru or text.en,
        }
        for text in (card.texts if card else ())
    ]


def _description(told: Basket, found: Identified | None, holder: HolderTold | None, link: Link) -> dict[str, Any]:
    asked = told.wants("GetLoyaltyCardData")
    card = loyalty_card(found, holder, link.options) if asked and found else None
    return {"CardNotFound": asked and bool(told.cards) and found is None, "LoyaltyCard": card}


def _payable(
    told: Basket, card: QuotedCard | None, lines: Sequence[QuotedLine], found: Identified | None
) -> dict[str, Any]:
    """How much of each row points may pay; one point pays as much as its unit of money."""
    most = max(card.payable, 0) if card and not card.usable and told.wants("GetMaxBonusPay") else 0
    weights = [max(line.payable_minor, 0) for line in lines]
    parts = spread(most, weights) if any(weights) else [0] * len(weights)
    share = found.payable_hundredths if found else 0
    return {
        "MaxBonusPay": money(most),
        "MaxBonusPayRows": [
            {"КлючСвязи": row.uid, "Сумма": money(part), "ПроцентОплаты": percent(share)}
            for row, part in zip(told.rows, parts, strict=True)
            if part > 0
        ],
    }
