"""Requests that come together travel together, and each gets exactly what it asked for."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.gather import Gather
from processing.errors import Busy, LoyaltyError, Refusal
from processing.results import Result

PATIENCE_SECONDS = 20


class Echo(Result, frozen=True, tag=True, kw_only=True):
    """What was asked, said again."""

    asked: int


class Runner:
    """Runs batches of numbers and remembers them; waits at ``gate`` when it is shut, and fails on negative ones."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.running = 0
        self.greatest_running = 0

    def __call__(self, asks: Sequence[int]) -> list[Any]:
        self.running += 1
        self.greatest_running = max(self.greatest_running, self.running)
        self.batches.append(list(asks))
        self.entered.release()
        assert self.gate.wait(PATIENCE_SECONDS)
        self.running -= 1
        if any(ask < 0 for ask in asks):
            raise ZeroDivisionError("a bug in the core")
        return [Refusal(str(ask)) if ask % 7 == 0 else Echo(asked=ask) for ask in asks]


def gather(
    run: Callable[[Sequence[int]], list[Any]], limit: int = 1_000, seconds: float = 20, batch: int = 64
) -> Gather[int]:
    return Gather(run, limit=limit, seconds=seconds, batch=batch)


class Asking(threading.Thread):
    """A request in a thread of its own; ``outcome`` is what it got or what was raised."""

    def __init__(self, books: Gather[int], *asks: int) -> None:
        super().__init__(daemon=True)
        self.books, self.asks = books, asks
        self.outcome: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self.books(self.asks)
        except Exception as error:
            self.outcome = error

    def done(self) -> Any:
        self.join(PATIENCE_SECONDS)
        assert not self.is_alive(), "still waiting"
        return self.outcome


def is_answer_to(ask: int, outcome: Any) -> bool:
    if ask % 7 == 0:
        return isinstance(outcome, Refusal) and outcome.message == str(ask)
    return bool(outcome == Echo(asked=ask))


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < limit, "it never came to that"
        time.sleep(0.001)


def waiting(books: Gather[int]) -> int:
    return len(books._queue)


def test_lonely_request_runs_at_once_in_its_own_thread() -> None:
    run = Runner()
    books = gather(run)
    assert books([3, 4]) == [Echo(asked=3), Echo(asked=4)]
    assert books([5]) == [Echo(asked=5)]
    assert run.batches == [[3, 4], [5]]


def test_what_comes_while_a_batch_runs_travels_together_in_the_next() -> None:
    run = Runner()
    books = gather(run)
    run.gate.clear()
    first = Asking(books, 1)
    assert run.entered.acquire(timeout=PATIENCE_SECONDS)
    later = []
    for n in range(2, 12):
        later.append(Asking(books, n))
        until(lambda: waiting(books) == len(later))
    assert len(run.batches) == 1
    run.gate.set()
    for asking in [first, *later]:
        (outcome,) = asking.done()
        assert is_answer_to(asking.asks[0], outcome)
    assert run.batches == [[1], list(range(2, 12))]


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=12), batch=st.integers(1, 10))
def test_batch_is_never_longer_than_its_bound_and_keeps_requests_whole_and_in_order(
    sizes: list[int], batch: int
) -> None:
    run = Runner()
    books = gather(run, batch=batch)
    run.gate.clear()
    askings = [Asking(books, 0)]
    assert run.entered.acquire(timeout=PATIENCE_SECONDS)
    number = 1
    for n, size in enumerate(sizes, 1):
        askings.append(Asking(books, *range(number, number + size)))
        number += size
        until(lambda n=n: waiting(books) == n)  # type: ignore[misc]
    run.gate.set()
    for asking in askings:
        assert all(map(is_answer_to, asking.asks, asking.done()))
    assert [ask for each in run.batches for ask in each] == list(range(number))
    longest = max(batch, *sizes)
    assert all(len(each) <= longest for each in run.batches)
    for each in run.batches[1:]:
        is_one_request = len(each) in sizes
        assert len(each) <= batch or is_one_request


def test_every_ask_gets_its_own_outcome_under_load_and_one_batch_runs_at_a_time() -> None:
    run = Runner()

    def slowly(asks: Sequence[int]) -> list[Any]:
        time.sleep(random.random() / 2_000)
        return run(asks)

    books = gather(slowly, batch=8)
    wrong: list[Any] = []

    def client(base: int) -> None:
        for n in range(60):
            asks = [base + n * 3 + i for i in range(n % 3 + 1)]
            if not all(map(is_answer_to, asks, books(asks))):
                wrong.append(asks)

    threads = [threading.Thread(target=client, args=(1_000 * n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    assert run.greatest_running == 1
    asked = sorted(ask for each in run.batches for ask in each)
    assert asked == sorted(set(asked)), "something was run twice"
    assert len(asked) == 16 * 20 * (1 + 2 + 3)
    assert len(run.batches) < 16 * 60, "nothing ever travelled together"


def test_exception_reaches_all_of_its_batch_and_the_next_batch_works() -> None:
    run = Runner()
    books = gather(run, batch=3)
    run.gate.clear()
    first = Asking(books, 1)
    assert run.entered.acquire(timeout=PATIENCE_SECONDS)
    doomed = [Asking(books, 2)]
    until(lambda: waiting(books) == 1)
    doomed.append(Asking(books, -1))
    until(lambda: waiting(books) == 2)
    doomed.append(Asking(books, 3))
    until(lambda: waiting(books) == 3)
    later = Asking(books, 4)
    until(lambda: waiting(books) == 4)
    run.gate.set()
    assert first.done() == [Echo(asked=1)]
    assert [type(asking.done()) for asking in doomed] == [ZeroDivisionError] * 3
    assert later.done() == [Echo(asked=4)]
    with pytest.raises(ZeroDivisionError):
        books([-5])
    assert books([5]) == [Echo(asked=5)]


def test_too_many_waiting_requests_are_told_to_come_again_and_nothing_of_them_runs() -> None:
    run = Runner()
    books = gather(run, limit=2)
    run.gate.clear()
    askings = [Asking(books, 1)]
    assert run.entered.acquire(timeout=PATIENCE_SECONDS)
    for n in (2, 3):
        askings.append(Asking(books, n))
        until(lambda n=n: waiting(books) == n - 1)  # type: ignore[misc]
    with pytest.raises(Busy):
        books([4])
    run.gate.set()
    assert [asking.done() for asking in askings] == [[Echo(asked=n)] for n in (1, 2, 3)]
    assert books([5]) == [Echo(asked=5)]
    assert 4 not in [ask for each in run.batches for ask in each]


def test_request_that_waits_too_long_is_told_to_come_again() -> None:
    run = Runner()
    books = gather(run, seconds=0.05)
    run.gate.clear()
    first = Asking(books, 1)
    assert run.entered.acquire(timeout=PATIENCE_SECONDS)
    late = Asking(books, 2)
    assert isinstance(late.done(), Busy)
    assert waiting(books) == 0
    run.gate.set()
    assert first.done() == [Echo(asked=1)]
    assert books([3]) == [Echo(asked=3)]
    assert run.batches == [[1], [3]], "what was given up before its batch began was run all the same"


def test_a_request_may_wait_for_less_time_than_others() -> None:
    run = Runner()
    books = gather(run)
    run.gate.clear()
    first = Asking(books, 1)
    assert run.entered.acquire(timeout=PATIENCE_SECONDS)
    with pytest.raises(Busy):
        books([2], 0.01)
    run.gate.set()
    assert first.done() == [Echo(asked=1)]
    assert run.batches == [[1]]


def test_time_out_of_one_whose_batch_runs_already_disturbs_nobody() -> None:
    run = Runner()
    books = gather(run, seconds=0.2)
    run.gate.clear()
    first = Asking(books, 1)
    assert run.entered.acquire(timeout=PATIENCE_SECONDS)
    second = Asking(books, 2)
    until(lambda: waiting(books) == 1)
    third = Asking(books, 3)
    until(lambda: waiting(books) == 2)
    run.gate.set()
    assert run.entered.acquire(timeout=PATIENCE_SECONDS)
    assert first.done() == [Echo(asked=1)]
    for asking in (second, third):
        outcome = asking.done()
        assert outcome == [Echo(asked=asking.asks[0])] or isinstance(outcome, Busy)
    assert books([4]) == [Echo(asked=4)]


def test_lead_is_never_lost_when_those_who_wait_give_up() -> None:
    """Time-outs and the handing on of the lead race; somebody must always be at work or nobody waiting."""
    run = Runner()

    def slowly(asks: Sequence[int]) -> list[Any]:
        time.sleep(0.002)
        return run(asks)

    books = gather(slowly, seconds=0.002, batch=1)

    def client(base: int) -> None:
        for n in range(25):
            try:
                assert is_answer_to(base + n, books([base + n])[0])
            except Busy:
                continue

    threads = [threading.Thread(target=client, args=(1_000 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    assert books([1]) == [Echo(asked=1)]
    assert not books._is_running
    assert waiting(books) == 0


def test_nothing_asked_is_nothing_answered() -> None:
    assert gather(Runner())([]) == []


def test_refusals_are_outcomes_and_not_exceptions() -> None:
    (outcome,) = gather(Runner())([7])
    assert isinstance(outcome, LoyaltyError)
