"""Which line of a receipt was paid from which lot and earned into which: what returns read. Pure.

A return never runs the rules again. It takes the stored shares of the lines that come back, in proportion to how
much of each line comes back, cumulatively: after any steps exactly ``amount * returned // size`` of a part is
undone, and all of it when the whole line is back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count as count_from

import msgspec

from processing.commands import Line, Receipt, ReturnLine
from processing.errors import BadAmount, ReturnExceeds
from processing.lots import Move
from processing.units import proportion, spread

GOODS = "goods"


class Share(msgspec.Struct, frozen=True, array_like=True):
    """A lot's part in an operation, by line: ``lines`` are (line number, amount) pairs, amounts positive."""

    account_id: int
    lot_id: int
    lines: tuple[tuple[int, int], ...]


class Counted(msgspec.Struct, frozen=True):
    """A sold line that comes back: its whole size, what came back of it before, and what comes back now."""

    number: int
    size: int
    before: int
    now: int


def lines_of(receipt: Receipt) -> Sequence[Line]:
    """The receipt's lines; one line 0 for the whole where a till sends no goods."""
    if receipt.lines:
        return receipt.lines
    return (Line(number=0, goods="", sum_minor=receipt.total_minor, price_minor=receipt.total_minor),)


def numbered(receipt: Receipt) -> Receipt:
    """The receipt with a number of its own for each line: shares and returns tell lines apart by it.

    A line without a number, or with one that an earlier line has, gets the lowest that no line has.
    """
    told = {line.number for line in receipt.lines}
    if 0 not in told and len(told) == len(receipt.lines):
        return receipt
    free = (number for number in count_from(1) if number not in told)
    seen = {0}
    lines = []
    for line in receipt.lines:
        is_own = line.number not in seen
        seen.add(line.number)
        lines.append(line if is_own else msgspec.structs.replace(line, number=next(free)))
    return msgspec.structs.replace(receipt, lines=tuple(lines))


def weights(lines: Sequence[Line], is_goods: bool = True) -> list[int]:
    """What each line costs; 0 for those of the other kind."""
    return [max(line.sum_minor, 0) if (line.kind == GOODS) == is_goods else 0 for line in lines]


def spread_payments(lines: Sequence[Line], amounts: Sequence[int]) -> list[list[tuple[int, int]]]:
    """Each amount spread over the goods in proportion, so that no line is paid more than it costs.

    What exceeds all lines together is spread as if they cost enough.
    """
    left = weights(lines)
    parts = []
    for amount in amounts:
        part = spread(amount, left if sum(left) >= amount else weights(lines))
        left = [max(rest - paid, 0) for rest, paid in zip(left, part, strict=True)]
        parts.append([(line.number, paid) for line, paid in zip(lines, part, strict=True) if paid])
    return parts


def shares(account_id: int, parts: Sequence[tuple[int, int]], moves: Sequence[Move]) -> list[Share]:
    """The lines' parts cut along the lots that were moved, both in their order."""
    if len(moves) == 1:
        return [Share(account_id, moves[0][0].id, tuple(parts))] if parts else []
    by_lot: dict[int, list[tuple[int, int]]] = {}
    waiting = [[line, amount] for line, amount in parts]
    for lot, moved in moves:
        rest = abs(moved)
        while rest and waiting:
            line, amount = waiting[0]
            taken = min(rest, amount)
            by_lot.setdefault(lot.id, []).append((line, taken))
            rest -= taken
            waiting[0][1] -= taken
            if waiting[0][1] == 0:
                waiting.pop(0)
    return [Share(account_id, lot_id, tuple(lines)) for lot_id, lines in by_lot.items()]


def size(line: Line) -> int:
    """How much of a line can come back: in thousandths, or in minor money where the till counts no pieces."""
    return line.quantity_thousandths if line.quantity_thousandths > 0 and line.number else max(line.sum_minor, 0)


def count(
    lines: Sequence[Line], before: Mapping[int, int], asked: Sequence[ReturnLine], is_fact: bool
) -> tuple[list[Counted], bool]:
    """How much of each sold line comes back now, and whether a fact asked for more than is left.

    Errors: ReturnExceeds, BadAmount; a fact's surplus is left out instead.
    """
    now = {line.number: 0 for line in lines}
    is_over = False

    def left(line: Line) -> int:
        return size(line) - before.get(line.number, 0) - now[line.number]

    if not asked:
        now = {line.number: max(left(line), 0) for line in lines}
        if not any(now.values()):
            is_over = _exceeds(is_fact, 0, 0, 0)
    for wanted in asked:
        found = _sold(lines, wanted)
        there = sum(left(line) for line in found)
        asked_for = rest = _amount(wanted, found, there)
        if rest <= 0:
            if not is_fact:
                raise BadAmount("a return takes something back", line=wanted.number)
            is_over = True
        for line in found:
            taken = min(max(rest, 0), max(left(line), 0))
            now[line.number] += taken
            rest -= taken
        if rest > 0:
            is_over = _exceeds(is_fact, wanted.number, there, asked_for)
    return [
        Counted(line.number, size(line), before.get(line.number, 0), now[line.number])
        for line in lines
        if now[line.number]
    ], is_over


def _exceeds(is_fact: bool, line: int, left: int, asked: int) -> bool:
    if not is_fact:
        raise ReturnExceeds("more comes back than is left of what was sold", line=line, left=left, asked=asked)
    return True


def _sold(lines: Sequence[Line], wanted: ReturnLine) -> list[Line]:
    """The sale's lines that are meant: by number, else by goods, else the one there is."""
    if wanted.number:
        return [line for line in lines if line.number == wanted.number]
    if wanted.goods:
        return [line for line in lines if line.goods == wanted.goods]
    return list(lines) if len(lines) == 1 else []


def _amount(wanted: ReturnLine, found: Sequence[Line], left: int) -> int:
    """How much is asked for, in the lines' own measure; 0 for a sum too small to measure."""
    if wanted.quantity_thousandths is None and wanted.sum_minor is None:
        return left or 1
    if not found:
        return max(wanted.quantity_thousandths or 0, wanted.sum_minor or 0)
    if wanted.quantity_thousandths is not None and all(line.quantity_thousandths > 0 and line.number for line in found):
        return wanted.quantity_thousandths
    if wanted.sum_minor is None:
        return 0
    whole = sum(max(line.sum_minor, 0) for line in found)
    sizes = sum(size(line) for line in found)
    return sizes if wanted.sum_minor == whole else proportion(max(wanted.sum_minor, 0), sizes, max(whole, 1))


def undone(shares: Sequence[Share], counted: Mapping[int, Counted]) -> list[tuple[Share, int]]:
    """What of each share of one account these lines undo now; of the shares the first ones first.

    A line's parts are one amount: of it so much is undone as of the line comes back. So no kopeck is lost on the
    way from lot to lot.
    """
    found = dict.fromkeys(range(len(shares)), 0)
    whole: dict[int, int] = {}
    for share in shares:
        for number, amount in share.lines:
            whole[number] = whole.get(number, 0) + amount
    for number, line in counted.items():
        if number not in whole or not line.size:
            continue
        start = proportion(whole[number], line.before, line.size)
        end = proportion(whole[number], line.before + line.now, line.size)
        at = 0
        for place in range(len(shares)):
            for each, amount in shares[place].lines:
                if each == number:
                    found[place] += max(min(at + amount, end) - max(at, start), 0)
                    at += amount
    return [(shares[place], amount) for place, amount in found.items()]
