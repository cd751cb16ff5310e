"""What the scratch books of a simulation say at the end: turnover, discounts, points, by rule and by tier.

Everything is read from the books, sale by sale in bites; goods that came back are taken off turnover and discounts, in
proportion, and what was taken back of points is in their entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import msgspec
from sqlalchemy import BigInteger, String, column

from processing import activity, selects, tables
from processing.activity import Pasts
from processing.allocation import GOODS, Back, came_back, lines_of, parts
from processing.commands import Line
from processing.database import Row, Statement, array, run
from processing.directory import ADJUSTED, EXPIRED, ISSUED, REDEEMED
from processing.documents import ReceiptDocument, decode_document
from processing.execute import Core
from processing.plans import NOT_USABLE, TILL_COMPUTED
from processing.programme.compiled import DISCOUNT, Programme
from processing.simulation.play import Run
from processing.spans import portion
from processing.units import HUNDREDTHS_OF_PERCENT, proportion, worth

# Sales, or wallets, of one look.
BITE = 500

SALES = Statement(
    """
    SELECT o.id, CAST(o.explanation AS TEXT) AS explanation, CAST(r.document AS TEXT) AS document
    FROM receipt r JOIN operation o ON o.id = r.operation_id
    WHERE r.operation_id > :last AND o.kind = 'receipt' ORDER BY r.operation_id LIMIT :most
    """,
    tables.operation.c.id,
    column("explanation", String),
    column("document", String),
)
# What operations moved on the partners' accounts of a unit.
BOOKED = Statement(
    """
    SELECT e.operation_id, a.kind, CAST(sum(e.amount) AS BIGINT) AS amount
    FROM entry e JOIN account a ON a.id = e.account_id
    WHERE e.operation_id IN_IDS(:operations) AND a.partner_id IS NOT NULL AND a.unit = :unit
    GROUP BY e.operation_id, a.kind
    """,
    tables.entry.c.operation_id,
    tables.account.c.kind,
    column("amount", BigInteger),
)
TOTALS = Statement(
    """
    SELECT a.kind, CAST(sum(e.amount) AS BIGINT) AS amount FROM entry e JOIN account a ON a.id = e.account_id
    WHERE a.partner_id IS NOT NULL AND a.unit = :unit GROUP BY a.kind
    """,
    tables.account.c.kind,
    column("amount", BigInteger),
)
OUTSTANDING = Statement(
    """
    SELECT l.price_millionths, CAST(sum(l.remaining) AS BIGINT) AS amount
    FROM lot l JOIN account a ON a.id = l.account_id
    WHERE l.is_open AND a.unit = :unit GROUP BY l.price_millionths
    """,
    tables.lot.c.price_millionths,
    column("amount", BigInteger),
)
WALLETS = Statement(
    "SELECT id FROM wallet WHERE id > :last ORDER BY id LIMIT :most",
    tables.wallet.c.id,
)


class RuleFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How often a rule gave something, how much in all, and of which money; before anything came back.

    ``amount`` is money of a discount, and points of a rule that gives them.
    """

    rule: str
    gives: str
    times: int
    amount: int
    base_minor: int


class TierFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A tier: how many wallets are in it at the end, and what was bought from it."""

    tier: str
    wallets: int = 0
    receipts: int = 0
    turnover_minor: int = 0
    cost_minor: int = 0


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a version of a programme did with the receipts.

    ``turnover_minor`` is what goods cost after discounts, however they were paid. ``till_discount_minor``: what tills
    had taken off. Of points: ``brought`` is what wallets had at the begin and got or lost otherwise, ``outstanding``
    what is left at the end, ``liability_minor`` its value at the prices of its lots. ``cost_minor``: discounts, and
    points issued at their price. ``unpaid``: points that tills took, and that these rules or balances do not give.
    ``over_limits``: receipts beyond a limit of the programme, by its name; ``refused``: what the core did not take.
    """

    receipts: int = 0
    returns: int = 0
    turnover_minor: int = 0
    till_discount_minor: int = 0
    discount_minor: int = 0
    brought: int = 0
    issued: int = 0
    issued_minor: int = 0
    redeemed: int = 0
    expired: int = 0
    outstanding: int = 0
    liability_minor: int = 0
    unpaid: int = 0
    unpaid_receipts: int = 0
    cost_minor: int = 0
    rules: tuple[RuleFigures, ...] = ()
    tiers: tuple[TierFigures, ...] = ()
    over_limits: dict[str, int] = {}
    refused: dict[str, int] = {}

    @property
    def cost_hundredths(self) -> int:
        """The cost in hundredths of a percent of the turnover; rounds down."""
        turnover = self.turnover_minor
        return proportion(max(self.cost_minor, 0), HUNDREDTHS_OF_PERCENT, turnover) if turnover > 0 else 0


@dataclass(slots=True)
class _Sum:
    """Receipts of a tier, or of all."""

    receipts: int = 0
    turnover_minor: int = 0
    discount_minor: int = 0
    issued: int = 0

    def add(self, turnover_minor: int, discount_minor: int, issued: int) -> None:
        self.receipts += 1
        self.turnover_minor += turnover_minor
        self.discount_minor += discount_minor
        self.issued += issued


@dataclass(slots=True)
class _Tally:
    whole: _Sum = field(default_factory=_Sum)
    tiers: dict[str, _Sum] = field(default_factory=dict)
    rules: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def fire(self, rule: str, gives: str, amount: int, base_minor: int) -> None:
        sums = self.rules.setdefault((rule, gives), [0, 0, 0])
        for n, more in enumerate((1, amount, base_minor)):
            sums[n] += more


def figures(one: Run) -> Figures:
    """What the books of a finished run say."""
    core, played, document = one.core, one.played, one.document
    tally = _Tally()
    for rows in _bites(core, SALES):
        _count(core, document.unit, rows, tally)
    with core.work.database.reading() as connection:
        asked = {"unit": document.unit}
        totals, lots = run(connection, [(TOTALS, asked), (OUTSTANDING, asked)])
    booked = {row[0]: row[1] for row in totals}
    whole, price = tally.whole, document.point_price_millionths
    return Figures(
        receipts=whole.receipts,
        returns=played.returns,
        turnover_minor=whole.turnover_minor,
        till_discount_minor=played.till_discount_minor,
        discount_minor=whole.discount_minor,
        brought=-booked.get(ADJUSTED, 0),
        issued=-booked.get(ISSUED, 0),
        issued_minor=worth(-booked.get(ISSUED, 0), price),
        redeemed=booked.get(REDEEMED, 0),
        expired=booked.get(EXPIRED, 0),
        outstanding=sum(row[1] for row in lots),
        liability_minor=sum(worth(row[1], row[0]) for row in lots),
        unpaid=played.unpaid,
        unpaid_receipts=played.unpaid_receipts,
        cost_minor=whole.discount_minor + worth(-booked.get(ISSUED, 0), price),
        rules=tuple(
            RuleFigures(rule=rule, gives=gives, times=sums[0], amount=sums[1], base_minor=sums[2])
            for (rule, gives), sums in sorted(tally.rules.items())
        ),
        tiers=_tiers(one, tally),
        over_limits=dict(played.over_limits),
        refused=dict(played.refused),
    )


def _bites(core: Core, statement: Statement) -> Iterator[list[Row]]:
    """Rows by their ids, some at a time."""
    last = 0
    while True:
        with core.work.database.reading() as connection:
            (rows,) = run(connection, [(statement, {"last": last, "most": BITE})])
        if not rows:
            return
        last = rows[-1][0]
        yield rows


def _count(core: Core, unit: str, rows: Sequence[Row], tally: _Tally) -> None:
    """Add some sales, with what came back of each."""
    with core.work.database.reading() as connection:
        (returned,) = run(connection, [(selects.RETURNS, {"operations": array([row[0] for row in rows])})])
        sale_of = {row[1]: row[0] for row in returned} | {row[0]: row[0] for row in rows}
        asked = {"operations": array(sorted(sale_of)), "unit": unit}
        (booked,) = run(connection, [(BOOKED, asked)])
    back: dict[int, list[Back]] = {}
    for sale, _, told in returned:
        back.setdefault(sale, []).extend(decode_document(told).returned)
    issued: dict[int, int] = {}
    for operation, kind, amount in booked:
        if kind == ISSUED:
            issued[sale_of[operation]] = issued.get(sale_of[operation], 0) - amount
    for number, told, document in rows:
        turnover, off = _kept(decode_document(document), back.get(number, ()))
        stories = msgspec.json.decode(told) if told else []
        tally.whole.add(turnover, off, issued.get(number, 0))
        tier = next((story["facts"]["tier"] for story in stories if story.get("facts", {}).get("tier")), "")
        tally.tiers.setdefault(tier, _Sum()).add(turnover, off, issued.get(number, 0))
        _fire(stories, tally)


def _fire(stories: Iterable[Mapping[str, Any]], tally: _Tally) -> None:
    """The rules that gave something; what a till or nobody has decided is none of theirs."""
    for story in stories:
        for fired in story["rules"]:
            if fired["gives"] == DISCOUNT or story.get("decided") not in (TILL_COMPUTED, NOT_USABLE):
                tally.fire(fired["rule"], fired["gives"], fired["amount"], fired["base_minor"])


def _kept(document: ReceiptDocument, returned: Iterable[Back]) -> tuple[int, int]:
    """What the goods of a receipt that stayed with the customer cost, and what was off."""
    receipt = document.receipt
    back = came_back(lines_of(receipt), returned)
    turnover = off = 0
    for line in lines_of(receipt):
        if line.kind == GOODS:
            discount = line.discount_minor if receipt.lines else receipt.discount_minor
            turnover += _stayed(line, max(line.sum_minor, 0), back)
            off += _stayed(line, max(discount, 0), back)
    return turnover, off


def _stayed(line: Line, amount: int, back: Mapping[int, Back]) -> int:
    return amount - portion(back[line.number].spans, parts(line), amount) if line.number in back else amount


def _tiers(one: Run, tally: _Tally) -> tuple[TierFigures, ...]:
    """Tiers from the lowest up; none for a programme without."""
    said = one.document.tiers
    if said is None:
        return ()
    wallets = _wallets_by_tier(one)
    price = one.document.point_price_millionths
    found = []
    for level in said.levels:
        of_tier = tally.tiers.get(level.tier, _Sum())
        found.append(
            TierFigures(
                tier=level.tier,
                wallets=wallets.get(level.tier, 0),
                receipts=of_tier.receipts,
                turnover_minor=of_tier.turnover_minor,
                cost_minor=of_tier.discount_minor + worth(of_tier.issued, price),
            )
        )
    return tuple(found)


def _wallets_by_tier(one: Run) -> dict[str, int]:
    """In which tier wallets are at the end, as a receipt would find them then."""
    work = one.core.work
    programme = work.directory.programmes[one.document.code].programme
    today = max(one.clock.at.astimezone(store.zone).date() for store in work.directory.stores.values())
    found: dict[str, int] = {}
    for rows in _bites(one.core, WALLETS):
        wallets = [row[0] for row in rows]
        asked = {"wallets": array(wallets)}
        with work.database.reading() as connection:
            did, members = run(connection, [(activity.ACTIVITY, asked), (activity.MEMBERSHIPS, asked)])
        pasts = Pasts()
        pasts.learn(work.vault, work.directory.units, did, members, [])
        for tier in _held(pasts, programme, wallets, today):
            found[tier] = found.get(tier, 0) + 1
    return found


def _held(pasts: Pasts, programme: Programme, wallets: Iterable[int], today: date) -> Iterator[str]:
    for wallet in wallets:
        membership = pasts.membership(wallet, programme, today)
        if membership is not None:
            yield membership.tier
