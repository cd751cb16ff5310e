"""Confirmation codes: six digits to a holder's phone, good for a few minutes and tries.

The code itself is made and sent by whoever asks, after it is kept: here is only its HMAC, bound to the phone, the
purpose and the row. Wrong tries count, although they are refusals.
"""

from __future__ import annotations

import hmac
from datetime import timedelta

from processing.commands import CheckCode, SendCode
from processing.errors import BadMessage, CodeExpired, HolderNotFound, TooManyCodes, WrongCode
from processing.holders import MAX_PURPOSE, known
from processing.keys import once
from processing.people import PHONE, Code, read_field, told_phone
from processing.results import CodeChecked, CodeSent
from processing.state import State

CODE_DIGITS = 6
CODE_SECONDS = 300
CODE_TRIES = 3
# How many codes one phone may get: in an hour, in a day.
LIMITS = ((timedelta(hours=1), 3), (timedelta(days=1), 10))


def send_code(state: State, command: SendCode) -> CodeSent:
    """Keep a code for the phone of the card's holder; what was sent before for the purpose counts no more."""

    def do() -> tuple[CodeSent, int | None]:
        _check(command)
        phone, index = _phone(state, command)
        sent = state.people.codes.setdefault(index, [])
        for period, most in LIMITS:
            recent = [code.sent_at for code in sent if code.sent_at > state.now - period]
            if len(recent) >= most:
                wait = sorted(recent)[-most] + period - state.now
                raise TooManyCodes("too many codes for this phone", retry_seconds=wait // timedelta(seconds=1) + 1)
        code_id = state.ids.take("confirmation_code")
        until = state.now + timedelta(seconds=CODE_SECONDS)
        hashed = _hash(state, code_id, index, command.purpose, command.code)
        code = Code(code_id, index, command.purpose, hashed, state.now, until, 0, None)
        sent.append(code)
        state.people.changed_codes[code_id] = code
        return CodeSent(code_id=code_id, phone=f"***{phone[-4:]}", at=state.now, expires_at=until), None

    return once(state, command, CodeSent, do)


def check_code(state: State, command: CheckCode) -> CodeChecked:
    """The code is the last one that was sent for the purpose; it works once."""

    def do() -> tuple[CodeChecked, int | None]:
        _check(command)
        _, index = _phone(state, command)
        sent = [code for code in state.people.codes.get(index, []) if code.purpose == command.purpose]
        code = sent[-1] if sent else None
        if code is None or code.used_at is not None or code.expires_at <= state.now or code.tries >= CODE_TRIES:
            raise CodeExpired("no code is valid for this purpose")
        state.people.changed_codes[code.id] = code
        if not hmac.compare_digest(code.code, _hash(state, code.id, index, command.purpose, command.code)):
            code.tries += 1
            raise WrongCode("the code is wrong", left=CODE_TRIES - code.tries)
        code.used_at = state.now
        return CodeChecked(purpose=command.purpose, at=state.now), None

    return once(state, command, CodeChecked, do)


def _check(command: SendCode | CheckCode) -> None:
    """Errors: BadMessage."""
    if not (len(command.code) == CODE_DIGITS and command.code.isascii() and command.code.isdigit()):
        raise BadMessage(f"a code has {CODE_DIGITS} digits", where="code")
    if not 0 < len(command.purpose) <= MAX_PURPOSE:
        raise BadMessage(f"1 to {MAX_PURPOSE} characters", where="purpose")


def _phone(state: State, command: SendCode | CheckCode) -> tuple[str, str]:
    """The holder's phone, or the one that was told, and its index in hex. Errors: CardNotFound, HolderNotFound."""
    if command.card is None:
        phone = told_phone(command)
        return phone, state.vault.blind_index(PHONE, phone).hex()
    holder, person = known(state, command.card)
    if person.phone is None:
        raise HolderNotFound("the holder has no phone")
    phone = read_field(state.vault, holder.id, person.wrapped_key, PHONE, person.phone)
    return phone, state.vault.blind_index(PHONE, phone).hex()


def _hash(state: State, code_id: int, phone_index: str, purpose: str, code: str) -> str:
    return state.vault.blind_index("code", f"{code_id}|{phone_index}|{purpose}|{code}").hex()
