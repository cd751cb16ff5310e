"""Which parts of a whole are taken: half-open (start, end) pairs of whole numbers, from the lowest up. Pure.

What belongs to a part of an amount is reckoned by where it begins and ends, never by how long it is: so disjoint
parts that fill the whole come to exactly the amount, whatever their number and order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from processing.units import proportion

Span = tuple[int, int]
Spans = tuple[Span, ...]


def joined(spans: Iterable[Span]) -> Spans:
    """The same, with those that touch as one; empty ones are left out."""
    found: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return tuple(found)


def gaps(taken: Iterable[Span], whole: int) -> Spans:
    """What of the whole nobody has taken."""
    found: list[Span] = []
    at = 0
    for start, end in joined(taken):
        found.append((at, min(start, whole)))
        at = end
    return joined([*found, (at, whole)])


def lowest(spans: Iterable[Span], length: int) -> Spans:
    """The first so much of these."""
    found: list[Span] = []
    for start, end in spans:
        found.append((start, min(end, start + max(length, 0))))
        length -= found[-1][1] - start
    return joined(found)


def length_of(spans: Iterable[Span]) -> int:
    """How much that is, of disjoint spans."""
    return sum(end - start for start, end in spans)


def ranges(spans: Sequence[Span], whole: int, amount: int) -> Spans:
    """The units of an amount that belong to these parts of the whole, as spans of the amount."""
    return joined((proportion(amount, start, whole), proportion(amount, end, whole)) for start, end in spans)


def portion(spans: Sequence[Span], whole: int, amount: int) -> int:
    """How much of an amount belongs to these parts of the whole."""
    return length_of(ranges(spans, whole, amount))
