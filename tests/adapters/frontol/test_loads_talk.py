"""The handshake: whatever breaks, each accrual counts once at the till, and nothing of others is written over.

The outbox is played here by a list of what is pending, the folder by a dictionary; the till is till.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.contract import Calling, FileReply, FileWrite, Job, Link, Message
from adapters.frontol import ADAPTER
from adapters.frontol.loads import contents, journal
from adapters.frontol.options import FrontolOptions as Options
from processing.commands import ReadWallets
from processing.errors import BadReply, LinkDown, LinkRefused, NotYet, Undelivered
from processing.events import LOAD
from processing.results import WalletsTold
from tests.adapters.frontol.far_side import Shop
from tests.adapters.frontol.till import Till, read

START = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)
DATA, FLAG, JOURNAL = "tillgate.txt", "tillgate-flag.txt", "tillgate.txt.journal"


class Crash(Exception):
    """The worker dies here."""


@dataclass
class Office:
    """The outbox's side of one link: what is pending, and talks about it."""

    shelf: Shop = field(default_factory=Shop)
    pending: list[Message] = field(default_factory=list)
    delivered: list[int] = field(default_factory=list)
    now: datetime = START
    options: dict[str, Any] = field(default_factory=dict)
    calls: int = 0
    # What else happens before each call of a talk.
    meanwhile: Callable[[], None] = lambda: None

    @property
    def link(self) -> Link:
        return Link("till", "shop", ZoneInfo("Europe/Moscow"), Options().load({"loads": self.options}))

    def add(self, *numbers: int, command: str = "ADDCOUNTERVALUES") -> None:
        """A message each: to the card n an accrual of so many hundredths, or a kind of card."""
        for n in numbers:
            record = {"counter": 1, "amount": f"{n // 100}.{n % 100:02}", "binding": 3, "object": f"{n}"}
            if command != "ADDCOUNTERVALUES":
                record = {"code": n, "name": f"kind {n}"}
            self.pending.append(Message(n * 256, LOAD, {"command": command, "records": [record]}))

    def talk(self, most: int = 1_000, cut: int | None = None, before: bool = False) -> Undelivered | int | None:
        """A try of the outbox with so many messages; the worker dies before or after the call number ``cut``."""
        if not self.pending:
            return None
        told = self.tried(tuple(self.pending[:most]), cut, before)
        if isinstance(told, Undelivered):
            return told
        done = len(self.pending[:most]) if told is None else told
        self.delivered += [message.id for message in self.pending[:done]]
        del self.pending[:done]
        return done

    def tried(self, messages: tuple[Message, ...], cut: int | None, before: bool) -> Undelivered | int | None:
        assert ADAPTER.push is not None
        talk: Calling[Any] = ADAPTER.push.talk(Job(self.now, 1, messages), self.link)
        self.calls = 0
        try:
            said = next(talk)
            while True:
                self.meanwhile()
                if cut == self.calls and before:
                    raise Crash
                reply = WalletsTold(wallets=()) if isinstance(said, ReadWallets) else self.shelf.answer(said)
                if cut == self.calls:
                    raise Crash
                self.calls += 1
                said = talk.send(reply)
        except StopIteration as end:
            if cut is not None and cut >= self.calls:
                raise Crash from None  # after the last call, before the outbox has written it down
            return end.value  # type: ignore[no-any-return]
        except Undelivered as error:
            return error
        finally:
            talk.close()

    def later(self, **time: int) -> None:
        self.now += timedelta(**time)

    def until_done(self, till: Till) -> None:
        for _ in range(40):
            if not self.pending:
                return
            till.work()
            self.later(seconds=31)
            self.talk()
        raise AssertionError(f"never delivered: {self.talk()}")


def once(office: Office, till: Till, count: int) -> None:
    """Each of so many accruals counts once, and all are delivered."""
    assert {owner: cents for (_, _, owner), cents in till.counters.items()} == {str(n): n for n in range(1, count + 1)}
    assert office.delivered == [n * 256 for n in range(1, count + 1)]


def test_a_file_its_flag_its_mark_and_the_next_file() -> None:
    office = Office()
    till = Till(office.shelf)
    office.add(1, 2)
    assert isinstance(office.talk(), NotYet)
    assert office.shelf.files[FLAG] == b"" and office.shelf.files[DATA].startswith(
        b"##@@&&\r\n#\r\n$$$ADDCOUNTERVALUES\r\n"
    )
    office.add(3)
    assert isinstance(office.talk(), NotYet), "not before it is taken"
    assert len(read(office.shelf.files[DATA])[1]) == 2, "nobody touches a file that waits"
    till.work()
    assert office.talk() == 2, "a part, where others wait for the next file"
    assert isinstance(office.talk(), NotYet)
    till.work()
    assert office.talk() == 1
    once(office, till, 3)
    assert till.loads == 2


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("stage", ["first", "waits", "loaded", "second"])
def test_a_worker_that_dies_at_any_call_neither_loses_nor_repeats(stage: str, before: bool) -> None:
    for cut in range(12):
        office = Office()
        till = Till(office.shelf)
        office.add(1, 2, 3)
        if stage != "first":
            office.talk()
        if stage in ("loaded", "second"):
            till.work()
        if stage == "second":
            office.talk()
            office.add(4)
        count = 4 if stage == "second" else 3
        with pytest.raises(Crash):
            office.talk(cut=cut, before=before)
            if not office.pending or isinstance(office.talk(), NotYet):
                raise Crash  # the talk was shorter
        office.later(minutes=2)
        office.until_done(till)
        once(office, till, count)


@pytest.mark.parametrize("stop", ["saw the flag", "read the file", "marked the file", "took the flag away"])
def test_a_till_that_is_switched_off_at_any_step_goes_on_later(stop: str) -> None:
    office = Office()
    till = Till(office.shelf)
    office.add(1, 2)
    office.talk()
    for step in till.poll():
        if step == stop:
            break
    for _ in range(3):
        office.later(minutes=1)
        office.talk()
    office.until_done(till)
    once(office, till, 2)
    assert till.loads == 1


CUTS = st.none() | st.integers(0, 9)
# Whether the till goes on before each call.
STEPS = st.lists(st.booleans(), max_size=9)
ACTIONS = st.one_of(
    st.tuples(
        st.just("talk"), st.sampled_from([1, 3, 1_000]), CUTS, st.booleans(), st.lists(st.booleans(), max_size=9)
    ),
    st.tuples(st.just("till"), st.integers(0, 4)),
    st.tuples(st.just("off")),
    st.tuples(st.just("time"), st.integers(1, 90)),
    st.tuples(st.just("add"), st.integers(1, 3)),
    st.tuples(st.just("swap")),
)


@settings(max_examples=60)
@given(actions=st.lists(ACTIONS, max_size=40))
def test_in_any_order_of_what_happens_each_accrual_counts_once(actions: list[tuple[Any, ...]]) -> None:
    """Workers and till die anywhere, also while the other is at work; jobs grow and shrink, and a message comes that
    was booked before others."""
    office = Office()
    till = Till(office.shelf)
    looking: list[Iterator[str]] = [till.poll()]
    hidden: list[Message] = []
    count = 0

    def step() -> None:
        if next(looking[0], None) is None:
            looking[0] = till.poll()

    for name, *told in actions:
        if name == "talk":
            most, cut, before, steps = told
            turns = iter(steps)
            office.meanwhile = lambda turns=turns: step() if next(turns, False) else None  # type: ignore[misc]
            try:
                office.talk(most, cut, before)
            except Crash:
                office.later(seconds=60)
        elif name == "till":
            for _ in range(told[0]):
                step()
        elif name == "off":
            looking[0] = till.poll()
        elif name == "time":
            office.later(seconds=told[0])
        elif name == "add":
            office.add(*range(count + 1, count + told[0] + 1))
            count += told[0]
        elif hidden:
            office.pending = sorted([*office.pending, hidden.pop()], key=lambda each: each.id)
        elif len(office.pending) > 1:
            hidden.append(office.pending.pop(0))  # booked before the others, and committed behind them
    office.pending = sorted([*office.pending, *hidden], key=lambda each: each.id)
    office.meanwhile = lambda: None
    office.until_done(till)
    assert sorted(office.delivered) == [n * 256 for n in range(1, count + 1)]
    assert {owner: cents for (_, _, owner), cents in till.counters.items()} == {str(n): n for n in range(1, count + 1)}


def test_a_message_that_comes_before_what_was_loaded_does_not_make_anybody_forget_it() -> None:
    office = Office()
    till = Till(office.shelf)
    office.add(1, 2, 3)
    first, rest = office.pending[:1], office.pending[1:]
    office.pending = rest
    office.talk()
    till.work()
    office.pending = first + rest
    assert isinstance(office.talk(most=1), NotYet), "its line has failed: one message is the probe"
    till.work()
    assert office.talk() == 3
    once(office, till, 3)


def test_an_accrual_that_was_given_up_while_it_was_loaded_is_not_said_again_when_it_is_requeued() -> None:
    office = Office()
    till = Till(office.shelf)
    office.add(1, 2)
    office.talk()
    till.work()
    given_up, office.pending = office.pending, []
    for n in (3, 4, 5):
        office.add(n)
        office.until_done(till)
    office.pending = given_up
    assert office.talk() == 2
    assert till.counters == {("1", "3", str(n)): n for n in range(1, 6)}


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MAX_REMEMBERED", 3)
    office = Office()
    for n in range(1, 8):
        office.add(n)
        office.until_done(Till(office.shelf))
    assert msgspec.json.decode(office.shelf.files[JOURNAL])["before"] == [n * 256 for n in (4, 5, 6)]


def test_a_journal_that_nobody_understands_stops_the_link() -> None:
    office = Office()
    office.add(1)
    for spoilt in (b"", b"{}", b'{"step":"waiting"}', b"\xff"):
        office.shelf.files = {JOURNAL: spoilt}
        told(office, BadReply, "was it changed?")
    assert set(office.shelf.files) == {JOURNAL}


def test_a_message_that_is_there_twice_is_said_once() -> None:
    office = Office()
    till = Till(office.shelf)
    office.add(1)
    office.pending *= 2
    office.until_done(till)
    assert till.counters == {("1", "3", "1"): 1} and office.delivered == [256, 256]


# Others in the folder ---------------------------------------------------------------------------------------------


def told(office: Office, error: type[Undelivered], words: str) -> None:
    found = office.talk()
    assert type(found) is error and words in found.message


def test_another_programs_file_is_waited_for() -> None:
    office = Office()
    office.add(1)
    theirs = b"##@@&&\r\n#\r\n$$$ADDQUANTITY\r\n1;;Tea\r\n"
    office.shelf.files = {DATA: theirs}
    told(office, LinkDown, "another program's data file")
    office.shelf.files[FLAG] = b""
    told(office, LinkDown, "a flag stands in the folder that is not ours")
    assert office.shelf.files == {DATA: theirs, FLAG: b""}
    office.shelf.files = {DATA: theirs.replace(b"#\r\n$", b"@\r\n$")}
    assert isinstance(office.talk(), NotYet)
    assert b"ADDCOUNTERVALUES" in office.shelf.files[DATA]


def test_what_another_program_writes_meanwhile_is_not_written_over() -> None:
    office = Office()
    office.add(1)
    theirs = b"##@@&&\r\n#\r\n$$$ADDQUANTITY\r\n1;;Tea\r\n"
    quick = office.shelf.answer

    def call(said: Any) -> FileReply:
        if isinstance(said, FileWrite) and said.name == DATA:
            office.shelf.files[DATA] = theirs
        return quick(said)

    office.shelf.answer = call  # type: ignore[method-assign]
    assert isinstance(office.talk(), NotYet)
    assert office.shelf.files[DATA] == theirs and FLAG not in office.shelf.files


@pytest.mark.parametrize("gone", [None, b"##@@&&\r\n@\r\n$$$ADDQUANTITY\r\n1;;Tea\r\n"], ids=["away", "written over"])
@pytest.mark.parametrize("loaded", [True, False])
def test_accruals_in_a_file_that_nobody_saw_loaded_are_for_a_person_to_decide(gone: bytes | None, loaded: bool) -> None:
    office = Office()
    till = Till(office.shelf)
    office.add(1, 2)
    office.talk()
    office.shelf.files = {JOURNAL: office.shelf.files[JOURNAL]} | ({DATA: gone} if gone else {})
    office.add(3)
    for _ in range(2):
        told(office, LinkDown, "look at the till, then decide in tillgate.txt.journal")
    if loaded:
        till.counters.update({("1", "3", "1"): 1, ("1", "3", "2"): 2})
        office.shelf.files[JOURNAL] = office.shelf.files[JOURNAL].replace(b'"waiting"', b'"loaded"')
    else:
        del office.shelf.files[JOURNAL]
    office.until_done(till)
    once(office, till, 3)


def test_what_may_be_said_twice_is_put_there_again_and_a_till_that_eats_files_is_seen() -> None:
    office = Office()
    office.add(1, 2, command="ADDCCARDTYPES")
    outcomes: list[type[Any]] = []
    for _ in range(6):
        outcomes.append(type(office.talk()))
        del office.shelf.files[DATA], office.shelf.files[FLAG]
    assert outcomes == [*[NotYet] * 4, *[LinkDown] * 2]
    office.talk()
    till = Till(office.shelf)
    till.work()
    assert office.talk() == 2 and len(till.kinds) == 2


def test_a_flag_that_is_gone_is_put_there_again_and_a_till_that_eats_flags_is_seen() -> None:
    office = Office()
    office.add(1)
    office.talk()
    flags, outcomes = 0, set()
    for _ in range(16):
        flags += office.shelf.files.pop(FLAG, None) is not None
        outcomes.add(type(office.talk()))
        office.later(seconds=31)
    assert flags > 4 and outcomes == {NotYet, LinkDown}


def test_a_mark_that_shows_after_the_flag_has_gone_is_waited_for() -> None:
    """As network folders may have it: the old file is seen for a moment behind the missing flag."""
    office = Office()
    till = Till(office.shelf)
    office.add(1)
    office.talk()
    old = office.shelf.files[DATA]
    till.work()
    marked, office.shelf.files[DATA] = office.shelf.files[DATA], old
    assert isinstance(office.talk(), NotYet)
    office.later(seconds=5)
    assert isinstance(office.talk(), NotYet) and FLAG not in office.shelf.files
    office.shelf.files[DATA] = marked
    assert office.talk() == 1
    once(office, till, 1)


def test_a_till_that_takes_nothing_for_an_hour_is_a_link_that_is_down() -> None:
    office = Office(options={"wait_minutes": 60, "poll_seconds": 7})
    till = Till(office.shelf)
    office.add(1)
    waits = office.talk()
    assert isinstance(waits, NotYet) and waits.retry_seconds == 7
    office.later(minutes=60)
    assert isinstance(office.talk(), NotYet)
    office.later(minutes=1)
    told(office, LinkDown, "for 61 minutes")
    till.work()
    assert office.talk() == 1


def test_the_mark_of_old_drivers() -> None:
    office = Office(options={"loaded_mark": "$"})
    till = Till(office.shelf, mark="$")
    office.add(1)
    office.until_done(till)
    once(office, till, 1)


def test_what_cannot_be_said_ends_the_file_before_it_and_is_refused_alone() -> None:
    office = Office()
    till = Till(office.shelf)
    office.add(1, 2, 3)
    office.pending[1].body["records"][0]["amount"] = "a lot"  # type: ignore[index]
    office.talk()
    till.work()
    assert office.talk() == 1
    told(office, LinkRefused, "ADDCOUNTERVALUES, field amount: not a decimal number")
    del office.pending[0]
    office.until_done(till)
    assert till.counters == {("1", "3", "1"): 1, ("1", "3", "3"): 3}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"command": 5, "records": []},
        {"command": "ADDCCARDTYPES"},
        {"command": "ADDCCARDTYPES", "records": [[]]},
        {"accounts": 5},
        {"accounts": ["5"]},
        {"accounts": [5] * 1_001},
    ],
)
def test_a_body_that_somebody_has_changed_to_nonsense_is_refused_alone(body: dict[str, Any]) -> None:
    office = Office()
    till = Till(office.shelf)
    office.add(1, 2)
    office.pending[1] = Message(2 * 256, LOAD, body)
    office.talk()
    till.work()
    assert office.talk() == 1
    told(office, LinkRefused, "load: expected ")


def test_a_file_has_its_bound_and_the_rest_comes_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "MAX_CHARACTERS", 3_000)
    office = Office()
    till = Till(office.shelf)
    for n in range(1, 5):
        records = [{"code": n * 10 + m, "name": "x" * 100} for m in range(10)]
        office.pending.append(Message(n, LOAD, {"command": "ADDCCARDTYPES", "records": records}))
    office.until_done(till)
    assert till.loads == 2 and len(till.kinds) == 40


def test_a_test_only_looks() -> None:
    office = Office()
    office.pending = [Message(0, "test", {})]
    assert office.talk() == 1 and office.shelf.files == {}
