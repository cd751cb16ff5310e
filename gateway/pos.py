"""The tills' door: ``/pos/<link>/...`` in, the adapter's answer out.

A plain WSGI callable in front of Flask: a till's message needs nothing of what Flask does, and Flask would
be a third of its cost (docs/performance.md). Refusals are the adapter's answers, never ours.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache, partial
from typing import Any
from urllib.parse import unquote_plus
from zoneinfo import ZoneInfo

import structlog

from adapters.contract import Adapter, Auth, ConfirmPhone, Link, Route, SignIn, WireRequest, WireResponse
from gateway import metrics
from gateway.auth import caller_of, check_address, check_caller, check_digest, sign_in, strip_secret
from gateway.exchange_log import ExchangeLog, Recorded, pack_request
from gateway.phone_codes import PhoneCodes, no_codes
from gateway.settings import LinkSettings
from processing.commands import Ask
from processing.errors import BadCredentials, BadMessage, LinkPaused, LoyaltyError, NoSuchRoute, TooLarge
from processing.execute import Outcome

PREFIX = "/pos/"
# What of a message that is too long is kept for the exchange log.
KEPT_OF_TOO_LARGE = 4_096
# How the callers of what is no address prove themselves.
NOBODY = Auth("open")
KNOWN_PATHS = 32
# What the gateway answers itself.
OWN = (SignIn, ConfirmPhone)
_SLASHES = re.compile("/{2,}")

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Wsgi = Callable[[Environ, StartResponse], Iterable[bytes]]
Asked = Callable[[Sequence[Ask[Any]]], Sequence[Outcome]]
# Keeps what a link was answered for before it is done (gateway/inbox.py).
Kept = Callable[[Link, Sequence[Ask[Any]]], Sequence[Outcome]]

log = structlog.get_logger()


@dataclass(frozen=True)
class Door:
    """One link, ready to be spoken to."""

    settings: LinkSettings
    link: Link
    adapter: Adapter

    @cached_property
    def route(self) -> Callable[[str, str], Route | None]:
        """``find`` for this adapter; tills call few paths, again and again."""
        return lru_cache(maxsize=KNOWN_PATHS)(partial(find, self.adapter))

    @cached_property
    def secret_in_path(self) -> bool:
        """An adapter without routes is called by nobody who knows better."""
        return not self.adapter.routes or self.adapter.routes[0].auth.scheme == "secret_path"

    @cached_property
    def secret_parameters(self) -> Set[str]:
        """Those of the query that carry a secret, whether or not this path asks for it."""
        return {route.auth.name for route in self.adapter.routes if route.auth.scheme == "query"}


def doors(
    links: Mapping[str, LinkSettings], adapters: Mapping[str, Adapter], zones: Mapping[str, str]
) -> dict[str, Door]:
    """A door for every link; ``zones`` by store."""
    return {
        code: Door(
            settings,
            Link(code, settings.store, ZoneInfo(zones[settings.store]), settings.options, settings.fiscal),
            adapters[settings.adapter],
        )
        for code, settings in links.items()
    }


def converse(route: Route, request: WireRequest, link: Link, ask: Asked) -> WireResponse:
    """Run a handler's conversation: at most one yield, because one request is one transaction."""
    talk = route.handler(request, link)
    if isinstance(talk, WireResponse):
        return talk
    try:
        asks = next(talk)
    except StopIteration as end:
        return _said(end.value)
    outcomes = ask(asks)
    try:
        talk.send(outcomes)
    except StopIteration as end:
        return _said(end.value)
    raise RuntimeError(f"the handler of {route.path} asks twice")


def _said(value: object) -> WireResponse:
    assert isinstance(value, WireResponse)
    return value


def split_path(path: str) -> tuple[str, str] | None:
    """The link's code and the rest of a till's path; ``None`` for any other path.

    An address that ends in a slash and a path that begins with one make two of them.
    """
    if "//" in path:
        path = _SLASHES.sub("/", path)
    if path[: len(PREFIX)].lower() != PREFIX:
        return None
    code, _, rest = path[len(PREFIX) :].partition("/")
    return code, rest


def status_line(status: int) -> str:
    return _STATUS.get(status) or f"{status} Status"


class Pos:
    """The WSGI door. What is not a till's goes to ``behind``."""

    def __init__(
        self,
        behind: Wsgi,
        all_doors: Mapping[str, Door],
        ask: Asked,
        exchange_log: ExchangeLog,
        codes: PhoneCodes | None = None,
        later: Kept | None = None,
    ) -> None:
        self._behind = behind
        self._doors = all_doors
        self._ask = ask
        self._log = exchange_log
        self._codes = codes
        self._later = later

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        told = split_path(environ["PATH_INFO"])
        door = self._doors.get(told[0]) if told else None
        if told is None or door is None:
            return self._behind(environ, start_response)
        response = self._exchange(door, environ, told[1])
        headers = [("Content-Type", response.content_type), ("Content-Length", str(len(response.body)))]
        headers += response.headers.items()
        start_response(status_line(response.status), headers)
        return (response.body,)

    def _exchange(self, door: Door, environ: Environ, rest: str) -> WireResponse:
        """One message: authenticated, answered, counted and recorded."""
        started = time.perf_counter()
        request, route, problem = self._read(door, environ, rest)
        response, refusal = answered(door, request, route, problem, self._asked(route), self._codes, self._later)
        took = time.perf_counter() - started
        outcome = outcome_of(response)
        code = door.settings.code
        metrics.observe_exchange(code, outcome, response.refused, took)
        self._log.record(
            link=code,
            at=request.at,
            request_id=request.id,
            route=route.handler.__name__ if route else "-",
            outcome=outcome,
            status=response.status,
            took_us=int(took * 1_000_000),
            request=pack_request(
                request.method,
                request.path,
                request.headers.get("content-type", ""),
                request.body,
                reason_of(refusal) if isinstance(refusal, BadMessage) else "",
                request.query,
            ),
            answer=response.body,
        )
        return response

    def _asked(self, route: Route | None) -> Asked:
        """How the route asks the books: some callers wait for less time than others."""
        if route is None or route.seconds is None:
            return self._ask
        ask: Any = self._ask
        return partial(ask, seconds=route.seconds)

    def _read(self, door: Door, environ: Environ, rest: str) -> tuple[WireRequest, Route | None, LoyaltyError | None]:
        """The message, its route, and what is wrong with it already. The secret is gone from its path and query."""
        path, problem = _entered(door, environ, rest)
        route = door.route(path, environ["REQUEST_METHOD"])
        auth = route.auth if route else NOBODY
        headers, query, at = Headers(environ), environ.get("QUERY_STRING", ""), datetime.now(UTC)
        problem = problem or stranger(check_caller, door.settings, auth, headers, query, at)
        # A stranger's message is kept for the log only so far; one that comes during a pause is kept whole.
        body, too_large = read_body(environ, route.max_body if route and problem is None else KEPT_OF_TOO_LARGE)
        if problem is None and auth.scheme == "body_digest" and not too_large:
            problem = stranger(check_digest, door.settings, auth, headers, body)
            body = body if problem is None else body[:KEPT_OF_TOO_LARGE]
        request = WireRequest(
            method=environ["REQUEST_METHOD"],
            path=path,
            query=without(query, door.secret_parameters) if door.secret_parameters else query,
            headers=headers,
            body=body,
            # Nothing secret: a name in logs. The system's own random numbers cost a call each.
            id=f"{random.getrandbits(128):032x}",
            at=at,
            caller=caller_of(door.settings, auth, headers),
            groups=groups_of(route, path),
        )
        return request, route, _misfit(door, request.method, route, too_large, problem)


def _entered(door: Door, environ: Environ, rest: str) -> tuple[str, BadCredentials | None]:
    """The path behind the secret, and whether the caller may not even come so far."""
    try:
        check_address(door.settings, environ.get("REMOTE_ADDR", ""))
        return strip_secret(door.settings, rest) if door.secret_in_path else rest, None
    except BadCredentials as error:
        # What stands where the secret should be is not told to anybody, not even to the log.
        last = rest.rpartition("/")[2]
        return last if find(door.adapter, last) else "", error.kept()


def _misfit(
    door: Door, method: str, route: Route | None, too_large: bool, problem: BadCredentials | None
) -> LoyaltyError | None:
    """What is wrong with a message before its handler sees it."""
    if not door.settings.enabled and (problem is None or not door.settings.secrets):
        return LinkPaused("the link is switched off")
    if problem is None and route is not None and method in route.methods and too_large:
        return TooLarge("the message is too large", where="body", max_bytes=route.max_body)
    return problem or misdirected(route, method)


def answered(
    door: Door,
    request: WireRequest,
    route: Route | None,
    problem: LoyaltyError | None,
    ask: Asked,
    codes: PhoneCodes | None = None,
    later: Kept | None = None,
) -> tuple[WireResponse, LoyaltyError | None]:
    """The adapter's words for whatever happens, and the refusal that they tell.

    A bug is HTTP 500 and says nothing of itself. Without ``later``, as in a replay, everything is done at once.
    """
    try:
        if problem is not None:
            return door.adapter.refuse(problem, request, door.link), problem
        assert route is not None
        try:
            at_once = asking(door.settings, request.at, ask, codes)
            asked = partial(later, door.link) if route.later and later is not None else at_once
            return converse(route, request, door.link, asked), None
        except LoyaltyError as refusal:
            if isinstance(refusal, BadMessage):
                where = str(refusal.details.get("where", ""))
                log.info("bad_message", link=door.settings.code, request_id=request.id, where=where)
            return door.adapter.refuse(refusal, request, door.link), refusal.kept()
    except Exception:
        log.exception("exchange_failed", link=door.settings.code, request_id=request.id)
        return WireResponse(b"internal error", "text/plain; charset=utf-8", 500), None


def asking(settings: LinkSettings, at: datetime, ask: Asked, codes: PhoneCodes | None) -> Asked:
    """Asks the core, but for what the gateway answers itself; that comes last."""

    def own(each: Ask[Any]) -> Outcome:
        if isinstance(each, SignIn):
            return sign_in(settings, each, at)
        assert isinstance(each, ConfirmPhone)
        return codes.confirm(each, ask) if codes else no_codes()

    def asked(asks: Sequence[Ask[Any]]) -> Sequence[Outcome]:
        rest = [each for each in asks if not isinstance(each, OWN)]
        if rest and len(rest) == len(asks):
            return ask(rest)
        outcomes = iter(ask(rest) if rest else ())
        return [own(each) if isinstance(each, OWN) else next(outcomes) for each in asks]

    return asked


def stranger(check: Callable[..., None], *told: Any) -> BadCredentials | None:
    """Why the caller is not believed."""
    try:
        check(*told)
    except BadCredentials as error:
        return error.kept()
    return None


def without(query: str, names: Set[str]) -> str:
    """The query string without the parameters that are secrets, otherwise as it came."""
    pairs = query.split("&")
    return "&".join(pair for pair in pairs if unquote_plus(pair.partition("=")[0]) not in names)


def outcome_of(response: WireResponse) -> str:
    """What log and metrics call it: ``ok``, ``failed``, or the code of a refusal."""
    return response.refused or ("ok" if response.status < 500 else "failed")


def reason_of(refusal: BadMessage) -> str:
    """Where the message made no sense and what was expected; what stood there may be personal, and is not told."""
    where = str(refusal.details.get("where", ""))
    return refusal.message if refusal.message.startswith(where) else f"{where}: {refusal.message}"


_STATUS = {
    200: "200 OK",
    400: "400 Bad Request",
    401: "401 Unauthorized",
    403: "403 Forbidden",
    404: "404 Not Found",
    500: "500 Internal",
}


class Headers(Mapping[str, str]):
    """The request's headers by lower-case name, read from the WSGI environment when asked for."""

    def __init__(self, environ: Environ) -> None:
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        key = name.upper().replace("-", "_")
        value: str = self._environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"]
        return value

    def __iter__(self) -> Any:
        for key in self._environ:
            if key.startswith("HTTP_"):
                yield key[5:].lower().replace("_", "-")
            elif key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                yield key.lower().replace("_", "-")

    def __len__(self) -> int:
        return sum(1 for _ in self)


def find(adapter: Adapter, path: str, method: str = "") -> Route | None:
    """The adapter's route for the rest of the path: the one that takes the method, else one that takes another."""
    other = None
    for route in adapter.routes:
        if route.pattern.fullmatch(path):
            if method in route.methods:
                return route
            other = other or route
    return other


def misdirected(route: Route | None, method: str) -> NoSuchRoute | None:
    """The refusal of what the protocol has no address or method for."""
    if route is None or method not in route.methods:
        return NoSuchRoute("no such address in this protocol", method=method)
    return None


def groups_of(route: Route | None, path: str) -> Mapping[str, str]:
    match = route.pattern.fullmatch(path) if route and route.pattern.groupindex else None
    return {name: value or "" for name, value in match.groupdict().items()} if match else {}


def logged_request(recorded: Recorded, adapter: Adapter) -> tuple[WireRequest, Route | None]:
    """A message of the exchange log as it came, and the route that takes it today. Of its headers it has one."""
    told = recorded.request
    route = find(adapter, told.path, told.method)
    request = WireRequest(
        method=told.method,
        path=told.path,
        query=told.query,
        headers={"content-type": told.content_type},
        body=told.body,
        id=recorded.request_id,
        at=recorded.at,
        caller=recorded.link,
        groups=groups_of(route, told.path),
    )
    return request, route


def first_asks(request: WireRequest, route: Route, link: Link) -> tuple[Ask[Any], ...] | None:
    """What a message asks of the core, which is not asked; ``None``: the adapter answers by itself.

    Errors: whatever the handler raises.
    """
    talk = route.handler(request, link)
    if isinstance(talk, WireResponse):
        return None
    try:
        return tuple(next(talk))
    except StopIteration:
        return None
    finally:
        talk.close()


def read_body(environ: Environ, limit: int) -> tuple[bytes, bool]:
    """The body, at most ``limit`` bytes of it, and whether there was more."""
    body: bytes = environ["wsgi.input"].read(limit + 1)
    if len(body) > limit:
        return body[:KEPT_OF_TOO_LARGE], True
    return body, False
