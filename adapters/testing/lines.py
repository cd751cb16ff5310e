"""Leading pushes and pulls without a gateway, over a line that breaks where it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Protocol

import msgspec

from adapters.contract import Adapter, Call, FileWrite, Found, HttpCall, HttpReply, Job, Link, Reply, Session
from adapters.talks import listen
from adapters.testing.far_sides import FarSide
from processing.commands import Ask, Query
from processing.errors import Busy, LinkDown, LoyaltyError, Undelivered
from processing.results import Result

LOGIN, TALK, GOODBYE = "login", "talk", "goodbye"
LOST, UNHEARD, DEAD = CUTS = ("lost", "unheard", "dead")
UNAUTHORIZED = 401
# A job that is not done after so many tries will never be.
MAX_TRIES = 12
MAX_CALLS = 200

Told = Call | Found


class Fault(Protocol):
    """What becomes of a step: ``do`` does it. ``forgets``: who speaks dies with it, and keeps nothing of the run."""

    @property
    def forgets(self) -> bool: ...

    def __call__(self, step: int, told: Told, do: Callable[[], Reply | None]) -> Reply | None: ...


@dataclass(frozen=True)
class Sound:
    """A line without a fault."""

    forgets = False

    def __call__(self, step: int, told: Told, do: Callable[[], Reply | None]) -> Reply | None:
        return do()


@dataclass(frozen=True)
class Cut:
    """The line is cut at a step: the call is ``lost``, or done and ``unheard``; or ``dead``: it is done, and nothing
    that comes after it reaches anybody. What was found is not booked, or booked and unheard."""

    at: int
    how: str

    @property
    def forgets(self) -> bool:
        return self.how == DEAD

    def __call__(self, step: int, told: Told, do: Callable[[], Reply | None]) -> Reply | None:
        if step < self.at or (step > self.at and self.how != DEAD):
            return do()
        if step == self.at and self.how != LOST:
            do()
        raise Busy("cut") if isinstance(told, Found) else LinkDown("cut")


@dataclass(frozen=True)
class Said:
    """The far side says this at a step, whatever it should say; ``is_done``: and does what it was told.

    ``for_ever``: from that step on, to every call of that type.
    """

    at: int
    reply: Reply
    is_done: bool = True
    for_ever: bool = False
    forgets = False

    def __call__(self, step: int, told: Told, do: Callable[[], Reply | None]) -> Reply | None:
        is_meant = step == self.at or (self.for_ever and step > self.at)
        reply = do() if self.is_done or not is_meant else None
        if is_meant and not isinstance(told, Found) and (reply is None or type(reply) is type(self.reply)):
            return self.reply
        return reply


@dataclass(frozen=True)
class Step:
    """What was said, in which part of the talk, and the reply. ``opened``: so many sessions more are open since."""

    part: str
    told: Told
    reply: Reply | None
    opened: int


@dataclass
class Run:
    """One try. ``asks`` were learned, ``state`` is where the next pull begins, ``error`` is how it ended."""

    steps: list[Step] = field(default_factory=list)
    asks: list[Ask[Any]] = field(default_factory=list)
    state: Any = None
    error: Undelivered | LoyaltyError | None = None

    @property
    def told(self) -> list[Told]:
        return [step.told for step in self.steps]


@dataclass
class Line:
    """An adapter that is led over a line to a far side, as delivery does it. Errors of no kind that a far side or the
    core may cause come through."""

    adapter: Adapter
    link: Link
    far: FarSide
    secrets: Mapping[str, str] = field(default_factory=dict)
    most: int = MAX_CALLS

    def run(self, job: Job, fault: Fault = Sound()) -> Run:
        """Try the job once: a push where it has messages. A goodbye is said at the end, whatever it is."""
        run = Run(state=job.state)
        session: Session | None = None

        def say(part: str, told: Told) -> Reply | None:
            return self._say(run, part, told, session, job, fault)

        def signed_in() -> Session | None:
            login = self.adapter.login
            talk = login(self.secrets, self.link) if login is not None else None
            if talk is None or isinstance(talk, Session):
                return talk
            return listen(talk, lambda told: say(LOGIN, told), self.most)

        def answer(told: Told | Query[Any]) -> Reply | Result | None:
            nonlocal session
            if isinstance(told, Query):
                return self.far.read(told)
            session = session or signed_in()
            reply = say(TALK, told)
            if isinstance(told, Found):
                for each in told.writes:
                    assert isinstance(each, FileWrite), "a pull has read no file that it could mark"
                    say(TALK, each)
            elif isinstance(reply, HttpReply) and reply.status == UNAUTHORIZED and session is not None:
                session = None
                session = signed_in()
                reply = say(TALK, told)
            return reply

        talk = self.adapter.push.talk if job.messages and self.adapter.push else self.adapter.pull
        assert talk is not None
        try:
            listen(talk(job, self.link), answer, self.most + 1)
        except (Undelivered, LoyaltyError) as error:
            run.error = error
        if session is not None and session.goodbye is not None:
            with suppress(Undelivered):
                say(GOODBYE, session.goodbye)
        assert len(run.steps) <= self.most, f"more than {self.most} calls"
        return run

    def _say(self, run: Run, part: str, told: Told, session: Session | None, job: Job, fault: Fault) -> Reply | None:
        number, before, reply = len(run.steps), self.far.sessions, None
        run.steps.append(Step(part, told, None, 0))

        def do() -> Reply | None:
            nonlocal reply
            if isinstance(told, Found):
                run.asks += told.asks
                run.state = run.state if told.state is None else told.state
            else:
                reply = self.far.answer(signed(told, session, job))
            return reply

        try:
            reply = fault(number, told, do)
            return reply
        finally:
            run.steps[number] = Step(part, told, reply, self.far.sessions - before)

    def finish(self, job: Job, faults: Sequence[Fault] = ()) -> list[Run]:
        """Try again and again until it is done, as delivery would, each later than the one before; the first tries have
        these faults. Errors: AssertionError when it never is."""
        runs: list[Run] = []
        for number in range(MAX_TRIES):
            fault = faults[number] if number < len(faults) else Sound()
            run = self.run(replace(job, at=job.at + number * timedelta(minutes=1)), fault)
            runs.append(run)
            if run.error is None and not fault.forgets:
                return runs
            if not fault.forgets:
                # A worker that dies counts no attempt, and keeps no mark.
                job = replace(job, attempt=job.attempt + 1, state=kept(run.state))
            self.far.later()
        raise AssertionError(f"not done after {MAX_TRIES} tries: {runs[-1].error!r}")


def signed(call: Call, session: Session | None, job: Job) -> Call:
    """The call as it goes out, with the session's headers."""
    if not isinstance(call, HttpCall) or session is None or not call.signed:
        return call
    own = session.sign(call, job.at) if session.sign is not None else {}
    return replace(call, headers={**call.headers, **session.headers, **own})


def kept(state: Any) -> Any:
    """The state as the database gives it back."""
    return msgspec.json.decode(msgspec.json.encode(state))


def asks_of(runs: Iterable[Run]) -> list[bytes]:
    """What was asked in all of them, each thing once, where it was asked first."""
    return list(dict.fromkeys(msgspec.json.encode(ask) for run in runs for ask in run.asks))
