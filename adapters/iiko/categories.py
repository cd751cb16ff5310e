"""Categories of guests: those of the link, which clients give and take, and the tiers of programmes, which they see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.contract import Asking, Link, WireRequest, WireResponse, one
from adapters.iiko import identities
from adapters.iiko.answers import NOTHING, said
from adapters.iiko.messages import Fields, fields, needed_identity
from adapters.iiko.places import check_organization
from adapters.parsing import bad
from processing.commands import EnrolHolder, ReadChain, Ref
from processing.results import ChainTold, HolderTold, TierTold, WalletNamed

DETAIL = "iiko.category."
GIVEN = "1"


def categories(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """Every category that a guest may have."""
    check_organization(fields(request.body), link)
    chain = yield from one(ReadChain(store=link.store))
    return said({"guestCategories": [*_own(link.options).values(), *_tiers(chain, link.options).values()]})


def add_category(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """A guest gets a category of the link."""
    return (yield from _change(request, link, GIVEN))


def remove_category(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """And loses it."""
    return (yield from _change(request, link, ""))


def _change(request: WireRequest, link: Link, value: str) -> Asking[WireResponse]:
    told = fields(request.body)
    check_organization(told, link)
    code = _code(told, link.options)
    yield from one(
        EnrolHolder(
            store=link.store,
            keys=(f"iiko:{request.id}",),
            known=Ref("uuid", needed_identity(told, "customerId")),
            details={DETAIL + code: value},
        )
    )
    return said(NOTHING)


def _code(told: Fields, options: Mapping[str, Any]) -> str:
    """Errors: BadMessage for a tier, which only the programme gives, and for what is none of the link's."""
    found = needed_identity(told, "categoryId")
    code = identities.find(found, ((identities.category(code), code) for code in options["categories"]))
    if code is None:
        raise bad("categoryId", found, "a category of the link: tiers are given by the programme itself")
    return code


def categories_of(
    holder: HolderTold | None, wallet: WalletNamed, chain: ChainTold, options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The categories of one guest."""
    kept = holder.details if holder else {}
    own = [told for code, told in _own(options).items() if kept.get(DETAIL + code) == GIVEN]
    tiers = _tiers(chain, options)
    return own + [tiers[place] for place in wallet.tiers if place in tiers]


def _own(options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {code: _category(identities.category(code), name) for code, name in options["categories"].items()}


def _tiers(chain: ChainTold, options: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """By programme and tier; a new guest is in the lowest."""
    return {
        (programme.programme, tier.tier): _category(
            identities.tier(programme.programme, tier.tier), _name(tier, options["language"]), is_default=n == 0
        )
        for programme in chain.programmes
        for n, tier in enumerate(programme.tiers)
    }


def _name(tier: TierTold, language: str) -> str:
    return {"ru": tier.ru, "en": tier.en}.get(language, "") or tier.tier


def _category(made: str, name: str, is_default: bool = False) -> dict[str, Any]:
    return {"id": made, "name": name, "isActive": True, "isDefaultForNewGuests": is_default}
