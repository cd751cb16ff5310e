"""r_keeper 6 and 7 through FarCards over HTTP: docs/adapters/rkeeper.md.

``options`` what a link may set, ``messages`` bytes -> fields, ``keys`` what names a receipt, ``receipts``,
``cards`` and ``topups`` fields -> what we ask, ``search`` and ``pictures`` the smaller calls, ``answers``,
``trresponse`` and ``refusals`` outcomes -> bytes, ``wording`` texts as FarCards carries them, ``talks`` the
conversations.
"""

from __future__ import annotations

from adapters.contract import ADVANCE, LINE_DISCOUNT, TENDER, Adapter, Auth, FiscalWays, Route
from adapters.rkeeper.options import RkeeperOptions
from adapters.rkeeper.refusals import refuse
from adapters.rkeeper.talks import card_info, find, license_info, picture, transactions

# ExtDllHttp.ini appends free paths to its address and sends no credentials of any kind: a secret segment in
# the address is what tells the restaurant.
SECRET_PATH = Auth("secret_path")

# Names of elements and attributes, in the vendor's spelling; they are compared without regard to case. A guest
# that was found is hidden as a whole, because its attribute Name is also the name of a dish.
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
    "FindEmail",
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
        Route(path=r"findemail(\.php)?/?", handler=find, auth=SECRET_PATH),
        Route(path=r"getcardimageex(\.php)?/?", handler=picture, auth=SECRET_PATH),
        Route(path=r"licenseinfo(\.php)?/?", handler=license_info, auth=SECRET_PATH),
    ),
    unit_scale=2,  # purses are counted in kopecks
    private=frozenset(PRIVATE),
    # Ids of operations, and when they were booked (TRRESPONSE).
    volatile=frozenset({"ext_id", "dts"}),
    # By the fiscal type of the currency (docs/cookbook.md): "Print discount", or a form of payment.
    fiscal=FiscalWays(points=(LINE_DISCOUNT, TENDER), gift_cards=(ADVANCE, TENDER)),
)
