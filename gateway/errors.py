"""Refusals and failures as HTTP: one table from error code to status, and RFC 9457 problem documents.

A problem has the stable ``code`` of processing/errors.py, a ``detail`` for people in Russian or English, a
``message`` for integrators, ``details`` with amounts in major units, and for unfit requests ``errors`` with the
path of every field. ``type`` leads to ``/api/errors/<code>``, which tells the same without a case at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from adapters.texts import ENGLISH, LANGUAGES, code_text, text
from processing.database import is_retryable, sqlstate, trace
from processing.directory import Directory
from processing.errors import (
    BadMessage,
    Busy,
    Failed,
    LoyaltyError,
    NoSuchRoute,
    TooLarge,
    by_code,
)
from processing.units import major

STATUS: dict[str, int] = {
    "error": 500,
    "refused": 409,
    "card_not_found": 404,
    "card_not_active": 409,
    "card_blocked": 409,
    "card_expired": 409,
    "card_closed": 409,
    "card_status_wrong": 409,
    "card_number_taken": 409,
    "product_not_found": 404,
    "insufficient_points": 409,
    "limit_exceeded": 409,
    "unit_not_found": 404,
    "receipt_not_found": 404,
    "already_voided": 409,
    # The request has to be changed, as for any unfit one (draft-ietf-httpapi-idempotency-key-header, 2.7).
    "key_reused": 422,
    "phone_taken": 409,
    "holder_exists": 409,
    "bad_amount": 422,
    "return_exceeds": 409,
    "operation_not_found": 404,
    "hold_not_found": 404,
    "hold_ended": 409,
    "hold_expired": 409,
    "same_wallet": 409,
    "wallet_merging": 409,
    "not_gift_card": 409,
    "range_full": 409,
    "pin_required": 409,
    "wrong_pin": 409,
    "pin_locked": 409,
    "holder_not_found": 404,
    "wrong_code": 409,
    "code_expired": 409,
    "too_many_codes": 429,
    "adjustment_not_found": 404,
    "second_person_needed": 403,
    "foreign_store": 404,
    "bad_message": 422,
    "too_large": 413,
    "busy": 503,
    "failed": 500,
    "bad_credentials": 401,
    "forbidden": 403,
    "rate_limited": 429,
    "no_such_route": 404,
    "link_paused": 503,
}

# What is said otherwise to who builds a client than to who stands at a till.
TEXTS: dict[str, dict[str, str]] = {
    "bad_message": {
        "ru": "Запрос составлен неверно. Подробности в поле message",
        "en": "The request does not fit. The field message tells why",
    },
    "too_large": {"ru": "Запрос слишком велик. Разделите его", "en": "The request is too large. Split it"},
    "bad_credentials": {
        "ru": "Ключ API не указан, неизвестен или отозван",
        "en": "The API key is missing, unknown or revoked",
    },
    "foreign_store": {"ru": "Такой торговой точки нет", "en": "There is no such store"},
    "no_such_route": {"ru": "Такого адреса или метода нет", "en": "There is no such address or method"},
    "key_reused": {
        "ru": "Этот ключ уже использован для запроса с другим содержанием",
        "en": "This key was used for a request with other content",
    },
}

PROBLEM = "application/problem+json"
# Seconds after which a request that met Busy may be repeated.
RETRY_SECONDS = 1
MAX_ERRORS = 50
# All commands of a batch fit.
MAX_MESSAGE = 1_000
# Nothing of these is told: they are bugs of ours.
_SILENT = ("error", "failed")
_AMOUNTS = ("available", "limit", "asked")
_THOUSANDTHS = 3

# Scale of a unit by its code; None for an unknown one.
Scales = Callable[[str], int | None]


def scale_of(directory: Directory) -> Scales:
    """The scales of the chain's units."""
    return lambda code: directory.units[code].scale if code in directory.units else None


log = structlog.get_logger()


@dataclass(frozen=True)
class FieldError:
    """What is wrong with a field: its path, such as ``receipt.lines.0.sum``, and words for the integrator."""

    field: str
    message: str


class Refused(Exception):
    """A request that is answered with a problem: the error, and what HTTP says beyond it.

    ``status`` 0 takes the table's; ``texts`` replace the code's own text, by language.
    """

    def __init__(
        self,
        error: LoyaltyError,
        status: int = 0,
        errors: Iterable[FieldError] = (),
        texts: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(error.code)
        self.error = error
        self.status = status or STATUS[error.code]
        self.errors = tuple(errors)[:MAX_ERRORS]
        self.texts = texts or {}


def unfit(messages: Any) -> Refused:
    """The refusal of a request whose fields do not fit; ``messages`` are nested as marshmallow tells them."""
    errors = [FieldError(".".join(map(str, path)), text[:MAX_MESSAGE]) for path, text in _flat(messages, ())]
    names = ", ".join(error.field for error in errors[:3] if error.field)
    return Refused(BadMessage(f"the request does not fit: {names}" if names else "the request does not fit"), 0, errors)


def _flat(messages: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(messages, dict):
        for key, inner in messages.items():
            yield from _flat(inner, path if key == "_schema" else (*path, key))
    elif isinstance(messages, list):
        for inner in messages:
            yield from _flat(inner, path)
    else:
        yield path, str(messages)


def title(code: str) -> str:
    """The code as words: ``Card not found``."""
    return code.replace("_", " ").capitalize()


def problem(refused: Refused, language: str, scales: Scales) -> dict[str, Any]:
    """The problem document."""
    error = refused.error
    told: dict[str, Any] = {
        "type": f"/api/errors/{error.code}",
        "title": title(error.code),
        "status": refused.status,
        "detail": (refused.texts or TEXTS.get(error.code, {})).get(language) or text(_scaled(error, scales), language),
        "code": error.code,
    }
    if error.code in _SILENT:
        return told
    told["message"] = error.message
    if error.details:
        told["details"] = dict(_details(error, scales))
    if refused.errors:
        told["errors"] = [{"field": one.field, "message": one.message} for one in refused.errors]
    return told


def _scaled(error: LoyaltyError, scales: Scales) -> LoyaltyError:
    """The error with the scale of its amounts among the details, which the text needs."""
    details = dict(error.details)
    scale = scales(str(details.get("unit", "")))
    if "scale" in details or scale is None:
        return error
    return type(error)(error.message, **{**details, "scale": scale})


def _details(error: LoyaltyError, scales: Scales) -> Iterator[tuple[str, Any]]:
    """Amounts as decimal texts in major units, quantities in pieces; the rest as it is."""
    details = _scaled(error, scales).details
    scale = details.get("scale")
    for name, value in details.items():
        if error.code == "return_exceeds" and name in ("left", "asked") and isinstance(value, int):
            yield name, major(value, _THOUSANDTHS)
        elif name in _AMOUNTS and isinstance(value, int) and isinstance(scale, int):
            yield name, major(value, scale)
        elif name != "scale":
            yield name, value


def headers(refused: Refused) -> dict[str, str]:
    """What HTTP wants beside the status: when to come again, and how to sign in."""
    if refused.status == 401:
        return {"WWW-Authenticate": 'Bearer realm="tillgate"'}
    if refused.status in (429, 503):
        return {"Retry-After": str(refused.error.details.get("retry_seconds", RETRY_SECONDS))}
    return {}


def language() -> str:
    """The language in which the caller wants to read."""
    return request.accept_languages.best_match(LANGUAGES) or ENGLISH


def as_refused(error: Exception) -> Refused:
    """Whatever was raised, as what the caller is told."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, LoyaltyError):
        # The core names the field in its details.
        where = str(error.details.get("where", "")) if isinstance(error, BadMessage) else ""
        return Refused(error, errors=[FieldError(where, error.message)] if where else ())
    if is_retryable(error):
        return Refused(Busy("the database cannot be used now, repeat"))
    return Refused(Failed())


_BY_STATUS: dict[int, type[LoyaltyError]] = {404: NoSuchRoute, 405: NoSuchRoute, 413: TooLarge, 500: Failed}


def _of_http(error: HTTPException) -> Refused:
    """What werkzeug has refused: no such page, wrong method, too large."""
    status = error.code or 500
    fitting = _BY_STATUS.get(status, BadMessage if status < 500 else Failed)
    return Refused(fitting(error.name), status)


def install(app: Flask, scales: Scales) -> None:
    """Answer every exception of the application with a problem document."""

    def respond(refused: Refused, more: Mapping[str, str]) -> Response:
        tongue = language()
        body = msgspec.json.encode(problem(refused, tongue, scales))
        answer = Response(body, refused.status, content_type=PROBLEM)
        answer.headers.extend({"Content-Language": tongue, **headers(refused), **more})
        return answer

    @app.errorhandler(HTTPException)
    def http_problem(error: HTTPException) -> Response:
        # 405 tells which methods there are, 416 and 429 likewise.
        kept = [(name, value) for name, value in error.get_headers() if name.lower() not in ("content-type",)]
        return respond(_of_http(error), dict(kept))

    @app.errorhandler(Exception)
    def any_problem(error: Exception) -> Response:
        refused = as_refused(error)
        if isinstance(refused.error, Failed) and not isinstance(error, Refused | LoyaltyError):
            log.error("request_failed", endpoint=request.endpoint, reason=sqlstate(error), trace=trace(error))
        return respond(refused, {})

    @app.get("/api/errors/<code>")
    def error_page(code: str) -> Response:
        """What a code means, for whoever follows a problem's ``type``."""
        if code not in by_code():
            raise NoSuchRoute("no such error")
        texts = TEXTS.get(code) or {tongue: code_text(code, tongue) for tongue in LANGUAGES}
        told = {"code": code, "title": title(code), "status": STATUS[code], "texts": texts}
        return Response(msgspec.json.encode(told), content_type="application/json")
