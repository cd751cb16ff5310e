"""What cashiers, waiters and guests read, in Russian and English: refusals and the few lines of a slip.

A refusal says what happened and what to do. Amounts come as minor units in the error's details and are shown
in major ones. Every error code of the core has its text here (a test sees to it).
"""

from __future__ import annotations

from processing.errors import LoyaltyError
from processing.units import major

RUSSIAN = "ru"
ENGLISH = "en"
LANGUAGES = (RUSSIAN, ENGLISH)

DEFAULT_SCALE = 2

REFUSALS: dict[str, dict[str, str]] = {
    "error": {
        "ru": "Операция не выполнена. Повторите или обратитесь к администратору",
        "en": "Not carried out. Try again or call the administrator",
    },
    "refused": {
        "ru": "Операция отклонена правилами программы",
        "en": "The programme's rules do not allow this",
    },
    "card_not_found": {
        "ru": "Карта не найдена. Проверьте номер",
        "en": "Card not found. Check the number",
    },
    "card_not_active": {
        "ru": "Карта ещё не активирована. Активируйте её или возьмите другую",
        "en": "The card is not activated yet. Activate it or use another one",
    },
    "card_blocked": {
        "ru": "Карта заблокирована. Примите другую оплату",
        "en": "The card is blocked. Take another payment",
    },
    "card_expired": {
        "ru": "Срок действия карты истёк. Примите другую оплату",
        "en": "The card has expired. Take another payment",
    },
    "card_closed": {
        "ru": "Карта закрыта или заменена. Попросите новую карту",
        "en": "The card is closed or replaced. Ask for the new card",
    },
    "card_status_wrong": {
        "ru": "С картой в этом состоянии так поступить нельзя",
        "en": "This cannot be done with the card as it is",
    },
    "card_number_taken": {
        "ru": "Карта с таким номером уже есть. Возьмите другой номер",
        "en": "A card with this number exists. Use another number",
    },
    "product_not_found": {
        "ru": "Такого вида карт нет. Обратитесь к администратору",
        "en": "No such kind of card. Call the administrator",
    },
    "insufficient_points": {
        "ru": "Недостаточно средств на карте. Уменьшите сумму оплаты картой",
        "en": "Not enough on the card. Pay less with it",
    },
    "limit_exceeded": {
        "ru": "Этот чек нельзя оплатить картой на такую сумму. Уменьшите её",
        "en": "The card may not pay so much of this bill. Pay less with it",
    },
    "unit_not_found": {
        "ru": "Такого кошелька нет в настройках. Обратитесь к администратору",
        "en": "No such purse in the settings. Call the administrator",
    },
    "receipt_not_found": {
        "ru": "Чек не найден. Проверьте номер",
        "en": "Receipt not found. Check the number",
    },
    "already_voided": {
        "ru": "Эта оплата уже отменена. Проведите оплату заново",
        "en": "This payment was cancelled already. Pay again",
    },
    "key_reused": {
        "ru": "Чек с этим номером уже проведён с другим составом. Обратитесь к администратору",
        "en": "This receipt was posted with other content. Call the administrator",
    },
    "phone_taken": {
        "ru": "Этот телефон или почта уже у другого участника",
        "en": "Another member has this phone or e-mail",
    },
    "holder_exists": {
        "ru": "У карты уже есть владелец",
        "en": "The card already has a holder",
    },
    "bad_amount": {
        "ru": "Неверная сумма. Проверьте её",
        "en": "The amount is wrong. Check it",
    },
    "return_exceeds": {
        "ru": "Возвращают больше, чем было продано. Проверьте строки и количество",
        "en": "More is returned than was sold. Check lines and quantities",
    },
    "operation_not_found": {
        "ru": "Операция не найдена. Проверьте номер",
        "en": "Operation not found. Check its number",
    },
    "hold_not_found": {
        "ru": "Резерв не найден. Зарезервируйте заново",
        "en": "Hold not found. Place it again",
    },
    "hold_ended": {
        "ru": "Резерв уже использован или снят. Зарезервируйте заново",
        "en": "The hold was used or released already. Place it again",
    },
    "hold_expired": {
        "ru": "Срок резерва истёк, а средств уже не хватает. Уменьшите сумму оплаты картой",
        "en": "The hold has expired and not enough is left. Pay less with the card",
    },
    "same_wallet": {
        "ru": "Обе карты уже на одном счёте",
        "en": "Both cards share one wallet already",
    },
    "wallet_merging": {
        "ru": "Счёт карты объединяется с другим. Повторите позже",
        "en": "The card's wallet is being merged. Try again later",
    },
    "not_gift_card": {
        "ru": "Это не подарочная карта. Возьмите другую",
        "en": "This is not a gift card. Use another one",
    },
    "range_full": {
        "ru": "Свободные номера этого вида карт закончились. Обратитесь к администратору",
        "en": "This kind of card has run out of numbers. Call the administrator",
    },
    "pin_required": {
        "ru": "Для оплаты этой картой нужен ПИН-код. Попросите его у гостя",
        "en": "This card pays only with its PIN. Ask the guest for it",
    },
    "wrong_pin": {
        "ru": "Неверный ПИН-код. Попросите ввести его ещё раз",
        "en": "Wrong PIN. Ask for it again",
    },
    "pin_locked": {
        "ru": "ПИН-код введён неверно слишком много раз. Обратитесь к администратору",
        "en": "The PIN was wrong too often. Call the administrator",
    },
    "holder_not_found": {
        "ru": "У карты нет владельца с телефоном. Заполните анкету",
        "en": "The card has no holder with a phone. Fill in the form",
    },
    "wrong_code": {
        "ru": "Неверный код подтверждения. Введите его ещё раз",
        "en": "Wrong confirmation code. Enter it again",
    },
    "code_expired": {
        "ru": "Код подтверждения больше не действует. Отправьте новый",
        "en": "The confirmation code is no longer valid. Send a new one",
    },
    "too_many_codes": {
        "ru": "На этот телефон отправлено слишком много кодов. Подождите",
        "en": "Too many codes were sent to this phone. Wait",
    },
    "adjustment_not_found": {
        "ru": "Нет корректировки, ожидающей решения",
        "en": "No correction waits for a decision",
    },
    "second_person_needed": {
        "ru": "Корректировку должен утвердить другой сотрудник",
        "en": "Another person has to approve the correction",
    },
    "forbidden": {
        "ru": "Недостаточно прав. Обратитесь к администратору",
        "en": "Not allowed. Call the administrator",
    },
    "rate_limited": {
        "ru": "Слишком много запросов. Повторите позже",
        "en": "Too many requests. Try again later",
    },
    "foreign_store": {
        "ru": "Сообщение от чужого ресторана. Администратору: проверьте подключение",
        "en": "The message comes from another store. Administrator: check the link",
    },
    "bad_message": {
        "ru": "Сервер лояльности не понял кассу. Сообщите в поддержку",
        "en": "The loyalty server did not understand the till. Tell the support",
    },
    "too_large": {
        "ru": "Чек слишком велик для сервера лояльности. Разделите его",
        "en": "The receipt is too large for the loyalty server. Split it",
    },
    "busy": {
        "ru": "Сервер лояльности занят. Повторите через несколько секунд",
        "en": "The loyalty server is busy. Try again in a few seconds",
    },
    "failed": {
        "ru": "Внутренняя ошибка сервера лояльности. Операция не проведена, обратитесь в поддержку",
        "en": "Internal error of the loyalty server. Nothing was booked, call the support",
    },
    "bad_credentials": {
        "ru": "Сервер лояльности не узнал кассу. Администратору: проверьте адрес и пароль в настройках",
        "en": "The loyalty server does not know this till. Administrator: check its address and password",
    },
    "no_such_route": {
        "ru": "Сервер лояльности не знает такого запроса. Администратору: проверьте адрес",
        "en": "The loyalty server has no such request. Administrator: check the address",
    },
    "link_paused": {
        "ru": "Обмен с этим рестораном остановлен. Обслужите гостя без карты",
        "en": "The link of this store is paused. Serve the guest without a card",
    },
}

# Added when the error's details carry the amount.
AMOUNTS: dict[str, dict[str, str]] = {
    "available": {"ru": "Доступно {}", "en": "Available {}"},
    "limit": {"ru": "Не больше {}", "en": "At most {}"},
}

# Short lines for slips and screens.
LINES: dict[str, dict[str, str]] = {
    "accrued": {"ru": "Начислено {}", "en": "Accrued {}"},
    "redeemed": {"ru": "Списано {}", "en": "Redeemed {}"},
    "paid": {"ru": "Оплачено {}", "en": "Paid {}"},
    "balance": {"ru": "Баланс {}", "en": "Balance {}"},
    "topped_up": {"ru": "Пополнено {}", "en": "Topped up {}"},
    "cancelled": {"ru": "Операция отменена", "en": "Cancelled"},
    "restored": {"ru": "Операция восстановлена", "en": "Restored"},
    "not_accrued": {
        "ru": "Карта не действует, баллы не начислены",
        "en": "The card is not valid, no points were given",
    },
    "nobody_found": {
        "ru": "Гость не найден. Проверьте телефон, почту, имя или номер карты",
        "en": "Nobody found. Check the phone, e-mail, name or card number",
    },
    "several_found": {
        "ru": "Найдено несколько гостей. Уточните имя или введите телефон или номер карты",
        "en": "Several guests found. Type more of the name, or a phone or card number",
    },
    "can_pay": {"ru": "Можно списать {}", "en": "Can pay {}"},
    "to_redeem": {"ru": "К списанию {}", "en": "To be redeemed {}"},
    "to_pay": {"ru": "К оплате баллами {}", "en": "To be paid {}"},
    "kept": {"ru": "Баллы не списаны", "en": "Nothing was redeemed"},
    "given_back": {"ru": "Возвращено баллов {}", "en": "Given back {}"},
    "taken_back": {"ru": "Отозвано начислений {}", "en": "Taken back {}"},
    "no_customer": {
        "ru": "Покупатель не указан. Введите карту или телефон",
        "en": "No customer. Enter a card or a phone",
    },
    "coupons_unknown": {
        "ru": "Купоны в этой программе не действуют",
        "en": "This programme has no coupons",
    },
    "registered": {"ru": "Карта {} оформлена", "en": "Card {} is registered"},
    "code_sent": {
        "ru": "Код отправлен на телефон {}. Попросите покупателя назвать его",
        "en": "A code was sent to the phone {}. Ask the customer for it",
    },
    "code_not_sent": {
        "ru": "Код не отправлен. Повторите через минуту",
        "en": "The code was not sent. Try again in a minute",
    },
    "no_codes": {
        "ru": "Отправка кодов не настроена. Обратитесь к администратору",
        "en": "No codes can be sent. Call the administrator",
    },
    "no_registration": {
        "ru": "Регистрация на этой кассе не настроена. Обратитесь к администратору",
        "en": "This till does not register. Call the administrator",
    },
    "form_incomplete": {
        "ru": "Анкета заполнена не полностью или с ошибкой. Проверьте телефон, имя и дату рождения",
        "en": "The form is incomplete or has a mistake. Check phone, name and birthday",
    },
    "segments_unknown": {
        "ru": "Сегменты номенклатуры серверу неизвестны. В условии скидки оставьте накопление по всем товарам",
        "en": "The loyalty server knows no segments of goods. Let the discount count all goods",
    },
    "upload_not_begun": {
        "ru": "Обмен не начат или файлы уже удалены. Начните обмен сначала",
        "en": "The exchange was not begun, or its files are gone. Begin it anew",
    },
    "upload_mode": {"ru": "Такого шага обмена нет", "en": "The exchange has no such step"},
    "upload_name": {"ru": "Имя файла не указано или слишком длинное", "en": "No file name, or too long a one"},
    "upload_empty": {"ru": "Пустой файл", "en": "An empty file"},
    "upload_missing": {"ru": "Этот файл не был передан", "en": "This file has not come"},
    "upload_too_large": {
        "ru": "Файл больше допустимого. Уменьшите размер порции в настройках обмена",
        "en": "The file is larger than allowed. Send smaller portions",
    },
    "upload_full": {
        "ru": "На сервере нет места для файлов обмена. Повторите позже",
        "en": "The server has no room for files of exchanges. Try again later",
    },
    "upload_archive": {"ru": "Архив повреждён или пришёл не весь", "en": "The archive is broken or cut"},
    "upload_cut": {"ru": "Файл повреждён или пришёл не весь", "en": "The file is broken or cut"},
    "upload_foreign": {"ru": "Это не файл CommerceML", "en": "This is no file of CommerceML"},
    "upload_failed": {
        "ru": "Файл прочитан не полностью. Подробности в журнале сервера лояльности",
        "en": "Not all of the file was read. The log of the server has the details",
    },
    "top_up_one_card": {
        "ru": "Для пополнения нужна ровно одна карта в чеке. Оставьте в чеке только её",
        "en": "A top-up needs exactly one card in the bill. Leave only that card in it",
    },
}


def text(error: LoyaltyError, language: str) -> str:
    """What the person at the till reads about this refusal.

    ``available`` and ``limit`` of the details are added in major units, at the ``scale`` given there, 2
    unless told. An unknown language reads English, an unknown code the general text.
    """
    parts = [code_text(error.code, language)]
    scale = error.details.get("scale", DEFAULT_SCALE)
    for name, templates in AMOUNTS.items():
        amount = error.details.get(name)
        if isinstance(amount, int) and isinstance(scale, int):
            parts.append(_of(templates, language).format(major(max(amount, 0), scale)))
    return ". ".join(parts)


def reason(error: LoyaltyError, language: str) -> str:
    """The same, or what a hint of the adapter's says better: ``hint`` of the details names a line."""
    hint = error.details.get("hint", "")
    return line(hint, language) if isinstance(hint, str) and hint in LINES else text(error, language)


def code_text(code: str, language: str) -> str:
    """The text of an error code without its amounts."""
    return _of(REFUSALS.get(code, REFUSALS["error"]), language)


def line(name: str, language: str, amount: str = "") -> str:
    """A line of a slip: ``line("accrued", "en", "15.68")`` is ``Accrued 15.68``."""
    return _of(LINES[name], language).format(amount)


def _of(texts: dict[str, str], language: str) -> str:
    return texts.get(language, texts[ENGLISH])
