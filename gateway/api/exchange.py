"""The exchange log of a link: what its tills said and heard, masked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from marshmallow import Schema

from gateway import exchange_log
from gateway.api import cursors
from gateway.api import fields as f
from gateway.api.operations import next_cursor, question_of
from gateway.api.section import Section, client, rest
from gateway.exchange_log import Recorded
from gateway.mask import mask
from gateway.settings import LinkSettings
from processing.errors import NoSuchRoute, by_code

section = Section("exchange-log", "Messages of tills, as they came and as they were answered")

# A message may have megabytes, and a page has many of them.
MAX_SHOWN = 16_000
MAX_PAGE, DEFAULT_PAGE = 100, 20
OUTCOMES = ("ok", *sorted(by_code()))


class ExchangeQuerySchema(Schema):
    since = f.instant("only what came then or later")
    outcome = f.one_of(*OUTCOMES, describe="only ok, failed, or a refusal's code", example="card_not_found")
    cursor = f.cursor()
    limit = f.limit(MAX_PAGE, DEFAULT_PAGE)


class RecordedSchema(f.Told):
    at = f.told_at()
    request_id = f.told()
    route = f.told("the handler")
    outcome = f.told("ok, failed, or a refusal's code")
    status = f.told_whole("of HTTP")
    took_us = f.told_whole("microseconds")
    head = f.told("method, path without the secret, content type")
    reason = f.told("of bad_message and too_large: which element, and what was expected there; else empty")
    request = f.told("the body, masked")
    answer = f.told("the answer, masked")
    problem = f.told("why the message cannot be opened; empty")


class ExchangeLogSchema(f.Told):
    messages = f.told_some(RecordedSchema, "newest first")
    cursor = f.told("asks for the next page; empty on the last one")


@section.read("/links/<link>/exchange-log", ExchangeLogSchema, "exchange:read", ExchangeQuerySchema)
def read_exchange_log(asked: dict[str, Any], link: str) -> Any:
    """Read a page of a link's exchange log

    Newest first. Private fields, phones, card numbers and e-mails are masked whatever the scopes.
    """
    own = rest()
    settings = _link(link)
    question, limit = question_of(f"exchange-log {link}", asked), asked["limit"]
    behind = cursors.read(question, asked["cursor"])
    with own.database.reading() as connection:
        found = exchange_log.read(
            connection, own.vault, link, asked["since"], limit + 1, asked["outcome"] or None, behind
        )
    newest = found[::-1]
    private = rest().settings.adapter_of(settings).private
    told = [_told(recorded, private) for recorded in newest[:limit]]
    return {"messages": told, "cursor": next_cursor(question, list(newest), limit, "at")}


def _link(code: str) -> LinkSettings:
    """Errors: NoSuchRoute for no such link; Forbidden for one of another store."""
    settings = rest().settings.links.get(code)
    if settings is None:
        raise NoSuchRoute("no such link", link=code[:64])
    client().check_store(settings.store)
    return settings


def _told(recorded: Recorded, private: frozenset[str]) -> SimpleNamespace:
    request = recorded.request
    return SimpleNamespace(
        at=recorded.at,
        request_id=recorded.request_id,
        route=recorded.route,
        outcome=recorded.outcome,
        status=recorded.status,
        took_us=recorded.took_us,
        # The head as well: what a stranger tried there may be anything.
        head=_masked(request.head.encode("utf-8", "replace"), private) if not recorded.problem else "",
        reason=_masked(request.reason.encode(), private),
        request=_masked(request.body, private),
        answer=_masked(recorded.answer, private),
        problem=recorded.problem,
    )


def _masked(body: bytes, private: frozenset[str]) -> str:
    """Masked as a whole and cut afterwards: half a number would no longer look like one."""
    masked = mask(body, private).strip()
    rest_of = len(masked) - MAX_SHOWN
    return masked[:MAX_SHOWN] + (f"\n... and {rest_of} more characters" if rest_of > 0 else "")
