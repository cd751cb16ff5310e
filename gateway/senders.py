"""How a confirmation code reaches a phone: over an SMS gateway, onto the console of a demo, or not at all."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import structlog

if TYPE_CHECKING:
    import requests

    from gateway.settings import CodeSettings

CONSOLE, HTTP = "console", "http"

ATTEMPTS = 3
FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS = 0.2, 1.0
MAX_ANSWER = 64 << 10

_PLACE = re.compile(r"\{([a-z_]*)\}")
PLACES = frozenset({"phone", "phone_digits", "text", "secret"})

log = structlog.get_logger()


class NotSent(Exception):
    """The code did not leave; the message says why, without phone and code."""


class Sender(Protocol):
    """Sends a text to a phone in E.164. Errors: NotSent."""

    @property
    def is_there(self) -> bool: ...

    def send(self, phone: str, text: str) -> None: ...


class Nobody:
    """No sender is configured."""

    is_there = False

    def send(self, phone: str, text: str) -> None:
        raise NotSent("no sender is configured")


class Console:
    """Prints the text on stderr: for demonstrations, where nobody's phone rings."""

    is_there = True

    def send(self, phone: str, text: str) -> None:
        print(f"to ***{phone[-4:]}: {text}", file=sys.stderr, flush=True)  # what it is for


class _Again(Exception):
    """The SMS gateway is away or troubled: worth another try."""


class Http:
    """An SMS gateway's HTTP interface, as the settings describe it."""

    is_there = True

    def __init__(self, settings: CodeSettings) -> None:
        self._settings = settings

    def send(self, phone: str, text: str) -> None:
        """A few tries within seconds; nothing of what was sent is logged. Errors: NotSent."""
        import tenacity

        tries = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Again),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_random_exponential(FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS),
            reraise=True,
        )
        values = {"phone": phone, "phone_digits": phone.lstrip("+"), "text": text, "secret": self._settings.secret}
        try:
            tries(self._try, values)
        except _Again as error:
            raise NotSent(str(error)) from None

    def _try(self, values: Mapping[str, str]) -> None:
        """One request. Errors: NotSent, _Again."""
        import requests

        own = self._settings
        try:
            with requests.request(
                own.method,
                own.url,
                headers=filled(own.headers, values),
                params=filled(own.params, values),
                data=filled(own.form, values) or None,
                json=filled(own.json, values) or None,
                timeout=own.timeout_seconds,
                allow_redirects=False,
                stream=True,
                auth=_as_written,
            ) as answer:
                self._check(answer)
        except requests.RequestException as error:
            # Its message has the address, and that may have the phone.
            raise _Again(type(error).__name__) from None

    def _check(self, answer: requests.Response) -> None:
        if answer.status_code >= 500:
            raise _Again(f"HTTP {answer.status_code}")
        if not 200 <= answer.status_code < 300:
            raise NotSent(f"HTTP {answer.status_code}")
        if self._settings.expect:
            said = next(answer.iter_content(MAX_ANSWER, decode_unicode=False), b"")
            if self._settings.expect not in said.decode("utf-8", "replace"):
                raise NotSent("the answer has not the expected text")


def _as_written(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """The headers as the settings tell them: without this requests would put a .netrc's credentials in."""
    return request


def filled(template: Any, values: Mapping[str, str]) -> Any:
    """The template with its ``{places}`` filled in, at any depth; whoever sends it escapes."""
    if isinstance(template, Mapping):
        return {key: filled(inner, values) for key, inner in template.items()}
    if isinstance(template, list | tuple):
        return [filled(inner, values) for inner in template]
    if isinstance(template, str):
        return _PLACE.sub(lambda m: values.get(m[1], m[0]), template)
    return template


def unknown_places(template: Any) -> set[str]:
    """Places that nobody fills in."""
    if isinstance(template, Mapping):
        return set().union(*map(unknown_places, template.values()))
    if isinstance(template, list | tuple):
        return set().union(*map(unknown_places, template))
    return set(_PLACE.findall(template)) - PLACES if isinstance(template, str) else set()


def sender_of(settings: CodeSettings) -> Sender:
    """The configured one."""
    if settings.sender == HTTP:
        return Http(settings)
    return Console() if settings.sender == CONSOLE else Nobody()
