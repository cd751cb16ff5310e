"""Random commands that make sense often enough: they name what is known, in the words of an oracle.

Cards have short names here (``a`` ... ``h``), keys are short words; a ``World`` puts real ones in their place.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from msgspec import structs

from processing.commands import (
    Accrue,
    Adjust,
    Amount,
    BlockCard,
    CaptureHold,
    CardUse,
    Command,
    Exchange,
    Line,
    MergeHolders,
    PayOut,
    PlaceHold,
    PostReceipt,
    Receipt,
    Redeem,
    Ref,
    ReleaseHold,
    RestoreReceipt,
    ReturnLine,
    ReturnReceipt,
    SellGiftCard,
    TopUp,
    Transfer,
    UnblockCard,
    VoidReceipt,
)
from tests.processing.books import (
    ALMATY,
    BRIEF,
    CERTIFICATE,
    DEDUCTING,
    FORGIVING,
    GIFT,
    GRACED,
    MILES,
    MONEY,
    MOSCOW,
    PLAIN,
    POINTS,
    SLOW,
    URAL,
)
from tests.processing.oracle.bank import Head
from tests.processing.oracle.keys import Oracle

CARDS = {
    "a": PLAIN, "b": PLAIN, "c": BRIEF, "d": FORGIVING, "e": DEDUCTING, "f": GRACED, "s": SLOW, "g": CERTIFICATE,
    "h": GIFT,
}  # fmt: skip
"""Short names and products. ``b`` shares the wallet of ``a``; ``g`` and ``h`` wait to be sold."""

SHARED, FOR_SALE = {"b": "a"}, ("g", "h")
UNKNOWN = "404"
AMOUNTS = (1, 2, 7, 50, 100, 250, 333, 999, 2_000)
SUMS = (1, 99, 500, 1_000, 3_333, 10_000)
QUANTITIES = (1_000, 1_000, 2_000, 3_000, 333, 0)
PAUSES = (
    timedelta(0), timedelta(0), timedelta(minutes=1), timedelta(minutes=12), timedelta(hours=5), timedelta(days=1),
    timedelta(days=3), timedelta(days=9), timedelta(days=20), timedelta(days=70),
)  # fmt: skip


@dataclass
class Traffic:
    """Endless commands about one oracle's cards and keys."""

    dice: random.Random
    oracle: Oracle
    sent: list[Command[Any]] = field(default_factory=list)
    count: int = 0

    def command(self) -> Command[Any]:
        makers = list(WEIGHTS)
        (make,) = self.dice.choices(makers, [WEIGHTS[maker] for maker in makers])
        made: Command[Any] = make(self)
        if self.avoid(made):
            return self.command()
        self.sent.append(made)
        return made

    def avoid(self, made: Command[Any]) -> bool:
        return False

    def pause(self) -> timedelta:
        return self.dice.choice(PAUSES)

    # Choices ------------------------------------------------------------------------------------------------

    def key(self) -> str:
        self.count += 1
        return f"k{self.count}"

    def common(self, key: str = "") -> dict[str, Any]:
        store = self.dice.choice((MOSCOW, MOSCOW, MOSCOW, URAL, ALMATY))
        return {"store": store, "keys": (key or self.key(),)}

    def happens(self, percent: int) -> bool:
        return self.dice.randrange(100) < percent

    def card(self) -> str:
        return UNKNOWN if self.happens(2) else self.dice.choice(tuple(CARDS))

    def ref(self) -> Ref:
        return Ref("card", self.card())

    def unit(self, card: str) -> str:
        if CARDS.get(card) in (CERTIFICATE, GIFT):
            return MONEY
        own = MILES if CARDS.get(card) == GRACED else POINTS
        return self.dice.choice((own, own, own, MONEY))

    def amount(self, card: str, unit: str) -> int:
        """Some amount; now and then exactly what is there, or one more."""
        if card in self.oracle.bank.cards and self.happens(25):
            free = self.oracle.bank.cards[card].account(unit).available(self.oracle.now)
            return max(free + self.dice.choice((0, 0, 0, 1)), 1)
        return self.dice.choice(AMOUNTS)

    def known(self, wanted: Callable[[Head], bool]) -> tuple[str, str] | None:
        """The place of a key that stands for something wanted, rather one of the last ones."""
        found = [place for place, head in self.oracle.bank.heads.items() if wanted(head)]
        return self.dice.choice(found[-6:]) if found else None

    def a_hold(self) -> tuple[str, str]:
        holds = list(self.oracle.bank.holds)
        return self.dice.choice(holds[-4:]) if holds and not self.happens(5) else (MOSCOW, self.key())

    # Receipts -----------------------------------------------------------------------------------------------

    def lines(self) -> tuple[Line, ...]:
        if self.happens(25):
            return ()
        return tuple(self.line(n + 1) for n in range(self.dice.randint(1, 4)))

    def line(self, number: int) -> Line:
        """Goods are sold either by the piece or by their sum."""
        quantity = self.dice.choice(QUANTITIES)
        goods = self.dice.choice(("tea", "soup", "pie")) if quantity else "sweets"
        return Line(number=number, goods=goods, sum_minor=self.dice.choice(SUMS), quantity_thousandths=quantity)

    def use(self, store: str) -> CardUse:
        card = self.card()
        redeem = []
        for unit in dict.fromkeys(self.unit(card) for _ in range(self.dice.choice((0, 1, 1, 1, 2)))):
            redeem.append(Amount(unit, self.amount(card, unit)))
        own = MILES if CARDS.get(card) == GRACED else POINTS
        earn = None if self.happens(60) else () if self.happens(30) else (Amount(own, self.dice.choice(AMOUNTS)),)
        hold = ""
        if self.happens(25):
            holds = [
                key for (at, key), (held, _) in self.oracle.bank.holds.items() if at == store and held.card == card
            ]
            hold = self.dice.choice(holds[-3:]) if holds else ""
        loads = (Amount(MONEY, self.dice.choice(AMOUNTS)),) if self.happens(8) else ()
        elsewhere = self.dice.choice(SUMS) if self.happens(8) else 0
        return CardUse(
            refs=(Ref("card", card),), redeem=tuple(redeem), earn=earn, hold=hold, top_up=loads, paid_minor=elsewhere
        )  # fmt: skip

    def post(self, key: str = "", **changes: Any) -> PostReceipt:
        common = self.common(key) | changes
        uses = [self.use(common["store"])]
        if self.happens(15):
            other = self.use(common["store"])
            if other.refs != uses[0].refs:
                uses = [self.shared(use) for use in (uses[0], other)]
        lines = self.lines()
        loads = sum(amount.amount for use in uses for amount in use.top_up)
        if loads:
            lines = lines or (Line(number=1, goods="tea", sum_minor=1_000),)
            lines += (Line(number=len(lines) + 1, goods="load", sum_minor=loads, kind="top_up"),)
        total = sum(line.sum_minor for line in lines) if lines else self.dice.choice((500, 10_000, 50_000))
        return PostReceipt(
            **common, receipt=self.receipt(total, lines), cards=tuple(uses), payment=self.happens(4)
        )  # fmt: skip

    def shared(self, use: CardUse) -> CardUse:
        """One of several cards of a receipt: what it earns is told, or goes by what it spent."""
        if self.happens(50):
            return structs.replace(use, earn=use.earn or ())
        return structs.replace(use, spend_minor=self.dice.choice((0, *SUMS)))

    def pay(self) -> PostReceipt:
        """A payment by itself, of an order that is told elsewhere: of what is held for it, or of something else."""
        held = [(place, *found) for place, found in self.oracle.bank.holds.items() if found[0].is_open(self.oracle.now)]
        if not held:
            return structs.replace(self.post(), payment=True)
        (store, key), hold, account = self.dice.choice(held[-4:])
        amount = max(self.dice.choice((hold.amount, hold.amount, hold.amount // 2, hold.amount + 1)), 1)
        use = CardUse(refs=(Ref("card", hold.card),), redeem=(Amount(account.unit, amount),), earn=(), hold=key)
        told = self.receipt(self.dice.choice((amount, amount, amount // 2)))
        return PostReceipt(store=store, keys=(self.key(),), receipt=told, cards=(use,), payment=self.happens(80))

    def receipt(self, total: int, lines: tuple[Line, ...] = (), closed_at: datetime | None = None) -> Receipt:
        self.count += 1
        return Receipt(
            number=str(self.count), till="1", business_date=date(2026, 5, 4), total_minor=total, lines=lines,
            closed_at=closed_at,
        )  # fmt: skip

    def fact(self) -> PostReceipt:
        made = self.post()
        late = self.oracle.now - self.dice.choice((*PAUSES, timedelta(days=-1)))
        receipt = self.receipt(made.receipt.total_minor, made.receipt.lines, late if self.happens(70) else None)
        return structs.replace(made, receipt=receipt, fact=True)

    def version(self) -> Command[Any]:
        """Another version of a receipt that is known, newer, older or without a stamp."""
        place = self.known(lambda head: head.kind == "receipt")
        if place is None:
            return self.post()
        made = self.post(place[1], store=place[0])
        stamp = self.oracle.now + timedelta(seconds=self.dice.randint(-2, 2)) if self.happens(80) else None
        return structs.replace(made, stamp=stamp, supersede=self.happens(80), fact=self.happens(20))

    def void(self) -> VoidReceipt:
        place = self.known(lambda head: head.state == "posted" and head.kind != "nothing")
        if place is None or self.happens(8):
            place = self.known(lambda head: True)
        store, key = place or (MOSCOW, self.key())
        newest = self.oracle.bank.head(store, key).stamp or self.oracle.now
        stamp = newest + timedelta(seconds=self.dice.randint(-2, 2)) if self.happens(40) else None
        return VoidReceipt(
            store=store, keys=(key,), reason=self.dice.choice(("rollback", "return")), stamp=stamp,
            supersede=self.happens(30),
        )  # fmt: skip

    def restore(self) -> RestoreReceipt:
        place = self.known(lambda head: head.state == "returned")
        if place is None or self.happens(10):
            place = self.known(lambda head: head.kind in ("receipt", "return"))
        store, key = place or (MOSCOW, self.key())
        return RestoreReceipt(store=store, keys=(key,))

    def give_back(self) -> ReturnReceipt:
        place = self.known(lambda head: head.kind == "receipt" and head.state == "posted")
        if place is None or self.happens(4):
            place = self.known(lambda head: True) or (MOSCOW, "nothing")
        head = self.oracle.bank.heads.get(place, Head())
        common = self.common()
        if self.happens(15):
            return self.give_back_unknown()
        lines: list[ReturnLine] = []
        if head.kind == "receipt" and head.sale is not None and not self.happens(25):
            for _ in range(self.dice.choice((1, 1, 2))):
                lines.append(self.return_line(self.dice.choice(head.sale.lines)))
        return ReturnReceipt(
            **common, receipt=self.receipt(0), sale=place[1],
            sale_store="" if place[0] == common["store"] else place[0],
            lines=tuple(lines), can_deduct=self.happens(60), fact=self.happens(20),
        )  # fmt: skip

    def give_back_unknown(self) -> ReturnReceipt:
        """Of no sale, or of one that nobody knows."""
        made = self.post()
        is_fact = self.happens(30)
        return ReturnReceipt(
            store=made.store, keys=made.keys, receipt=self.receipt(made.receipt.total_minor, made.receipt.lines),
            sale=self.key() if is_fact and self.happens(40) else "", fact=is_fact, can_deduct=self.happens(50),
            cards=tuple(structs.replace(use, hold="", top_up=()) for use in made.cards),
        )  # fmt: skip

    def return_line(self, line: Line) -> ReturnLine:
        name: dict[str, Any] = {"goods": line.goods} if self.happens(20) else {"number": line.number}
        if self.happens(30):
            return ReturnLine(**name)
        if line.quantity_thousandths > 0:
            return ReturnLine(**name, quantity_thousandths=self.dice.choice((1, 333, 500, 1_000, 1_000, 2_000)))
        return ReturnLine(**name, sum_minor=self.dice.choice((1, 33, 50, 500, 1_000)))

    def exchange(self) -> Exchange:
        return Exchange(store=MOSCOW, returned=self.give_back(), sold=self.post())

    # Holds --------------------------------------------------------------------------------------------------

    def place(self) -> PlaceHold:
        card = self.card()
        unit = self.unit(card)
        return PlaceHold(
            **self.common(), card=Ref("card", card), unit=unit,
            amount=None if self.happens(20) else self.amount(card, unit),
            seconds=self.dice.choice((1, 60, 900, 900, 86_400, 6 * 86_400)),
            owner=self.dice.choice(("", "", "till", "order")),
            order_minor=self.dice.choice((None, None, 500, 5_000)),
        )  # fmt: skip

    def capture(self) -> CaptureHold:
        store, hold = self.a_hold()
        amount = None if self.happens(40) else self.dice.choice(AMOUNTS)
        return CaptureHold(store=store, keys=(self.key(),), hold=hold, amount=amount, fact=self.happens(25))

    def release(self) -> ReleaseHold:
        store, hold = self.a_hold()
        return ReleaseHold(store=store, keys=(self.key(),), hold=hold)

    # Value --------------------------------------------------------------------------------------------------

    def redeem(self) -> Redeem:
        card = self.card()
        unit = self.unit(card)
        amount, is_fact = None if self.happens(15) else self.amount(card, unit), self.happens(25)
        return Redeem(
            **self.common(), card=Ref("card", card), unit=unit, amount=amount, fact=is_fact and amount is not None
        )

    def redeem_alike(self) -> Redeem:
        card = self.dice.choice(("a", "c"))
        return Redeem(
            store=MOSCOW, card=Ref("card", card), unit=POINTS, amount=5, likeness=f"like {card}", window_seconds=120
        )

    def accrue(self) -> Accrue:
        card = self.card()
        own = MILES if CARDS.get(card) == GRACED else POINTS
        amount = Amount(own, self.dice.choice(AMOUNTS))
        return Accrue(**self.common(), card=Ref("card", card), amount=amount, fact=self.happens(25))

    def transfer(self) -> Transfer:
        card = self.card()
        unit = self.unit(card)
        return Transfer(
            **self.common(), source=Ref("card", card), target=self.ref(), amount=Amount(unit, self.amount(card, unit))
        )

    def sell(self) -> SellGiftCard:
        card = self.dice.choice(FOR_SALE) if self.happens(90) else self.card()
        amount = self.dice.choice((500, 1_000, 500, None, 77))
        return SellGiftCard(**self.common(), card=Ref("card", card), amount=amount)

    def pay_out(self) -> PayOut:
        card = self.card()
        amount = None if self.happens(40) else self.amount(card, MONEY)
        return PayOut(
            **self.common(), card=Ref("card", card), unit=MONEY, amount=amount,
            close=amount is None and card in FOR_SALE and self.happens(30),
        )  # fmt: skip

    def top_up(self) -> TopUp:
        return TopUp(**self.common(), card=self.ref(), amount=Amount(MONEY, self.dice.choice(AMOUNTS)))

    def adjust(self) -> Adjust:
        card = self.card()
        unit = self.unit(card)
        amount = self.amount(card, unit) * self.dice.choice((1, 1, -1))
        return Adjust(
            **self.common(), card=Ref("card", card), amount=Amount(unit, amount), reason="a test",
            expires_days=self.dice.choice((None, 0, 2, 5, 30)), allow_debt=self.happens(40),
        )  # fmt: skip

    # Cards --------------------------------------------------------------------------------------------------

    def block(self) -> BlockCard:
        return BlockCard(**self.common(), card=self.ref(), reason="lost")

    def unblock(self) -> UnblockCard:
        blocked = [number for number, card in self.oracle.bank.cards.items() if card.status == "blocked"]
        card = self.dice.choice(blocked) if blocked else self.card()
        return UnblockCard(**self.common(), card=Ref("card", card), reason="found")

    def merge(self) -> MergeHolders:
        return MergeHolders(**self.common(), source=self.ref(), target=self.ref())

    # Again --------------------------------------------------------------------------------------------------

    def repeat(self) -> Command[Any]:
        return self.dice.choice(self.sent[-12:]) if self.sent else self.post()

    def reuse(self) -> Command[Any]:
        """A new command under a key that stands for something else."""
        place = self.known(lambda head: True)
        if place is None:
            return self.post()
        return Accrue(store=place[0], keys=(place[1],), card=self.ref(), amount=Amount(POINTS, 3))


WEIGHTS: dict[Callable[[Traffic], Command[Any]], int] = {
    Traffic.post: 20, Traffic.pay: 5, Traffic.fact: 9, Traffic.version: 4, Traffic.void: 12, Traffic.restore: 5,
    Traffic.give_back: 16, Traffic.exchange: 3, Traffic.place: 11, Traffic.capture: 9, Traffic.release: 4,
    Traffic.redeem: 5, Traffic.redeem_alike: 2, Traffic.accrue: 9, Traffic.transfer: 5, Traffic.sell: 4,
    Traffic.pay_out: 4, Traffic.top_up: 4, Traffic.adjust: 7, Traffic.block: 1, Traffic.unblock: 2, Traffic.merge: 1,
    Traffic.repeat: 8, Traffic.reuse: 1,
}  # fmt: skip
