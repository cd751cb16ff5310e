"""A till as the protocol page tells of one: it reads load files with a reader of its own and keeps what they say.

Written from the page alone, not from the writer: nothing here imports ``adapters``. The till polls its flag; where it
stands it reads the data file, books all of it and marks the file in one step, and takes the flag away. It may be
stopped after each step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

# How many fields a line of each command has at most.
WIDTHS = {
    "ADDCCARDTYPES": 16,
    "DELETECCARDTYPESBYCODE": 1,
    "ADDCCARDDISCS": 19,
    "DELETECCARDDISCSBYVALUE": 1,
    "DELETECCARDDISCSBYCODE": 2,
    "ADDCLIENTDISCS": 37,
    "DELETECLIENTDISCSBYCODE": 1,
    "ADDCLIENTCCARDS": 3,
    "DELETECLIENTCCARDS": 3,
    "ADDCOUNTERVALUES": 6,
    "ADDGIFTCARDTYPES": 14,
    "ADDGIFTCARDS": 7,
    "DELETEGIFTCARDSBYVALUE": 1,
    "ADDCOUPONTYPES": 6,
    "ADDQUANTITY": 68,
    "REPLACEQUANTITYWITHOUTSALE": 68,
    "ADDBARCODES": 5,
    "DELETEBARCODESBYWARECODE": 2,
    "DELETEWARESBYWARECODE": 1,
    "ADDPRICES": 7,
    "ADDPRICELISTPRICES": 8,
}


class Files(Protocol):
    def get(self, name: str) -> bytes | None: ...
    def put(self, name: str, content: bytes) -> None: ...
    def remove(self, name: str) -> None: ...


@dataclass
class Directory:
    """A real folder."""

    path: Path

    def get(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, name: str, content: bytes) -> None:
        (self.path / name).write_bytes(content)

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)


def read(data: bytes) -> tuple[str, list[tuple[str, list[str]]]]:
    """The mark, and (command, cells) of every line; whatever the page does not know is an AssertionError."""
    text = data.decode("cp1251")
    assert text.endswith("\r\n") and "\n" not in text.replace("\r\n", ""), "lines end with CRLF"
    header, mark, *lines = text.removesuffix("\r\n").split("\r\n")
    assert header == "##@@&&"
    command, found = "", []
    for line in lines:
        if line.startswith("//") or not line:
            continue
        if line.startswith("$$$"):
            command = line[3:]
            assert command in WIDTHS, command
            continue
        assert command, "data before any command"
        cells = [cell.replace("\xa4", ";").replace("\xa6", "\n") for cell in line.split(";")]
        assert len(cells) <= WIDTHS[command], (command, len(cells))
        found.append((command, cells + [""] * (WIDTHS[command] - len(cells))))
    return mark, found


def amount(cell: str) -> Decimal:
    return Decimal(cell.replace(",", ".")) if cell else Decimal(0)


@dataclass
class Till:
    """``loads`` counts files; ``counters`` are by (kind, binding, object): what was accrued; of cards and clients the
    pairs of their lines overwrite."""

    files: Files
    data: str = "tillgate.txt"
    flag: str = "tillgate-flag.txt"
    mark: str = "@"
    loads: int = 0
    kinds: dict[int, list[str]] = field(default_factory=dict)
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    clients: dict[int, dict[str, Any]] = field(default_factory=dict)
    links: set[tuple[int, int, int]] = field(default_factory=set)
    gifts: dict[str, dict[str, Any]] = field(default_factory=dict)
    counters: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    others: list[tuple[str, list[str]]] = field(default_factory=list)

    def poll(self) -> Iterator[str]:
        """One look at the folder, step by step; whoever does not go on has crashed the till there."""
        if self.files.get(self.flag) is None:
            return
        yield "saw the flag"
        data = self.files.get(self.data)
        if data is not None:
            mark, lines = read(data)
            yield "read the file"
            if mark == "#" and self.files.get(self.data) == data:
                self._book(lines)
                marked = data.replace(b"\r\n#\r\n", b"\r\n" + self.mark.encode() + b"\r\n", 1)
                self.files.put(self.data, marked)
                yield "marked the file"
        self.files.remove(self.flag)
        yield "took the flag away"

    def work(self) -> None:
        for _ in self.poll():
            pass

    def _book(self, lines: list[tuple[str, list[str]]]) -> None:
        self.loads += 1
        for command, cells in lines:
            getattr(self, f"_{command.lower()}", lambda *told, command=command: self.others.append((command, [*told])))(
                *cells
            )

    def _addccardtypes(self, code: str, *cells: str) -> None:
        self.kinds[int(code)] = list(cells)

    def _addccarddiscs(self, code: str, kind: str, number: str, since: str, until: str, state: str, *rest: str) -> None:
        # A card that is not said to be active is not.
        told = {"code": int(code), "kind": int(kind), "from": since, "to": until, "active": state == "1"}
        pairs = {rest[n]: amount(rest[n + 1]) for n in range(3, 13, 2) if rest[n] not in ("", "0")}
        self.cards[number] = {**told, "counters": pairs}

    def _deleteccarddiscsbyvalue(self, number: str) -> None:
        gone = self.cards.pop(number, None)
        if gone:
            self.links = {link for link in self.links if link[2] != gone["code"]}

    def _deleteccarddiscsbycode(self, code: str, kind: str) -> None:
        self.cards = {
            number: card
            for number, card in self.cards.items()
            if (card["code"], card["kind"]) != (int(code), int(kind))
        }

    def _addclientdiscs(self, code: str, group: str, name: str, *rest: str) -> None:
        pairs = {rest[n]: amount(rest[n + 1]) for n in (20, 22, 24, 30, 32) if rest[n] not in ("", "0")}
        told = {"birthday": rest[5], "registered": rest[6], "email": rest[10], "phone": rest[12]}
        self.clients[int(code)] = {"name": name, **told, "counters": pairs}

    def _deleteclientdiscsbycode(self, code: str) -> None:
        self.clients.pop(int(code), None)

    def _addclientccards(self, client: str, kind: str, card: str) -> None:
        assert int(client) in self.clients, "a card is tied to a client that is not there"
        assert any(each["code"] == int(card) and each["kind"] == int(kind) for each in self.cards.values())
        self.links.add((int(client), int(kind), int(card)))

    def _deleteclientccards(self, client: str, kind: str, card: str) -> None:
        self.links.discard((int(client), int(kind), int(card)))

    def _addcountervalues(self, kind: str, value: str, since: str, until: str, binding: str, owner: str) -> None:
        self.counters[kind, binding or "0", owner] += int(amount(value) * 100)

    def _addgiftcards(self, code: str, kind: str, number: str, balance: str, status: str, *valid: str) -> None:
        told = {"code": int(code), "kind": int(kind), "balance": int(balance), "status": int(status)}
        self.gifts[number] = told

    def _deletegiftcardsbyvalue(self, number: str) -> None:
        self.gifts.pop(number, None)
