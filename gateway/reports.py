"""Reports of account as REST and the command line tell them: decimal texts in major units, under one set of names."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from processing.directory import Directory
from processing.liability import LIABILITY_COLUMNS, Liability
from processing.periods import Period
from processing.settlement import COLUMNS, NET, Figure, Settlement
from processing.units import major

SETTLEMENT_COLUMNS = (*COLUMNS, NET)

Told = dict[str, Any]
Figures = Mapping[str, Figure]


def settlement_told(directory: Directory, report: Settlement, money_scale: int) -> Told:
    """The pairs, their sums by unit, and what is left when pairs are set off."""
    figures = _figures(directory, SETTLEMENT_COLUMNS, money_scale)
    return {
        **_head(report.period, report),
        "rows": [
            {"issuer": row.issuer, "partner": row.partner, **figures(row.unit, row.figures)} for row in report.rows
        ],
        "totals": [figures(unit, total) for unit, total in report.totals.items()],
        "owed": [
            {
                "unit": owed.unit,
                "debtor": owed.debtor,
                "creditor": owed.creditor,
                "amount": major(owed.figure.amount, directory.unit(owed.unit).scale),
                "money": major(owed.figure.money, money_scale),
            }
            for owed in report.owed
        ],
    }


def liability_told(directory: Directory, report: Liability, money_scale: int) -> Told:
    """The issuers, and their sums by unit."""
    figures = _figures(directory, LIABILITY_COLUMNS, money_scale)
    return {
        **_head(report.period, report),
        "rows": [{"issuer": row.issuer, **figures(row.unit, row.figures)} for row in report.rows],
        "totals": [figures(unit, total) for unit, total in report.totals.items()],
    }


def seen_settlement(report: Settlement, partners: frozenset[str] | None) -> Settlement:
    """What these partners may see of it: the pairs that they are part of. ``None`` sees all."""
    if partners is None:
        return report
    return replace(report, rows=tuple(row for row in report.rows if {row.issuer, row.partner} & partners))


def seen_liability(report: Liability, partners: frozenset[str] | None) -> Liability:
    """What these partners may see of it: their own rows. ``None`` sees all."""
    if partners is None:
        return report
    return replace(report, rows=tuple(row for row in report.rows if row.issuer in partners))


def partners_of(directory: Directory, stores: frozenset[str] | None) -> frozenset[str] | None:
    """The partners all of whose stores are among these; what is a partner's as a whole is no single store's to see."""
    if stores is None:
        return None
    known = {store.partner_id for store in directory.stores.values()}
    missing = {store.partner_id for store in directory.stores.values() if store.code not in stores}
    return frozenset(directory.partner_code(partner_id) for partner_id in known - missing)


def _head(period: Period, report: Settlement | Liability) -> Told:
    return {
        "from": period.first,
        "to": period.until,
        "zone": period.zone.key,
        "read_at": report.at,
        "is_final": report.is_final,
    }


def _figures(directory: Directory, names: tuple[str, ...], money_scale: int) -> Callable[[str, Figures], Told]:
    def told(unit: str, figures: Figures) -> Told:
        scale = directory.unit(unit).scale
        return {
            "unit": unit,
            **{name: major(figures[name].amount, scale) for name in names},
            "money": {name: major(figures[name].money, money_scale) for name in names},
        }

    return told


# As text ---------------------------------------------------------------------------------------------------------


def as_csv(told: Told, names: tuple[str, ...]) -> str:
    """The rows with a header: names first, then every column in the unit, then the same in money."""
    places = ["unit", "issuer", "partner"] if names == SETTLEMENT_COLUMNS else ["unit", "issuer"]
    header = [*places, *names, *(f"{name}_money" for name in names)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in told["rows"]:
        writer.writerow([row[name] for name in (*places, *names)] + [row["money"][name] for name in names])
    return text.getvalue()


def as_text(told: Told, names: tuple[str, ...]) -> Iterator[str]:
    """Lines for a terminal; of every row what is not zero, in the unit and in money."""
    state = "final" if told["is_final"] else "not final: more may be booked in it"
    yield f"{told['from']} to {told['to']} (not included), {told['zone']}; {state}"
    for row in told["rows"]:
        yield f"{row['unit']} {' -> '.join(row[name] for name in ('issuer', 'partner') if name in row)}"
        for name in names:
            if row[name].strip("-0.") or row["money"][name].strip("-0."):
                yield f"    {name:<14} {row[name]:>18} {row['money'][name]:>18}"
    for owed in told.get("owed", ()):
        yield f"{owed['debtor']} owes {owed['creditor']} {owed['amount']} {owed['unit']}: {owed['money']} in money"
