"""How we understood a message: what its adapter asks of the core, worked out again from the logged bytes.

A handler is a pure function of the bytes: this is what happened then, as long as adapter and options are those of then.
Nothing is asked: the conversation is dropped where the core would have its turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from adapters.contract import Adapter, Link
from gateway.exchange_log import Recorded
from gateway.mask import mask
from gateway.pos import first_asks, logged_request
from processing.commands import Ask
from processing.errors import LoyaltyError

# Fields of our own words that tell who somebody is. Names are those of people or of goods: only people's are hidden.
PRIVATE = frozenset({"value", "phone", "email", "birthday", "pin", "code"})
PEOPLE = PRIVATE | {"name"}
ABOUT_PEOPLE = frozenset({"RegisterHolder", "UpdateHolder", "FindCards"})

ASKS, ANSWERS, REFUSED, UNREADABLE, NO_ROUTE = "asks", "answers", "refused", "unreadable", "no_route"


@dataclass(frozen=True, slots=True)
class Understood:
    """``kind`` asks: ``asks`` are (name, JSON); answers: at once, without the core; refused: ``error`` tells why.

    ``where`` is the element that broke it.
    """

    kind: str
    asks: tuple[tuple[str, str], ...] = ()
    error: str = ""
    where: str = ""


def understand(adapter: Adapter, link: Link, recorded: Recorded, masked: bool = True) -> Understood:
    """What the message says in our words. Errors: none, whatever the bytes."""
    request, route = logged_request(recorded, adapter)
    if route is None or request.method not in route.methods:
        return Understood(NO_ROUTE)
    try:
        asks = first_asks(request, route, link)
        if asks is None:
            return Understood(ANSWERS)
        return Understood(ASKS, tuple(_told(ask, masked) for ask in asks))
    except LoyaltyError as error:
        return Understood(REFUSED, error=f"{error.code}: {error.message}", where=str(error.details.get("where", "")))
    except Exception as error:
        return Understood(UNREADABLE, error=type(error).__name__)


def _told(ask: Ask[Any], masked: bool) -> tuple[str, str]:
    name, encoded = type(ask).__name__, msgspec.json.encode(ask)
    told = msgspec.json.format(encoded, indent=2)
    if not masked:
        return name, told.decode()
    return name, mask(told, PEOPLE if name in ABOUT_PEOPLE else PRIVATE)
