"""Numbers, times and states in words: the same on every page, in the reader's language.

Times are those of a store, with the zone's name; numbers are whole. See shared rules in docs/console.md.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from babel.dates import get_timezone_location
from babel.numbers import format_decimal
from markupsafe import Markup

from adapters.texts import REFUSALS
from gateway.console.texts import gettext as _
from gateway.console.texts import language, mark
from processing.errors import Refusal, by_code

NBSP = "\N{NO-BREAK SPACE}"
NOTHING = "—"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

# Outcomes of the exchange log: what the rules have refused is an answer; of the rest somebody has to know.
OK = "ok"
OURS = frozenset({"failed", "busy", "error"})
ANSWERED = frozenset({OK, "link_paused", *(code for code, kind in by_code().items() if issubclass(kind, Refusal))})

# Outcomes of attempts to send that are no failure.
DELIVERED, NOT_YET = "delivered", "not_yet"
SENT = frozenset({DELIVERED, NOT_YET})

# What a link is doing, worst first: its mark, and its words.
BAD, BROKEN, RETRYING, FAILED, WARN = "bad", "broken", "retrying", "failed", "warn"
PAUSED, NEW, WORKS = "paused", "new", "works"
STATES = {
    BAD: mark("not responding"),
    BROKEN: mark("blocked by a message"),
    RETRYING: mark("retrying"),
    FAILED: mark("last try failed"),
    WARN: mark("turned away"),
    PAUSED: mark("paused"),
    NEW: mark("not set up yet"),
    WORKS: mark("works"),
}
# Icon and colour of each; the word always stands beside them.
LOOKS = {
    BAD: ("circle-x", "bad"),
    BROKEN: ("circle-x", "bad"),
    RETRYING: ("rotate-cw", "warn"),
    FAILED: ("triangle-alert", "warn"),
    WARN: ("triangle-alert", "warn"),
    PAUSED: ("circle-pause", "idle"),
    NEW: ("circle-dashed", "idle"),
    WORKS: ("circle-check", "ok"),
}


def kind_of(outcome: str) -> str:
    """``ok``, ``refused`` (the rules say no), ``ours`` (we have failed) or ``theirs`` (a message that is unfit).

    Of attempts: ``ok``, ``refused`` (not ready for it yet), ``ours`` (a bug) or ``theirs``.
    """
    if outcome in (OK, DELIVERED):
        return "ok"
    if outcome == NOT_YET:
        return "refused"
    if outcome in OURS:
        return "ours"
    return "refused" if outcome in ANSWERED else "theirs"


KINDS = {
    "ok": (mark("answered"), "ok"),
    "refused": (mark("refused by the rules"), "idle"),
    "theirs": (mark("not understood or not let in"), "warn"),
    "ours": (mark("our failure"), "bad"),
}


# What attempts to send come to, and what messages tell of. What tills were told has its words in adapters.texts.
OUTCOMES = {
    OK: mark("answered"),
    "failed": mark("failed here"),
    "busy": mark("busy"),
    "bad_message": mark("not understood"),
    "bad_credentials": mark("not let in"),
    "no_such_route": mark("unknown address"),
    "link_paused": mark("link paused"),
    DELIVERED: mark("delivered"),
    NOT_YET: mark("not ready yet"),
    "link_down": mark("no connection"),
    "link_refused": mark("refused by the far side"),
    "bad_reply": mark("an answer that nobody understands"),
    "lease_lost": mark("taken over by another worker"),
}
EVENTS = {
    "operation_posted": mark("operation booked"),
    "balance_changed": mark("balance changed"),
    "balance_below": mark("balance fell low"),
    "tier_changed": mark("tier changed"),
    "card_changed": mark("card changed"),
    "holder_changed": mark("holder changed"),
    "code_sent": mark("confirmation code"),
    "limit_exceeded": mark("limit exceeded"),
    "message_dead": mark("message given up"),
    "alert": mark("alert"),
}


def outcome_word(code: str) -> str:
    """An outcome in words, without what the cashier should do; the code itself where nobody has words for it."""
    if code in OUTCOMES:
        return _(OUTCOMES[code])
    told = REFUSALS.get(code, {}).get(language(), "")
    return code if not told or "{" in told else told.partition(". ")[0]


def event_word(kind: str) -> str:
    """What a message tells of, in words."""
    return _(EVENTS[kind]) if kind in EVENTS else kind


# Of a message in the outbox.
MESSAGE_STATES = {
    "pending": (mark("waiting"), "idle"),
    "dead": (mark("dead"), "bad"),
    "delivered": (mark("delivered"), "ok"),
    "cancelled": (mark("not sent"), "idle"),
}
ROLES = {
    "owner": mark("owner"),
    "operator": mark("operator"),
    "partner": mark("partner"),
    "observer": mark("observer"),
}


def number(value: int | None) -> str:
    if value is None:
        return NOTHING
    return format_decimal(value, locale=language()).replace("-", "\N{MINUS SIGN}")


def took(microseconds: int | None) -> str:
    """A duration, in milliseconds up to ten seconds."""
    if microseconds is None:
        return NOTHING
    if microseconds >= 10_000_000:
        return _("%(n)s s") % {"n": number(microseconds // 1_000_000)}
    if microseconds < 1_000:
        return _("< 1 ms")
    return _("%(n)s ms") % {"n": number(microseconds // 1_000)}


def age(span: timedelta) -> str:
    """How long, rounded down, on one line: 41 min."""
    return _age(span).replace(" ", NBSP)


def _age(span: timedelta) -> str:
    if span < MINUTE:
        return _("%(n)s s") % {"n": number(max(0, int(span.total_seconds())))}
    if span < HOUR:
        return _("%(n)s min") % {"n": number(span // MINUTE)}
    if span < 2 * DAY:
        return _("%(n)s h") % {"n": number(span // HOUR)}
    return _("%(n)s d") % {"n": number(span // DAY)}


def seconds(count: int) -> str:
    return age(timedelta(seconds=count))


def ago(at: datetime | None, now: datetime) -> str:
    if at is None:
        return NOTHING
    told = _("%(age)s ago") % {"age": age(now - at)} if at <= now else _("in %(age)s") % {"age": age(at - now)}
    return told.replace(" ", NBSP)


def lately(at: datetime | None, now: datetime) -> str:
    """How long ago, within a day; nothing after it: then the moment itself says more."""
    return ago(at, now) if at is not None and now - at < DAY else ""


def date_of(at: datetime, zone: str) -> str:
    local = at.astimezone(ZoneInfo(zone))
    return f"{local:%d.%m.%Y}" if language() == "ru" else f"{local.day} {local:%b %Y}"


def moment(at: datetime | None, zone: str) -> str:
    """Date and time of day in the zone, to the second."""
    if at is None:
        return NOTHING
    return f"{date_of(at, zone)}{NBSP}{at.astimezone(ZoneInfo(zone)):%H:%M:%S}"


def stamp(at: datetime | None, zone: str, shown: str = "") -> str | Markup:
    """The moment as an element that machines read too; ``shown`` stands there instead, and the moment on hover."""
    if at is None:
        return NOTHING
    told, iso = moment(at, zone), at.astimezone(UTC).isoformat(timespec="seconds")
    title = f"{told} {place(zone)}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(iso, title, shown or told)


def place(zone: str) -> str:
    """The zone by the name of its city: Moscow."""
    return get_timezone_location(zone, locale=language(), return_city=True)
