"""What the core has answered -> what 1C hears."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import Any

from lxml import etree

from adapters.contract import Link, WireResponse
from adapters.onec_discount import wsdl
from adapters.soap import CONTENT_TYPES, Envelope, write_envelope
from processing.results import Identified, LastPurchase, Lots, Turnover
from processing.units import major

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_NAMESPACES: Any = {"m": wsdl.NAMESPACE, "xsi": _XSI}
MONEY_SCALE = 2
# As many days with a change of balance are told; a desk shows a few.
MAX_PERIODS = 100
NOTHING = "0"
NOW = {"ru": "Текущий остаток", "en": "Current balance"}

Row = Mapping[str, str]


def done(envelope: Envelope) -> WireResponse:
    """The document stands as it was sent: anything but ``true`` is a failure to 1C."""

    def fill(answer: etree._Element) -> None:
        _under(answer, "return", "true")

    return _respond(envelope, fill)


def table(envelope: Envelope, rows: Iterable[Row] = ()) -> WireResponse:
    """Rows as the operation's result, which says of which type it is."""
    result = wsdl.RESULTS[envelope.operation]
    item = wsdl.ROWS if result == wsdl.COUPONS_TABLE else wsdl.RESULT

    def fill(answer: etree._Element) -> None:
        told = _under(answer, "return")
        told.set(f"{{{_XSI}}}type", f"m:{result}")
        for row in rows:
            element = _under(told, item)
            for name, value in row.items():
                _under(element, name, value)

    return _respond(envelope, fill)


def turnover(told: Turnover) -> Row:
    """Pieces are not counted in the books: 0."""
    return {"СуммаНакопления": major(told.turnover_minor, MONEY_SCALE), "КоличествоНакопления": NOTHING}


def last_purchase(told: LastPurchase) -> list[Row]:
    """The day at its beginning; no row where nothing was bought."""
    if told.day is None:
        return []
    sums = {"СуммаНакопления": major(told.turnover_minor, MONEY_SCALE), "КоличествоНакопления": NOTHING}
    return [{"ДатаПокупки": f"{told.day.isoformat()}T00:00:00"} | sums]


def balance(found: Identified, at: datetime, link: Link) -> Row:
    """What may be spent now, of a card that may be used."""
    available, scale = points(found, link)
    told = at.astimezone(link.zone).replace(tzinfo=None).isoformat(timespec="seconds")
    return {"ДатаОперации": told, "КоличествоБаллов": major(max(available, 0), scale)}


def points(found: Identified, link: Link) -> tuple[int, int]:
    """What may be spent, less than nothing in debt, and its scale."""
    of_unit = next((each for each in found.balances if each.unit == link.options["unit"]), None)
    if of_unit is None or found.usable:
        return 0, MONEY_SCALE
    return of_unit.available, of_unit.scale


def periods(found: Identified, lots: Lots, link: Link) -> list[Row]:
    """The balance now, and after each day on which points begin or end, by what the lots hold today."""
    left, scale = points(found, link)
    rows = [_period(NOW[link.options["language"]], left, 0, scale, is_now=True)]
    changes = {} if found.usable else _changes(lots, link)
    for on, change in sorted(changes.items())[:MAX_PERIODS]:
        left += change
        rows.append(_period(f"{on:%d.%m.%Y}", left, change, scale))
    return rows


def _changes(lots: Lots, link: Link) -> dict[date, int]:
    """What comes and goes, by the day of the store on which it is so for the first time."""
    changes: dict[date, int] = {}
    for lot in lots.lots:
        if lot.unit != link.options["unit"] or lot.is_debt:
            continue
        free = lot.remaining - lot.held
        if lot.available_from > lots.as_of:
            _add(changes, lot.available_from, free, link)
        if lot.expires_at is not None and lot.expires_at > lots.as_of:
            _add(changes, lot.expires_at, -free, link)
    return {on: change for on, change in changes.items() if change}


def _add(changes: dict[date, int], at: datetime, amount: int, link: Link) -> None:
    on = at.astimezone(link.zone).date()
    changes[on] = changes.get(on, 0) + amount


def _period(words: str, left: int, change: int, scale: int, is_now: bool = False) -> Row:
    return {
        "ПредставлениеПериода": words,
        "КоличествоБаллов": major(max(left, 0), scale),
        "Изменение": major(change, scale),
        "ТекущийОстаток": "true" if is_now else "false",
    }


def _respond(envelope: Envelope, fill: Callable[[etree._Element], None]) -> WireResponse:
    """In the version of SOAP in which the call came."""

    def whole(body: etree._Element) -> None:
        name = f"{{{wsdl.NAMESPACE}}}{envelope.operation}Response"
        fill(etree.SubElement(body, name, nsmap=_NAMESPACES))

    return WireResponse(write_envelope(envelope.version, whole), CONTENT_TYPES[envelope.version])


def _under(parent: etree._Element, name: str, text: str | None = None) -> etree._Element:
    element = etree.SubElement(parent, f"{{{wsdl.NAMESPACE}}}{name}")
    element.text = text
    return element
