"""Results -> what 1C reads: texts, JSON, and the shapes that several answers share.

Every answer is a pure function of what was asked and what came back. Page: docs/adapters/onec.md, "What is answered".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec

from adapters.contract import WireResponse
from adapters.onec.documents import raw, said
from adapters.onec.guids import card_guid, client_guid, named
from adapters.texts import RUSSIAN, text
from processing.errors import CardNotFound, LoyaltyError, Refusal
from processing.results import Balance, FoundCard, HolderTold, HoldPlaced, Identified
from processing.units import HUNDREDTHS_OF_PERCENT, major, proportion

Options = Mapping[str, Any]

JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
EMPTY_DATE = "0001-01-01T00:00:00"
PERCENT_SCALE = 2

# What a 1C provider says (page, section 6); of other refusals the texts are our own.
WORDS: dict[str, dict[str, str]] = {
    "unlocked": {"ru": "Бонусы разблокированы", "en": "Points unlocked"},
    "written_off": {"ru": "Бонусы успешно списаны", "en": "Points taken off"},
    "accrued": {"ru": "Бонусы успешно начислены", "en": "Points given"},
    "united": {"ru": "Бонусы объединены", "en": "Points put together"},
    "no_points": {"ru": "Количество баллов не указано", "en": "The number of points is not told"},
    "no_card": {"ru": "Карта клиента не найдена", "en": "The client's card is not found"},
    "who": {
        "ru": "Укажите телефон, почту или номер карты",
        "en": "Tell a phone, an e-mail or a card's number",
    },
    "not_issued": {"ru": "Не удалось создать карту клиента", "en": "The client's card could not be made"},
    "gift_unlocked": {"ru": "Подарочный сертификат разблокирован", "en": "Gift card unlocked"},
    "gift_written_off": {"ru": "Подарочный сертификат успешно списан", "en": "Gift card charged"},
    "gift_accrued": {"ru": "Подарочный сертификат успешно пополнен", "en": "Gift card loaded"},
    "no_amount": {"ru": "Сумма не указана", "en": "The amount is not told"},
    "no_gift": {"ru": "Подарочный сертификат не найден", "en": "Gift card not found"},
    "promo_unlocked": {"ru": "Промокод разблокирован", "en": "Promo code unlocked"},
    "no_promo": {"ru": "Промокод не найден", "en": "Promo code not found"},
    "off": {
        "ru": "Использование сервера лояльности отключено в настройках программы.",
        "en": "The loyalty server is switched off in the settings.",
    },
    "no_key": {
        "ru": "Во входящих параметрах не обнаружен параметр {}",
        "en": "The parameter {} is not among those that came",
    },
    "no_marking": {"ru": "Проверка кодов маркировки не поддерживается", "en": "Marking codes are not checked here"},
    "no_token": {"ru": "Токен ГосИС здесь не выдаётся", "en": "No GosIS token is given out here"},
    "discount": {"ru": "Скидка", "en": "Discount"},
    "card_kind": {"ru": "Бонусная", "en": "Bonus"},
}


def word(name: str, options: Options) -> str:
    words = WORDS[name]
    return words.get(options["language"], words[RUSSIAN])


def answer(value: Any, status: int = 200, refused: str = "") -> WireResponse:
    """Any value as JSON."""
    return WireResponse(said(value), JSON, status, refused=refused)


def plain(words: str, status: int = 200, refused: str = "") -> WireResponse:
    """A text that is the whole body."""
    return WireResponse(words.encode("utf-8", "replace"), TEXT, status, refused=refused)


def envelope(options: Options, **told: Any) -> dict[str, Any]:
    """What object answers begin with."""
    return {"Error": False, "ErrorMessage": "", "Version": options["version"], **told}


def failure(words: str, options: Options) -> dict[str, Any]:
    return {"Error": True, "ErrorMessage": words, "Version": options["version"]}


def done(name: str, twin: str, options: Options, refused: str = "") -> WireResponse:
    """A command was carried out: in words on its old path, in JSON on its twins and new ones."""
    words = word(name, options)
    return answer(envelope(options, TextMessage=words), refused=refused) if twin else plain(words, refused=refused)


def failed(words: str, twin: str, options: Options, refused: str) -> WireResponse:
    """A command was not carried out: the till reads it with status 200 as well."""
    return answer(failure(words, options), refused=refused) if twin else plain(words, refused=refused)


def reason(error: LoyaltyError, options: Options, unknown: str = "no_card") -> str:
    """What the cashier reads about a refusal; ``unknown`` is the word for a card that is not there."""
    if isinstance(error, CardNotFound):
        return word(unknown, options)
    return text(error, options["language"])


def money(minor: int, scale: int = 2) -> msgspec.Raw:
    """An amount as a JSON number in major units, without zeros that say nothing."""
    told = major(minor, max(scale, 0))
    return raw(told.rstrip("0").rstrip(".") if "." in told else told)


def percent(hundredths: int) -> msgspec.Raw:
    return money(hundredths, PERCENT_SCALE)


def day(told: date | None) -> str:
    """A date as 1C's JSON tells it."""
    return EMPTY_DATE if told is None else f"{told.isoformat()}T00:00:00"


def refusal(outcome: object) -> bool:
    """Whether the rules said no. Errors: any other LoyaltyError, which nobody could answer well."""
    if isinstance(outcome, LoyaltyError) and not isinstance(outcome, Refusal):
        raise outcome
    return isinstance(outcome, Refusal)


def balance_of(found: Identified, unit: str) -> Balance:
    nothing = Balance(unit=unit, scale=2, balance=0, available=0)
    return next((balance for balance in found.balances if balance.unit == unit), nothing)


def is_locked(balance: Balance) -> bool:
    """Whether somebody else holds whatever there is; what the till itself holds was told as free."""
    return balance.available <= 0 < balance.held


def bonus_data(found: Identified, options: Options, count: int, scale: int) -> dict[str, Any]:
    return {
        "PaymentPercent": percent(found.payable_hundredths),
        "BonusCount": money(count, scale),
        "BonusRate": 1,
        "BonusName": options["unit_name"],
        "BonusGUID": named("unit", options["unit"]),
        "BonusLimitBalance": 0,
        "BonusCurrency": options["currency"],
    }


def loyalty_card(
    found: Identified, holder: HolderTold | None, options: Options, search: str = "", card: FoundCard | None = None
) -> dict[str, Any]:
    """A card with what its wallet has; ``card`` is another card of the same wallet."""
    shown = card or found
    balance = balance_of(found, options["unit"])
    count = 0 if shown.usable else max(balance.available, 0)
    return _card(shown, holder, options, search) | {
        "IsBlocked": is_locked(balance),
        "BonusData": bonus_data(found, options, count, balance.scale),
        "SellCount": money(found.turnover_minor or 0),
    }


def nameless_card(card: FoundCard, options: Options) -> dict[str, Any]:
    """A card of a list that was found by a part of a name: what it holds the till asks next."""
    unknown = {
        "PaymentPercent": 0,
        "BonusCount": 0,
        "BonusRate": 1,
        "BonusName": options["unit_name"],
        "BonusGUID": named("unit", options["unit"]),
        "BonusLimitBalance": 0,
        "BonusCurrency": options["currency"],
    }
    return _card(card, None, options, "ФИО") | {"IsBlocked": False, "BonusData": unknown, "SellCount": 0}


def _card(card: Identified | FoundCard, holder: HolderTold | None, options: Options, search: str) -> dict[str, Any]:
    return {
        "ClientName": (holder.name if holder else "") or card.holder_name,
        "IsPerson": bool(card.holder_id),
        "DateOfBirth": day(holder.birthday if holder else None),
        "Phone": (holder.phone if holder else "").removeprefix("+"),
        "Email": holder.email if holder else "",
        "Barcode": card.number,
        "MagneticCode": "",
        "CardGUID": card_guid(card.number),
        "ClientGUID": client_guid(card.account),
        "SearchType": search,
        "Valid": not card.usable,
        "TypeCard": word("card_kind", options),
    }


def hundredths(part: int, whole: int) -> int:
    """A part of a whole in hundredths of percent; nothing of nothing."""
    return proportion(HUNDREDTHS_OF_PERCENT, part, whole) if part > 0 < whole else 0


def held_amount(outcome: object) -> int:
    """What a lock has set aside."""
    return outcome.amount if isinstance(outcome, HoldPlaced) else 0
