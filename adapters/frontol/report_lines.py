"""Bytes of a report file -> its header and the fields of each transaction, as they come.

Page: docs/adapters/frontol-files.md, "What is read". Encoding: cp1251, or what a byte order mark says. Lines end with LF
or CRLF, fields with ``;``. Nothing here depends on the size of the file but how long it takes.
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
# Longest mark first: that of UTF-16 begins none of the others.
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
LONGEST_MARK = 3
MAX_LINE = 64 << 10
MAX_NAME = 128
# Up to the shift: without these a line belongs to no document. Some dialects write no more than 26 fields.
LEAST_FIELDS = 14

Row = tuple[str, list[str]]
"""A line as it came, and its fields; how many there are differs (36, 42, 43, 44, and an empty one behind)."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first three lines; files of the kind ``current`` have none, and no mark."""

    mark: str = ""
    database: str = ""
    number: str = ""


def field(fields: list[str], number: int) -> str:
    """The field of this number, counted from 1 as the page does; empty where the line is shorter."""
    return fields[number - 1].strip() if len(fields) >= number else ""


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
    return plain(text.partition("|")[2].strip())


def is_transaction(fields: list[str]) -> bool:
    """Whether a line may be one: its number and type are numbers, and it goes up to the shift."""
    return len(fields) >= LEAST_FIELDS and fields[0].isdecimal() and fields[3].isdecimal()


class Report:
    """A report as it is read, once: its header at once, the rest as ``rows`` are taken.

    ``header`` is ``None`` where there is not so much of it yet, ``line`` counts lines from 1. ``rest`` is what stands
    behind the last end of a line when all is read: the file is not finished. Errors: BadMessage for a foreign file.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.header: Header | None = None
        self.line = 0
        self.rest = ""
        self._chunks = chunks
        self._encoding, self._mark_at = "", 0
        self._widths: set[int] = set()
        lines = self._lines()
        self._told = chain([line for line in [next(lines, None)] if line is not None], lines)

    def rows(self) -> Iterator[Row]:
        """Every line behind the header that is no comment and not blank. Errors: BadMessage."""
        widths = self._widths
        for line in self._told:
            fields = line.split(";")
            widths.add(len(fields))
            yield line, fields
        if self._is_whole(self.rest):
            line, self.rest = self.rest, ""
            self.line += 1
            yield line, line.split(";")

    def marked(self) -> FileMark | None:
        """What tells everybody that the report was read; ``None`` where its first line is no ``#``."""
        if self.header is None or self.header.mark != NEW:
            return None
        return FileMark(self._mark_at, NEW.encode(self._encoding), READ.encode(self._encoding))

    def _is_whole(self, rest: str) -> bool:
        """Whether a last line without its end has all of its fields: as many as every other, and the last is closed."""
        return self.header is not None and rest.endswith(";") and self._widths == {rest.count(";") + 1}

    def _lines(self) -> Iterator[str]:
        """The lines behind the header. Errors: BadMessage."""
        every = self._every_line()
        told = (line for line in every if line and not line.isspace() and not line.startswith(COMMENT))
        first = next(told, None)
        if first is None:
            self._refuse_rest()
            return
        if first.strip() in (NEW, READ):
            # Only what stands at the file's beginning is changed there.
            mark = first.strip() if self.line == 1 else ""
            database, number = next(every, None), next(every, None)
            if database is None or number is None:
                return
            self.header = Header(mark, _database(database.strip()), number.strip())
            first = next(told, None)
            if first is None:
                return
        else:
            self.header = Header()
        _refuse_foreign(first, f"line {self.line}")
        yield first
        yield from told

    def _every_line(self) -> Iterator[str]:
        for block in self._blocks():
            for line in block:
                self.line += 1
                yield line[:-1] if line[-1:] == "\r" else line

    def _blocks(self) -> Iterator[list[str]]:
        """Lines that have their end, some at a time. Errors: BadMessage for one without end."""
        decode: Callable[[bytes], str] | None = None
        head = b""
        for chunk in self._chunks:
            if decode is None:
                head += chunk
                if len(head) < LONGEST_MARK:
                    continue
                decode, chunk = self._decoder(head)
            lines = (self.rest + decode(chunk)).split("\n")
            self.rest = lines.pop()
            if len(self.rest) > MAX_LINE:
                raise bad(f"line {self.line + 1}", self.rest, f"a line of at most {MAX_LINE} characters")
            yield lines
        if decode is None and head:
            self.rest = head.decode(FALLBACK, "replace")

    def _decoder(self, head: bytes) -> tuple[Callable[[bytes], str], bytes]:
        """How to read what comes, and the beginning without its byte order mark."""
        self._encoding = FALLBACK
        for mark, encoding in MARKS:
            if head.startswith(mark):
                self._encoding, self._mark_at = encoding, len(mark)
        return codecs.getincrementaldecoder(self._encoding)("replace").decode, head[self._mark_at :]

    def _refuse_rest(self) -> None:
        """Errors: BadMessage where what there is of the first line can not become a report's."""
        begin = self.rest.lstrip()[:1]
        if begin and begin not in f"{NEW}{READ}/" and not begin.isdecimal():
            _refuse_foreign(self.rest, "line 1")


def _database(name: str) -> str:
    """Errors: BadMessage."""
    if len(name) > MAX_NAME or not name.isprintable():
        raise bad("line 2", name, f"the database's id, up to {MAX_NAME} printable characters")
    return name


def _refuse_foreign(line: str, where: str) -> None:
    """Errors: BadMessage, with what it probably is."""
    if is_transaction(line.split(";")):
        return
    if line.startswith(LOAD_FILE):
        raise BadMessage("a load file, which the office writes for the till", where=where, value="load_file")
    raise bad(where, "", "a transaction of an ATOL report; PILOT, Domino and other formats are not read")
