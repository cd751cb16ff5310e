"""Signing in: who may, for how long, and what guessing costs."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import select

from gateway.console import operators, passwords, sessions, throttle
from processing import audit, retention, tables
from processing.errors import ConfigError
from tests.pages.world import PASSWORD, World
from tests.processing.books import StillClock

NEW = "another long password"


def test_only_name_and_password_together_begin_a_session(world: World) -> None:
    visitor = world.visitor()
    assert visitor.get("/console/links").status_code == 303
    for name, password in (("olga", "wrong password"), ("nobody", PASSWORD), ("", ""), ("olga", "x" * 5000)):
        assert visitor.sign_in(name, password).status_code == 401
    assert visitor.get("/console/links").status_code == 303
    answer = visitor.sign_in("olga", next="/console/links")
    assert (answer.status_code, answer.location) == (303, "/console/links")
    assert visitor.get("/console/links").status_code == 200


def test_signing_in_leads_nowhere_else(world: World) -> None:
    for wanted in ("https://evil.example/", "//evil.example", "/\\evil", "/console/\\evil", "/api/docs", ""):
        assert world.visitor().sign_in("olga", next=wanted).location == "/console/"


def test_an_unknown_name_and_a_wrong_password_are_told_alike(
    dear_passwords: None, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same text, and the same work: a verification each."""
    verified: list[str] = []
    verify = passwords._hasher.verify

    class Counting:
        def verify(self, kept: str, password: str) -> bool:
            verified.append(kept)
            return verify(kept, password)

        def hash(self, password: str) -> str:
            return PASSWORD

        def check_needs_rehash(self, kept: str) -> bool:
            return False

    passwords._nobodys()
    monkeypatch.setattr(passwords, "_hasher", Counting())
    texts = []
    for name in ("olga", "nobody"):
        body = world.visitor().sign_in(name, "wrong password").get_data(as_text=True)
        texts.append(body.replace(name, "").partition('role="alert"')[2].partition("</p>")[0])
    assert texts[0] == texts[1] != ""
    assert len(verified) == 2
    assert all(kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for kept in verified)


def test_no_more_than_four_passwords_are_verified_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now, most, lock = 0, 0, threading.Lock()

    class Slow:
        def verify(self, _kept: str, _password: str) -> bool:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.02)
            with lock:
                now -= 1
            return True

    monkeypatch.setattr(passwords, "_hasher", Slow())
    threads = [threading.Thread(target=passwords.is_right, args=("x", "kept")) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == passwords.AT_ONCE


def test_a_session_slides_and_ends(world: World, clock: StillClock) -> None:
    visitor = world.signed_in("olga")
    steps = int(sessions.LONGEST / timedelta(minutes=50))
    for _ in range(steps):
        clock.at += timedelta(minutes=50)
        assert visitor.get("/console/links").status_code == 200
    clock.at += timedelta(minutes=50)
    assert visitor.get("/console/links").status_code == 303  # twelve hours, however busy
    other = world.signed_in("olga")
    clock.at += sessions.IDLE
    assert other.get("/console/links").status_code == 303


def test_signing_out_and_suspending_end_sessions_at_once(world: World) -> None:
    visitor, other = world.signed_in("olga"), world.signed_in("vera")
    assert visitor.post("/console/sign-out").status_code == 303
    assert visitor.get("/console/links").status_code == 303
    operators.suspend(world.database, "test", "vera")
    assert other.get("/console/links").status_code == 303
    assert other.sign_in("vera").status_code == 401
    operators.set_password(world.database, "test", "vera", NEW)
    assert other.sign_in("vera", NEW).status_code == 303


def test_changing_the_password_ends_all_other_sessions(world: World) -> None:
    here, elsewhere = world.signed_in("olga"), world.signed_in("olga")
    for old, new, again in (("wrong", NEW, NEW), (PASSWORD, "short", "short"), (PASSWORD, NEW, "other")):
        assert here.post("/console/password", old=old, new=new, again=again).status_code == 422
    assert here.post("/console/password", old=PASSWORD, new="my olga secret", again="my olga secret").status_code == 422
    assert here.post("/console/password", old=PASSWORD, new=NEW, again=NEW).status_code == 303
    assert here.get("/console/links").status_code == 200
    assert elsewhere.get("/console/links").status_code == 303
    assert elsewhere.sign_in("olga").status_code == 401
    assert elsewhere.sign_in("olga", NEW).status_code == 303


def test_a_one_time_password_leads_to_a_choice_and_nowhere_else(world: World) -> None:
    given = operators.set_password(world.database, "test", "vera")
    visitor = world.visitor()
    assert visitor.sign_in("vera", given).status_code == 303
    assert visitor.get("/console/links").location == "/console/password"
    assert visitor.post("/console/password", old=given, new=NEW, again=NEW).status_code == 303
    assert visitor.get("/console/links").status_code == 200


def test_a_password_made_with_other_parameters_is_kept_anew(dear_passwords: None, world: World) -> None:
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    with world.database.transaction() as connection:
        row = operators.by_name(connection, "olga")
    assert row is not None
    operators.rehash(world.database, row.id, weak)
    world.signed_in("olga")
    with world.database.reading() as connection:
        kept = connection.execute(select(tables.operator.c.password_hash).where(tables.operator.c.name == "olga"))
        assert kept.scalar_one().startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_guessing_becomes_slow_and_never_impossible(world: World, clock: StillClock) -> None:
    """From one place: free tries, then waits that grow to a bound; the right password helps when a wait is over."""
    visitor, waits = world.visitor(), []
    for _ in range(throttle.PAIR.free + 14):
        assert visitor.sign_in("olga", "wrong password").status_code == 401
        refused = visitor.sign_in("olga")
        if refused.status_code == 429:
            waits.append(int(refused.headers["Retry-After"]))
            assert visitor.sign_in("nobody at all").status_code in (401, 429)
            clock.at += timedelta(seconds=waits[-1])
        else:
            assert refused.status_code == 303
            assert visitor.post("/console/sign-out").status_code == 303
            break
    assert not waits  # a right password in between begins anew
    for _ in range(throttle.PAIR.free):
        assert visitor.sign_in("olga", "wrong password").status_code == 401
    for _ in range(14):
        refused = visitor.sign_in("olga", "wrong password")
        assert refused.status_code == 429
        waits.append(int(refused.headers["Retry-After"]))
        clock.at += timedelta(seconds=waits[-1])
        assert visitor.sign_in("olga", "wrong password").status_code == 401
    assert waits == sorted(waits)
    assert waits[-1] <= throttle.PAIR.longest.total_seconds() + 1
    clock.at += throttle.PAIR.longest
    assert visitor.sign_in("olga").status_code == 303


def test_guessing_at_one_name_does_not_keep_its_owner_out(world: World, clock: StillClock) -> None:
    """From elsewhere a name waits for seconds at most."""
    now = clock.at
    with world.database.transaction() as connection:
        for n in range(500):
            throttle.count(connection, "olga", f"10.0.0.{n}", now)
        assert throttle.wait(connection, "olga", "192.0.2.1", now) <= throttle.NAME.longest
        assert throttle.wait(connection, "olga", "10.0.0.1", now + throttle.NAME.longest) == timedelta(0)
        assert throttle.wait(connection, "vera", "192.0.2.1", now) == timedelta(0)


def test_what_was_typed_as_a_name_is_not_kept(world: World) -> None:
    world.visitor().sign_in("my-secret-by-mistake", "x")
    with world.database.reading() as connection:
        subjects = connection.execute(select(tables.sign_in_failure.c.subject)).scalars().all()
    assert subjects
    assert all(len(subject) == 64 and "secret" not in subject for subject in subjects)


def test_the_source_is_told_by_a_proxy_on_this_machine_only(world: World) -> None:
    def source(peer: str, **headers: str) -> str:
        visitor = world.visitor(**headers)
        visitor.client.environ_base["REMOTE_ADDR"] = peer
        assert visitor.sign_in("olga").status_code == 303
        with world.database.reading() as connection:
            newest = select(tables.session.c.source).order_by(
                tables.session.c.created_at.desc(), tables.session.c.source
            )
            found = set(connection.execute(newest).scalars())
        with world.database.transaction() as connection:
            connection.execute(tables.session.delete())
        return str(found.pop())

    told = {"X-Forwarded-For": "198.51.100.9, 203.0.113.7", "X-Forwarded-Proto": "https"}
    assert source("127.0.0.1") == "127.0.0.1"
    assert source("127.0.0.1", **told) == "203.0.113.7"


def test_cookies_are_for_this_host_and_for_scripts_of_nobody(world: World) -> None:
    bare = world.visitor()
    plain = bare.sign_in("olga").headers.getlist("Set-Cookie")
    assert any(cookie.startswith("tillgate-session=") and "HttpOnly" in cookie for cookie in plain)
    behind = world.visitor(**{"X-Forwarded-Proto": "https"})
    behind.client.environ_base["wsgi.url_scheme"] = "https"
    cookies = behind.client.get("/console/sign-in", headers=behind.headers, base_url="https://tillgate.example")
    (form,) = cookies.headers.getlist("Set-Cookie")
    assert form.startswith("__Host-tillgate-form=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(form.split("; "))
    assert "Domain" not in form


def test_a_token_in_the_database_opens_nothing(world: World) -> None:
    visitor = world.signed_in("olga")
    cookie = visitor.client.get_cookie("tillgate-session")
    assert cookie is not None
    with world.database.reading() as connection:
        kept = connection.execute(select(tables.session.c.token_sha256)).scalars().all()
    assert kept == [sessions.digest(cookie.value)]
    assert cookie.value.encode() not in kept[0]


def test_old_sessions_and_failures_are_thrown_away(world: World, clock: StillClock) -> None:
    world.signed_in("olga")
    world.visitor().sign_in("olga", "wrong password")
    assert retention.prune_sign_ins(world.database) == 0
    clock.at += sessions.LONGEST + retention.KEEP_SESSIONS + timedelta(seconds=1)
    assert retention.prune_sign_ins(world.database) == 1 + 3
    assert retention.prune_sign_ins(world.database) == 0


def test_what_is_done_to_people_is_audited(world: World) -> None:
    operators.suspend(world.database, "cli", "vera")
    given = operators.set_password(world.database, "cli", "vera")
    visitor = world.visitor()
    visitor.sign_in("vera", given)
    visitor.post("/console/password", old=given, new=NEW, again=NEW)
    with world.database.reading() as connection:
        assert [each.actor for each in audit.changes(connection, "operator_added", "vera")] == ["test"]
        assert len(audit.changes(connection, "operator_suspended", "vera")) == 1
        assert [each.actor for each in audit.changes(connection, "operator_password", "vera")] == [
            "cli",
            "console/vera",
        ]
        assert not list(audit.broken(connection))


UNFIT: list[tuple[dict[str, object], str]] = [
    ({"name": "a b"}, "expected up to 40"),
    ({"name": "olga"}, "take another name"),
    ({"role": "ownr"}, "did you mean"),
    ({"role": "partner"}, "part of the chain"),
    ({"stores": ["nowhere"]}, "no store"),
    ({"partners": ["nobody"]}, "no partner"),
    ({"language": "de"}, "no language"),
    ({"password": "short"}, "too short"),
    ({"password": "is-newcomer-right"}, "has the name"),
]


def test_unfit_people_are_refused(world: World) -> None:
    for changes, why in UNFIT:
        told: dict[str, object] = {"name": "newcomer", "role": "owner", **changes}
        with pytest.raises(ConfigError, match=why):
            operators.add(world.database, "test", **told)  # type: ignore[arg-type]
