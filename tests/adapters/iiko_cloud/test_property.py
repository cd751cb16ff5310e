"""Whatever is lost and repeated: the wallet at iiko ends at ours, and each movement is there once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.contract import Call, Found, HttpReply, Job, Message, Session
from adapters.iiko_cloud import ADAPTER
from adapters.talks import listen
from processing.commands import Accrue, EnrolHolder, Query, Redeem
from processing.errors import LinkDown, NotYet
from processing.events import NODE_BITS, first_id
from processing.results import WalletsTold
from tests.adapters.iiko_cloud.far_side import SECRETS, WALLET, link, wallet
from tests.adapters.iiko_cloud.stub import AT, BONUS, LOYALTY, Iiko
from tests.effort import drawn

BY_DATE = LOYALTY + "customer/transactions/by_date"
LOST, UNHEARD, SOUND = "lost", "unheard", "sound"
# What happens to the calls of a talk, one after another; beyond these they go through.
FAULTS = st.lists(st.sampled_from([SOUND, SOUND, LOST, UNHEARD]), max_size=7)


class World:
    """Books of one wallet, their outbox, and iiko; others move the wallet there as well."""

    def __init__(self, is_booked: bool, **stub: Any) -> None:
        self.far = Iiko(**stub)
        self.link = link(wallets=[WALLET | {"book_from": "2026-05-01" if is_booked else None}])
        self.points = 0
        self.waiting: Message | None = None
        self.count = 0
        self.known: set[str] = set()
        self.session: Session | None = None

    def book(self, points: int) -> None:
        """The balance becomes another one: only the newest message about it waits."""
        if points and self.points + points >= 0:
            self.points += points
            self.count += 1
            self.waiting = Message(
                first_id(AT) + (self.count << NODE_BITS), "balance_changed", {"account": 17, "unit": "BONUS"}
            )

    def others(self, points: int) -> None:
        """At the till; nobody spends what the wallet there has not."""
        for guest in self.far.guests:
            if guest.wallets[BONUS] + Decimal(points) / 100 >= 0 and points:
                self.far.move(guest, BONUS, Decimal(points) / 100, "at the till")

    def speak(self, faults: list[str]) -> None:
        """One try of what waits, or of a pull where nothing does."""
        left = list(faults)
        if self.waiting is None:
            talk = ADAPTER.pull(Job(AT), self.link)  # type: ignore[misc]
        else:
            talk = ADAPTER.push.talk(Job(AT, messages=(self.waiting,)), self.link)  # type: ignore[union-attr]
        said = self.waiting
        try:
            listen(talk, lambda told: self._answer(told, left))
        except (LinkDown, NotYet):
            self.far.now += 60
            return
        if self.waiting is said:
            self.waiting = None

    def _answer(self, told: Any, left: list[str]) -> Any:
        if isinstance(told, Query):
            return WalletsTold(wallets=(wallet(17, self.points),))
        if isinstance(told, Found):
            self._learn(told)
            return None
        reply = self._call(told, left)
        if reply.status == 401:
            self.session = None
            reply = self._call(told, left)
        return reply

    def _call(self, call: Call, left: list[str]) -> HttpReply:
        if self.session is None:
            signing = ADAPTER.login(SECRETS, self.link)  # type: ignore[misc]
            self.session = listen(signing, lambda each: self._do(each, left))  # type: ignore[arg-type]
        headers = {**call.headers, **self.session.headers}  # type: ignore[union-attr]
        return self._do(replace(call, headers=headers), left)  # type: ignore[arg-type,type-var]

    def _do(self, call: Call, left: list[str]) -> HttpReply:
        fault = left.pop(0) if left else SOUND
        if fault == LOST:
            raise LinkDown("lost")
        reply = self.far.answer(call)
        if fault == UNHEARD:
            raise LinkDown("unheard")
        return reply

    def _learn(self, found: Found) -> None:
        for ask in found.asks:
            assert not isinstance(ask, EnrolHolder) and isinstance(ask, Accrue | Redeem) and ask.fact
            if ask.keys[0] not in self.known:
                self.known.add(ask.keys[0])
                self.book(ask.amount.amount if isinstance(ask, Accrue) else -(ask.amount or 0))


STEPS = st.lists(
    st.tuples(
        st.integers(-300, 500), st.integers(-200, 200), FAULTS, st.sampled_from(["book", "others", "speak", "speak"])
    ),
    max_size=14,
)


def play(world: World, steps: list[tuple[int, int, list[str], str]]) -> None:
    for booked, moved, faults, what in steps:
        if what == "book":
            world.book(booked)
        elif what == "others":
            world.others(moved)
        else:
            world.speak(faults)


def settle(world: World) -> None:
    """The line holds: what waits is said, a pull looks, and what it has booked is said."""
    for _ in range(12):
        world.speak([])
        if world.waiting is None:
            world.speak([])
        if world.waiting is None:
            break
    assert world.waiting is None


def check_once(world: World) -> None:
    comments = Counter(row.comment for guest in world.far.guests for row in guest.rows if "tillgate" in row.comment)
    assert all(count == 1 for count in comments.values()), comments
    assert len(world.far.guests) <= 1


@settings(max_examples=drawn(30))
@given(
    steps=STEPS.filter(lambda steps: all(what != "others" for *_, what in steps)),
    token=st.sampled_from([1, 3600]),
    lag=st.integers(0, 4),
)
def test_the_wallet_there_ends_at_ours(steps: list[tuple[int, int, list[str], str]], token: int, lag: int) -> None:
    """Also with tokens that live a second, and guests who are seen late."""
    world = World(is_booked=False, token_seconds=token, lag_seconds=lag)
    play(world, steps)
    settle(world)
    check_once(world)
    assert sum(guest.wallets[BONUS] for guest in world.far.guests) == Decimal(world.points) / 100


@settings(max_examples=drawn(30))
@given(steps=STEPS)
def test_what_others_move_there_is_booked_once_and_both_end_alike(
    steps: list[tuple[int, int, list[str], str]],
) -> None:
    world = World(is_booked=True)
    world.book(100)
    settle(world)
    play(world, steps)
    settle(world)
    check_once(world)
    (guest,) = world.far.guests
    assert guest.wallets[BONUS] == Decimal(world.points) / 100
    others = [row for row in guest.rows if "tillgate" not in row.comment]
    assert len(world.known) <= len(others)


def test_a_till_that_pays_while_the_report_is_read_is_told_no_stale_balance() -> None:
    """It comes between the look at the balance and the report: what is booked of it is in the balance as well."""
    for moves in (1, 2):
        world = World(is_booked=True)
        world.book(100_00)
        settle(world)
        world.book(50_00)
        report, left = world.far.paths[BY_DATE], [moves]

        def paid_meanwhile(told: Any, left: list[int] = left, world: World = world, report: Any = report) -> Any:
            if left[0]:
                left[0] -= 1
                world.others(-15_00)
            return report(told)

        world.far.paths[BY_DATE] = paid_meanwhile
        world.speak([])
        (guest,) = world.far.guests
        assert guest.wallets[BONUS] * 100 == world.points == 150_00 - moves * 15_00
        assert [row.amount for row in guest.rows if "tillgate" in row.comment] == [100, 50]


def test_a_wallet_that_never_stands_still_is_left_for_a_while() -> None:
    world = World(is_booked=True)
    world.book(100_00)
    settle(world)
    world.book(50_00)
    report = world.far.paths[BY_DATE]

    def paid_meanwhile(told: Any) -> Any:
        world.others(-1_00)
        return report(told)

    world.far.paths[BY_DATE] = paid_meanwhile
    world.speak([])
    (guest,) = world.far.guests
    assert world.waiting is not None and guest.wallets[BONUS] == 97 and world.points == 147_00
    world.far.paths[BY_DATE] = report
    settle(world)
    assert guest.wallets[BONUS] == 147


def test_a_write_that_is_carried_out_late_while_its_repeat_looks_is_not_done_again() -> None:
    """Nobody has heard of it, and the report that is read first does not have it yet; a till pays at that moment."""
    world = World(is_booked=True)
    world.book(100_00)
    settle(world)
    world.book(50_00)
    assert world.waiting is not None
    report, left = world.far.paths[BY_DATE], [f"tillgate {world.waiting.id}"]

    def meanwhile(told: Any) -> Any:
        shown = report(told)
        (guest,) = world.far.guests
        if left:
            world.far.move(guest, BONUS, Decimal(50), left.pop())
            world.others(-7_00)
        return shown

    world.far.paths[BY_DATE] = meanwhile
    world.speak([])
    check_once(world)
    settle(world)
    check_once(world)
    assert world.far.guests[0].wallets[BONUS] * 100 == world.points == 143_00
