"""Who sees and does what: verbs on every page, scopes on every address, forms that only we can have sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import func, select
from werkzeug.routing import Rule

from gateway.console import door
from gateway.console.rights import ACT_ON_QUEUE, ROLES, SEE_LINKS, SEE_PERSONAL, VERBS
from processing import audit, tables
from processing.database import Database
from tests.pages.world import CARD, GONE, LINKS, PEOPLE, PHONE, SEEN, World

PUBLIC = {door.ANYBODY, door.SIGNED_IN, door.NEWCOMER}


def rules(app: Flask) -> list[Rule]:
    return [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("console.")]


def needed(rule: Rule) -> str:
    return door.NEEDED[rule.endpoint.removeprefix("console.")]


def addresses(world: World, rule: Rule, links: set[str] | None = None) -> Iterator[str]:
    """The rule's addresses with every link, exchange and message of these links in them."""
    for code in sorted(LINKS):
        if links is not None and code not in links:
            continue
        ids = {
            "code": [code],
            "exchange_id": world.exchanges.get(code, [])[-2:],
            "message_id": world.messages.get(code, []),
        }
        (name,) = rule.arguments & ids.keys()
        for value in ids[name]:
            yield rule.rule.replace(f"<{name}>", str(value))


def has_thing(rule: Rule) -> bool:
    return bool(rule.arguments & {"code", "exchange_id", "message_id"})


def test_every_page_says_what_it_takes(world: World) -> None:
    for rule in rules(world.app):
        assert needed(rule) in PUBLIC | VERBS.keys(), rule.endpoint
        if needed(rule) == door.ANYBODY:
            assert rule.endpoint in ("console.sign_in", "console.static", "console.nowhere")
        if rule.methods and "GET" not in rule.methods:
            assert needed(rule) != SEE_LINKS, f"{rule.endpoint} writes with the right to read"


def test_no_page_opens_to_a_stranger(busy: World) -> None:
    stranger = busy.visitor()
    for rule in rules(busy.app):
        if needed(rule) == door.ANYBODY:
            continue
        for address in list(addresses(busy, rule))[:2] if has_thing(rule) else [rule.rule]:
            if "GET" in (rule.methods or ()):
                assert stranger.get(address).location.startswith("/console/sign-in"), address
            else:
                assert stranger.client.post(address).status_code == 403, address


@pytest.mark.parametrize("name", sorted(SEEN))
def test_nobody_reaches_what_is_outside_of_their_scope(busy: World, name: str) -> None:
    """Every address with a link, exchange or message of others is as if it were not there; lists do not have them."""
    visitor, others = busy.signed_in(name), LINKS.keys() - SEEN[name]
    token, before = visitor.token("/console/password"), state(busy.database)
    tried = 0
    for rule in rules(busy.app):
        if not has_thing(rule):
            continue
        for address in addresses(busy, rule, set(others)):
            if "GET" in (rule.methods or ()):
                answer = visitor.get(address)
            else:
                fields = {"csrf": token, "reason": "because of this", "minutes": "60"}
                answer = visitor.client.post(address, data=fields)
            assert answer.status_code == 404, address
            tried += 1
    assert tried > 30
    assert state(busy.database) == before
    for rule in rules(busy.app):
        if has_thing(rule) or "GET" not in (rule.methods or ()) or rule.arguments:
            continue
        for query in (
            "",
            *(f"?link={code}" for code in sorted(others)),
            "?store=alpha-1",
            "?link=crm-moscow&error=link_refused",
        ):
            text = visitor.get(rule.rule + query).get_data(as_text=True).replace("alpha-1", "")
            links = {
                code
                for code in others
                if f'/console/links/{code}"' in text or (f">{code}<" in text and code not in query)
            }
            assert links == set(), rule.rule + query
            ids = [str(each) for code in others for each in busy.exchanges.get(code, []) + busy.messages.get(code, [])]
            assert not [each for each in ids if f'/exchanges/{each}"' in text or f'/messages/{each}"' in text]


def test_what_is_done_to_all_is_done_to_ones_own(busy: World) -> None:
    """A partner who requeues everything requeues what is theirs."""
    visitor = busy.signed_in("pavel")
    upto = str(max(busy.messages["crm-moscow"] + busy.messages["crm-almaty"]))
    for link in ("", "crm-moscow"):
        visitor.post("/console/dead/act", action="requeue", upto=upto, link=link)
    message = tables.outbox_message.c
    with busy.database.reading() as connection:
        dead = select(message.link, func.count()).where(message.state == "dead").group_by(message.link)
        assert dict(connection.execute(dead).all()) == {"crm-moscow": 3, GONE: 1}


def state(database: Database) -> list[int]:
    """What pages may change, except when a session was seen."""
    message, lane = tables.outbox_message.c, tables.outbox_lane.c
    with database.reading() as connection:
        return [
            *(
                connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (tables.audit, tables.operator)
            ),
            connection.execute(select(func.count()).where(message.state == "dead")).scalar_one(),
            connection.execute(select(func.count()).where(lane.paused_until.is_not(None))).scalar_one(),
        ]


def test_a_role_does_what_its_verbs_say_and_the_page_offers_nothing_else(busy: World) -> None:
    observer, operator = busy.signed_in("vera"), busy.signed_in("oscar")
    exchange, dead = busy.exchanges["moscow"][-1], busy.messages["crm-moscow"][1]
    token, before = observer.token("/console/password"), state(busy.database)
    for rule in rules(busy.app):
        if needed(rule) not in (ACT_ON_QUEUE, SEE_PERSONAL):
            continue
        address = next(iter(addresses(busy, rule, {"crm-moscow", "moscow"}))) if has_thing(rule) else rule.rule
        assert observer.client.post(address, data={"csrf": token, "reason": "because"}).status_code == 403, address
    assert state(busy.database) == before
    offers = ("/clear", "/requeue", "/skip", "/pause", "/resume", "/dead/act", "/dead/confirm")
    for page in (
        f"/console/exchanges/{exchange}",
        f"/console/messages/{dead}",
        "/console/links/crm-moscow/queue",
        "/console/dead?link=crm-moscow",
    ):
        own = observer.get(page)
        assert own.status_code == 200
        assert not [offer for offer in offers if offer in own.get_data(as_text=True)], page
        assert [offer for offer in offers if offer in operator.get(page).get_data(as_text=True)], page


def test_roles_are_bundles_of_verbs_that_exist() -> None:
    assert {verb for verbs in ROLES.values() for verb in verbs} == VERBS.keys()
    assert {told["role"] for told in PEOPLE.values()} == ROLES.keys()


def test_a_form_of_nobody_changes_nothing(busy: World) -> None:
    """Without the token, with another session's, or from another site."""
    visitor, other = busy.signed_in("olga"), busy.signed_in("oscar")
    address, before = f"/console/messages/{busy.messages['crm-moscow'][1]}/requeue", state(busy.database)
    token, foreign = visitor.token("/console/password"), other.token("/console/password")
    for given in ("", "0" * 64, foreign, "ё"):
        assert visitor.client.post(address, data={"csrf": given}).status_code == 403
    cross = {"Sec-Fetch-Site": "cross-site"}
    assert visitor.client.post(address, data={"csrf": token}, headers=cross).status_code == 403
    assert state(busy.database) == before
    assert visitor.client.post(address, data={"csrf": token}).status_code == 303
    assert state(busy.database) != before


def test_reading_changes_nothing(busy: World) -> None:
    visitor = busy.signed_in("olga")
    counted = list(tables.metadata.sorted_tables)

    def rows() -> list[int]:
        with busy.database.reading() as connection:
            return [connection.execute(select(func.count()).select_from(table)).scalar_one() for table in counted]

    before, sums = rows(), state(busy.database)
    for rule in rules(busy.app):
        if "GET" in (rule.methods or ()) and not rule.arguments:
            visitor.get(rule.rule)
    for rule in rules(busy.app):
        if "GET" in (rule.methods or ()) and has_thing(rule):
            for address in addresses(busy, rule):
                assert visitor.get(address).status_code == 200, address
    assert (rows(), state(busy.database)) == (before, sums)


def test_what_every_answer_says_to_the_browser(busy: World) -> None:
    for visitor, address in (
        (busy.signed_in("olga"), "/console/"),
        (busy.visitor(), "/console/sign-in"),
        (busy.visitor(), "/console/nowhere"),
    ):
        answer = visitor.get(address)
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        text = answer.get_data(as_text=True)
        assert " style=" not in text and " onclick" not in text and "<script>" not in text and "<style" not in text
    assert "Strict-Transport-Security" not in busy.visitor().get("/console/sign-in").headers


def test_personal_data_is_masked_until_somebody_says_why(busy: World) -> None:
    visitor = busy.signed_in("olga")
    exchange, message = busy.exchanges["moscow"][-1], busy.messages["crm-moscow"][1]
    for address, target, secrets in (
        (f"/console/exchanges/{exchange}", f"exchange {exchange}", (PHONE, CARD)),
        (f"/console/messages/{message}", f"message {message}", (PHONE,)),
    ):
        text = visitor.get(address).get_data(as_text=True)
        assert not [secret for secret in secrets if secret.lstrip("+") in text]
        assert visitor.post(f"{address}/clear", reason="  ").status_code == 422
        with busy.database.reading() as connection:
            assert audit.changes(connection, "personal_shown", target) == []
        shown = visitor.post(f"{address}/clear", reason="a guest\ncomplains").get_data(as_text=True)
        assert [secret for secret in secrets if secret in shown.replace("&#43;", "+")] == list(secrets)
        with busy.database.reading() as connection:
            (kept,) = audit.changes(connection, "personal_shown", target)
        assert (kept.actor, kept.details["reason"]) == ("console/olga", "a guest complains")


def test_addresses_that_nobody_has_are_a_page_and_not_a_failure(busy: World) -> None:
    visitor = busy.signed_in("olga")
    for address in (
        "/console/nothing",
        "/console/links/none",
        "/console/exchanges/9999999999",
        f"/console/exchanges/{'9' * 6000}",
        "/console/exchanges/x",
        "/console/messages/1",
        f"/console/messages/{'9' * 25}",
        "/console/dead/confirm",
        "/console/links/%00",
    ):
        answer = visitor.get(address)
        assert answer.status_code == 404, address
        assert "<h1>" in answer.get_data(as_text=True)
    for query in (
        "before=x",
        f"before={'9' * 40}",
        "from=2026-02-31&to=0001-01-01",
        "kind=nothing",
        "link=a%26b",
        "request=%25",
        "from=9999-12-31&to=9999-12-31",
    ):
        assert visitor.get(f"/console/exchanges?{query}").status_code == 200, query
        assert visitor.get(f"/console/links/crm-moscow/queue?state=x&{query}").status_code == 200, query
    for query in ("outcome=%00", "error=%00", "q=%00"):
        assert visitor.get(f"/console/dead?{query}").status_code == 404
        assert visitor.get(f"/console/exchanges?{query}").status_code == 404
    assert busy.visitor().sign_in("ol\0ga").status_code == 404
