"""What 1C asks for -> what we ask of the core."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args
from uuid import UUID

from adapters.contract import Link
from adapters.onec_soap import messages
from adapters.parsing import bad, bounded, code
from processing.commands import (
    MAX_CARDS,
    ActivateCard,
    Amount,
    Ask,
    CardUse,
    Identify,
    Line,
    PostReceipt,
    Quote,
    Receipt,
    Ref,
    ReturnLine,
    ReturnReceipt,
    SellGiftCard,
    Tender,
    VoidReceipt,
)
from processing.errors import UnitNotFound

PREFIX = "onec-soap:"
KINDS = frozenset({"card", "barcode", "track", "phone", "email", "token", "onec"})
LineKind = Literal["goods", "top_up", "gift_card"]
TenderKind = Literal["cash", "bank_card", "purse", "other"]


def key(text: str, where: str) -> str:
    """The request key: a GUID that 1C makes before it sends for the first time. Errors: BadMessage."""
    try:
        guid = UUID(text)
    except ValueError:
        guid = UUID(int=0)
    if not guid.int:
        raise bad(where, text, "a GUID that was made before the first send")
    return f"{PREFIX}{guid}"


def ref(card: messages.CardName, where: str) -> Ref:
    if not card.Value:
        raise bad(f"{where}/Value", card.Value, "a card")
    return Ref(_one_of(card.Kind or "card", KINDS, f"{where}/Kind"), card.Value)


def identify(asked: messages.IdentifyCardRequest, link: Link) -> Identify:
    return Identify(store=link.store, refs=(ref(asked.Card, "Card"),), order_minor=asked.OrderTotal)


def quote(asked: messages.QuoteReceiptRequest, link: Link) -> Quote:
    return Quote(store=link.store, receipt=receipt(asked.Receipt, link), cards=uses(asked.Cards, link))


def post(asked: messages.PostReceiptRequest, link: Link) -> PostReceipt:
    return PostReceipt(
        store=link.store,
        keys=(key(asked.Key, "Key"),),
        receipt=receipt(asked.Receipt, link),
        cards=uses(asked.Cards, link),
        fact=asked.Fact,
    )


def void(asked: messages.VoidReceiptRequest, link: Link) -> VoidReceipt:
    reason = asked.Reason
    if reason not in ("rollback", "return"):
        raise bad("Reason", reason, "rollback or return")
    return VoidReceipt(
        store=link.store, keys=(key(asked.Key, "Key"),), reason="rollback" if reason == "rollback" else "return"
    )


def take_back(asked: messages.ReturnReceiptRequest, link: Link) -> ReturnReceipt:
    return ReturnReceipt(
        store=link.store,
        keys=(key(asked.Key, "Key"),),
        receipt=receipt(asked.Receipt, link),
        sale=key(asked.SaleKey, "SaleKey") if asked.SaleKey else "",
        sale_store=code(asked.SaleStore, "SaleStore"),
        lines=tuple(
            ReturnLine(number=line.Number, goods=line.Goods, quantity_thousandths=line.Quantity, sum_minor=line.Sum)
            for line in asked.Lines
        ),
        cards=uses(asked.Cards, link),
        can_deduct=asked.CanDeduct,
        fact=asked.Fact,
    )


def activate(asked: messages.ActivateCardRequest, link: Link) -> ActivateCard:
    return ActivateCard(store=link.store, keys=(key(asked.Key, "Key"),), card=ref(asked.Card, "Card"))


def sell(asked: messages.SellGiftCardRequest, link: Link) -> SellGiftCard:
    if (asked.Card is None) == (not asked.Product):
        raise bad("Card", asked.Product, "a card, or the product of a new one")
    return SellGiftCard(
        store=link.store,
        keys=(key(asked.Key, "Key"),),
        card=ref(asked.Card, "Card") if asked.Card else None,
        product=code(asked.Product, "Product"),
        amount=asked.Sum,
    )


def item(asked: messages.BatchItem, link: Link) -> Ask[Any]:
    """What an item of a batch asks for. Errors: BadMessage."""
    told = [name for name in COMMANDS if getattr(asked, name, None) is not None]
    if len(told) != 1:
        raise bad("BatchItem", ", ".join(told), "exactly one of " + ", ".join(COMMANDS))
    return COMMANDS[told[0]](getattr(asked, told[0]), link)


COMMANDS: Mapping[str, Callable[[Any, Link], Ask[Any]]] = {
    "PostReceipt": post,
    "VoidReceipt": void,
    "ReturnReceipt": take_back,
    "ActivateCard": activate,
    "SellGiftCard": sell,
}


# Parts ------------------------------------------------------------------------------------------------------


def receipt(told: messages.Purchase, link: Link) -> Receipt:
    total = sum(line.Sum for line in told.Lines) if told.Total is None else told.Total
    return Receipt(
        number=code(told.Number, "Receipt/Number"),
        till=code(told.Till, "Receipt/Till"),
        business_date=told.BusinessDate or told.Date.astimezone(link.zone).date(),
        shift=code(told.Shift, "Receipt/Shift"),
        closed_at=told.Date,
        total_minor=bounded(total, "Receipt/Total"),
        discount_minor=told.Discount,
        lines=tuple(_line(line, f"Receipt/Lines[{n}]") for n, line in enumerate(told.Lines, 1)),
        tenders=tuple(_tender(tender, f"Receipt/Tenders[{n}]", link) for n, tender in enumerate(told.Tenders, 1)),
        cashier=told.Cashier,
    )


def _line(line: messages.Line, where: str) -> Line:
    return Line(
        number=line.Number,
        goods=code(line.Goods, f"{where}/Goods"),
        name=line.Name,
        category=code(line.Category, f"{where}/Category"),
        brand=code(line.Brand, f"{where}/Brand"),
        minimum_price_minor=line.MinimumPrice,
        quantity_thousandths=line.Quantity,
        price_minor=line.Price,
        sum_minor=line.Sum,
        discount_minor=line.Discount,
        kind=_one_of(line.Kind or "goods", frozenset(get_args(LineKind)), f"{where}/Kind"),  # type: ignore[arg-type]
    )


def _tender(tender: messages.Tender, where: str, link: Link) -> Tender:
    return Tender(
        code=code(tender.Code, f"{where}/Code"),
        kind=_one_of(tender.Kind, frozenset(get_args(TenderKind)), f"{where}/Kind"),  # type: ignore[arg-type]
        amount_minor=tender.Sum,
        unit=unit(tender.Unit, link) if tender.Kind == "purse" else "",
        card=code(tender.Card, f"{where}/Card"),
    )


def uses(cards: tuple[messages.CardUse, ...], link: Link) -> tuple[CardUse, ...]:
    if len(cards) > MAX_CARDS:
        raise bad("Cards", len(cards), f"at most {MAX_CARDS} cards")
    return tuple(
        CardUse(
            refs=(ref(use.Card, f"Cards[{n}]/Card"),),
            redeem=_amounts(use.Payments, f"Cards[{n}]/Payments", link),
            top_up=_amounts(use.TopUps, f"Cards[{n}]/TopUps", link),
            pin=use.Pin,
        )
        for n, use in enumerate(cards, 1)
    )


def _amounts(payments: tuple[messages.Payment, ...], where: str, link: Link) -> tuple[Amount, ...]:
    for n, payment in enumerate(payments, 1):
        if payment.Sum <= 0:
            raise bad(f"{where}[{n}]/Sum", payment.Sum, "more than nothing")
    return tuple(Amount(unit(payment.Unit, link), payment.Sum) for payment in payments)


def unit(told: str, link: Link) -> str:
    """The unit that was told, or the link's first one. Errors: UnitNotFound for one that is not the link's."""
    units = [each["unit"] for each in link.options["units"]]
    if told and told not in units:
        raise UnitNotFound("not a unit of this link", unit=told[:32])
    if not units:
        raise UnitNotFound("the link has no units")
    return told or str(units[0])


def _one_of(told: str, known: frozenset[str], where: str) -> str:
    if told not in known:
        raise bad(where, told, "one of " + ", ".join(sorted(known)))
    return told
