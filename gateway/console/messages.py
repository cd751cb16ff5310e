"""Messages of the outbox: dead letters by what they died of, one message with its story; send again, skip.

What is done to many goes by the filter and the greatest id that was on the screen: nothing newer is touched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec
from flask import redirect, render_template, request, url_for

from gateway.console.door import NotThere, console, link, links, operator, page
from gateway.console.exchanges import text_of
from gateway.console.lanes import has_failed_last
from gateway.console.queues import PAGE_ROWS, reason_given, store_id
from gateway.console.rights import ACT_ON_QUEUE, SEE_LINKS, SEE_PERSONAL
from gateway.console.texts import gettext as _
from gateway.console.understanding import PEOPLE
from gateway.delivery import opened
from processing import audit, steering
from processing.outbox import CANCELLED, DEAD, PENDING
from processing.secrets import SecretsError
from processing.steering import MAX_BULK, Filter, MessageNotFound, Shown, Tried

# In one go; whoever has more does it again.
MOST = 10_000
# Above this the number is typed, so that nobody does it by accident.
TYPED_ABOVE = 1_000
SAMPLES = 3
MAX_ID = 2**63 - 1

REQUEUE, SKIP = "requeue", "skip"


def _id(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_ID)) and int(text) <= MAX_ID
    return int(text) if is_number else None


def _wanted(asked: Any, upto: int | None = None) -> Filter:
    """The dead letters that a query or a form names, of links that this person sees."""
    own, code = links(), asked.get("link", "")
    seen = [each for each in own if code in ("", each)]
    return Filter(links=seen, state=DEAD, kind=asked.get("kind") or None, error=asked.get("error") or None, upto=upto)


def _filters(asked: Any) -> dict[str, str]:
    return {name: asked[name] for name in ("link", "error", "kind") if asked.get(name)}


@page("/dead", SEE_LINKS)
def dead() -> Any:
    """Dead letters: in groups, or those of the filter."""
    own, database, asked = links(), console().database, request.args
    wanted, filters = _wanted(asked), _filters(asked)
    before = _id(asked.get("before", ""))
    with database.reading() as connection:
        now = database.now(connection)
        lanes = {lane.link: lane for lane in steering.queues(connection, database, list(own)) if lane.way == "push"}
        groups = steering.groups(connection, list(own))
        number, upto = steering.count(connection, wanted)
        shown = steering.messages(connection, replace(wanted, before=before), PAGE_ROWS + 1) if filters else []
    return render_template(
        "console/dead.html",
        groups=groups,
        still={code: has_failed_last(lane) for code, lane in lanes.items()},
        zones={code: console().zone(settings.store) for code, settings in own.items()},
        found=shown[:PAGE_ROWS],
        before=shown[PAGE_ROWS - 1].id if len(shown) > PAGE_ROWS else None,
        number=number,
        upto=upto,
        filters=filters,
        now=now,
        done=asked.get("done", ""),
        count=asked.get("count", ""),
    )


@page("/dead/confirm", SEE_LINKS)
def confirm() -> Any:
    """What would be done to how many, with some of them."""
    return _confirmed(request.args)


def _confirmed(asked: Any, problem: str = "") -> Any:
    upto, action = _id(asked.get("upto", "")), asked.get("action", "")
    if upto is None or action not in (REQUEUE, SKIP):
        raise NotThere
    wanted = _wanted(asked, upto)
    with console().database.reading() as connection:
        number, newest = steering.count(connection, wanted)
        samples = steering.messages(connection, wanted, SAMPLES)
    return render_template(
        "console/confirm.html",
        action=action,
        number=number,
        at_once=min(number, MOST),
        is_typed=number > TYPED_ABOVE,
        samples=samples,
        filters=_filters(asked),
        upto=upto,
        newest=newest,
        zones={code: console().zone(settings.store) for code, settings in links().items()},
        problem=problem,
    )


@page("/dead/act", ACT_ON_QUEUE, methods=("POST",))
def act() -> Any:
    """Send again, or skip, all dead letters of the filter that were on the screen."""
    asked, upto, action = request.form, _id(request.form.get("upto", "")), request.form.get("action", "")
    if upto is None or action not in (REQUEUE, SKIP):
        raise NotThere
    wanted, reason = _wanted(asked, upto), reason_given()
    if action == SKIP and not reason:
        return _confirmed(asked, _("Say why, in a few words: others will read it.")), 422
    with console().database.reading() as connection:
        number, _newest = steering.count(connection, wanted)
    if number > TYPED_ABOVE and asked.get("typed", "").strip() != str(number):
        return _confirmed(asked, _("Type the number of messages, so that this is no accident.")), 422
    done = _act(wanted, action, reason)
    return redirect(url_for("console.dead", done=action, count=done), 303)


def _act(wanted: Filter, action: str, reason: str) -> int:
    """In bites of MAX_BULK, a transaction each; how many."""
    database, done = console().database, 0
    for _bite in range(MOST // MAX_BULK):
        with database.transaction() as connection:
            before = steering.count(connection, wanted)[0]
            changed = _change(connection, wanted, action, reason)
            if changed:
                of_one = len(wanted.links or ()) == 1
                target = (wanted.links or ("",))[0] if of_one else f"{len(wanted.links or ())} links"
                store = store_id(link(target)) if of_one else 0
                details = {"number": changed, "upto": str(wanted.upto), "error": wanted.error or "", "reason": reason}
                _record(connection, action, store, target, details)
        done += changed
        if not changed or before <= changed:
            break
    return done


def _change(connection: Any, wanted: Filter, action: str, reason: str) -> int:
    if action == REQUEUE:
        return steering.requeue(connection, console().database, wanted)
    return steering.skip(connection, console().database, wanted, operator().actor, reason)


def _record(connection: Any, action: str, store: int, target: str, details: dict[str, Any]) -> None:
    database = console().database
    if action == REQUEUE:
        audit.record(connection, database, operator().actor, "messages_requeued", store, target, details)
    else:
        audit.record(connection, database, operator().actor, "messages_skipped", store, target, details)


# One message -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """An attempt, opened."""

    tried: Tried
    request: str
    answer: str


@page("/messages/<message_id>", SEE_LINKS)
def message(message_id: str) -> Any:
    """A message and every attempt at it, masked."""
    return _shown(_message(message_id), masked=True)


@page("/messages/<message_id>/clear", SEE_PERSONAL, methods=("POST",))
def clear_message(message_id: str) -> Any:
    """The same in the clear: whoever wants it says why, and that is kept."""
    told, reason = _message(message_id), reason_given()
    if not reason:
        return _shown(told, masked=True, problem=_("Say in a few words what you need it for.")), 422
    database = console().database
    with database.transaction() as connection:
        details = {"reason": reason, "link": told.link}
        store = store_id(link(told.link))
        audit.record(connection, database, operator().actor, "personal_shown", store, f"message {told.id}", details)
    return _shown(told, masked=False)


@page("/messages/<message_id>/requeue", ACT_ON_QUEUE, methods=("POST",))
def requeue_message(message_id: str) -> Any:
    return _done_to(_message(message_id), REQUEUE, "")


@page("/messages/<message_id>/skip", ACT_ON_QUEUE, methods=("POST",))
def skip_message(message_id: str) -> Any:
    told, reason = _message(message_id), reason_given()
    if not reason:
        return _shown(told, masked=True, problem=_("Say why, in a few words: others will read it.")), 422
    return _done_to(told, SKIP, reason)


def _done_to(told: Shown, action: str, reason: str) -> Any:
    """Do it to this message alone, if it is still there to be done to."""
    wanted = Filter(links=[told.link], ids=[told.id])
    with console().database.transaction() as connection:
        changed = _change(connection, wanted, action, reason)
        if changed:
            details = {"number": 1, "message": str(told.id), "reason": reason}
            _record(connection, action, store_id(link(told.link)), told.link, details)
    if not changed:
        text = _("Nothing was changed: it is delivered, skipped or under way by now.")
        return _shown(_message(str(told.id)), masked=True, problem=text), 409
    return redirect(url_for("console.message", message_id=told.id, done=action), 303)


def _message(text: str) -> Shown:
    """Errors: NotThere, also for a message to a link that this person does not see."""
    number = _id(text)
    try:
        with console().database.reading() as connection:
            told = steering.message(connection, number if number is not None else -1)
    except MessageNotFound:
        raise NotThere from None
    link(told.link)
    return told


def _shown(told: Shown, masked: bool, problem: str = "") -> str:
    settings = link(told.link)
    private = console().settings.adapter_of(settings).private | PEOPLE
    with console().database.reading() as connection:
        tried = steering.attempts(connection, told)
        lanes = [lane for lane in steering.queues(connection, console().database, [told.link]) if lane.way == "push"]
        now = console().database.now(connection)
    return render_template(
        "console/message.html",
        told=told,
        zone=console().zone(settings.store),
        now=now,
        body=text_of(msgspec.json.format(told.body, indent=2), private, masked),
        story=[Told(each, *(_kept(part, private, masked) for part in (each.request, each.answer))) for each in tried],
        is_head=any(told.id in (lane.head_id, lane.blocked_by) for lane in lanes),
        can_requeue=told.state == DEAD,
        can_skip=told.state in (DEAD, PENDING),
        is_skipped=told.state == CANCELLED,
        masked=masked,
        problem=problem,
        done=request.args.get("done", ""),
    )


def _kept(part: bytes | None, private: frozenset[str], masked: bool) -> str:
    """What was said or heard in an attempt."""
    try:
        return text_of(opened(console().vault, part), private, masked)
    except SecretsError as error:
        return str(error)
