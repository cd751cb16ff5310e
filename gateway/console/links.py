"""The first page, the list of links, and one link: what is wrong, how bad, since when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import render_template, request

from adapters.registry import find
from gateway.console import figures
from gateway.console.door import console, link, links, page
from gateway.console.figures import Figures, Recent
from gateway.console.rights import SEE_LINKS
from gateway.console.words import BAD, BROKEN, NEW, PAUSED, RETRYING, STATES, WARN, WORKS, kind_of
from gateway.settings import LinkSettings

# What of the states wants somebody's attention.
TROUBLES = (BAD, BROKEN, RETRYING, WARN)


@dataclass(frozen=True, slots=True)
class Told:
    """A link as the pages tell it."""

    code: str
    settings: LinkSettings
    zone: str
    figures: Figures
    state: str

    @property
    def place(self) -> tuple[int, int, str]:
        """The worst first, then those with most errors."""
        return list(STATES).index(self.state), -self.figures.errors, self.code


def incoming(settings: LinkSettings, now: Figures) -> str:
    """What a link's last exchange says about it. Green only after one that was answered."""
    if not settings.enabled:
        return PAUSED
    if now.last is None:
        return NEW
    return {"ours": BAD, "theirs": WARN}.get(kind_of(now.last.outcome), WORKS)


def told_links(connection: Any, own: dict[str, LinkSettings], now: datetime) -> tuple[list[Told], Recent]:
    """These links, the worst first, and what was counted."""
    counted = figures.recent(connection, own, now)
    told = [
        Told(code, settings, console().zone(settings.store), counted.of(code), incoming(settings, counted.of(code)))
        for code, settings in own.items()
    ]
    return sorted(told, key=lambda each: each.place), counted


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
        by_state={state: [each for each in told if each.state == state] for state in STATES},
        home=home(),
        done=request.args.get("done", ""),
    )


def totals(told: Sequence[Told]) -> dict[str, int]:
    return {
        "exchanges": sum(each.figures.exchanges for each in told),
        "errors": sum(each.figures.errors for each in told),
        "refused": sum(each.figures.refused for each in told),
        "p95": max((each.figures.p95_us or 0 for each in told), default=0),
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
        bars = figures.day(connection, code, now)
        outcomes = figures.outcomes(connection, code, now)
    store = next(each for each in console().settings.chain.stores if each.code == settings.store)
    return render_template(
        "console/link.html",
        told=told,
        counted=counted,
        now=now,
        home=told.zone,
        bars=bars,
        outcomes=outcomes,
        store=store,
        adapter=find(settings.adapter),
        last_kind=kind_of(told.figures.last.outcome) if told.figures.last else "",
    )
