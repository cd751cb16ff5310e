"""Refusals as iiko's clients read them: one body that is a transport error and a loyalty error at once.

Without ``errorDescription`` one client crashes instead of returning its error object; another looks for ``message``
(docs/adapters/iiko.md, "Errors"). What is refused by the rules or not found is HTTP 400, never 404.
"""

from __future__ import annotations

from adapters.contract import Link, WireRequest, WireResponse
from adapters.iiko.answers import said
from adapters.iiko.identities import correlation
from adapters.texts import text
from processing.errors import BadMessage, CardNotFound, LoyaltyError, NoSuchRoute

# By the scheme of the name that led nowhere (docs/adapters/iiko.md, "Errors").
PHONE = ("Transport_WrongCustomerNumber", "Validation_IncorrectPhone")
NOT_FOUND = {
    "phone": PHONE,
    "card": ("Transport_WrongCardNumber", "Card_CanNotFindByNumber"),
    # Sic: without its second d.
    "track": ("Transport_WrongCarTrack", "Card_CanNotFindByTrack"),
    "uuid": ("Transport_WrongCustomerId", "Customer_CanNotFindById"),
    "email": ("Transport_WrongCustomerEmail", "Customer_CanNotFindByEmail"),
}
ORGANIZATION = ("Transport_WrongCrmId", "Common_OrganizationNotFound")
COUNTERS = ("Transport_WrongRequest", "Validation_CounterValidationError")
COUNTER_FIELDS = frozenset({"metrics", "periods"})
LAST_CARD = "Can't delete a single card from an anonymous guest."

# 403 and not 401 for an unknown path: one client signs in anew at every 401, without an end.
STATUSES = {
    "bad_credentials": 401,
    "no_such_route": 403,
    "forbidden": 403,
    "too_large": 413,
    "rate_limited": 429,
    "link_paused": 503,
    "busy": 503,
    "failed": 500,
}
REFUSED = 400
RETRY_SECONDS = 1


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    """Any refusal."""
    status = STATUSES.get(error.code, REFUSED)
    code, error_code = codes(error)
    words = _words(error, request, link)
    headers = {"Retry_After": str(_wait(error))} if error.retryable else {}
    told = {
        "correlationId": correlation(request),
        "errorDescription": words,
        "error": error_code,
        "code": code,
        "errorCode": error_code,
        "message": words,
    }
    return said(told, status, error.code, **headers)


def codes(error: LoyaltyError) -> tuple[str, str]:
    """``code`` and ``errorCode``: observed ones where there are any, else made of our own code.

    Nobody has written down what the real service says of a shortage, a blocked card or an unknown hold.
    """
    where = error.details.get("where", "")
    if isinstance(error, CardNotFound):
        return NOT_FOUND.get(str(error.details.get("scheme", "")), NOT_FOUND["card"])
    if isinstance(error, BadMessage) and where == "phone":
        return PHONE
    if isinstance(error, BadMessage) and where in COUNTER_FIELDS:
        return COUNTERS
    if error.code == "foreign_store":
        return ORGANIZATION
    name = error.code.title().replace("_", "")
    return f"Transport_{name}", f"Loyalty_{name}"


def _words(error: LoyaltyError, request: WireRequest, link: Link) -> str:
    """For integrators what was wrong with the message, for guests and waiters the text of the refusal."""
    if isinstance(error, NoSuchRoute):
        return f"Right {request.path} is not allowed for this ApiLogin"
    if error.code == "holder_not_found" and request.path.lower().rstrip("/").endswith("card/remove"):
        return LAST_CARD
    return error.message if isinstance(error, BadMessage) else text(error, link.options["language"])


def _wait(error: LoyaltyError) -> int:
    told = error.details.get("retry_seconds", RETRY_SECONDS)
    return told if isinstance(told, int) else RETRY_SECONDS
