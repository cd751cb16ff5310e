"""Pages of operators under /console/: ``install`` puts them into the application. docs/console.md is their guide."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask, url_for

from gateway.console import door, exchanges, links, messages, queues, sign_in, texts, trials, words
from gateway.console.door import Console
from gateway.console.rights import ACT_ON_QUEUE, LANGUAGES, SEE_LINKS, SEE_PERSONAL, THEMES
from gateway.settings import Settings
from processing.database import Database
from processing.execute import Core
from processing.secrets import Vault

STATIC = Path(__file__).parent / "static"

# Every module here declares pages.
PAGES = (sign_in, links, exchanges, queues, messages, trials)


@cache
def static_url(name: str) -> str:
    """A file's address, another one for every content, so that it may be kept for ever."""
    version = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return url_for("console.static", filename=name, v=version)


def install(app: Flask, settings: Settings, database: Database, vault: Vault, core: Core) -> None:
    """The pages, and what their templates may say."""
    door.install(app, Console(settings, database, vault, core))
    app.jinja_env.add_extension("jinja2.ext.i18n")
    i18n: Any = app.jinja_env
    i18n.install_gettext_callables(texts.gettext, texts.ngettext, newstyle=True)
    app.jinja_env.filters.update(_filters())
    app.register_blueprint(door.blueprint)


def made_at() -> str:
    """Now, as a page that is printed tells it."""
    zone = links.home()
    return f"{words.moment(door.console().database.host_clock(), zone)} ({words.place(zone)})"


def _filters() -> dict[str, Callable[..., Any]]:
    names = (
        "number",
        "took",
        "age",
        "ago",
        "lately",
        "moment",
        "stamp",
        "place",
        "seconds",
        "outcome_word",
        "event_word",
    )
    return {name: getattr(words, name) for name in names}


@door.blueprint.context_processor
def _known() -> dict[str, Any]:
    """What every template knows."""
    return {
        "static_url": static_url,
        "language": texts.language(),
        "form_token": door.form_token,
        "languages": LANGUAGES,
        "themes": THEMES,
        "states": words.STATES,
        "looks": words.LOOKS,
        "kinds": words.KINDS,
        "roles": words.ROLES,
        "message_words": {name: text for name, (text, _) in words.MESSAGE_STATES.items()},
        "message_looks": {name: look for name, (_, look) in words.MESSAGE_STATES.items()},
        "made_at": made_at,
        "see_links": SEE_LINKS,
        "act_on_queue": ACT_ON_QUEUE,
        "see_personal": SEE_PERSONAL,
    }
