"""Confirmation codes: sent to the holder's phone, and checked."""

from __future__ import annotations

import secrets
import threading
from typing import Any

import msgspec
import structlog
from flask import Response

from gateway.api import fields as f
from gateway.api.schemas import CardBody, card_example
from gateway.api.section import (
    Door,
    Section,
    ask_one,
    check_stores,
    header_keys,
    keyed,
    rest,
    tell,
)
from gateway.errors import Refused
from gateway.senders import NotSent
from processing import commands
from processing.commands import Command, ReadHolder
from processing.errors import Busy, HolderNotFound, Refusal
from processing.results import CodeSent, HolderTold

section = Section("codes", "Confirmation by phone")

DIGITS = 6
# Codes that could not be sent, so that the same request may try again; they are valid for minutes only.
MAX_UNSENT = 1_000

NOT_SENT_TEXTS = {
    "ru": "Код не отправлен: SMS-шлюз не отвечает. Повторите тот же запрос или запросите новый код",
    "en": "The code was not sent: the SMS gateway does not answer. Repeat the same request or ask for a new code",
}

NO_SENDER_TEXTS = {
    "ru": "Отправка кодов не настроена (codes.sender в gateway.yaml). Повторять запрос бесполезно",
    "en": "No sender of codes is configured (codes.sender in gateway.yaml). Repeating does not help",
}

log = structlog.get_logger()


class SendCodeSchema(CardBody):
    makes = commands.SendCode
    example = card_example(purpose="redeem")
    purpose = f.name("what it confirms", required=True, example="redeem")

    def prepared(self, data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "code": f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"}


class CodeSentSchema(f.Told):
    code_id = f.told_whole()
    phone = f.told("masked but for its last four digits")
    at = f.told_at()
    expires_at = f.told_at()


class CheckCodeSchema(CardBody):
    makes = commands.CheckCode
    example = card_example(purpose="redeem", code="123456")
    purpose = f.name("what it confirms", required=True, example="redeem")
    code = f.text(
        DIGITS,
        DIGITS,
        pattern=f"[0-9]{{{DIGITS}}}",
        words=f"{DIGITS} digits",
        required=True,
        describe="as the holder tells it",
        example="123456",
    )


class CodeCheckedSchema(f.Told):
    purpose = f.told()
    at = f.told_at()


class Unsent:
    """Codes whose sending failed in this process, by store and request key, so that a replay sends them after all."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def keep(self, command: commands.SendCode) -> None:
        with self._lock:
            if len(self._codes) >= MAX_UNSENT:
                del self._codes[next(iter(self._codes))]
            self._codes[command.store, command.keys[0]] = command.code

    def take(self, command: commands.SendCode) -> str:
        """The code that waits under the command's key; empty for none."""
        with self._lock:
            return self._codes.pop((command.store, command.keys[0]), "")


unsent = Unsent()


def same_whatever_the_code(command: Command[Any]) -> Command[Any]:
    """The command with a digest that leaves the code out: a repeated request brings another one."""
    assert isinstance(command, commands.SendCode)
    assert command.card is not None
    bare = msgspec.json.encode([command.card.scheme, command.card.value, command.purpose]).decode()
    return msgspec.structs.replace(command, content=rest().vault.blind_index("content", f"SendCode|{bare}").hex())


DOOR = Door(SendCodeSchema(), CodeSentSchema(), "codes:write", 201, same_whatever_the_code)


def send_code(command: Command[Any]) -> Response:
    check_stores(command)
    asked = same_whatever_the_code(keyed(command, header_keys()))
    assert isinstance(asked, commands.SendCode)
    if not rest().sender.is_there:
        message = "no sender is configured (codes.sender in gateway.yaml); repeating does not help"
        raise Refused(Refusal(message, reason="no_sender"), texts=NO_SENDER_TEXTS)
    phone = _phone(asked)
    sent: CodeSent = ask_one(asked)
    code = _unsent(asked, sent) if sent.replayed else asked.code
    if code:
        _send(msgspec.structs.replace(asked, code=code), phone)
    return tell(DOOR.answer, sent, DOOR.status)


def _unsent(command: commands.SendCode, sent: CodeSent) -> str:
    """The code of an earlier try that did not reach the phone; empty for none, or when it is too old."""
    code = unsent.take(command)
    now = rest().database.clock(rest().database.host_clock())
    return code if now < sent.expires_at else ""


def _phone(command: commands.SendCode) -> str:
    """Where the code goes. Errors: CardNotFound, HolderNotFound."""
    assert command.card is not None
    holder: HolderTold = ask_one(ReadHolder(refs=(command.card,)))
    if not holder.phone:
        raise HolderNotFound("the holder has no phone")
    return holder.phone


def _send(command: commands.SendCode, phone: str) -> None:
    """Errors: Refused (503), and the code waits for the same request to come again."""
    try:
        rest().sender.send(phone, rest().settings.gateway.codes.text.replace("{code}", command.code))
    except NotSent as error:
        unsent.keep(command)
        log.warning("code_not_sent", reason=str(error), store=command.store, purpose=command.purpose)
        raise _not_sent(str(error)) from None
    log.info("code_sent", store=command.store, purpose=command.purpose)


def _not_sent(why: str) -> Refused:
    return Refused(Busy("the code was not sent", reason="code_not_sent", why=why), texts=NOT_SENT_TEXTS)


section.written("/codes", DOOR, "Send a code", send_code)
section.command("/codes/check", CheckCodeSchema, CodeCheckedSchema, DOOR.scope, "Check a code")
