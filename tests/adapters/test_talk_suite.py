"""The suite of talks itself: sound adapters keep every law, and each kind of broken one breaks its own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from marshmallow import Schema

from adapters.contract import (
    Adapter,
    Call,
    Calling,
    FileRead,
    FileWrite,
    Found,
    HttpCall,
    HttpReply,
    Job,
    Link,
    Message,
    Push,
    Session,
    SoapCall,
    SoapReply,
    WireResponse,
    checked,
    file,
    http,
    soap,
)
from adapters.parsing import code
from adapters.talks import listen
from adapters.testing.far_sides import FarSide, Folder
from adapters.testing.lines import Line
from adapters.testing.talk_suite import TalkSuite
from processing.commands import BlockCard, Ref
from processing.errors import BadReply, LinkDown, LinkRefused, NotYet, Undelivered

AT = datetime(2026, 5, 4, 16, 52, 31, tzinfo=UTC)
PAGE = Path(__file__).parents[2] / "docs" / "writing-an-adapter.md"
LINK = Link("link-1", "bistro", ZoneInfo("Europe/Moscow"), {})
SECRETS = {"password": "a secret of sixteen"}
MESSAGES = tuple(Message(n, "card_changed", {"card": f"***{n}"}) for n in (1, 2, 3))


class NoOptions(Schema):
    pass


def adapter(**faces: Any) -> Adapter:
    return Adapter("office", "Office", NoOptions, lambda error, request, link: WireResponse(b"", "text/plain"), **faces)


# An office over HTTP: sessions, documents of which it makes as many as it is told, changes in pages


class Office(FarSide):
    def __init__(self) -> None:
        self.documents: list[Any] = []
        self.tokens: set[str] = set()
        self.logins = 0

    @property
    def sessions(self) -> int:  # type: ignore[override]
        return len(self.tokens)

    def answer(self, call: Call) -> HttpReply:
        assert isinstance(call, HttpCall)
        if call.path == "/login":
            self.logins += 1
            self.tokens.add(f"t{self.logins}")
            return said({"token": f"t{self.logins}"})
        token = call.headers.get("token", "")
        if token not in self.tokens:
            return HttpReply(401, {}, b"")
        if call.path == "/logout":
            self.tokens.discard(token)
        if call.method == "POST" and call.path == "/documents":
            self.documents.append(json.loads(call.body))
        if call.path.startswith("/documents/"):
            there = [each for each in self.documents if each["id"] == int(call.path.rpartition("/")[2])]
            return said(there[0]) if there else HttpReply(404, {}, b"")
        if call.path.startswith("/changes/"):
            after = int(call.path.rpartition("/")[2])
            return said({"cards": [str(n) for n in range(after + 1, min(after + 3, 6))], "more": after + 2 < 5})
        return said({})

    def effects(self) -> Any:
        return self.documents


def said(told: Any) -> HttpReply:
    return HttpReply(200, {}, msgspec.json.encode(told))


def heard(reply: HttpReply, kind: Any) -> Any:
    try:
        return msgspec.json.decode(checked(reply).body, type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadReply("it is not what it should be") from error


def login(secrets: Mapping[str, str], link: Link) -> Calling[Session]:
    token = heard((yield from http(HttpCall("POST", "/login"))), dict[str, str]).get("token", "")
    goodbye = HttpCall("POST", "/logout", headers={"token": code(token, "token")})
    try:
        checked((yield from http(HttpCall("GET", "/me", {"token": token}))))
    except Undelivered:
        yield from http(goodbye)
        raise
    return Session({"token": token}, 600, goodbye)


def send(job: Job, link: Link) -> Calling[None]:
    for message in job.messages:
        if message.kind != "test" and (yield from is_missing(message)):
            body = msgspec.json.encode({"id": message.id, **message.body})
            checked((yield from http(HttpCall("POST", "/documents", body=body, repeatable=False))))


def is_missing(message: Message) -> Calling[bool]:
    there = yield from http(HttpCall("GET", f"/documents/{message.id}"))
    return there.status == 404 or not checked(there)


class Changes(msgspec.Struct):
    cards: list[str]
    more: bool


def ask(job: Job, link: Link) -> Calling[None]:
    after, more = job.state or 0, True
    while more:
        told = heard((yield from http(HttpCall("GET", f"/changes/{after}"))), Changes)
        if told.cards[:1] not in ([], [str(after + 1)]):
            raise BadReply("it is not the page that was asked for")
        yield Found(tuple(blocked(each) for each in told.cards), state=after + len(told.cards))
        more, after = told.more and bool(told.cards), after + len(told.cards)


def blocked(card: str, store: str = "bistro") -> BlockCard:
    number = code(card, "cards")
    return BlockCard(store=store, keys=(f"office:{number}",), card=Ref("office", number), reason="told", actor="office")


OFFICE = adapter(push=Push(frozenset({"card_changed"}), send, lambda link: 10), pull=ask, login=login)


# A till that reads files: it adds what stands in "load" to its counters, and says in "done" up to where


class Till(Folder):
    def later(self) -> None:
        if "load" in self.files:
            *lines, last = self.files.pop("load").decode().splitlines()
            self.files["counters"] = str(int(self.files.get("counters", b"0")) + sum(map(int, lines))).encode()
            self.files["done"] = last.encode()

    def effects(self) -> Any:
        return self.files.get("counters"), "load" in self.files


def load(job: Job, link: Link) -> Calling[None]:
    last = str(job.messages[-1].id).encode()
    lines = [b"1" for message in job.messages if message.kind != "test"]
    done = yield from file(FileRead("done"))
    if done.content == last:
        return
    if done.content is not None and not done.content.strip().isdigit():
        raise BadReply("its answer is no number")
    yield from file(FileWrite("load", b"\n".join([*lines, last]), new=True))
    raise NotYet("until the till has read it", 30)


TILL = adapter(push=Push(frozenset({"card_changed"}), load, lambda link: 10))


# A service that knows what was said to it by the message's id


class Service(FarSide):
    def __init__(self) -> None:
        self.known: dict[str, Any] = {}

    def answer(self, call: Call) -> SoapReply:
        assert isinstance(call, SoapCall)
        self.known[call.arguments["id"]] = call.arguments["card"]
        return SoapReply({"result": "OK"})

    def effects(self) -> Any:
        return dict(self.known)


def call(job: Job, link: Link) -> Calling[None]:
    for message in job.messages:
        told = {"id": str(message.id), "card": message.body.get("card", "")}
        reply = yield from soap(SoapCall("Tell", told))
        if not isinstance(reply.value, dict) or reply.value.get("result") != "OK":
            raise LinkRefused("it has not answered OK")


SERVICE = adapter(push=Push(frozenset({"card_changed"}), call, lambda link: 10))


def suite(of: Adapter, far_side: Callable[[], FarSide], **changes: Any) -> TalkSuite:
    told: dict[str, Any] = {
        "adapter": of,
        "link": LINK,
        "far_side": staticmethod(far_side),
        "secrets": SECRETS,
        "pushes": (Job(AT, messages=MESSAGES),) if of.push else (),
        "pulls": (Job(AT),) if of.pull else (),
        "examples": 60,
    }
    return type("Talks", (TalkSuite,), told | changes)()


LAWS = sorted(name for name in dir(TalkSuite) if name.startswith("test_"))
SOUND = {"office": (OFFICE, Office), "till": (TILL, Till), "service": (SERVICE, Service)}


def run(suite: TalkSuite, law: str) -> None:
    """One law, with every job that it is asked of."""
    method = getattr(suite, law)
    arguments = method.__code__.co_varnames[: method.__code__.co_argcount]
    jobs = {"job": suite.jobs(), "push": suite.pushes, "pull": suite.pulls}
    for job in jobs[arguments[1]] if len(arguments) > 1 else ():
        method(job)
    if len(arguments) == 1:
        method()


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("law", LAWS)
def test_a_sound_adapter_keeps_every_law(law: str, name: str) -> None:
    run(suite(*SOUND[name]), law)


# Broken ones


def office(**faces: Any) -> tuple[Adapter, Callable[[], FarSide]]:
    if "push" in faces:
        faces["push"] = replace(OFFICE.push, talk=faces["push"])  # type: ignore[type-var]
    return replace(OFFICE, **faces), Office


def till(talk: Any) -> tuple[Adapter, Callable[[], FarSide]]:
    return replace(TILL, push=replace(TILL.push, talk=talk)), Till  # type: ignore[type-var]


def service(talk: Any) -> tuple[Adapter, Callable[[], FarSide]]:
    return replace(SERVICE, push=replace(SERVICE.push, talk=talk)), Service  # type: ignore[type-var]


def sends_blindly(job: Job, link: Link) -> Calling[None]:
    for message in job.messages:
        checked((yield from http(HttpCall("POST", "/documents", body=b'{"id": %d}' % message.id))))


def looks_on_a_second_attempt_only(job: Job, link: Link) -> Calling[None]:
    """Which a worker that was killed never told anybody of."""
    for message in job.messages:
        if job.attempt == 1 or (yield from is_missing(message)):
            checked((yield from http(HttpCall("POST", "/documents", body=b'{"id": %d}' % message.id))))


def names_by_the_time(job: Job, link: Link) -> Calling[None]:
    for message in job.messages:
        name = int(job.at.timestamp()) + message.id
        if (yield from is_missing(replace(message, id=name))):
            checked((yield from http(HttpCall("POST", "/documents", body=b'{"id": %d}' % name))))


def swallows(job: Job, link: Link) -> Calling[None]:
    try:
        yield from send(job, link)
    except LinkDown:
        return


def takes_any_status(job: Job, link: Link) -> Calling[None]:
    for message in job.messages:
        if (yield from is_missing(message)):
            yield from http(HttpCall("POST", "/documents", body=b'{"id": %d}' % message.id))


def refuses_what_may_pass(job: Job, link: Link) -> Calling[None]:
    for message in job.messages:
        if (yield from is_missing(message)):
            reply = yield from http(HttpCall("POST", "/documents", body=b'{"id": %d}' % message.id))
            if reply.status != 200:
                raise LinkRefused(f"HTTP {reply.status}")


def waits_as_it_likes(job: Job, link: Link) -> Calling[None]:
    try:
        yield from send(job, link)
    except LinkDown as error:
        raise LinkDown(error.message) from error


def tries_for_ever(job: Job, link: Link) -> Calling[None]:
    for message in job.messages:
        while (yield from http(HttpCall("GET", f"/documents/{message.id}"))).status != 200:
            yield from http(HttpCall("POST", "/documents", body=b'{"id": %d}' % message.id))


def says_another_thing(calls: list[int]) -> Any:
    def send(job: Job, link: Link) -> Calling[None]:
        calls.append(1)
        checked((yield from http(HttpCall("POST", "/documents", body=b'{"id": %d}' % len(calls)))))

    return send


def knows_no_tests(job: Job, link: Link) -> Calling[None]:
    assert job.messages[0].body["card"]
    yield from send(job, link)


def indexes(job: Job, link: Link) -> Calling[None]:
    after, more = job.state or 0, True
    while more:
        told = json.loads(checked((yield from http(HttpCall("GET", f"/changes/{after}")))).body)
        yield Found(tuple(blocked(each) for each in told["cards"]), state=after + 2)
        more, after = told["more"], after + 2


def marks_too_early(job: Job, link: Link) -> Calling[None]:
    after, more = job.state or 0, True
    while more:
        yield Found(state=after + 2)
        told = heard((yield from http(HttpCall("GET", f"/changes/{after}"))), Changes)
        yield Found(tuple(blocked(each) for each in told.cards))
        more, after = told.more, after + len(told.cards)


def takes_any_answer_for_the_end(job: Job, link: Link) -> Calling[None]:
    after, more = job.state or 0, True
    while more:
        reply = yield from http(HttpCall("GET", f"/changes/{after}"))
        told = heard(reply, Changes) if reply.body.startswith(b"{") else Changes([], False)
        yield Found(tuple(blocked(each) for each in told.cards), state=after + 2)
        more, after = told.more, after + 2


def asks_for_the_same_for_ever(job: Job, link: Link) -> Calling[None]:
    after, more = job.state or 0, True
    while more:
        told = heard((yield from http(HttpCall("GET", f"/changes/{after}"))), Changes)
        yield Found(tuple(blocked(each) for each in told.cards), state=after + len(told.cards))
        more, after = told.more, after + len(told.cards)


def tells_of_others(job: Job, link: Link) -> Calling[None]:
    yield from http(HttpCall("GET", "/changes/0"))
    yield Found((blocked("1", "another store"),))


def learns_nothing(job: Job, link: Link) -> Calling[None]:
    yield from http(HttpCall("GET", "/changes/0"))


def never_says_goodbye(secrets: Mapping[str, str], link: Link) -> Calling[Session]:
    session = yield from login(secrets, link)
    return replace(session, goodbye=None)


def leaves_half_a_login(secrets: Mapping[str, str], link: Link) -> Calling[Session]:
    token = heard((yield from http(HttpCall("POST", "/login"))), dict[str, str]).get("token", "")
    checked((yield from http(HttpCall("GET", "/me", {"token": token}))))
    return Session({"token": token}, 600, HttpCall("POST", "/logout"))


def writes_over(job: Job, link: Link) -> Calling[None]:
    done = yield from file(FileRead("done"))
    if done.content != str(job.messages[-1].id).encode():
        yield from file(FileWrite("load", b"\n".join([b"1"] * 3 + [b"%d" % job.messages[-1].id])))
        raise NotYet("until the till has read it", 30)


def writes_and_forgets(job: Job, link: Link) -> Calling[None]:
    yield from file(FileWrite("load", b"1\n1\n1\n3", new=True))


def reads_a_number(job: Job, link: Link) -> Calling[None]:
    done = yield from file(FileRead("done"))
    if done.content is None or int(done.content) < job.messages[-1].id:
        yield from load(job, link)


def indexes_soap(job: Job, link: Link) -> Calling[None]:
    for message in job.messages:
        reply = yield from soap(SoapCall("Tell", {"id": message.id, "card": message.body.get("card", "")}))
        if reply.value["result"] != "OK":
            raise LinkRefused("it has not answered OK")


def numbers_anew(job: Job, link: Link) -> Calling[None]:
    for message in job.messages:
        yield from soap(SoapCall("Tell", {"id": f"{message.id}-{job.attempt}", "card": message.body.get("card", "")}))


BROKEN: list[tuple[str, tuple[Adapter, Callable[[], FarSide]], str]] = [
    ("sends what may be there already", office(push=sends_blindly), "a_push_that_is_cut"),
    ("looks when it has failed only", office(push=looks_on_a_second_attempt_only), "a_push_that_is_cut"),
    ("a key made of the clock", office(push=names_by_the_time), "a_push_that_is_cut"),
    ("a new number for each attempt", service(numbers_anew), "a_push_that_is_cut"),
    ("failures that nobody hears of", office(push=swallows), "a_push_that_is_cut"),
    ("failures that nobody hears of", office(push=swallows), "a_no_is_not"),
    ("a no taken for a yes", office(push=takes_any_status), "a_no_is_not"),
    ("a write that was not done", till(writes_and_forgets), "a_no_is_not"),
    ("a death for what may pass", office(push=refuses_what_may_pass), "what_may_pass"),
    ("another wait than was asked for", office(push=waits_as_it_likes), "what_may_pass"),
    ("tries in a talk", office(push=tries_for_ever), "for_ever"),
    ("other calls each time", office(push=says_another_thing([])), "a_push_does_something"),
    ("a test message unknown", office(push=knows_no_tests), "a_test_message"),
    ("a KeyError", office(pull=indexes), "whatever_is_answered"),
    ("a KeyError in SOAP", service(indexes_soap), "whatever_is_answered"),
    ("a KeyError in SOAP", service(indexes_soap), "mutated_answers"),
    ("a ValueError in a file", till(reads_a_number), "whatever_is_answered"),
    ("a mark before what it stands for", office(pull=marks_too_early), "a_pull_that_is_cut"),
    ("nonsense as the end", office(pull=takes_any_answer_for_the_end), "a_pull_misses_nothing"),
    ("pages without an end", office(pull=asks_for_the_same_for_ever), "for_ever"),
    ("facts of another store", office(pull=tells_of_others), "a_pull_learns"),
    ("a pull that learns nothing", office(pull=learns_nothing), "a_pull_learns"),
    ("no goodbye", office(login=never_says_goodbye), "a_session_is_ended"),
    ("half a login", office(login=leaves_half_a_login), "a_session_is_ended"),
]


@pytest.mark.parametrize(("fault", "broken", "law"), BROKEN, ids=lambda v: v if isinstance(v, str) else "")
def test_a_broken_adapter_breaks_its_law(fault: str, broken: tuple[Adapter, Any], law: str) -> None:
    (name,) = [known for known in LAWS if law in known]
    with pytest.raises((AssertionError, ExceptionGroup, LookupError, ValueError, TypeError)):
        run(suite(*broken), name)


def test_jobs_that_say_too_little_break_their_laws() -> None:
    for changes, law in (
        ({"pushes": ()}, "there_are_jobs"),
        ({"pulls": ()}, "there_are_jobs"),
        ({"pushes": (Job(AT, messages=(replace(MESSAGES[0], kind="other"),)),)}, "there_are_jobs"),
        ({"pushes": (Job(AT, messages=MESSAGES * 4),)}, "there_are_jobs"),
        ({"pushes": (Job(AT, messages=(replace(MESSAGES[0], kind="test"),)),)}, "a_push_does_something"),
    ):
        (name,) = [known for known in LAWS if law in known]
        with pytest.raises(AssertionError):
            run(suite(OFFICE, Office, **changes), name)


# Its parts


def test_a_folder_writes_as_it_is_told() -> None:
    folder = Folder({"a": b"1"})
    for told, is_done in (
        (FileWrite("a", b"2", new=True), False),
        (FileWrite("a", b"2", at=b"0"), False),
        (FileWrite("b", b"2", at=b""), False),
        (FileWrite("a", b"2", at=b"1"), True),
        (FileWrite("b", b"3", new=True), True),
        (FileWrite("b", b"4"), True),
    ):
        assert (folder.answer(told).content is not None) is is_done, told
    assert folder.effects() == {"a": b"2", "b": b"4"}
    assert folder.answer(FileRead("c")).content is None
    with pytest.raises(BadReply):
        folder.answer(FileRead("b", limit=0))


@pytest.mark.parametrize("law", LAWS)
def test_what_the_docs_teach_keeps_every_law(law: str) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    space: dict[str, Any] = {**globals(), "TalkSuite": TalkSuite}
    exec(next(each for each in blocks if each.startswith("def send(")), space)
    push = Push(frozenset({"operation_posted"}), space["send"])
    space["ADAPTER"] = adapter(push=push)
    exec(next(each for each in blocks if "(FarSide)" in each), space)
    run(space["Talks"](), law)


def test_a_talk_may_close_what_it_has_opened_whatever_has_failed() -> None:
    closed: list[str] = []

    def talk() -> Calling[None]:
        try:
            yield HttpCall("POST", "/open")
            yield Found()
        finally:
            yield HttpCall("POST", "/close")

    def answer(told: Any) -> Any:
        if isinstance(told, Found):
            raise ZeroDivisionError
        closed.append(told.path)
        return HttpReply(200, {}, b"")

    with pytest.raises(ZeroDivisionError):
        listen(talk(), answer)
    assert closed == ["/open", "/close"]


def test_a_session_that_is_over_is_opened_anew_within_a_talk() -> None:
    far = Office()
    line = Line(OFFICE, LINK, far, SECRETS)
    answer, calls = far.answer, list[str]()

    def forgets_once(call: Call) -> HttpReply:
        assert isinstance(call, HttpCall)
        calls.append(call.path)
        if len(calls) == 3:
            far.tokens.clear()
        return answer(call)

    far.answer = forgets_once  # type: ignore[method-assign]
    line.finish(Job(AT, messages=MESSAGES[:1]))
    assert calls == ["/login", "/me", "/documents/1", "/login", "/me", "/documents/1", "/documents", "/logout"]
    assert [each["id"] for each in far.documents] == [1] and far.sessions == 0
