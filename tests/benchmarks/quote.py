"""How long the rules take for one receipt: 10 lines under 50 active rules, no database.

    python tests/benchmarks/quote.py [--lines 10] [--rules 50] [--json]

Half of the rules are discounts, half points; each kind of give is among them. All of them are on in this store on
this day; how many meet a line differs: every fifth rule is for all goods, the others for one category of ten. Beside
it the same receipt under 10 times as many rules that are on elsewhere, another day or for other goods (they should
cost nearly nothing), twice the lines (linear), and a plain Python loop over all rules and lines as the floor of what
a programme without an index would do. Aim: less than 500 us, better 300.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from processing.commands import Line, Receipt
from processing.programme.compiled import Moment, Programme
from processing.programme.decide import Part, decide
from processing.programme.document import (
    AmountOff,
    ByReceipt,
    DiscountRule,
    Discounts,
    FixedPrice,
    Goods,
    Group,
    NthPiece,
    Payment,
    PerAmount,
    Percent,
    Points,
    PointsRule,
    ProgrammeDocument,
    Step,
    When,
)
from processing.programme.payment import payable

STORE, ELSEWHERE = "here", "elsewhere"
CATEGORIES = 10
ROUNDS, REPEATS = 41, 40
NOON = Moment(STORE, datetime(2026, 11, 26, 12, tzinfo=ZoneInfo("Europe/Moscow")))


def programme(rules: int, asleep: int = 0) -> Programme:
    """So many rules that are on, and others that can not match here."""
    discounts, points = [], []
    gives = (
        Percent(hundredths=500),
        ByReceipt(steps=(Step(from_minor=100_000, hundredths=300), Step(from_minor=1_000_000, hundredths=700))),
        AmountOff(off_minor=5_000),
        FixedPrice(price_minor=9_900),
        NthPiece(every=3, hundredths=10_000),
    )
    brings = (Percent(hundredths=300), PerAmount(points=100, every_minor=10_000), Percent(hundredths=700))
    for n in range(rules):
        goods = () if n % 5 == 0 else (f"set{n % CATEGORIES}",)
        if n % 2:
            points.append(PointsRule(rule=f"p{n}", give=brings[n % 3], goods=goods, group="base" if n % 3 else "more"))
        else:
            give = gives[n // 2 % len(gives)]
            discounts.append(DiscountRule(rule=f"d{n}", give=give, goods=goods, group="a" if n % 4 else "b"))
    for n in range(asleep):
        when = (When(stores=(ELSEWHERE,)), When(first_day=date(2030, 1, 1)), When(weekdays=(6,)), When())[n % 4]
        discounts.append(
            DiscountRule(rule=f"z{n}", give=Percent(hundredths=100), when=when, goods=(f"far{n % 50}",), group="a")
        )
    sets = {f"set{n}": Goods(categories=(f"c{n}",)) for n in range(CATEGORIES)}
    sets |= {f"far{n}": Goods(categories=(f"far{n}",)) for n in range(50)}
    return Programme(
        ProgrammeDocument(
            code="bench",
            unit="BONUS",
            goods=sets,
            discounts=Discounts(
                rules=tuple(discounts),
                groups=(Group(group="a", take="best"), Group(group="b", take="sum")),
                floor_hundredths=3_000,
            ),
            points=Points(
                rules=tuple(points), groups=(Group(group="base", take="best"), Group(group="more", take="sum"))
            ),
            payment=Payment(hundredths=3_000, line_hundredths=5_000),
        )
    )


def receipt(lines: int) -> Receipt:
    told = tuple(
        Line(
            number=n,
            goods=f"g{n}",
            category=f"c{n % CATEGORIES}",
            quantity_thousandths=1_000 * (1 + n % 3),
            price_minor=12_345,
            sum_minor=12_345 * (1 + n % 3),
        )
        for n in range(1, lines + 1)
    )
    total = sum(line.sum_minor for line in told)
    return Receipt(number="1", till="1", business_date=date(2026, 11, 26), total_minor=total, lines=told)


def quoting(rules: Programme, told: Receipt) -> Callable[[], object]:
    """What a quote asks of the rules: discounts, points, and what points may pay."""
    parts = [Part(programme=rules)]

    def quote() -> object:
        decision = decide(told, parts, NOON, is_final=False)
        total = told.total_minor - decision.discount_minor
        return payable(rules, decision.lines, decision.prices, total, parts[0].facts)

    return quote


def looping(rules: Programme, told: Receipt) -> Callable[[], object]:
    """The floor of what it takes to look at every rule for every line."""
    said = [*rules.document.discounts.rules, *rules.document.points.rules]

    def loop() -> object:
        found = 0
        for rule in said:
            for line in told.lines:
                if not rule.goods or f"set{line.category[1:]}" in rule.goods:
                    found += line.sum_minor * 5 // 100
        return found

    return loop


def median_us(work: Callable[[], object]) -> float:  # a time, not an amount
    work()
    took = []
    for _ in range(ROUNDS):
        started = time.process_time_ns()
        for _ in range(REPEATS):
            work()
        took.append((time.process_time_ns() - started) // REPEATS)
    return round(statistics.median(took) / 1_000, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=10)
    parser.add_argument("--rules", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    awake, told = programme(arguments.rules), receipt(arguments.lines)
    own = median_us(quoting(awake, told))
    asleep = median_us(quoting(programme(arguments.rules, 10 * arguments.rules), told))
    double = median_us(quoting(awake, receipt(2 * arguments.lines)))
    loop = median_us(looping(awake, told))
    simple = median_us(quoting(programme(2), told))
    report = {
        "median_us": own,
        "lines": arguments.lines,
        "rules": arguments.rules,
        "with_ten_times_as_many_rules_asleep_us": asleep,
        "twice_the_lines_us": double,
        "two_rules_us": simple,
        "plain_loop_us": loop,
        "ratio_to_plain_loop": round(own / loop, 2),
    }
    if arguments.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:40} {value}")


if __name__ == "__main__":
    main()
