"""``kill -9`` in the middle of commands of every kind, everything sent again: each has one effect and one answer."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import msgspec

from processing.commands import (
    Accrue,
    Amount,
    CaptureHold,
    Command,
    Exchange,
    Line,
    MergeHolders,
    PayOut,
    PlaceHold,
    Redeem,
    ReleaseHold,
    ReturnLine,
    ReturnReceipt,
    SellGiftCard,
    TopUp,
    Transfer,
)
from processing.database import Database
from processing.errors import AlreadyVoided, LoyaltyError
from processing.execute import Outcome
from tests.forked import CONTEXT
from tests.processing.books import GIFT, MONEY, MOSCOW, POINTS, Books, adjust, post, receipt, ref, use, void

ROUNDS, BATCH = 8, 3
CALLS, COMMITS = 3_000, 3
"""Fewer than are in the last five batches, which are new to every process: each commits and makes over 1,000 calls."""
PATIENCE_SECONDS = 60
VOIDED = ("load", "capture")
"""What a round voids itself: sent again it is told so."""
LEFT = 28_400
"""What a round leaves of both cards' points, whether or not it was interrupted."""


@dataclass
class Kill:
    """``kill -9`` of the process by itself, inside of a batch behind so many; a profiler of Python's.

    So it comes for certain, however quick or slow the machine is. ``steps`` are events of this kind that are let pass;
    only those of ``function`` count, where it is named.
    """

    after: int
    steps: int
    event: str = "call"
    function: str = ""

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if event != self.event or self.function not in ("", frame.f_code.co_name):
            return
        if not self.steps:
            os.kill(os.getpid(), signal.SIGKILL)
        self.steps -= 1


def kills() -> list[Kill]:
    """With all of a batch written, with all of it kept and nobody told, and wherever else; each time of a later batch.

    Each process begins with the first batch again.
    """
    return [
        Kill(5, random.randrange(CALLS)),
        Kill(20, random.randrange(COMMITS), "call", "do_commit"),
        Kill(33, random.randrange(COMMITS), "return", "do_commit"),
        Kill(41, random.randrange(CALLS)),
    ]


def sent(round_number: int, first: str, second: str, gift: str) -> list[Command[Any]]:
    """A round: every kind of command that moves value, none of which is refused."""

    def named(name: str) -> dict[str, Any]:
        return {"store": MOSCOW, "keys": (f"{round_number}:{name}",)}

    def key(name: str) -> str:
        return f"{round_number}:{name}"

    lines = [Line(number=1, goods="soup", sum_minor=60_000, quantity_thousandths=3_000)]
    sale = receipt(60_000, lines)
    one = ReturnLine(number=1, quantity_thousandths=1_000)
    return [
        post(key("sale"), use(first, 3_000, earn=600), receipt=sale),
        PlaceHold(**named("hold"), card=ref(first), unit=POINTS, amount=2_000, seconds=600),
        CaptureHold(**named("capture"), hold=key("hold"), amount=1_500),
        ReturnReceipt(**named("back"), sale=key("sale"), receipt=receipt(0), lines=(one,)),
        SellGiftCard(**named("sell"), card=ref(gift), amount=100_000),
        Redeem(**named("part"), card=ref(gift), unit=MONEY, amount=40_000),
        Accrue(**named("accrue"), card=ref(second), amount=Amount(POINTS, 250)),
        TopUp(**named("load"), card=ref(second), amount=Amount(MONEY, 5_000)),
        void(key("load")),
        PlaceHold(**named("other"), card=ref(first), unit=POINTS, amount=500, seconds=600),
        ReleaseHold(**named("release"), hold=key("other")),
        Exchange(
            store=MOSCOW,
            returned=ReturnReceipt(**named("back2"), sale=key("sale"), receipt=receipt(0), lines=(one,)),
            sold=post(key("instead"), use(first, 1_000, earn=0)),
        ),
        Transfer(**named("move"), source=ref(first), target=ref(second), amount=Amount(POINTS, 700)),
        PayOut(**named("out"), card=ref(gift), unit=MONEY, amount=60_000),
        adjust(key("mend"), second, -50),
        void(key("capture")),
        MergeHolders(**named("merge"), source=ref(first), target=ref(second)),
    ]


def work(url: str, batches: Sequence[Sequence[Command[Any]]], pipe: Any, kill: Kill | None) -> None:
    books = Books.of(Database(url), None)
    for place, batch in enumerate(batches):
        sys.setprofile(kill if kill and place >= kill.after else None)
        outcomes = books.core.execute(batch)
        sys.setprofile(None)
        pipe.send((place, outcomes))
    pipe.send(None)


def heard(url: str, batches: Sequence[Sequence[Command[Any]]], kill: Kill | None) -> dict[int, list[Outcome]]:
    """What a process answers until it is killed; all of it without ``kill``."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=work, args=(url, batches, theirs, kill), daemon=True)
    process.start()
    theirs.close()
    answers: dict[int, list[Outcome]] = {}
    try:
        while ours.poll(PATIENCE_SECONDS) and (told := ours.recv()) is not None:
            place, answers[place] = told
    except EOFError:
        process.join(PATIENCE_SECONDS)
        assert kill is not None and process.exitcode == -signal.SIGKILL, "the process has died by itself"
    finally:
        process.kill()
        process.join(PATIENCE_SECONDS)
    return answers


def test_commands_have_one_effect_and_one_answer_over_kills_in_their_middle(books: Books) -> None:
    cards = [(books.card(20_000), books.card(10_000), books.card(product=GIFT, active=False)) for _ in range(ROUNDS)]
    commands = [command for n, three in enumerate(cards) for command in sent(n, *three)]
    batches = [commands[start : start + BATCH] for start in range(0, len(commands), BATCH)]
    first: dict[tuple[int, int], Any] = {}
    voided: set[tuple[int, int]] = set()
    script = kills()
    for kill in (*script, None):
        answers = heard(books.url, batches, kill)
        assert kill is None or kill.after <= len(answers) < len(batches), "nothing was interrupted"
        for place, outcomes in answers.items():
            for step, outcome in enumerate(outcomes):
                command = batches[place][step]
                if isinstance(outcome, AlreadyVoided) and kill is not script[0]:
                    # Its first answer was told, or lost with the process that had voided it in the same breath.
                    assert command.keys[0].partition(":")[2] in VOIDED
                    voided.add((place, step))
                    continue
                assert not isinstance(outcome, LoyaltyError), (command, outcome)
                assert plain(outcome) == first.setdefault((place, step), plain(outcome))
        books.check_laws()
    assert len(first.keys() | voided) == len(commands)
    for one, other, gift in cards:
        assert books.balance(one) == books.balance(other) == LEFT
        assert books.balances(gift)[MONEY].balance == 0


def plain(outcome: Any) -> Any:
    """The outcome as it was told first."""
    told = {name: plain(getattr(outcome, name)) for name in ("returned", "sold") if hasattr(outcome, "sold")}
    return msgspec.structs.replace(outcome, replayed=False, **told)
