"""r_keeper 6 and 7 through FarCards over HTTP: docs/adapters/rkeeper.md.

``options`` what a link may set, ``messages`` bytes -> fields, ``keys`` what names a receipt, ``receipts``
fields -> what we ask, ``answers`` results -> bytes, ``talks`` the conversations.
"""

from __future__ import annotations

from adapters.contract import Adapter, Auth, Route
from adapters.rkeeper.answers import refuse
from adapters.rkeeper.options import RkeeperOptions
from adapters.rkeeper.talks import card_info, transactions

# ExtDllHttp.ini appends free paths to its address and sends no credentials of any kind: a secret segment in
# the address is what tells the restaurant.
SECRET_PATH = Auth("secret_path")

# Names of elements and attributes, in the vendor's spelling; they are compared without regard to case.
PRIVATE = (
    "Card",
    "CardCode",
    "Holder",
    "OwnerInfo",
    "PERSON",
    "PersonID",
    "Account",
    "PROPERTY",
    "PersistentComment",
    "Reservation",
    "ExtTransactionInfo",
    "Email",
    "Phone",
    "DopInfo",
)

ADAPTER = Adapter(
    name="rkeeper",
    title="r_keeper 6/7 (FarCards HTTP)",
    options=RkeeperOptions,
    refuse=refuse,
    routes=(
        Route(path=r"getcardinfoex(\.php)?/?", handler=card_info, auth=SECRET_PATH),
        Route(path=r"transactionsex(\.php)?/?", handler=transactions, auth=SECRET_PATH),
    ),
    unit_scale=2,  # purses are counted in kopecks
    private=frozenset(PRIVATE),
)
