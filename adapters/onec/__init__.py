"""1C tills through the HTTP service «Сервер лояльности»: docs/adapters/onec.md.

``options`` what a link may set; ``queries`` and ``documents`` query strings and JSON -> fields; ``guids`` and ``names``
what 1C calls things, and what makes two commands alike; ``cards``, ``gift_cards``, ``issue`` the conversations;
``basket`` and ``discounts`` calculatediscounts; ``stubs`` what we have nothing of; ``answers`` and ``refusals``
outcomes -> bytes.
"""

from __future__ import annotations

from adapters.contract import Adapter, Auth, Handler, Route
from adapters.onec import cards, discounts, gift_cards, issue, stubs
from adapters.onec.options import OnecOptions
from adapters.onec.refusals import ROOT, refuse

BASIC = Auth("basic")

# Names of query keys and of JSON keys, in any case.
PRIVATE = (
    "ClientCardID",
    "CardGUID",
    "CardRef",
    "CardID",
    "CardNumber",
    "BonusCardGUID",
    "BonusCardNumber",
    "LoyaltyCardsList",
    "Barcode",
    "MagneticCode",
    "GiftCardNumber",
    "GiftCardUID",
    "Client",
    "ClientName",
    "ClientGUID",
    "ClientID",
    "Phone",
    "PhoneNumber",
    "Email",
    "DateOfBirth",
    "Promocode",
)

READS, WRITES, EITHER = frozenset({"GET"}), frozenset({"POST"}), frozenset({"GET", "POST"})


def _route(name: str, handler: Handler, methods: frozenset[str], twins: bool = False) -> Route:
    """With and without a slash at the end; ``twins``: the same under two more names, which answer in JSON."""
    path = rf"{ROOT}{name}(?P<twin>3_0|new)?/?" if twins else rf"{ROOT}{name}/?"
    return Route(path=path, handler=handler, auth=BASIC, methods=methods)


ADAPTER = Adapter(
    name="onec",
    title="1С «Сервер лояльности» (HTTP)",
    options=OnecOptions,
    refuse=refuse,
    # In the order of the page, section 5: 39 templates, of which ten are twins.
    routes=(
        _route("ping", stubs.ping, READS),
        _route("useautomaticdiscounts", stubs.automatic_discounts, READS),
        _route("findclientcard", cards.find, READS),
        _route("getclientbonuses", cards.bonuses, READS),
        _route("calculatediscounts", discounts.calculate, EITHER),
        _route("unlockclientbonuses", cards.unlock, WRITES, twins=True),
        _route("writeoffclientbonuses", cards.write_off, WRITES, twins=True),
        _route("accrueclientbonuses", cards.accrue, WRITES),
        _route("issueclientcard", issue.issue, WRITES),
        _route("getcardtypes", issue.types, READS),
        _route("salesturnover", cards.turnover, READS),
        _route("getgiftcardinfo", gift_cards.info, EITHER),
        _route("checkgiftcard", gift_cards.check, READS),
        _route("unlockgiftcard", gift_cards.unlock, WRITES, twins=True),
        _route("writeoffgiftcard", gift_cards.write_off, WRITES, twins=True),
        _route("accruegiftcard", gift_cards.accrue, WRITES),
        _route("promocodeinfo", stubs.promo_code, READS),
        _route("unlockpromocode", stubs.unlock_promo_code, WRITES, twins=True),
        _route("getcontrolleddiscountslist", stubs.empty_list, READS),
        _route("getlistonpaydiscounts", stubs.empty_list, READS),
        _route("unitedbonuscards", cards.unite, WRITES),
        _route("salesrestrictionsinfo", stubs.sales_restrictions, READS),
        _route("getleftovers", stubs.leftovers, EITHER),
        _route("getprice", stubs.price, READS),
        _route("listofemployees", stubs.empty_list, READS),
        _route("getlistbatches", stubs.empty_list, READS),
        _route("getseriesdata", stubs.series, READS),
        _route("processmarkingcode", stubs.marking_code, WRITES),
        _route("getgosisauthorizationtoken", stubs.token, WRITES),
    ),
    unit_scale=2,  # one point pays one unit of money, to the kopeck
    private=frozenset(PRIVATE),
)
