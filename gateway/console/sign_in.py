"""Signing in and out, choosing a password, language and colours."""

from __future__ import annotations

from typing import Any

from flask import g, make_response, redirect, render_template, request, url_for

from gateway.console import operators, passwords, sessions, throttle
from gateway.console.door import (
    ANYBODY,
    FORM,
    NEWCOMER,
    PREFIX,
    SESSION,
    SIGNED_IN,
    console,
    cookie,
    operator,
    page,
    set_cookie,
    source,
)
from gateway.console.rights import LANGUAGES, THEMES
from gateway.console.texts import gettext as _
from gateway.console.words import age


@page("/sign-in", ANYBODY, methods=("GET", "POST"))
def sign_in() -> Any:
    """The form; a right name and password begin a session."""
    if request.method == "GET":
        return redirect(_onward(), 303) if g.operator else render_template("console/sign_in.html", name="", problem="")
    name, password = request.form.get("name", "").strip(), request.form.get("password", "")
    database, came_from = console().database, source()
    with database.transaction() as connection:
        now = database.now(connection)
        wait = throttle.wait(connection, name, came_from, now)
        if not wait:
            throttle.count(connection, name, came_from, now)
            row = operators.by_name(connection, name)
    if wait:
        text = _("Too many failures. Try again in %(age)s.") % {"age": age(wait)}
        response = make_response(render_template("console/sign_in.html", name=name, problem=text), 429)
        response.headers["Retry-After"] = str(int(wait.total_seconds()) + 1)
        return response
    if not passwords.is_right(password, row.password_hash if row else None) or row is None:
        text = _("Name or password is wrong.")
        return make_response(render_template("console/sign_in.html", name=name, problem=text), 401)
    if passwords.is_outdated(row.password_hash):
        operators.rehash(database, row.id, passwords.hashed(password))
    with database.transaction() as connection:
        throttle.succeeded(connection, name, came_from)
        token = sessions.begin(connection, row.id, came_from, database.now(connection))
    onward = redirect(_onward(), 303)
    set_cookie(onward, SESSION, token)
    set_cookie(onward, FORM, "")
    return onward


def _onward() -> str:
    """Where they wanted to go: a page of ours, whatever the address says."""
    wanted = request.values.get("next", "")
    return wanted if wanted.startswith(f"{PREFIX}/") and "\\" not in wanted else url_for("console.overview")


@page("/sign-out", NEWCOMER, methods=("POST",))
def sign_out() -> Any:
    sessions.end(console().database, cookie(SESSION))
    response = redirect(url_for("console.sign_in"), 303)
    set_cookie(response, SESSION, "")
    return response


@page("/password", NEWCOMER, methods=("GET", "POST"))
def password() -> Any:
    """Choose a password: the old one is asked for, and every other session ends."""
    if request.method == "GET":
        return render_template("console/password.html", problem="")
    own, database, came_from = operator(), console().database, source()
    old, new, again = (request.form.get(name, "") for name in ("old", "new", "again"))
    with database.transaction() as connection:
        now = database.now(connection)
        wait = throttle.wait(connection, own.name, came_from, now)
        if not wait:
            throttle.count(connection, own.name, came_from, now)
            row = operators.by_name(connection, own.name)
    if wait:
        return _again(_("Too many failures. Try again in %(age)s.") % {"age": age(wait)}, 429)
    if not passwords.is_right(old, row.password_hash if row else None):
        return _again(_("The present password is wrong."))
    problem = _problem(old, new, again, own.name)
    kept = "" if problem else passwords.hashed(new)
    with database.transaction() as connection:
        throttle.succeeded(connection, own.name, came_from)
        if not problem:
            operators.change_password(connection, database, own, kept)
            token = sessions.begin(connection, own.id, came_from, database.now(connection))
    if problem:
        return _again(problem)
    response = redirect(url_for("console.overview", done="password"), 303)
    set_cookie(response, SESSION, token)
    return response


def _again(problem: str, status: int = 422) -> Any:
    return make_response(render_template("console/password.html", problem=problem), status)


def _problem(old: str, new: str, again: str, name: str) -> str:
    if new != again:
        return _("The new password and its repetition differ.")
    if new == old:
        return _("The new password is the old one.")
    texts = {
        "short": _("The new password is too short: at least %(n)s characters.") % {"n": passwords.MIN_CHARACTERS},
        "long": _("The new password is too long: at most %(n)s characters.") % {"n": passwords.MAX_CHARACTERS},
        "name": _("The new password has your name in it."),
        None: "",
    }
    return texts[passwords.problem(new, name)]


@page("/view", SIGNED_IN, methods=("POST",))
def view() -> Any:
    """Language and colours."""
    language, theme = request.form.get("language", ""), request.form.get("theme", "")
    own = operator()
    operators.set_view(
        console().database,
        own,
        language if language in LANGUAGES else own.language,
        theme if theme in THEMES else own.theme,
    )
    return redirect(_onward(), 303)
