"""The reconciliation of 1C's receipts with what tills have booked, as REST and the command line tell it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.settings import LinkSettings
from processing.directory import Directory
from processing.errors import BadMessage
from processing.reconciliation import (
    DIFFERS,
    MATCHED,
    NO_RECEIPT,
    NOT_BOOKED,
    UNKNOWN_CARD,
    VERDICTS,
    WAITING,
    Asked,
    Reconciliation,
    Row,
)
from processing.units import QUANTITY_SCALE, major

# Whose calls carry no receipt, and how what they book is known: docs/adapters/onec.md, "Request keys".
LIKENESS = "onec:"
RECEIPTS = "receipts"

COLUMNS = (
    "verdict",
    "kind",
    "account",
    "expected",
    "booked",
    "document",
    "closed_at",
    "is_return",
    "sale",
    "till",
    "total",
    "operation_id",
    "booked_at",
    "login",
    "alike",
)
WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        MATCHED: "agrees",
        NOT_BOOKED: "never booked: the till's call was lost",
        DIFFERS: "the amounts differ",
        NO_RECEIPT: "no receipt: rung twice, or the sale was cancelled",
        UNKNOWN_CARD: "nobody knows the card",
        WAITING: "waits",
        "redemption": "redemption",
        "accrual": "accrual",
        "head": "{link}, {store}, {unit}: {since} to {until}",
        "row": "{at}  {kind}, account {account}: {words}",
        "amounts": "      by the receipt {expected}, booked {booked}",
        "sale": "      receipt {document} of {closed_at}",
        "return": "      return {document} of {closed_at}",
        "operation": "      operation {operation_id} of {booked_at}, by {login}",
        "alike": " (alike: equal to the one before it)",
        "none": "nothing",
    },
    "ru": {
        MATCHED: "сходится",
        NOT_BOOKED: "не проведено: вызов кассы потерян",
        DIFFERS: "суммы расходятся",
        NO_RECEIPT: "нет чека: пробито дважды или продажа отменена",
        UNKNOWN_CARD: "карта никому не известна",
        WAITING: "ожидает",
        "redemption": "списание",
        "accrual": "начисление",
        "head": "{link}, {store}, {unit}: {since} – {until}",
        "row": "{at}  {kind}, счёт {account}: {words}",
        "amounts": "      по чеку {expected}, проведено {booked}",
        "sale": "      чек {document} от {closed_at}",
        "return": "      возврат {document} от {closed_at}",
        "operation": "      операция {operation_id} от {booked_at}, касса {login}",
        "alike": " (alike: равна предыдущей)",
        "none": "ничего",
    },
}
LANGUAGES = tuple(WORDS)

Told = dict[str, Any]


def asked_of(
    links: Mapping[str, LinkSettings],
    code: str,
    since: datetime,
    until: datetime,
    window_minutes: int,
    wait_hours: int,
) -> Asked:
    """What to compare for a link. Errors: BadMessage for one that pulls no receipts, or names tills that are none."""
    link = links[code]
    if RECEIPTS not in link.options.get("pull", ()):
        raise BadMessage("this link pulls no receipts: its option pull has none", where="link", value=code)
    tills = frozenset(link.options["till_links"])
    if strange := sorted(tills - links.keys()):
        raise BadMessage(f"its option till_links names no link: {strange[0]}", where="link", value=code)
    if strange := sorted(till for till in tills if links[till].store != link.store):
        raise BadMessage(f"its option till_links names a link of another store: {strange[0]}", where="link", value=code)
    return Asked(
        store=link.store,
        unit=link.options["unit"],
        likeness=LIKENESS,
        since=since,
        until=until,
        links=tills,
        near=timedelta(minutes=window_minutes),
        late=timedelta(hours=wait_hours),
    )


def told(directory: Directory, link: str, found: Reconciliation, with_matched: bool, money_scale: int) -> Told:
    """Decimal texts in major units; how many rows there are of each verdict, also of those that are left out."""
    asked, scale = found.asked, directory.unit(found.asked.unit).scale
    rows = [row for row in found.rows if with_matched or row.verdict != MATCHED]
    return {
        "link": link,
        "store": asked.store,
        "unit": asked.unit,
        "since": asked.since,
        "until": asked.until,
        "read_at": found.at,
        "agrees": found.agrees,
        "counts": {verdict: found.counts[verdict] for verdict in VERDICTS},
        "rows": [_row(row, found, scale, money_scale) for row in rows],
    }


def _row(row: Row, found: Reconciliation, scale: int, money_scale: int) -> Told:
    """What stands in no receipt, or in no operation, is ``None``."""
    receipt, booked = row.side.receipt if row.side else None, row.booked
    total = receipt.total_minor if receipt else None
    return {
        "verdict": row.verdict,
        "kind": row.one.kind,
        "account": row.one.wallet or 0,
        "expected": major(row.side.amount, scale) if row.side else None,
        "booked": major(booked.amount, scale) if booked else None,
        "document": receipt and receipt.document,
        "closed_at": receipt and receipt.at,
        "is_return": receipt and bool(receipt.is_return),
        "sale": receipt and receipt.sale,
        "till": receipt and receipt.till,
        "total": None if total is None else major(total, money_scale),
        "operation_id": booked and booked.operation_id,
        "booked_at": booked and booked.at,
        "login": booked and booked.owner,
        "alike": booked and booked.is_alike,
        "lines": [
            {
                "goods": line.goods,
                "quantity": major(line.quantity_thousandths, QUANTITY_SCALE),
                "sum": major(line.sum_minor, money_scale),
            }
            for line in found.lines.get(receipt.document if receipt else "", ())
        ],
    }


# As text ---------------------------------------------------------------------------------------------------------


def as_json(report: Told) -> str:
    return msgspec.json.encode(report).decode()


def as_csv(report: Told) -> str:
    """A header and a line for each row; what is not there is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in report["rows"]:
        writer.writerow([_cell(row[name]) for name in COLUMNS])
    return text.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, datetime) else "" if value is None else str(value)


def as_text(directory: Directory, report: Told, language: str) -> Iterator[str]:
    """Lines for a terminal, by the store's clock."""
    words, zone = WORDS[language], directory.store(report["store"]).zone

    def shown(row: Told) -> Told:
        local = {
            name: f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}" for name, at in row.items() if isinstance(at, datetime)
        }
        return {**row, **local}

    yield words["head"].format(**shown(report))
    yield (
        "; ".join(f"{words[verdict]}: {count}" for verdict, count in report["counts"].items() if count) or words["none"]
    )
    for row in map(shown, report["rows"]):
        at = row["closed_at"] or row["booked_at"]
        yield words["row"].format(at=at, kind=words[row["kind"]], account=row["account"], words=words[row["verdict"]])
        amounts = {name: row[name] or words["none"] for name in ("expected", "booked")}
        yield words["amounts"].format(**amounts)
        if row["document"]:
            yield words["return" if row["is_return"] else "sale"].format(**row)
        if row["operation_id"]:
            yield words["operation"].format(**row) + (words["alike"] if row["alike"] else "")
