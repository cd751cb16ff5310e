"""What 1C says and hears: the types of the service, one struct each, in the order of their elements.

The structs are the schema: ``wsdl`` publishes them, ``elements`` reads and writes them. Names are ASCII and valid
identifiers of 1C's language, for code there reads ``Result.ResultCode``. A field with a default may be left out; a
tuple is a list type. Amounts are decimals of major units with two digits, times the store's own without a zone.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

import msgspec

# How numbers are told: minor units as major ones, thousandths as pieces, or as text that is a number already.
MINOR, THOUSANDTHS, DECIMAL = "minor", "thousandths", "decimal"
Money = Annotated[int, MINOR]
Pieces = Annotated[int, THOUSANDTHS]
Major = Annotated[str, DECIMAL]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A type of the schema."""


# Parts ------------------------------------------------------------------------------------------------------


class CardName(Message, frozen=True, kw_only=True):
    """``Kind``: card (printed number), barcode, track, phone, email, token (QR code), onec (GUID of 1C)."""

    Value: str
    Kind: str = "card"


class Line(Message, frozen=True, kw_only=True):
    """A line of goods. ``Sum`` after discounts; ``Kind``: goods, top_up or gift_card."""

    Number: int
    Goods: str
    Sum: Money
    Name: str = ""
    Category: str = ""
    Brand: str = ""
    Quantity: Pieces = 1000
    Price: Money = 0
    Discount: Money = 0
    MinimumPrice: Money = 0
    Kind: str = "goods"


class Tender(Message, frozen=True, kw_only=True):
    """``Kind``: cash, bank_card, purse or other; ``Unit`` and ``Card`` of a purse."""

    Code: str
    Kind: str
    Sum: Money
    Unit: str = ""
    Card: str = ""


class Payment(Message, frozen=True, kw_only=True):
    """What the card pays; the link's first unit where none is told."""

    Sum: Money
    Unit: str = ""


class CardUse(Message, frozen=True, kw_only=True):
    Card: CardName
    Payments: tuple[Payment, ...] = ()
    TopUps: tuple[Payment, ...] = ()
    Pin: str = ""


class Purchase(Message, frozen=True, kw_only=True):
    """``Date`` is when it was closed; ``BusinessDate`` its day unless told. ``Total``: the lines' sum unless told."""

    Number: str
    Till: str
    Date: datetime
    BusinessDate: date | None = None
    Shift: str = ""
    Cashier: str = ""
    Total: Money | None = None
    Discount: Money = 0
    Lines: tuple[Line, ...] = ()
    Tenders: tuple[Tender, ...] = ()


class ReturnLine(Message, frozen=True, kw_only=True):
    """A sold line by its number, else by its goods; neither quantity nor sum means all that is left of it."""

    Number: int = 0
    Goods: str = ""
    Quantity: Pieces | None = None
    Sum: Money | None = None


# Requests ---------------------------------------------------------------------------------------------------


class IdentifyCardRequest(Message, frozen=True, kw_only=True):
    """``OrderTotal``: what is about to be paid, so that ``Payable`` respects the programme's limit."""

    Card: CardName
    OrderTotal: Money | None = None


class QuoteReceiptRequest(Message, frozen=True, kw_only=True):
    Receipt: Purchase
    Cards: tuple[CardUse, ...] = ()


class PostReceiptRequest(Message, frozen=True, kw_only=True):
    """``Fact``: it has happened already, as what a queue sends; nothing of it is refused by the rules."""

    Key: str
    Receipt: Purchase
    Cards: tuple[CardUse, ...] = ()
    Fact: bool = False


class VoidReceiptRequest(Message, frozen=True, kw_only=True):
    """``Reason``: rollback (the attempt failed) or return (the purchase is cancelled). ``Key`` is that of the sale."""

    Key: str
    Reason: str = "rollback"


class ReturnReceiptRequest(Message, frozen=True, kw_only=True):
    """``SaleKey`` of the receipt that comes back, sold in ``SaleStore`` unless here; no ``Lines``: all that is left."""

    Key: str
    Receipt: Purchase
    SaleKey: str = ""
    SaleStore: str = ""
    Lines: tuple[ReturnLine, ...] = ()
    Cards: tuple[CardUse, ...] = ()
    CanDeduct: bool = False
    Fact: bool = False


class ActivateCardRequest(Message, frozen=True, kw_only=True):
    Key: str
    Card: CardName


class SellGiftCardRequest(Message, frozen=True, kw_only=True):
    """A printed card, or a new one of a product. ``Sum`` may be left out where the product has only one."""

    Key: str
    Card: CardName | None = None
    Product: str = ""
    Sum: Money | None = None


class BatchItem(Message, frozen=True, kw_only=True):
    """Exactly one of them."""

    PostReceipt: PostReceiptRequest | None = None
    VoidReceipt: VoidReceiptRequest | None = None
    ReturnReceipt: ReturnReceiptRequest | None = None
    ActivateCard: ActivateCardRequest | None = None
    SellGiftCard: SellGiftCardRequest | None = None


class PostBatchRequest(Message, frozen=True, kw_only=True):
    """The queue of a till that was cut off, in its order. Each stands for itself: a refused one stops no other."""

    Items: tuple[BatchItem, ...]


# Answers ----------------------------------------------------------------------------------------------------


class Balance(Message, frozen=True, kw_only=True):
    """``Payable``: the most that the programme lets it pay."""

    Unit: str
    Balance: Major
    Available: Major
    Payable: Major = "0"


class Movement(Message, frozen=True, kw_only=True):
    """One unit of one card, in major units: what it paid and got, or what a void or return gave back and took back of
    that. ``Available`` is after it."""

    Card: str
    Unit: str
    Redeemed: Major
    Earned: Major
    Balance: Major
    Available: Major


class QuotedLine(Message, frozen=True, kw_only=True):
    """``Payable``: the most that points may pay of the line; ``Paid``: what the told payments pay of it."""

    Number: int
    Discount: Major
    Payable: Major
    Paid: Major


class Text(Message, frozen=True, kw_only=True):
    """``Audience``: cashier, slip or holder."""

    Audience: str
    Text: str


class QuotedCard(Message, frozen=True, kw_only=True):
    Card: str
    Unit: str
    Available: Major
    Payable: Major
    Earned: Major
    Tier: str
    Texts: tuple[Text, ...] = ()


class Answer(Message, frozen=True, kw_only=True):
    """``ResultCode`` is ok, or what docs/errors.md calls the refusal; ``ResultText`` is for the cashier.

    ``ResultDetail``: for whoever writes the module, what made no sense and where. ``Retry``: the same may be sent again
    later. ``Repeated``: it had been done before.
    """

    ResultCode: str = "ok"
    ResultText: str = ""
    ResultDetail: str = ""
    Retry: bool = False
    Repeated: bool = False


class CardTold(Answer, frozen=True, kw_only=True):
    """``Usable``: whether it may be used here and now; if not, ``ResultText`` tells why."""

    CardNumber: str = ""
    Status: str = ""
    Usable: bool = False
    HolderName: str = ""
    Product: str = ""
    Tier: str = ""
    Discount: str = ""
    Balances: tuple[Balance, ...] = ()


class Quoted(Answer, frozen=True, kw_only=True):
    Discount: Major = "0"
    Lines: tuple[QuotedLine, ...] = ()
    Cards: tuple[QuotedCard, ...] = ()


class Booked(Answer, frozen=True, kw_only=True):
    """Of all that writes. ``Number`` and ``ExpiresAt`` of a card that was activated or sold."""

    Operation: str = ""
    CardNumber: str = ""
    ExpiresAt: datetime | None = None
    KeepBack: Major = "0"
    Movements: tuple[Movement, ...] = ()


class BatchBooked(Answer, frozen=True, kw_only=True):
    """``Results`` in the order of the items."""

    Results: tuple[Booked, ...] = ()


# By the name of the operation: what is asked, and what is answered.
OPERATIONS: dict[str, tuple[type[Message], type[Answer]]] = {
    "IdentifyCard": (IdentifyCardRequest, CardTold),
    "QuoteReceipt": (QuoteReceiptRequest, Quoted),
    "PostReceipt": (PostReceiptRequest, Booked),
    "VoidReceipt": (VoidReceiptRequest, Booked),
    "ReturnReceipt": (ReturnReceiptRequest, Booked),
    "ActivateCard": (ActivateCardRequest, Booked),
    "SellGiftCard": (SellGiftCardRequest, Booked),
    "PostBatch": (PostBatchRequest, BatchBooked),
}
