"""Alerts: rules about queues, told once when they begin to hold and once when they end, to webhooks and by e-mail.

A rule looks at what the queues stand at (processing/steering.py). That it has been told is a row of ``chore``,
written in the same transaction as the messages, after the mail: a restart tells nothing twice.
"""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage

from sqlalchemy import Connection, delete, insert, select

from processing import outbox, steering, tables
from processing.database import Database
from processing.events import ALERT, Event, Stamps, Subscription, row
from processing.steering import Queue

OLDEST_MINUTES, DEAD, FAILURES, PENDING = "oldest_minutes", "dead", "failures", "pending"
WHAT = (OLDEST_MINUTES, DEAD, FAILURES, PENDING)
PREFIX = "alert:"
MAIL_SECONDS = 15
MAX_LINES = 200


@dataclass(frozen=True, slots=True)
class AlertRule:
    """``above``: it holds for a queue whose figure is greater; ``links`` empty: for all."""

    when: str
    above: int
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MailSettings:
    """The mail server; without ``host`` nothing is mailed. Always over TLS, from the begin or by STARTTLS."""

    host: str = ""
    port: int = 587
    user: str = ""
    secret: str = field(default="", repr=False)
    sender: str = ""
    to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AlertSettings:
    rules: tuple[AlertRule, ...] = ()
    mail: MailSettings = MailSettings()


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule that has begun to hold for a queue, or holds no more."""

    rule: AlertRule
    queue: Queue
    value: int
    is_over: bool = False

    @property
    def link(self) -> str:
        return self.queue.link

    @property
    def name(self) -> str:
        """By what it is known that it was told."""
        told = f"{self.rule.when}>{self.rule.above} {self.link} {self.queue.way}"
        return PREFIX + hashlib.sha256(told.encode()).hexdigest()[:40]

    def text(self) -> str:
        """In Russian and English."""
        ru, en = WORDS[self.rule.when]
        state_ru, state_en = ("снова в норме", "is over") if self.is_over else ("тревога", "alert")
        figures = f"{self.value} (> {self.rule.above})"
        return f"{self.link}: {state_ru}: {ru} {figures} / {state_en}: {en} {figures}"


WORDS = {
    OLDEST_MINUTES: ("старейшее сообщение ждёт, минут", "minutes that the oldest message waits"),
    DEAD: ("недоставленных сообщений", "dead letters"),
    FAILURES: ("неудач подряд", "failures in a row"),
    PENDING: ("сообщений в очереди", "messages that wait"),
}


def holding(rules: Sequence[AlertRule], queues: Sequence[Queue], now: datetime) -> Iterator[Alert]:
    """Every rule that holds for a queue now."""
    for rule in rules:
        for queue in queues:
            value = figure(rule.when, queue, now)
            if value > rule.above and (not rule.links or queue.link in rule.links):
                yield Alert(rule, queue, value)


def figure(when: str, queue: Queue, now: datetime) -> int:
    if when == OLDEST_MINUTES:
        return int((now - queue.oldest_at).total_seconds() // 60) if queue.oldest_at else 0
    return int({DEAD: queue.dead, FAILURES: queue.failures, PENDING: queue.pending}[when])


def watch(database: Database, settings: AlertSettings, subscriptions: Sequence[Subscription], stamps: Stamps) -> int:
    """Tell what has begun and what has ended; how many. Errors: OSError, SMTPException; then nothing is told.

    No transaction waits for the mail server. Of two workers that look in the same moment both may mail.
    """
    if not settings.rules:
        return 0
    with database.reading() as connection:
        news, gone = _changes(connection, database, settings.rules)
    if news and settings.mail.host:
        send(settings.mail, [alert.text() for alert in news])
    if news or gone:
        with database.transaction() as connection:
            _remember(connection, news, gone, now := database.now(connection))
            _enqueue(connection, news, subscriptions, stamps, now)
    return len(news)


def _changes(connection: Connection, database: Database, rules: Sequence[AlertRule]) -> tuple[list[Alert], set[str]]:
    """What has begun or ended and is not told yet, and the names of all that holds no more."""
    now = database.now(connection)
    queues = steering.queues(connection, database)
    held = {alert.name: alert for alert in holding(rules, queues, now)}
    told = _told(connection)
    over = [Alert(rule, each, figure(rule.when, each, now), True) for rule in rules for each in queues]
    news = [alert for name, alert in held.items() if name not in told]
    news += [alert for alert in over if alert.name in told and alert.name not in held]
    return news, told - held.keys()


def _remember(connection: Connection, news: Sequence[Alert], gone: set[str], now: datetime) -> None:
    if gone:
        connection.execute(delete(tables.chore).where(tables.chore.c.name.in_(gone)))
    begun = [{"name": alert.name, "done_until": now} for alert in news if not alert.is_over]
    if begun:
        connection.execute(insert(tables.chore), begun)


def _told(connection: Connection) -> set[str]:
    names = connection.execute(select(tables.chore.c.name).where(tables.chore.c.name.startswith(PREFIX)))
    return {each[0] for each in names}


def _enqueue(
    connection: Connection,
    news: Sequence[Alert],
    subscriptions: Sequence[Subscription],
    stamps: Stamps,
    now: datetime,
) -> None:
    rows = []
    for alert in news:
        body = {
            "link": alert.link,
            "when": alert.rule.when,
            "above": alert.rule.above,
            "value": alert.value,
            "state": "over" if alert.is_over else "begun",
            "text": alert.text(),
        }
        for each in subscriptions:
            # A link that fails is not told of itself: that would make it worse.
            if ALERT in each.kinds and each.link != alert.link:
                rows.append(row(stamps.take(now), each.link, Event(ALERT, "", body), now))
    outbox.put(connection, rows)


def send(mail: MailSettings, lines: Sequence[str]) -> None:
    """One mail with all of it. Errors: OSError, smtplib.SMTPException."""
    message = EmailMessage()
    message["Subject"] = f"tillgate: {lines[0]}"[:200]
    message["From"], message["To"] = mail.sender, ", ".join(mail.to)
    message.set_content("\n".join(lines[:MAX_LINES]))
    context = ssl.create_default_context()
    if mail.port == smtplib.SMTP_SSL_PORT:
        server: smtplib.SMTP = smtplib.SMTP_SSL(mail.host, mail.port, timeout=MAIL_SECONDS, context=context)
    else:
        server = smtplib.SMTP(mail.host, mail.port, timeout=MAIL_SECONDS)
    try:
        if mail.port != smtplib.SMTP_SSL_PORT:
            server.starttls(context=context)
        if mail.user:
            server.login(mail.user, mail.secret)
        server.send_message(message)
        server.quit()
    finally:
        # Without a word where something has failed: a server that was left in the middle would not answer it.
        server.close()
