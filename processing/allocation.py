"""Which line of a receipt was paid from which lot and earned into which: what returns read. Pure.

A return never runs the rules again. It takes parts of the sold lines that no return has which stands, the lowest
first, and undoes what of the stored shares belongs to just these parts (processing/spans.py). So whatever comes back
and is undone again, in whatever order: a line that is back as a whole has given back exactly its shares.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import count as count_from

import msgspec

from processing.commands import Line, Receipt, ReturnLine
from processing.errors import BadAmount, ReturnExceeds
from processing.lots import Move
from processing.spans import Spans, gaps, joined, length_of, lowest, portion, ranges
from processing.units import of_pieces, spread

GOODS, GIFT_CARD = "goods", "gift_card"


class Share(msgspec.Struct, frozen=True, array_like=True):
    """A lot's part in an operation, by line: ``lines`` are (line number, amount) pairs, amounts positive."""

    account_id: int
    lot_id: int
    lines: tuple[tuple[int, int], ...]


class Back(msgspec.Struct, frozen=True, array_like=True):
    """How much of a sold line has come back, in its measure; ``sum_minor`` is what the till told of it in money.

    ``spans`` are the parts of the line that came back, of which it has ``parts(line)``: finer than the measure, for
    money may be. Returns from before they were kept have none (``came_back``).
    """

    number: int
    amount: int
    sum_minor: int = 0
    spans: Spans = ()


class Counted(msgspec.Struct, frozen=True):
    """A sold line that comes back: its whole size, what came back of it before, and what comes back now.

    ``spans`` is what comes back now exactly, in parts of which the whole line has ``parts``.
    """

    number: int
    size: int
    before: int
    now: int
    sum_minor: int
    spans: Spans
    parts: int


def lines_of(receipt: Receipt) -> Sequence[Line]:
    """The receipt's lines; one line 0 for the whole where a till sends no goods."""
    if receipt.lines:
        return receipt.lines
    # As with lines, the price is that of before discounts: a rule for dear goods sees the same when the bill is closed.
    price = receipt.total_minor + max(receipt.discount_minor, 0)
    return (Line(number=0, goods="", sum_minor=receipt.total_minor, price_minor=price),)


def is_purchase(receipt: Receipt) -> bool:
    """Whether anything is sold: a document of points alone may stand beside that of the goods."""
    return bool(receipt.lines or receipt.total_minor)


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
    return [cost if (cost := line.sum_minor) > 0 and (line.kind == GOODS) == is_goods else 0 for line in lines]


def payable_total(receipt: Receipt) -> int:
    """What of a receipt points may pay at all: lines that load value on a card are paid with money."""
    return receipt.total_minor - sum(weights(receipt.lines, is_goods=False))


def spread_payments(lines: Sequence[Line], amounts: Sequence[int]) -> list[list[tuple[int, int]]]:
    """Each amount spread over the goods in proportion, so that no line is paid more than it costs.

    A line that has to cost something is paid down to its least price only, as long as the others can take the rest.
    What exceeds all lines together is spread as if they cost enough.
    """
    left = costs = weights(lines)
    has_least = bool([line for line in lines if line.minimum_price_minor])
    parts = []
    for amount in amounts:
        rooms = (_above_least(lines, left), left) if has_least else (left,)
        part = spread(amount, next((room for room in rooms if sum(room) >= amount), costs))
        parts.append([(line.number, paid) for line, paid in zip(lines, part, strict=True) if paid])
        if len(parts) < len(amounts):
            left = [max(rest - paid, 0) for rest, paid in zip(left, part, strict=True)]
    return parts


def _above_least(lines: Sequence[Line], left: Sequence[int]) -> list[int]:
    """What is left of each line above what it has to cost."""
    least = [of_pieces(line.minimum_price_minor, line.quantity_thousandths) for line in lines]
    return [max(rest - kept, 0) for rest, kept in zip(left, least, strict=True)]


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


def parts(line: Line) -> int:
    """Of how many parts a line is made: as few as let a unit of its measure and one of money be whole."""
    return math.lcm(size(line), max(line.sum_minor, 1))


def came_back(lines: Sequence[Line], backs: Iterable[Back]) -> dict[int, Back]:
    """How much of each line has come back, by its number, and which parts of it that are."""
    by_number: dict[int, list[Back]] = {}
    for back in backs:
        by_number.setdefault(back.number, []).append(back)
    found: dict[int, Back] = {}
    for line in lines:
        if line.number in by_number:
            some = by_number[line.number]
            told = [span for back in some for span in back.spans]
            former = _former(line, [back for back in some if not back.spans])
            taken = joined([*told, *lowest(gaps(told, parts(line)), former)])
            amount, sums = sum(back.amount for back in some), sum(back.sum_minor for back in some)
            found[line.number] = Back(line.number, amount, sums, taken)
    return found


def _former(line: Line, backs: Sequence[Back]) -> int:
    """How many parts returns have taken that do not tell which: they filled the line from its start.

    Money was rounded down over all steps, not in each.
    """
    whole, amount = parts(line), sum(back.amount for back in backs)
    if amount >= size(line):
        return whole
    piece = whole // size(line)
    sums = sum(back.sum_minor for back in backs) * (whole // max(line.sum_minor, 1))
    return min(max(amount - sums // piece, 0) * piece + sums, whole)


def is_all(lines: Sequence[Line], before: Mapping[int, Back], now: Mapping[int, Counted]) -> bool:
    """Whether nothing is left of these lines after what came back before and now."""
    taken = {number: [*back.spans] for number, back in before.items()}
    for number, line in now.items():
        taken.setdefault(number, []).extend(line.spans)
    return not any(gaps(taken.get(line.number, ()), parts(line)) for line in lines)


class _Line:
    """A sold line while it is counted: what of it is free, and what was taken now."""

    def __init__(self, line: Line, before: Back | None) -> None:
        self.line = line
        self.size = size(line)
        self.worth = max(line.sum_minor, 0)
        self.parts = parts(line)
        self.before = before or Back(line.number, 0)
        self.free = gaps(self.before.spans, self.parts)
        self.taken: Spans = ()
        self.sum_minor = 0

    def unit(self, in_money: bool) -> int:
        """The parts of one unit; 0 where there is nothing to take."""
        units = self.worth if in_money else self.size
        return self.parts // units if units else 0

    def left(self, in_money: bool = False) -> int:
        unit = self.unit(in_money)
        return -(-length_of(self.free) // unit) if unit else 0

    def take(self, wanted: int, in_money: bool = False) -> int:
        """As many units as there are of these; what is left then and less than one kopeck goes along."""
        taken = max(min(wanted, self.left(in_money)), 0)
        now = lowest(self.free, taken * self.unit(in_money))
        if taken and in_money and length_of(self.free) - length_of(now) < self.unit(in_money):
            now = self.free
        self.taken = joined([*self.taken, *now])
        self.free = gaps([*self.before.spans, *self.taken], self.parts)
        self.sum_minor += taken if in_money else 0
        return taken

    def counted(self) -> Counted:
        before = self.before.amount
        # Never past the whole: where former returns are read into gaps, those may round to less than was told.
        now = min(portion(self.taken, self.parts, self.size), max(self.size - before, 0))
        return Counted(self.line.number, self.size, before, now, self.sum_minor, self.taken, self.parts)


def count(
    lines: Sequence[Line], before: Mapping[int, Back], asked: Sequence[ReturnLine], is_fact: bool
) -> tuple[list[Counted], bool]:
    """How much of each sold line comes back now, and whether a fact asked for more than is left.

    Errors: ReturnExceeds, BadAmount; a fact's surplus is left out instead.
    """
    every = [_Line(line, before.get(line.number)) for line in lines]
    is_over = False
    if not asked and not sum(each.take(each.left()) for each in every):
        is_over = _exceeds(is_fact, 0, 0, 0)
    for wanted in asked:
        found = _sold(every, wanted)
        there = sum(each.left() for each in found)
        amount, in_money = _amount(wanted, [each.line for each in found], there)
        if amount <= 0:
            if not is_fact:
                raise BadAmount("a return takes something back", line=wanted.number)
            is_over = True
        for each in found:
            amount -= each.take(amount, in_money)
        if amount > 0:
            is_over = _exceeds(is_fact, wanted.number, there, there + _measured(found, amount, in_money))
    return [each.counted() for each in every if each.taken], is_over


def _measured(found: Sequence[_Line], amount: int, in_money: bool) -> int:
    """An amount in the lines' measure, rounded up."""
    sizes, worth = sum(each.size for each in found), sum(each.worth for each in found)
    return -(-amount * sizes // worth) if in_money and worth else amount


def _exceeds(is_fact: bool, line: int, left: int, asked: int) -> bool:
    if not is_fact:
        raise ReturnExceeds("more comes back than is left of what was sold", line=line, left=left, asked=asked)
    return True


def _sold(lines: Sequence[_Line], wanted: ReturnLine) -> list[_Line]:
    """The sale's lines that are meant: by number, else by goods, else the one there is."""
    if wanted.number:
        return [each for each in lines if each.line.number == wanted.number]
    if wanted.goods:
        return [each for each in lines if each.line.goods == wanted.goods]
    return list(lines) if len(lines) == 1 else []


def _amount(wanted: ReturnLine, found: Sequence[Line], left: int) -> tuple[int, bool]:
    """How much is asked for, and whether that is money; else it is in the lines' own measure."""
    if wanted.quantity_thousandths is None and wanted.sum_minor is None:
        return left or 1, False
    if not found:
        return max(wanted.quantity_thousandths or 0, wanted.sum_minor or 0), False
    if wanted.quantity_thousandths is not None and all(line.quantity_thousandths > 0 and line.number for line in found):
        return wanted.quantity_thousandths, False
    if wanted.sum_minor is None:
        return 0, False
    # The whole price means whole lines, also those that cost nothing.
    is_whole = wanted.sum_minor == sum(max(line.sum_minor, 0) for line in found)
    return (sum(size(line) for line in found), False) if is_whole else (wanted.sum_minor, True)


def undone(shares: Sequence[Share], counted: Mapping[int, Counted]) -> list[tuple[Share, int]]:
    """What of each share these lines undo now; of the shares of one account the first ones first.

    What is an account's of a line is one amount, cut by the parts that come back and by the lots. So no kopeck is
    lost on the way from lot to lot.
    """
    whole: dict[tuple[int, int], int] = {}
    for share in shares:
        for number, amount in share.lines:
            whole[share.account_id, number] = whole.get((share.account_id, number), 0) + amount
    back = {
        place: ranges(counted[place[1]].spans, counted[place[1]].parts, amount)
        for place, amount in whole.items()
        if place[1] in counted
    }
    at = dict.fromkeys(whole, 0)
    found = []
    for share in shares:
        taken = 0
        for number, amount in share.lines:
            place = share.account_id, number
            start = at[place]
            at[place] += amount
            taken += sum(max(min(at[place], end) - max(start, begin), 0) for begin, end in back.get(place, ()))
        found.append((share, taken))
    return found
