"""Queues of links, and what may be done to one: pause until, resume, try now."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flask import redirect, render_template, request, url_for

from gateway.console.door import console, link, links, operator, page
from gateway.console.lanes import state_of, why
from gateway.console.links import gone_links, home, seen
from gateway.console.rights import ACT_ON_QUEUE, SEE_LINKS
from gateway.console.texts import gettext as _
from gateway.console.words import NEW
from gateway.settings import LinkSettings
from processing import audit, steering
from processing.steering import Filter, MessageNotFound

PAGE_ROWS = 50
MAX_REASON, MIN_REASON = 200, 3
# For how long a link may be paused from the page.
PAUSES = (15, 60, 240, 1440, 7 * 1440)
STATES = ("pending", "dead", "delivered", "cancelled")


def reason_given() -> str:
    """Why, in one line; empty when nothing sensible was said."""
    reason = " ".join(request.form.get("reason", "").split())[:MAX_REASON]
    return reason if len(reason) >= MIN_REASON else ""


def store_id(settings: LinkSettings) -> int:
    return console().core.work.directory.stores[settings.store].id


@page("/queues", SEE_LINKS)
def queues() -> Any:
    """What goes out of every link: how much waits, how old it is, and why."""
    told, counted, now = seen(links())
    lanes = [
        (each, lane, state_of(lane), why(lane, now, each.zone))
        for each in told
        for lane in each.lanes
        if lane.pending or lane.dead or state_of(lane) != NEW or lane.way == "push"
    ]
    gone = gone_links()
    return render_template("console/queues.html", lanes=lanes, counted=counted, now=now, home=home(), gone=gone)


@page("/links/<code>/queue", SEE_LINKS)
def queue(code: str) -> Any:
    """The messages of one link, newest first, and its head."""
    return shown(code)


def shown(code: str, problem: str = "") -> Any:
    settings, asked = link(code), request.args
    state = asked.get("state", "pending")
    before = asked.get("before", "")
    zone = console().zone(settings.store)
    database = console().database
    wanted = Filter(
        links=[code],
        state=state if state in STATES else None,
        before=int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None,
    )
    with database.reading() as connection:
        now = database.now(connection)
        lanes = steering.queues(connection, database, [code])
        found = steering.messages(connection, wanted, PAGE_ROWS + 1)
        head = _head(connection, lanes)
    return render_template(
        "console/queue.html",
        code=code,
        settings=settings,
        zone=zone,
        lanes=[(lane, state_of(lane), why(lane, now, zone)) for lane in lanes],
        found=found[:PAGE_ROWS],
        before=found[PAGE_ROWS - 1].id if len(found) > PAGE_ROWS else None,
        head=head,
        state=state,
        message_states=STATES,
        pauses=PAUSES,
        problem=problem,
        now=now,
        done=asked.get("done", ""),
        number=asked.get("number", ""),
    )


def _head(connection: Any, lanes: list[steering.Queue]) -> steering.Shown | None:
    """The message that is next, or behind which the others wait."""
    wanted = next((lane.blocked_by or lane.head_id for lane in lanes if lane.blocked_by or lane.head_id), None)
    try:
        return steering.message(connection, wanted) if wanted is not None else None
    except MessageNotFound:
        return None


@page("/links/<code>/pause", ACT_ON_QUEUE, methods=("POST",))
def pause(code: str) -> Any:
    """Send nothing to the link for a while; the pause ends by itself."""
    settings, reason, minutes = link(code), reason_given(), request.form.get("minutes", "")
    if not reason:
        return shown(code, _("Say why, in a few words: others will read it.")), 422
    if minutes not in map(str, PAUSES):
        return shown(code, _("Choose for how long.")), 422
    database = console().database
    with database.transaction() as connection:
        until: datetime = database.now(connection) + timedelta(minutes=int(minutes))
        steering.pause(connection, code, until, operator().name, reason)
        details = {"until": until.isoformat(timespec="seconds"), "reason": reason}
        audit.record(connection, database, operator().actor, "queue_paused", store_id(settings), code, details)
    return redirect(url_for("console.queue", code=code, done="paused"), 303)


@page("/links/<code>/resume", ACT_ON_QUEUE, methods=("POST",))
def resume(code: str) -> Any:
    """End the pause, and try at once; without a pause only that."""
    settings, database = link(code), console().database
    with database.transaction() as connection:
        steering.resume(connection, code)
        audit.record(connection, database, operator().actor, "queue_resumed", store_id(settings), code, {})
    return redirect(url_for("console.queue", code=code, done="resumed"), 303)
