"""A decision in words: to the cashier in a line, on the slip rule by rule, to the holder with what comes next.

Russian and English; amounts come ready to be read.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from processing.results import TextTold

CASHIER, SLIP, HOLDER = "cashier", "slip", "holder"


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that fired: its texts, what it takes off (or empty) and what it brings (or empty), with the unit."""

    ru: str
    en: str
    off: str = ""
    points: str = ""


def texts(
    given: Sequence[Given],
    off: str,
    earned: str,
    is_final: bool,
    next_tier: tuple[str, str, str] | None = None,
) -> tuple[TextTold, ...]:
    """The texts of one card. ``off`` and ``earned`` are sums, empty for nothing.

    ``next_tier``: its name in both languages, and what is missing for it.
    """
    slip_ru = [f"{each.ru}: {_amount(each)}" for each in given]
    slip_en = [f"{each.en}: {_amount(each)}" for each in given]
    verb_ru, verb_en = ("начислено", "earned") if is_final else ("будет начислено", "to be earned")
    ru = [*([f"скидка {off}"] if off else []), *([f"{verb_ru} {earned}"] if earned else [])]
    en = [*([f"{off} off"] if off else []), *([f"{earned} {verb_en}"] if earned else [])]
    holder_ru, holder_en = list(slip_ru), list(slip_en)
    if next_tier is not None:
        name_ru, name_en, missing = next_tier
        holder_ru.append(f"До уровня «{name_ru}» осталось {missing}")
        holder_en.append(f"{missing} to go to the tier {name_en}")
    line_ru = ", ".join(ru) or "без скидки и баллов"
    line_en = ", ".join(en) or "no discount, no points"
    return (
        TextTold(audience=CASHIER, ru=line_ru[0].upper() + line_ru[1:], en=line_en[0].upper() + line_en[1:]),
        TextTold(audience=SLIP, ru="\n".join(slip_ru), en="\n".join(slip_en)),
        TextTold(audience=HOLDER, ru="\n".join(holder_ru), en="\n".join(holder_en)),
    )


def _amount(each: Given) -> str:
    return f"-{each.off}" if each.off else f"+{each.points}"
