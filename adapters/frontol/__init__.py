"""ATOL Frontol through its loyalty HTTP API (docs/adapters/frontol.md) and its exchange files (frontol-*.md beside it).

``options`` what a link may set, ``messages`` bytes -> fields, ``keys`` what names a receipt, ``receipts`` fields ->
what we ask, ``registration`` new customers, ``slips``, ``answers`` and ``refusals`` outcomes -> bytes, ``talks`` the
conversations; ``loads`` files into the till, ``reports`` and what begins so: files that it
has written.
"""

from __future__ import annotations

from adapters.contract import ADVANCE, LINE_DISCOUNT, TENDER, Adapter, Auth, FiscalWays, Route
from adapters.frontol.loads.push import PUSH
from adapters.frontol.options import FrontolOptions
from adapters.frontol.refusals import refuse
from adapters.frontol.reports import FACE
from adapters.frontol.reports import request as request_report
from adapters.frontol.talks import client, document, extra_client

# Lowercase MD5 of the access key and the raw body behind it (page, section 3.1).
DIGEST = Auth("body_digest", "FrontolAuth")

PRIVATE = ("mobilePhone", "email", "card", "validationCode", "value", "default", "data")

ADAPTER = Adapter(
    name="frontol",
    title="ATOL Frontol",
    options=FrontolOptions,
    refuse=refuse,
    routes=(
        Route(path=r"client/?", handler=client, auth=DIGEST),
        Route(path=r"document/?", handler=document, auth=DIGEST),
        Route(path=r"extra/client/?", handler=extra_client, auth=DIGEST),
    ),
    unit_scale=2,  # amounts are roubles with kopecks, and a point pays one
    private=frozenset(PRIVATE),
    # A bonus is a payment that is not fiscal, spread over the lines, or a fiscal one (docs/cookbook.md).
    fiscal=FiscalWays(points=(LINE_DISCOUNT, TENDER), gift_cards=(ADVANCE, TENDER)),
    files=(FACE,),
    push=PUSH,
    pull=request_report,
)
