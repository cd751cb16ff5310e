"""A till's folder that is asked for reports, for the contract of talks (adapters/testing/talk_suite.py)."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from adapters.contract import Job, Link
from adapters.frontol import ADAPTER
from adapters.testing.far_sides import Folder
from adapters.testing.talk_suite import TalkSuite

AT = datetime(2026, 5, 4, 16, 52, 31, tzinfo=UTC)
OPTIONS = ADAPTER.options().load({"reports": {"request": {"flag": "report.req", "scope": "dates"}}})


class Requests(TalkSuite):
    """One flag file, however often it is asked for."""

    adapter, far_side = ADAPTER, Folder
    link = Link("frontol-1", "bistro", ZoneInfo("Europe/Moscow"), OPTIONS)
    pulls = (Job(AT),)

    def test_a_pull_learns_something_and_the_same_whenever_it_is_done(self, pull: Job) -> None:
        """It only asks for the report: what it says is the flag, and what is learned comes in the file."""
        runs, effects = self.whole(pull)
        assert list(effects) == ["report.req"] and self.whole(pull)[1] == effects
        assert not any(run.asks for run in runs)
