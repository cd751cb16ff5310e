"""Delivery: what the books have to tell reaches the far side once, in order, and whatever fails is seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from adapters import webhook
from adapters.contract import (
    Adapter,
    Call,
    Calling,
    Found,
    HttpCall,
    HttpReply,
    Job,
    Link,
    Reply,
    Session,
    checked,
    http,
    read,
)
from gateway.delivery import SLOW_SECONDS, SLOW_THREADS, Delivery, Turn, opened
from gateway.delivery_policy import RELAXED, Attempts, DeliverySettings, wait_seconds
from gateway.talks import Line, Outgoing, Sessions
from processing import outbox, steering, tables
from processing.commands import BlockCard, ReadBalances, Ref
from processing.errors import BadReply, Busy, LinkDown, LoyaltyError, NotYet, Undelivered
from processing.events import (
    BALANCE_CHANGED,
    CARD_CHANGED,
    KINDS,
    MESSAGE_DEAD,
    OPERATION_POSTED,
    Stamps,
    Subscription,
)
from processing.results import Balances
from processing.steering import Filter
from processing.units import major
from tests.processing.books import MOSCOW, POINTS, URAL, Books, post, top_up, use

SECRETS = {"key": "a secret of sixteen or more"}
LANE = outbox.Lane("crm", outbox.PUSH, 0, 0, 0, 0, None, outbox.CLOSED, None, None)


@dataclass
class FarEnd:
    """A far side that remembers what it got, and does what the test tells it: a reply, an error, or a function."""

    got: list[list[dict[str, Any]]] = field(default_factory=list)
    script: list[int | Exception | Callable[[], None]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, call: Call, session: Session | None, deadline: float) -> Reply:
        assert isinstance(call, HttpCall) and session is not None and session.sign is not None
        told = msgspec.json.decode(call.body)
        with self.lock:
            step = self.script.pop(0) if self.script else 200
        if callable(step):
            step()
            step = 200
        if isinstance(step, Exception):
            raise step
        if step == 200:
            with self.lock:
                self.got.append(told if isinstance(told, list) else [told])
        return HttpReply(step, self.headers, b"said")

    def close(self) -> None:
        pass

    @property
    def ids(self) -> list[str]:
        return [event["id"] for some in self.got for event in some]


@dataclass
class Desk:
    """Books that tell a link, its far end, and who delivers."""

    books: Books
    far: FarEnd
    link: str = "crm"
    batch: int = 1
    kinds: frozenset[str] = frozenset({OPERATION_POSTED})
    policy: DeliverySettings = field(default_factory=lambda: DeliverySettings(jitter_seconds=0))

    def tell(self, *kinds: str, **changes: Any) -> None:
        self.kinds = frozenset(kinds)
        work = self.books.core.work
        told = [each for each in work.subscriptions if each.link != self.link]
        self.books.core.work = replace(work, subscriptions=(*told, Subscription(self.link, self.kinds, **changes)))

    @property
    def delivery(self) -> Delivery:
        return self.delivery_of({self.link: self.far})

    def delivery_of(self, ends: dict[str, FarEnd], threads: int = 4) -> Delivery:
        """To links by their far ends."""
        outs = {}
        for code, end in ends.items():
            link = Link(code, MOSCOW, ZoneInfo("Europe/Moscow"), {"path": "/events", "batch": self.batch})
            outs[code] = Outgoing(link, webhook.ADAPTER, self.policy, SECRETS, lambda again, end=end: end)  # type: ignore[misc]
        core = self.books.core
        return Delivery(core, core.work.vault, outs, core.work.subscriptions, lambda: False, threads)

    def rows(self) -> list[Any]:
        with self.books.database.reading() as connection:
            return list(connection.execute(select(tables.outbox_message).order_by(tables.outbox_message.c.id)))

    def states(self) -> list[str]:
        return [row.state for row in self.rows()]

    def lane(self) -> steering.Queue:
        with self.books.database.reading() as connection:
            (found,) = [
                each for each in steering.queues(connection, self.books.database, [self.link]) if each.way == "push"
            ]
        return found

    def later(self, **time: int) -> None:
        self.books.clock.forward(**time)


@pytest.fixture
def desk(books: Books) -> Iterator[Desk]:
    made = Desk(books, FarEnd())
    made.tell(OPERATION_POSTED)
    yield made
    books.core.work = replace(books.core.work, subscriptions=())


def cards(books: Books, count: int) -> list[str]:
    """So many operations booked, each of another card."""
    return [books.card(points=100) for _ in range(count)]


def test_what_is_booked_is_told_once_and_in_order(desk: Desk) -> None:
    card = desk.books.card(points=100_00)
    for n in range(4):
        desk.books.done(post(f"r{n}", use(card, redeem=100)))
    desk.books.one(post("r1", use(card, redeem=100)))
    assert isinstance(desk.books.one(post("r9", use(card, redeem=10**9))), LoyaltyError)
    desk.delivery.run_once()
    kinds = [event["data"]["operation_kind"] for some in desk.far.got for event in some]
    assert kinds == ["adjustment", *["receipt"] * 4]
    assert desk.far.ids == [f"evt_{row.id}" for row in desk.rows()]
    assert set(desk.states()) == {"delivered"}
    desk.delivery.run_once()
    assert len(desk.far.ids) == 5


def test_a_batch_is_one_request_in_order(desk: Desk) -> None:
    desk.batch = 3
    cards(desk.books, 7)
    desk.delivery.run_once()
    assert [len(some) for some in desk.far.got] == [3, 3, 1]
    assert desk.far.ids == sorted(desk.far.ids, key=lambda each: int(each.removeprefix("evt_")))


def test_no_body_has_a_card_number_or_a_name(desk: Desk) -> None:
    desk.tell(*KINDS.keys() - {"balance_below"})
    card = desk.books.card(points=100_00)
    desk.books.done(BlockCard(store=MOSCOW, keys=("b",), card=Ref("card", card), reason="lost", actor="me"))
    told = [bytes(row.body) for row in desk.rows()]
    assert told and not any(card.encode() in body for body in told)
    assert {row.kind for row in desk.rows()} == {OPERATION_POSTED, BALANCE_CHANGED, CARD_CHANGED}


def test_a_line_that_is_down_is_tried_again_with_the_same_id(desk: Desk) -> None:
    desk.books.card(points=100)
    desk.far.script = [LinkDown("away"), 503, 200]
    for failures in (1, 2):
        desk.delivery.run_once()
        assert desk.states() == ["pending"] and desk.lane().failures == failures
        desk.delivery.run_once()
        assert desk.lane().failures == failures, "not before it is due"
        desk.later(seconds=desk.policy.most_seconds)
    desk.delivery.run_once()
    assert desk.states() == ["delivered"] and desk.lane().failures == 0
    assert [row.attempts for row in desk.rows()] == [3]
    with desk.books.database.reading() as connection:
        told = steering.attempts(connection, steering.message(connection, desk.rows()[0].id))
    assert [each.outcome for each in told] == ["delivered", "link_down", "link_down"]
    assert opened(desk.books.core.work.vault, told[1].answer) == b"HTTP 503\nsaid"
    assert b"POST /events" in opened(desk.books.core.work.vault, told[1].request)


def test_what_the_far_side_asks_for_is_waited(desk: Desk) -> None:
    desk.books.card(points=100)
    desk.far.script, desk.far.headers = [429], {"retry-after": "3000"}
    desk.delivery.run_once()
    desk.later(seconds=2999)
    desk.delivery.run_once()
    assert desk.far.got == []
    desk.later(seconds=1)
    desk.delivery.run_once()
    assert len(desk.far.got) == 1


def test_the_breaker_opens_and_one_message_is_the_probe(desk: Desk) -> None:
    desk.batch = 10
    desk.policy = replace(desk.policy, breaker_failures=2)
    cards(desk.books, 5)
    desk.far.script = [LinkDown("away")] * 3
    breakers = []
    for _ in range(3):
        desk.delivery.run_once()
        breakers.append(desk.lane().breaker)
        desk.later(hours=1)
    assert breakers == ["closed", "open", "open"]
    desk.delivery.run_once()
    assert [len(some) for some in desk.far.got] == [1, 4] and desk.lane().breaker == "closed"


def test_a_refused_message_blocks_a_link_that_keeps_order(desk: Desk) -> None:
    cards(desk.books, 3)
    desk.far.script = [200, 422]
    desk.delivery.run_once()
    desk.later(hours=5)
    desk.delivery.run_once()
    assert desk.states() == ["delivered", "dead", "pending"]
    dead = desk.rows()[1]
    assert desk.lane().blocked_by == dead.id and dead.reason == "link_refused: HTTP 422"
    with desk.books.database.transaction() as connection:
        assert [(each.error, each.count) for each in steering.groups(connection)] == [("link_refused", 1)]
        steering.edit(connection, desk.books.database, dead.id, b'{"mended": true}')
        assert steering.requeue(connection, desk.books.database, Filter(links=[desk.link])) == 1
    desk.delivery.run_once()
    assert desk.states() == ["delivered"] * 3
    assert desk.far.ids == [f"evt_{row.id}" for row in desk.rows()]
    assert desk.far.got[1][0]["data"] == {"mended": True}


def test_where_order_may_break_the_others_go_on(desk: Desk) -> None:
    desk.policy = replace(desk.policy, order=RELAXED)
    cards(desk.books, 3)
    desk.far.script = [422]
    desk.delivery.run_once()
    assert desk.states() == ["dead", "delivered", "delivered"]
    with desk.books.database.transaction() as connection:
        assert steering.skip(connection, desk.books.database, Filter(state="dead"), "me", "old") == 1
    assert desk.states() == ["cancelled", "delivered", "delivered"]
    assert desk.rows()[0].reason == "me: old"


def test_of_a_batch_with_a_bad_message_only_that_one_dies(desk: Desk) -> None:
    desk.batch, desk.policy = 10, replace(desk.policy, order=RELAXED)
    cards(desk.books, 4)
    desk.far.script = [422, 422]
    for _ in range(3):
        desk.delivery.run_once()
        desk.later(hours=1)
    assert desk.states() == ["dead", "delivered", "delivered", "delivered"]


def test_a_worker_that_was_too_slow_changes_nothing(desk: Desk) -> None:
    """Its lease was over, another one has delivered meanwhile: the far side sees one id twice, and so do we."""
    desk.books.card(points=100)

    def overtaken() -> None:
        desk.later(minutes=10)
        assert desk.delivery.run_once() == 1

    desk.far.script = [overtaken]
    desk.delivery.run_once()
    assert len(desk.far.ids) == 2 and len(set(desk.far.ids)) == 1
    assert desk.states() == ["delivered"] and [row.attempts for row in desk.rows()] == [1]
    outcomes = {row[0] for row in desk.books.rows("SELECT outcome FROM outbox_attempt")}
    assert outcomes == {"delivered", "lease_lost"}


def test_a_worker_that_died_is_followed_by_another(desk: Desk) -> None:
    desk.books.card(points=100)

    def die() -> None:
        raise KeyboardInterrupt

    desk.far.script = [die]
    with pytest.raises(KeyboardInterrupt):
        desk.delivery.run_once()
    assert desk.delivery.run_once() == 0, "its lease still lasts"
    assert desk.lane().in_flight_to == desk.rows()[0].id
    desk.later(minutes=2)
    assert desk.delivery.run_once() == 1
    assert desk.states() == ["delivered"]


def test_of_absolute_values_only_the_newest_is_told(desk: Desk) -> None:
    desk.tell(BALANCE_CHANGED)
    desk.batch = 10
    card = desk.books.card(points=1_00)
    for n in range(3):
        desk.books.done(post(f"r{n}", use(card, redeem=10)))
    desk.delivery.run_once()
    rows = desk.rows()
    balances = [event["data"]["balance"] for some in desk.far.got for event in some]
    assert len(balances) == 1 and balances[0] == major(desk.books.balance(card), 2)
    assert [row.state for row in rows] == ["cancelled"] * (len(rows) - 1) + ["delivered"]
    assert rows[0].reason == f"superseded by {rows[-1].id}"


def test_an_older_value_that_comes_back_is_dropped(desk: Desk) -> None:
    desk.tell(BALANCE_CHANGED)
    desk.policy = replace(desk.policy, order=RELAXED)
    card = desk.books.card(points=1_00)
    desk.far.script = [422]
    desk.delivery.run_once()
    desk.books.done(post("r", use(card, redeem=10)))
    desk.delivery.run_once()
    with desk.books.database.transaction() as connection:
        assert steering.requeue(connection, desk.books.database, Filter()) == 1
    desk.delivery.run_once()
    assert desk.states() == ["cancelled", "delivered"] and len(desk.far.got) == 1


def test_what_need_not_be_told_is_no_success(desk: Desk) -> None:
    """A link that fails goes on failing while old values are dropped."""
    desk.tell(BALANCE_CHANGED)
    card = desk.books.card(points=1_00)
    desk.far.script = [LinkDown("away")] * 3
    desk.delivery.run_once()
    desk.books.done(post("r", use(card, redeem=10)))
    desk.later(hours=1)
    desk.batch = 10
    desk.delivery.run_once()
    lane = desk.lane()
    assert lane.failures == 2 and lane.last_success_at is None


def test_a_dead_letter_is_requeued_while_later_ones_are_under_way(desk: Desk) -> None:
    desk.policy = replace(desk.policy, order=RELAXED)
    cards(desk.books, 3)
    requeued: list[int] = []

    def meddle() -> None:
        with desk.books.database.transaction() as connection:
            requeued.append(steering.requeue(connection, desk.books.database, Filter()))

    desk.far.script = [422, meddle]
    desk.later(hours=1)
    desk.delivery.run_once()
    assert requeued == [1]
    desk.delivery.run_once()
    assert desk.states() == ["delivered"] * 3 and len(desk.far.ids) == 3


def test_failures_of_one_kind_do_not_count_for_another(desk: Desk) -> None:
    """After an outage of days one answer that nobody understands is not the last one."""
    cards(desk.books, 1)
    desk.policy = replace(desk.policy, attempts=Attempts(bad_reply=2))
    desk.far.script = [*[LinkDown("away")] * 5, BadReply("half"), LinkDown("away"), BadReply("half"), BadReply("half")]
    states = []
    for _ in range(9):
        desk.delivery.run_once()
        states += desk.states()
        desk.later(hours=1)
    assert states == ["pending"] * 8 + ["dead"]


def test_a_balance_that_falls_below_is_told_when_it_does(desk: Desk) -> None:
    desk.tell("balance_below", below={POINTS: 50_00})
    card = desk.books.card(points=60_00)
    for n in range(3):
        desk.books.done(post(f"r{n}", use(card, redeem=7_00, earn=0)))
    desk.delivery.run_once()
    assert [event["data"]["balance"] for some in desk.far.got for event in some] == ["46.00"]


def test_links_are_told_of_their_stores_only(desk: Desk) -> None:
    desk.tell(OPERATION_POSTED, stores=frozenset({URAL}))
    card = desk.books.card(points=100)
    desk.books.done(post("m", use(card)))
    desk.books.done(post("u", use(card), store=URAL))
    assert [msgspec.json.decode(row.body)["store"] for row in desk.rows()] == [URAL]


def test_a_paused_link_waits_and_goes_on(desk: Desk) -> None:
    cards(desk.books, 1)
    desk.delivery.run_once()
    cards(desk.books, 1)
    with desk.books.database.transaction() as connection:
        until = desk.books.database.now(connection) + timedelta(hours=1)
        assert steering.pause(connection, desk.link, until, "me", "works on the line") == 1
    desk.delivery.run_once()
    assert desk.states() == ["delivered", "pending"] and desk.lane().paused_by == "me"
    desk.later(hours=1)
    desk.delivery.run_once()
    assert desk.states() == ["delivered", "delivered"]


def test_nothing_newer_than_the_screen_is_skipped(desk: Desk) -> None:
    cards(desk.books, 3)
    shown = desk.rows()[1].id
    with desk.books.database.transaction() as connection:
        wanted = Filter(links=[desk.link], upto=shown)
        assert steering.count(connection, wanted) == (2, shown)
        assert steering.skip(connection, desk.books.database, wanted, "me", "not needed") == 2
    assert desk.states() == ["cancelled", "cancelled", "pending"]


def test_what_is_under_way_is_left_alone(desk: Desk) -> None:
    cards(desk.books, 2)
    skipped: list[int] = []

    def meddle() -> None:
        with desk.books.database.transaction() as connection:
            skipped.append(steering.skip(connection, desk.books.database, Filter(), "me", "no"))

    desk.far.script = [meddle]
    desk.delivery.run_once()
    assert skipped == [1] and desk.states() == ["delivered", "cancelled"]


def test_delivered_events_are_sent_again_under_their_ids(desk: Desk) -> None:
    cards(desk.books, 2)
    desk.delivery.run_once()
    with desk.books.database.transaction() as connection:
        stamps = desk.books.core.work.stamps
        assert steering.replay(connection, desk.books.database, stamps, Filter(links=[desk.link]))[0] == 2
    desk.delivery.run_once()
    assert desk.far.ids == desk.far.ids[:2] * 2


def test_a_clock_that_is_set_back_loses_and_reorders_nothing(desk: Desk) -> None:
    card = desk.books.card(points=100_00)
    desk.delivery.run_once()
    desk.far.script = [LinkDown("away")]
    desk.books.done(post("r1", use(card, redeem=100)))
    desk.delivery.run_once()
    desk.later(hours=-3)
    desk.books.core.work = replace(desk.books.core.work, stamps=Stamps())  # a process that starts anew
    outbox.follow(desk.books.database, desk.books.core.work.stamps)
    for n in (2, 3):
        desk.books.done(post(f"r{n}", use(card, redeem=100)))
    desk.later(minutes=20)
    desk.delivery.run_once()
    assert set(desk.states()) == {"delivered"}
    assert desk.far.ids == [f"evt_{row.id}" for row in desk.rows()]


def test_what_appears_late_is_found(desk: Desk) -> None:
    """A message whose transaction was slower than anybody expects lies before where the lane looks."""
    cards(desk.books, 1)
    desk.delivery.run_once()
    desk.later(hours=1)
    cards(desk.books, 1)
    desk.delivery.run_once()
    first = desk.rows()[0]
    late = {**first._mapping, "id": first.id + (1 << 20), "state": "pending", "body": msgspec.Raw(first.body)}
    with desk.books.database.transaction() as connection:
        outbox.put(connection, [late])
    desk.delivery.run_once()
    assert desk.states() == ["delivered"] * 3


def test_a_bug_in_an_adapter_is_seen_and_given_up(desk: Desk) -> None:
    cards(desk.books, 1)
    desk.policy = replace(desk.policy, attempts=Attempts(failed=2))
    desk.far.script = [ZeroDivisionError(), ZeroDivisionError()]
    for _ in range(2):
        desk.delivery.run_once()
        desk.later(hours=1)
    assert desk.states() == ["dead"] and desk.rows()[0].reason == "failed: ZeroDivisionError"


def test_others_are_told_of_a_dead_message(desk: Desk) -> None:
    watch = Subscription("watch", frozenset({MESSAGE_DEAD}))
    work = desk.books.core.work
    desk.books.core.work = replace(work, subscriptions=(*work.subscriptions, watch))
    cards(desk.books, 1)
    desk.far.script = [400]
    desk.delivery.run_once()
    (told,) = [row for row in desk.rows() if row.link == "watch"]
    assert msgspec.json.decode(told.body)["message"] == str(desk.rows()[0].id)


def test_links_of_other_stores_are_not_told_of_a_dead_message(desk: Desk) -> None:
    watch = Subscription("watch", frozenset({MESSAGE_DEAD}), frozenset({URAL}))
    work = desk.books.core.work
    desk.books.core.work = replace(work, subscriptions=(*work.subscriptions, watch))
    cards(desk.books, 1)
    desk.far.script = [400]
    desk.delivery.run_once()
    assert {row.link for row in desk.rows()} == {"crm"}


def puller(pages: list[int | Undelivered], seen: list[Any], card: str = "") -> Adapter:
    """An adapter whose pull learns a top-up a page, and remembers the page; an error ends it there."""

    def pull(job: Job, link: Link) -> Calling[None]:
        seen.append(job.state)
        while pages:
            page = pages.pop(0)
            if isinstance(page, Undelivered):
                raise page
            told = top_up(f"page-{page}", card, 100) if card else None
            yield Found((told,) if told else (), state={"page": page})
        yield Found(note="nothing more")

    return replace(webhook.ADAPTER, name="puller", push=None, login=None, pull=pull)


def pulled(desk: Desk, adapter: Adapter) -> Delivery:
    link = Link(desk.link, MOSCOW, ZoneInfo("Europe/Moscow"), {})
    out = Outgoing(link, adapter, desk.policy, {}, lambda again: desk.far)
    core = desk.books.core
    return Delivery(core, core.work.vault, {desk.link: out}, (), lambda: False)


def test_a_pull_begins_where_the_last_one_has_ended(desk: Desk) -> None:
    """After a success, a failure, a snooze, and when nothing was found: what was learned is booked, and once."""
    card, seen = desk.books.card(), list[Any]()
    pages: list[int | Undelivered] = [1, 2]
    delivery = pulled(desk, puller(pages, seen, card))
    assert delivery.run_once() == 1 and delivery.run_once() == 0, "not before it is due"
    for more in ([], [3, LinkDown("away")], [4, NotYet("closed", 60)], [5]):
        desk.later(hours=1)
        pages[:] = more
        delivery.run_once()
    desk.later(hours=1)
    delivery.run_once()
    assert [state and state["page"] for state in seen] == [None, 2, 2, 3, 4, 5]
    assert desk.books.balance(card, "RUB") == 5 * 100
    outcomes = [row[0] for row in desk.books.rows("SELECT outcome FROM outbox_attempt ORDER BY id")]
    assert outcomes == ["delivered", "delivered", "link_down", "not_yet", "delivered", "delivered"]


def test_a_pull_whose_facts_are_refused_is_seen(desk: Desk) -> None:
    delivery = pulled(desk, puller([1], [], "4000000000000000"))
    delivery.run_once()
    with desk.books.database.reading() as connection:
        (lane,) = [each for each in steering.queues(connection, desk.books.database) if each.way == "pull"]
    assert (lane.last_error, lane.last_detail) == ("link_refused", "the core has refused: card_not_found")


def test_what_a_pull_may_have_refused_is_told_and_does_not_keep_the_rest_away(desk: Desk) -> None:
    card = desk.books.card()

    def pull(job: Job, link: Link) -> Calling[None]:
        yield Found((top_up("bad", "4000000000000000", 100), top_up("good", card, 100)), 1, may_be_refused=True)
        yield Found(state=2, note="a shop that nobody has named")
        raise NotYet("more", 0)

    adapter = replace(webhook.ADAPTER, push=None, login=None, pull=pull)
    delivery = pulled(desk, adapter)
    (lane,) = delivery._claim(1, 1) if not delivery._prepare() else ()
    delivery._work(Turn(lane))
    assert desk.books.balance(card, "RUB") == 100
    with desk.books.database.reading() as connection:
        (tried,) = steering.looks(connection, desk.link, 5)
    assert tried.outcome == "not_yet"
    told = opened(desk.books.core.work.vault, tried.answer).decode().split("\n")
    assert told == ["card_not_found: TopUp bad", "a shop that nobody has named"]
    # No attempt is burnt, and it is its turn again at once.
    (again,) = delivery._claim(1, 1)
    assert (again.failures, again.state) == (0, "2")


def test_a_pull_that_goes_on_after_a_failure_fails_no_more(desk: Desk) -> None:
    """Also where more is to come; one that has got nowhere is as it was."""
    pages: list[int | Undelivered] = [LinkDown("away")]
    attempts: list[int] = []
    adapter = puller(pages, [])

    def pull(job: Job, link: Link) -> Calling[None]:
        attempts.append(job.attempt)
        yield from adapter.pull(job, link)  # type: ignore[misc]

    delivery = pulled(desk, replace(adapter, pull=pull))
    delivery.run_once()
    for more in ([NotYet("closed", 60)], [1, NotYet("more", 60)], [2]):
        desk.later(hours=1)
        pages[:] = more
        delivery.run_once()
    assert attempts == [1, 2, 2, 1]


def test_a_session_for_a_talk_ends_with_it_whatever_has_failed(desk: Desk) -> None:
    said: list[str] = []
    answers = [200, 401, 200, LinkDown("away")]

    def call(call: Call, session: Session | None, deadline: float) -> Reply:
        assert isinstance(call, HttpCall)
        said.append(f"{call.path} {(session.headers if session else {}).get('token', '')}".strip())
        answer = answers.pop(0) if call.path == "push" else 200
        if isinstance(answer, Exception):
            raise answer
        return HttpReply(answer, {}, f"t{len(said)}".encode())

    def login(secrets: Any, link: Link) -> Calling[Session]:
        reply = yield from http(HttpCall("POST", "login"))
        return Session({"token": reply.body.decode()}, 3600, goodbye=HttpCall("POST", "goodbye"), for_talk=True)

    def push(job: Job, link: Link) -> Calling[None]:
        checked((yield from http(HttpCall("POST", "push"))))

    desk.far.call = call  # type: ignore[method-assign]
    adapter = replace(webhook.ADAPTER, push=replace(webhook.ADAPTER.push, talk=push), login=login)  # type: ignore[type-var]
    cards(desk.books, 3)
    link = Link(desk.link, MOSCOW, ZoneInfo("Europe/Moscow"), {"batch": 1})
    out = Outgoing(link, adapter, desk.policy, {}, lambda again: desk.far)
    core = desk.books.core
    Delivery(core, core.work.vault, {desk.link: out}, (), lambda: False).run_once()
    assert said == [
        *("login", "push t1", "goodbye t1"),
        *("login", "push t4", "goodbye t4", "login", "push t7", "goodbye t7"),
        *("login", "push t10", "goodbye t10"),
    ]


def test_a_session_is_used_until_it_is_over_and_ended_with_a_goodbye(desk: Desk) -> None:
    """One login for many calls, another one when the far side knows the session no more, and a goodbye at the end."""
    said: list[str] = []
    answers = [200, 401, 200]

    def call(call: Call, session: Session | None, deadline: float) -> Reply:
        assert isinstance(call, HttpCall)
        token = (session.headers if session else {}).get("token", "")
        said.append(f"{call.path} {token}".strip())
        is_push = call.path == "push"
        return HttpReply(answers.pop(0) if is_push else 200, {}, f"t{len(said)}".encode())

    def login(secrets: Any, link: Link) -> Calling[Session]:
        reply = yield from http(HttpCall("POST", "login"))
        return Session({"token": reply.body.decode()}, 3600, goodbye=HttpCall("POST", "goodbye"))

    def push(job: Job, link: Link) -> Calling[None]:
        checked((yield from http(HttpCall("POST", "push"))))

    desk.far.call = call  # type: ignore[method-assign]
    adapter = replace(webhook.ADAPTER, push=replace(webhook.ADAPTER.push, talk=push), login=login)  # type: ignore[type-var]
    cards(desk.books, 2)
    link = Link(desk.link, MOSCOW, ZoneInfo("Europe/Moscow"), {"batch": 1})
    out = Outgoing(link, adapter, desk.policy, {}, lambda again: desk.far)
    core = desk.books.core
    Delivery(core, core.work.vault, {desk.link: out}, (), lambda: False).run_once()
    assert said == ["login", "push t1", "push t1", "login", "push t4", "goodbye t4"]
    # A failure ends it too, and so does one that nobody expects.
    said.clear()
    cards(desk.books, 1)
    answers[:] = [503]
    delivery = Delivery(core, core.work.vault, {desk.link: out}, (), lambda: False)
    claims = iter([delivery._claim(1, 1)])
    delivery._claim = lambda *_: next(claims)  # type: ignore[method-assign]
    with pytest.raises(StopIteration):
        delivery.run_once()
    assert said == ["login", "push t1", "goodbye t1"] and "pending" in desk.states()


def test_a_session_that_grows_old_is_left_before_the_next_begins() -> None:
    """Far sides count sessions: one that nobody uses any more is not kept until it ends by itself."""
    said: list[str] = []

    def call(call: Call, session: Session | None, deadline: float) -> Reply:
        assert isinstance(call, HttpCall)
        said.append(call.path)
        if call.path == "goodbye" and len(said) > 4:
            raise LinkDown("away")
        return HttpReply(200, {}, b"")

    def login(secrets: Any, link: Link) -> Calling[Session]:
        yield from http(HttpCall("POST", "login"))
        return Session({}, 0, goodbye=HttpCall("POST", "goodbye"))

    far: Any = FarEnd()
    far.call = call
    link = Link("crm", MOSCOW, ZoneInfo("Europe/Moscow"), {})
    out = Outgoing(link, replace(webhook.ADAPTER, login=login), DeliverySettings(), {}, lambda again: far)
    sessions, line = Sessions(), Line(out, far, 0)
    for _ in range(4):
        sessions.of(line)
    assert said == ["login", *["goodbye", "login"] * 3]


def test_links_that_fail_take_few_of_the_threads(desk: Desk) -> None:
    """And the line is tried once in a call: the outage has its own clock."""
    again: list[bool] = []
    delivery = desk.delivery
    delivery._links["crm"] = replace(delivery._links["crm"], transport=lambda told: again.append(told) or desk.far)  # type: ignore[func-returns-value]
    cards(desk.books, 1)
    desk.far.script = [LinkDown("away")]
    delivery.run_once()
    desk.later(hours=1)
    assert delivery._claim(4, 0) == []
    (lane,) = delivery._claim(4, 1)
    delivery._work(Turn(lane))
    assert again == [True, False] and desk.states() == ["delivered"]


def test_links_that_fall_silent_at_once_do_not_hold_up_the_others(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than there are threads: whoever owes an answer takes nobody's place."""
    monkeypatch.setattr("gateway.delivery.SLOW_SECONDS", 0.01)
    monkeypatch.setattr("gateway.delivery.IDLE_SECONDS", 0.01)
    silent = [f"silent-{n}" for n in range(3)]
    told = {code: FarEnd() for code in (*silent, "speaks")}
    answers, done = threading.Event(), threading.Event()
    for code in silent:
        told[code].script = [lambda: answers.wait(60) and None]
    kinds = frozenset({OPERATION_POSTED})
    work = desk.books.core.work
    desk.books.core.work = replace(work, subscriptions=tuple(Subscription(code, kinds) for code in told))
    cards(desk.books, 1)
    delivery = desk.delivery_of(told, threads=2)
    monkeypatch.setattr(delivery, "_is_stopped", done.is_set)
    thread = threading.Thread(target=delivery.run)
    thread.start()
    try:
        wait_until(lambda: told["speaks"].ids)
        assert not answers.is_set() and not any(told[code].ids for code in silent)
    finally:
        answers.set()
        done.set()
        thread.join()


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=150))
def test_slow_threads_and_those_of_failing_links_have_their_bounds(busy: list[tuple[bool, bool]]) -> None:
    """Of (fails, is slow): whatever is busy, what is begun keeps within the bounds."""
    delivery = object.__new__(Delivery)
    delivery._threads, delivery._failing_threads = 16, 4
    lanes = [replace(LANE, failures=int(fails)) for fails, _ in busy]
    out: Any = None
    since = time.monotonic() - 2 * SLOW_SECONDS
    turns = [
        Turn(lane, Line(out, out, 0, waits_since=since if is_slow else None))
        for lane, (_, is_slow) in zip(lanes, busy, strict=True)
    ]
    room, failing_room = delivery._room(turns)
    assert len(busy) + room <= 16 + SLOW_THREADS
    assert sum(not is_slow for _, is_slow in busy) + room <= 16
    assert sum(fails for fails, _ in busy) + failing_room <= (16 + SLOW_THREADS) // 4
    assert sum(fails and not is_slow for fails, is_slow in busy) + failing_room <= 4


def test_delivery_starts_when_the_database_comes_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    cards(desk.books, 1)
    opened_lanes, calls = outbox.open_lanes, list[int]()

    def away(*told: Any) -> None:
        calls.append(1)
        if len(calls) < 3:
            raise OperationalError("connect", {}, Exception())
        opened_lanes(*told)

    monkeypatch.setattr(outbox, "open_lanes", away)
    monkeypatch.setattr("gateway.delivery.IDLE_SECONDS", 0.01)
    done = threading.Event()
    delivery = desk.delivery
    monkeypatch.setattr(delivery, "_is_stopped", done.is_set)
    thread = threading.Thread(target=delivery.run)
    thread.start()
    try:
        wait_until(lambda: desk.states() == ["delivered"])
    finally:
        done.set()
        thread.join()


def test_old_messages_are_thrown_away_and_open_ones_kept(desk: Desk) -> None:
    cards(desk.books, 2)
    desk.far.script = [200, LinkDown("away")]
    desk.delivery.run_once()
    desk.later(days=40)
    with desk.books.database.transaction() as connection:
        before = desk.books.database.now(connection) - timedelta(days=30)
        assert steering.forget(connection, before, 100) >= 1
    assert desk.states() == ["pending"]


@given(failures=st.integers(1, 200), first=st.integers(1, 60), most=st.integers(1, 3600), jitter=st.integers(0, 60))
def test_waits_grow_up_to_their_bound(failures: int, first: int, most: int, jitter: int) -> None:
    policy = DeliverySettings(first_seconds=first, most_seconds=most, jitter_seconds=jitter)
    waited = wait_seconds(policy, failures)
    assert min(first, most) <= waited <= most + jitter
    assert waited <= first * 2 ** (failures - 1) + jitter


def test_many_workers_deliver_each_message_once_and_in_order(postgresql: Books) -> None:
    """Sixteen threads of four workers, eight links."""
    postgresql.run_live()
    ends = {f"link-{n}": FarEnd() for n in range(8)}
    told = tuple(Subscription(link, frozenset({OPERATION_POSTED})) for link in ends)
    postgresql.core.work = replace(postgresql.core.work, subscriptions=told)
    zone = ZoneInfo("Europe/Moscow")
    outs = {
        code: Outgoing(
            Link(code, MOSCOW, zone, {"path": "", "batch": 3}),
            webhook.ADAPTER,
            DeliverySettings(),
            SECRETS,
            lambda again, end=end: end,  # type: ignore[misc]
        )
        for code, end in ends.items()
    }
    done = threading.Event()
    workers = [
        threading.Thread(target=Delivery(postgresql.core, postgresql.core.work.vault, outs, (), done.is_set, 4).run)
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    cards(postgresql, 12)
    wait_until(lambda: not postgresql.rows("SELECT 1 FROM outbox_message WHERE state = 'pending'"))
    done.set()
    for worker in workers:
        worker.join()
    for code, end in ends.items():
        rows = postgresql.rows("SELECT id FROM outbox_message WHERE link = :link ORDER BY id", link=code)
        assert end.ids == [f"evt_{row[0]}" for row in rows] and len(rows) == 12


def wait_until(is_so: Callable[[], Any], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.02)


# Parts, and what a talk asks ----------------------------------------------------------------------------------------


def pushed(desk: Desk, talk: Callable[[Job, Link], Calling[Any]]) -> Delivery:
    """What delivers the desk's messages by this talk, ten at a time."""
    assert webhook.ADAPTER.push is not None
    push = replace(webhook.ADAPTER.push, talk=talk, batch=lambda link: 10)
    link = Link(desk.link, MOSCOW, ZoneInfo("Europe/Moscow"), {})
    out = Outgoing(link, replace(webhook.ADAPTER, push=push, login=None), desk.policy, {}, lambda again: desk.far)
    core = desk.books.core
    return Delivery(core, core.work.vault, {desk.link: out}, core.work.subscriptions, lambda: False)


def test_a_part_that_is_delivered_is_done_and_the_others_come_again(desk: Desk) -> None:
    cards(desk.books, 5)
    seen: list[list[int]] = []

    def talk(job: Job, link: Link) -> Calling[int | None]:
        seen.append([message.id for message in job.messages])
        yield from ()
        return 2 if len(job.messages) > 2 else None

    pushed(desk, talk).run_once()
    ids = [row.id for row in desk.rows()]
    assert seen == [ids, ids[2:], ids[4:]] and set(desk.states()) == {"delivered"}


@pytest.mark.parametrize("done", [0, 6, -1])
def test_a_talk_that_counts_wrong_is_a_bug_and_nothing_is_taken_for_delivered(desk: Desk, done: int) -> None:
    cards(desk.books, 5)

    def talk(job: Job, link: Link) -> Calling[int | None]:
        yield from ()
        return done

    pushed(desk, talk).run_once()
    assert set(desk.states()) == {"pending"} and desk.lane().last_error == "failed"


def test_a_talk_asks_the_books_and_busy_ones_burn_no_attempt(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    card = desk.books.card(points=100)
    found: list[Balances] = []

    def talk(job: Job, link: Link) -> Calling[None]:
        found.append((yield from read(ReadBalances(refs=(Ref("card", card),)))))

    core = desk.books.core
    monkeypatch.setattr(core, "answer", lambda asked: [Busy("later")])
    pushed(desk, talk).run_once()
    assert desk.states() == ["pending"] and desk.lane().failures == 0 and not found
    monkeypatch.undo()
    desk.later(minutes=1)
    pushed(desk, talk).run_once()
    assert desk.states() == ["delivered"] and found[0].balances[0].balance == 100
