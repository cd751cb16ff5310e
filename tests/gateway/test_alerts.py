"""Alerts: told once when they begin, once when they end, in whatever order things happen, and to whom they shall."""

from __future__ import annotations

import smtplib
from dataclasses import replace
from email.message import EmailMessage
from typing import Any

import msgspec
import pytest

from gateway import alerts
from gateway.alerts import DEAD, OLDEST_MINUTES, AlertRule, AlertSettings, MailSettings
from processing.events import ALERT, Subscription
from tests.gateway.test_delivery import Desk, cards, desk

__all__ = ["desk"]

RULES = (AlertRule(OLDEST_MINUTES, 30), AlertRule(DEAD, 0))
PLAIN = AlertSettings(RULES)
WATCH = Subscription("watch", frozenset({ALERT}))


def watch(desk: Desk, settings: AlertSettings = PLAIN) -> int:
    work = desk.books.core.work
    return alerts.watch(desk.books.database, settings, (*work.subscriptions, WATCH), work.stamps)


def told(desk: Desk) -> list[tuple[str, str, int]]:
    bodies = [msgspec.json.decode(row.body) for row in desk.rows() if row.kind == ALERT]
    assert all(row.link == "watch" for row in desk.rows() if row.kind == ALERT)
    return [(body["when"], body["state"], body["value"]) for body in bodies]


def test_a_queue_that_waits_too_long_is_told_once_and_its_end_too(desk: Desk) -> None:
    desk.delivery.run_once()
    cards(desk.books, 2)
    assert watch(desk) == 0
    desk.later(minutes=31)
    assert watch(desk) == 1 and watch(desk) == 0
    desk.later(minutes=31)
    assert watch(desk) == 0
    assert told(desk) == [("oldest_minutes", "begun", 31)]
    desk.delivery.run_once()
    assert watch(desk) == 1 and watch(desk) == 0
    assert told(desk)[1:] == [("oldest_minutes", "over", 0)]


def test_what_begins_again_is_told_again(desk: Desk) -> None:
    for _ in range(2):
        cards(desk.books, 1)
        desk.far.script = [422]
        desk.delivery.run_once()
        assert watch(desk) == 1
        desk.books.rows("SELECT 1")
        with desk.books.database.transaction() as connection:
            from processing import steering

            steering.skip(connection, desk.books.database, steering.Filter(state="dead"), "me", "old")
        assert watch(desk) == 1
    assert [state for _, state, _ in told(desk)] == ["begun", "over", "begun", "over"]


def test_rules_of_other_links_do_not_hold(desk: Desk) -> None:
    cards(desk.books, 1)
    desk.far.script = [422]
    desk.delivery.run_once()
    assert watch(desk, AlertSettings((AlertRule(DEAD, 0, ("other",)),))) == 0
    assert watch(desk, AlertSettings((AlertRule(DEAD, 1),))) == 0


class Server:
    """A mail server in the place of smtplib's."""

    sent: list[EmailMessage]

    def __init__(self, *_: Any, **__: Any) -> None:
        self.is_secure = False

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def starttls(self, context: object) -> None:
        self.is_secure = True

    def login(self, user: str, secret: str) -> None:
        assert self.is_secure and secret == "a secret"

    def send_message(self, message: EmailMessage) -> None:
        assert self.is_secure
        type(self).sent.append(message)


def test_alerts_are_mailed_and_tried_again_when_that_fails(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    mail = MailSettings("mail.example.org", 587, "me", "a secret", "t@example.org", ("on-call@example.org",))
    settings = AlertSettings(RULES, mail)
    cards(desk.books, 1)
    desk.far.script = [422]
    desk.delivery.run_once()

    def fails(*_: Any, **__: Any) -> None:
        raise OSError("away")

    monkeypatch.setattr(smtplib, "SMTP", fails)
    with pytest.raises(OSError, match="away"):
        watch(desk, settings)
    assert told(desk) == [], "neither is the event kept"
    Server.sent = []
    monkeypatch.setattr(smtplib, "SMTP", Server)
    assert watch(desk, settings) == 1 and watch(desk, settings) == 0
    (message,) = Server.sent
    assert message["To"] == "on-call@example.org" and "dead letters 1" in message.get_content()
    assert "a secret" not in repr(replace(mail))
