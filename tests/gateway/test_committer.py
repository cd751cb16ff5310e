"""The committer's socket: what goes in as commands comes out as outcomes, whatever happens to either end."""

from __future__ import annotations

import multiprocessing
import shutil
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway import committer, server
from gateway.committer import MAX_FRAME, Client
from processing import results
from processing.commands import (
    ActivateCard,
    Adjust,
    Amount,
    AnyCommand,
    CardUse,
    Command,
    EnrolHolder,
    IssueCard,
    Line,
    PostReceipt,
    Receipt,
    Ref,
    RegisterHolder,
    RestoreReceipt,
    Tender,
    TopUp,
    VoidReceipt,
)
from processing.errors import Busy, InsufficientPoints, LoyaltyError, by_code
from processing.execute import Outcome

NOW = datetime(2026, 5, 4, 9, 0, 0, 123456, tzinfo=UTC)
CARD = Ref("card", "5550001234")
MOVED = results.CardMovement(
    card="5550001234", account=7, unit="BONUS", scale=2, redeemed=10, earned=3, balance=-5, available=-5
)
RESULTS: list[results.Result] = [
    results.ReceiptPosted(operation_id=1, at=NOW, cards=(MOVED, MOVED), flags=("debt", "дважды")),
    results.ReceiptPosted(operation_id=2**62, at=NOW),
    results.ReceiptVoided(outcome="reversed", operation_id=2, at=NOW, cards=(MOVED,)),
    results.ReceiptRestored(outcome="orphan", at=NOW),
    results.CardIssued(card_id=3, account=7, number="007", status="issued"),
    results.CardActivated(number="007", at=NOW, expires_at=None),
    results.HolderRegistered(holder_id=4, account=7),
    results.ToppedUp(operation_id=5, at=NOW, card=MOVED),
    results.Adjusted(operation_id=6, at=NOW, card=MOVED),
]
COMMANDS: list[AnyCommand] = [
    PostReceipt(
        store="s",
        keys=("a", "б"),
        content="c",
        actor="касса",
        receipt=Receipt(
            number="17",
            till="5",
            business_date=date(2026, 5, 4),
            closed_at=NOW,
            total_minor=10**15,
            lines=(Line(number=1, goods="301", name="Суп", sum_minor=-1),),
            tenders=(Tender(code="1", kind="cash", amount_minor=5),),
        ),
        cards=(
            CardUse(refs=(CARD,), redeem=(Amount("BONUS", 1),), earn=None),
            CardUse(refs=(CARD,), earn=(), spend_minor=9),
        ),
        stamp=NOW,
        supersede=True,
        fact=True,
        notes=("n",),
    ),
    VoidReceipt(store="s", keys=("a",), reason="return", stamp=NOW),
    RestoreReceipt(store="s", keys=("a",)),
    IssueCard(store="s", keys=("a",), product="p", wallet_of=CARD, identifiers=(CARD,), active=True),
    ActivateCard(store="s", keys=("a",), card=CARD),
    RegisterHolder(store="s", keys=("a",), card=CARD, name="Анна", birthday=date(1990, 2, 28)),
    EnrolHolder(
        store="s", keys=("a",), known=CARD, product="p", names=(CARD,), phone="+79210000001", details={"a": "b"}
    ),
    TopUp(store="s", keys=("a",), card=CARD, amount=Amount("RUB", 5)),
    Adjust(store="s", keys=("a",), card=CARD, amount=Amount("RUB", -5), reason="r", expires_days=3, allow_debt=True),
]
Execute = Callable[[Sequence[Command[Any]]], list[Outcome]]


def echo(commands: Sequence[Command[Any]]) -> list[Outcome]:
    """A different outcome for every key."""
    return [results.CardIssued(card_id=1, account=1, number=command.keys[0], status="issued") for command in commands]


def ask(key: str) -> VoidReceipt:
    return VoidReceipt(store="s", keys=(key,), reason="rollback")


def said(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.number for outcome in outcomes if isinstance(outcome, results.CardIssued)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.sock"


@contextmanager
def serving(path: Path, execute: Execute = echo) -> Iterator[list[int]]:
    """A committer in a thread; the sizes of its batches."""
    stop = threading.Event()
    sizes: list[int] = []
    listener = committer.listen(path)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            committer.serve(listener, execute, stop.is_set, lambda size, seconds: sizes.append(size))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield sizes
    finally:
        stop.set()
        committer.ping(path)
        thread.join(10)
        assert not thread.is_alive()
        listener.close()
    assert failures == [], "the committer died"


@contextmanager
def raw(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        yield connection


def test_commands_and_results_arrive_as_they_were_sent(path: Path) -> None:
    received: list[Command[Any]] = []

    def execute(commands: Sequence[Command[Any]]) -> list[Outcome]:
        received.extend(commands)
        return list(RESULTS[: len(commands)])

    with serving(path, execute):
        assert Client(path, 5)(COMMANDS) == RESULTS[: len(COMMANDS)]
        assert received == COMMANDS
        assert [type(each) for each in received] == [type(each) for each in COMMANDS]
        assert Client(path, 5)(COMMANDS[:1] * len(RESULTS)) == RESULTS


@pytest.mark.parametrize("code", sorted(by_code()))
def test_refusal_arrives_as_itself(path: Path, code: str) -> None:
    error = by_code()[code]("слова", unit="BONUS", asked=10**15)
    with serving(path, lambda commands: [error] * len(commands)):
        (outcome,) = Client(path, 5)([ask("a")])
    assert type(outcome) is type(error)
    assert isinstance(outcome, LoyaltyError)
    assert (outcome.code, outcome.message, dict(outcome.details)) == (code, "слова", {"unit": "BONUS", "asked": 10**15})


def test_one_clients_refusals_and_results_stay_in_their_order(path: Path) -> None:
    mixed: list[Outcome] = [RESULTS[0], InsufficientPoints("no", available=1), RESULTS[1]]
    with serving(path, lambda commands: mixed):
        outcomes = Client(path, 5)([ask("a")] * 3)
    assert [type(o) for o in outcomes] == [type(o) for o in mixed]


def test_threads_get_their_own_outcomes_and_travel_together(path: Path) -> None:
    def slowly(commands: Sequence[Command[Any]]) -> list[Outcome]:
        time.sleep(0.002)
        return echo(commands)

    wrong: list[str] = []
    with serving(path, slowly) as sizes:
        client = Client(path, 5)

        def run(name: int) -> None:
            for n in range(30):
                keys = [f"{name}-{n}-{i}" for i in range(n % 3 + 1)]
                if said(client([ask(key) for key in keys])) != keys:
                    wrong.append(keys[0])

        threads = [threading.Thread(target=run, args=(name,)) for name in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    assert sum(sizes) == 12 * 10 * (1 + 2 + 3)
    assert max(sizes) > 3, "nothing ever travelled together"


def serve_until_killed(path: Path) -> None:
    committer.serve(committer.listen(path), echo, lambda: False)


@contextmanager
def process(path: Path) -> Iterator[None]:
    """A committer in a process of its own, that ends by ``kill -9``."""
    child = multiprocessing.get_context("spawn").Process(target=serve_until_killed, args=(path,), daemon=True)
    child.start()
    limit = time.monotonic() + 20
    while time.monotonic() < limit:
        with suppress(OSError):
            committer.ping(path)
            break
        time.sleep(0.01)
    try:
        yield
    finally:
        child.kill()
        child.join(10)


def test_client_finds_the_committer_again_after_it_was_killed(path: Path) -> None:
    client = Client(path, 5)
    with pytest.raises(Busy):
        client([ask("early")])
    for name in ("first", "second"):
        with process(path):
            assert said(client([ask(name)])) == [name]
            assert said(client([ask(name)])) == [name]
    with pytest.raises(Busy):
        client([ask("late")])


def test_client_whose_committer_was_replaced_repeats_by_itself(path: Path) -> None:
    client = Client(path, 5)
    with process(path):
        assert said(client([ask("old")])) == ["old"]
    with process(path):
        assert said(client([ask("new")])) == ["new"]


def test_slow_committer_is_busy_and_its_late_answer_reaches_nobody_else(path: Path) -> None:
    gate = threading.Event()

    def execute(commands: Sequence[Command[Any]]) -> list[Outcome]:
        if commands[0].keys == ("slow",):
            gate.wait(10)
        return echo(commands)

    with serving(path, execute):
        client = Client(path, 0.2)
        with pytest.raises(Busy):
            client([ask("slow")])
        gate.set()
        for n in range(5):
            assert said(client([ask(f"next-{n}")])) == [f"next-{n}"]


def test_bug_in_the_core_fails_its_requests_and_the_committer_lives(path: Path) -> None:
    def execute(commands: Sequence[Command[Any]]) -> list[Outcome]:
        if any(command.keys == ("bug",) for command in commands):
            raise ZeroDivisionError
        return echo(commands)

    with serving(path, execute):
        client = Client(path, 5)
        assert said(client([ask("before")])) == ["before"]
        with pytest.raises(Busy):
            client([ask("bug")])
        assert said(client([ask("after")])) == ["after"]


def test_bug_met_by_a_client_that_is_gone_kills_nobody(path: Path) -> None:
    gone = threading.Event()

    def execute(commands: Sequence[Command[Any]]) -> list[Outcome]:
        if commands[0].keys == ("bug",):
            gone.wait(10)
            raise ZeroDivisionError
        return echo(commands)

    with serving(path, execute):
        with raw(path) as connection:
            connection.sendall(frame([ask("bug")]))
            time.sleep(0.1)
        gone.set()
        assert said(Client(path, 5)([ask("after")])) == ["after"]


def frame(commands: Sequence[Command[Any]]) -> bytes:
    payload = committer._encode(list(commands))
    return struct.pack(">I", len(payload)) + payload


@pytest.mark.parametrize(
    "nonsense",
    [struct.pack(">I", MAX_FRAME + 1) + b"x" * 1_000, struct.pack(">I", 3) + b"\xc1\xc1\xc1", frame([ask("cut")])[:-5]],
    ids=["oversized", "not msgpack", "cut short"],
)
def test_nonsense_ends_its_own_connection_only(path: Path, nonsense: bytes) -> None:
    with serving(path) as sizes:
        client = Client(path, 5)
        assert said(client([ask("before")])) == ["before"]
        with raw(path) as connection:
            connection.sendall(nonsense)
            if nonsense != frame([ask("cut")])[:-5]:
                assert connection.recv(100) == b""
        assert said(client([ask("after")])) == ["after"]
    assert sizes == [1, 1]


def test_frame_beyond_the_bound_is_refused_and_the_client_goes_on(path: Path) -> None:
    with serving(path) as sizes:
        client = Client(path, 5)
        with pytest.raises(LoyaltyError):
            client([ask("x" * (MAX_FRAME + 1))])
        assert said(client([ask("after")])) == ["after"]
    assert sizes == [1]


def test_large_frames_arrive_in_pieces_and_whole(path: Path) -> None:
    keys = [f"{n}-" + "x" * 2_000 for n in range(1_500)]
    with serving(path):
        assert said(Client(path, 10)([ask(key) for key in keys])) == keys


def test_frame_that_dribbles_in_is_understood(path: Path) -> None:
    message = frame([ask("slow line")])
    with serving(path), raw(path) as connection:
        for at in range(0, len(message), 3):
            connection.sendall(message[at : at + 3])
            time.sleep(0.001)
        answer = connection.recv(1_000)
    assert b"slow line" in answer


def test_client_that_leaves_before_its_answer_disturbs_nobody(path: Path) -> None:
    def slowly(commands: Sequence[Command[Any]]) -> list[Outcome]:
        time.sleep(0.05)
        return echo(commands)

    with serving(path, slowly):
        for _ in range(3):
            with raw(path) as connection:
                connection.sendall(frame([ask("gone")]))
        assert said(Client(path, 5)([ask("here")])) == ["here"]


def test_only_this_user_reaches_the_socket(path: Path) -> None:
    with serving(path):
        assert path.stat().st_mode & 0o077 == 0


def test_ping_tells_whether_somebody_listens(path: Path) -> None:
    with pytest.raises(OSError):
        committer.ping(path)
    with serving(path):
        committer.ping(path)


def test_a_long_folder_for_temporary_files_leaves_room_for_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    folder = server._folder()
    try:
        committer.listen(folder / committer.SOCKET_NAME).close()
    finally:
        shutil.rmtree(folder)
    assert not list(long.iterdir())
