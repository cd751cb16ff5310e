"""1C as server: its catalogues are pulled, and operations and balances told to it, over OData or a published service.

docs/adapters/onec_server.md tells what was taken from where, and what a live 1C has still to confirm.
"""

from __future__ import annotations

import json

from adapters.contract import Adapter, Calling, HttpCall, Job, Link, Push, WireRequest, WireResponse, http
from adapters.onec_server import balances, documents
from adapters.onec_server.answers import accepted, rows
from adapters.onec_server.options import OneCOptions, mapping_of
from adapters.onec_server.pull import pull
from adapters.onec_server.sessions import least, login
from processing.errors import LinkRefused, LoyaltyError
from processing.events import BALANCE_CHANGED, OPERATION_POSTED

# Of one talk, which begins and ends a session; each takes some calls.
BATCH = 5
TEST = "test"
# A service that every configuration with the standard library (БСП) publishes.
PROBE = "ws/InterfaceVersion.1cws"
PROBE_HEADERS = {
    "Content-Type": "text/xml; charset=utf-8",
    "SOAPAction": '"http://www.1c.ru/SaaS/1.0/WS#InterfaceVersion:GetVersions"',
}
PROBE_BODY = (
    b'<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">'
    b'<soap:Body><GetVersions xmlns="http://www.1c.ru/SaaS/1.0/WS"><InterfaceName>Exchange</InterfaceName>'
    b"</GetVersions></soap:Body></soap:Envelope>"
)


def send(job: Job, link: Link) -> Calling[None]:
    """Says the messages, each unless 1C has it. Errors: LinkDown, LinkRefused, BadReply, BadMessage."""
    for message in job.messages:
        if message.kind == OPERATION_POSTED:
            yield from documents.tell(message, link)
        elif message.kind == BALANCE_CHANGED:
            yield from balances.tell(message, link)
        elif message.kind == TEST:
            yield from test(link)
        else:
            raise LinkRefused(f"1C is told nothing of the kind {message.kind}")


def test(link: Link) -> Calling[None]:
    """Whether anybody is there: the probe that every 1C knows (one that does not publish it is no failure), then what
    the link works with. A page of a proxy in its place is no answer. Errors: LinkDown, LinkRefused, BadMessage."""
    if "service" not in mapping_of(link):
        reply = yield from http(HttpCall("POST", PROBE, PROBE_HEADERS, PROBE_BODY))
        if reply.status != 404:
            accepted(reply)
    reply = yield from http(HttpCall("GET", least(link)))
    if "service" in mapping_of(link):
        accepted(reply)
    else:
        rows(reply, 1)


def batch(link: Link) -> int:
    return BATCH


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    """Nobody calls this link; whoever does is told so."""
    return WireResponse(json.dumps({"code": error.code}).encode(), "application/json", 404, refused=error.code)


# Where owners of cards and their contacts stand in the catalogues of the shipped mappings, and in services that call
# them by usual words; phones, e-mails and long numbers are hidden wherever they stand.
PRIVATE = (
    *("Description", "ДатаРождения", "Представление", "НомерТелефона", "АдресЭП", "ФИО", "Фамилия", "Имя", "Отчество"),
    *("КодКарты", "КодКартыШтрихкод", "КодКартыМагнитный", "Штрихкод", "МагнитныйКод"),
    *("Name", "Phone", "Email", "Birthday", "Card", "CardNumber"),
)

ADAPTER = Adapter(
    name="onec_server",
    title="1C as server: OData and published services",
    private=frozenset(PRIVATE),
    options=OneCOptions,
    refuse=refuse,
    push=Push(wants=frozenset({OPERATION_POSTED, BALANCE_CHANGED}), talk=send, batch=batch),
    pull=pull,
    login=login,
)
