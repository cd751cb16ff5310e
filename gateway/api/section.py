"""A section of REST v1: its paths, and what every request of them goes through.

Who asks, how often, with which scope: decided before the body is read. A path that writes is one command of the
core, made by its body's schema; a path that reads is one query, or a page of rows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import msgspec
from flask import Response, current_app, g, request
from flask_smorest import Blueprint
from marshmallow import Schema, post_load

from gateway.api import fields as f
from gateway.api.body import MAX_BODY, Parser
from gateway.auth import ApiClient, ApiClients, api_key
from gateway.errors import FieldError, Refused
from gateway.limits import Limits
from gateway.senders import Sender
from gateway.settings import Settings
from processing.commands import MAX_KEY, Ask, Command
from processing.database import Database
from processing.directory import Directory
from processing.errors import BadMessage, LoyaltyError, RateLimited
from processing.execute import MAX_NAME, Core, Outcome
from processing.results import Result
from processing.secrets import Vault

PREFIX = "/api/v1"
JSON = "application/json"

IDEMPOTENCY_KEY, REPLAYED, OPERATOR = "Idempotency-Key", "Idempotency-Replayed", "X-Operator"
KEY_PREFIX = "rest:"
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}")
_OPERATOR = re.compile(r"[^\s/]+")


@dataclass
class Rest:
    """What REST works with."""

    settings: Settings
    database: Database
    vault: Vault
    core: Core
    ask: Callable[[Sequence[Ask[Any]]], list[Outcome]]
    clients: ApiClients
    limits: Limits
    sender: Sender

    @property
    def directory(self) -> Directory:
        return self.core.work.directory


def rest() -> Rest:
    """That of the application which answers now."""
    return cast(Rest, current_app.extensions["tillgate-rest"])


def client() -> ApiClient:
    """Who asks."""
    return cast(ApiClient, g.api_client)


def _actor() -> str:
    """Who is told to have done it: the client, and its operator where it names one. Errors: Refused."""
    operator = _operator()
    if operator is None:
        return client().name
    most = MAX_NAME - len(client().name) - 1
    if not _OPERATOR.fullmatch(operator) or not operator.isprintable() or len(operator) > most:
        raise bad_header(OPERATOR, f"1 to {most} printable characters in UTF-8, without blanks and slashes")
    return f"{client().name}/{operator}"


def _operator() -> str | None:
    """As it was written: WSGI tells the bytes of a header as latin-1. Errors: Refused for what is not UTF-8."""
    told = request.headers.get(OPERATOR)
    try:
        return None if told is None else told.encode("latin-1").decode("utf-8")
    except UnicodeError:
        raise bad_header(OPERATOR, "the name must be in UTF-8") from None


def bad_header(name: str, words: str) -> Refused:
    """The refusal of a header that does not fit or is missing."""
    return Refused(BadMessage(f"{name}: {words}", where=name), 400, [FieldError(name, words)])


# Request keys --------------------------------------------------------------------------------------------------


def rest_key(told: str) -> str:
    """The request key that an Idempotency-Key stands for; the few that do not fit are known by their digest."""
    key = KEY_PREFIX + told
    return key if len(key) <= MAX_KEY else KEY_PREFIX + hashlib.sha256(told.encode()).hexdigest()


def header_keys() -> tuple[str, ...]:
    """The request key of the header, if there is one. Errors: Refused."""
    told = request.headers.get(IDEMPOTENCY_KEY)
    if told is None:
        return ()
    if not _PRINTABLE.fullmatch(told):
        raise bad_header(IDEMPOTENCY_KEY, "1 to 255 printable ASCII characters")
    return (rest_key(told),)


def keyed(command: Command[Any], keys: tuple[str, ...]) -> Command[Any]:
    """The command with the header's key before its own, and the actor. Errors: Refused without any key."""
    together = tuple(dict.fromkeys((*keys, *command.keys)))
    if not together:
        raise bad_header(IDEMPOTENCY_KEY, "this header or natural keys in the field keys are needed")
    return msgspec.structs.replace(command, keys=together, actor=g.actor)


# Bodies --------------------------------------------------------------------------------------------------------


class Made(Schema):
    """A part of a body that becomes a struct of the vocabulary."""

    class Meta:
        unknown = "raise"

    makes: ClassVar[type[msgspec.Struct]]

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Any:
        """The struct. Errors: ValidationError, LoyaltyError."""
        ready = self.prepared(data)
        return self.makes(**{name: tuple(v) if isinstance(v, list) else v for name, v in ready.items()})

    def prepared(self, data: dict[str, Any]) -> dict[str, Any]:
        """The fields as the struct wants them."""
        return data


class QueryBody(Made):
    """A body that becomes a query. ``example`` stands in the document and is tried by the tests."""

    example: ClassVar[dict[str, Any]]


class CommandBody(QueryBody):
    """A body that becomes a command; its keys are the header's, its own, or both."""

    store = f.store("code of the store that asks; the keys are unique in it")
    keys = f.keys()


@dataclass(frozen=True)
class Door:
    """A command that REST takes, at a path of its own and in batches."""

    body: CommandBody
    answer: Schema
    scope: str
    status: int
    refine: Callable[[Command[Any]], Command[Any]]


DOORS: dict[str, Door] = {}
"""The commands that may travel in batches, by their names; codes are sent one by one."""


def _as_it_is(command: Command[Any]) -> Command[Any]:
    return command


def stores_of(asked: Any) -> list[str]:
    """Every store that an ask names."""
    names = [getattr(asked, name, "") for name in ("store", "sale_store")]
    inner = [getattr(asked, name, None) for name in ("returned", "sold")]
    return [name for name in names if name] + [store for one in inner if one is not None for store in stores_of(one)]


def check_stores(asked: Any) -> None:
    """Errors: Forbidden."""
    for store in stores_of(asked):
        client().check_store(store)


def answer_of(outcome: Outcome) -> Result:
    """The result. Errors: the refusal."""
    if isinstance(outcome, LoyaltyError):
        raise outcome
    return outcome


def ask_one(asked: Ask[Any]) -> Any:
    """The answer of the core. Errors: its refusal, Forbidden."""
    check_stores(asked)
    (outcome,) = rest().ask([asked])
    return answer_of(outcome)


def tell(schema: Schema, told: Any, status: int = 200) -> Response:
    """The answer as JSON; one that was given before under the same key says so in a header, and nowhere else."""
    answer = Response(msgspec.json.encode(schema.dump(told)), status, content_type=JSON)
    if getattr(told, "replayed", False):
        answer.headers[REPLAYED] = "true"
    return answer


# Sections ------------------------------------------------------------------------------------------------------


class Section(Blueprint):  # type: ignore[misc]  # flask-smorest has no types
    """Paths about one noun."""

    ARGUMENTS_PARSER = Parser()

    def __init__(self, name: str, description: str) -> None:
        super().__init__(name, f"gateway.api.{name}", url_prefix=PREFIX, description=description)
        self.before_request(_enter)
        self.after_request(_leave)

    def command(
        self,
        path: str,
        body: type[CommandBody],
        answer: type[Schema],
        scope: str,
        summary: str,
        *,
        status: int = 200,
        method: str = "POST",
        refine: Callable[[Command[Any]], Command[Any]] = _as_it_is,
    ) -> None:
        """A path that writes. ``refine`` looks up what the body could not know, such as the unit of a hold."""
        door = Door(body(), answer(), scope, status, refine)
        # A second door of the same command, such as a refund, is no other command.
        DOORS.setdefault(body.makes.__name__, door)

        def view(command: Command[Any]) -> Response:
            check_stores(command)
            return tell(door.answer, ask_one(door.refine(keyed(command, header_keys()))), status)

        self.written(path, door, summary, view, method)

    def written(
        self, path: str, door: Door, summary: str, view: Callable[[Any], Response], method: str = "POST"
    ) -> None:
        """A path whose ``view`` carries out the command that the door's body has made."""
        view.__doc__ = f"{summary}\n\n{_told_of(door.body.makes)}"
        view.__name__ = _endpoint(path, method)
        decorated = self.arguments(door.body, example=door.body.example)(view)
        decorated = self._answered(decorated, door.status, door.answer, {REPLAYED: REPLAYED})
        self._add(path, decorated, method, door.scope, (IDEMPOTENCY_KEY, OPERATOR))

    def query(self, path: str, body: type[QueryBody], answer: type[Schema], scope: str, summary: str) -> None:
        """A path that reads what its body names: cards are never named in addresses."""
        schema, told = body(), answer()

        def view(asked: Ask[Any]) -> Response:
            return tell(told, ask_one(asked))

        view.__doc__ = f"{summary}\n\n{_told_of(body.makes)}"
        view.__name__ = _endpoint(path, "POST")
        decorated = self.arguments(schema, example=body.example)(view)
        self._add(path, self._answered(decorated, 200, told), "POST", scope)

    def post(
        self, path: str, body: type[Schema], answer: type[Schema]
    ) -> Callable[[Callable[[Any], Response]], Callable[[Any], Response]]:
        """A decorator for a path that checks scopes and keys by itself."""

        def decorate(view: Callable[[Any], Response]) -> Callable[[Any], Response]:
            view.__name__ = _endpoint(path, "POST")
            decorated = self.arguments(body(), example=body.example)(view)  # type: ignore[attr-defined]
            self._add(path, self._answered(decorated, 200, answer()), "POST", "", (OPERATOR,))
            return view

        return decorate

    def change(
        self, path: str, body: type[Schema], answer: type[Schema], scope: str
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A decorator for what changes no books; sent again it changes nothing more. Given the body and path parts."""
        told = answer()

        def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
            def changed(asked: dict[str, Any], **parts: Any) -> Response:
                return tell(told, view(asked, **parts))

            changed.__doc__, changed.__name__ = view.__doc__, _endpoint(path, "POST")
            decorated = self.arguments(body(), example=body.example)(changed)  # type: ignore[attr-defined]
            self._add(path, self._answered(decorated, 200, told), "POST", scope, (OPERATOR,))
            return view

        return decorate

    def read(
        self, path: str, answer: type[Schema], scope: str, asks: type[Schema] | None = None, or_scope: str = ""
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A decorator for what answers GET: it is given the query string, if ``asks`` takes one, and path parts.

        ``or_scope`` opens the path as well.
        """
        told = answer()

        def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
            def read(*args: Any, **parts: Any) -> Response:
                return tell(told, view(*args, **parts))

            read.__doc__, read.__name__ = view.__doc__, _endpoint(path, "GET")
            decorated = self.arguments(asks(), location="query")(read) if asks else read
            self._add(path, self._answered(decorated, 200, told), "GET", scope, or_scope=or_scope)
            return view

        return decorate

    def _answered(self, view: Any, status: int, answer: Schema, headers: Mapping[str, Any] | None = None) -> Any:
        limits = {name: name for name in RATE_HEADERS}
        return self.response(status, answer, headers={**limits, **(headers or {})})(view)

    def _add(
        self, path: str, view: Any, method: str, scope: str, parameters: Sequence[Any] = (), or_scope: str = ""
    ) -> None:
        responses = {str(status): name for status, name in PROBLEMS.items()}
        ways = [[one] for one in (scope, or_scope) if one] or [[]]
        security = [{name: scopes} for scopes in ways for name in ("bearer", "apiKey")]
        told: dict[str, Any] = {"security": security, "responses": responses}
        if parameters:
            told["parameters"] = list(parameters)
        decorated = self.doc(**told, operationId=view.__name__, **{"x-scope": scope})(view)
        decorated.scope, decorated.or_scope = scope, or_scope
        self.add_url_rule(path, view.__name__, decorated, methods=[method])


RATE_HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
# What every path may answer beside its own: status, and the component's name.
PROBLEMS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "WrongMethod",
    409: "Refused",
    413: "TooLarge",
    415: "NotJson",
    422: "Unfit",
    429: "TooMany",
    500: "Failed",
    503: "Busy",
}


def _endpoint(path: str, method: str) -> str:
    """``post_cards_pin`` for POST /cards/pin: the operation's id."""
    words = re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"\1", path)
    return f"{method.lower()}{re.sub(r'[^a-z0-9]+', '_', words)}"


def _told_of(struct: type[msgspec.Struct]) -> str:
    """What the vocabulary says of it, with the fields' names as they are here."""
    words = re.sub(r"\n +", "\n", struct.__doc__ or "").strip()
    return re.sub(r"``(.*?)``", lambda m: f"`{re.sub('_(minor|thousandths)$', '', m[1])}`", words)


def _enter() -> None:
    """Errors: BadCredentials, RateLimited, Forbidden, Refused."""
    # One byte more: a body without a length is cut there, and must not pass for a whole one.
    request.max_content_length = MAX_BODY + 1
    own = rest()
    g.api_client = own.clients.by_key(api_key(request.headers))
    per_minute = g.api_client.requests_per_minute or own.settings.gateway.api.requests_per_minute
    g.allowance = own.limits.take(g.api_client.name, per_minute)
    if g.allowance.retry_seconds:
        raise RateLimited("too many requests", retry_seconds=g.allowance.retry_seconds)
    view: Any = current_app.view_functions[request.endpoint or ""]
    if view.scope and not (view.or_scope and g.api_client.may(view.or_scope)):
        g.api_client.check_scope(view.scope)
    g.actor = _actor()
    f.READER.set(f.Reader(own.directory, g.api_client.may("personal:read")))


def _leave(answer: Response) -> Response:
    if "allowance" in g:
        answer.headers.extend(g.allowance.headers())
    answer.headers["Cache-Control"] = "no-store"
    return answer
