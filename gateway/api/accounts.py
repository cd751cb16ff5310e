"""Accounts of a wallet: balances, lots, statement; value that comes, goes and is corrected without a receipt."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields

from gateway.api import fields as f
from gateway.api.schemas import (
    CARD,
    AmountSchema,
    BalanceSchema,
    CardBody,
    CardMovementSchema,
    FlaggedSchema,
    MovedCardsSchema,
    MovedSchema,
    UnitBody,
    card,
    card_example,
    example,
    positive,
)
from gateway.api.section import CommandBody, Section, ask_one, client
from processing import commands
from processing.commands import (
    MAX_KEY,
    NameWallet,
    ReadBalances,
    ReadLots,
    ReadStatement,
    ReadTransactions,
    ReadTurnover,
    Ref,
)
from processing.results import WalletNamed

section = Section("accounts", "What a wallet holds, and value that moves without a receipt")

MAX_DAYS = 36_500
# As the core bounds it.
MAX_SKIP = 1_000_000
AFTER = "revision, operation_id and entry of the last transaction that is known, with colons between"
ACCOUNT = f"<int(max={f.MAX_ID}):account>"


def amount() -> fields.Nested:
    return f.nested(AmountSchema, "how much of which unit", required=True, validate=positive)


def wallet(account: int) -> tuple[Ref, ...]:
    return (Ref("wallet", str(account)),)


# Reading -----------------------------------------------------------------------------------------------------


class AsOfSchema(Schema):
    as_of = f.instant("an instant, past or future; now where it is not told")


class BalancesSchema(f.Told):
    as_of = f.told_at()
    account = f.told_whole("the wallet's number")
    balances = f.told_some(BalanceSchema)


class LotToldSchema(f.Told):
    lot_id = f.told_whole()
    unit = f.told("code of the unit")
    scale = f.told_whole("digits after the point")
    remaining = f.told_amount("what it holds; negative for a debt")
    held = f.told_amount("what of it open holds have set aside")
    issuer = f.told("code of the partner who owes it")
    available_from = f.told_at("when it can be spent")
    expires_at = f.told_at("null for never", allow_none=True)
    is_debt = f.told_switch("the next accruals repay it")


class LotsSchema(f.Told):
    as_of = f.told_at()
    account = f.told_whole("the wallet's number")
    lots = f.told_some(LotToldSchema)


class StatementQuerySchema(Schema):
    unit = f.code("only movements of this unit", example="BONUS")
    since = f.instant("only what happened then or later")
    until = f.instant("only what happened before")
    cursor = f.cursor()
    limit = f.limit()


class StatementLineSchema(f.Told):
    operation_id = f.told_whole()
    kind = f.told("receipt, void, return, top_up, adjustment, capture, expiry ...")
    store = f.told("code of the store")
    unit = f.told("code of the unit")
    scale = f.told_whole("digits after the point")
    amount = f.told_amount("what it did to the wallet; negative took away")
    effective_at = f.told_at("when it happened")
    booked_at = f.told_at("when we learned it")
    flags = f.told_texts("what was unusual")


class StatementSchema(f.Told):
    account = f.told_whole("the wallet's number")
    lines = f.told_some(StatementLineSchema, "newest first")
    cursor = f.told("asks for the next page; empty on the last one")


class TransactionsQuerySchema(Schema):
    since = f.instant("only what was booked then or later")
    until = f.instant("only what was booked then or before")
    after = f.text(64, pattern=r"[0-9]{1,18}(:[0-9]{1,18}){2}", words="revision:operation:entry", describe=AFTER)
    skip = f.whole(0, MAX_SKIP, "so many of them", load_default=0)
    limit = f.limit()


class TransactionSchema(f.Told):
    operation_id = f.told_whole()
    entry = f.told_whole("tells transactions of one operation apart")
    revision = f.told_whole("never falls from one transaction of a wallet to the next")
    kind = f.told("receipt, void, return, top_up, adjustment, capture, expiry ...")
    store = f.told("code of the store")
    unit = f.told("code of the unit")
    scale = f.told_whole("digits after the point")
    amount = f.told_amount("what it did to the wallet; negative took away")
    balance = f.told_amount("what the books hold afterwards")
    effective_at = f.told_at("when it happened")
    booked_at = f.told_at("when we learned it")
    programme = f.told("code of the programme that decided it; empty for none")
    number = f.told("of its receipt; empty without one")
    total_minor = f.told_money("of its receipt; null without one", data_key="total", allow_none=True)
    actor = f.told("who asked for it")


class TransactionsSchema(f.Told):
    account = f.told_whole("the wallet's number")
    transactions = f.told_some(TransactionSchema, "in the order in which they were booked")
    more = f.told_switch("others follow: ask again with after")


class TurnoverQuerySchema(Schema):
    since = f.day("only this day and later", load_default=None)


class TurnoverSchema(f.Told):
    account = f.told_whole("the wallet's number")
    visits = f.told_whole("receipts")
    turnover_minor = f.told_money("own money paid for goods", data_key="turnover")


class WalletQuerySchema(Schema):
    store = f.store("code of a store, by whose day tiers are judged")


class CardNameSchema(f.Told):
    scheme = f.told("what kind of name it is")
    value = f.told("the name")


class CardNamedSchema(f.Told):
    number = f.told("the card's number")
    status = f.told("issued, active, blocked, expired, replaced or closed")
    usable = f.told("empty, or the code of the refusal that it would meet")
    product = f.told("code of the kind of card")
    names = f.told_some(CardNameSchema, "all that it is called")
    expires_at = f.told_at("when the card expires", allow_none=True)


class TierOfSchema(f.Told):
    programme = f.told()
    tier = f.told()


def tiers_of(found: WalletNamed) -> list[dict[str, str]]:
    return [{"programme": programme, "tier": tier} for programme, tier in found.tiers]


class WalletNamedSchema(f.Told):
    account = f.told_whole("the wallet's number")
    uuid = f.told("names the wallet for ever, as the scheme uuid")
    opened_at = f.told_at()
    cards = f.told_some(CardNamedSchema, "newest first")
    tiers = f.Worked(TierOfSchema, tiers_of, "of the programmes of its cards that have tiers")


READ = "accounts:read"


@section.read(f"/accounts/{ACCOUNT}/balances", BalancesSchema, READ, AsOfSchema)
def read_balances(asked: dict[str, Any], account: int) -> Any:
    """Read balances

    The number of the account comes from POST /cards/identify. Errors: CardNotFound.
    """
    return ask_one(ReadBalances(refs=wallet(account), as_of=asked["as_of"]))


@section.read(f"/accounts/{ACCOUNT}/lots", LotsSchema, READ, AsOfSchema)
def read_lots(asked: dict[str, Any], account: int) -> Any:
    """Read lots

    What the balance is made of, with the dates when each part becomes available and expires. Errors: CardNotFound.
    """
    return ask_one(ReadLots(refs=wallet(account), as_of=asked["as_of"]))


@section.read(f"/accounts/{ACCOUNT}/statement", StatementSchema, READ, StatementQuerySchema)
def read_statement(asked: dict[str, Any], account: int) -> Any:
    """Read a statement

    Movements, newest first, in pages. Errors: CardNotFound, BadMessage (a cursor of another statement).
    """
    return ask_one(ReadStatement(refs=wallet(account), **asked))


@section.read(f"/accounts/{ACCOUNT}/transactions", TransactionsSchema, READ, TransactionsQuerySchema)
def read_transactions(asked: dict[str, Any], account: int) -> Any:
    """Read transactions

    Movements in the order of booking, for a mirror of the wallet: behind the last one that was told nothing is ever
    filled in later. Errors: CardNotFound.
    """
    told = asked.pop("after")
    revision, operation, entry = map(int, told.split(":")) if told else (0, 0, 0)
    after = (revision, operation, entry) if told else None
    return ask_one(ReadTransactions(refs=wallet(account), after=after, **asked))


@section.read(f"/accounts/{ACCOUNT}/turnover", TurnoverSchema, READ, TurnoverQuerySchema)
def read_turnover(asked: dict[str, Any], account: int) -> Any:
    """Read the turnover

    Receipts, and own money paid for goods. Errors: CardNotFound.
    """
    return ask_one(ReadTurnover(refs=wallet(account), since=asked["since"]))


@section.read(f"/accounts/{ACCOUNT}/wallet", WalletNamedSchema, READ, WalletQuerySchema)
def name_wallet(asked: dict[str, Any], account: int) -> Any:
    """Read a wallet

    Its UUID, its cards with all their names, its tiers. Errors: CardNotFound, ForeignStore.
    """
    client().check_store(asked["store"])
    return ask_one(NameWallet(store=asked["store"], refs=wallet(account)))


# Writing -----------------------------------------------------------------------------------------------------


class TopUpSchema(CardBody):
    makes = commands.TopUp
    example = card_example(amount={"unit": "RUB", "amount": "1000.00"})
    amount = amount()


class ToppedUpSchema(MovedSchema):
    pass


class RedeemSchema(UnitBody):
    makes = commands.Redeem
    example = card_example(unit="BONUS", amount="100.00")
    fact = f.switch("it has happened already: a shortage becomes debt")


class RedeemedSchema(FlaggedSchema):
    pass


class AccrueSchema(CardBody):
    makes = commands.Accrue
    example = card_example(amount={"unit": "BONUS", "amount": "30.00"})
    amount = amount()
    fact = f.switch("it has happened already")


class AccruedSchema(FlaggedSchema):
    pass


class TransferSchema(CommandBody):
    makes = commands.Transfer
    example = example(
        source=CARD, target={"scheme": "card", "value": "5550001242"}, amount={"unit": "BONUS", "amount": "50.00"}
    )
    source = card("from whose wallet")
    target = card("to whose wallet")
    amount = amount()
    reason = f.reason()


class TransferredSchema(MovedCardsSchema):
    pass


class PayOutSchema(UnitBody):
    makes = commands.PayOut
    example = card_example(unit="RUB", amount="250.00")
    close = f.switch("the card ends with it")


class PaidOutSchema(MovedSchema):
    card_id = f.told_whole()
    status = f.told("of the card afterwards")


class AdjustSchema(CardBody):
    makes = commands.Adjust
    example = card_example(amount={"unit": "BONUS", "amount": "-20.00"}, reason="booked twice on 4 May")
    amount = f.nested(AmountSchema, "how much of which unit; negative takes away", required=True)
    reason = f.reason(required=True)
    expires_days = f.whole(1, MAX_DAYS, "from today in the store's zone; never where it is not told", allow_none=True)
    allow_debt = f.switch("it may take more than there is")


class AdjustedSchema(f.Told):
    outcome = f.told("done; pending, and nothing is booked until another person decides; rejected")
    operation_id = f.told_whole("0 while it is pending")
    at = f.told_at()
    card = fields.Nested(CardMovementSchema, required=True)


class DecideAdjustmentSchema(CommandBody):
    makes = commands.DecideAdjustment
    example = example(adjustment="rest:adjust-1", approve=True)
    adjustment = f.text(
        MAX_KEY, required=True, describe="request key of the Adjust in this store", example="rest:adjust-1"
    )
    approve = f.Switch(required=True, metadata={"description": "true approves, false rejects"})


class AdjustmentDecidedSchema(f.Told):
    outcome = f.told("approved or rejected")
    booked_id = f.told_whole("the operation of the correction; 0 for a rejection")
    at = f.told_at()
    card = fields.Nested(
        CardMovementSchema, required=True, allow_none=True, metadata={"description": "null for a rejection"}
    )


VALUE = "value:write"
section.command("/top-ups", TopUpSchema, ToppedUpSchema, VALUE, "Top up a card", status=201)
section.command("/redemptions", RedeemSchema, RedeemedSchema, VALUE, "Redeem without a receipt", status=201)
section.command("/accruals", AccrueSchema, AccruedSchema, VALUE, "Accrue without a receipt", status=201)
section.command("/transfers", TransferSchema, TransferredSchema, VALUE, "Transfer to another card", status=201)
section.command("/pay-outs", PayOutSchema, PaidOutSchema, VALUE, "Pay money out", status=201)
section.command("/adjustments", AdjustSchema, AdjustedSchema, "adjust:write", "Correct a balance", status=201)
section.command(
    "/adjustments/decide", DecideAdjustmentSchema, AdjustmentDecidedSchema, "adjust:approve", "Decide on a correction"
)
