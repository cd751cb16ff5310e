"""What happened to a guest's wallets, by date and by revision; and counters of what was bought."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from adapters.contract import Asking, Link, WireRequest, WireResponse, each, must, one
from adapters.iiko import identities
from adapters.iiko.answers import amount, moment, said
from adapters.iiko.customers import MAX_CUSTOMERS, customer
from adapters.iiko.messages import Fields, fields, identity, require, values, whole
from adapters.iiko.messages import identities as uuids
from adapters.iiko.messages import moment as told_moment
from adapters.iiko.places import check_organization
from adapters.json_parsing import Number
from adapters.parsing import bad
from processing.commands import MAX_PAGE, ReadTransactions, ReadTurnover, Ref
from processing.results import Transaction, Turnover

# Behind every transaction of a revision.
ALL_OF_IT = (2**62, 0)
# The API's numbers of types have no published names; ``typeName`` tells ours.
TYPE = 0

ORDERS, SUM = "OrdersCount", "OrdersSum"
METRICS = (ORDERS, SUM)
PERIODS = ("AllTime", "Day", "Week", "Month", "Quarter", "Year")


def by_date(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """A page of what was booked between two instants, both included, the earliest first."""
    told = fields(request.body)
    check_organization(told, link)
    size, number = _page_size(told), whole(told, "pageNumber")
    require(number is not None, "pageNumber", "a whole number, from 0")
    found = yield from one(
        ReadTransactions(
            refs=(customer(told),),
            since=told_moment(told, "dateFrom"),
            until=told_moment(told, "dateTo"),
            skip=size * (number or 0),
            limit=size,
        )
    )
    return said({"transactions": _rows(found.transactions, link), "pageSize": size, "pageNumber": number})


def by_revision(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """What comes behind a revision, or behind a transaction of it."""
    told = fields(request.body)
    check_organization(told, link)
    size, revision, last = _page_size(told), whole(told, "revision") or 0, identity(told, "lastTransactionId")
    place = identities.transaction_place(last) if last else ALL_OF_IT
    if place is None:
        raise bad("lastTransactionId", last, "a transaction of ours")
    found = yield from one(ReadTransactions(refs=(customer(told),), after=(revision, *place), limit=size))
    rows = _rows(found.transactions, link)
    return said(
        {
            "transactions": rows,
            "lastRevision": rows[-1]["revision"] if rows else revision,
            "lastTransactionId": rows[-1]["id"] if rows else last or None,
            "pageSize": size,
        }
    )


def _page_size(told: Fields) -> int:
    """No more than the books tell at once, whatever was asked; the answer says how many."""
    found = whole(told, "pageSize", 1)
    if found is None:
        raise bad("pageSize", "", "a whole number, from 1")
    return min(found, MAX_PAGE)


def _rows(transactions: Sequence[Transaction], link: Link) -> list[dict[str, Any]]:
    return [_row(each, link) for each in transactions]


def _row(told: Transaction, link: Link) -> dict[str, Any]:
    """A transaction; ``sum`` with its sign, so that it is what the balance has changed by."""
    is_order = told.total_minor is not None
    organization, group = _place(told.store, link)
    return {
        "id": identities.transaction(told.operation_id, told.entry),
        "organizationId": organization,
        "revision": told.revision,
        "sum": amount(told.amount, told.scale),
        "type": TYPE,
        "typeName": told.kind,
        "balanceBefore": amount(told.balance - told.amount, told.scale),
        "balanceAfter": amount(told.balance, told.scale),
        "posBalanceBefore": None,
        "walletId": identities.wallet(told.unit, link.options),
        "programId": identities.programme(told.programme) if told.programme else None,
        "marketingCampaignId": None,
        "orderNumber": _number(told.number),
        "orderSum": amount(told.total_minor) if told.total_minor is not None else None,
        "posOrderId": None,
        "terminalGroupId": group if is_order else None,
        "isDelivery": False if is_order else None,
        "isIgnored": False,
        "whenCreated": moment(told.booked_at),
        "whenCreatedOrder": moment(told.effective_at) if is_order else None,
        "comment": None,
        "blockReason": None,
        "nominal": None,
        "apiClientLogin": None,
        "loyaltyUser": told.actor or None,
        "emitentName": None,
        "counteragent": None,
        "counteragentType": None,
        "counteragentTypeName": None,
        "certificate": None,
        "coupon": None,
    }


def _place(store: str, link: Link) -> tuple[str | None, str | None]:
    """Organization and group of terminals of a store; what is of no store, such as expiry, has neither."""
    if store == link.store:
        return identities.organization(link), identities.terminal_group(link)
    return (identities.store_organization(store), identities.store_terminal_group(store)) if store else (None, None)


def _number(told: str) -> int | None:
    """Numbers of orders are whole in the API; tills of other makes have others."""
    return int(told) if told.isascii() and told.isdecimal() and len(told) <= 18 else None


# Counters --------------------------------------------------------------------------------------------------


def counters(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """Of each guest, period and metric a number.

    The specification names periods and metrics by numbers, the service by texts. Each is answered as it was asked: one
    client takes nothing but numbers, another nothing but texts (docs/adapters/iiko.md, "Counters").
    """
    told = fields(request.body)
    check_organization(told, link)
    guests = uuids(told, "guestIds", MAX_CUSTOMERS)
    metrics, periods = _chosen(told, "metrics", METRICS), _chosen(told, "periods", PERIODS)
    today = request.at.astimezone(link.zone).date()
    asked = [(guest, period) for guest in guests for period in periods]
    asks = [ReadTurnover(refs=(Ref("uuid", guest),), since=since(periods[period], today)) for guest, period in asked]
    outcomes = (yield from each(*asks)) if asks else ()
    return said(
        {
            "counters": [
                {"guestId": guest, "period": period, "metric": metric, "value": _value(must(outcome), name)}
                for (guest, period), outcome in zip(asked, outcomes, strict=True)
                for metric, name in metrics.items()
            ]
        }
    )


def _chosen(told: Fields, field: str, known: Sequence[str]) -> dict[str | int, str]:
    """The names by how they were asked for: as texts, or as their places in the list of all.

    Errors: BadMessage for none, which the real service answers with a 500, and for unknown ones.
    """
    names: dict[str | int, str] = {**dict(enumerate(known)), **{name: name for name in known}}
    asked = [_form(value) for value in values(told, field)]
    require(bool(asked) and all(value in names for value in asked), field, f"some of {', '.join(known)}")
    return {value: names[value] for value in asked}


def _form(value: Any) -> str | int:
    """A name, or a place in the list of all; -1 for what is neither."""
    if isinstance(value, Number):
        return int(value) if value.isascii() and value.isdigit() and len(value) < 3 else -1
    return value if isinstance(value, str) else -1


def since(period: str, today: date) -> date | None:
    """The first day of the calendar period that has today in it; nobody has written down whether iiko's are."""
    if period == "AllTime":
        return None
    if period == "Week":
        return today - timedelta(days=today.weekday())
    month = {"Month": today.month, "Quarter": today.month - (today.month - 1) % 3, "Year": 1}.get(period)
    return today if month is None else today.replace(month=month, day=1)


def _value(told: Turnover, metric: str) -> Any:
    return told.visits if metric == ORDERS else amount(told.turnover_minor)
