"""Every refusal and failure that the core, an adapter or the gateway may answer with, by who must act.

The ``code`` is stable: it is stored, shown, counted and documented (docs/errors.md). Texts for people live
with those who speak to them (adapters/texts.py); ``message`` here is English, for logs and integrators.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

Details = Mapping[str, str | int]


class LoyaltyError(Exception):
    """A command was not carried out; the books are as they were (one exception: design law 2, supersede)."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "", **details: str | int) -> None:
        super().__init__(message or self.code)
        self.message = message or self.code
        self.details: Details = details

    def kept(self) -> Self:
        """The same as a value, without the frames it was raised in: they hold message and batch, and often itself."""
        self.__traceback__ = self.__context__ = self.__cause__ = None
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return (rebuild, (self.code, self.message, dict(self.details)))


class Refusal(LoyaltyError):
    """The rules say no. The till shows it; sending the same again changes nothing."""

    code = "refused"


class CardNotFound(Refusal):
    code = "card_not_found"


class CardNotActive(Refusal):
    """Issued but not yet activated."""

    code = "card_not_active"


class CardBlocked(Refusal):
    code = "card_blocked"


class CardExpired(Refusal):
    code = "card_expired"


class CardClosed(Refusal):
    """Closed, or replaced by another card."""

    code = "card_closed"


class CardStatusWrong(Refusal):
    """The operation needs the card in another status, such as activating a card twice."""

    code = "card_status_wrong"


class CardNumberTaken(Refusal):
    code = "card_number_taken"


class ProductNotFound(Refusal):
    code = "product_not_found"


class InsufficientPoints(Refusal):
    """Details: ``available`` and ``asked`` in minor units, ``unit``."""

    code = "insufficient_points"


class LimitExceeded(Refusal):
    """The programme allows less than asked. Details: ``limit`` and ``asked`` in minor units, ``unit``."""

    code = "limit_exceeded"


class UnitNotFound(Refusal):
    code = "unit_not_found"


class ReceiptNotFound(Refusal):
    code = "receipt_not_found"


class AlreadyVoided(Refusal):
    """This attempt of the receipt was voided, perhaps before it arrived."""

    code = "already_voided"


class KeyReused(Refusal):
    """The same request key came with other content."""

    code = "key_reused"


class PhoneTaken(Refusal):
    """Another holder owns this phone or e-mail."""

    code = "phone_taken"


class HolderExists(Refusal):
    """The card's wallet already has a holder."""

    code = "holder_exists"


class BadAmount(Refusal):
    """Zero, negative or too large where a positive amount is needed."""

    code = "bad_amount"


class ReturnExceeds(Refusal):
    """More comes back than is left of what was sold. Details: ``line``, ``left`` and ``asked`` in thousandths."""

    code = "return_exceeds"


class OperationNotFound(Refusal):
    code = "operation_not_found"


class HoldNotFound(Refusal):
    """No hold was placed under this key of this store."""

    code = "hold_not_found"


class HoldEnded(Refusal):
    """The hold was captured or released already. Details: ``state``."""

    code = "hold_ended"


class HoldExpired(Refusal):
    """The hold's deadline has passed, and not enough is left. Details as InsufficientPoints."""

    code = "hold_expired"


class SameWallet(Refusal):
    """Both cards belong to one wallet already."""

    code = "same_wallet"


class WalletMerging(Refusal):
    """The wallet is about to become part of another one and takes no new holds or merges."""

    code = "wallet_merging"


class NotGiftCard(Refusal):
    """The card's product carries no value that could be sold."""

    code = "not_gift_card"


class RangeFull(Refusal):
    """The product's numbers would become dense enough to be guessed: it needs longer ones."""

    code = "range_full"


class PinRequired(Refusal):
    """The card is one of value and pays only with its PIN, which was not sent or never set."""

    code = "pin_required"


class WrongPin(Refusal):
    """Details: ``left``, the tries that remain. Counted, although it is a refusal."""

    code = "wrong_pin"


class PinLocked(Refusal):
    """The PIN was wrong too often; an operator unblocks the card or sets another PIN."""

    code = "pin_locked"


class HolderNotFound(Refusal):
    """The card has no holder, or no phone to send a code to."""

    code = "holder_not_found"


class WrongCode(Refusal):
    """Details: ``left``, the tries that remain. Counted, although it is a refusal."""

    code = "wrong_code"


class CodeExpired(Refusal):
    """No code is valid for this purpose: none was sent, it is too old, used, or tried too often."""

    code = "code_expired"


class TooManyCodes(Refusal):
    """This phone got as many codes as it may. Details: ``retry_seconds``."""

    code = "too_many_codes"


class AdjustmentNotFound(Refusal):
    """No correction waits under this key."""

    code = "adjustment_not_found"


class SecondPersonNeeded(Refusal):
    """Whoever asked for a correction does not approve it."""

    code = "second_person_needed"


class ForeignStore(Refusal):
    """The message names a store that this link may not speak for."""

    code = "foreign_store"


class BadMessage(LoyaltyError):
    """The bytes make no sense. Details: ``where`` (element or field) and ``value`` as received, cut short."""

    code = "bad_message"


class TooLarge(BadMessage):
    code = "too_large"


class Busy(LoyaltyError):
    """Locks, deadlocks or a full queue: nothing was decided, the till may repeat."""

    code = "busy"
    retryable = True


class Failed(LoyaltyError):
    """A bug of ours met this command alone; nothing was booked, and our log has the trace."""

    code = "failed"


class BadCredentials(LoyaltyError):
    code = "bad_credentials"


class Forbidden(LoyaltyError):
    """The caller is known and may not do this. Details: ``scope`` or ``store``."""

    code = "forbidden"


class RateLimited(LoyaltyError):
    """Too many requests of this caller. Details: ``retry_seconds``."""

    code = "rate_limited"
    retryable = True


class NoSuchRoute(LoyaltyError):
    code = "no_such_route"


class LinkPaused(LoyaltyError):
    code = "link_paused"


class Undelivered(Exception):
    """A message did not reach the far side; the outbox acts on the class, no till ever hears of it.

    ``retry_seconds``: when the far side told when it may be tried again. The message is for operators: English, and
    without anything that came from the far side unless it is bounded and harmless.
    """

    code: ClassVar[str] = "undelivered"

    def __init__(self, message: str = "", retry_seconds: float | None = None) -> None:
        super().__init__(message or self.code)
        self.message = message or self.code
        self.retry_seconds = retry_seconds


class LinkDown(Undelivered):
    """The far side did not answer in time, or said that it cannot now."""

    code = "link_down"


class LinkRefused(Undelivered):
    """The far side has answered no; the same again would be answered so again."""

    code = "link_refused"


class BadReply(Undelivered):
    """The far side has answered what nobody understands: half an answer, another schema, an error inside success."""

    code = "bad_reply"


class NotYet(Undelivered):
    """The far side is not ready for this; in ``retry_seconds`` it may be. No attempt is burnt."""

    code = "not_yet"

    def __init__(self, message: str = "", retry_seconds: float = 60) -> None:
        super().__init__(message, retry_seconds)


class ConfigError(Exception):
    """Start-up stops: the file, the path inside it, what was found and what was expected."""


def _subclasses(cls: type[LoyaltyError]) -> list[type[LoyaltyError]]:
    return [cls] + [deeper for sub in cls.__subclasses__() for deeper in _subclasses(sub)]


def by_code() -> dict[str, type[LoyaltyError]]:
    """Every error class under its stable code."""
    return {cls.code: cls for cls in _subclasses(LoyaltyError)}


def rebuild(code: str, message: str, details: dict[str, str | int]) -> LoyaltyError:
    """The error that was taken apart into these three, as it crosses from one process to another."""
    return by_code().get(code, LoyaltyError)(message, **details)
