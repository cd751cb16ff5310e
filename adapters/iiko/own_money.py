"""What of an order the guest's own money has paid: only that earns, wherever the rest was booked."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from processing.commands import Line
from processing.units import spread


def own_lines(lines: Sequence[Line], elsewhere_minor: int) -> tuple[Line, ...]:
    """The lines at what own money has paid of them: what was paid elsewhere comes off them like a discount.

    In proportion to what they cost, which they have to cover.
    """
    if not elsewhere_minor:
        return tuple(lines)
    parts = spread(elsewhere_minor, [line.sum_minor for line in lines])
    return tuple(
        msgspec.structs.replace(line, sum_minor=line.sum_minor - part, discount_minor=line.discount_minor + part)
        for line, part in zip(lines, parts, strict=True)
    )
