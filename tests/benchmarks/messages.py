"""FarCards messages as bytes: receipts of 3-4 KB and card look-ups, each with a key and a card of its own.

Shapes and units: protocol page, sections 3.3, 3.4 and 4.3 A/B (kopecks in records, roubles in the check).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import load

RESTAURANT_CODE = "310070003"
RESTAURANT = "3"
POINTS_CURRENCY = "10"
DISCOUNT_CODE = 7
REDEEMED = 10_000
"""Kopecks that every fifth receipt pays from the purse."""

VARIANTS = 40
"""Different totals."""

STEP = 1_000_003
"""A prime above any number of cards: neighbours in time are strangers in the index."""

GOODS = (("301", "Суп дня", 40_000), ("302", "Чай чёрный", 15_000), ("415", "Салат с цыплёнком", 52_000))
GUID = "{{11111111-2222-4333-8444-5555555555{:02d}}}"
CASH, POINTS, VAT, SILVER = GUID.format(41), GUID.format(42), GUID.format(21), GUID.format(31)


@dataclass(frozen=True)
class Cards:
    """The seeded cards: numbers and account numbers that follow each other."""

    count: int
    first_number: int
    first_account: int


@dataclass(frozen=True)
class Line:
    code: str
    name: str
    price: int
    discount: int
    by_points: int

    @property
    def sum(self) -> int:
        return self.price - self.discount


class Template:
    """Bytes with ``@name@`` holes."""

    def __init__(self, text: str) -> None:
        self.parts = re.split(rb"@(\w+)@", text.encode())
        self.holes = [(i, self.parts[i]) for i in range(1, len(self.parts), 2)]

    def fill(self, values: dict[bytes, bytes]) -> bytes:
        parts = self.parts.copy()
        for i, name in self.holes:
            parts[i] = values[name]
        return b"".join(parts)


def receipts(path: str, host: str, cards: Cards, run: str) -> Iterator[bytes]:
    """Endless POSTs of closed receipts; every fifth redeems. ``run`` (8 hex digits) makes their keys new."""
    head = load.head(path, host)
    now = datetime.now().replace(microsecond=0)
    plain = [Template(receipt(variant, False, now)) for variant in range(VARIANTS)]
    paying = [Template(receipt(variant, True, now)) for variant in range(VARIANTS)]
    for i in itertools.count():
        number, account = _card(cards, i)
        # The second round over the cards redeems on other ones than the first.
        templates = paying if (i + i // cards.count) % 5 == 0 else plain
        body = templates[i % VARIANTS].fill(
            {
                b"card": number,
                b"account": account,
                b"guid": b"%s-0000-4000-8000-%012X" % (run.encode(), i),
                b"check": b"%d" % (100_000 + i),
            }
        )
        yield b"%s%d\r\n\r\n%s" % (head, len(body), body)


def lookups(path: str, host: str, cards: Cards) -> Iterator[bytes]:
    """Endless POSTs that ask for one card after another."""
    head = load.head(path, host)
    template = Template(LOOKUP.format(now=datetime.now().replace(microsecond=0), today=datetime.now().date()))
    for i in itertools.count():
        body = template.fill({b"card": _card(cards, i)[0]})
        yield b"%s%d\r\n\r\n%s" % (head, len(body), body)


def _card(cards: Cards, i: int) -> tuple[bytes, bytes]:
    place = i * STEP % cards.count
    return b"%d" % (cards.first_number + place), b"%d" % (cards.first_account + place)


def receipt(variant: int, redeems: bool, now: datetime) -> str:
    """One closed receipt with three dishes and 5 % off; holes for card, account, guid and check."""
    points = REDEEMED if redeems else 0
    lines = [
        Line(code, name, price := base + 100 * variant, price // 20, points if n == 0 else 0)
        for n, (code, name, base) in enumerate(GOODS)
    ]
    return DOCUMENT.format(
        records="".join(_records(lines, points, now)),
        now=now.isoformat(),
        started=(now - timedelta(minutes=42)).isoformat(),
        today=now.date(),
        lines="".join(_line(n, line) for n, line in enumerate(lines, 1)),
        total=_roubles(sum(line.sum for line in lines)),
        discount=_roubles(-sum(line.discount for line in lines)),
        payments="".join(_payments(lines, points)),
        payment_count=2 if redeems else 1,
        vat=_roubles(sum(line.sum for line in lines) // 6),
        restaurantcode=RESTAURANT_CODE,
        discount_code=DISCOUNT_CODE,
        silver=SILVER,
        tax=VAT,
    )


def _records(lines: list[Line], points: int, now: datetime) -> Iterator[str]:
    own = sum(line.sum for line in lines) - points
    movements = [(1, -sum(line.discount for line in lines)), (3, own)]
    if points:
        movements.insert(0, (0, -points))
    for kind, amount in movements:
        yield RECORD.format(kind=kind, amount=amount, today=now.date(), restaurant=RESTAURANT)


def _line(n: int, line: Line) -> str:
    paid = f'<LINEPAYMENT id="{CASH}" sum="{_roubles(line.sum - line.by_points)}"/>'
    if line.by_points:
        paid = f'<LINEPAYMENT id="{POINTS}" sum="{_roubles(line.by_points)}"/>' + paid
    return LINE.format(
        id=GUID.format(10 + n),
        code=line.code,
        name=line.name,
        uni=3 + n,
        price=_roubles(line.price),
        sum=_roubles(line.sum),
        vat=_roubles(line.sum // 6),
        discount=_roubles(-line.discount),
        paid=paid,
        silver=SILVER,
        tax=VAT,
    )


def _payments(lines: list[Line], points: int) -> Iterator[str]:
    cash = _roubles(sum(line.sum for line in lines) - points)
    if points:
        yield PURSE.format(id=POINTS, code=POINTS_CURRENCY, sum=_roubles(points))
    yield f'<PAYMENT id="{CASH}" code="1" name="Наличные" uni="19" paytype="1" bsum="{cash}" sum="{cash}"/>'


def _roubles(kopecks: int) -> str:
    """As r_keeper writes them: trailing zeros dropped."""
    sign = "-" if kopecks < 0 else ""
    text = f"{abs(kopecks) // 100}.{abs(kopecks) % 100:02d}"
    return sign + text.rstrip("0").rstrip(".")


RECORD = (
    '<TransactionsEx Card="@card@" PersonID="@account@" Account="@account@" Kind="{kind}" '
    'Summa="{amount}" Restaurant="{restaurant}" RKDate="{today}T00:00:00" RKUnit="5" RKCheck="@check@" '
    'VatSumA="0" VatPrcA="0"/>\n'
)
LINE = (
    '<LINE id="{id}" code="{code}" name="{name}" uni="{uni}" type="dish" price="{price}" '
    'pr_list_sum="{price}" categ_id="" servprint_id="" quantity="1" sum="{sum}">'
    '<LINETAXES count="1"><TAX id="{tax}" sum="{vat}"/></LINETAXES>'
    '<DISCOUNTS><DISCOUNTPART id="{silver}" disclineuni="9" sum="{discount}"/></DISCOUNTS>'
    "<LINEPAYMENTS>{paid}</LINEPAYMENTS></LINE>\n"
)
PURSE = (
    '<PAYMENT id="{id}" code="{code}" name="Баллы" uni="14" paytype="3" interface="11" cardcode="@card@" '
    'account="@account@" ownerinfo="" exttransactioninfo="" bsum="{sum}" sum="{sum}"/>'
)
DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>
<ROOT><Transactions>
{records}</Transactions><INPBUF>\
<CHECK stationcode="5" restaurantcode="{restaurantcode}" cashservername="MID-SPB-3" \
generateddatetime="{now}" chmode="1" locale="1049" shiftdate="{today}" shiftnum="212">
<EXTINFO reservation=""><INTERFACES current="1000777">\
<INTERFACE type="PDS" id="1000777" mode="1" interface="11"><HOLDERS><ITEM cardcode="@card@"/></HOLDERS>\
<ALLCARDS><ITEM cardcode="@card@"/></ALLCARDS></INTERFACE></INTERFACES></EXTINFO>
<CHECKDATA checknum="@check@" printnum="1" fiscdocnum="0" delprintnum="0" delfiscdocnum="0" extfiscid="" \
tablename="12" startservice="{started}" closedatetime="{now}" ordernum="1311/1" guests="2" \
orderguid="{{@guid@}}" checkguid="{{@guid@}}" order_cat="1" order_type="9001" persistentcomment="">
<CHECKPERSONS count="1">\
<PERSON id="{{11111111-2222-4333-8444-555555555501}}" name="Анна" code="34" role="7"/>\
</CHECKPERSONS>
<CHECKLINES count="3">
{lines}</CHECKLINES>
<CHECKCATEGS count="1"><CATEG id="0" code="0" name="" sum="{total}" discsum="{discount}"/></CHECKCATEGS>
<CHECKDISCOUNTS count="1"><DISCOUNT id="{silver}" code="{discount_code}" name="Silver 5%" uni="9" interface="11" \
cardcode="@card@" account="@account@" sum="{discount}"/></CHECKDISCOUNTS>
<CHECKPAYMENTS count="{payment_count}">{payments}</CHECKPAYMENTS>
<CHECKTAXES count="1"><TAX id="{tax}" code="1" rate="20" sum="{vat}" name="НДС"/></CHECKTAXES><CURRENCIES/>
</CHECKDATA></CHECK></INPBUF></ROOT>
"""
LOOKUP = """<?xml version="1.0" encoding="UTF-8"?>
<ROOT><QRY Card="@card@" Restaurant="3" UnitNo="5"><INPBUF>\
<CHECK stationcode="5" restaurantcode="310070003" cashservername="MID-SPB-3" \
generateddatetime="{now:%Y-%m-%dT%H:%M:%S}" chmode="5" locale="1049" shiftdate="{today}" shiftnum="212">\
<EXTINFO reservation=""><INTERFACES current="1000777">\
<INTERFACE type="PDS" id="1000777" mode="0" interface="11"><HOLDERS><ITEM cardcode="@card@"/></HOLDERS>\
<ALLCARDS/></INTERFACE></INTERFACES></EXTINFO></CHECK></INPBUF></QRY></ROOT>
"""
