"""Far sides that count calls by login: one talk at a time, a call every so many seconds, one login for all of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapters import webhook
from adapters.contract import Call, Calling, HttpCall, HttpReply, Job, Link, Pace, Push, Reply, Session, checked, http
from gateway.delivery_policy import DeliverySettings
from gateway.far_side import FarSide
from gateway.talks import Books, Line, Outgoing, Sessions, lead
from gateway.turns import AGAIN_SECONDS, THROTTLED_SECONDS, Turn, Turns
from gateway.worker import login_of
from processing.errors import LinkDown, NotYet
from tests.adapters.iiko_cloud.stub import AT

SECRET = "the secret of a login"
PACE = Pace(lambda link: link.options["every"], frozenset({"login"}))


@dataclass
class Clock:
    """Time that passes only where somebody waits."""

    at: int = 1_000
    waits: list[int] = field(default_factory=list)

    def sleep(self, seconds: Any) -> None:
        assert seconds > 0
        self.waits.append(seconds)
        self.at += seconds

    def turn(self) -> Turn:
        return Turn(lambda: self.at, self.sleep)


@dataclass
class Far:
    """Answers by its script, then 200; knows the instants of its calls."""

    clock: Clock
    script: list[int] = field(default_factory=list)
    calls: list[tuple[int, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def call(self, call: Call, session: Session | None, deadline: float) -> Reply:
        assert isinstance(call, HttpCall)
        self.calls.append((self.clock.at, call.path))
        return HttpReply(self.script.pop(0) if self.script else 200, self.headers, b"the answer")

    def shelf(self) -> Any: ...

    def close(self) -> None: ...


def login(secrets: Any, link: Link) -> Calling[Session]:
    checked((yield from http(HttpCall("POST", "login", body=SECRET.encode(), signed=False))))
    return Session({}, 60)


def thrice(job: Job, link: Link) -> Calling[None]:
    for n in range(3):
        checked((yield from http(HttpCall("POST", f"call{n}", body=b"what was said"))))


PACED = replace(webhook.ADAPTER, push=Push(frozenset({"x"}), thrice), login=login, pace=PACE)
BOOKS: Any = Books(lambda found: None, lambda query: None)


def speaks(far: Far, code: str = "a", every: int = 2) -> Line:
    link = Link(code, "bistro", ZoneInfo("Europe/Moscow"), {"every": every})
    out = Outgoing(link, PACED, DeliverySettings(), {}, lambda again: far, login="one login")  # type: ignore[arg-type,return-value]
    return Line(out, far, 1e9)  # type: ignore[arg-type]


def sessions_of(clock: Clock) -> Sessions:
    told = Turns()
    told._turns["one login"] = clock.turn()
    return Sessions(told)


def test_calls_of_a_login_keep_their_distance_whoever_makes_them() -> None:
    clock = Clock()
    far, sessions = Far(clock), sessions_of(clock)
    for code in ("a", "b"):
        assert lead(speaks(far, code), sessions, thrice, Job(AT), BOOKS) is None
    instants = [at for at, _ in far.calls]
    assert [path for _, path in far.calls] == ["login", "call0", "call1", "call2"] * 2
    assert [later - at for at, later in pairwise(instants)] == [2] * 7


def test_time_that_has_passed_is_not_waited_for() -> None:
    clock = Clock()
    turn = clock.turn()
    turn.wait(5)
    clock.at += 3
    turn.wait(5)
    clock.at += 7
    turn.wait(5)
    assert clock.waits == [2]


def test_one_that_is_throttled_rests_with_all_its_links() -> None:
    for headers, seconds in (({}, THROTTLED_SECONDS), ({"retry-after": "90"}, 90)):
        clock = Clock()
        far, sessions = Far(clock, [200, 429], headers=headers), sessions_of(clock)
        assert isinstance(lead(speaks(far), sessions, thrice, Job(AT), BOOKS), LinkDown)
        told = lead(speaks(far, "b"), sessions, thrice, Job(AT), BOOKS)
        assert isinstance(told, NotYet) and told.retry_seconds == seconds
        assert len(far.calls) == 2, "it is not even called"
        clock.at += int(seconds)
        assert lead(speaks(far), sessions, thrice, Job(AT), BOOKS) is None


def test_a_talk_that_goes_on_though_it_was_throttled_does_not_keep_its_thread_asleep() -> None:
    def deaf(job: Job, link: Link) -> Calling[None]:
        for _ in range(2):
            yield from http(HttpCall("POST", "call"))

    clock = Clock()
    far, sessions = Far(clock, [200, 429], headers={"retry-after": "86400"}), sessions_of(clock)
    told = lead(speaks(far), sessions, deaf, Job(AT), BOOKS)
    assert isinstance(told, NotYet) and told.retry_seconds == 86_400
    assert len(far.calls) == 2 and sum(clock.waits) == 2


def test_who_finds_another_talk_comes_again_and_burns_no_attempt() -> None:
    turn = Clock().turn()
    with turn.talk(), pytest.raises(NotYet) as told, turn.talk(0):
        raise AssertionError
    assert told.value.retry_seconds == AGAIN_SECONDS
    with turn.talk(0):
        pass


def test_who_waits_for_a_turn_takes_no_place_of_those_who_could_speak() -> None:
    """Delivery counts such a thread among the slow ones."""
    clock = Clock()
    line, sessions = speaks(Far(clock)), sessions_of(clock)

    class Watched(Turn):
        @contextmanager
        def talk(self, most: float = 0) -> Iterator[float]:
            assert line.waits_since is not None
            yield 3
            assert line.waits_since is None

    sessions._turns._turns["one login"] = Watched(lambda: clock.at, clock.sleep)
    until = line.deadline
    assert lead(line, sessions, thrice, Job(AT), BOOKS) is None
    assert line.deadline == until + 3, "the time of the talk begins with its turn"


def test_threads_share_one_login_and_never_speak_at_once() -> None:
    clock = Clock()
    far, sessions = Far(clock), sessions_of(clock)
    lines = [speaks(far) for _ in range(8)]
    threads = [threading.Thread(target=lead, args=(line, sessions, thrice, Job(AT), BOOKS)) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [path for _, path in far.calls] == ["login", *["call0", "call1", "call2"] * 8]


def test_of_a_login_nothing_is_kept_but_that_it_was() -> None:
    clock = Clock()
    far = Far(clock, [401])
    line = speaks(far)
    lead(line, sessions_of(clock), thrice, Job(AT), BOOKS)
    assert line.said == b"POST login" and line.heard == b"HTTP 401"
    far.script = [200, 500]
    line = speaks(far)
    lead(line, sessions_of(clock), thrice, Job(AT), BOOKS)
    assert line.said == b"POST call0\nwhat was said" and line.heard == b"HTTP 500\nthe answer"


def test_links_of_one_login_are_known_by_its_secrets() -> None:
    def of(address: str = "https://far", **secrets: str) -> str:
        return login_of(FarSide(address, secrets=secrets), PACED)

    assert of(login="a", other="b") == of(login="a", other="c") != of(login="b", other="b")
    assert of(login="a") != of("https://else", login="a") and "a" * 3 not in of(login="aaa")
    assert login_of(FarSide("https://far", secrets={"login": "a"}), webhook.ADAPTER) == ""
