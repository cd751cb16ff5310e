"""Report files of the ATOL exchange: bytes -> what was found, one document after the other.

Page: docs/adapters/frontol-files.md. ``report_lines`` bytes -> fields, ``report_documents`` what belongs together,
``report_journal`` what is under way and what is missing, ``report_goods`` and ``report_receipts`` -> what we ask.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from adapters.contract import (
    BROKEN,
    CANCELLED,
    GAP,
    OTHER,
    UNFINISHED,
    Calling,
    FileFace,
    FileMark,
    FileWrite,
    Found,
    Job,
    Link,
    Source,
    file,
)
from adapters.frontol import keys
from adapters.frontol.report_documents import Document
from adapters.frontol.report_journal import NOBODY, Journal
from adapters.frontol.report_lines import Report
from adapters.frontol.report_options import CLOSED, DATES, NEVER
from adapters.frontol.report_receipts import ask
from processing.errors import BadMessage

NEW_TRANSACTIONS, BY_DATES = "$$$NEWTRANSACTIONS", "$$$TRANSACTIONSBYDATERANGE"


def names(link: Link) -> tuple[str, ...]:
    """What reports are called in the link's folder."""
    return tuple(link.options["reports"]["names"])


def read(source: Source, link: Link) -> Iterator[Found]:
    """Every finished document, then what is missing or under way, and at last what is left for the next file.

    Errors: BadMessage for a foreign file, before anything was found.
    """
    report = Report(source.chunks)
    if report.header is None:
        yield Found(kind=UNFINISHED, note="the header is not there yet")
        return
    journal = Journal(report.header.database, source.state)
    for document in journal.documents(report):
        yield _found(document, journal, link)
    yield from _gaps(journal)
    yield from _under_way(journal, report)
    state, is_kept = journal.kept()
    yield Found(state=state, writes=_marks(report, journal, link, is_kept))


def _found(document: Document, journal: Journal, link: Link) -> Found:
    """What a finished document asks, or why it asks nothing."""
    name, raw = str(document.name), document.raw
    if document.problem:
        said = document.problem if document.name == NOBODY else f"{name}: {document.problem}"
        return Found(kind=BROKEN, note=said, raw=raw)
    try:
        epoch = keys.epoch_of(link.options, document.name.workplace)
        series = document.series(journal.database, epoch)
        if document.is_cancelled:
            return Found(kind=CANCELLED, note=name, series=series, raw=raw)
        asked = ask(document, journal, link, epoch)
    except BadMessage as error:
        return Found(kind=BROKEN, note=f"{name}: {error.message}", raw=raw)
    if asked is None:
        return Found(kind=OTHER, note=name, series=series, raw=raw)
    return Found((asked,), note=name, series=series, raw=raw)


def _gaps(journal: Journal) -> Iterator[Found]:
    """Channels may leave types of transactions out: what is missing is told and stops nothing."""
    numbers = journal.numbers
    for first, last in numbers.gaps:
        yield Found(kind=GAP, note=f"{first}-{last} of {journal.database or 'a file without a header'}")
    if numbers.more_gaps:
        yield Found(kind=GAP, note=f"and {numbers.more_gaps} more")


def _under_way(journal: Journal, report: Report) -> Iterator[Found]:
    if report.rest:
        yield Found(kind=UNFINISHED, note="the last line has no end")
    for document in journal.unfinished():
        note = f"{document.name}: {document.problem}" if document.problem else str(document.name)
        yield Found(kind=UNFINISHED, note=note, raw=document.raw)
    for document in journal.given_up():
        yield Found(kind=BROKEN, note=f"{document.name}: it was never finished", raw=document.raw)


def _marks(report: Report, journal: Journal, link: Link, is_kept: bool) -> tuple[FileMark, ...]:
    """The mark that the report was read: when nothing is under way, or all of that is in the state.

    Whoever loses the state reads what is not marked once more; therefore only a link that asks for it takes the latter.
    """
    how, mark = link.options["reports"]["mark"], report.marked()
    if mark is None or how == NEVER or report.rest:
        return ()
    is_done = not journal.unfinished() if how == CLOSED else is_kept
    return (mark,) if is_done else ()


def request(job: Job, link: Link) -> Calling[None]:
    """Asks the till for a report by its flag file, where the link has one: the till deletes it when that is written."""
    told = link.options["reports"]["request"]
    if told is None:
        return
    body = NEW_TRANSACTIONS
    if told["scope"] == DATES:
        until = job.at.astimezone(link.zone).date()
        since = until - timedelta(days=told["days"] - 1)
        body = f"{BY_DATES}\r\n{since:%d.%m.%Y};{until:%d.%m.%Y}\r\n"
    # A flag that is there already says that the till has not answered yet.
    yield from file(FileWrite(told["flag"], body.encode(), new=True))


FACE = FileFace(names, read)
