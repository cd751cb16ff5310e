"""Sign-in, organizations, terminal groups, payment types: what clients ask before they speak of guests."""

from __future__ import annotations

import json
import re
from typing import Any

from adapters.contract import Asking, Link, SignIn, WireRequest, WireResponse, one
from adapters.iiko import identities
from adapters.iiko.answers import said
from adapters.iiko.messages import Fields, fields, identity, inner, needed_identity, require, switch, text
from adapters.iiko.messages import identities as uuids
from adapters.iiko.options import names
from adapters.json_parsing import parse_json
from adapters.parsing import bad
from processing.commands import ReadChain, ReadSubscription, Subscribe
from processing.errors import BadMessage, ForeignStore
from processing.results import ChainTold

MAX_URI, MAX_AUTH_TOKEN, MAX_FILTER = 2_000, 1_000, 4_000
_WEB = re.compile(r"https?://\S+\Z", re.IGNORECASE)
# Of the extended form what a loyalty server cannot know.
UNKNOWN = (
    "country",
    "restaurantAddress",
    "currencyIsoName",
    "currencyMinimumDenomination",
    "countryPhoneCode",
    "marketingSourceRequiredInDelivery",
    "defaultDeliveryCityId",
    "deliveryCityIds",
    "deliveryServiceType",
    "deliveryOrderPaymentSettings",
    "defaultCallCenterPaymentTypeId",
    "orderItemCommentEnabled",
    "inn",
    "isConfirmationEnabled",
    "confirmAllowedIntervalInMinutes",
)


def access_token(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """Both token paths: the login is the link's secret, under either name (docs/adapters/iiko.md, "Signing in")."""
    told = fields(request.body)
    login = text(told, "apiLogin") or text(told, "apiKey")
    if not login:
        raise bad("apiLogin", "", "a value: it is required")
    signed = yield from one(SignIn(secret=login, seconds=link.options["token_seconds"]))
    return said({"correlationId": identities.correlation(request), "token": signed.token})


def check_organization(told: Fields, link: Link, is_needed: bool = True) -> None:
    """A link speaks for one store. Errors: ForeignStore, BadMessage."""
    found = needed_identity(told, "organizationId") if is_needed else identity(told, "organizationId")
    if found and found != identities.organization(link):
        raise ForeignStore("the organization is not that of this link", where="organizationId")


def organizations(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """The link's store, unless others are asked for. A GET has no body, and asks for all."""
    told = fields(request.body) if request.method == "POST" else {}
    wanted, is_extended = uuids(told, "organizationIds"), switch(told, "returnAdditionalInfo") or False
    chain = yield from one(ReadChain(store=link.store))
    mine = _organization(chain, link, is_extended)
    shown = [mine] if not wanted or mine["id"] in wanted else []
    return said({"correlationId": identities.correlation(request), "organizations": shown})


def _organization(chain: ChainTold, link: Link, is_extended: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "responseType": "Extended" if is_extended else "Simple",
        "id": identities.organization(link),
        "name": chain.name,
        "code": chain.store,
        "externalData": None,
    }
    if is_extended:
        told |= dict.fromkeys(UNKNOWN)
        told |= {"latitude": 0, "longitude": 0, "useUaeAddressingSystem": False, "version": "tillgate"}
        told |= {"addressFormatType": "Legacy", "isCloud": True, "isAnonymousGuestsAllowed": True, "addressLookup": []}
    return told


def terminal_groups(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """One group: the tills of the link's store."""
    wanted = uuids(fields(request.body), "organizationIds")
    chain = yield from one(ReadChain(store=link.store))
    mine = identities.organization(link)
    group = {
        "id": identities.terminal_group(link),
        "organizationId": mine,
        "name": chain.name,
        "address": "",
        "timeZone": chain.zone,
        "externalData": None,
        "posVersion": None,
    }
    shown = [{"organizationId": mine, "items": [group]}] if mine in wanted else []
    return said(
        {
            "correlationId": identities.correlation(request),
            "terminalGroups": shown,
            "terminalGroupsInSleep": [],
        }
    )


def is_alive(request: WireRequest, link: Link) -> WireResponse:
    """Whoever gets this answer can be served. ``organizationId`` alone is an old form of the question."""
    told = fields(request.body)
    mine = identities.terminal_group(link)
    status = [
        {
            "isAlive": group == mine,
            "terminalGroupId": group,
            "organizationId": identities.organization(link),
        }
        for group in uuids(told, "terminalGroupIds")
    ]
    return said({"correlationId": identities.correlation(request), "isAliveStatus": status})


def awake(request: WireRequest, link: Link) -> WireResponse:
    """Groups do not sleep here."""
    asked = uuids(fields(request.body), "terminalGroupIds")
    mine = identities.terminal_group(link)
    return said(
        {
            "correlationId": identities.correlation(request),
            "successfullyProcessed": [group for group in asked if group == mine],
            "failedProcessed": [group for group in asked if group != mine],
        }
    )


def payment_types(request: WireRequest, link: Link) -> WireResponse:
    """A type of payment for each wallet of the link."""
    wanted = uuids(fields(request.body), "organizationIds")
    group = {
        "id": identities.terminal_group(link),
        "organizationId": identities.organization(link),
        "name": link.store,
    }
    mine = [
        {
            "id": identities.payment_type(unit),
            "code": unit,
            "name": name,
            "comment": "",
            "combinable": True,
            "externalRevision": 0,
            "applicableMarketingCampaigns": [],
            "isDeleted": False,
            "printCheque": False,
            "paymentProcessingType": "Both",
            "paymentTypeKind": "IikoCard",
            "terminalGroups": [group],
        }
        for unit, name in names(link.options).items()
    ]
    shown = mine if identities.organization(link) in wanted else []
    return said({"correlationId": identities.correlation(request), "paymentTypes": shown})


def command_status(request: WireRequest, link: Link) -> WireResponse:
    """Whatever was answered with a ``correlationId`` is done already: nothing here is carried out later."""
    told = fields(request.body)
    check_organization(told, link)
    needed_identity(told, "correlationId")
    return said({"state": "Success"})


def webhook_settings(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """What the client has set last."""
    check_organization(fields(request.body), link)
    kept = yield from one(ReadSubscription(store=link.store, subscriber=_subscriber(link)))
    return said(
        {
            "correlationId": identities.correlation(request),
            "apiLoginName": link.code,
            "webHooksUri": kept.address or None,
            "authToken": kept.secret or None,
            "webHooksFilter": _filter(kept.wishes),
        }
    )


def update_webhook_settings(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """They are kept and told back. Nothing is sent there: the API has no event of loyalty, and orders are iiko's."""
    told = fields(request.body)
    check_organization(told, link)
    address, wishes = text(told, "webHooksUri", MAX_URI), inner(told, "webHooksFilter")
    if address and not _WEB.match(address):
        raise bad("webHooksUri", "", "an address that begins with http:// or https://")
    filters = json.dumps(wishes) if wishes else ""
    require(len(filters) <= MAX_FILTER, "webHooksFilter", f"up to {MAX_FILTER} characters")
    yield from one(
        Subscribe(
            store=link.store,
            keys=(f"iiko:{request.id}",),
            subscriber=_subscriber(link),
            address=address,
            secret=text(told, "authToken", MAX_AUTH_TOKEN),
            wishes=filters,
        )
    )
    return said({"correlationId": identities.correlation(request)})


def _filter(wishes: str) -> Any:
    """As the client has said it; nothing for what others may have kept under the name."""
    try:
        return parse_json(wishes.encode("utf-8", "replace")).value
    except BadMessage:
        return None


def _subscriber(link: Link) -> str:
    """Settings are of a login: each link has its own."""
    return f"iiko:{link.code}"
