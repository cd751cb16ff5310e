"""Holders: register, update, read, merge, erase, and what they have agreed to."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from gateway.api import fields as f
from gateway.api.schemas import CARD, CardBody, FoundCardSchema, card, card_example, example
from gateway.api.section import CommandBody, Section, ask_one
from processing import commands
from processing.commands import ReadHolder, Ref

section = Section("holders", "People behind the cards, and their consents")

FIRST_BIRTH_YEAR = 1900


class RegisterHolderSchema(CardBody):
    makes = commands.RegisterHolder
    example = card_example(name="Анна Смирнова", phone="+7 921 000-00-01", birthday="1990-05-04")
    name = f.text(required=True, describe="as the holder writes it", example="Анна Смирнова")
    phone = f.text(64, 0, describe="in any usual spelling", example="+7 921 000-00-01")
    email = f.text(254, 0, describe="e-mail", example="anna@example.org")
    birthday = f.day("date of birth", FIRST_BIRTH_YEAR, example="1990-05-04", allow_none=True)
    product = f.code("the card becomes one of this kind", example="guest")


class _HolderSchema(f.Told):
    holder_id = f.told_whole("the holder's number")
    account = f.told_whole("the wallet's number")


class HolderRegisteredSchema(_HolderSchema):
    card = f.told("the card's number")


class UpdateHolderSchema(CardBody):
    makes = commands.UpdateHolder
    example = card_example(phone="+7 921 000-00-02")
    name = f.text(describe="a new name", load_default=None, example="Анна Иванова")
    phone = f.text(64, 0, describe="a new phone; empty removes it", load_default=None)
    email = f.text(254, 0, describe="a new e-mail; empty removes it", load_default=None)
    birthday = f.day("a new date of birth", FIRST_BIRTH_YEAR)


class HolderUpdatedSchema(_HolderSchema):
    at = f.told_at()


class MergeHoldersSchema(CommandBody):
    makes = commands.MergeHolders
    example = example(source=CARD, target={"scheme": "card", "value": "5550001242"}, reason="the same person")
    source = card("a card of the wallet that goes")
    target = card("a card of the wallet that stays")
    reason = f.reason()


class HoldersMergedSchema(f.Told):
    outcome = f.told("merged, or waiting for open holds")
    account = f.told_whole("the target's wallet")
    source = f.told_whole("the other wallet")
    at = f.told_at()
    merge_id = f.told_whole("the operation that moved the lots; 0 while it waits, and where there were none")
    holds = f.told_whole("open holds that are waited for")


class EraseHolderSchema(CardBody):
    makes = commands.EraseHolder
    example = card_example(reason="at the holder's wish")
    reason = f.reason(required=True)


class HolderErasedSchema(f.Told):
    holder_id = f.told_whole()
    at = f.told_at()


class GiveConsentSchema(CardBody):
    makes = commands.GiveConsent
    example = card_example(purpose="advertising", document="2026-01", channel="till")
    purpose = f.name("what is agreed to", required=True, example="advertising")
    document = f.name("version of the text that was agreed to", required=True, example="2026-01")
    channel = f.text(32, 0, describe="where it was said", example="till")


class WithdrawConsentSchema(CardBody):
    makes = commands.WithdrawConsent
    example = card_example(purpose="advertising", channel="phone")
    purpose = f.name("what is agreed to no more", required=True, example="advertising")
    channel = f.text(32, 0, describe="where it was said", example="phone")


class ConsentRecordedSchema(f.Told):
    consent_id = f.told_whole()
    holder_id = f.told_whole()
    purpose = f.told()
    document = f.told("version of the text; empty for a withdrawal of none")
    given = f.told_switch("given, or withdrawn")
    at = f.told_at()


class ConsentSchema(f.Told):
    purpose = f.told()
    document = f.told("version of the text")
    given = f.told_switch("given, or withdrawn")
    channel = f.told("where it was said")
    store = f.told("code of the store")
    at = f.told_at()


class HolderToldSchema(f.Told):
    holder_id = f.told_whole()
    account = f.told_whole("the wallet's number")
    name = f.personal("name")
    phone = f.personal("phone in E.164; empty for none", f.hide_phone)
    email = f.personal("e-mail; empty for none")
    birthday = f.Birthday(
        required=True, allow_none=True, metadata={"description": "null where unknown or not to be seen"}
    )
    registered_at = f.told_at()
    cards = f.told_some(FoundCardSchema)
    consents = f.told_some(ConsentSchema, "every record, newest first")


class ConsentsSchema(f.Told):
    holder_id = f.told_whole()
    consents = fields.List(fields.Nested(ConsentSchema), required=True)


READ, WRITE = "holders:read", "holders:write"
HOLDER = f"<int(max={f.MAX_ID}):holder_id>"


@section.read(f"/holders/{HOLDER}", HolderToldSchema, READ)
def read_holder(holder_id: int) -> Any:
    """Read a holder

    The number comes from POST /cards/identify. Errors: HolderNotFound, CardNotFound.
    """
    return ask_one(ReadHolder(refs=(Ref("holder", str(holder_id)),)))


@section.read(f"/holders/{HOLDER}/consents", ConsentsSchema, READ)
def read_consents(holder_id: int) -> Any:
    """Read a holder's consents

    Every record of giving and withdrawing, newest first. Errors: HolderNotFound, CardNotFound.
    """
    return ask_one(ReadHolder(refs=(Ref("holder", str(holder_id)),)))


section.command("/holders", RegisterHolderSchema, HolderRegisteredSchema, WRITE, "Register a holder", status=201)
section.command("/holders", UpdateHolderSchema, HolderUpdatedSchema, WRITE, "Update a holder", method="PATCH")
section.command("/holders/merge", MergeHoldersSchema, HoldersMergedSchema, WRITE, "Merge two holders")
section.command("/holders/erase", EraseHolderSchema, HolderErasedSchema, WRITE, "Erase a holder")
section.command("/consents/give", GiveConsentSchema, ConsentRecordedSchema, WRITE, "Record a consent", status=201)
section.command(
    "/consents/withdraw", WithdrawConsentSchema, ConsentRecordedSchema, WRITE, "Record a withdrawal", status=201
)
