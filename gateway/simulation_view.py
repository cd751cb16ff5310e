"""What a simulation found, for people and for programs: the new version, the active one, and the difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from processing.simulation.figures import Figures, RuleFigures, TierFigures
from processing.units import major

# What a row is counted in.
COUNT, MONEY, POINTS = "count", "money", "points"
ROWS = (
    ("receipts", "receipts", COUNT),
    ("returns", "returns", COUNT),
    ("turnover_minor", "turnover", MONEY),
    ("till_discount_minor", "discounts of tills then", MONEY),
    ("discount_minor", "discounts", MONEY),
    ("brought", "points at the begin, and other", POINTS),
    ("issued", "points issued", POINTS),
    ("issued_minor", "  worth", MONEY),
    ("redeemed", "points redeemed", POINTS),
    ("expired", "points expired", POINTS),
    ("outstanding", "points outstanding", POINTS),
    ("liability_minor", "  worth (liability)", MONEY),
    ("unpaid", "points that could not pay", POINTS),
    ("unpaid_receipts", "  in receipts", COUNT),
    ("cost_minor", "cost", MONEY),
)


@dataclass(frozen=True)
class Compared:
    """``is_active``: whether any version is active now; else the receipts are beside no programme at all."""

    programme: str
    is_active: bool
    money_scale: int
    points_scale: int
    unit: str
    starts_at: datetime
    ends_at: datetime
    new: Figures
    active: Figures
    not_simulated: tuple[str, ...]
    left_out: Mapping[str, int]
    receipts_per_second: int

    def told(self, amount: int, kind: str) -> str:
        """An amount in major units; a number of things as it is."""
        scale = {COUNT: 0, MONEY: self.money_scale, POINTS: self.points_scale}[kind]
        return major(amount, scale)


def percent(hundredths: int) -> str:
    return major(hundredths, 2)


# JSON ---------------------------------------------------------------------------------------------------------


def as_json(compared: Compared) -> dict[str, Any]:
    """Amounts are decimal strings in major units."""
    new, active = compared.new, compared.active
    return {
        "programme": compared.programme,
        "unit": compared.unit,
        "since": compared.starts_at,
        "until": compared.ends_at,
        "active_version": compared.is_active,
        "new": _figures(compared, new),
        "active": _figures(compared, active),
        "difference": {
            **{
                _name(field): _value(compared, getattr(new, field) - getattr(active, field), kind)
                for field, _, kind in ROWS
            },
            "cost_percent": percent(new.cost_hundredths - active.cost_hundredths),
        },
        "not_simulated": list(compared.not_simulated),
        "left_out": dict(compared.left_out),
        "receipts_per_second": compared.receipts_per_second,
    }


def _name(field: str) -> str:
    return field.removesuffix("_minor") if field != "issued_minor" else "issued_worth"


def _value(compared: Compared, amount: int, kind: str) -> int | str:
    return amount if kind == COUNT else compared.told(amount, kind)


def _figures(compared: Compared, figures: Figures) -> dict[str, Any]:
    return {
        **{_name(field): _value(compared, getattr(figures, field), kind) for field, _, kind in ROWS},
        "cost_percent": percent(figures.cost_hundredths),
        "rules": [
            {
                "rule": rule.rule,
                "gives": rule.gives,
                "times": rule.times,
                "amount": compared.told(rule.amount, _kind(rule.gives)),
                "base": compared.told(rule.base_minor, MONEY),
            }
            for rule in figures.rules
        ],
        "tiers": [
            {
                "tier": tier.tier,
                "wallets": tier.wallets,
                "receipts": tier.receipts,
                "turnover": compared.told(tier.turnover_minor, MONEY),
                "cost": compared.told(tier.cost_minor, MONEY),
            }
            for tier in figures.tiers
        ],
        "over_limits": figures.over_limits,
        "refused": figures.refused,
    }


def _kind(gives: str) -> str:
    return MONEY if gives == "discount" else POINTS


# Tables -------------------------------------------------------------------------------------------------------


def as_table(compared: Compared) -> str:
    """The same for people."""
    return "\n".join(_lines(compared))


def _lines(compared: Compared) -> Iterator[str]:
    new, active = compared.new, compared.active
    beside = "active now" if compared.is_active else "without"
    yield f"{compared.programme}, {compared.starts_at:%Y-%m-%d} to {compared.ends_at:%Y-%m-%d}"
    yield f"{'':<32} {'new':>16} {beside:>16} {'difference':>16}"
    for field, label, kind in ROWS:
        one, other = getattr(new, field), getattr(active, field)
        told = (compared.told(amount, kind) for amount in (one, other, one - other))
        yield "{:<32} {:>16} {:>16} {:>16}".format(label, *told)
    costs = (new.cost_hundredths, active.cost_hundredths, new.cost_hundredths - active.cost_hundredths)
    yield "{:<32} {:>16} {:>16} {:>16}".format("  % of turnover", *map(percent, costs))
    yield from _rules(compared, beside)
    yield from _tiers(compared, beside)
    yield from _notes(compared)
    yield f"{compared.receipts_per_second} receipts a second"


def _rules(compared: Compared, beside: str) -> Iterator[str]:
    """Rules of both versions, each with its times, amount and base."""
    new = {(rule.rule, rule.gives): rule for rule in compared.new.rules}
    old = {(rule.rule, rule.gives): rule for rule in compared.active.rules}
    if new or old:
        head = ("rule", "gives", "times", "amount", "base", f"times {beside}", f"amount {beside}")
        yield ""
        yield "{:<24} {:<8} {:>9} {:>14} {:>16} {:>17} {:>17}".format(*head)
    for key in sorted(new | old):
        nothing = RuleFigures(rule=key[0], gives=key[1], times=0, amount=0, base_minor=0)
        one, other = new.get(key, nothing), old.get(key, nothing)
        amounts = [compared.told(each.amount, _kind(each.gives)) for each in (one, other)]
        base = compared.told(one.base_minor, MONEY)
        yield (
            f"{one.rule:<24} {one.gives:<8} {one.times:>9} {amounts[0]:>14} {base:>16}"
            f" {other.times:>17} {amounts[1]:>17}"
        )


def _tiers(compared: Compared, beside: str) -> Iterator[str]:
    old = {tier.tier: tier for tier in compared.active.tiers}
    new = {tier.tier: tier for tier in compared.new.tiers}
    if new or old:
        head = ("tier", "wallets", "receipts", "turnover", "cost", f"cost {beside}")
        yield ""
        yield "{:<24} {:>9} {:>9} {:>16} {:>14} {:>17}".format(*head)
    for tier in dict.fromkeys([*new, *old]):
        one, other = (some.get(tier, TierFigures(tier=tier)) for some in (new, old))
        money = [compared.told(m, MONEY) for m in (one.turnover_minor, one.cost_minor, other.cost_minor)]
        yield f"{tier:<24} {one.wallets:>9} {one.receipts:>9} {money[0]:>16} {money[1]:>14} {money[2]:>17}"


def _notes(compared: Compared) -> Iterator[str]:
    """What somebody should know who reads the figures."""
    notes = [f"rule {rule}: not simulated, because nobody's birthday is known here" for rule in compared.not_simulated]
    notes += [f"limit {name}: exceeded {n} times" for name, n in sorted(compared.new.over_limits.items())]
    notes += [f"refused ({code}): {n}" for code, n in sorted(compared.new.refused.items())]
    notes += [f"left out, {name.replace('_', ' ')}: {n}" for name, n in compared.left_out.items() if n]
    if notes:
        yield ""
    yield from notes
    yield ""
