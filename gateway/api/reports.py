"""Reports: what partners owe each other, what they owe to holders, and what receipts say against what was booked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from marshmallow import Schema, fields, validate

from gateway import reconciliation as reconciling
from gateway import reports
from gateway.api import fields as f
from gateway.api.amounts import TOLD_PATTERN
from gateway.api.section import Section, client, rest
from processing.errors import Busy, NoSuchRoute
from processing.liability import LIABILITY_COLUMNS, liability
from processing.periods import Period, period_of
from processing.reconciliation import (
    MAX_DAYS,
    MAX_WAIT_HOURS,
    MAX_WINDOW_MINUTES,
    VERDICTS,
    WAIT_HOURS,
    WINDOW_MINUTES,
    reconciliation,
)
from processing.settlement import settlement

section = Section("reports", "Settlement between partners, liability, reconciliation")

READ = "reports:read"
# For all statements of a report together; each has the database's own bound as well.
REPORT_SECONDS = 60
# Reports read much: of one web worker so many at a time.
MAX_REPORTS = 1
_reading = threading.BoundedSemaphore(MAX_REPORTS)

WORDS = {
    "issued": "put into lots by purchases",
    "taken_back": "of what was issued: taken back by returns and voids",
    "redeemed": "taken out of lots by redemptions",
    "given_back": "of what was redeemed: given back by returns and voids",
    "expired": "ended unspent, less what a late fact brought back",
    "loaded": "put into lots against cash",
    "paid_out": "taken out of lots against cash",
    "adjusted": "given by corrections, less what they took",
    "covered": "paid by the issuer's lots for what the partner was owed: debts repaid, accruals taken back",
    "suspense": "earned, less redeemed, without a usable card: it is in no lot",
    "net": "what the issuer owes the partner; 0 of the partner itself",
    "opening": "what lots held at the beginning, less debts",
    "opening_debt": "of the opening: debts, not above zero",
    "closing": "what lots held at the end, less debts",
    "closing_debt": "of the closing: debts, not above zero",
}
WORDS_OF_LIABILITY = WORDS | {"covered": "got from other issuers' lots, less what its own lots paid for others"}


def _decimal(describe: str, **options: Any) -> fields.String:
    return f.told(describe, metadata={"pattern": TOLD_PATTERN, "examples": ["450.50"]}, **options)


def _columns(names: tuple[str, ...], words: dict[str, str]) -> dict[str, fields.Field[Any]]:
    return {name: _decimal(words[name]) for name in names}


class PeriodQuerySchema(Schema):
    first = f.day("first day", data_key="from", required=True, example="2026-05-01")
    until = f.day("the day after the last one; at most 366 days later", data_key="to", required=True)
    unit = f.unit(required=False)
    zone = f.text(64, describe="IANA time zone of the days; default: the first store's", example="Europe/Moscow")


class HeadSchema(f.Told):
    first = f.told_day(attribute="from", data_key="from")
    until = f.told_day("no part of the period", attribute="to", data_key="to")
    zone = f.told("whose days")
    read_at = f.told_at("of which instant the books are")
    is_final = f.told_switch("nothing can be booked in the period any more")


SettlementMoneySchema = f.Told.from_dict(_columns(reports.SETTLEMENT_COLUMNS, WORDS), name="SettlementMoney")
LiabilityMoneySchema = f.Told.from_dict(_columns(LIABILITY_COLUMNS, WORDS_OF_LIABILITY), name="LiabilityMoney")


class SettlementTotalSchema(
    f.Told.from_dict(_columns(reports.SETTLEMENT_COLUMNS, WORDS), name="SettlementFigures")  # type: ignore[misc]
):
    unit = f.told("code of the unit")
    money = fields.Nested(SettlementMoneySchema, required=True, metadata={"description": "the same, in money"})


class SettlementRowSchema(SettlementTotalSchema):
    issuer = f.told("code of the partner whose lots they are")
    partner = f.told("code of the partner whose accounts took or gave it")


class OwedSchema(f.Told):
    unit = f.told("code of the unit")
    debtor = f.told("code of the partner who owes")
    creditor = f.told("code of the partner who is owed")
    amount = _decimal("in the unit")
    money = _decimal("at the lots' prices")


class SettlementSchema(HeadSchema):
    rows = f.told_some(SettlementRowSchema, "by unit, issuer and partner")
    totals = f.told_some(SettlementTotalSchema, "the sums of the rows, by unit")
    owed = f.told_some(OwedSchema, "what is left when the two rows of a pair are set off")


class LiabilityTotalSchema(
    f.Told.from_dict(_columns(LIABILITY_COLUMNS, WORDS_OF_LIABILITY), name="LiabilityFigures")  # type: ignore[misc]
):
    unit = f.told("code of the unit")
    money = fields.Nested(LiabilityMoneySchema, required=True, metadata={"description": "the same, in money"})


class LiabilityRowSchema(LiabilityTotalSchema):
    issuer = f.told("code of the partner whose lots they are")


class LiabilitySchema(HeadSchema):
    rows = f.told_some(LiabilityRowSchema, "by unit and issuer")
    totals = f.told_some(LiabilityTotalSchema, "the sums of the rows, by unit")


@section.read("/reports/settlement", SettlementSchema, READ, PeriodQuerySchema)
def read_settlement(asked: dict[str, Any]) -> Any:
    """Read the settlement between partners

    Who issued what was spent where, by pair and unit, by booked_at. A client that is limited to stores sees the pairs
    of the partners all of whose stores are among them. Errors: UnitNotFound, TooLarge; Busy while another is read.
    """
    own = rest()
    with _one_at_a_time():
        found = settlement(own.database, own.directory, _period(asked), asked["unit"], REPORT_SECONDS)
    seen = reports.seen_settlement(found, reports.partners_of(own.directory, client().stores))
    return reports.settlement_told(own.directory, seen, f.READER.get().money_scale)


@section.read("/reports/liability", LiabilitySchema, READ, PeriodQuerySchema)
def read_liability(asked: dict[str, Any]) -> Any:
    """Read the roll-forward of the liability

    What the lots of each issuer held, what came and went, and what they hold, by booked_at. Limited clients and errors
    as for the settlement.
    """
    own = rest()
    with _one_at_a_time():
        found = liability(own.database, own.directory, _period(asked), asked["unit"], REPORT_SECONDS)
    seen = reports.seen_liability(found, reports.partners_of(own.directory, client().stores))
    return reports.liability_told(own.directory, seen, f.READER.get().money_scale)


class ReconciliationQuerySchema(Schema):
    link = f.code("of the link that pulls the receipts", required=True, example="office")
    since = f.instant("of what happened from then on", required=True)
    until = f.instant(f"and before; at most {MAX_DAYS} days later", required=True)
    window_minutes = fields.Integer(
        validate=validate.Range(1, MAX_WINDOW_MINUTES),
        load_default=WINDOW_MINUTES,
        metadata={"description": "so far apart a receipt and what was booked for it may lie"},
    )
    wait_hours = fields.Integer(
        validate=validate.Range(1, MAX_WAIT_HOURS),
        load_default=WAIT_HOURS,
        metadata={"description": "so long a receipt may be on its way"},
    )
    all = fields.Boolean(load_default=False, metadata={"description": "also what agrees"})


CountsSchema = f.Told.from_dict({verdict: f.told_whole() for verdict in VERDICTS}, name="Counts")


class LearnedLineSchema(f.Told):
    goods = f.told("what the other system calls them")
    quantity = f.told("in pieces")
    sum = _decimal("what the line cost")


class ReconciledSchema(f.Told):
    verdict = f.told("matched, not_booked, differs, no_receipt, unknown_card or waiting")
    kind = f.told("redemption or accrual")
    account = f.told_whole("the wallet's number; 0 while nobody knows the card")
    expected = _decimal("what the receipt says; null without one", allow_none=True)
    booked = _decimal("what was booked; null for nothing", allow_none=True)
    document = f.told("what the other system calls the receipt; null for none", allow_none=True)
    closed_at = f.told_at("of the receipt", allow_none=True)
    is_return = f.told_switch("goods came back", allow_none=True)
    sale = f.told("of a return: the document of its sale", allow_none=True)
    till = f.told("what the other system calls the till", allow_none=True)
    total = _decimal("of the receipt; null where it is not told", allow_none=True)
    operation_id = f.told_whole("null for none", allow_none=True)
    booked_at = f.told_at("of the operation", allow_none=True)
    login = f.told("link and login of the till that has booked it", allow_none=True)
    alike = f.told_switch("it equals the one before it", allow_none=True)
    lines = f.told_some(LearnedLineSchema, "goods of a receipt that does not agree")


class ReconciliationSchema(f.Told):
    link = f.told("that pulls the receipts")
    store = f.told("code of the store")
    unit = f.told("code of the unit")
    since = f.told_at()
    until = f.told_at("no part of the span")
    read_at = f.told_at("of which instant the books are")
    agrees = f.told_switch("nothing is left to look at")
    counts = fields.Nested(CountsSchema, required=True, metadata={"description": "rows by their verdict"})
    rows = f.told_some(ReconciledSchema, "in the order of time")


@section.read("/reports/reconciliation", ReconciliationSchema, READ, ReconciliationQuerySchema)
def read_reconciliation(asked: dict[str, Any]) -> Any:
    """Read what 1C's receipts say against what tills have booked

    For a link that pulls receipts. Nothing is corrected by it. Errors: NoSuchRoute for an unknown link, Forbidden,
    BadMessage, TooLarge; Busy while another report is read.
    """
    own = rest()
    link = own.settings.links.get(asked["link"])
    if link is None:
        raise NoSuchRoute("no such link", link=asked["link"])
    client().check_store(link.store)
    bounds = (asked[name] for name in ("since", "until", "window_minutes", "wait_hours"))
    span = reconciling.asked_of(own.settings.links, link.code, *bounds)
    with _one_at_a_time():
        found = reconciliation(own.database, own.directory, span, REPORT_SECONDS)
    return reconciling.told(own.directory, link.code, found, asked["all"], f.READER.get().money_scale)


def _period(asked: dict[str, Any]) -> Period:
    return period_of(rest().directory, asked["first"], asked["until"], asked["zone"])


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Errors: Busy."""
    if not _reading.acquire(blocking=False):
        raise Busy("another report is being read, repeat later")
    try:
        yield
    finally:
        _reading.release()
