"""iiko's Cloud API, which we call: balances into wallets of iikoCard. docs/adapters/iiko_cloud.md.

``options`` what a link may set, ``calls`` a call and its answer, ``login`` tokens, ``webhooks`` what iiko shall send,
``guests`` whom it knows, ``movements`` its report, ``push`` our messages -> its wallets, ``pull`` whether they agree.
"""

from __future__ import annotations

import json

from adapters.contract import Adapter, Link, Pace, WireRequest, WireResponse
from adapters.iiko import PRIVATE
from adapters.iiko_cloud.login import OF_THE_LOGIN, login
from adapters.iiko_cloud.options import IikoCloudOptions
from adapters.iiko_cloud.pull import pull
from adapters.iiko_cloud.push import PUSH
from processing.errors import LoyaltyError


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    """Nobody calls this link: iiko's events come to one of the adapter iiko_webhooks."""
    return WireResponse(json.dumps({"code": error.code}).encode(), "application/json", 404, refused=error.code)


ADAPTER = Adapter(
    name="iiko_cloud",
    title="iiko Cloud API, which we call",
    options=IikoCloudOptions,
    refuse=refuse,
    unit_scale=2,  # amounts have two digits behind the point
    private=frozenset(PRIVATE),
    push=PUSH,
    pull=pull,
    login=login,
    pace=Pace(lambda link: link.options["call_every_seconds"], OF_THE_LOGIN),
)
