"""The exchange log: looking for messages, and one of them: what came, how we understood it, what we said."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import render_template, request

from adapters.contract import Link
from gateway.console import search
from gateway.console.door import NotThere, console, links, operator, page
from gateway.console.links import home
from gateway.console.rights import SEE_LINKS, SEE_PERSONAL
from gateway.console.texts import gettext as _
from gateway.console.understanding import understand
from gateway.console.words import kind_of
from gateway.exchange_log import Recorded, opened
from gateway.mask import mask, readable
from gateway.settings import LinkSettings
from processing import audit

# A message may have megabytes; who needs more of it than this replays it.
MAX_SHOWN = 16_000
MIN_REASON, MAX_REASON = 5, 200
MAX_ID = 2**63 - 1
FIRST_YEAR, LAST_YEAR = 2000, 9000


@page("/exchanges", SEE_LINKS)
def exchanges() -> Any:
    """Messages that fit, newest first."""
    asked, own = request.args, links()
    store, code = asked.get("store", ""), asked.get("link", "")
    seen = {each: settings for each, settings in own.items() if store in ("", settings.store) and code in ("", each)}
    zones = {console().zone(settings.store) for settings in seen.values()}
    zone = zones.pop() if len(zones) == 1 else home()
    since, until = _day(asked.get("from", "")), _day(asked.get("to", ""))
    wanted = search.Wanted(
        links=frozenset(seen),
        kind=asked.get("kind", ""),
        outcome=asked.get("outcome", "").strip()[:32],
        since=_begins(since, zone),
        until=_begins(until + timedelta(days=1), zone) if until else None,
        request_id=asked.get("request", "").strip()[: search.MAX_ID_CHARACTERS],
        before=_number(asked.get("before", "")),
    )
    with console().database.reading() as connection:
        found = search.search(connection, wanted)
        newest = None if found.rows or found.before else search.last_before(connection, frozenset(own))
    filters = {
        name: asked[name] for name in ("store", "link", "kind", "outcome", "from", "to", "request") if asked.get(name)
    }
    return render_template(
        "console/exchanges.html",
        found=found,
        newest=newest,
        filters=filters,
        own=own,
        stores=[each for each in console().settings.chain.stores if any(s.store == each.code for s in own.values())],
        zone=zone,
        zones={each: console().zone(settings.store) for each, settings in own.items()},
        since=since,
        until=until,
        kind_of=kind_of,
    )


def _day(text: str) -> date | None:
    """A day of which the log may know; None for anything else."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if FIRST_YEAR <= day.year <= LAST_YEAR else None


def _begins(day: date | None, zone: str) -> datetime | None:
    """The day's first instant in the zone."""
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC) if day else None


def _number(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_ID)) and int(text) <= MAX_ID
    return int(text) if is_number else None


@page("/exchanges/<exchange_id>", SEE_LINKS)
def exchange(exchange_id: str) -> Any:
    """One message, masked."""
    recorded, settings = recorded_of(exchange_id)
    return _shown(recorded, settings, masked=True)


@page("/exchanges/<exchange_id>/clear", SEE_PERSONAL, methods=("POST",))
def clear_exchange(exchange_id: str) -> Any:
    """The same in the clear: whoever wants it says why, and that is kept."""
    recorded, settings = recorded_of(exchange_id)
    if not tell_why(recorded, settings):
        problem = _("Say in a few words what you need it for.")
        return _shown(recorded, settings, masked=True, problem=problem), 422
    return _shown(recorded, settings, masked=False)


def tell_why(recorded: Recorded, settings: LinkSettings) -> bool:
    """Keep who looks at a message in the clear, and what for as their form says; without a reason nothing is kept."""
    reason = " ".join(request.form.get("reason", "").split())[:MAX_REASON]
    if len(reason) < MIN_REASON:
        return False
    own = console()
    with own.database.transaction() as connection:
        store = own.core.work.directory.stores[settings.store].id
        details = {"reason": reason, "link": recorded.link, "request": recorded.request_id}
        audit.record(
            connection,
            own.database,
            operator().actor,
            "personal_shown",
            store,
            f"exchange {recorded.id}",
            details,
        )
    return True


def recorded_of(exchange_id: str) -> tuple[Recorded, LinkSettings]:
    """Errors: NotThere, also for a message of a link that this person does not see."""
    own, number = links(), _number(exchange_id)
    with console().database.reading() as connection:
        row = None if number is None else search.one(connection, frozenset(own), number)
    if row is None:
        raise NotThere
    return opened(console().vault, row), own[row.link]


def _shown(recorded: Recorded, settings: LinkSettings, masked: bool, problem: str = "") -> str:
    zone, adapter = console().zone(settings.store), console().settings.adapter_of(settings)
    spoken = Link(recorded.link, settings.store, ZoneInfo(zone), settings.options)
    with console().database.reading() as connection:
        older, newer = search.neighbours(connection, recorded.link, recorded.id)
    return render_template(
        "console/exchange.html",
        recorded=recorded,
        settings=settings,
        adapter=adapter,
        zone=zone,
        head=text_of(recorded.request.head.encode("utf-8", "replace"), adapter.private, masked),
        request_text=text_of(recorded.request.body, adapter.private, masked),
        answer_text=text_of(recorded.answer, adapter.private, masked),
        understood=None if recorded.problem else understand(adapter, spoken, recorded, masked),
        kind=kind_of(recorded.outcome),
        masked=masked,
        problem=problem,
        older=older,
        newer=newer,
    )


def text_of(body: bytes, private: frozenset[str], masked: bool) -> str:
    """Masked as a whole and cut afterwards: half a number would no longer look like one."""
    return cut((mask(body, private) if masked else readable(body)).strip())


def cut(told: str) -> str:
    """As much of it as is shown, and how much more there is."""
    rest = len(told) - MAX_SHOWN
    return told[:MAX_SHOWN] + ("\n" + _("... and %(n)s more characters") % {"n": rest} if rest > 0 else "")
