"""Pushes, pulls and logins of YAML adapters: the language, the shipped example, and the laws of talks over it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
import yaml

from adapters.contract import BROKEN, Call, Found, HttpCall, HttpReply, Job, Link, Message
from adapters.declarative import BadDocument, build, outbound
from adapters.testing.far_sides import FarSide
from adapters.testing.lines import Run
from adapters.testing.talk_samples import TalkSample, held, led, read_talk_samples
from adapters.testing.talk_suite import TalkSuite
from gateway.yaml_files import read_yaml
from processing.commands import Query
from processing.errors import BadMessage, BadReply, LinkDown, LinkRefused, NotYet
from processing.results import Result, WalletCard, WalletsTold, WalletTold
from tests.adapters.declarative.documents import changed

CONFIGS = Path(__file__).parents[3] / "configs" / "adapters"
AT = datetime(2026, 5, 4, 16, 52, 31, tzinfo=UTC)
SECRETS = {"client": "a-client-of-sixteen", "client_secret": "a-secret-of-sixteen"}
CARD = WalletCard(card_id=1, number="5550001234", product="guest", status="active", issued_at=AT, expires_at=None)
WALLETS = WalletsTold(wallets=(WalletTold(account=17, accounts=(17,), cards=(CARD,), balances=()),))


# The shipped example ----------------------------------------------------------------------------------------------


ORDER_EVENTS = build(read_yaml(CONFIGS / "order_events.yaml")).adapter
LINK = Link("shop", "spb-3", ZoneInfo("Europe/Moscow"), {"language": "ru"})


CHANGED = {"account": 17, "unit": "BONUS", "balance": "371.62"}


class Shop(FarSide):
    """Gives out tokens, keeps the newest points of a card, tells events in pages of two."""

    def __init__(self) -> None:
        self.tokens: set[str] = set()
        self.points: dict[str, tuple[int, Any]] = {}
        self.events = [
            {"id": f"e-{n}", "event": "order.cancelled", "at": "2026-05-04T19:00:00", "order": {"id": f"o-{n}"}}
            for n in range(1, 6)
        ]

    def answer(self, call: Call) -> HttpReply:
        assert isinstance(call, HttpCall)
        url = urlsplit(call.path)
        if url.path == "/oauth/token":
            token = f"t-{len(self.tokens)}"
            self.tokens.add(f"Bearer {token}")
            return told({"access_token": token, "expires_in": 3600})
        if call.headers.get("Authorization") not in self.tokens:
            return HttpReply(401, {}, b"")
        if call.method == "PUT":
            body = json.loads(call.body)
            card = url.path.rpartition("/")[2]
            self.points[card] = max(self.points.get(card, (0, None)), (int(body["version"]), body["balance"]))
            return HttpReply(204, {}, b"")
        after = parse_qs(url.query).get("after", ["e-0"])[0]
        return told({"events": [each for each in self.events if each["id"] > after][:2]})

    def effects(self) -> Any:
        return self.points

    def read(self, query: Query[Any]) -> Result:
        return WALLETS


def told(body: Any) -> HttpReply:
    return HttpReply(200, {"content-type": "application/json"}, json.dumps(body).encode())


class TestOrderEvents(TalkSuite):
    adapter, link, far_side, secrets = ORDER_EVENTS, LINK, Shop, MappingProxyType(SECRETS)
    examples = 15
    pushes = (
        Job(AT, messages=(Message(7, "balance_changed", {"account": 17, "unit": "BONUS", "balance": "371.62"}),)),
    )
    pulls = (Job(AT), Job(AT, state="e-3"))


TALKS = sorted(path.parent for path in CONFIGS.glob("*/talks.json"))


@pytest.mark.parametrize("folder", TALKS, ids=lambda folder: folder.name)
def test_a_shipped_document_says_what_was_recorded(folder: Path) -> None:
    adapter = build(read_yaml(folder.with_suffix(".yaml"))).adapter
    for sample in read_talk_samples(folder, adapter):
        assert held(adapter, sample) == sample.said, sample.case
        assert sample.origin


# The language -----------------------------------------------------------------------------------------------------

SMALL = """
adapter: small
title: Small
private: [card]
options:
  since: {default: "1"}
login: {headers: {Authorization: {basic: [{secret: client}, {secret: client_secret}]}}}
push:
  - name: sale
    messages: [operation_posted, test]
    when: {data.operation_kind: [receipt, other]}
    look: {method: GET, path: [sales, {at: data.operation}]}
    call:
      path: [sales, {at: data.store}, {at: data.operation}]
      query: {till: {at: data.receipt.till}, mode: full}
      headers: {X-Id: {join: [tillgate, {at: id}]}}
      body: {total: {at: data.receipt.total, as: roubles}, kopecks: {at: data.receipt.total, as: [roubles, kopecks]},
        moved: {each: {at: data.movements}, give: {account: {item: account}, unit: {item: unit, as: lower}}}}
      replies:
        - {status: [409], means: done}
        - {when: {state: busy}, means: not_yet, seconds: 5}
        - {when: {ok: false}, means: refused}
  - {name: void, messages: [operation_posted], when: {data.operation_kind: void}}
pull:
  call: {method: GET, path: news, query: {after: {at: cursor}}}
  items: {at: rows}
  cursor: {begins: {option: since}, next: {at: next}}
  rules:
    - {name: blocked, when: {kind: blocked}, ask: BlockCard, fields: {keys: [{join: [small, {at: id}]}],
       card: {scheme: card, value: {at: card}}, reason: lost}}
    - {name: others, when: {kind: [issued, renamed]}}
"""
PARSED = yaml.safe_load(SMALL)
SALE = {
    "operation": "10/42",
    "operation_kind": "receipt",
    "store": "spb-3",
    "movements": [{"account": 17, "unit": "BONUS"}],
    "receipt": {"total": "600.50", "till": None},
}
NOT_THERE, YES = HttpReply(404, {}, b""), told({"ok": True})


def small(**changes: Any) -> dict[str, Any]:
    return changed(PARSED, **changes)


def talk(document: dict[str, Any], job: Job, *replies: HttpReply, secrets: Any = SECRETS, results: Any = ()) -> Run:
    """The run of a job before these replies; the calls as they were heard stand in ``heard``."""
    adapter = build(document).adapter
    link = Link("l", "spb-3", ZoneInfo("Europe/Moscow"), adapter.options().load({}))
    run, far = led(adapter, TalkSample("case", link, job, secrets, replies, results, []))
    vars(run)["heard"] = far.said
    return run


def push(*replies: HttpReply, data: Any = SALE, kind: str = "operation_posted", **changes: Any) -> Run:
    return talk(small(**changes), Job(AT, messages=(Message(7, kind, data),)), *replies)


def pull(*replies: HttpReply, state: Any = None, **changes: Any) -> Run:
    return talk(small(**changes), Job(AT, state=state), *replies)


def heard(run: Run) -> list[HttpCall]:
    return [call for call in vars(run)["heard"] if isinstance(call, HttpCall)]


class Sales(FarSide):
    """Makes as many sales as it is told, and tells which there are."""

    def __init__(self) -> None:
        self.sales: list[str] = []

    def answer(self, call: Call) -> HttpReply:
        assert isinstance(call, HttpCall)
        number = urlsplit(call.path).path.rpartition("/")[2]
        if call.method == "GET":
            return YES if number in self.sales else NOT_THERE
        self.sales.append(number)
        return YES

    def effects(self) -> Any:
        return self.sales


class TestLooksFirst(TalkSuite):
    """A far side that does not know a repeat is looked at first."""

    adapter = build(changed(PARSED, pull=None)).adapter
    link = Link("l", "spb-3", ZoneInfo("Europe/Moscow"), {"language": "ru", "since": "1"})
    far_side, secrets, examples = Sales, MappingProxyType(SECRETS), 5
    pushes = (Job(AT, messages=(Message(7, "operation_posted", SALE),)),)


def test_a_call_says_what_the_message_has_and_leaves_out_what_it_has_not() -> None:
    run = push(NOT_THERE, YES)
    look, call = heard(run)
    assert run.error is None
    assert (look.method, look.path, look.body) == ("GET", "/sales/10%2F42", b"")
    assert (call.method, call.path) == ("POST", "/sales/spb-3/10%2F42?mode=full")
    assert call.headers["X-Id"] == "tillgate:7"
    assert call.headers["Authorization"] == "Basic YS1jbGllbnQtb2Ytc2l4dGVlbjphLXNlY3JldC1vZi1zaXh0ZWVu"
    assert json.loads(call.body) == {"total": 600.5, "kopecks": 60050, "moved": [{"account": 17, "unit": "bonus"}]}
    assert b'"total":600.50,' in call.body


@pytest.mark.parametrize(
    ("replies", "error", "calls"),
    [
        ([told({})], None, 1),
        ([HttpReply(500, {}, b"")], LinkDown, 1),
        ([NOT_THERE, HttpReply(409, {}, b"<html>")], None, 2),
        ([NOT_THERE, HttpReply(201, {}, b"{}")], None, 2),
        ([NOT_THERE, HttpReply(204, {}, b"")], None, 2),
        ([NOT_THERE, told({"state": "busy", "ok": False})], NotYet, 2),
        ([NOT_THERE, told({"ok": False})], LinkRefused, 2),
        ([NOT_THERE, HttpReply(400, {}, b'{"ok": true}')], LinkRefused, 2),
        ([NOT_THERE, HttpReply(503, {"retry-after": "7"}, b"<html>")], LinkDown, 2),
        ([NOT_THERE, HttpReply(200, {}, b"<html>")], BadMessage, 2),
    ],
)
def test_an_answer_means_what_the_document_says_and_else_what_http_says(replies: Any, error: Any, calls: int) -> None:
    run = push(*replies)
    assert type(run.error) is (error or type(None))
    assert len(heard(run)) == calls
    if isinstance(run.error, NotYet | LinkDown) and calls == 2:
        assert run.error.retry_seconds in (5, 7)


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        ({"operation_kind": "expiry"}, "operation_posted", "no rule says it: message: expected one that a rule takes"),
        ({}, "test", "no rule says it"),
        (SALE | {"operation": None}, "operation_posted", "it cannot be said: push.0.look.path.1: expected a value"),
        (SALE | {"receipt": {"total": "a lot"}}, "operation_posted", "it cannot be said: data.receipt.total"),
    ],
)
def test_what_cannot_be_said_is_refused_before_it_is_said(data: Any, kind: str, text: str) -> None:
    run = push(NOT_THERE, YES, data=data, kind=kind)
    assert isinstance(run.error, LinkRefused)
    assert text in str(run.error)
    assert [call.method for call in heard(run)] in ([], ["GET"])
    assert push(data={"operation_kind": "void"}).steps == []


def test_the_books_are_asked_for_what_messages_do_not_tell() -> None:
    document = small(
        push__0__ask="ReadWallets",
        push__0__fields={"accounts": {"each": {"at": "data.movements"}, "give": {"item": "account", "as": "whole"}}},
        push__0__call__body={"cards": {"each": {"of": "wallets.0.cards"}, "give": {"item": "number"}}},
    )
    run = talk(document, Job(AT, messages=(Message(7, "operation_posted", SALE),)), NOT_THERE, YES, results=(WALLETS,))
    assert vars(run)["heard"][0].accounts == (17,)
    assert heard(run)[-1].body == b'{"cards":["5550001234"]}'


def test_a_sample_tells_what_was_read_before_nothing_could_be_said() -> None:
    sample = TalkSample("c", LINK, TestOrderEvents.pushes[0], SECRETS, (), (WalletsTold(wallets=()),), [])
    read, end = held(ORDER_EVENTS, sample)
    assert read["read"]["accounts"] == [17]
    assert end["end"].startswith("link_refused: it cannot be said")


TOKEN = {
    "call": {"path": "token", "body": {"who": {"secret": "client"}}},
    "headers": {"X-Token": {"at": "token"}},
    "seconds": {"at": "for", "as": "whole", "default": 60},
}


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (told({"token": "t", "for": 5}), type(None)),
        (told({"token": "t"}), type(None)),
        (told({"token": ""}), BadReply),
        (told({"error": "who are you?"}), BadReply),
        (told({"token": "t", "for": 0}), BadReply),
        (told({"token": "t", "for": "ever"}), BadMessage),
        (HttpReply(401, {}, b""), LinkRefused),
    ],
)
def test_a_login_tells_where_the_token_is_and_how_long_it_lives(reply: HttpReply, error: Any) -> None:
    run = push(reply, NOT_THERE, YES, login=TOKEN)
    assert type(run.error) is error
    assert json.loads(heard(run)[0].body) == {"who": "a-client-of-sixteen"}
    assert [call.headers.get("X-Token") for call in heard(run)[1:]] == ["t", "t"] * (run.error is None)


def test_a_secret_that_the_link_has_not_is_told_by_its_name() -> None:
    run = talk(small(), Job(AT, messages=(Message(7, "operation_posted", SALE),)), secrets={"client": "x"})
    assert isinstance(run.error, LinkRefused)
    assert "no secret client_secret" in str(run.error)


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "kind": "blocked", "card": f"555{number}", **more}


def found(run: Run) -> list[Found]:
    return [step.told for step in run.steps if isinstance(step.told, Found)]


def test_a_pull_reads_page_after_page_from_where_it_was_until_nothing_is_there() -> None:
    run = pull(
        told({"rows": [row(1), row(2, kind="issued")], "next": "a&b"}),
        told({"rows": [row(3)], "next": 12345678901234567890}),
        told({"rows": [], "next": "z"}),
        told({"rows": [row(4)]}),
    )
    assert [call.path for call in heard(run)] == [
        "/news?after=1",
        "/news?after=a%26b",
        "/news?after=12345678901234567890",
    ]
    assert [ask.keys for ask in run.asks] == [("small:1",), ("small:3",)]
    assert [each.state for each in found(run)] == ["a&b", "12345678901234567890", "z"]
    assert heard(pull(told({"rows": []}), state="here"))[0].path == "/news?after=here"


@pytest.mark.parametrize("last", [{"rows": [row(1)]}, {"rows": [row(1)], "next": "here"}, {"rows": None}])
def test_a_pull_ends_where_nothing_leads_on(last: Any) -> None:
    run = pull(told(last), told({"rows": [row(9)]}), state="here")
    assert len(heard(run)) == 1
    assert run.state == "here"


def test_a_pull_ends_after_so_many_pages_and_goes_on_the_next_time() -> None:
    run = pull(*(told({"rows": [row(n)], "next": str(n)}) for n in range(outbound.MAX_PAGES + 1)))
    assert len(heard(run)) == len(run.asks) == outbound.MAX_PAGES
    assert isinstance(run.error, NotYet)
    assert (run.error.retry_seconds, run.state) == (0, str(outbound.MAX_PAGES - 1))


def test_an_item_that_makes_no_sense_is_told_and_stops_nothing() -> None:
    run = pull(
        told({"rows": [row(1), {"kind": "sold"}, row(2, card=None), "x", row(3)], "next": "n"}), told({"rows": []})
    )
    *broken, whole = found(run)
    assert [each.kind for each in broken] == [BROKEN] * 3
    assert broken[0].note.startswith("item 2: item: expected one that a rule takes: blocked wants kind blocked; others")
    assert broken[1].raw == ('{"id": "2", "kind": "blocked", "card": null}',)
    assert [ask.keys for ask in whole.asks] == [("small:1",), ("small:3",)]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"rows": {}}', b'{"rows": "none"}', b"<html/>", b'{"rows": [' + b"1," * 1001 + b"1]}"]
)
def test_a_page_without_its_list_is_no_empty_page(body: bytes) -> None:
    run = pull(HttpReply(200, {}, body))
    assert isinstance(run.error, BadMessage)
    assert found(run) == []


def test_null_in_the_place_of_a_list_is_an_empty_page_wherever_it_stands() -> None:
    run = pull(told({"data": {"rows": None}}), pull__items={"at": "data.rows"})
    assert (run.error, found(run), len(heard(run))) == (None, [], 1)
    missing = pull(told({"data": None}), pull__items={"at": "data.rows"})
    assert isinstance(missing.error, BadMessage)


def test_a_cursor_beyond_all_bounds_is_refused() -> None:
    assert isinstance(pull(told({"rows": [row(1)], "next": "x" * 3000})).error, BadMessage)


def test_pages_may_be_lists_or_xml_and_the_cursor_that_of_the_last_item() -> None:
    run = pull(told([row(1), row(2)]), told([]), pull__items={"at": "."}, pull__cursor={"next": {"item": "id"}})
    assert [call.path for call in heard(run)] == ["/news", "/news?after=2"]
    document = small(
        pull__items={"at": "row"},
        pull__cursor={"next": {"item": "@id"}},
        pull__rules=[
            {
                "name": "blocked",
                "ask": "BlockCard",
                "fields": {
                    "keys": [{"join": ["small", {"at": "@id"}]}],
                    "card": {"scheme": "card", "value": {"at": "card"}},
                    "reason": "lost",
                },
            }
        ],
    )
    document["pull"]["call"]["read"] = "xml"
    page = b"<rows><row id='1'><card>5551</card></row><row id='2'/></rows>"
    run = talk(document, Job(AT), HttpReply(200, {}, page), HttpReply(200, {}, b"<rows/>"))
    assert [ask.keys for ask in run.asks] == [("small:1",)]
    assert found(run)[0].raw == ('<row id="2"/>',)
    assert heard(run)[1].path == "/news?after=2"
    assert isinstance(talk(document, Job(AT), HttpReply(200, {}, b"")).error, BadMessage)


# Mistakes -------------------------------------------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"push__0__messages": ["operation_postd"]}, "push.0.messages.0", "did you mean 'operation_posted'?"),
    ({"push__0__mesages": ["x"]}, "push.0.mesages", "did you mean 'messages'?"),
    ({"push__0__ask": "Redeem"}, "push.0.ask", "Must be one of"),
    ({"push__0__ask": "ReadTransactions"}, "push.0.fields", "needs the field 'refs'"),
    ({"push__0__call": None}, "push.0.call", "expected what is said"),
    ({"push__1__when": {}}, "push.1.when", "a message may match this and sale"),
    ({"push__0__look__body": {"a": 1}}, "push.0.look.body", "a GET has no body"),
    ({"push__0__call__path": "sales?id=1"}, "push.0.call.path", "expected a path such as"),
    ({"push__0__call__path": {"at": "x"}}, "push.0.call.path", "expected a path such as"),
    ({"push__0__call__method": "PSOT"}, "push.0.call.method", "did you mean 'POST'?"),
    ({"push__0__call__body": {"at_": {"received": "instant"}}}, "push.0.call.body.at_", "the same in every attempt"),
    ({"push__0__call__body": {"key": {"secret": "client"}}}, "push.0.call.body.key", "by a login only"),
    ({"push__0__call__body": {"key": {"of": "x"}}}, "push.0.call.body.key.of", "there is no result"),
    ({"push__0__call__body": {"x": {"at": "y", "as": "rubles"}}}, "push.0.call.body.x.as", "'roubles'?"),
    ({"push__0__call__replies": [{"means": "ok"}]}, "push.0.call.replies.0.means", "Must be one of"),
    ({"push__0__call__replies__0__seconds": 5}, "push.0.call.replies.0.seconds", "means: not_yet only"),
    ({"push__0__call__replies__0__status": [99]}, "push.0.call.replies.0.status.0", "200"),
    ({"login__headers": {}}, "login.headers", "Shorter than minimum"),
    ({"login__headers": {"A": {"basic": [{"secret": "x"}]}}}, "login.headers.A", "[user, password]"),
    ({"login__seconds": "1h"}, "login.seconds", "expected a whole number"),
    ({"pull__items": "rows"}, "pull.items", "{at: path}"),
    ({"pull__items": {"item": "rows"}}, "pull.items", "expected {at: path}"),
    ({"pull__items": {"at": "rows..x"}}, "pull.items.at", "names with points between"),
    ({"pull__cursor__next": None}, "pull.cursor.next", "Missing data"),
    ({"pull__rules__0__ask": "Identify"}, "pull.rules.0.ask", "Must be one of"),
    ({"pull__rules__1__when": {"kind": "blocked"}}, "pull.rules.1.when", "may match this and blocked"),
    ({"push": [], "pull": None}, "rules", "expected rules for messages, files, push or pull"),
]


@pytest.mark.parametrize(("changes", "path", "text"), WRONG, ids=lambda each: each if isinstance(each, str) else None)
def test_a_document_that_cannot_call_is_refused_with_place_and_expectation(
    changes: dict[str, Any], path: str, text: str
) -> None:
    with pytest.raises(BadDocument) as caught:
        build(small(**changes))
    mistakes = {".".join(map(str, at)): said for at, said in caught.value.mistakes}
    assert path in mistakes, mistakes
    assert text in mistakes[path]
