"""What the core has answered -> what 1C hears. A refusal is an answer too: in 1C's language a fault is an exception."""

from __future__ import annotations

from lxml import etree

from adapters.contract import Link, Outcome, WireResponse
from adapters.onec_soap import elements, messages
from adapters.onec_soap.wsdl import NAMESPACE
from adapters.soap import CONTENT_TYPES, Envelope, write_envelope
from adapters.texts import code_text, text
from processing.errors import BadMessage, LoyaltyError, Refusal
from processing.results import (
    CardActivated,
    CardMovement,
    GiftCardSold,
    Identified,
    Quoted,
    ReceiptPosted,
    ReceiptReturned,
    ReceiptVoided,
    cards_of,
)
from processing.units import major

ZERO = "0"


def respond(envelope: Envelope, answer: messages.Answer, link: Link, refused: str = "") -> WireResponse:
    """The answer to the envelope's operation, in its version of SOAP; always 200."""

    def fill(body: etree._Element) -> None:
        nsmap = {"m": NAMESPACE}
        element = etree.SubElement(body, f"{{{NAMESPACE}}}{envelope.operation}Response", nsmap=nsmap)
        elements.write(element, "return", answer, NAMESPACE, link.zone)

    body = write_envelope(envelope.version, fill)
    return WireResponse(body, CONTENT_TYPES[envelope.version], refused=refused)


def refusal(error: LoyaltyError, operation: str, link: Link) -> messages.Answer:
    """The refusal as the answer of the operation."""
    answer = messages.OPERATIONS[operation][1]
    return answer(
        ResultCode=error.code,
        ResultText=text(error, link.options["language"]),
        # Where and what was expected; never what stood there.
        ResultDetail=error.message if isinstance(error, BadMessage) else "",
        Retry=_may_repeat(error),
    )


def _may_repeat(error: LoyaltyError) -> bool:
    """Rules say the same no again; a message that makes no sense makes none the next time."""
    return error.retryable or (not isinstance(error, Refusal) and error.code in {"failed", "link_paused"})


def card(found: Identified, link: Link) -> messages.CardTold:
    payable = dict(found.payable)
    return messages.CardTold(
        ResultText=code_text(found.usable, link.options["language"]) if found.usable else "",
        CardNumber=found.number,
        Status=found.status,
        Usable=not found.usable,
        HolderName=found.holder_name,
        Product=found.product,
        Tier=found.tier,
        Discount=found.discount,
        Balances=tuple(
            messages.Balance(
                Unit=each.unit,
                Balance=major(each.balance, each.scale),
                Available=major(each.available, each.scale),
                Payable=major(payable.get(each.unit, 0), each.scale),
            )
            for each in found.balances
        ),
    )


def quoted(told: Quoted, link: Link) -> messages.Quoted:
    paid = {line.number: line.points_minor + line.card_money_minor for line in told.paid}
    language = link.options["language"]
    return messages.Quoted(
        Discount=major(told.discount_minor, 2),
        Lines=tuple(
            messages.QuotedLine(
                Number=line.number,
                Discount=major(line.discount_minor, 2),
                Payable=major(line.payable_minor, 2),
                Paid=major(paid.get(line.number, 0), 2),
            )
            for line in told.lines
        ),
        Cards=tuple(
            messages.QuotedCard(
                Card=each.card,
                Unit=each.unit,
                Available=major(each.available, each.scale),
                Payable=major(each.payable, each.scale),
                Earned=major(each.earned, each.scale),
                Tier=each.tier,
                Texts=tuple(
                    messages.Text(Audience=one.audience, Text=one.ru if language == "ru" else one.en)
                    for one in each.texts
                ),
            )
            for each in told.cards
        ),
    )


Written = ReceiptPosted | ReceiptVoided | ReceiptReturned | CardActivated | GiftCardSold


def booked(done: Written) -> messages.Booked:
    """What a command has done."""
    number, expires_at = "", None
    if isinstance(done, CardActivated | GiftCardSold):
        number, expires_at = done.number, done.expires_at
    return messages.Booked(
        Repeated=done.replayed,
        Operation=str(getattr(done, "operation_id", 0) or ""),
        CardNumber=number,
        ExpiresAt=expires_at,
        KeepBack=major(done.keep_back_minor if isinstance(done, ReceiptReturned) else 0, 2),
        Movements=tuple(_movement(each) for each in cards_of(done)),
    )


def _movement(moved: CardMovement) -> messages.Movement:
    return messages.Movement(
        Card=moved.card,
        Unit=moved.unit,
        Redeemed=major(moved.redeemed, moved.scale),
        Earned=major(moved.earned, moved.scale),
        Balance=major(moved.balance, moved.scale),
        Available=major(moved.available, moved.scale),
    )


def of_batch(outcome: Outcome, link: Link) -> messages.Booked:
    """One item's answer."""
    if isinstance(outcome, LoyaltyError):
        told = refusal(outcome, "PostReceipt", link)
        assert isinstance(told, messages.Booked)
        return told
    assert isinstance(outcome, Written)
    return booked(outcome)
