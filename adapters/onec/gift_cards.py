"""The conversations about gift cards. Their number is a card's number; page: docs/adapters/onec.md, "Gift cards"."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from adapters.contract import Asking, Link, WireRequest, WireResponse, each, must, one
from adapters.onec import documents
from adapters.onec.answers import answer, balance_of, done, envelope, failed, is_locked, money, word
from adapters.onec.cards import lock, read, redeem, release, twin
from adapters.onec.guids import product_guid
from adapters.onec.names import asked_amount, digest, gift_refs, likeness, owner, single
from adapters.onec.queries import Fields
from processing.commands import Ask, Identify, ReadStatement, SellGiftCard
from processing.errors import CardNotActive, CardNotFound
from processing.results import Identified, Statement

# Movements of a gift card that are looked through for what it was sold for.
MAX_LOOKED_AT = 100
SOLD = "gift_sale"


def info(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """getgiftcardinfo: what the card is worth; that is locked for the till that asks."""
    told = _told(request, link)
    unit, refs = _unit(link), gift_refs(told)
    asks: list[Ask[Any]] = [
        lock(refs, request, link, unit),
        Identify(store=link.store, refs=refs, owner=owner(request, link)),
        ReadStatement(refs=refs, unit=unit, limit=MAX_LOOKED_AT),
    ]
    locked, found, statement = yield from each(*asks)
    # A card that was not sold yet can not be locked, and is told all the same.
    if not isinstance(locked, CardNotActive):
        must(locked)
    return answer(_gift(must(found), must(statement), told, link))


def _gift(found: Identified, statement: Statement, told: Fields, link: Link) -> dict[str, Any]:
    balance = balance_of(found, _unit(link))
    is_blocked = is_locked(balance)
    left = 0 if found.usable or is_blocked else max(balance.available, 0)
    sold = sum(line.amount for line in statement.lines if line.kind == SOLD)
    return envelope(
        link.options,
        GiftCard={"GiftCardName": found.product, "GiftCardRef": told.get("giftcarduid") or product_guid(found.product)},
        GiftCardNumber=told["giftcardnumber"],
        GiftCardValue=money(sold or max(balance.balance, 0), balance.scale),
        GiftCardBalance=money(left, balance.scale),
        Blocked=is_blocked,
        GiftCardAvailable=money(left, balance.scale),
        GiftCardLimit=False,
        BalanceBurnout=False,
    )


def check(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """checkgiftcard: whether the card was sold already, before it is sold."""
    used = False
    with suppress(CardNotFound):
        found = yield from one(Identify(store=link.store, refs=gift_refs(_told(request, link))))
        used = balance_of(found, _unit(link)).balance > 0
    return answer(envelope(link.options, GiftCardUsed=used))


def unlock(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """unlockgiftcard: as unlockclientbonuses."""
    refs = gift_refs(_told(request, link))
    ask = Identify(store=link.store, refs=refs, owner=owner(request, link))
    released, outcome = yield from each(release(refs, _unit(link), request, link), ask)
    must(released)
    foreign = is_locked(balance_of(must(outcome), _unit(link)))
    return done("gift_unlocked", twin(request), link.options, "hold_not_found" if foreign else "")


def write_off(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """writeoffgiftcard: the card has paid."""
    told = _told(request, link)
    minor, refs = asked_amount(told, "GiftCardWriteOffAmount"), gift_refs(told)
    if not minor:
        return failed(word("no_amount", link.options), twin(request), link.options, "bad_amount")
    yield from one(redeem("gift_write_off", refs, _unit(link), minor, request, link))
    return done("gift_written_off", twin(request), link.options)


def accrue(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """accruegiftcard: a card is sold, or money comes back to one that was."""
    told = _told(request, link)
    minor, refs, _ = asked_amount(told, "GiftCardAccrueOffAmount"), gift_refs(told), _unit(link)
    if not minor:
        return failed(word("no_amount", link.options), "json", link.options, "bad_amount")
    alike = likeness("gift_accrue", refs, minor)
    yield from one(
        SellGiftCard(
            store=link.store,
            **single(refs),
            amount=minor,
            top_up=True,
            content=digest([alike]),
            owner=owner(request, link),
            likeness=alike,
            window_seconds=link.options["window_seconds"],
        )
    )
    return done("gift_accrued", "json", link.options)


def _unit(link: Link) -> str:
    """The unit of gift cards. Errors: CardNotFound where the link has none."""
    unit: str = link.options["gift_unit"]
    if not unit:
        raise CardNotFound("the link has no gift cards", option="gift_unit")
    return unit


def _told(request: WireRequest, link: Link) -> Mapping[str, str]:
    """The fields of the query, or of the body where the message has one."""
    if not request.body.strip():
        return read(request, link)
    body = documents.read(request.body)
    return {name.lower(): documents.text(body, name) for name in ("GiftCardNumber", "GiftCardUID")}
