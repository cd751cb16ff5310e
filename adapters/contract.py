"""The adapter contract: what a protocol is made of, as data and pure functions.

A handler reads the message once, yields what it wants from the core at most once (one request is one
transaction), and returns what to say:

    def card_info(request: WireRequest, link: Link) -> Asking[WireResponse]:
        found = yield from one(Identify(store=link.store, refs=refs(request)))
        return answer(found)

What has to reach the far side goes the other way: a push is given messages of the outbox, yields calls and gets
their replies; what it needs to know of the books it asks by queries (``read``). It returns when all is delivered, or
raises ``NotYet``, ``LinkRefused`` or ``BadReply`` (the transport raises ``LinkDown``):

    def send(job: Job, link: Link) -> Calling[None]:
        reply = yield from http(HttpCall("POST", "/events", body=body(job.messages)))
        if reply.status != 200:
            raise LinkRefused("...")

Same bytes, same asks: no clock, no network, no session; time, a fresh id and the caller's name come with the
request. Reading helpers raise ``BadMessage`` with element and value. docs/writing-an-adapter.md tells it slowly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, Literal, TypeVar, overload
from zoneinfo import ZoneInfo

from marshmallow import Schema, fields

from processing.commands import Ask, Query, Ref
from processing.errors import LinkDown, LinkRefused, LoyaltyError
from processing.results import Result

T = TypeVar("T")
A = TypeVar("A", bound=Result)
B = TypeVar("B", bound=Result)
C = TypeVar("C", bound=Result)
D = TypeVar("D", bound=Result)

Outcome = Result | LoyaltyError
Asking = Generator[Sequence[Ask[Any]], Sequence[Outcome], T]
Calling = Generator["Call | Found | Query[Any]", "Reply | Result | None", T]

DEFAULT_MAX_BODY = 1 << 20
# Request Timeout, Too Early, Too Many Requests.
AGAIN = frozenset({408, 425, 429})
MAX_RETRY_SECONDS = 86_400


# Ways in which a fiscal receipt tells what a card pays: as a lower price of the lines, as the offset of an advance
# that was paid before, or as a form of payment.
LINE_DISCOUNT, ADVANCE, TENDER = "line_discount", "advance", "tender"


@dataclass(frozen=True, slots=True)
class FiscalWays:
    """Which ways a till family can print what points and gift cards pay; the first is its own."""

    points: tuple[str, ...] = (LINE_DISCOUNT, TENDER)
    gift_cards: tuple[str, ...] = (ADVANCE, TENDER)


@dataclass(frozen=True, slots=True)
class Link:
    """One configured connection: which store speaks, how, and what its adapter may be told.

    ``options`` is the adapter's own settings, loaded through its schema. ``fiscal`` is the way in which the fiscal
    receipt tells each unit, by the unit's code (docs/cookbook.md, "Points on the fiscal receipt").
    """

    code: str
    store: str
    zone: ZoneInfo
    options: Mapping[str, Any]
    fiscal: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A till's message. ``id``, ``at`` and ``caller`` are given by the gateway, ``groups`` by the route."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    id: str
    at: datetime
    caller: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WireResponse:
    """What the till hears. ``refused`` carries the code of the refusal it tells, for log and metrics."""

    body: bytes
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""


Handler = Callable[[WireRequest, Link], "Asking[WireResponse] | WireResponse"]


class SignedIn(Result, frozen=True, tag=True, kw_only=True):
    token: str
    expires_at: datetime


class SignIn(Ask[SignedIn], frozen=True, tag=True, kw_only=True):
    """A token for the routes with ``issued_token``; alone in its message, for the gateway answers it, not the core.

    ``secret`` is what the caller proves itself by. Errors: BadCredentials.
    """

    secret: str
    seconds: int


class CodeTold(Result, frozen=True, tag=True, kw_only=True):
    """The code, in the clear, and the phone's last four digits."""

    code: str
    phone: str


class ConfirmPhone(Ask[CodeTold], frozen=True, tag=True, kw_only=True):
    """A code that was sent just now, for tills that compare by themselves what the customer tells; answered by the
    gateway, for the core keeps no code in the clear.

    It goes to the holder of ``card``, or to ``phone``. The same ``key`` within minutes is the same code, sent once.
    Errors: CardNotFound, HolderNotFound (no phone), BadMessage (no phone at all), TooManyCodes, Refusal (nobody can
    send), Busy (it was not sent).
    """

    store: str
    key: str
    purpose: str
    card: Ref | None = None
    phone: str = ""


@dataclass(frozen=True, slots=True)
class Auth:
    """How a caller proves itself; the gateway checks it on the raw bytes. ``secret_path`` is that
    of all routes of an adapter, or of none.

    ``name`` is that of the header, of the parameter, or of the scheme in ``Authorization`` (body_digest).
    docs/writing-an-adapter.md, "Credentials".
    """

    scheme: Literal["open", "secret_path", "basic", "bearer", "header", "query", "body_digest", "issued_token"]
    name: str = ""


@dataclass(frozen=True)
class Route:
    """One address of the protocol below ``/pos/<link>/``.

    ``path`` is a regular expression for the whole rest of the path, case ignored. ``later``: the answer does not wait
    for the work. The handler yields facts, which are kept in the link's queue and booked after the answer; it hears
    no outcome (an empty sequence) and looks at none. Such an adapter has no push, pull or files: its lane is one way.
    ``seconds``: how long its caller waits for a batch, where that is less than the gateway's ``answer_seconds``.
    """

    path: str
    handler: Handler
    auth: Auth
    methods: frozenset[str] = frozenset({"POST"})
    max_body: int = DEFAULT_MAX_BODY
    later: bool = False
    seconds: int | None = None

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(self.path, re.IGNORECASE)


# What goes out ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HttpCall:
    """A request to the far side. ``path`` may carry a query and is put behind the link's address.

    ``signed``: with the session's headers and signature. ``repeatable``: sending it twice does no harm, so that the
    line may try it again at once.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    signed: bool = True
    repeatable: bool = True


@dataclass(frozen=True, slots=True)
class HttpReply:
    """Whatever the far side has answered, also 3xx, 4xx and 5xx; ``checked`` makes errors of all but 2xx.

    Header names are in lower case. Of several cookies each has a line of ``set-cookie``.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class SoapCall:
    """An operation of the far side's WSDL, which the link names."""

    operation: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    repeatable: bool = True


@dataclass(frozen=True, slots=True)
class SoapReply:
    """What the operation has returned, as zeep reads it; nothing but dicts, lists and plain values."""

    value: Any


@dataclass(frozen=True, slots=True)
class FileWrite:
    """A file in the link's folder, seen by the far side whole or not at all.

    ``at``: only over the file that has this content (as FileRead told it). ``new``: only where there is no such file.
    """

    name: str
    content: bytes
    at: bytes | None = None
    new: bool = False


@dataclass(frozen=True, slots=True)
class FileRead:
    """A file of the link's folder, up to ``limit`` bytes."""

    name: str
    limit: int = DEFAULT_MAX_BODY


@dataclass(frozen=True, slots=True)
class FileReply:
    """``content`` is ``None`` where there is no such file; after a FileWrite, where the write was not done."""

    content: bytes | None


@dataclass(frozen=True, slots=True)
class FileMark:
    """Bytes of the file that was read, changed in their place, as long as it is still that file."""

    offset: int
    old: bytes
    new: bytes


@dataclass(frozen=True, slots=True)
class Series:
    """Lines that their owner numbers once and for all: the number and a checksum of 32 bits of each.

    What is made of lines that are all known is known itself. A known number with another checksum means that the
    owner began anew, or is another one: such a Found is put aside until somebody gives it another ``name``.
    ``former``: names under which the same lines may be known.
    """

    name: str
    lines: tuple[tuple[int, int], ...]
    former: tuple[str, ...] = ()


# What a Found of a file is that asks nothing: cancelled by the till, not finished yet, numbers that are missing, of no
# interest to the books, or not to be understood.
CANCELLED, UNFINISHED, GAP, OTHER, BROKEN = "cancelled", "unfinished", "gap", "other", "broken"
FILE_KINDS = (CANCELLED, UNFINISHED, GAP, OTHER, BROKEN)


@dataclass(frozen=True, slots=True)
class Found:
    """What a pull or a file has told: asks for the core, facts all of them; then ``state`` is where the next begins.

    Of a file it is one document, known by the ``series`` of its lines. ``kind`` is what it counts as where it asks
    nothing, ``note`` what an operator should read about it, ``raw`` its lines as they came, for the exchange log.
    ``writes`` are done once all that was found before is booked.
    ``may_be_refused``: of a pull, where one thing that the core refuses (a phone that is somebody else's) shall not
    keep away what comes behind it: it is counted and told to operators, and the pull goes on.
    """

    asks: tuple[Ask[Any], ...] = ()
    state: Any = None
    writes: tuple[FileWrite | FileMark, ...] = ()
    note: str = ""
    kind: str = ""
    series: Series | None = None
    raw: tuple[str, ...] = ()
    may_be_refused: bool = False


Call = HttpCall | SoapCall | FileWrite | FileRead
Reply = HttpReply | SoapReply | FileReply


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the outbox. ``id`` stays the same however often it is sent, and is greater for what came later;
    of a kind that tells absolute values the greatest id is the newest. ``body`` is a JSON object, decoded."""

    id: int
    kind: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """What a push or a pull is to do: the messages in their order, or where the last pull has ended.

    ``attempt`` counts from 1: on a later one something of it may be there already.
    """

    at: datetime
    attempt: int = 1
    messages: tuple[Message, ...] = ()
    state: Any = None


def one_by_one(link: Link) -> int:
    """One message in each talk."""
    return 1


@dataclass(frozen=True, slots=True)
class Push:
    """How messages of the outbox are said to the far side: as many at once as ``batch`` says for the link.

    A talk returns ``None`` when all of its messages are delivered, or how many of them are, from the first: the others
    come again, perhaps with more behind them. What fails is sent again as a whole. ``wants`` are the kinds that it can
    say; a link's ``messages`` names those that it shall.
    """

    wants: frozenset[str]
    talk: Callable[[Job, Link], Calling[int | None]] | Callable[[Job, Link], Calling[None]]
    batch: Callable[[Link], int] = one_by_one


@dataclass(frozen=True, slots=True)
class Session:
    """What a login has brought: headers for each call, for so many seconds; ``goodbye`` is sent at its end, also
    after a failure. ``sign`` makes the headers that depend on the call: given it and the instant, without a clock.
    ``for_talk``: it is ended with the talk that began it, for the far side counts those who are there (licences)."""

    headers: Mapping[str, str]
    seconds: float
    goodbye: HttpCall | None = None
    for_talk: bool = False
    sign: Callable[[HttpCall, datetime], Mapping[str, str]] | None = field(default=None, repr=False)


Login = Callable[[Mapping[str, str], Link], "Calling[Session] | Session"]


@dataclass(frozen=True, slots=True)
class Pace:
    """A far side that counts calls by login. Links of one address whose secrets of these names are the same speak
    under one login: one talk at a time, and a call every ``seconds``."""

    seconds: Callable[[Link], float]
    secrets: frozenset[str]


# What files tell --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """A file: its bytes from the beginning, in pieces of any size, read once. ``state`` is what the last Found with
    one has left for this link, ``at`` the time of reading."""

    name: str
    chunks: Iterable[bytes]
    state: Any
    at: datetime


@dataclass(frozen=True, slots=True)
class FileFace:
    """Files that the far side leaves in the link's folder.

    ``names`` are the patterns of their names (``*`` and ``?``; folders in front of them are plain), ``read`` tells one
    Found after the other while it reads. The same file may be read any number of times, also while it grows: whatever
    its end is, a line without its end is none, and a document that is not finished is told when it is. A file that is
    none of these raises BadMessage before the first Found.
    """

    names: Callable[[Link], tuple[str, ...]]
    read: Callable[[Source, Link], Iterable[Found]]


@dataclass(frozen=True)
class Adapter:
    """A protocol. ``refuse`` says every LoyaltyError in the till's own words, also those raised before a handler.

    ``private`` are the names of fields (elements, attributes, keys) that the exchange log masks when shown.
    ``volatile`` are the names of attributes and keys of answers that differ when the same happens again elsewhere: ids
    that the books give, and the time; a replay does not compare them.
    ``unit_scale`` is the scale that a unit must have to be named in the options of a link. ``fiscal``: what its tills
    can print.
    ``push`` says messages of the outbox to the far side, ``pull`` asks it for news; ``login`` is the only one that
    sees the secrets of the link, ``pace`` is how often the far side wants to be called. ``files`` reads what it leaves
    in the link's folder; with ``site_exchange`` also what 1C's exchange with sites brings to the link's address.
    """

    name: str
    title: str
    options: type[Schema]
    refuse: Callable[[LoyaltyError, WireRequest, Link], WireResponse]
    routes: tuple[Route, ...] = ()
    private: frozenset[str] = frozenset()
    volatile: frozenset[str] = frozenset()
    unit_scale: int | None = None
    fiscal: FiscalWays = FiscalWays()
    push: Push | None = None
    pull: Callable[[Job, Link], Calling[None]] | None = None
    login: Login | None = None
    pace: Pace | None = None
    files: tuple[FileFace, ...] = ()
    site_exchange: bool = False

    def __post_init__(self) -> None:
        """Errors: ValueError for a lane that would go both ways."""
        if self.answers_first and (self.push or self.pull or self.files):
            raise ValueError(f"{self.name}: routes that answer first go with no push, pull or files")

    @property
    def answers_first(self) -> bool:
        """Whether any of its routes answers before the work is done."""
        return any(route.later for route in self.routes)


class FromFile(dict[str, Any]):
    """What the gateway has read of a file for an option, and checked."""


class InFile(fields.Nested):
    """An option that is a mapping of many lines: a link may name a file of ``folder`` instead, by its name without
    ``.yaml``. The gateway reads it, and tells what is wrong with it by the file's own lines."""

    def __init__(self, schema: type[Schema], folder: str, **settings: Any) -> None:
        super().__init__(schema, **settings)
        self.folder = folder

    def _deserialize(self, value: Any, *args: Any, **settings: Any) -> Any:
        return value if isinstance(value, FromFile) else super()._deserialize(value, *args, **settings)


class OfLink(fields.String):
    """An option that names another link of the same store, of this adapter: what is learned here counts as if it had
    come there. The gateway puts that link's own options, loaded, in the place of its code."""

    def __init__(self, adapter: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.adapter = adapter

    def _deserialize(self, value: Any, *args: Any, **settings: Any) -> Any:
        return value if isinstance(value, Mapping) else super()._deserialize(value, *args, **settings)


def http(call: HttpCall) -> Calling[HttpReply]:
    """Send it; what the far side has answered."""
    reply = yield call
    assert isinstance(reply, HttpReply)
    return reply


def checked(reply: HttpReply) -> HttpReply:
    """The reply, where it is a yes. Errors: LinkDown for what may pass, with the wait that the far side asks for;
    LinkRefused for a no, and for a redirection, which nobody follows."""
    if 200 <= reply.status < 300:
        return reply
    if reply.status in AGAIN or reply.status >= 500:
        raise LinkDown(f"HTTP {reply.status}", retry_seconds(reply.headers))
    raise LinkRefused(f"HTTP {reply.status}")


def retry_seconds(headers: Mapping[str, str]) -> int | None:
    """What Retry-After says, at most a day: seconds, or an instant, which the reply's own Date is taken from."""
    told = headers.get("retry-after", "").strip()
    if told.isascii() and told.isdecimal():
        return min(int(told[:10]), MAX_RETRY_SECONDS)
    try:
        wait = parsedate_to_datetime(told) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError):  # TypeError: one of them has no zone
        return None
    return min(max(wait // timedelta(seconds=1), 0), MAX_RETRY_SECONDS)


def soap(call: SoapCall) -> Calling[SoapReply]:
    """Call the operation; what it has returned. A fault is raised as LinkRefused."""
    reply = yield call
    assert isinstance(reply, SoapReply)
    return reply


def file(call: FileRead | FileWrite) -> Calling[FileReply]:
    """Read or write the file."""
    reply = yield call
    assert isinstance(reply, FileReply)
    return reply


def read(query: Query[A]) -> Calling[A]:
    """What the books answer now. Errors: a refusal is raised."""
    told = yield query
    return told  # type: ignore[return-value]  # the driver answers a Query[A] with an A


def must(outcome: A | LoyaltyError) -> A:
    """The result; a refusal is raised."""
    if isinstance(outcome, LoyaltyError):
        raise outcome
    return outcome


def one(ask: Ask[A]) -> Asking[A]:
    """Ask one thing; its result, a refusal is raised."""
    outcomes = yield (ask,)
    outcome = outcomes[0]
    if isinstance(outcome, LoyaltyError):
        raise outcome
    return outcome  # type: ignore[return-value]  # the driver answers an Ask[A] with an A


@overload
def each(first: Ask[A], second: Ask[B], /) -> Asking[tuple[A | LoyaltyError, B | LoyaltyError]]: ...
@overload
def each(
    first: Ask[A], second: Ask[B], third: Ask[C], /
) -> Asking[tuple[A | LoyaltyError, B | LoyaltyError, C | LoyaltyError]]: ...
@overload
def each(
    first: Ask[A], second: Ask[B], third: Ask[C], fourth: Ask[D], /
) -> Asking[tuple[A | LoyaltyError, B | LoyaltyError, C | LoyaltyError, D | LoyaltyError]]: ...
@overload
def each(*asks: Ask[A]) -> Asking[tuple[A | LoyaltyError, ...]]: ...
def each(*asks: Ask[Any]) -> Asking[tuple[Any, ...]]:
    """Ask several things in one transaction; all outcomes, in order."""
    outcomes = yield asks
    return tuple(outcomes)
