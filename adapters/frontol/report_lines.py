"""Bytes of a report file -> its header and the fields of each transaction, as they come.

Page: docs/adapters/frontol-files.md, "What is read". Encoding: cp1251, or what a byte order mark says. Lines end with
LF or CRLF, fields with ``;``. Only how long it takes depends on the size of the file.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from adapters.contract import FileMark
from adapters.parsing import bad
from processing.errors import BadMessage

NEW, READ = "#", "@"
LOAD_FILE = "##@@&&"
COMMENT = "//"
FALLBACK = "cp1251"
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
LONGEST_MARK = 3
MAX_LINE = 64 << 10
PIECE = 16 << 10
MAX_NAME = 128
# Up to the shift: without these a line belongs to no document. Some dialects write no more than 26 fields.
LEAST_FIELDS = 14
HEADER_LINES = 3

Row = list[str]
"""A line as it came, and behind it its fields: so their places are those of the page, which counts from 1.

How many there are differs (36, 42, 43, 44, and an empty one behind). Those that are read here are always there, and
what is behind them is not split.
"""

LINE = 0
NUMBER, DATE, TIME, TYPE, WORKPLACE, DOCUMENT, CASHIER, SUBJECT = range(1, 9)
WHAT, HOW, QUANTITY, SUM, OPERATION, SHIFT, CLIENT, DUE = range(9, 17)
FULL, BASE, ENTERPRISE = 20, 25, 27
PRICE = HOW
LEAST_ROW = ENTERPRISE + 1


@dataclass(frozen=True, slots=True)
class Header:
    """The first three lines; files of the kind ``current`` have none, and no mark."""

    mark: str = ""
    database: str = ""
    number: str = ""


def plain(text: str) -> str:
    """The text without what escapes: ``¤`` is a semicolon, ``¦`` a line break."""
    if "¤" in text or "¦" in text:
        return text.replace("¤", ";").replace("¦", "\n")
    return text


def code_of(text: str) -> str:
    """The code of ``code|name``, as channels write it that export names."""
    return text.partition("|")[0].strip() if "|" in text else text


def name_of(text: str) -> str:
    """The name of ``code|name``; empty where there is none."""
    return plain(text.partition("|")[2].strip()) if "|" in text else ""


def row_of(line: str) -> Row:
    """Of one line."""
    return _widened([line, *line.split(";", ENTERPRISE)])


def is_transaction(row: Row) -> bool:
    """Whether a line may be one: its number and type are numbers, and it goes up to the shift."""
    return row[NUMBER].isdecimal() and row[TYPE].isdecimal()


def _widened(row: Row) -> Row:
    """The same row, as if what its generation does not have was empty; a line that is too short has nothing."""
    if len(row) <= LEAST_FIELDS:
        del row[NUMBER:]
    row.extend([""] * (LEAST_ROW - len(row)))
    return row


class Report:
    """A report as it is read, once: its header at once, the rest as ``rows`` are taken.

    ``header`` is ``None`` where there is not so much of it yet, ``line`` is the number of the first line of the rows
    that were taken last. ``rest`` is what stands behind the last end of a line when all is read: the file is not
    finished. Errors: BadMessage for a foreign file.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.header: Header | None = None
        self.line = 1
        self.rest = ""
        self._encoding, self._mark_at = FALLBACK, 0
        # Lengths of rows before they were widened.
        self._widths: set[int] = set()
        self._blocks = self._blocks_of(chunks)
        self._first = self._begin()

    def rows(self) -> Iterator[list[Row]]:
        """Every line behind the header that is no comment and not blank, some at a time. Errors: BadMessage."""
        for block in chain((self._first,), self._blocks):
            rows = [[line, *line.split(";", ENTERPRISE)] for line in block if line and line[:2] != COMMENT]
            self._widths.update([len(row) + row[-1].count(";") for row in rows])
            if min(map(len, rows), default=LEAST_ROW) < LEAST_ROW:
                rows = list(map(_widened, rows))
            yield rows
            self.line += len(block)
        if self._is_whole(self.rest):
            line, self.rest = self.rest, ""
            yield [row_of(line)]

    def marked(self) -> FileMark | None:
        """What tells everybody that the report was read; ``None`` where its first line is no ``#``."""
        if self.header is None or self.header.mark != NEW:
            return None
        return FileMark(self._mark_at, NEW.encode(self._encoding), READ.encode(self._encoding))

    def _is_whole(self, rest: str) -> bool:
        """Whether a last line without its end has all of its fields: as many as every other, and the last is closed."""
        return self.header is not None and rest.endswith(";") and self._widths == {rest.count(";") + 2}

    def _begin(self) -> list[str]:
        """The first lines behind the header, which is known then; none of them is there yet. Errors: BadMessage."""
        lines: list[str] = []
        for block in self._blocks:
            lines += block
            begin = next((place for place, line in enumerate(lines) if _is_told(line)), len(lines))
            if begin == len(lines):
                continue
            behind = begin
            if lines[begin].strip() in (NEW, READ):
                behind += HEADER_LINES
                if behind > len(lines):
                    continue
                # Only what stands at the file's beginning is changed there.
                mark = lines[0].strip() if begin == 0 else ""
                self.header = Header(mark, _database(lines[begin + 1].strip()), lines[begin + 2].strip())
            first = next((line for line in lines[behind:] if _is_told(line)), None)
            if first is not None:
                _refuse_foreign(first)
                self.header = self.header or Header()
                self.line += behind
                return lines[behind:]
        if self.header is None:
            _refuse_beginning(next(filter(_is_told, lines), self.rest))
        return []

    def _blocks_of(self, chunks: Iterable[bytes]) -> Iterator[list[str]]:
        """Lines that have their end, some at a time. Errors: BadMessage for one without end."""
        decode: Callable[[bytes], str] | None = None
        head = b""
        for chunk in _pieces(chunks):
            if decode is None:
                head += chunk
                if len(head) < LONGEST_MARK:
                    continue
                decode, chunk = self._decoder(head)
            text = self.rest + decode(chunk)
            *lines, self.rest = (text.replace("\r\n", "\n") if "\r" in text else text).split("\n")
            if len(self.rest) > MAX_LINE:
                raise bad(f"line {self.line}", self.rest, f"lines of at most {MAX_LINE} characters")
            if lines:
                yield lines
        if decode is None and head:
            self.rest = head.decode(FALLBACK, "replace")

    def _decoder(self, head: bytes) -> tuple[Callable[[bytes], str], bytes]:
        """How to read what comes, and the beginning without its byte order mark."""
        for mark, encoding in MARKS:
            if head.startswith(mark):
                self._encoding, self._mark_at = encoding, len(mark)
        return codecs.getincrementaldecoder(self._encoding)("replace").decode, head[self._mark_at :]


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces so small that what is made of one stays in the processor's cache: a tenth quicker."""
    for chunk in chunks:
        for start in range(0, len(chunk), PIECE):
            yield chunk[start : start + PIECE]


def _is_told(line: str) -> bool:
    return bool(line) and not line.isspace() and not line.startswith(COMMENT)


def _database(name: str) -> str:
    """Errors: BadMessage."""
    if len(name) > MAX_NAME or not name.isprintable():
        raise bad("line 2", name, f"the database's id, up to {MAX_NAME} printable characters")
    return name


def _refuse_foreign(line: str) -> None:
    """Errors: BadMessage for a first line that is no transaction, with what it probably is."""
    if is_transaction(row_of(line)):
        return
    if line.startswith(LOAD_FILE):
        raise BadMessage("a load file, which the office writes for the till", where="line 1", value="load_file")
    raise bad("the first line", "", "a transaction of an ATOL report; PILOT, Domino and other formats are not read")


def _refuse_beginning(text: str) -> None:
    """Errors: BadMessage where so much of a first line can not become a report's."""
    begin = text.lstrip()[:1]
    if begin and begin not in f"{NEW}{READ}/" and not begin.isdecimal():
        _refuse_foreign(text)
