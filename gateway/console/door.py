"""The door of the pages: who is it, may they, did their own form send this; what a browser is told in any case.

Every page is declared by ``page`` with the verb that it needs. What is not declared is not there, and a page without
a verb says so. Writes are POSTs with the form's token; GETs change nothing (a session remembers when it was seen).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import structlog
from flask import Blueprint, Flask, Response, current_app, g, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from gateway.console import sessions
from gateway.console.rights import Operator, links_of
from gateway.console.texts import gettext as _
from gateway.settings import LinkSettings, Settings
from processing.database import Database, is_retryable, sqlstate, trace
from processing.errors import Busy, ConfigError, LoyaltyError
from processing.execute import Core
from processing.secrets import Vault

PREFIX = "/console"
MAX_FORM = 64 << 10

# Instead of a verb: whoever comes; whoever has signed in; whoever has, even if they must choose a password first.
ANYBODY, SIGNED_IN, NEWCOMER = "anybody", "signed in", "newcomer"

SESSION, FORM = "tillgate-session", "tillgate-form"
# A browser takes a cookie of this name only over TLS, from this very host, for all of it.
HOST_ONLY = "__Host-"
FORWARDED = "X-Forwarded-Proto"

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
STATIC_SECONDS = int(timedelta(days=365).total_seconds())

log = structlog.get_logger()

blueprint = Blueprint(
    "console",
    __name__,
    url_prefix=PREFIX,
    template_folder="templates",
    static_folder="static",
    static_url_path="/static",
)
# The verb of every page, by endpoint.
NEEDED: dict[str, str] = {"static": ANYBODY}
# Those that only write.
WRITES: set[str] = set()


@dataclass(frozen=True)
class Console:
    """What the pages work with."""

    settings: Settings
    database: Database
    vault: Vault
    core: Core

    def zone(self, store: str) -> str:
        return next(each.zone for each in self.settings.chain.stores if each.code == store)


class Denied(Exception):
    """Somebody may not do this. ``why`` is told on the page."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


class NotThere(Exception):
    """There is no such thing, or not for this person."""


def console() -> Console:
    found: Console = current_app.extensions["tillgate-console"]
    return found


def operator() -> Operator:
    """Who has signed in."""
    found: Operator = g.operator
    return found


def links() -> dict[str, LinkSettings]:
    """The links that this person sees."""
    return dict(links_of(operator(), console().settings))


def link(code: str) -> LinkSettings:
    """One of them. Errors: NotThere, the same for a link of others and for none."""
    found = links().get(code)
    if found is None:
        raise NotThere
    return found


View = Callable[..., Any]


def page(rule: str, verb: str, methods: tuple[str, ...] = ("GET",)) -> Callable[[View], View]:
    """Declare a page and what it takes to open it."""

    def declare(view: View) -> View:
        NEEDED[view.__name__] = verb
        if "GET" not in methods:
            WRITES.add(view.__name__)
        blueprint.add_url_rule(rule, view_func=view, methods=list(methods))
        return view

    return declare


# Cookies -----------------------------------------------------------------------------------------------------


def _is_from_here() -> bool:
    """Whether the connection itself comes from this machine: a browser, or a proxy that may tell for whom it asks."""
    try:
        return ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def is_bare() -> bool:
    """Plain HTTP inside one machine: no TLS that could protect a cookie, and nobody to protect it from."""
    host = request.host.rpartition(":")[0] if request.host.rpartition(":")[2].isdigit() else request.host
    return _is_from_here() and FORWARDED not in request.headers and host in ("localhost", "127.0.0.1", "[::1]")


def source() -> str:
    """From where they come: what a proxy on this machine says last, or the connection."""
    told = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip() if _is_from_here() else ""
    return (told or request.remote_addr or "")[:64]


def cookie(name: str) -> str:
    return request.cookies.get(name if is_bare() else HOST_ONLY + name, "")


def set_cookie(response: BaseResponse, name: str, value: str) -> None:
    """For this browser's session; an empty value takes it away."""
    bare = is_bare()
    full = name if bare else HOST_ONLY + name
    if value:
        response.set_cookie(full, value, secure=not bare, httponly=True, samesite="Lax", path="/")
    else:
        response.delete_cookie(full, secure=not bare, httponly=True, samesite="Lax", path="/")


# Every request -----------------------------------------------------------------------------------------------


@blueprint.before_request
def guard() -> Any:
    """Who is it, may they, is it their own form."""
    request.max_content_length = MAX_FORM
    token = cookie(SESSION)
    g.operator = sessions.find(console().database, token) if token and _has_pages() else None
    # PostgreSQL's texts have no NUL, and nobody means one.
    if any("\0" in value for _name, value in request.values.items(multi=True)):
        raise NotThere
    needed = NEEDED.get((request.endpoint or "").removeprefix("console."), "nobody")
    if request.method not in ("GET", "HEAD", "OPTIONS"):
        check_form()
    if needed == ANYBODY:
        return None
    if g.operator is None:
        return redirect(url_for("console.sign_in", next=_here() or None), 303)
    if needed == NEWCOMER:
        return None
    if g.operator.must_change:
        return redirect(url_for("console.password"), 303)
    if needed != SIGNED_IN and not g.operator.may(needed):
        raise Denied
    return None


def _has_pages() -> bool:
    return request.endpoint != "console.static"


def _here() -> str:
    """Where to go on after signing in: only what can be asked for again."""
    return request.full_path.rstrip("?") if request.method == "GET" and request.path != f"{PREFIX}/" else ""


def form_token() -> str:
    """What this browser's forms carry: of its session, or before that of a cookie that is set with the form."""
    own = cookie(SESSION) if g.operator is not None else _form_cookie()
    return sessions.form_token(own)


def _form_cookie() -> str:
    if "form_cookie" not in g:
        g.form_cookie = cookie(FORM) or secrets.token_urlsafe(sessions.TOKEN_BYTES)
    made: str = g.form_cookie
    return made


def check_form() -> None:
    """Errors: Denied for a form that is not ours, or of a session that is over."""
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    own = cookie(SESSION) if g.operator is not None else cookie(FORM)
    given = request.form.get("csrf", "")
    if (
        site not in ("same-origin", "none")
        or not own
        or not hmac.compare_digest(given.encode("utf-8", "replace"), sessions.form_token(own).encode())
    ):
        raise Denied(_("This form is out of date. Nothing was changed. Open the page again and repeat."))


@blueprint.after_request
def finish(response: Response) -> Response:
    response.headers.update(HEADERS)
    if _has_pages():
        response.headers["Cache-Control"] = "no-store"
        response.headers["Vary"] = "Cookie"
    elif response.status_code == 200:
        response.headers["Cache-Control"] = f"public, max-age={STATIC_SECONDS}, immutable"
    if "form_cookie" in g and not cookie(FORM):
        set_cookie(response, FORM, g.form_cookie)
    if request.is_secure or request.headers.get(FORWARDED) == "https":
        response.headers["Strict-Transport-Security"] = f"max-age={STATIC_SECONDS}"
    return response


# What goes wrong ---------------------------------------------------------------------------------------------


def told(status: int, title: str, text: str) -> Response:
    """A page that says what happened, that nothing changed, and what to do."""
    g.setdefault("operator", None)
    return make_response(render_template("console/problem.html", title=title, text=text, status=status), status)


@blueprint.errorhandler(Denied)
def denied(error: Denied) -> Response:
    return told(403, _("Not allowed"), error.why or _("Your role does not include this. Ask the owner for the right."))


@blueprint.errorhandler(NotThere)
def not_there(_error: NotThere) -> Response:
    return told(404, _("Not found"), _("There is no such page, or it is not yours to see. Start from the overview."))


@blueprint.errorhandler(Exception)
def failed(error: Exception) -> Any:
    if isinstance(error, HTTPException):
        if error.code == 413:
            return told(413, _("Too long"), _("What you sent is too long. Nothing was changed."))
        if error.code == 405:
            return told(405, _("Not found"), _("This page cannot be opened in this way. Start from the overview."))
        return not_there(NotThere()) if error.code in (404, 400) else error
    if isinstance(error, Busy) or is_retryable(error):
        return told(503, _("Busy"), _("The server is busy. Nothing was changed. Repeat in a few seconds."))
    if isinstance(error, LoyaltyError | ConfigError):
        log.warning("console_refused", endpoint=request.endpoint, reason=type(error).__name__)
    log.error("console_failed", endpoint=request.endpoint, reason=sqlstate(error), trace=trace(error))
    return told(
        500,
        _("This did not work"),
        _("The server has failed here. Its log says why. Repeat, or tell support the time."),
    )


@page("/<path:rest>", ANYBODY, methods=("GET", "POST"))
def nowhere(rest: str) -> Any:
    raise NotThere


def install(app: Flask, own: Console) -> None:
    app.extensions["tillgate-console"] = own
