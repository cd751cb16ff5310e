"""The outline of a document: which sections and keys there are. Values inside of them are compiled, not loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from marshmallow import RAISE, Schema, ValidationError, fields, validate, validates_schema

from adapters.contract import DEFAULT_MAX_BODY, MAX_RETRY_SECONDS
from adapters.declarative.lines import ENCODINGS
from adapters.declarative.lines import KINDS as LINES
from adapters.declarative.mistakes import BadDocument, Steps, guess
from adapters.declarative.scope import JSON, KINDS
from adapters.declarative.writing import KINDS as ANSWERS
from processing.commands import AnyCommand, AnyQuery, Ask, Query
from processing.events import KINDS as MESSAGES

ASKS: dict[str, type[Ask[Any]]] = {ask.__name__: ask for ask in (*get_args(AnyCommand), *get_args(AnyQuery))}
QUERIES = {name: ask for name, ask in ASKS.items() if issubclass(ask, Query)}
COMMANDS = ASKS.keys() - QUERIES.keys()
SCHEMES = ("open", "secret_path", "basic", "header", "query", "body_digest")
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
LANGUAGES = ("ru", "en")
GRADES = ("bronze", "silver", "gold")
# What ``tillgate queue test`` says; a push that has no rule for it refuses it.
TEST = "test"
# What an answer of the far side means.
DONE, REFUSED, NOT_YET = MEANINGS = ("done", "refused", "not_yet")
# How long a session lives that says nothing of it.
SESSION_SECONDS = 3600
NAME = r"[a-z][a-z0-9_]{0,31}"


class _Section(Schema):
    class Meta:
        unknown = RAISE

    def handle_error(self, error: ValidationError, data: Any, *, many: bool, **_: Any) -> None:
        """Keys that there are not come with a guess which one was meant."""
        known = [field.data_key or name for name, field in self.fields.items()]
        messages = error.messages if isinstance(error.messages, dict) else {}
        for key, told in messages.items():
            if told == ["Unknown field."]:
                messages[key] = [f"Unknown field{guess(key, known) or '.'}"]


class _OneOf(validate.OneOf):
    """One of these words, with a guess which one was meant."""

    def _format_error(self, value: Any) -> str:
        return f"{super()._format_error(value).rstrip('.')}{guess(value, self.choices) or '.'}"


def _name(**more: Any) -> fields.String:
    return fields.String(validate=validate.Regexp(rf"{NAME}\Z"), **more)


def _word(words: Any, **more: Any) -> fields.String:
    return fields.String(validate=_OneOf(words), **more)


def _values(**more: Any) -> fields.Dict:
    """Values by name: compiled."""
    return fields.Dict(keys=fields.String(), values=fields.Raw(allow_none=True), **more)


def _status(**more: Any) -> fields.Integer:
    return fields.Integer(strict=True, validate=validate.Range(200, 599), **more)


class _Auth(_Section):
    scheme = _word(SCHEMES, required=True)
    name = fields.String(load_default="")


class _Option(_Section):
    default = fields.String(load_default="")
    one_of = fields.List(fields.String())
    doc = fields.String(load_default="")


# Messages that come in ------------------------------------------------------------------------------------------


class _Rule(_Section):
    name = _name(required=True)
    path = fields.String(required=True)
    method = _word(METHODS, load_default="POST")
    message = _word(KINDS)
    when = fields.Raw(load_default=dict)
    ask = _word(sorted(ASKS))
    fields_ = _values(data_key="fields", load_default=dict)
    status = _status(load_default=200)
    answers = _word(ANSWERS)
    answer = fields.Raw(required=True, allow_none=True)
    doc = fields.String(load_default="")


class _Said(_Section):
    status = _status()
    body = fields.Raw()


class _Refusals(_Section):
    status = _status(load_default=200)
    answers = _word(ANSWERS)
    body = fields.Raw(required=True)
    codes = fields.Dict(keys=fields.String(), values=fields.Nested(_Said), load_default=dict)


# What files and polling tell ------------------------------------------------------------------------------------


class _FactRule(_Section):
    """What has happened, told by a file or by a far side that is asked; without ``ask`` it is passed over."""

    name = _name(required=True)
    when = fields.Raw(load_default=dict)
    ask = _word(sorted(COMMANDS))
    fields_ = _values(data_key="fields", load_default=dict)
    doc = fields.String(load_default="")


class _Group(_Section):
    """Which lines of a file are one document."""

    by = fields.List(fields.String(), validate=validate.Length(min=1))
    begins = fields.Raw()
    ends = fields.Raw()
    lists = fields.Dict(keys=_name(), values=fields.Raw(), required=True, validate=validate.Length(min=1))

    @validates_schema
    def complete(self, data: dict[str, Any], **_: Any) -> None:
        """Errors: ValidationError."""
        if ("by" in data) == ("begins" in data):
            raise ValidationError("expected by: columns that are alike, or begins: what a first line is", "by")


class _Files(_Section):
    names = fields.List(fields.String(validate=validate.Length(1, 100)), required=True, validate=validate.Length(min=1))
    lines = _word(LINES, required=True)
    encoding = _word(ENCODINGS, load_default="utf-8")
    separator = fields.String(load_default=";", validate=validate.Length(1, 1))
    header = fields.Boolean(load_default=True)
    columns = fields.Raw(load_default=list)
    records = fields.Dict(keys=fields.String(), values=fields.List(fields.String()), load_default=dict)
    group = fields.Nested(_Group)
    rules = fields.List(fields.Nested(_FactRule), required=True, validate=validate.Length(min=1))


# Calls that go out ----------------------------------------------------------------------------------------------


class _Reply(_Section):
    """What an answer means; without ``status`` one of 2xx."""

    status = fields.List(_status(), validate=validate.Length(min=1))
    when = fields.Raw(load_default=dict)
    means = _word(MEANINGS, required=True)
    seconds = fields.Integer(strict=True, validate=validate.Range(1, MAX_RETRY_SECONDS))


class _Call(_Section):
    """A request to the far side, and how its answer is read."""

    method = _word(METHODS, load_default="POST")
    path = fields.Raw(required=True)
    query = _values(load_default=dict)
    headers = _values(load_default=dict)
    body = fields.Raw()
    write = _word(ANSWERS, load_default=JSON)
    read = _word(KINDS, load_default=JSON)
    repeatable = fields.Boolean(load_default=True)
    replies = fields.List(fields.Nested(_Reply), load_default=list)


class _PushRule(_Section):
    """What is said of messages of the outbox; without ``call`` nothing is."""

    name = _name(required=True)
    messages = fields.List(_word(sorted({*MESSAGES, TEST})), required=True, validate=validate.Length(min=1))
    when = fields.Raw(load_default=dict)
    ask = _word(sorted(QUERIES))
    fields_ = _values(data_key="fields", load_default=dict)
    look = fields.Nested(_Call)
    call = fields.Nested(_Call)
    doc = fields.String(load_default="")


class _Login(_Section):
    """What makes calls known to the far side; without ``call`` secrets alone do."""

    call = fields.Nested(_Call)
    headers = _values(required=True, validate=validate.Length(min=1))
    seconds = fields.Raw(load_default=SESSION_SECONDS)


class _Cursor(_Section):
    """Where the polling begins, and where it goes on."""

    begins = fields.Raw(allow_none=True, load_default=None)
    next = fields.Raw(required=True)


class _Pull(_Section):
    """News that the far side is asked for, page by page."""

    call = fields.Nested(_Call, required=True)
    items = fields.Raw(required=True)
    cursor = fields.Nested(_Cursor, required=True)
    rules = fields.List(fields.Nested(_FactRule), required=True, validate=validate.Length(min=1))


class DocumentSchema(_Section):
    """The whole document."""

    adapter = _name(required=True)
    title = fields.String(required=True)
    grade = _word(GRADES, load_default="bronze")
    why = fields.String(load_default="")
    missing = fields.List(fields.String(), load_default=list)
    language = _word(LANGUAGES, load_default="ru")
    message = _word(KINDS, load_default=JSON)
    answers = _word(ANSWERS, load_default=JSON)
    namespaces = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)
    auth = fields.Nested(_Auth)
    max_body = fields.Integer(strict=True, load_default=DEFAULT_MAX_BODY, validate=validate.Range(1, DEFAULT_MAX_BODY))
    options = fields.Dict(keys=_name(), values=fields.Nested(_Option), load_default=dict)
    private = fields.List(fields.String(), required=True, validate=validate.Length(min=1))
    volatile = fields.List(fields.String(), load_default=list)
    rules = fields.List(fields.Nested(_Rule), load_default=list)
    refusals = fields.Nested(_Refusals)
    files = fields.Nested(_Files)
    push = fields.List(fields.Nested(_PushRule), load_default=list)
    login = fields.Nested(_Login)
    pull = fields.Nested(_Pull)

    @validates_schema
    def complete(self, data: dict[str, Any], **_: Any) -> None:
        """Messages need an answer to everything, the others none. Errors: ValidationError."""
        if not (data.get("rules") or data.get("push") or "files" in data or "pull" in data):
            raise ValidationError("expected rules for messages, files, push or pull", "rules")
        for name in ("auth", "refusals"):
            if data.get("rules") and name not in data:
                raise ValidationError("Missing data for required field.", name)
        if "login" in data and not (data.get("push") or "pull" in data):
            raise ValidationError("expected push or pull, which make the calls", "login")


def loaded(raw: dict[str, Any]) -> dict[str, Any]:
    """The document with its defaults. Errors: BadDocument with every mistake of the outline."""
    try:
        document: dict[str, Any] = DocumentSchema().load(raw)
        return document
    except ValidationError as error:
        raise BadDocument(list(_flat(error.messages, ()))) from None


def _flat(messages: Any, path: Steps) -> Iterator[tuple[Steps, str]]:
    if isinstance(messages, list):
        yield from ((path, str(message)) for message in messages)
        return
    for key, inner in messages.items():
        yield from _flat(inner, path if key == "_schema" else (*path, key))


def options_schema(document: dict[str, Any]) -> type[Schema]:
    """What a link may set: the document's options, and the language of refusals."""
    made: dict[str, Any] = {"language": _word(LANGUAGES, load_default=document["language"])}
    for name, told in document["options"].items():
        rule = _OneOf(told["one_of"]) if "one_of" in told else validate.Length(max=255)
        made[name] = fields.String(load_default=told["default"], validate=rule)
    made["__module__"] = __name__
    return type("Options", (_Section,), made)
