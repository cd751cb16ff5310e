"""The first page, the list of links, and one link: what is wrong, how bad, since when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import render_template, request

from gateway.console import figures
from gateway.console.door import console, link, links, operator, page
from gateway.console.figures import Bar, Figures, Recent
from gateway.console.lanes import state_of, why, worst
from gateway.console.rights import SEE_LINKS, sees_all
from gateway.console.words import BAD, BROKEN, FAILED, NEW, PAUSED, RETRYING, STATES, WARN, WORKS, kind_of
from gateway.settings import LinkSettings
from processing import steering
from processing.steering import Queue

# What of the states wants somebody's attention.
TROUBLES = (BAD, BROKEN, RETRYING, FAILED, WARN)


@dataclass(frozen=True, slots=True)
class Told:
    """A link as the pages tell it. ``incoming`` None: nobody comes in by it, and its figures are of what it sends;
    ``lanes``: what goes out of it; ``bars``: its last 24 hours, if anything was in them."""

    code: str
    settings: LinkSettings
    zone: str
    figures: Figures
    bars: tuple[Bar, ...]
    incoming: str | None
    lanes: tuple[Queue, ...]

    @property
    def state(self) -> str:
        own = () if self.incoming is None else (self.incoming,)
        return worst((*own, *map(state_of, self.lanes)))

    @property
    def last(self) -> tuple[str, datetime] | None:
        """(outcome, when) of what happened last, in or out."""
        found = [(self.figures.last.outcome, self.figures.last.at)] if self.figures.last else []
        for lane in self.lanes:
            if lane.last_success_at is not None:
                found.append(("delivered", lane.last_success_at))
            if lane.last_failure_at is not None:
                found.append((lane.last_error or "failed", lane.last_failure_at))
        return max(found, key=lambda each: each[1], default=None)

    @property
    def pending(self) -> int:
        return sum(lane.pending for lane in self.lanes)

    @property
    def dead(self) -> int:
        return sum(lane.dead for lane in self.lanes)

    @property
    def oldest_at(self) -> datetime | None:
        return min((lane.oldest_at for lane in self.lanes if lane.oldest_at), default=None)

    @property
    def place(self) -> tuple[int, int, int, str]:
        """The worst first, then those with most errors and dead letters."""
        return list(STATES).index(self.state), -self.dead, -self.figures.errors, self.code


def incoming(settings: LinkSettings, now: Figures) -> str | None:
    """What a link's last exchange says about it. Green only after one that was answered."""
    if not settings.enabled:
        return PAUSED
    if now.last is None:
        return NEW if console().settings.adapter_of(settings).routes else None
    return {"ours": BAD, "theirs": WARN}.get(kind_of(now.last.outcome), WORKS)


def told_links(connection: Any, own: Mapping[str, LinkSettings], now: datetime) -> tuple[list[Told], Recent]:
    """These links, the worst first, and what was counted."""
    asked, sent = figures.recent(connection, own, now), figures.sent(connection, own, now)
    lanes: dict[str, list[Queue]] = {}
    for lane in steering.queues(connection, console().database, list(own)):
        lanes.setdefault(lane.link, []).append(lane)
    told = []
    for code, settings in own.items():
        state = incoming(settings, asked.of(code))
        counted = sent if state is None else asked
        bars = tuple(counted.bars.get(code, ()))
        own_lanes = tuple(lanes.get(code, ()))
        zone = console().zone(settings.store)
        told.append(Told(code, settings, zone, counted.of(code), bars, state, own_lanes))
    return sorted(told, key=lambda each: each.place), asked


def gone_links() -> list[Queue]:
    """Queues with messages of links that no file names any more; nobody sends them. Only for who sees the whole chain:
    which store they were of is forgotten."""
    if not sees_all(operator()):
        return []
    known, database = console().settings.links, console().database
    with database.reading() as connection:
        every = steering.queues(connection, database)
    return [each for each in every if each.link not in known and (each.pending or each.dead)]


def seen(own: dict[str, LinkSettings]) -> tuple[list[Told], Recent, datetime]:
    database = console().database
    with database.reading() as connection:
        now = database.now(connection)
        return (*told_links(connection, own, now), now)


def home() -> str:
    """The zone in which a page of several stores tells its own time: that of the first of them."""
    stores = {each.store for each in links().values()}
    return next((each.zone for each in console().settings.chain.stores if each.code in stores), "UTC")


@page("/", SEE_LINKS)
def overview() -> Any:
    """What is wrong now, in a sentence; then figures; then the links, the worst first."""
    told, counted, now = seen(links())
    return render_template(
        "console/overview.html",
        told=told,
        counted=counted,
        now=now,
        totals=totals(told),
        oldest=min((each for each in told if each.oldest_at), key=lambda each: each.oldest_at or now, default=None),
        by_state={state: [each for each in told if each.state == state] for state in STATES},
        home=home(),
        bars=figures.together(each.bars for each in told if each.bars and each.incoming is not None),
        gone=gone_links(),
        done=request.args.get("done", ""),
    )


def totals(told: Sequence[Told]) -> dict[str, int]:
    """Of what waits everywhere, and of what tills have asked in the last hour."""
    asked = [each for each in told if each.incoming is not None]
    return {
        "exchanges": sum(each.figures.exchanges for each in asked),
        "errors": sum(each.figures.errors for each in asked),
        "refused": sum(each.figures.refused for each in asked),
        "pending": sum(each.pending for each in told),
        "dead": sum(each.dead for each in told),
        "p95": max((each.figures.p95_us or 0 for each in asked), default=0),
    }


@page("/links", SEE_LINKS)
def all_links() -> Any:
    """The links that fit the filter."""
    own, asked = links(), request.args
    store, state, text = asked.get("store", ""), asked.get("state", ""), asked.get("q", "").strip().lower()
    told, counted, now = seen(own)
    shown = [
        each
        for each in told
        if store in ("", each.settings.store)
        and (state in ("", each.state) or (state == "troubles" and each.state in TROUBLES))
        and (text in each.code.lower() or text in each.settings.store.lower() or text in each.settings.adapter)
    ]
    return render_template(
        "console/links.html",
        told=shown,
        total=len(told),
        counted=counted,
        now=now,
        home=home(),
        stores=[each for each in console().settings.chain.stores if any(s.store == each.code for s in own.values())],
        asked={"store": store, "state": state, "q": asked.get("q", "")},
    )


@page("/links/<code>", SEE_LINKS)
def one_link(code: str) -> Any:
    """One link: what it did last, its day, what came of its messages."""
    settings, database = link(code), console().database
    with database.reading() as connection:
        now = database.now(connection)
        (told,), counted = told_links(connection, {code: settings}, now)
        outcomes = figures.outcomes(connection, code, now, sends=told.incoming is None)
    store = next(each for each in console().settings.chain.stores if each.code == settings.store)
    return render_template(
        "console/link.html",
        told=told,
        counted=counted,
        now=now,
        home=told.zone,
        outcomes=outcomes,
        store=store,
        adapter=console().settings.adapter_of(settings),
        lanes=[(lane, state_of(lane), why(lane, now, told.zone)) for lane in told.lanes],
        last_kind=kind_of(told.figures.last.outcome) if told.figures.last else "",
    )
