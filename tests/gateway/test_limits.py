"""Nobody asks more often than agreed, and everybody is told how much is left."""

from __future__ import annotations

from gateway.limits import SECOND, Limits


class Clock:
    def __init__(self) -> None:
        self.seconds = 0

    def __call__(self) -> int:
        return self.seconds * SECOND


def test_a_minutes_worth_may_be_used_at_once_and_no_more() -> None:
    limits = Limits(Clock())
    taken = [limits.take("one", 60) for _ in range(61)]
    assert [one.remaining for one in taken[:60]] == list(range(59, -1, -1))
    assert all(one.retry_seconds == 0 for one in taken[:60])
    assert (taken[60].retry_seconds, taken[60].remaining, taken[60].reset_seconds) == (1, 0, 60)


def test_tokens_come_back_evenly_and_never_exceed_the_limit() -> None:
    clock = Clock()
    limits = Limits(clock)
    for _ in range(60):
        limits.take("one", 60)
    clock.seconds = 3
    assert [limits.take("one", 60).retry_seconds for _ in range(4)] == [0, 0, 0, 1]
    clock.seconds = 3_600
    assert limits.take("one", 60).remaining == 59


def test_a_slow_client_is_told_to_wait_for_as_long_as_it_takes() -> None:
    clock = Clock()
    limits = Limits(clock)
    assert limits.take("one", 1).retry_seconds == 0
    assert limits.take("one", 1).retry_seconds == 60
    clock.seconds = 59
    assert limits.take("one", 1).retry_seconds == 1
    clock.seconds = 60
    assert limits.take("one", 1).retry_seconds == 0


def test_clients_do_not_use_up_each_others_tokens() -> None:
    limits = Limits(Clock())
    limits.take("one", 1)
    assert limits.take("two", 1).retry_seconds == 0
    assert limits.take("one", 1).retry_seconds > 0


def test_the_number_of_clients_is_bounded() -> None:
    limits = Limits(Clock(), most=3)
    for name in "abcd":
        limits.take(name, 10)
    assert len(limits._credits) == 3
    assert "a" not in limits._credits


def test_headers_tell_what_is_left() -> None:
    assert Limits(Clock()).take("one", 60).headers() == {
        "RateLimit-Limit": "60",
        "RateLimit-Remaining": "59",
        "RateLimit-Reset": "1",
    }
