"""A small chain with its books: what tests ask of it, and the laws that hold in it after every step.

Two partners (alpha with two stores, beta with one), four units, ten products. ``Books`` gives cards with
points on them, builds receipts, reads rows, and ``check_laws`` looks at everything that was ever booked.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, TypeVar

import msgspec
from sqlalchemy import text

from processing.chain import Chain, Partner, Product, Store
from processing.commands import (
    Adjust,
    Amount,
    CardUse,
    Command,
    IssueCard,
    Line,
    PostReceipt,
    ReadBalances,
    Receipt,
    Ref,
    TopUp,
    VoidReceipt,
)
from processing.database import Clock, Database
from processing.directory import sync
from processing.errors import LoyaltyError
from processing.execute import Core, Outcome
from processing.programme.document import ProgrammeDocument, simple
from processing.results import Balance, Balances, CardIssued, Result
from processing.secrets import MasterKeys, load_vault
from processing.units import Unit

R = TypeVar("R", bound=Result)

KEYS = MasterKeys(b"m" * 32, b"i" * 32)
NOON = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
"""Noon in Moscow, a Monday; where every still clock begins."""

MONEY, POINTS, STAMPS = "RUB", "BONUS", "STAMP"
MOSCOW, URAL, ALMATY = "alpha-1", "alpha-2", "beta-1"
"""Stores: the first two belong to alpha, the third to beta."""

PLAIN, SLOW, YEARLY, GIFT = "plain", "slow", "yearly", "gift"
"""Products: points at once; half payable, points pending for a week and gone in 30 days; a card valid for 30
days; a gift card."""

MILES = "MILES"
FORGIVING, DEDUCTING, GRACED, PINNED = "forgiving", "deducting", "graced", "pinned"
"""Products: of programmes that forgive or deduct points which are spent when goods come back; that let points given
back to an expired lot live for a week; a gift card for a year that pays with its PIN."""

BRIEF, CERTIFICATE = "brief", "certificate"
"""Products: points from tomorrow for ten days, with deductions; a gift card that is sold for 5.00 or 10.00 and lives
for 60 days."""


@dataclass(frozen=True)
class Short:
    """A programme of the short form: 5 % back at once, everything payable with points, points live for a year."""

    code: str
    unit: str = POINTS
    cashback_hundredths: int = 500
    payable_hundredths: int = 10_000
    pending_days: int = 0
    expires_days: int | None = 365
    discount: str = ""
    bonus: str = ""
    excluded_categories: tuple[str, ...] = ()
    minimum_price_minor: int = 0
    return_policy: Literal["debt", "deduct", "forgive"] = "debt"
    return_grace_days: int = 0


def programme(code: str, **changes: Any) -> ProgrammeDocument:
    return simple(**asdict(Short(code, **changes)))


def product(code: str, prefix: str, programme: str = PLAIN, **changes: Any) -> Product:
    fields: dict[str, Any] = {
        "code": code,
        "name": code.title(),
        "kind": "bearer",
        "prefix": prefix,
        "length": 16,
        "luhn": True,
        "valid_days": None,
        "value": False,
        "programme": programme,
    }
    return Product(**fields | changes)


SHORT = {
    PLAIN: Short(PLAIN),
    SLOW: Short(SLOW, payable_hundredths=5_000, pending_days=7, expires_days=30),
    FORGIVING: Short(FORGIVING, return_policy="forgive"),
    DEDUCTING: Short(DEDUCTING, return_policy="deduct"),
    GRACED: Short(GRACED, unit=MILES, return_grace_days=7),
    BRIEF: Short(BRIEF, pending_days=1, expires_days=10, return_policy="deduct"),
}
PROGRAMMES = {code: simple(**asdict(short)) for code, short in SHORT.items()}
CHAIN = Chain(
    code="north",
    name="North",
    units=(Unit(MONEY, "money", 2), Unit(POINTS, "points", 2), Unit(STAMPS, "points", 0), Unit(MILES, "points", 2)),
    partners=(Partner("alpha", "Alpha"), Partner("beta", "Beta")),
    stores=(
        Store(MOSCOW, "Moscow", "alpha", "Europe/Moscow"),
        Store(URAL, "Ural", "alpha", "Asia/Yekaterinburg"),
        Store(ALMATY, "Almaty", "beta", "Asia/Almaty"),
    ),
    products=(
        product(PLAIN, "777"),
        product(SLOW, "778", SLOW),
        product(YEARLY, "779", valid_days=30),
        product(GIFT, "99", length=19, value=True, value_unit=MONEY),
        product(FORGIVING, "781", FORGIVING),
        product(DEDUCTING, "782", DEDUCTING),
        product(GRACED, "783", GRACED),
        product(PINNED, "98", length=19, value=True, value_unit=MONEY, pin=True, valid_days=365),
        product(BRIEF, "784", BRIEF),
        product(CERTIFICATE, "96", length=19, value=True, value_unit=MONEY, amounts=(500, 1_000), valid_days=60),
    ),
)


@dataclass
class StillClock:
    """A database clock that shows ``at`` until the test moves it."""

    at: datetime = NOON

    def __call__(self, now: datetime) -> datetime:
        return self.at

    def forward(self, **by: int) -> None:
        """By so many days, hours, minutes."""
        self.at += timedelta(**by)


@dataclass
class Books:
    """An open core on a database with the chain above. ``clock`` is None where the real one runs."""

    core: Core
    database: Database
    clock: Clock | None
    _names: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @classmethod
    def of(cls, database: Database, clock: Clock | None) -> Books:
        """The chain on a migrated database, written where it is not there yet."""
        if clock is not None:
            database.clock = clock
        directory = sync(database, CHAIN, PROGRAMMES)
        with database.transaction() as connection:
            vault = load_vault(connection, KEYS)
        return cls(Core(database, directory, vault), database, clock)

    @property
    def url(self) -> str:
        return self.database.url.render_as_string(hide_password=False)

    def run_live(self) -> None:
        """From now on the database's own clock counts, as races want it."""
        self.clock = None
        self.database.clock = lambda now: now

    # Asking -------------------------------------------------------------------------------------------------

    def key(self, what: str = "key") -> str:
        """A request key that nobody has used."""
        return f"{what}-{next(self._names)}"

    def one(self, command: Command[Any]) -> Outcome:
        """The outcome of a batch of one."""
        (outcome,) = self.core.execute([command])
        return outcome

    def done(self, command: Command[R]) -> R:
        """The result of a command that must succeed."""
        outcome = self.one(command)
        if isinstance(outcome, LoyaltyError):
            raise AssertionError(f"{command} was refused") from outcome
        return outcome  # type: ignore[return-value]

    def card(self, points: int = 0, unit: str = POINTS, product: str = PLAIN, **changes: Any) -> str:
        """The number of a new active card with this balance, which never expires."""
        fields: dict[str, Any] = {"product": product, "active": True, "store": MOSCOW, "keys": (self.key("issue"),)}
        issued = self.done(IssueCard(**fields | changes))
        assert isinstance(issued, CardIssued)
        if points:
            self.done(adjust(self.key("open"), issued.number, points, unit))
        return issued.number

    def balances(self, card: str, as_of: datetime | None = None) -> dict[str, Balance]:
        """The card's balances by unit."""
        (outcome,) = self.core.answer([ReadBalances(refs=(Ref("card", card),), as_of=as_of)])
        assert isinstance(outcome, Balances)
        return {balance.unit: balance for balance in outcome.balances}

    def balance(self, card: str, unit: str = POINTS) -> int:
        return self.balances(card)[unit].balance

    def set_status(self, card: str, status: str) -> None:
        """Block, expire or close a card behind the core's back; commands for it are yet to come."""
        with self.database.transaction() as connection:
            changed = connection.execute(
                text("UPDATE card SET status = :status WHERE number = :number"), {"status": status, "number": card}
            )
            assert changed.rowcount == 1

    # Reading ------------------------------------------------------------------------------------------------

    def rows(self, sql: str, **params: Any) -> list[tuple[Any, ...]]:
        return rows(self.database, sql, **params)

    def count(self, table: str) -> int:
        return int(self.rows(f"SELECT count(*) FROM {table}")[0][0])

    def entries(self) -> dict[tuple[int, int], tuple[Any, ...]]:
        """Everything that was ever booked, by operation and number."""
        found = self.rows(
            "SELECT operation_id, n, account_id, lot_id, amount, effective_at, booked_at FROM entry ORDER BY 1, 2"
        )
        return {(row[0], row[1]): row[2:] for row in found}

    def lots(self, card: str, *, with_ids: bool = True) -> list[tuple[Any, ...]]:
        """The card's lots that hold or owe something, with their terms."""
        found = self.rows(
            """
            SELECT l.id, a.unit, l.remaining, l.is_open, l.is_debt, l.issuer_id, l.price_millionths,
                   l.available_from, l.expires_at
            FROM card c JOIN account a ON a.wallet_id = c.wallet_id JOIN lot l ON l.account_id = a.id
            WHERE c.number = :card AND l.remaining <> 0
            """,
            card=card,
        )
        return sorted((row if with_ids else row[1:] for row in found), key=str)

    def written(self) -> tuple[int, ...]:
        """How many rows the books have; what changes nothing leaves it as it is."""
        return tuple(self.count(name) for name in ("operation", "entry", "lot", "receipt", "account", "card"))

    def check_laws(self) -> None:
        check_laws(self.database)


def rows(database: Database, sql: str, **params: Any) -> list[tuple[Any, ...]]:
    """What a query finds in committed state."""
    with database.reading() as connection:
        return [tuple(row) for row in connection.execute(text(sql), params)]


def check_laws(database: Database) -> None:
    """Design laws 1 and 2 over all rows, and that no whole number became anything else."""
    for law, sql in LAWS.items():
        broken = rows(database, sql)
        assert not broken, f"{law}: {broken}"
    amounts = "SELECT amount FROM entry UNION SELECT remaining FROM lot UNION SELECT balance FROM account"
    assert all(type(amount) is int for (amount,) in rows(database, amounts))


LAWS = {
    "the entries of an operation sum to zero per unit": """
        SELECT e.operation_id, a.unit, sum(e.amount) FROM entry e JOIN account a ON a.id = e.account_id
        GROUP BY e.operation_id, a.unit HAVING sum(e.amount) <> 0
    """,
    "a wallet account's balance is the sum of its entries": """
        SELECT a.id, a.balance FROM account a WHERE a.wallet_id IS NOT NULL AND a.balance <>
        (SELECT coalesce(sum(e.amount), 0) FROM entry e WHERE e.account_id = a.id)
    """,
    "a wallet account's balance is the sum of its open lots": """
        SELECT a.id, a.balance FROM account a WHERE a.wallet_id IS NOT NULL AND a.balance <>
        (SELECT coalesce(sum(l.remaining), 0) FROM lot l WHERE l.account_id = a.id AND l.is_open)
    """,
    "a lot holds the sum of its entries, and is open when that is not zero": """
        SELECT l.id, l.remaining, l.is_open FROM lot l WHERE (l.remaining <> 0) <> l.is_open OR l.remaining <>
        (SELECT coalesce(sum(e.amount), 0) FROM entry e WHERE e.lot_id = l.id)
    """,
    "only debt is negative": "SELECT id, remaining FROM lot WHERE remaining < 0 AND NOT is_debt",
    "a debt is never a purse": "SELECT id, remaining FROM lot WHERE remaining > 0 AND is_debt",
    "an account owes a partner one debt": """
        SELECT account_id, issuer_id, sum(remaining) FROM lot WHERE is_debt AND is_open
        GROUP BY account_id, issuer_id HAVING count(*) > 1
    """,
    "an entry of a wallet names a lot of its account, an entry of a system account none": """
        SELECT e.operation_id, e.n FROM entry e JOIN account a ON a.id = e.account_id
        LEFT JOIN lot l ON l.id = e.lot_id
        WHERE (a.wallet_id IS NULL AND e.lot_id IS NOT NULL)
           OR (a.wallet_id IS NOT NULL AND (l.id IS NULL OR l.account_id <> a.id))
    """,
    "a system account keeps no balance": "SELECT id FROM account WHERE partner_id IS NOT NULL AND balance <> 0",
    "every entry has its operation": """
        SELECT e.operation_id FROM entry e LEFT JOIN operation o ON o.id = e.operation_id WHERE o.id IS NULL
    """,
    "an operation is reversed once": """
        SELECT reverses_id FROM operation WHERE reverses_id IS NOT NULL GROUP BY reverses_id HAVING count(*) > 1
    """,
    "a reversal takes away what was booked, with the returns on it, account by account": """
        SELECT o.id, o.account_id FROM (
            SELECT o.id, e.account_id, e.amount FROM operation o JOIN entry e ON e.operation_id IN (o.id, o.reverses_id)
            WHERE o.reverses_id IS NOT NULL
            UNION ALL
            SELECT o.id, e.account_id, e.amount FROM operation o JOIN receipt t ON t.base_id = o.reverses_id
            LEFT JOIN operation v ON v.reverses_id = t.operation_id
            JOIN entry e ON e.operation_id IN (t.operation_id, v.id)
        ) o JOIN account a ON a.id = o.account_id LEFT JOIN wallet w ON w.id = a.wallet_id
        WHERE w.merged_into IS NULL AND NOT EXISTS (SELECT 1 FROM wallet m WHERE m.merged_into = w.id)
        GROUP BY o.id, o.account_id HAVING sum(o.amount) <> 0
    """,
    "what counts is what a key stands for, once": """
        SELECT o.id, o.kind, count(k.key) FROM operation o
        LEFT JOIN request_key k ON k.operation_id = o.id AND k.state = 'posted' AND k.same_as IS NULL
        WHERE o.kind IN ('receipt', 'restore', 'top_up', 'adjustment')
          AND NOT EXISTS (SELECT 1 FROM operation r WHERE r.reverses_id = o.id)
        GROUP BY o.id, o.kind HAVING count(k.key) <> 1
    """,
    "no key stands for what was reversed": """
        SELECT k.key FROM request_key k JOIN operation r ON r.reverses_id = k.operation_id WHERE k.state = 'posted'
    """,
    "a claim that came to nothing is given back": """
        SELECT store_id, key FROM request_key WHERE state = 'none' AND stamp IS NULL AND same_as IS NULL
    """,
    "another name leads to a key that keeps the state": """
        SELECT k.key FROM request_key k LEFT JOIN request_key h ON h.store_id = k.store_id AND h.key = k.same_as
        WHERE k.same_as IS NOT NULL AND (h.key IS NULL OR h.same_as IS NOT NULL OR k.state <> 'none')
    """,
}


# Commands ----------------------------------------------------------------------------------------------------


def told(outcome: Outcome) -> Outcome:
    """What an outcome says, whether for the first time or again."""
    return msgspec.structs.replace(outcome, replayed=False) if isinstance(outcome, Result) else outcome


def again(outcome: Outcome) -> Outcome:
    """How an outcome is said when its command comes again."""
    assert isinstance(outcome, Result), outcome
    return msgspec.structs.replace(outcome, replayed=True)


def ref(card: str) -> Ref:
    return Ref("card", card)


def use(card: str, redeem: int = 0, earn: int | None = None, unit: str = POINTS, **changes: Any) -> CardUse:
    """A card that pays and earns so much of one unit; ``earn`` None leaves it to the programme."""
    fields: dict[str, Any] = {
        "refs": (ref(card),),
        "redeem": (Amount(unit, redeem),) if redeem else (),
        "earn": None if earn is None else (Amount(unit, earn),),
    }
    return CardUse(**fields | changes)


def receipt(total: int = 100_000, lines: Sequence[Line] = (), **changes: Any) -> Receipt:
    fields: dict[str, Any] = {"number": "17", "till": "5", "business_date": date(2026, 5, 4)}
    return Receipt(**fields | {"total_minor": total, "lines": tuple(lines)} | changes)


def stamp(n: int) -> datetime:
    """The till's clock: attempts in the order of their numbers, all before NOON."""
    return NOON - timedelta(hours=3) + timedelta(seconds=n)


def post(key: str | Sequence[str], *cards: CardUse, total: int = 100_000, **changes: Any) -> PostReceipt:
    """A receipt under one key or several. ``at`` is its stamp's number."""
    at = changes.pop("at", None)
    fields: dict[str, Any] = {
        "store": MOSCOW,
        "keys": (key,) if isinstance(key, str) else tuple(key),
        "receipt": receipt(total),
        "cards": cards,
        "stamp": None if at is None else stamp(at),
    }
    return PostReceipt(**fields | changes)


def void(key: str | Sequence[str], at: int | None = None, **changes: Any) -> VoidReceipt:
    fields: dict[str, Any] = {
        "store": MOSCOW,
        "keys": (key,) if isinstance(key, str) else tuple(key),
        "reason": "rollback",
        "stamp": None if at is None else stamp(at),
    }
    return VoidReceipt(**fields | changes)


def adjust(key: str, card: str, amount: int, unit: str = POINTS, **changes: Any) -> Adjust:
    fields: dict[str, Any] = {"store": MOSCOW, "keys": (key,), "card": ref(card), "reason": "a test"}
    return Adjust(**fields | {"amount": Amount(unit, amount)} | changes)


def top_up(key: str, card: str, amount: int, unit: str = MONEY, **changes: Any) -> TopUp:
    fields: dict[str, Any] = {"store": MOSCOW, "keys": (key,), "card": ref(card), "amount": Amount(unit, amount)}
    return TopUp(**fields | changes)
