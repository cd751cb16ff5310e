"""Answers as documents: what is compared, what is not, and what of a difference people see."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.rkeeper import ADAPTER
from gateway.replay_view import differences, document

ACME = replace(ADAPTER, private=frozenset({"Holder", "PERSON"}), volatile=frozenset({"ext_id", "at"}))


def difference(before: bytes, after: bytes) -> list[str]:
    return list(differences(document(before, ACME), document(after, ACME)))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'<A x="1" y="2"><B/>text</A>', b'<?xml version="1.0"?>\n<A y="2"  x="1">\n <B></B>\n text\n</A>'),
        (b'<A ext_id="17" x="1"/>', b'<A x="1" EXT_ID="18"/>'),
        (b'{"a": 1, "b": [1, 2], "at": "now"}', b'{"b":[1,2],"a":1,"at":"then"}'),
        (b"", b""),
        (b"BM\x00\x01", b"BM\x00\x01"),
    ],
)
def test_these_are_the_same_document(before: bytes, after: bytes) -> None:
    assert difference(before, after) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'<A x="1"/>', b'<A x="2"/>'),
        (b'<A x="1"/>', b"<A/>"),
        (b"<A><B/><C/></A>", b"<A><C/><B/></A>"),
        (b"<A><B/></A>", b"<A><B/><B/></A>"),
        (b"<A>one</A>", b"<A>two</A>"),
        (b'{"a": 1}', b'{"a": "1"}'),
        (b'{"a": [1, 2]}', b'{"a": [2, 1]}'),
        (b"BM\x00\x01", b"BM\x00\x02"),
        (b"", b"<A/>"),
        (b"<A", b"<A>"),
        (b"plain", b"other"),
    ],
)
def test_these_are_not(before: bytes, after: bytes) -> None:
    assert any(line.startswith(("+", "-")) for line in difference(before, after))


def test_a_private_value_that_changed_shows_as_stars() -> None:
    before = '<A Holder="Анна" x="1"><PERSON name="Ольга">тайна</PERSON></A>'.encode()
    after = '<A Holder="Борис" x="1"><PERSON name="Нина">другая</PERSON></A>'.encode()
    told = difference(before, after)
    assert sum("***" in line for line in told) == 6
    assert not any(secret in line for line in told for secret in ("Анна", "Борис", "Ольга", "Нина", "тайна", "другая"))


def test_phones_and_cards_are_masked_wherever_they_stand() -> None:
    told = difference(b'<A note="5550001234567890"/>', '<A note="звоните +7 921 555-01-02"/>'.encode())
    assert "555000" not in "".join(told) and "555-01" not in "".join(told)


def test_a_difference_is_one_line_with_what_stands_beside_it() -> None:
    before = b'<A a="1" b="2" c="3" d="4" e="5"/>'
    told = difference(before, before.replace(b"3", b"9"))
    assert told == ["@@ -3,3 +3,3 @@", "   b=2", "-  c=3", "+  c=9", "   d=4"]
