"""iiko's clients: the Cloud API of iikoTransport as far as loyalty goes, served by us. docs/adapters/iiko.md.

``options`` what a link may set, ``messages`` bytes -> fields, ``identities`` our UUIDs, ``answers`` and ``refusals``
-> bytes; the calls by noun: ``places``, ``customers``, ``wallets``, ``programmes``, ``categories``, ``orders``,
``transactions``, ``coupons``.
"""

from __future__ import annotations

from adapters.contract import Adapter, Auth, Handler, Route
from adapters.iiko import categories, coupons, customers, orders, places, programmes, transactions, wallets
from adapters.iiko.options import IikoOptions
from adapters.iiko.refusals import refuse

OPEN, TOKEN = Auth("open"), Auth("issued_token")

# Below api/1/; the brand Syrve has its own name in the paths of loyalty.
PLACES: dict[str, Handler] = {
    "organizations": places.organizations,
    "terminal_groups": places.terminal_groups,
    "terminal_groups/is_alive": places.is_alive,
    "terminal_groups/awake": places.awake,
    "payment_types": places.payment_types,
    "commands/status": places.command_status,
    "webhooks/settings": places.webhook_settings,
    "webhooks/update_settings": places.update_webhook_settings,
}
LOYALTY: dict[str, Handler] = {
    "customer/info": customers.info,
    "customer/create_or_update": customers.create_or_update,
    "customer/card/add": customers.add_card,
    "customer/card/remove": customers.remove_card,
    "customer/wallet/hold": wallets.hold,
    "customer/wallet/cancel_hold": wallets.cancel_hold,
    "customer/wallet/topup": wallets.top_up,
    "customer/wallet/chargeoff": wallets.charge_off,
    "customer/program/add": programmes.add_programme,
    "customer/transactions/by_date": transactions.by_date,
    "customer/transactions/by_revision": transactions.by_revision,
    "customer_category": categories.categories,
    "customer_category/add": categories.add_category,
    "customer_category/remove": categories.remove_category,
    "program": programmes.programmes,
    "manual_condition": programmes.manual_conditions,
    "calculate": orders.calculate,
    "coupons/info": coupons.coupon,
    "coupons/series": coupons.series,
    "coupons/by_series": coupons.by_series,
    "get_counters": transactions.counters,
    "delete_customers": customers.delete_customers,
    "restore_customers": customers.restore_customers,
}
# One client asks for organizations with GET (docs/adapters/iiko.md, "Differences between clients").
METHODS = {"organizations": frozenset({"GET", "POST"})}

# Names of keys in any case. A guest's name is also that of a programme; both are hidden.
PRIVATE = (
    "apiLogin",
    "apiKey",
    "clientSecret",
    "token",
    "authToken",
    "phone",
    "email",
    "name",
    "surName",
    "middleName",
    "birthday",
    "birthdate",
    "comment",
    "userData",
    "cardTrack",
    "cardNumber",
    "track",
    "number",
    "credential",
)

# Ids of the books, and when something was booked; what a replay's books do not know of a person, and of settings.
VOLATILE = (
    "id",
    "token",
    "revision",
    "lastRevision",
    "lastTransactionId",
    "whenCreated",
    "guestId",
    "name",
    "surname",
    "middleName",
    "phone",
    "email",
    "sex",
    "consentStatus",
    "comment",
    "userData",
    "referrerId",
    "shouldReceivePromoActionsInfo",
    "shouldReceiveLoyaltyInfo",
    "categories",
    "whenRegistered",
    "personalDataProcessingFrom",
    "webHooksUri",
    "webHooksFilter",
    "authToken",
)

ADAPTER = Adapter(
    name="iiko",
    title="iiko Cloud API, for iiko's own clients",
    options=IikoOptions,
    refuse=refuse,
    routes=(
        Route(path=r"api/(?:1|v2)/access_token/?", handler=places.access_token, auth=OPEN),
        *(
            Route(path=rf"api/1/{path}/?", handler=handler, auth=TOKEN, methods=METHODS.get(path, frozenset({"POST"})))
            for path, handler in PLACES.items()
        ),
        *(
            Route(path=rf"api/1/loyalty/(?:iiko|syrve)/{path}/?", handler=handler, auth=TOKEN)
            for path, handler in LOYALTY.items()
        ),
    ),
    unit_scale=2,  # amounts have two digits behind the point
    private=frozenset(PRIVATE),
    volatile=frozenset(VOLATILE),
)
