"""Results -> the bytes that FarCards reads: card info, a card that was searched for, and what all answers share.

Every answer is a pure function of what was asked and what came back, so that a replay is answered byte for byte
alike. The attributes of card info are those of the vendor's 1164-byte struct; docs/adapters/rkeeper.md, "What is
answered". Transactions: ``trresponse``; refusals: ``refusals``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.contract import WireResponse
from adapters.rkeeper.options import PURSES, units_by_number
from adapters.rkeeper.wording import HOLDER_BYTES, TEXT_BYTES, ansi, fitted, quoted
from adapters.texts import ENGLISH, RUSSIAN, code_text, line
from processing.results import Balance, FoundCard, Identified
from processing.units import major

Options = Mapping[str, Any]

CONTENT_TYPE = "text/xml; charset=utf-8"
DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'
SHOWN_DIGITS = 4

# Windows LCIDs of CHECK@locale.
LOCALES = {"1049": RUSSIAN, "1033": ENGLISH}

NOT_FOUND = f'{DECLARATION}<Root><GetCardInfoEx Result="1"/></Root>'
NOTHING_DONE = f'{DECLARATION}<Root><TransactionsEx Result="0"/></Root>'
# The page's own words; the station shows a picture or nothing.
NO_PICTURE = f'{DECLARATION}<Root><GetCardImageEx ErrorText="Card or image not found"/></Root>'


def respond(document: str, status: int = 200, refused: str = "") -> WireResponse:
    """The document on its way: FarCards wants 200 and well-formed XML whatever it says."""
    return WireResponse(body=document.encode(), content_type=CONTENT_TYPE, status=status, refused=refused)


def language(locale: str | None, options: Options) -> str:
    """The language of the texts: what the link says, else the station's own, else Russian."""
    chosen: str = options["language"]
    return chosen if chosen != "auto" else LOCALES.get(locale or "", RUSSIAN)


def card_answer(found: Identified, options: Options, tongue: str) -> str:
    """The card info of a card that was found, usable or not."""
    usable = not found.usable
    discount = options["discounts"].get(found.discount, 0) if usable else 0
    balances = _balances_text(found, options)
    screen = fitted(line("balance", tongue, balances), TEXT_BYTES) if balances else ""
    sums = _sums(found, options) if usable else {}
    return card_info(
        deleted=int(found.status == "closed"),
        expired=int(found.usable == "card_expired"),
        why="" if usable else code_text(found.usable, tongue),
        holder=_holder(found, balances if options["balance_in_name"] else ""),
        person=found.holder_id,
        account=found.account,
        bonus=options["bonuses"].get(found.bonus, 0) if usable else 0,
        discount=discount,
        limit=options["discount_limit_minor"] if discount else 0,
        sums=sums,
        info=fitted(found.product, TEXT_BYTES),
        screen=screen,
        slip=screen,
    )


def card_info(
    *,
    why: str,
    deleted: int = 0,
    expired: int = 0,
    holder: str = "",
    person: int = 0,
    account: int = 0,
    bonus: int = 0,
    discount: int = 0,
    limit: int = 0,
    sums: Mapping[int, int] | None = None,
    info: str = "",
    screen: str = "",
    slip: str = "",
) -> str:
    """Result 0 with every attribute of the struct; a text in ``why`` locks the card."""
    purses = sums or {}
    rest = "".join(f' Sum{number}="{purses.get(number, 0)}"' for number in range(2, PURSES + 1))
    return (
        f'{DECLARATION}<Root><GetCardInfoEx Result="0" Deleted="{deleted}" Seize="0" StopDate="{expired}"'
        f' Holy="0" Manager="0" Locked="{int(bool(why))}" WhyLock="{quoted(fitted(why, TEXT_BYTES))}"'
        f' Holder="{quoted(holder)}" PersonID="{person}" Account="{account}" Unpay="0" Bonus="{bonus}"'
        f' Discount="{discount}" DiscLimit="{limit}" Summa="{purses.get(1, 0)}"{rest}'
        f' DopInfo="{quoted(info)}" ScrMessage="{quoted(screen)}" PrnMessage="{quoted(slip)}"/></Root>'
    )


def _sums(found: Identified, options: Options) -> dict[int, int]:
    """Purse number -> what may be paid from it now, in kopecks; debt shows 0."""
    available = {balance.unit: balance.available for balance in found.balances}
    payable = dict(found.payable)
    return {
        number: max(min(available.get(unit, 0), payable.get(unit, 0)), 0)
        for number, unit in units_by_number(options).items()
    }


def _balances_text(found: Identified, options: Options) -> str:
    """What is available of each purse's unit: ``450.50``, or ``BONUS 450.50, GIFT 100.00``."""
    by_unit: dict[str, Balance] = {balance.unit: balance for balance in found.balances}
    shown = [by_unit[unit] for unit in units_by_number(options).values() if unit in by_unit]
    amounts = [major(balance.available, balance.scale) for balance in shown]
    if len(shown) == 1:
        return amounts[0]
    return ", ".join(f"{balance.unit} {amount}" for balance, amount in zip(shown, amounts, strict=True))


def find_answer(found: FoundCard) -> str:
    """The card that a text led to; the station asks for its card info next."""
    return (
        f'{DECLARATION}<Root><FindEmail Account="{found.account}" CardCode="{quoted(found.number)}"'
        f' Name="{quoted(_holder(found))}" Result="0"/></Root>'
    )


def not_found_answer(reason: str) -> str:
    return f'{DECLARATION}<Root><FindEmail ErrorText="{quoted(reason)}" Result="1"/></Root>'


def _holder(found: Identified | FoundCard, balances: str = "") -> str:
    """The holder's name, or the card's last digits; with the balance behind it where the link wants that."""
    name = fitted(found.holder_name, HOLDER_BYTES).strip() or f"*{found.number[-SHOWN_DIGITS:]}"
    tail = f" {balances}" if balances else ""
    room = max(HOLDER_BYTES - len(ansi(tail)), 0)
    return fitted(fitted(name, room) + tail, HOLDER_BYTES)
