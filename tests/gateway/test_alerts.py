"""Alerts: told once when they begin, once when they end, in whatever order things happen, and to whom they shall."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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


class AnyPort(Controller):
    """Takes a port that is free: its own look whether it runs asks for one that is told."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@dataclass
class MailServer:
    """A real one. It takes mail only from whoever has signed in, and lets sign in only over TLS."""

    context: ssl.SSLContext | None
    sent: list[tuple[list[str], EmailMessage]] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[int]:
        """The port, while it runs."""
        told = {"tls_context": self.context, "require_starttls": True} if self.context else {}
        controller = AnyPort(
            self, "127.0.0.1", 0, ready_timeout=30, authenticator=self.knows, auth_required=True, **told
        )
        controller.start()
        try:
            yield controller.port
        finally:
            controller.stop()

    def knows(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"me", b"a secret"), handled=False)

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        assert session.ssl is not None and isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        self.sent.append((envelope.rcpt_tos, message))
        return "250 OK"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key, and a certificate that it has signed for this machine's own address."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("mail") / "mail.pem"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(pem))
    return path


def secured(certificate: Path) -> MailServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return MailServer(context)


MAIL = MailSettings("127.0.0.1", 0, "me", "a secret", "t@example.org", ("on-call@example.org", "boss@example.org"))


def test_alerts_are_mailed_and_tried_again_when_that_fails(
    desk: Desk, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards(desk.books, 1)
    desk.far.script = [422]
    desk.delivery.run_once()
    server = secured(certificate)
    with server.running() as port:
        settings = AlertSettings(RULES, replace(MAIL, port=port))
        with pytest.raises(ssl.SSLCertVerificationError):
            watch(desk, settings)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with pytest.raises(smtplib.SMTPAuthenticationError):
            watch(desk, replace(settings, mail=replace(settings.mail, secret="another")))
        assert told(desk) == [] and server.sent == [], "neither is the event kept"
        assert watch(desk, settings) == 1 and watch(desk, settings) == 0
    ((to, message),) = server.sent
    assert to == ["on-call@example.org", "boss@example.org"] and message["From"] == "t@example.org"
    assert "недоставленных сообщений 1" in message.get_content() and "crm: тревога" in message["Subject"]
    assert "a secret" not in repr(MAIL)
    with pytest.raises(OSError):
        alerts.send(replace(MAIL, port=port), ["nobody listens there any more"])


def test_no_mail_goes_over_a_line_that_is_not_secured() -> None:
    server = MailServer(None)
    with server.running() as port, pytest.raises(smtplib.SMTPNotSupportedError):
        alerts.send(replace(MAIL, port=port), ["a"])
    assert server.sent == []
