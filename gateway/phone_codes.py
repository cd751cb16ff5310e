"""Confirmation codes for tills that compare themselves what the customer tells.

Such a till has to be told the code, and told the same one when it asks again. So it is worked out, under the index
key, of what is asked and when; nothing is kept but the core's HMAC, whose limits hold for these codes as well
(docs/decisions/0023-codes-are-made-outside.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import structlog

from adapters.contract import CodeTold, ConfirmPhone
from gateway.senders import NotSent, Sender
from processing.codes import CODE_DIGITS, CODE_SECONDS
from processing.commands import Ask, ReadHolder, SendCode
from processing.errors import Busy, HolderNotFound, LoyaltyError, Refusal
from processing.execute import Outcome
from processing.results import CodeSent, HolderTold
from processing.secrets import Vault

# Sendings that failed in this process, to be done when the same is asked again.
MAX_UNSENT = 1_000

Asked = Callable[[Sequence[Ask[Any]]], Sequence[Outcome]]

log = structlog.get_logger()


def no_codes() -> LoyaltyError:
    return Refusal("no sender is configured (codes.sender in gateway.yaml)", hint="no_codes")


class PhoneCodes:
    """Makes, keeps, sends and tells codes; shared by threads."""

    def __init__(self, sender: Sender, text: str, vault: Vault, now: Callable[[], datetime]) -> None:
        self._sender, self._text, self._vault, self._now = sender, text, vault, now
        self._unsent: dict[str, None] = {}
        self._lock = threading.Lock()

    def confirm(self, wanted: ConfirmPhone, ask: Asked) -> Outcome:
        """The code, on its way to the phone."""
        if not self._sender.is_there:
            return no_codes()
        try:
            phone = wanted.phone if wanted.card is None else _phone(wanted, ask)
            return self._told(wanted, phone, f"{wanted.key}:{int(self._now().timestamp()) // CODE_SECONDS}", ask)
        except LoyaltyError as error:
            return error

    def _told(self, wanted: ConfirmPhone, phone: str, key: str, ask: Asked) -> CodeTold:
        number = self._vault.blind_index("till_code", f"{wanted.store}|{key}|{phone}|{wanted.purpose}")
        code = f"{int.from_bytes(number, 'big') % 10**CODE_DIGITS:0{CODE_DIGITS}}"
        (kept,) = ask(
            [
                SendCode(
                    store=wanted.store, keys=(key,), card=wanted.card, phone=phone, purpose=wanted.purpose, code=code
                )
            ]
        )
        if isinstance(kept, LoyaltyError):
            raise kept
        assert isinstance(kept, CodeSent)
        if not kept.replayed or self._take(key):
            self._send(phone, code, key)
        return CodeTold(code=code, phone=kept.phone)

    def _send(self, phone: str, code: str, key: str) -> None:
        """Errors: Busy; the same ask sends it after all."""
        try:
            self._sender.send(phone, self._text.replace("{code}", code))
        except NotSent as error:
            with self._lock:
                if len(self._unsent) >= MAX_UNSENT:
                    del self._unsent[next(iter(self._unsent))]
                self._unsent[key] = None
            log.warning("code_not_sent", reason=str(error))
            raise Busy("the code was not sent", hint="code_not_sent") from None

    def _take(self, key: str) -> bool:
        """Whether the code under this key has not been sent yet."""
        with self._lock:
            return self._unsent.pop(key, self) is None


def _phone(wanted: ConfirmPhone, ask: Asked) -> str:
    """Errors: CardNotFound, HolderNotFound."""
    assert wanted.card is not None
    (told,) = ask([ReadHolder(refs=(wanted.card,))])
    if isinstance(told, LoyaltyError):
        raise told
    assert isinstance(told, HolderTold)
    if not told.phone:
        raise HolderNotFound("the holder has no phone")
    return told.phone
