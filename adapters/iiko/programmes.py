"""Programmes as clients see them: one for each wallet of the link, or several where programmes share its points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from adapters.contract import Asking, Link, WireRequest, WireResponse, each, must, one
from adapters.iiko import identities
from adapters.iiko.answers import moment, said
from adapters.iiko.customers import customer
from adapters.iiko.messages import fields, needed_identity
from adapters.iiko.options import names, types
from adapters.iiko.places import check_organization
from adapters.parsing import bad
from processing.commands import NameWallet, ReadChain
from processing.results import ChainTold

# Of the API's templates those that ours resemble (the specification).
BONUS_TEMPLATE, NO_TEMPLATE = 1, 0
# Names of ``refillType`` are not published.
REFILL_TYPE = 0


def programmes(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """``Programs`` with a capital letter, as the API has it. Rules are not told: clients could not read ours."""
    check_organization(fields(request.body), link)
    chain = yield from one(ReadChain(store=link.store))
    return said({"Programs": [_told(link, *each) for each in _all(chain, link.options)]})


def _all(chain: ChainTold, options: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str | None]]:
    """UUID, name, unit and start of each."""
    for unit, name in names(options).items():
        mine = [programme for programme in chain.programmes if programme.unit == unit]
        for programme in mine:
            yield identities.programme(programme.programme), programme.programme, unit, moment(programme.since)
        if not mine:
            yield identities.wallet_programme(unit), name, unit, None


def _told(link: Link, made: str, name: str, unit: str, since: str | None) -> dict[str, Any]:
    return {
        "id": made,
        "name": name,
        "description": None,
        "serviceFrom": since,
        "serviceTo": None,
        "notifyAboutBalanceChanges": False,
        "programType": types(link.options)[unit],
        "isActive": True,
        "walletId": identities.wallet(unit, link.options),
        "marketingCampaigns": [],
        "appliedOrganizations": [identities.organization(link)],
        "templateType": NO_TEMPLATE if since is None else BONUS_TEMPLATE,
        "isExchangeRateEnabled": False,
        "refillType": REFILL_TYPE,
    }


def add_programme(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """Every guest has every wallet, so that nothing changes. Both names of the wallet are one here."""
    told = fields(request.body)
    check_organization(told, link)
    who, wanted = customer(told), needed_identity(told, "programId")
    wallet, chain = yield from each(NameWallet(store=link.store, refs=(who,)), ReadChain(store=link.store))
    must(wallet)
    unit = identities.find(wanted, ((made, unit) for made, _, unit, _ in _all(must(chain), link.options)))
    if unit is None:
        raise bad("programId", wanted, "a programme of the list")
    made = identities.wallet(unit, link.options)
    return said({"userWalletId": made, "walletId": made})


def manual_conditions(request: WireRequest, link: Link) -> WireResponse:
    """There are none: what a programme does depends on nothing that a cashier would tick."""
    check_organization(fields(request.body), link, is_needed=False)
    return said({"manualConditions": []})
