"""The adapter contract (adapters/testing/suite.py) for every registered adapter and every sample it has.

A new adapter gets all of it by standing in adapters/registry.py, by having samples in
tests/adapters/<name>/samples/, and, if it has a push or a pull, suites of talks in tests/adapters/<name>/far_side.py.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from adapters.contract import Adapter
from adapters.registry import ADAPTERS, BUILT_IN, find
from adapters.testing.file_suite import FileSuite
from adapters.testing.samples import Sample
from adapters.testing.suite import ContractSuite
from adapters.testing.talk_suite import TalkSuite
from gateway.mask import mask
from processing.errors import ConfigError

HERE = Path(__file__).parent
LEAST_SAMPLES = 30
MANY = 3_000
# So many mutations of each sample every day; many more are run by themselves (docs/contributing.md). Of an adapter with
# a hundred samples, most of them of a few shapes, fewer say as much.
DAILY = 10
EXAMPLES = {"iiko": 6, "iiko_webhooks": 4, "onec": 6, "onec_discount": 8}


def suite_of(adapter: Adapter) -> type[ContractSuite]:
    """The contract of one adapter; what people see of a message is what the gateway's own mask leaves."""
    told = {"adapter": adapter, "folder": HERE / adapter.name / "samples", "mask": staticmethod(mask)}
    told["examples"] = EXAMPLES.get(adapter.name, DAILY)
    return type(f"Test{adapter.name.title()}", (ContractSuite,), told)


SUITES = {adapter.name: suite_of(adapter) for adapter in BUILT_IN if adapter.routes}
globals().update({suite.__name__: suite for suite in SUITES.values()})


def file_suite_of(adapter: Adapter) -> type[FileSuite]:
    """The contract of what the adapter reads from a folder."""
    return type(
        f"Test{adapter.name.title()}Files", (FileSuite,), {"adapter": adapter, "folder": HERE / adapter.name / "files"}
    )


globals().update({suite.__name__: suite for suite in map(file_suite_of, [each for each in BUILT_IN if each.files])})


def talks_of(adapter: Adapter) -> dict[str, type[TalkSuite]]:
    """Every suite of the adapter's talks, by a name that pytest finds."""
    place = f"tests.adapters.{adapter.name}.far_side"
    own = vars(import_module(place)).items() if find_spec(f"tests.adapters.{adapter.name}") and find_spec(place) else ()
    suites = {name: each for name, each in own if isinstance(each, type) and issubclass(each, TalkSuite)}
    return {f"Test{adapter.name.title()}{name}": each for name, each in suites.items() if each is not TalkSuite}


TALKS = {adapter.name: talks_of(adapter) for adapter in BUILT_IN}
for suites in TALKS.values():
    globals().update({name: type(name, (suite,), {}) for name, suite in suites.items()})

EVERY_SAMPLE = [(suite, sample) for suite in SUITES.values() for sample in suite.samples()]


def test_there_are_adapters_and_enough_samples_to_mean_something() -> None:
    assert BUILT_IN
    assert len(EVERY_SAMPLE) >= LEAST_SAMPLES
    assert sum(len(suite.commanding()) for suite in SUITES.values()) >= LEAST_SAMPLES // 2


@pytest.mark.parametrize("adapter", [a for a in BUILT_IN if a.push or a.pull or a.login], ids=lambda a: a.name)
def test_an_adapter_that_speaks_has_a_far_side_to_speak_to(adapter: Adapter) -> None:
    assert TALKS[adapter.name], f"tests/adapters/{adapter.name}/far_side.py has no suite of its talks"
    assert all(suite.adapter is adapter for suite in TALKS[adapter.name].values())


def test_an_adapter_is_found_by_its_name_and_an_unknown_name_stops_the_start() -> None:
    assert len(ADAPTERS) == len(BUILT_IN)
    for adapter in BUILT_IN:
        assert find(adapter.name) is adapter
    with pytest.raises(ConfigError, match="rkeeper"):
        find("no-such-till")


def test_a_lane_is_one_way() -> None:
    (answering,) = [each for each in BUILT_IN if each.answers_first]
    with pytest.raises(ValueError, match="answer first"):
        replace(answering, push=find("webhook").push)


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "sample"), EVERY_SAMPLE, ids=lambda v: v.case if isinstance(v, Sample) else "")
def test_many_mutations_raise_nothing_but_loyalty_errors(suite: type[ContractSuite], sample: Sample) -> None:
    thorough = type(suite.__name__, (suite,), {"examples": MANY})()
    thorough.test_mutated_bytes_raise_nothing_but_loyalty_errors(sample)
    thorough.test_mutated_queries_raise_nothing_but_loyalty_errors(sample)
