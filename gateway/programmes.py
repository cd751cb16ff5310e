"""The file of a programme -> its document: amounts in minor units, names resolved, rules checked together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from msgspec import structs

from gateway.problems import Problems, did_you_mean, shown
from gateway.programme_schemas import DAYS, MONEY, Told
from gateway.schemas import MAX_SCALE
from gateway.yaml_files import Steps
from processing.chain import Chain
from processing.programme.document import (
    MAX_TERMS,
    MILLION,
    AmountOff,
    ByReceipt,
    ByTier,
    ByTurnover,
    Caps,
    DiscountRule,
    Discounts,
    Event,
    Expiry,
    Fixed,
    FixedPrice,
    Goods,
    Group,
    Level,
    Limit,
    Multiply,
    NthPiece,
    Payment,
    PerAmount,
    Percent,
    Points,
    PointsRule,
    Price,
    ProgrammeDocument,
    Review,
    Step,
    Tiers,
    When,
    Window,
    simple,
)
from processing.units import MONEY as MONEY_KIND


class Reading:
    """One file, accepted by its schema, beside the chain; what does not fit is told to ``problems``."""

    def __init__(
        self, name: str, raw: Mapping[str, Any], value: Mapping[str, Any], chain: Chain, problems: Problems
    ) -> None:
        self.name, self.raw, self.value, self.chain, self.problems = name, raw, value, chain, problems
        scales = {unit.scale for unit in chain.units if unit.kind == MONEY_KIND}
        if len(scales) > 1:
            self._say(("unit",), "expected money units of one scale in chain.yaml")
        self.money_scale = min(scales, default=2)
        self.points_scale = next((unit.scale for unit in chain.units if unit.code == value["unit"]), self.money_scale)
        self.goods_names = list(value["goods"])
        self.tier_names = [level["tier"] for level in (value.get("tiers") or {}).get("levels", ())]

    def document(self) -> ProgrammeDocument:
        """The document; of a file with problems one that nobody uses."""
        value = self.value
        self._check_unit()
        if "discounts" in value or "points" in value or not self._is_short():
            return self._long()
        price = self._minor(("minimum_price",), value.get("minimum_price", Told(MONEY, 0)))
        short = {
            name: value[name]
            for name in (
                "cashback_hundredths",
                "payable_hundredths",
                "pending_days",
                "expires_days",
                "excluded_categories",
            )
            if name in value
        }
        shared = ("code", "unit", "discount", "bonus", "return_policy", "return_grace_days")
        document = simple(minimum_price_minor=price, **short, **{name: value[name] for name in shared})
        if "point_price" in self.raw:
            document = structs.replace(document, point_price_millionths=self._point_price())
        return document

    def _is_short(self) -> bool:
        return (
            not any(name in self.value for name in ("payment", "prices", "tiers", "limits", "certificates"))
            and not self.value["goods"]
        )

    def _say(self, path: Steps, text: str) -> None:
        self.problems.say(self.name, path, text)

    def _check_unit(self) -> None:
        unit = self.value["unit"]
        codes = [known.code for known in self.chain.units]
        self.problems.check_known(self.name, ("unit",), "a unit of chain.yaml", unit, codes)
        if any(known.code == unit and known.kind == MONEY_KIND for known in self.chain.units):
            self._say(("unit",), f"found {unit}, expected a unit of points")

    def _minor(self, path: Steps, told: Told | None) -> Any:
        """In minor units of what it is an amount of."""
        if told is None:
            return None
        return self._scaled(path, told.amount, self.money_scale if told.kind == MONEY else self.points_scale)

    def _scaled(self, path: Steps, amount: int, scale: int) -> int:
        minor, rest = divmod(amount, 10 ** (MAX_SCALE - scale))
        if rest:
            self._say(path, f"expected at most {scale} digits after the point")
        return int(minor)

    def _point_price(self) -> int:
        """What a minor unit of points is worth, in millionths of one of money."""
        amount = self.value["point_price"] * 10**self.money_scale
        price, rest = divmod(int(amount) * MILLION, 10 ** (MAX_SCALE + self.points_scale))
        if rest or not price:
            self._say(("point_price",), "expected a price whose millionths are whole")
        return max(int(price), 1)

    # Sections -------------------------------------------------------------------------------------------------

    def _long(self) -> ProgrammeDocument:
        value = self.value
        document = ProgrammeDocument(
            code=value["code"],
            unit=value["unit"],
            point_price_millionths=self._point_price(),
            goods={
                name: Goods(**{kind: tuple(some) for kind, some in each.items()})
                for name, each in value["goods"].items()
            },
            discounts=self._discounts(value.get("discounts")),
            points=self._points(value.get("points")),
            payment=self._payment(value.get("payment")),
            prices=tuple(self._price(n, each) for n, each in enumerate(value.get("prices", ()))),
            tiers=self._tiers(value["tiers"]) if value.get("tiers") else None,
            limits=tuple(self._limit(n, each) for n, each in enumerate(value.get("limits", ()))),
            certificates=self._certificates(value.get("certificates", {})),
            discount=value["discount"],
            bonus=value["bonus"],
            return_policy=value["return_policy"],
            return_grace_days=value["return_grace_days"],
        )
        self._check_rule_names(document)
        return document

    def _check_rule_names(self, document: ProgrammeDocument) -> None:
        seen: dict[str, Steps] = {}
        for path, rule in self._all_rules(document):
            if rule in seen:
                self._say(
                    (*path, "rule"), f"found {shown(rule)} again; {'.'.join(map(str, seen[rule]))} has it already"
                )
            seen.setdefault(rule, path)

    @staticmethod
    def _all_rules(document: ProgrammeDocument) -> Iterator[tuple[Steps, str]]:
        for section, rules in (("discounts", document.discounts.rules), ("points", document.points.rules)):
            for n, each in enumerate(rules):
                yield (section, "rules", n), each.rule
        for n, event in enumerate(document.points.events):
            yield ("points", "events", n), event.rule

    def _groups(self, section: str, told: Mapping[str, Any], rules: Sequence[Any]) -> tuple[Group, ...]:
        """The groups; whose rules are more than one says how they stack."""
        groups = tuple(Group(group=name, take=take) for name, take in told["groups"].items())
        if not groups and sum("multiply" not in rule for rule in rules) > 1:
            self._say((section, "groups"), "missing: with several rules say how they stack, such as {main: best}")
        for n, rule in enumerate(rules):
            if groups or rule["group"]:
                known = [group.group for group in groups]
                path = (section, "rules", n, "group")
                if not ("multiply" in rule and not rule["group"]):
                    self.problems.check_known(self.name, path, f"a group under {section}.groups", rule["group"], known)
        return groups

    def _discounts(self, told: Mapping[str, Any] | None) -> Discounts:
        if told is None:
            return Discounts()
        return Discounts(
            rules=tuple(self._rule("discounts", n, rule, DiscountRule, {}) for n, rule in enumerate(told["rules"])),
            groups=self._groups("discounts", told, told["rules"]),
            floor_hundredths=told["floor_percent"],
        )

    def _points(self, told: Mapping[str, Any] | None) -> Points:
        if told is None:
            return Points()
        rules = []
        for n, rule in enumerate(told["rules"]):
            own: dict[str, Any] = {"once": rule.get("once", ""), "pending_days": rule["pending_days"]}
            self._check_sliding(("points", "rules", n), rule["expires"])
            own["expires"] = _expiry(rule["expires"]) if rule["expires"] else None
            rules.append(self._rule("points", n, rule, PointsRule, own))
        terms = {(rule.pending_days, rule.expires) for rule in rules}
        if len(terms) > MAX_TERMS:
            self._say(("points", "rules"), f"found {len(terms)} ways to begin and end, expected at most {MAX_TERMS}")
        caps = {name: self._minor(("points", "caps", name), each) for name, each in told["caps"].items()}
        return Points(
            rules=tuple(rules),
            groups=self._groups("points", told, told["rules"]),
            events=tuple(self._event(n, each) for n, each in enumerate(told["events"])),
            caps=Caps(**caps),
            step=self._minor(("points", "round_to"), told["round_to"]) or 1,
            on_part_paid_by_points=told["on_part_paid_by_points"],
            on_gift_cards=told["on_gift_cards"],
            pending_days=told["pending_days"],
            expires=_expiry(told["expires"]),
        )

    def _check_sliding(self, path: Steps, told: Mapping[str, Any] | None) -> None:
        """A purchase moves the end of all the card's points, whatever rule gave them."""
        if told and told["sliding"]:
            self._say((*path, "expires", "sliding"), "expected only under points.expires, for all points of a card")

    def _event(self, n: int, told: Mapping[str, Any]) -> Event:
        self._check_sliding(("points", "events", n), told["expires"])
        return Event(
            rule=told["rule"],
            on=told["on"],
            points=self._minor(("points", "events", n, "points"), told["points"]),
            pending_days=told["pending_days"],
            expires=_expiry(told["expires"]) if told["expires"] else None,
            **told["text"],
        )

    def _payment(self, told: Mapping[str, Any] | None) -> Payment:
        if told is None:
            return Payment()
        self._check_goods(("payment", "without"), told["without"])
        self._check_tiers(("payment", "percent_by_tier"), told["percent_by_tier"])
        return Payment(
            hundredths=told["percent"],
            by_tier=told["percent_by_tier"],
            line_hundredths=told["line_percent"],
            money_minor=self._minor(("payment", "leave_money"), told["leave_money"]),
            without=tuple(told["without"]),
            step=self._minor(("payment", "round_to"), told["round_to"]) or 1,
            least=self._minor(("payment", "least_points"), told["least_points"]),
        )

    def _price(self, n: int, told: Mapping[str, Any]) -> Price:
        self._check_goods(("prices", n, "goods"), told["goods"])
        least = self._minor(("prices", n, "at_least"), told["at_least"])
        if bool(least) == told["fixed"]:
            self._say(("prices", n), "expected at_least or fixed: true")
        return Price(goods=tuple(told["goods"]), least_minor=least, is_fixed=told["fixed"])

    def _tiers(self, told: Mapping[str, Any]) -> Tiers:
        levels = [self._level(told["measure"], n, each) for n, each in enumerate(told["levels"])]
        if levels[0].needs:
            self._say(("tiers", "levels", 0, "from"), "expected nothing: everybody is in the first tier")
        for n, (lower, level) in enumerate(pairwise(levels), 1):
            if level.needs <= lower.needs:
                self._say(("tiers", "levels", n, "from"), "expected more than the tier before it takes")
        self.problems.check_unique(self.name, "tiers.levels", self.tier_names)
        review = told.get("review")
        return Tiers(
            measure=told["measure"],
            levels=tuple(levels),
            window=Window(**told["window"]),
            review=Review(**review) if review else None,
            absence_days=told["absence_days"],
        )

    def _level(self, measure: str, n: int, told: Mapping[str, Any]) -> Level:
        scale = {"turnover": self.money_scale, "points": self.points_scale, "visits": 0}[measure]
        needs = self._scaled(("tiers", "levels", n, "from"), told["needs"], scale)
        return Level(tier=told["tier"], needs=needs, discount=told["discount"], bonus=told["bonus"], **told["text"])

    def _limit(self, n: int, told: Mapping[str, Any]) -> Limit:
        scale = {"turnover": self.money_scale, "receipts": 0}.get(told["of"], self.points_scale)
        most = self._scaled(("limits", n, "most"), told["most"], scale)
        return Limit(
            limit=told["limit"], of=told["of"], per=told["per"], every=told["every"], most=most, then=told["then"]
        )

    def _certificates(self, told: Mapping[str, Any]) -> dict[str, Any]:
        of_value = [product.code for product in self.chain.products if product.value]
        for code in told:
            self.problems.check_known(self.name, ("certificates", code), "a product of value", code, of_value)
        return dict(told)

    # Rules ----------------------------------------------------------------------------------------------------

    def _rule(
        self, section: str, n: int, told: Mapping[str, Any], kind: Callable[..., Any], own: Mapping[str, Any]
    ) -> Any:
        path: Steps = (section, "rules", n)
        self._check_goods((*path, "goods"), told["goods"])
        self._check_goods((*path, "without"), told["without"])
        return kind(
            rule=told["rule"],
            give=self._give(path, told),
            when=self._when((*path, "when"), told["when"]),
            goods=tuple(told["goods"]),
            without=tuple(told["without"]),
            price_from_minor=self._minor((*path, "price_from"), told["price_from"]),
            group=told["group"],
            priority=told["priority"],
            exclusive=told["exclusive"],
            **told["text"],
            **own,
        )

    def _give(self, path: Steps, told: Mapping[str, Any]) -> Any:
        """What the rule gives: the one of its keys that says so."""
        name = next(name for name in _GIVES if name in told)
        return _GIVES[name](self, (*path, name), told[name], told)

    def _by_receipt(self, path: Steps, told: Any, _: Any) -> ByReceipt:
        return ByReceipt(steps=self._steps(path, told))

    def _by_turnover(self, path: Steps, told: Any, _: Any) -> ByTurnover:
        return ByTurnover(window=Window(**told["window"]), steps=self._steps((*path, "steps"), told["steps"]))

    def _by_tier(self, path: Steps, told: Any, _: Any) -> ByTier:
        self._check_tiers(path, told)
        return ByTier(hundredths=told)

    def _fixed_price(self, path: Steps, told: Any, _: Any) -> FixedPrice:
        return FixedPrice(price_minor=self._minor(path, told))

    def _off(self, path: Steps, told: Any, rule: Mapping[str, Any]) -> AmountOff:
        return AmountOff(off_minor=self._minor(path, told), per=rule["off_per"])

    def _per(self, path: Steps, told: Any, _: Any) -> PerAmount:
        points, every = (self._minor((*path, name), told[name]) for name in ("points", "every"))
        return PerAmount(points=points, every_minor=every)

    def _fixed(self, path: Steps, told: Any, _: Any) -> Fixed:
        return Fixed(points=self._minor(path, told))

    def _steps(self, path: Steps, told: Sequence[tuple[Told, int]]) -> tuple[Step, ...]:
        return tuple(Step(from_minor=self._minor(path, each), hundredths=percent) for each, percent in told)

    def _when(self, path: Steps, told: Mapping[str, Any]) -> When:
        self._check_tiers((*path, "tiers"), told["tiers"])
        products = [product.code for product in self.chain.products]
        for n, code in enumerate(told["products"]):
            self.problems.check_known(self.name, (*path, "products", n), "a product of chain.yaml", code, products)
        first, last = told["first_day"], told["last_day"]
        if first and last and last < first:
            self._say((*path, "until"), f"found {last}, expected a day from {first} on")
        birthday = told["birthday"]
        return When(
            stores=tuple(self._stores((*path, "stores"), told["stores"])),
            weekdays=tuple(sorted(DAYS.index(day) for day in told["weekdays"])),
            hours=told["hours"],
            first_day=first,
            last_day=last,
            tenders=tuple(told["tenders"]),
            tiers=tuple(told["tiers"]),
            products=tuple(told["products"]),
            receipt_from_minor=self._minor((*path, "receipt_from"), told["receipt_from"]),
            receipt_below_minor=self._minor((*path, "receipt_below"), told["receipt_below"]),
            first_purchase=told["first_purchase"],
            birthday=(birthday["days_before"], birthday["days_after"]) if birthday else None,
        )

    def _stores(self, path: Steps, told: Sequence[str]) -> list[str]:
        """Codes of stores; names of places stand for theirs."""
        codes, places = [store.code for store in self.chain.stores], self.value["places"]
        found = []
        for n, name in enumerate(told):
            for code in places.get(name, [name]):
                self.problems.check_known(
                    self.name, (*path, n), "a store of chain.yaml or a place", code, [*codes, *places]
                )
                found.append(code)
        return list(dict.fromkeys(found))

    def _check_goods(self, path: Steps, told: Sequence[str]) -> None:
        for n, name in enumerate(told):
            self.problems.check_known(self.name, (*path, n), "a name under goods", name, self.goods_names)

    def _check_tiers(self, path: Steps, told: Sequence[str] | Mapping[str, Any]) -> None:
        for n, name in enumerate(told):
            at = (*path, name if isinstance(told, Mapping) else n)
            if name not in self.tier_names:
                listed = ", ".join(self.tier_names) or "the programme has none"
                self._say(at, f"found {shown(name)}, expected a tier ({listed}){did_you_mean(name, self.tier_names)}")


def _expiry(told: Mapping[str, Any]) -> Expiry:
    return Expiry(**told)


_GIVES: dict[str, Callable[[Reading, Steps, Any, Any], Any]] = {
    "percent": lambda reading, path, told, rule: Percent(hundredths=told),
    "percent_by_receipt": Reading._by_receipt,
    "percent_by_turnover": Reading._by_turnover,
    "percent_by_tier": Reading._by_tier,
    "price": Reading._fixed_price,
    "off": Reading._off,
    "nth": lambda reading, path, told, rule: NthPiece(every=told["every"], hundredths=told["percent"]),
    "per": Reading._per,
    "points": Reading._fixed,
    "multiply": lambda reading, path, told, rule: Multiply(hundredths=told),
}
