"""/extra/client: the form of a new customer, the code that confirms the phone, and the registration itself.

Nothing is kept between the three calls: the till brings the values every time. Page: docs/adapters/frontol.md,
"Registration".
"""

from __future__ import annotations

import hashlib
import re
from datetime import date
from typing import Any

import msgspec

from adapters.contract import Asking, ConfirmPhone, Link, WireResponse, one
from adapters.frontol import keys
from adapters.frontol.answers import done
from adapters.frontol.messages import Message
from adapters.frontol.options import Options
from adapters.frontol.slips import slip
from adapters.parsing import MAX_NAME, bad
from adapters.texts import ENGLISH, RUSSIAN, line
from processing.commands import Ref, RegisterHolder
from processing.errors import BadMessage, Refusal

PURPOSE = "registration"
PHONE, CARD, NAME, EMAIL, BIRTHDAY = "mobilePhone", "card", "name", "email", "birthday"

LABELS = {
    PHONE: {RUSSIAN: "Телефон", ENGLISH: "Phone"},
    CARD: {RUSSIAN: "Номер карты", ENGLISH: "Card number"},
    NAME: {RUSSIAN: "Имя", ENGLISH: "Name"},
    EMAIL: {RUSSIAN: "Эл. почта", ENGLISH: "E-mail"},
    BIRTHDAY: {RUSSIAN: "Дата рождения (ДД.ММ.ГГГГ)", ENGLISH: "Birthday (DD.MM.YYYY)"},
}
PATTERNS = {
    PHONE: r"^[+]?[0-9 ()-]{10,20}$",
    NAME: r"^.{1,100}$",
    BIRTHDAY: r"^([0-9]{2}[.][0-9]{2}[.][0-9]{4})?$",
}

_BIRTHDAY = re.compile(r"([0-9]{2})\.([0-9]{2})\.([0-9]{4})")


class Form(msgspec.Struct, frozen=True):
    """What was filled in."""

    phone: str
    card: str
    name: str
    email: str
    birthday: date | None


def registration(message: Message, link: Link) -> Asking[WireResponse]:
    options = link.options["registration"]
    if options is None:
        raise Refusal("the link does not register", hint="no_registration")
    if message.action == "describe":
        return done(members={"form": _form(message, link)})
    filled = _filled(message, options)
    if message.action == "check":
        return (yield from _check(message, filled, link))
    if message.action == "execute":
        return (yield from _execute(message, filled, link))
    raise bad("action", message.action, "describe, check or execute")


def _form(message: Message, link: Link) -> dict[str, Any]:
    """The form, with what the till knows of the customer filled in."""
    options, tongue = link.options["registration"], link.options["language"]
    wanted = [PHONE, *([] if options["product"] else [CARD]), NAME]
    wanted += [name for name in (EMAIL, BIRTHDAY) if options[name]]
    known = {PHONE: message.client.phone, CARD: message.client.card}
    notice = [{"type": "label", "text": options["notice"], "size": "small"}] if options["notice"] else []
    return {"title": {"text": options["title"]}, "elements": [*notice, *(_input(n, known, tongue) for n in wanted)]}


def _input(name: str, known: dict[str, str], tongue: str) -> dict[str, Any]:
    default = {"default": known[name]} if known.get(name) else {}
    pattern = {"regExp": PATTERNS[name]} if name in PATTERNS else {}
    return {"type": "inputLine", "name": name, "text": LABELS[name][tongue], **default, **pattern}


def _filled(message: Message, options: Options) -> Form:
    """The values; phone and card may also be told as the client's. Errors: BadMessage, with a text for the cashier."""
    told = dict(message.values)
    found = Form(
        phone=told.get(PHONE) or message.client.phone,
        card=told.get(CARD) or message.client.card,
        name=told.get(NAME, ""),
        email=told.get(EMAIL, ""),
        birthday=_birthday(told.get(BIRTHDAY, "")),
    )
    for name, value in ((PHONE, found.phone), (NAME, found.name), (CARD, found.card or options["product"])):
        if not value:
            raise _incomplete(name)
    return found


def _check(message: Message, filled: Form, link: Link) -> Asking[WireResponse]:
    """The till compares what the cashier types with the code of the answer; without one it asks for none."""
    if not link.options["registration"]["confirm_phone"]:
        return done(members={"client": {}})
    key = f"{keys.PREFIX}:{PURPOSE}:{_digest(message)}"
    told = yield from one(ConfirmPhone(store=link.store, key=key, phone=filled.phone, purpose=PURPOSE))
    text = line("code_sent", link.options["language"], told.phone)
    return done([(text, "")], members={"client": {"validationCode": told.code}})


def _execute(message: Message, filled: Form, link: Link) -> Asking[WireResponse]:
    registered = yield from one(
        RegisterHolder(
            store=link.store,
            keys=(f"{keys.PREFIX}:register:{_digest(message)}",),
            card=Ref(link.options["card_scheme"], filled.card) if filled.card else None,
            name=filled.name,
            phone=filled.phone,
            email=filled.email,
            birthday=filled.birthday,
            product="" if filled.card else link.options["registration"]["product"],
        )
    )
    text = line("registered", link.options["language"], registered.card)
    slips = slip([(text, "")], link.options)
    for blocks in slips:
        blocks.append({"type": "barcode", "data": registered.card, "printText": "below"})
    return done([(text, "")], slips)


def _digest(message: Message) -> str:
    """What names a registration: the same values at the same time of the till are the same one, sent again."""
    at = message.at.isoformat() if message.at else ""
    told = [sorted(message.values), message.client.phone, message.client.card, message.workplace, at]
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()


def _birthday(text: str) -> date | None:
    if not text:
        return None
    match = _BIRTHDAY.fullmatch(text)
    try:
        return date(int(match[3]), int(match[2]), int(match[1])) if match else date.fromisoformat(text[:MAX_NAME])
    except ValueError:
        raise _incomplete(BIRTHDAY) from None


def _incomplete(name: str) -> BadMessage:
    return BadMessage(f"values.{name}: expected a value", where=f"values.{name}", hint="form_incomplete")
