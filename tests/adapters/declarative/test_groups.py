"""Documents of several lines of a file: whole, once, and never a part of one, however the file is cut and grown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapters.contract import Found, Link, Source
from adapters.declarative import BadDocument, build, groups
from adapters.testing.file_suite import FileSuite
from adapters.testing.files import FileSample
from gateway.yaml_files import read_yaml

FOLDER = Path(__file__).parent
ROWS = build(read_yaml(FOLDER / "rows.yaml")).adapter
AT = datetime(2026, 5, 4, 16, 52, 31, tzinfo=UTC)


class TestRows(FileSuite):
    """Lines that are alike in some columns, cut at every byte."""

    adapter, folder, examples = ROWS, FOLDER / "rows", 10

    def cuts(self, sample: FileSample) -> Iterator[int]:
        yield from range(len(sample.content) + 1)


def document(lines: dict[str, Any], group: dict[str, Any], number: str = "n") -> dict[str, Any]:
    receipt = {
        "number": {"at": number},
        "till": "t",
        "business_date": {"at": "day", "as": "day"},
        "total_minor": {"sum": {"at": "items"}, "give": {"item": "sum", "as": "roubles"}},
    }
    keys = [{"join": ["k", {"at": number}]}]
    rule = {"name": "sale", "ask": "PostReceipt", "fields": {"keys": keys, "fact": True, "receipt": receipt}}
    files = {"names": ["*.txt"], **lines, "group": group, "rules": [rule]}
    return {"adapter": "grouped", "title": "Grouped", "private": ["card"], "files": files}


def found(document: dict[str, Any], content: bytes) -> list[Found]:
    adapter = build(document).adapter
    link = Link("l", "spb-3", ZoneInfo("Europe/Moscow"), adapter.options().load({}))
    return list(adapter.files[0].read(Source("a.txt", [content[:7], content[7:]], None, AT), link))


def told(document: dict[str, Any], content: bytes) -> list[Any]:
    """Of each document the number and sum of its receipt, or its kind."""
    receipts = [each.asks[0].receipt if each.asks else each.kind for each in found(document, content)]
    return [each if isinstance(each, str) else (each.number, each.total_minor) for each in receipts]


def test_lines_of_json_belong_together_by_what_stands_in_them() -> None:
    made = document({"lines": "jsonl"}, {"by": ["check.n"], "lists": {"items": {}}}, "check.n")
    line = '{{"check": {{"n": {}}}, "day": "2026-05-04", "sum": {}}}\n'
    content = line.format(1, 10) + line.format(1, 2.5) + '{"check": []}\n' + line.format(2, 1) + line.format(3, 7)
    assert told(made, content.encode()) == ["broken", "broken", "unfinished"]
    content = line.format(1, 10) + line.format(1, 2.5) + line.format(2, 1) + line.format(3, 7)
    assert told(made, content.encode()) == [("1", 1250), ("2", 100), "unfinished"]


def test_lines_of_fixed_width_follow_a_first_line_that_says_what_it_is() -> None:
    columns = {"kind": [1, 1], "n": [2, 5], "day": [6, 15], "sum": [2, 9]}
    group = {"begins": {"kind": "H"}, "lists": {"items": {"kind": "L"}, "rest": "otherwise"}}
    made = document({"lines": "fixed", "columns": columns}, group)
    content = b"Lbefore\nH00172026-05-04\nL  450.00\nL   72,50\nP  522.50\nH00182026-05-04\nL       1\n"
    assert told(made, content) == ["other", ("0017", 52_250), "unfinished"]
    first = found(made, content)[1]
    assert first.note == "lines 2 to 5"
    assert first.raw == ("H00172026-05-04", "L  450.00", "L   72,50", "P  522.50")


def test_a_document_beyond_all_bounds_is_broken_and_the_next_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MAX_LINES", 3)
    made = document({"lines": "csv", "columns": ["n", "day", "sum"]}, {"by": ["n"], "lists": {"items": {}}})
    content = b"n;day;sum\n" + b"1;2026-05-04;5\n" * 5 + b"2;2026-05-04;5\n" * 3 + b"3;2026-05-04;5\n"
    assert told(made, content) == ["broken", ("2", 1500), "unfinished"]
    assert len(found(made, content)[0].raw) == 3


CSV = {"lines": "csv", "columns": ["n", "day", "sum"]}
WRONG: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    (CSV, {"by": ["nn"], "lists": {"items": {}}}, "group.by.0", "did you mean 'n'?"),
    (CSV, {"lists": {"items": {}}}, "group.by", "expected by: columns that are alike, or begins"),
    (CSV, {"by": ["n"], "begins": {"n": "1"}, "lists": {"items": {}}}, "group.by", "or begins"),
    (CSV, {"by": ["n"], "lists": {"sum": {}}}, "group.lists.sum", "is the name of a column already"),
    (CSV, {"by": ["n"], "lists": {"end": {}}}, "group.lists.end", "is the name of a column already"),
    (CSV, {"by": ["n"], "lists": {"items": {}, "rest": {"n": "1"}}}, "group.lists.rest", "may match this and items"),
    (CSV, {"by": ["n"], "ends": {}, "lists": {"items": {}}}, "group.ends", "expected a mapping of columns"),
    ({**CSV, "records": {"H": ["n"]}}, {"by": ["n"], "lists": {"items": {}}}, "records", "and no columns"),
]


@pytest.mark.parametrize(("lines", "group", "path", "text"), WRONG)
def test_a_group_that_cannot_work_is_refused_with_place_and_expectation(
    lines: dict[str, Any], group: dict[str, Any], path: str, text: str
) -> None:
    with pytest.raises(BadDocument) as caught:
        build(document(lines, group))
    mistakes = {".".join(map(str, at)): said for at, said in caught.value.mistakes}
    assert text in mistakes[f"files.{path}"], mistakes
