"""What each rule of a programme does, in a sentence of Russian or English, for people who read no YAML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.programme_schemas import DAYS
from gateway.programme_text import Scales, decimal
from processing.programme.document import (
    AmountOff,
    ByReceipt,
    ByTier,
    ByTurnover,
    DiscountRule,
    Event,
    Expiry,
    Fixed,
    FixedPrice,
    Multiply,
    NthPiece,
    PerAmount,
    Percent,
    PointsRule,
    ProgrammeDocument,
    Step,
    When,
    Window,
)

LANGUAGES = ("ru", "en")

_RU = {
    "off": "скидка {}",
    "in_points": "{} баллами",
    "share_off": "скидка {}",
    "share_in_points": "баллы {}",
    "by_receipt": "по сумме чека: {}",
    "by_turnover": "по покупкам до этого чека ({}): {}",
    "by_tier": "по уровню: {}",
    "step": "от {} — {}",
    "price": "цена за штуку {}",
    "off_receipt": "скидка {} с чека",
    "off_piece": "скидка {} с каждой штуки",
    "nth": "одна из каждых {} штук, самая дешёвая: {}",
    "free": "бесплатно",
    "per": "баллов: {} за каждые {}",
    "points": "баллов: {}",
    "multiply": "баллы остальных правил × {}",
    "year": "раз в год",
    "ever": "один раз",
    "pending": "тратить можно через {} дн.",
    "days": "сгорают через {} дн.",
    "never": "не сгорают",
    "end_of": "сгорают с концом {}",
    "extra": " и ещё {} дн.",
    "last_days": "за {} дн.",
    "all_time": "за всё время",
    "this": "за этот {}",
    "month": "месяц",
    "quarter": "квартал",
    "year_period": "год",
    "month_end": "месяца",
    "quarter_end": "квартала",
    "year_end": "года",
    "stores": "магазины {}",
    "weekdays": "дни {}",
    "hours": "часы {}",
    "from": "с {}",
    "until": "по {}",
    "tenders": "оплата {}",
    "tiers": "уровни {}",
    "products": "карты {}",
    "receipt_from": "чек от {}",
    "receipt_below": "чек меньше {}",
    "first": "первая покупка",
    "birthday": "день рождения, {} дн. до и {} после",
    "goods": "товары {}",
    "without": "кроме {}",
    "price_from": "от {} за штуку",
    "exclusive": "не складывается с другими",
    "registration": "за регистрацию",
    "activation": "за активацию карты",
    "pay": "Оплата баллами: до {} чека",
    "leave": "не меньше {} деньгами",
    "mon": "пн", "tue": "вт", "wed": "ср", "thu": "чт", "fri": "пт", "sat": "сб", "sun": "вс",
}  # fmt: skip
_EN = {
    "off": "{} off",
    "in_points": "{} in points",
    "share_off": "discount {}",
    "share_in_points": "points {}",
    "by_receipt": "by what the receipt costs: {}",
    "by_turnover": "by what was bought before ({}): {}",
    "by_tier": "by tier: {}",
    "step": "{1} from {0}",
    "price": "a piece costs {}",
    "off_receipt": "{} off the receipt",
    "off_piece": "{} off each piece",
    "nth": "one of every {} pieces, the cheapest: {}",
    "free": "free",
    "per": "{} points for every {}",
    "points": "{} points",
    "multiply": "the other rules' points x {}",
    "year": "once a year",
    "ever": "once",
    "pending": "can be spent after {} days",
    "days": "end after {} days",
    "never": "never end",
    "end_of": "end with the {}",
    "extra": " and {} days",
    "last_days": "in {} days",
    "all_time": "ever",
    "this": "this {}",
    "month": "month", "quarter": "quarter", "year_period": "year",
    "month_end": "month", "quarter_end": "quarter", "year_end": "year",
    "stores": "stores {}",
    "weekdays": "on {}",
    "hours": "hours {}",
    "from": "from {}",
    "until": "until {}",
    "tenders": "paid with {}",
    "tiers": "tiers {}",
    "products": "cards {}",
    "receipt_from": "receipts from {}",
    "receipt_below": "receipts below {}",
    "first": "first purchase",
    "birthday": "birthday, {} days before and {} after",
    "goods": "goods {}",
    "without": "without {}",
    "price_from": "pieces from {}",
    "exclusive": "excludes all others",
    "registration": "for registering",
    "activation": "for activating the card",
    "pay": "Payment with points: up to {} of a receipt",
    "leave": "at least {} in money",
} | {day: day for day in DAYS}  # fmt: skip
WORDS = {"ru": _RU, "en": _EN}


def summary(document: ProgrammeDocument, scales: Scales, language: str) -> Iterator[str]:
    """A sentence for each rule and event, and one for payment with points."""
    telling = _Telling(WORDS[language], scales, language)
    for rule in document.discounts.rules:
        yield telling.rule(rule, "off")
    for accrual in document.points.rules:
        yield telling.rule(accrual, "in_points")
    for event in document.points.events:
        yield telling.event(event)
    if document.payment.hundredths:
        said = telling.say("pay", telling.percent(document.payment.hundredths))
        least = document.payment.money_minor
        yield f"{said}, {telling.say('leave', telling.money(least))}" if least else said


class _Telling:
    """One language's words, and the chain's scales."""

    def __init__(self, words: Mapping[str, str], scales: Scales, language: str) -> None:
        self.words, self.scales, self.language = words, scales, language

    def say(self, word: str, *values: object) -> str:
        return self.words[word].format(*values)

    def money(self, minor: int) -> str:
        return decimal(minor, self.scales.money)

    def points(self, minor: int) -> str:
        return decimal(minor, self.scales.points)

    def percent(self, hundredths: int) -> str:
        return f"{decimal(hundredths, 2)} %"

    def title(self, said: DiscountRule | PointsRule | Event) -> str:
        text = " ".join((said.ru if self.language == "ru" else said.en).split())
        return f"{said.rule} ({text})" if text else said.rule

    def rule(self, rule: DiscountRule | PointsRule, share: str) -> str:
        given = [self.gives(rule.give, share), *self.when(rule.when), *self.goods(rule)]
        if isinstance(rule, PointsRule):
            given += [self.say(rule.once)] if rule.once else []
            given += self.terms(rule.pending_days, rule.expires)
        if rule.exclusive:
            given.append(self.say("exclusive"))
        return f"{self.title(rule)}: {'; '.join(given)}"

    def event(self, event: Event) -> str:
        given = [self.say("points", self.points(event.points)), self.say(event.on)]
        return f"{self.title(event)}: {'; '.join([*given, *self.terms(event.pending_days, event.expires)])}"

    def gives(self, give: Any, share: str) -> str:
        if isinstance(give, Percent | ByReceipt | ByTurnover | ByTier):
            return self._share(give, share)
        if isinstance(give, NthPiece):
            off = self.words["free"] if give.hundredths == 10_000 else self.say("off", self.percent(give.hundredths))
            return self.say("nth", give.every, off)
        if isinstance(give, AmountOff):
            return self.say(f"off_{give.per}", self.money(give.off_minor))
        if isinstance(give, PerAmount):
            return self.say("per", self.points(give.points), self.money(give.every_minor))
        if isinstance(give, FixedPrice):
            return self.say("price", self.money(give.price_minor))
        if isinstance(give, Fixed):
            return self.say("points", self.points(give.points))
        assert isinstance(give, Multiply)
        return self.say("multiply", decimal(give.hundredths, 2))

    def _share(self, give: Percent | ByReceipt | ByTurnover | ByTier, share: str) -> str:
        """Percent of a price: off it, or as points."""
        if isinstance(give, Percent):
            return self.say(share, self.percent(give.hundredths))
        if isinstance(give, ByTier):
            told = ", ".join(f"{tier} {self.percent(each)}" for tier, each in give.hundredths.items())
            return self.say(f"share_{share}", self.say("by_tier", told))
        steps = self._steps(give.steps)
        if isinstance(give, ByReceipt):
            return self.say(f"share_{share}", self.say("by_receipt", steps))
        return self.say(f"share_{share}", self.say("by_turnover", self._window(give.window), steps))

    def _steps(self, steps: Sequence[Step]) -> str:
        return ", ".join(self.say("step", self.money(step.from_minor), self.percent(step.hundredths)) for step in steps)

    def _window(self, window: Window) -> str:
        if window.days:
            return self.say("last_days", window.days)
        return self.say("this", self._period(window.period)) if window.period else self.words["all_time"]

    def _period(self, period: str) -> str:
        return self.words["year_period" if period == "year" else period]

    def goods(self, rule: DiscountRule | PointsRule) -> Iterator[str]:
        if rule.goods:
            yield self.say("goods", ", ".join(rule.goods))
        if rule.without:
            yield self.say("without", ", ".join(rule.without))
        if rule.price_from_minor:
            yield self.say("price_from", self.money(rule.price_from_minor))

    def when(self, when: When) -> Iterator[str]:
        listed = {"stores": when.stores, "tenders": when.tenders, "tiers": when.tiers, "products": when.products}
        for word, names in listed.items():
            if names:
                yield self.say(word, ", ".join(names))
        if when.weekdays:
            yield self.say("weekdays", ", ".join(self.words[DAYS[day]] for day in when.weekdays))
        if when.hours:
            first, end = when.hours
            yield self.say("hours", f"{first // 60:02}:{first % 60:02}-{end // 60:02}:{end % 60:02}")
        amounts = {"receipt_from": when.receipt_from_minor, "receipt_below": when.receipt_below_minor}
        told = {word: self.money(amount) for word, amount in amounts.items() if amount is not None}
        days = {"from": when.first_day, "until": when.last_day}
        told |= {word: day.isoformat() for word, day in days.items() if day is not None}
        for word, value in told.items():
            yield self.say(word, value)
        if when.first_purchase:
            yield self.words["first"]
        if when.birthday is not None:
            yield self.say("birthday", *when.birthday)

    def terms(self, pending_days: int | None, expires: Expiry | None) -> Iterator[str]:
        """When points begin and end, where it is not as the section says."""
        if pending_days:
            yield self.say("pending", pending_days)
        if expires is not None:
            extra = self.say("extra", expires.extra_days) if expires.extra_days else ""
            if expires.period:
                yield self.say("end_of", self.words[f"{expires.period}_end"]) + extra
            else:
                yield self.say("days", expires.days) + extra if expires.days else self.words["never"]
