"""The contract of pushes, pulls and logins as pytest runs it, for one adapter over one link: property 7.

    from adapters.testing.talk_suite import TalkSuite

    class TestAcmeTalks(TalkSuite):
        adapter, link, far_side = ADAPTER, LINK, AcmeFarSide
        pushes = (Job(AT, messages=(Message(1, "operation_posted", {"operation": "17"}),)),)
        pulls = (Job(AT),)

A talk has steps: its calls, and what it finds. Each is cut, before and after it was done, and all is said again until
it is done; whatever the far side has answered in the place of a reply must end in the errors that the outbox knows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import (
    Adapter,
    FileReply,
    FileWrite,
    HttpCall,
    HttpReply,
    Job,
    Link,
    Message,
    Reply,
    SoapReply,
)
from adapters.testing.far_sides import FarSide
from adapters.testing.lines import (
    CUTS,
    GOODBYE,
    LOST,
    MAX_CALLS,
    UNHEARD,
    Cut,
    Line,
    Run,
    Said,
    Step,
    asks_of,
    kept,
)
from adapters.testing.mutations import mutated, spoilt
from adapters.testing.suite import check_sane, few
from processing.commands import Command
from processing.errors import BadMessage, LinkRefused, Undelivered

# Of a longer talk so many steps are cut, evenly.
MOST_CUTS = 24
# What may pass: said with 429 and 503, so many seconds are waited.
AGAIN, RETRY_SECONDS = (408, 425, 429, 500, 502, 503, 504), 7
NO = (301, 400, 401, 403, 404, 409, 410, 422)
# A no to what should have been done, which nobody can take for "it is there already" or "it is gone already".
PLAIN_NO = (400, 403, 422)
NONSENSE = (b"", b" ", b"\xff\xfe", b"<html>It works!</html>", b"<a", b"{", b"[]", b"{}", b"null", b'"ok"', b"-1")
VALUES: tuple[Any, ...] = (None, "", "<html/>", {}, [], {"other": None}, [{}], 0, True)
# What the gateway's sender of tests says ("tillgate queue test").
TEST = Message(0, "test", {"sent_at": "2026-05-04T16:52:31+00:00"})


class TalkSuite:
    """What every talk must keep. Subclass it in a test module, under a name that begins with ``Test``.

    ``pushes`` are jobs with messages, of every kind that the adapter wants; ``pulls`` are jobs without. ``far_side``
    makes a far side for a run. ``examples`` is how many mutated replies each job gets, ``most_calls`` how many calls a
    talk may have.
    """

    adapter: ClassVar[Adapter]
    link: ClassVar[Link]
    far_side: ClassVar[Callable[[], FarSide]]
    pushes: ClassVar[tuple[Job, ...]] = ()
    pulls: ClassVar[tuple[Job, ...]] = ()
    secrets: ClassVar[Mapping[str, str]] = {}
    examples: ClassVar[int] = 30
    most_calls: ClassVar[int] = MAX_CALLS

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Every law is asked of the jobs that its argument names."""
        for name, jobs in (("job", self.jobs()), ("push", self.pushes), ("pull", self.pulls)):
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, jobs, ids=[f"{name}-{n}" for n, _ in enumerate(jobs, 1)])

    @classmethod
    def jobs(cls) -> tuple[Job, ...]:
        return cls.pushes + cls.pulls

    def line(self) -> Line:
        """To a far side that nothing was said to."""
        return Line(self.adapter, self.link, type(self).far_side(), self.secrets, self.most_calls)

    def whole(self, job: Job) -> tuple[list[Run], Any]:
        """What is said and done when nothing is cut."""
        line = self.line()
        return line.finish(job), line.far.effects()

    def steps(self, job: Job) -> list[tuple[int, Step]]:
        """The steps of the first try with their numbers, no more than MOST_CUTS."""
        steps = list(enumerate(self.whole(job)[0][0].steps))
        return steps[:: -(-len(steps) // MOST_CUTS)]

    # The jobs mean something

    def test_there_are_jobs_for_what_the_adapter_does(self) -> None:
        assert (self.adapter.push is not None) == bool(self.pushes)
        assert (self.adapter.pull is not None) == bool(self.pulls)
        if self.adapter.push is not None:
            assert {message.kind for job in self.pushes for message in job.messages} == self.adapter.push.wants
            assert max(len(job.messages) for job in self.pushes) <= self.adapter.push.batch(self.link)
        assert not any(job.messages for job in self.pulls)

    def test_a_push_does_something_and_the_same_whenever_it_is_done(self, push: Job) -> None:
        runs, effects = self.whole(push)
        assert push.messages
        assert effects != type(self).far_side().effects(), "the far side shows nothing of it"
        again, other = self.whole(push)
        assert [run.told for run in again] == [run.told for run in runs]
        assert other == effects

    def test_a_pull_learns_something_and_the_same_whenever_it_is_done(self, pull: Job) -> None:
        runs, _ = self.whole(pull)
        assert asks_of(runs), "the far side has nothing to tell"
        assert [run.told for run in self.whole(pull)[0]] == [run.told for run in runs]
        for ask in (ask for run in runs for ask in run.asks):
            assert isinstance(ask, Command), "a pull tells facts"
            check_sane(ask, self.link)

    # Cut, and said again

    def test_a_push_that_is_cut_anywhere_and_repeated_has_one_effect(self, push: Job) -> None:
        _, effects = self.whole(push)
        for cuts in self.cuts(push):
            line = self.line()
            line.finish(push, cuts)
            assert line.far.effects() == effects, cuts

    def test_a_pull_that_is_cut_anywhere_goes_on_and_misses_nothing(self, pull: Job) -> None:
        runs, effects = self.whole(pull)
        for cuts in self.cuts(pull):
            line = self.line()
            assert asks_of(line.finish(pull, cuts)) == asks_of(runs), cuts
            assert line.far.effects() == effects, cuts

    def cuts(self, job: Job) -> Iterator[list[Cut]]:
        """One cut in every place; and the same once more in the try that follows."""
        for at, _ in self.steps(job):
            for how in CUTS:
                yield [Cut(at, how)]
                yield from ([Cut(at, how), Cut(at + more, again)] for more in (0, 1) for again in CUTS)

    # Other answers

    def test_whatever_is_answered_raises_nothing_but_undelivered(self, job: Job) -> None:
        for at, step in self.steps(job):
            for reply in replies(step.reply):
                self.tried(job, Said(at, reply))

    def test_a_pull_misses_nothing_after_an_answer_that_says_nothing(self, pull: Job) -> None:
        runs, _ = self.whole(pull)
        for at, step in self.steps(pull):
            for reply in speechless(step.reply):
                line = self.line()
                tried = line.finish(pull, [Said(at, reply)])
                tried += line.finish(replace(pull, state=kept(tried[-1].state)))
                assert asks_of(tried) == asks_of(runs), reply

    def test_mutated_answers_raise_nothing_but_undelivered(self, job: Job) -> None:
        steps = [(at, step.reply) for at, step in self.steps(job) if step.reply is not None]

        @few(self.examples)
        @given(st.data())
        def survives(data: st.DataObject) -> None:
            at, reply = data.draw(st.sampled_from(steps))
            self.tried(job, Said(at, other(reply, data)))

        survives()

    def test_a_no_is_not_taken_for_done(self, push: Job) -> None:
        _, effects = self.whole(push)
        for at, step in self.steps(push):
            for reply in noes(step) if step.part != GOODBYE else ():
                line = self.line()
                run = line.run(push, Said(at, reply, is_done=False))
                assert run.error is not None or line.far.effects() == effects, (step.told, reply)

    def test_what_may_pass_is_tried_again_after_the_time_that_was_asked_for(self, job: Job) -> None:
        runs, effects = self.whole(job)
        for at, step in self.steps(job):
            if not isinstance(step.told, HttpCall) or step.part == GOODBYE:
                continue
            for status in AGAIN:
                reply = HttpReply(status, {"retry-after": str(RETRY_SECONDS)}, b"")
                for is_done in (True, False):
                    line = self.line()
                    tries = line.finish(job, [Said(at, reply, is_done)])
                    error = tries[0].error
                    assert not isinstance(error, LinkRefused | BadMessage), (step.told, status)
                    assert not isinstance(error, Undelivered) or error.retry_seconds == RETRY_SECONDS, (
                        step.told,
                        error,
                    )
                    assert line.far.effects() == effects, (step.told, status, is_done)
                    assert asks_of(tries) == asks_of(runs), (step.told, status)

    def test_a_far_side_that_says_the_same_for_ever_is_left(self, job: Job) -> None:
        for at, step in self.steps(job):
            for reply in [*replies(step.reply), *([step.reply] if step.reply else [])]:
                self.tried(job, Said(at, reply, for_ever=True))

    def tried(self, job: Job, fault: Said) -> None:
        """One try, which ends, and in nothing that delivery does not know. Errors: AssertionError, and what else the
        talk may raise."""
        error = self.line().run(job, fault).error
        assert error is None or isinstance(error, Undelivered | BadMessage), (fault, error)

    # Logins

    def test_a_session_is_ended_also_after_a_failure(self, job: Job) -> None:
        """But for one of which we never heard."""
        for at, step in self.steps(job):
            for how in (LOST, UNHEARD):
                line = self.line()
                run = line.run(job, Cut(at, how))
                unheard = run.steps[at].opened if how == UNHEARD else 0
                assert step.part == GOODBYE or line.far.sessions == max(unheard, 0), (step.told, how)
            for reply in noes(step) if step.part != GOODBYE else ():
                line = self.line()
                line.run(job, Said(at, reply, is_done=False))
                assert line.far.sessions == 0, (step.told, reply)

    # Tests of the line

    def test_a_test_message_is_said_or_refused(self) -> None:
        if self.adapter.push is not None:
            error = self.line().run(replace(self.pushes[0], messages=(TEST,))).error
            assert error is None or isinstance(error, Undelivered)


def replies(reply: Reply | None) -> Iterator[Reply]:
    """Other replies of this one's type: every status, nonsense, half of it, another schema."""
    if isinstance(reply, HttpReply):
        yield from (HttpReply(status, {"retry-after": "soon"}, b"") for status in (*AGAIN, *NO))
        halves = (reply.body[: len(reply.body) // 2], reply.body[:-1])
        yield from (replace(reply, body=body) for body in (*NONSENSE, *halves))
        yield replace(reply, headers={})
    elif isinstance(reply, SoapReply):
        yield from map(SoapReply, VALUES)
    elif isinstance(reply, FileReply):
        content = reply.content or b"1;2;3\r\n"
        yield from map(FileReply, (None, *NONSENSE, content[: len(content) // 2], content[:-1]))


def speechless(reply: Reply | None) -> Iterator[Reply]:
    """Replies of this one's type that cannot be taken for an answer, not even for an empty one."""
    if isinstance(reply, HttpReply):
        yield from (HttpReply(status, {}, b"") for status in (*AGAIN, *PLAIN_NO))
        yield from (replace(reply, body=body) for body in (b"\xff\xfe", b"<html>It works!</html>"))


def noes(step: Step) -> Iterator[Reply]:
    """Answers to what should have been done, that it was not."""
    if isinstance(step.told, FileWrite):
        yield FileReply(None)
    elif isinstance(step.told, HttpCall) and step.told.method not in ("GET", "HEAD"):
        yield from (HttpReply(status, {}, b"") for status in (*PLAIN_NO, *AGAIN))


def other(reply: Reply, data: st.DataObject) -> Reply:
    """The reply, mutated."""
    if isinstance(reply, SoapReply):
        return SoapReply(spoilt(reply.value, data))
    body = reply.body if isinstance(reply, HttpReply) else reply.content or b""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if document is not None and data.draw(st.booleans()):
        made = msgspec.json.encode(spoilt(document, data))
    else:
        made = mutated(body, data)
    return replace(reply, body=made) if isinstance(reply, HttpReply) else FileReply(made)
