"""Receipts in a file, one JSON object a line, ready for a simulation (docs/simulation.md has the format)."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from processing.chain import Chain, Product
from processing.commands import MAX_LINES, Line, Receipt, ReturnLine, Tender
from processing.errors import ConfigError
from processing.simulation.events import Back, CardPart, Event, Opening, Sale
from processing.units import MONEY, POINTS, THOUSAND, proportion, scaled

MAX_LINE_BYTES = 1_000_000
# Mistakes of one file that are told at once.
MAX_PROBLEMS = 20
BITE = 500

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Text = Annotated[str, msgspec.Meta(max_length=255)]


class LineTold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``sum`` is what it cost in the end; without it ``price`` times ``quantity``, less ``discount``."""

    number: int = 0
    goods: Text = ""
    category: Text = ""
    brand: Text = ""
    quantity: Decimal = Decimal(1)
    price: Decimal | None = None
    sum: Decimal | None = None
    discount: Decimal = Decimal(0)


class TenderTold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    code: Name
    kind: Literal["cash", "bank_card", "purse", "other"] = "other"
    amount: Decimal = Decimal(0)


class PayTold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    unit: Name
    amount: Decimal


class ReceiptTold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``return_of`` names the ``id`` of an earlier line, of which these lines come back; without lines all of it."""

    card: Name | None = None
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    store: Name
    till: Name = "1"
    number: Annotated[str, msgspec.Meta(max_length=64)] = ""
    id: Annotated[str, msgspec.Meta(max_length=64)] = ""
    product: Name | None = None
    lines: Annotated[tuple[LineTold, ...], msgspec.Meta(max_length=MAX_LINES)] = ()
    total: Decimal | None = None
    discount: Decimal = Decimal(0)
    tenders: tuple[TenderTold, ...] = ()
    pay: PayTold | None = None
    return_of: Annotated[str, msgspec.Meta(max_length=64)] = ""


_decode = msgspec.json.Decoder(ReceiptTold).decode


class FileSource:
    """The receipts of a file, in the order of their times. Errors: ConfigError with file, line and what is wrong.

    All of the file is checked before anything is played. ``kept`` is a file for their order.
    """

    def __init__(self, file: Path, chain: Chain, programme: str, kept: str) -> None:
        self._file, self._programme, self._kept = file, programme, kept
        self._stores = {store.code for store in chain.stores}
        self._units = {unit.code: unit for unit in chain.units}
        self._money_scale = min((unit.scale for unit in chain.units if unit.kind == MONEY), default=2)
        self._products = {product.code: product for product in chain.products}
        self._usual = product_of(chain, programme)
        self.starts_at, self.ends_at, self.operations = self._put_in_order()

    def _put_in_order(self) -> tuple[datetime, datetime, int]:
        problems: list[str] = []
        with closing(sqlite3.connect(self._kept)) as kept, kept:
            kept.execute("PRAGMA synchronous=OFF")
            kept.execute("CREATE TABLE place (at INTEGER, n INTEGER, body BLOB, PRIMARY KEY (at, n)) WITHOUT ROWID")
            for n, body in self._lines():
                try:
                    at = (self._event(n, body).at - _EPOCH) // _MICROSECOND
                    kept.execute("INSERT INTO place VALUES (?, ?, ?)", (at, n, body))
                except ValueError as error:
                    problems.append(f"{self._file}:{n}: {error}")
                    if len(problems) == MAX_PROBLEMS:
                        break
            if problems:
                raise ConfigError("\n".join(problems))
            first, last, count = kept.execute("SELECT min(at), max(at), count(*) FROM place").fetchone()
        if not count:
            raise ConfigError(f"{self._file}: no receipts in it")
        return _EPOCH + first * _MICROSECOND, _EPOCH + last * _MICROSECOND, count

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Each line that says something, with its number."""
        try:
            with self._file.open("rb") as file:
                n = 0
                while line := file.readline(MAX_LINE_BYTES + 1):
                    n += 1
                    if len(line) > MAX_LINE_BYTES:
                        raise ConfigError(f"{self._file}:{n}: longer than {MAX_LINE_BYTES} bytes")
                    if line.strip():
                        yield n, line
        except OSError as error:
            raise ConfigError(f"{self._file}: cannot be read: {error.strerror}") from None

    def bites(self) -> Iterator[list[Event]]:
        """The receipts by their times, those of one instant by their lines."""
        at, n = -(2**63), 0
        with closing(sqlite3.connect(self._kept)) as kept:
            while True:
                found = kept.execute(
                    "SELECT at, n, body FROM place WHERE (at, n) > (?, ?) ORDER BY at, n LIMIT ?", (at, n, BITE)
                ).fetchall()
                if not found:
                    return
                at, n, _ = found[-1]
                yield [self._event(number, body) for _, number, body in found]

    def openings(self, wallets: Sequence[int]) -> list[Opening]:
        """Cards of a file begin with nothing."""
        return []

    # One line -------------------------------------------------------------------------------------------------

    def _event(self, n: int, body: bytes) -> Event:
        """Errors: ValueError that says what is wrong."""
        try:
            told = _decode(body)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError as error:
            raise ValueError(f"not JSON: {error}") from None
        if told.store not in self._stores:
            raise ValueError(f"store: found {told.store!r}, expected one of {', '.join(sorted(self._stores))}")
        at = told.at.astimezone(UTC)
        lines = tuple(self._line(i, line, bool(told.return_of)) for i, line in enumerate(told.lines, 1))
        total = sum(line.sum_minor for line in lines) if told.total is None else self._money("total", told.total)
        receipt = Receipt(
            number=told.number or str(n),
            till=told.till,
            business_date=told.at.date(),
            total_minor=total,
            discount_minor=self._money("discount", told.discount),
            lines=lines,
            tenders=tuple(
                Tender(code=each.code, kind=each.kind, amount_minor=self._money("tenders", each.amount))
                for each in told.tenders
            ),
        )
        key = told.id or f"line-{n}"
        if told.return_of:
            back = tuple(
                ReturnLine(number=line.number, quantity_thousandths=line.quantity_thousandths) for line in lines
            )
            return Back(
                key=key,
                at=at,
                store=told.store,
                receipt=receipt,
                sale=told.return_of,
                sale_store=told.store,
                lines=back,
            )
        if not told.lines and told.total is None:
            raise ValueError("lines: missing, expected lines or a total")
        return Sale(key=key, at=at, store=told.store, receipt=receipt, cards=(self._card(told),))

    def _card(self, told: ReceiptTold) -> CardPart:
        if told.card is None:
            raise ValueError("card: missing, expected a name of the card")
        product = self._products.get(told.product) if told.product else self._usual
        if product is None or product.programme != self._programme:
            known = [each.code for each in self._products.values() if each.programme == self._programme]
            raise ValueError(
                f"product: found {told.product!r}, expected one of the programme: {', '.join(known) or 'none'}"
            )
        pay, unit = 0, ""
        if told.pay is not None:
            unit = told.pay.unit
            if unit not in self._units or self._units[unit].kind != POINTS:
                raise ValueError(f"pay: unit: found {unit!r}, expected a unit of points")
            pay = _scaled("pay: amount", told.pay.amount, self._units[unit].scale)
        return CardPart(card=told.card, wallet=wallet_of(told.card), product=product.code, unit=unit, pay=pay)

    def _line(self, i: int, told: LineTold, is_back: bool) -> Line:
        where = f"lines: {i}"
        quantity = _scaled(f"{where}: quantity", told.quantity, 3)
        price = None if told.price is None else self._money(f"{where}: price", told.price)
        discount = self._money(f"{where}: discount", told.discount)
        if told.sum is not None:
            cost = self._money(f"{where}: sum", told.sum)
        elif price is not None:
            cost = max(proportion(price, quantity, THOUSAND) - discount, 0)
        elif is_back:
            cost = 0
        else:
            raise ValueError(f"{where}: sum: missing, expected sum or price")
        if price is None:
            price = proportion(cost + discount, THOUSAND, quantity) if quantity else cost
        return Line(
            number=told.number or i,
            goods=told.goods,
            category=told.category,
            brand=told.brand,
            quantity_thousandths=quantity,
            price_minor=price,
            sum_minor=cost,
            discount_minor=discount,
        )

    def _money(self, where: str, amount: Decimal) -> int:
        return _scaled(where, amount, self._money_scale)


def _scaled(where: str, amount: Decimal, scale: int) -> int:
    """Errors: ValueError for what is less than nothing or has too many digits."""
    text: Any = format(amount, "f")
    try:
        found = scaled(text, scale)
    except ValueError:
        raise ValueError(f"{where}: found {text[:40]}, expected at most {scale} digits after the point") from None
    if found < 0:
        raise ValueError(f"{where}: found {text[:40]}, expected nothing below zero")
    return found


def product_of(chain: Chain, programme: str) -> Product | None:
    """The kind of card that is meant where a receipt does not say: the programme's first that is no gift card."""
    return next((each for each in chain.products if each.programme == programme and not each.value), None)


def wallet_of(card: str) -> int:
    """A number for a card of a file; the same name has always the same."""
    return int.from_bytes(hashlib.blake2b(card.encode(), digest_size=8).digest()) >> 2
