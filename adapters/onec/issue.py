"""issueclientcard and getcardtypes: a card for whoever has none. Page: docs/adapters/onec.md, "Cards given out"."""

from __future__ import annotations

from typing import Any

from adapters.contract import Asking, Link, WireRequest, WireResponse, each, must
from adapters.onec.answers import answer, balance_of, day, envelope, failed, money, percent, refusal, word
from adapters.onec.cards import read
from adapters.onec.guids import card_guid, named, product_guid
from adapters.onec.names import SHORT_DIGEST, contact_refs, digest, owner, short_digest, text_refs
from adapters.onec.options import product_of
from adapters.onec.queries import Fields, phone, words
from adapters.onec.queries import day as day_of
from processing.commands import Ask, GiveConsent, Identify, IssueCard, ReadHolder, Ref, RegisterHolder
from processing.errors import HolderNotFound, ProductNotFound
from processing.results import CardIssued, HolderTold, Identified

# By this the commands of one message name the card that the first of them makes.
JUST_ISSUED = "onec_issue"
CHANNEL = "1c"


def issue(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """A new card with its holder, unless one of the names that are told has a card already."""
    told, options = read(request, link), link.options
    number, people = told.get("clientcardid", ""), contact_refs(told)
    if not number and not people:
        return failed(word("who", options), "json", options, "bad_message")
    product = product_of(told.get("clientcardtypeuid", ""), options)
    if not product:
        raise ProductNotFound("no such card type", option="card_types")
    made = Ref(JUST_ISSUED, named("issue", request.id))
    known = (*people, *text_refs(number))
    asks: list[Ask[Any]] = [*_commands(told, made, product, known, link)]
    refs = (made, *known)
    asks += [Identify(store=link.store, refs=refs, owner=owner(request, link)), ReadHolder(refs=refs)]
    outcomes: list[Any] = list((yield from each(*asks)))
    issued, found, holder = outcomes[0], outcomes[-2], outcomes[-1]
    if isinstance(issued, CardIssued):
        for outcome in outcomes[1:-2]:
            must(outcome)
    elif refusal(found):
        refusal(issued)
        return failed(word("not_issued", options), "json", options, issued.code)
    person: HolderTold | None = None if isinstance(holder, HolderNotFound) else must(holder)
    return answer(_card(must(found), person, told, isinstance(issued, CardIssued), link))


def _commands(told: Fields, made: Ref, product: str, known: tuple[Ref, ...], link: Link) -> list[Ask[Any]]:
    """The card, its holder and their consent; the latter two are refused where no card was made."""
    person = [told.get("client", ""), told.get("dateofbirth", "")]
    alike = f"onec:issue:{short_digest(known)}:{digest(person)[:SHORT_DIGEST]}"
    window = link.options["window_seconds"]
    common: dict[str, Any] = {
        "store": link.store,
        "keys": (),
        "content": alike,
        "likeness": alike,
        "window_seconds": window,
    }
    asks: list[Ask[Any]] = [
        IssueCard(
            product=product,
            number=told.get("clientcardid", ""),
            identifiers=(made,),
            active=True,
            unless=known,
            **common,
        )
    ]
    if told.get("client") or contact_refs(told):
        asks.append(
            RegisterHolder(
                card=made,
                name=words(told.get("client", "")),
                phone=phone(told.get("phone", "")),
                email=told.get("email", "") if "@" in told.get("email", "") else "",
                birthday=day_of(told.get("dateofbirth", ""), "DateOfBirth"),
                **common,
            )
        )
        if consent := link.options["consent"]:
            asks.append(GiveConsent(card=made, channel=CHANNEL, **consent, **common))
    return asks


def _card(found: Identified, holder: HolderTold | None, told: Fields, is_new: bool, link: Link) -> dict[str, Any]:
    """ElseClient: the e-mail is that of somebody with another phone, who is told without a card."""
    options, number = link.options, phone(told.get("phone", ""))
    balance = balance_of(found, options["unit"])
    theirs = holder.phone if holder else ""
    is_other = not is_new and bool(number and theirs) and number != theirs
    return envelope(
        options,
        BonusCount=money(0 if is_other else max(balance.available, 0), balance.scale),
        BonusRate=1,
        BonusCurrency=options["currency"],
        PaymentPercent=percent(found.payable_hundredths),
        ExistingCard=not is_new and not is_other,
        CardRef="" if is_other else card_guid(found.number),
        CardID="" if is_other else found.number,
        Client=(holder.name if holder else "") or found.holder_name,
        PhoneNumber=theirs.removeprefix("+"),
        Email=holder.email if holder else "",
        DateOfBirth=day(holder.birthday if holder else None),
        ElseClient=is_other,
    )


def types(request: WireRequest, link: Link) -> WireResponse:
    """getcardtypes: what the link lets the till give out, under English and Russian keys."""
    read(request, link)
    return answer([_type(each) for each in link.options["card_types"]])


def _type(told: dict[str, Any]) -> dict[str, Any]:
    uid, name = product_guid(told["product"]), told["name"]
    personal, generate = told["personal"], told["generate_number"]
    return {
        "CardTypeID": uid,
        "CardTypeDescription": name,
        "IsPerson": personal,
        "GenerateNumer": generate,
        "NumberToPhone": told["number_is_phone"],
        "TemplateRepresentation": "",
        "BeginRange": "",
        "EndRange": "",
        "LengthRange": 0,
        "Идентификатор": uid,
        "Наименование": name,
        "ЭтоИменнаяКарта": personal,
        "ГенерироватьНомер": generate,
    }
