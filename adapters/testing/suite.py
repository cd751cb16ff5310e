"""The adapter contract as pytest runs it, for one adapter and every sample it has.

    from adapters.testing.suite import ContractSuite

    class TestAcme(ContractSuite):
        adapter, folder = ADAPTER, Path(__file__).parent / "samples"

The numbers are those of the contract's properties. 5 is here as far as messages go: that a resend has one effect
is shown before a real core (tests/scenarios). 6, files, is file_suite.py; 7 is talk_suite.py.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from adapters.contract import Adapter, ConfirmPhone, Link, Outcome, SignIn, WireResponse
from adapters.testing import documents, sources
from adapters.testing.driver import CannedCore, Conversation, converse, routes_of
from adapters.testing.mutations import mutated, mutated_query
from adapters.testing.outcomes import any_outcome, plain_core
from adapters.testing.samples import Sample, asked, read_samples
from processing.commands import (
    MAX_KEY,
    MAX_KEYS,
    AnyCommand,
    AnyQuery,
    Ask,
    Command,
    PlaceHold,
    PostReceipt,
    ReleaseHold,
)
from processing.errors import LoyaltyError, by_code

MAX_CONTENT = 64
# A message is cut at this many places.
CUTS = 60
# As often as a mutated message must at least ask, and be refused, for the laws about them to say something.
LEAST = 3
# Mutated messages of all samples together, to see whether they still ask something.
REACHING = 100

_read = functools.cache(read_samples)


def few(examples: int) -> settings:
    """The same examples every time: whoever breaks a law shall see it break again."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


ERRORS = [cls("told to the till", available=4500, limit=100, asked=10_000, unit="BONUS") for cls in by_code().values()]


class ContractSuite:
    """What every adapter must keep. Subclass it in a test module, under a name that begins with ``Test``.

    ``examples`` is how many mutations each sample goes through. ``mask`` is how private fields are hidden.
    """

    adapter: ClassVar[Adapter]
    folder: ClassVar[Path]
    examples: ClassVar[int] = 30
    mask: ClassVar[Callable[[bytes, frozenset[str]], str]] = staticmethod(documents.masked)

    @classmethod
    def samples(cls) -> list[Sample]:
        return _read(cls.folder, cls.adapter)

    @classmethod
    def asking(cls) -> list[Sample]:
        """Samples that ask something."""
        return [sample for sample in cls.samples() if sample.asks]

    @classmethod
    def commanding(cls) -> list[Sample]:
        """Samples that ask for something to be written."""
        return [sample for sample in cls.asking() if commands_of(cls.adapter, sample)]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Every law is asked of the samples that its argument names."""
        for name in ("sample", "asking", "commanding"):
            if name in metafunc.fixturenames:
                chosen = self.samples() if name == "sample" else getattr(self, name)()
                metafunc.parametrize(name, chosen, ids=[sample.case for sample in chosen])

    def talk(self, sample: Sample, *outcomes: Outcome) -> Conversation:
        return converse(self.adapter, sample.request, sample.link, CannedCore(outcomes))

    def check(self, response: WireResponse, sample: Sample) -> None:
        """An answer may lack a body where the protocol has answers without one."""
        documents.check_well_formed(response, may_be_empty=not sample.answer)

    # 1. Same bytes, same asks

    def test_there_are_samples_for_what_the_adapter_does(self) -> None:
        assert len(self.samples()) >= len(self.adapter.routes)
        assert self.asking(), "no sample asks anything"

    def test_a_sample_asks_what_was_recorded_and_the_same_every_time(self, sample: Sample) -> None:
        first, second = asked(self.adapter, sample), asked(self.adapter, sample)
        assert json.loads(msgspec.json.encode(first)) == sample.asks
        assert first == second
        assert first == tuple(
            msgspec.convert(ask, AnyCommand | AnyQuery | SignIn | ConfirmPhone) for ask in sample.asks
        )

    def test_a_sample_is_answered_as_recorded_and_a_replay_byte_for_byte_alike(self, sample: Sample) -> None:
        conversation = self.talk(sample, *sample.outcomes)
        assert conversation.response.body == sample.answer
        again = self.talk(sample, *sample.outcomes)
        assert again.response == conversation.response
        assert again == conversation or conversation.refusal is not None
        self.check(conversation.response, sample)

    def test_a_sample_says_where_it_comes_from(self, sample: Sample) -> None:
        assert sample.origin

    def test_a_command_carries_keys_and_content_within_bounds_and_the_links_store(self, commanding: Sample) -> None:
        for ask in asked(self.adapter, commanding):
            check_sane(ask, commanding.link)

    # 2. Broken bytes and queries raise nothing but LoyaltyError

    def survive(self, sample: Sample) -> None:
        """It asks something sane or is refused; it is answered well-formed, whatever came."""
        conversation = converse(self.adapter, sample.request, sample.link, plain_core)
        self.check(conversation.response, sample)
        for ask in conversation.asks:
            check_sane(ask, sample.link)

    def test_mutated_bytes_raise_nothing_but_loyalty_errors(self, sample: Sample) -> None:
        @few(self.examples)
        @given(st.data())
        def survives(data: st.DataObject) -> None:
            self.survive(sample.with_body(mutated(sample.request.body, data)))

        survives()

    def test_mutated_queries_raise_nothing_but_loyalty_errors(self, sample: Sample) -> None:
        # A handler that reads the query has samples with one; of the others it is enough to see that they do not.
        @few(self.examples if sample.request.query else max(self.examples // 6, LEAST))
        @given(st.data())
        def survives(data: st.DataObject) -> None:
            self.survive(sample.with_query(mutated_query(sample.request.query, data)))

        survives()

    def test_a_message_cut_at_any_byte_raises_nothing_but_loyalty_errors(self, sample: Sample) -> None:
        body, query = sample.request.body, sample.request.query
        for end in range(0, len(body), max(len(body) // CUTS, 1)):
            self.survive(sample.with_body(body[:end]))
        for end in range(0, len(query), max(len(query) // CUTS, 1)):
            self.survive(sample.with_query(query[:end]))

    def test_random_bytes_raise_nothing_but_loyalty_errors(self) -> None:
        by_path = {sample.request.path: sample for sample in self.samples()}

        @few(self.examples)
        @given(st.sampled_from(sorted(by_path)), st.binary(max_size=300))
        def survives(path: str, body: bytes) -> None:
            self.survive(by_path[path].with_body(body))

        for path in by_path:
            for body in (b"", b"\x00", b"<", b"<a/>", b"{", b"[]", b"null"):
                survives = example(path, body)(survives)
        survives()

    def test_mutations_do_reach_both_ends(self) -> None:
        """Some mutated messages must still ask and some must be refused, else the laws above say little."""
        told = {"asks": 0, "refused": 0}

        @few(REACHING)
        @given(st.data(), st.sampled_from(self.asking()))
        def count(data: st.DataObject, sample: Sample) -> None:
            broken = sample.with_body(mutated(sample.request.body, data))
            if not sample.request.body:
                broken = sample.with_query(mutated_query(sample.request.query, data))
            conversation = converse(self.adapter, broken.request, broken.link, plain_core)
            told["asks"] += bool(conversation.asks)
            told["refused"] += conversation.refusal is not None

        count()
        assert min(told.values()) >= LEAST, told

    # 3. Every result and every refusal is told

    def test_every_error_as_an_outcome_is_told_in_the_tills_words(self, asking: Sample) -> None:
        for error in ERRORS:
            conversation = self.talk(asking, *[error] * len(asking.asks))
            assert conversation.refusal in (error, None)
            if conversation.refusal is error:
                assert conversation.response.refused == error.code
            self.check(conversation.response, asking)

    def test_every_error_at_the_door_is_told_whatever_the_bytes_and_path(self, sample: Sample) -> None:
        for error in ERRORS:
            for path in (sample.request.path, "", "no/such/route"):
                for body in (sample.request.body, b"", b"\x00\xff"):
                    request = replace(sample.request, path=path, body=body)
                    response = self.adapter.refuse(error, request, sample.link)
                    assert response.refused == error.code
                    self.check(response, sample)

    def test_an_error_that_nobody_knows_yet_is_told(self, sample: Sample) -> None:
        error = LoyaltyError("of a later version")
        vars(error)["code"] = "no_such_code"
        response = self.adapter.refuse(error, sample.request, sample.link)
        assert response.refused == "no_such_code"
        self.check(response, sample)

    def test_any_result_is_answered_with_a_well_formed_message(self, asking: Sample) -> None:
        strategies = [any_outcome(type(ask)) for ask in asked(self.adapter, asking)]

        @few(self.examples)
        @given(st.tuples(*strategies))
        def answers(results: tuple[Outcome, ...]) -> None:
            conversation = self.talk(asking, *results)
            assert conversation.refusal is None or conversation.response.refused == conversation.refusal.code
            self.check(conversation.response, asking)

        answers()

    # 4. Routes

    def test_a_sample_matches_exactly_one_route(self, sample: Sample) -> None:
        assert len(routes_of(self.adapter, sample.request)) == 1

    def test_every_route_has_a_sample_and_one_that_asks_where_it_can_ask(self) -> None:
        covered = {route.path for sample in self.samples() for route in routes_of(self.adapter, sample.request)}
        asks = {route.path for sample in self.asking() for route in routes_of(self.adapter, sample.request)}
        assert covered == {route.path for route in self.adapter.routes}
        can_ask = {r.path for r in self.adapter.routes if inspect.isgeneratorfunction(inspect.unwrap(r.handler))}
        assert can_ask <= asks

    # 5. A resend with noise is the same operation

    def test_a_resend_with_noise_changed_has_the_same_keys_and_content(self, commanding: Sample) -> None:
        names = names_of(self.adapter, commanding)
        for field in commanding.noise:
            noisy = documents.changed(commanding.request.body, field, other_noise)
            if noisy is not None:
                assert names_of(self.adapter, commanding.with_body(noisy)) == names, field
                assert names_of(self.adapter, commanding.with_body(documents.respaced(noisy))) == names, field

    def test_a_resend_with_other_amounts_is_another_message(self, commanding: Sample) -> None:
        """A receipt keeps its keys; whatever has no versions of its own may be named by its content."""
        asks = commands_of(self.adapter, commanding)
        for field in commanding.signal if any(says_what_it_books(ask) for ask in asks) else ():
            other = documents.changed(commanding.request.body, field, other_amount)
            again = [] if other is None else commands_of(self.adapter, commanding.with_body(other))
            if again:
                assert [(ask.keys, ask.content, ask) for ask in again] != [(a.keys, a.content, a) for a in asks], field
            if again and all(isinstance(ask, PostReceipt) for ask in (*asks, *again)):
                assert [lasting(ask) for ask in again] == [lasting(ask) for ask in asks], field
                assert content_of(again[0]) != content_of(asks[0]), field

    def test_other_time_of_arrival_and_request_id_change_no_key_and_no_content(self, commanding: Sample) -> None:
        request = commanding.request
        later = replace(request, at=request.at.replace(year=2027), id="another", caller="someone")
        names, again = names_of(self.adapter, commanding), names_of(self.adapter, replace(commanding, request=later))
        if commanding.unkeyed:
            # What it asks for is the same; its keys are the request's alone.
            assert [content for _, content in again] == [content for _, content in names]
            assert all(not set(keys) & set(others) for (keys, _), (others, _) in zip(names, again, strict=True))
        else:
            assert again == names

    def test_each_field_of_noise_and_signal_is_in_some_sample(self) -> None:
        mine = self.commanding()
        for field in (*mine[0].noise, *mine[0].signal) if mine else ():
            assert any(documents.changed(sample.request.body, field, str) is not None for sample in mine), field

    # 8. Private fields never show, and adapters reach nothing

    def test_no_secret_is_left_when_private_fields_are_masked(self, sample: Sample) -> None:
        for document in (sample.request.body, sample.answer):
            shown = type(self).mask(document, self.adapter.private)
            assert [secret for secret in sample.secrets if secret in shown] == []

    def test_secrets_are_in_the_samples_to_begin_with(self) -> None:
        assert self.adapter.private
        assert self.samples()[0].secrets, "cases.json names no secrets"
        told = [text for s in self.samples() for text in documents.values_of(s.request.body + s.answer)]
        assert [secret for secret in self.samples()[0].secrets if not any(secret in text for text in told)] == []

    def test_the_adapter_imports_only_the_vocabulary_and_parsers(self) -> None:
        own = sources.own_packages(self.adapter)
        found = {path.name: sources.foreign_imports(path.read_text("utf-8"), own) for path in self.sources()}
        assert {name: foreign for name, foreign in found.items() if foreign} == {}

    def test_the_adapter_reads_no_clock_no_file_and_no_chance(self) -> None:
        found = {path.name: sources.forbidden_calls(path.read_text("utf-8")) for path in self.sources()}
        assert {name: calls for name, calls in found.items() if calls} == {}

    def sources(self) -> Iterator[Path]:
        found = sources.sources(self.adapter)
        assert found
        yield from found


def commands_of(adapter: Adapter, sample: Sample) -> list[Command[Any]]:
    return [ask for ask in asked(adapter, sample) if isinstance(ask, Command)]


def names_of(adapter: Adapter, sample: Sample) -> list[tuple[tuple[str, ...], str]]:
    """What makes each command happen once: its keys, or a likeness where it has none, and its content.

    Without a content of the adapter's own the core takes it over the whole command but keys, actor and stamp.
    """
    return [(ask.keys or (getattr(ask, "likeness", ""),), content_of(ask)) for ask in commands_of(adapter, sample)]


def content_of(ask: Command[Any]) -> str:
    attempt = {name: None for name in ("stamp",) if hasattr(ask, name)}
    bare = msgspec.structs.replace(ask, keys=(), actor="", **attempt)
    return ask.content or msgspec.json.encode(bare, order="deterministic").decode()


def lasting(ask: Command[Any]) -> list[str]:
    """The keys but those that end with the beginning of the content's digest: these name a version, not the receipt."""
    assert ask.keys
    found = [key for key in ask.keys if not (ask.content and ask.content.startswith(key.rpartition("=")[2]))]
    assert found, "no key names the receipt itself"
    return found


def says_what_it_books(ask: Command[Any]) -> bool:
    """Whether the command carries amounts; one that only names another takes them from there."""
    return any(hasattr(ask, name) for name in ("receipt", "amount", "cards"))


def other_noise(old: str) -> str:
    return "77" if old.isdigit() else "2026-05-06T01:02:03"


def other_amount(old: str) -> str:
    return re.sub(r"([0-9])", r"1\1", old, count=1)


def check_sane(ask: Ask[Any], link: Link) -> None:
    """Errors: AssertionError for an ask that the core would refuse as nonsense, or that would break its laws."""
    if isinstance(ask, Command):
        assert ask.store == link.store
        likeness = getattr(ask, "likeness", "")
        is_lock = isinstance(ask, (PlaceHold, ReleaseHold)) and ask.owner and ask.card
        assert (0 if likeness or is_lock else 1) <= len(ask.keys) <= MAX_KEYS
        assert all(0 < len(key) <= MAX_KEY and link.code not in key for key in ask.keys)
        assert len(ask.content) <= MAX_CONTENT
        assert not likeness or getattr(ask, "window_seconds", 0) > 0
        stamp = getattr(ask, "stamp", None)
        assert stamp is None or stamp.tzinfo is not None
    for card in getattr(ask, "cards", ()):
        assert card.refs
        assert all(amount.amount > 0 for amount in (*card.redeem, *card.top_up))
    assert msgspec.json.decode(msgspec.json.encode(ask), type=type(ask)) == ask
