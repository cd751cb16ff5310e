"""Words of the programme reference: what its tables say in both languages, and the Russian of every description.

The English descriptions are those of gateway/programme_schemas.py. A changed one has no Russian any more, and a test
fails until it has.
"""

from __future__ import annotations

HEADS = {
    "en": ("key", "takes", "default", "meaning"),
    "ru": ("ключ", "что принимает", "если не указан", "смысл"),
}
DEFAULTS = {
    "required": {"en": "required", "ru": "обязателен"},
    "none": {"en": "none", "ru": "нет"},
    "empty": {"en": "empty", "ru": "пусто"},
}
NUMBERS = {"en": "{} to {}", "ru": "от {} до {}"}

# By what the schema says that it expected.
KINDS = {
    "mapping": {"en": "mapping", "ru": "раздел"},
    "list": {"en": "list", "ru": "список"},
    "names": {"en": "names, a mapping each", "ru": "имена, для каждого раздел"},
    "list of": {"en": "list: {}", "ru": "список: {}"},
    "dict of": {"en": "mapping: {} → {}", "ru": "соответствие: {} → {}"},
    "text": {"en": "text", "ru": "текст"},
    "a code: up to 64 of a-z, 0-9, - and _, beginning with a letter or digit": {"en": "code", "ru": "код"},
    "true or false": {"en": "`true`, `false`", "ru": "`true`, `false`"},
    "a day such as 2026-12-31": {"en": "day, such as `2026-12-31`", "ru": "день, например `2026-12-31`"},
    'hours such as "09:00-12:00"; a span may go over midnight': {
        "en": 'hours, such as `"09:00-12:00"`',
        "ru": 'часы, например `"09:00-12:00"`',
    },
    "a percent from 0 to 100 with at most two digits after the point, such as 5.5": {"en": "percent", "ru": "процент"},
    'an amount of money in major units, such as "199.90"': {"en": "money", "ru": "деньги"},
    'an amount of points in major units, such as "100"': {"en": "points", "ru": "баллы"},
    'a mapping of money to percent, such as {{"10000": 5, "20000": 10}}': {
        "en": 'mapping: money → percent, such as `{"10000": 5, "20000": 10}`',
        "ru": 'соответствие: деньги → процент, например `{"10000": 5, "20000": 10}`',
    },
    "a factor above 1, such as 2 or 1.5": {
        "en": "factor above 1, such as `2` or `1.5`",
        "ru": "множитель больше 1, например `2` или `1.5`",
    },
    'what it takes, such as "10000"': {
        "en": "money, points or a number of visits",
        "ru": "деньги, баллы или число визитов",
    },
    "the most of it": {"en": "money, points or a number", "ru": "деньги, баллы или число"},
    'what a point is worth in money, such as "1" or "0.1"': {"en": "money, above nothing", "ru": "деньги, больше нуля"},
}

RUSSIAN = {
    "its code, as the file is named": "код программы, как назван файл",
    "the unit of its points, from chain.yaml": "единица её баллов, из chain.yaml",
    "what a point is worth in money when it pays, and when partners settle": (
        "сколько стоит балл в деньгах при оплате и при взаиморасчётах юридических лиц"
    ),
    "the till's codes of goods": "коды товаров на кассе",
    "categories, as the till calls them": "категории, как их называет касса",
    "brands": "торговые марки",
    "sets of goods that rules name": "наборы товаров, на которые ссылаются правила",
    "groups of stores that rules name": "группы магазинов, на которые ссылаются правила",
    "groups in the order of their work: a line gets the best, sum or first of their rules": (
        "группы в порядке работы: позиция получает от правил группы лучшее (best), сумму (sum) или первое (first)"
    ),
    "a line costs at least this part of its price": "позиция стоит не меньше этой доли своей цены",
    "its name, unique in the programme": "имя, единственное в программе",
    "in Russian": "по-русски",
    "in English": "по-английски",
    "what people read about it": "что об этом читают люди",
    "codes of stores, or names under `places`": "коды магазинов или имена из `places`",
    "the store's days of the week": "дни недели по времени магазина",
    "from the first minute to the last, which no longer counts; may go over midnight": (
        "с первой минуты до последней, которая уже не входит; промежуток может переходить через полночь"
    ),
    "the first day": "первый день",
    "the last day": "последний день",
    "paid with: cash, bank_card, purse, other, or the till's code": (
        "вид оплаты: cash (наличные), bank_card (банковская карта), purse (кошелёк), other (другое) или код кассы"
    ),
    "holders of these tiers": "держатели этих уровней",
    "these kinds of card": "эти виды карт",
    "what the goods cost before the programme's discounts, at least": (
        "сколько стоят товары до скидок программы, не меньше"
    ),
    "what the goods cost before the programme's discounts, less than": (
        "сколько стоят товары до скидок программы, меньше"
    ),
    "the wallet has bought nothing before": "на этот кошелёк ещё ничего не покупали",
    "so many days before it": "столько дней до него",
    "and after it": "и после него",
    "days around the holder's birthday": "дни около дня рождения держателя",
    "conditions": "условия",
    "names under `goods`; none: all goods": "имена из `goods`; не указаны: все товары",
    "names under `goods` that it does not touch": "имена из `goods`, которых правило не касается",
    "only goods whose price of a piece is so much or more": "только товары, у которых цена за штуку не меньше этой",
    "the group in which it competes": "группа, в которой правило соревнуется с другими",
    "the higher one goes first": "большее идёт первым",
    "what it gives something for gets nothing of other rules": (
        "за что это правило что-то даёт, другие не дают ничего"
    ),
    "so many percent": "столько процентов",
    "percent by what the goods cost before the programme's discounts": (
        "процент по тому, сколько стоят товары до скидок программы"
    ),
    "the last so many, with today": "последние столько дней, вместе с сегодняшним",
    "this calendar period": "этот календарный период",
    "which days count; none told: all that there ever were": "какие дни считать; не указано: все, какие были",
    "from so much turnover on so many percent": "начиная с такого оборота столько процентов",
    "percent by earlier turnover": "процент по обороту до этого чека",
    "percent by tier; others get nothing": "процент по уровню; остальные ничего не получают",
    "a piece costs this": "штука стоит столько",
    "so much money off": "на столько дешевле",
    "`off` once, or of each piece": "`off` один раз на чек или на каждую штуку",
    "of so many pieces one": "одна из стольких штук",
    "off that piece; 100: it is free": "скидка на эту штуку; 100: она бесплатна",
    "every n-th piece cheaper or free": "каждая n-я штука дешевле или бесплатно",
    "the rules, at most 1,000": "правила, не больше 1 000",
    "what comes off the price of goods": "что снимается с цены товаров",
    "so many points": "столько баллов",
    "for each full amount": "за каждую полную сумму",
    "points for each full amount": "баллы за каждую полную сумму",
    "so many points for the receipt": "столько баллов за чек",
    "all other rules' points times this": "во сколько раз больше баллы остальных правил",
    "a wallet gets it once in a calendar year, or once ever": (
        "кошелёк получает это один раз в календарном году (year) или один раз вообще (ever)"
    ),
    "instead of the section's": "вместо того, что указано в разделе",
    "after they can be spent": "после того как их можно тратить",
    "with the calendar period in which they can first be spent": (
        "вместе с календарным периодом, в котором их впервые можно тратить"
    ),
    "so many days later": "на столько дней позже",
    "each purchase gives all of the card's points new days; only in `points.expires`": (
        "каждая покупка даёт всем баллам карты новый срок; только в `points.expires`"
    ),
    "of the holder, or of the card": "регистрация держателя или активация карты",
    "points for what is no purchase; at most 20": "баллы за то, что не покупка; не больше 20",
    "of one receipt": "за один чек",
    "in a day": "за день",
    "in a calendar month": "за календарный месяц",
    "the most that purchases bring": "больше этого покупки не приносят",
    "a receipt's points are rounded down to a multiple of this": "баллы за чек округляются вниз до кратного этому",
    "also on what points pay": "и на то, что оплачено баллами",
    "also on the sale of gift cards": "и на продажу подарочных карт",
    "days until they can be spent": "через сколько дней их можно тратить",
    "when points end": "когда баллы сгорают",
    "points that purchases bring": "баллы, которые приносят покупки",
    "of the receipt": "от чека",
    "instead, for these tiers": "вместо этого, для этих уровней",
    "of each line": "от каждой позиции",
    "so much of the receipt is paid with money": "столько в чеке оплачивается деньгами",
    "names under `goods` that points never pay for": "имена из `goods`, за которые баллами не платят",
    "only multiples of this": "только кратное этому",
    "only cards that have so many pay with them": "ими платят только карты, на которых их столько есть",
    "how much points may pay; none told: nothing": "сколько можно оплатить баллами; не указано: нисколько",
    "names under `goods`": "имена из `goods`",
    "a piece never costs less": "штука никогда не стоит меньше",
    "sold at its price: no discount, no points in payment": "продаётся по своей цене: ни скидки, ни оплаты баллами",
    "the law's prices of goods": "цены, установленные законом",
    "what brings a tier": "что приносит уровень",
    "its name": "имя",
    "what it takes: money, points or visits, by `by`; the first tier takes nothing": (
        "что для него нужно: деньги, баллы или визиты, смотря по `by`; для первого уровня ничего не нужно"
    ),
    "instead of the programme's `discount`": "вместо `discount` программы",
    "instead of the programme's `bonus`": "вместо `bonus` программы",
    "what people call it": "как его называют люди",
    "the tiers, from the lowest up": "уровни, начиная с нижнего",
    "so many days after it was reached or kept": "через столько дней после того, как он получен или сохранён",
    "at the end of each calendar period": "в конце каждого календарного периода",
    "so much later; what is bought until then counts too": "на столько позже; купленное до тех пор тоже считается",
    "one tier, or to what the holder has": "на один уровень или до того, на что хватает",
    "when a tier is looked at again; none told: nobody falls but by absence": (
        "когда уровень пересматривается; не указано: он снижается только за отсутствие"
    ),
    "a step down when the last visit is more than so many days ago": (
        "на ступень вниз, если последний визит был больше чем столько дней назад"
    ),
    "tiers of holders": "уровни держателей",
    "what is counted": "что считается",
    "of each wallet, till, cashier (where the till tells one), store or legal entity": (
        "по каждому кошельку, кассе, кассиру (если касса его называет), магазину или юридическому лицу"
    ),
    "in a day or calendar month": "за день или календарный месяц",
    "so much; receipts are counted": "столько; чеки считаются штуками",
    "refuse, or only flag for the operator": "отказать (block) или только отметить для оператора (alert)",
    "the most that may happen in a day or month": "чего за день или месяц может быть не больше",
    "how cards of these products pay: in many parts, in full only, or once and the rest burns": (
        "как платят карты этих видов: частями (many), только целиком (full), один раз со сгоранием остатка (rest_burns)"
    ),
    "a name that a link maps to the till's discount": "имя, которое подключение переводит в скидку кассы",
    "a name that a link maps to the till's bonus": "имя, которое подключение переводит в бонус кассы",
    "what becomes of spent points when the goods that earned them come back": (
        "что делать с потраченными баллами, когда возвращают товары, за которые они начислены"
    ),
    "points given back after they expired live so long": "сколько дней живут баллы, возвращённые после сгорания",
    "short form: of the own money": "короткая форма: процент от своих денег",
    "short form: `payment.percent`": "короткая форма: `payment.percent`",
    "short form: `points.pending_days`": "короткая форма: `points.pending_days`",
    "short form: `points.expires.days`": "короткая форма: `points.expires.days`",
    "short form: categories that earn nothing": "короткая форма: категории, за которые не начисляют",
    "short form: pieces that cost less earn nothing": "короткая форма: за товары дешевле этого не начисляют",
}
