"""The words of a decision, with the amounts of its stories written out in their units."""

from __future__ import annotations

from typing import Any

from processing.programme import tiers
from processing.programme.compiled import DISCOUNT, Programme
from processing.programme.texts import Given, texts
from processing.reading import Reading
from processing.results import TextTold
from processing.units import MONEY, major


def card_texts(
    reading: Reading, programme: Programme, story: dict[str, Any], is_final: bool, account: int = 0, store: str = ""
) -> tuple[TextTold, ...]:
    """The texts of one card's story. With ``account`` and ``store`` its holder hears of the next tier."""
    money, points = money_scale(reading), reading.scale(programme.unit)
    off = sum(told["amount"] for told in story["rules"] if told["gives"] == DISCOUNT)
    return texts(
        [_given(programme, told, money, points) for told in story["rules"]],
        major(off, money) if off else "",
        f"{major(story['earned'], points)} {programme.unit}" if story["earned"] else "",
        is_final,
        _next_tier(reading, store, account, programme) if account else None,
    )


def money_scale(reading: Reading) -> int:
    return next((unit.scale for unit in reading.work.directory.units.values() if unit.kind == MONEY), 0)


def _given(programme: Programme, told: dict[str, Any], money: int, points: int) -> Given:
    """A rule without words of its own is told by its name."""
    ru, en = programme.words(told["gives"], told["rule"])
    if told["gives"] == DISCOUNT:
        return Given(ru=ru, en=en, off=major(told["amount"], money))
    return Given(ru=ru, en=en, points=f"{major(told['amount'], points)} {programme.unit}")


def _next_tier(reading: Reading, store: str, account: int, programme: Programme) -> tuple[str, str, str] | None:
    """The tier above the holder's, in both languages, and what is missing for it."""
    said = programme.document.tiers
    today = reading.today(store)
    held = reading.pasts.membership(account, programme, today)
    found = (
        tiers.next_level(said, held, reading.pasts.history(account, programme.unit), today) if said and held else None
    )
    if said is None or found is None:
        return None
    level = next(level for level in said.levels if level.tier == found[0])
    scale = {"turnover": money_scale(reading), "points": reading.scale(programme.unit), "visits": 0}[said.measure]
    return level.ru or level.tier, level.en or level.ru or level.tier, major(found[1], scale)
