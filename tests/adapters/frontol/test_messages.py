"""Times and keys of Frontol's messages (docs/adapters/frontol.md, "What is read", "Request key and content digest")."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from adapters.frontol.keys import names, natural, plain_uid
from adapters.frontol.messages import moment
from processing.errors import BadMessage

MOSCOW = ZoneInfo("Europe/Moscow")
AT = datetime(2026, 9, 14, 9, 3, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-09-14T12:03:10.000000+0300",
        "2026-09-14T12:03:10,5+03:00",
        "2026-09-14 12:03:10 +03",
        "2026-09-14T09:03:10Z",
        "2026-09-14T12:03:10",
        "2026-09-14t07:03:10-0200",
    ],
)
def test_a_moment_is_read_however_it_is_written(text: str) -> None:
    assert moment(text, MOSCOW) == AT


@pytest.mark.parametrize(
    "text",
    ["", "?", "2026-09-14", "2026-13-45T00:00", "2026-09-14T12:03+9900", "0001-01-01T00:05Z", "9999-12-31T23:59"],
)
def test_what_is_no_moment_is_none(text: str) -> None:
    assert moment(text, MOSCOW) is None


def test_a_receipt_near_midnight_is_known_by_both_days() -> None:
    days = {
        "23:49": ["2026-05-04"],
        "23:50": ["2026-05-04", "2026-05-05"],
        "00:09": ["2026-05-04", "2026-05-03"],
        "00:10": ["2026-05-04"],
    }
    for time, known in days.items():
        closed = datetime.fromisoformat(f"2026-05-04T{time}").replace(tzinfo=MOSCOW)
        own = tuple(f"frontol:3:{day}:118:4120" for day in known)
        assert names("3", "118", "4120", closed, "d" * 64) == own
        assert names("3", "118", "4120", closed, "d" * 64, online=True) == (*own, *(f"{key}={'d' * 16}" for key in own))
    assert natural("3", "118", "4120", date(2026, 5, 4), epoch=2) == "frontol:3:2026-05-04:118:4120:2"


def test_a_uid_is_one_whatever_its_braces_and_case() -> None:
    assert {plain_uid(text, "uid") for text in ("{6F96-AB}", "6f96-ab", " 6F96-ab ")} == {"6f96-ab"}
    assert plain_uid("{00000000-0000}", "uid") == ""
    with pytest.raises(BadMessage):
        plain_uid("a b", "uid")
