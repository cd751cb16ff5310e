"""A document's outline, and the adapter that is built of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from marshmallow import RAISE, Schema, ValidationError, fields, validate, validates_schema

from adapters.contract import DEFAULT_MAX_BODY, Adapter, Auth, Link, Route, WireRequest, WireResponse
from adapters.converters import Converter, named
from adapters.declarative import answers, files
from adapters.declarative.mistakes import BadDocument, Mistakes, Steps, shown
from adapters.declarative.paths import BadPath, Look, message_path
from adapters.declarative.rules import Condition, Rule, Rules
from adapters.declarative.scope import FORM, JSON, KINDS, NOTHING, Scope
from adapters.declarative.values import Compiler
from processing.commands import AnyCommand, AnyQuery, Ask, Command
from processing.errors import LoyaltyError, by_code

ASKS: dict[str, type[Ask[Any]]] = {ask.__name__: ask for ask in (*get_args(AnyCommand), *get_args(AnyQuery))}
SCHEMES = ("open", "secret_path", "basic", "header", "query", "body_digest")
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
LANGUAGES = ("ru", "en")
# In the place of conditions: whatever no other rule of the address takes.
OTHERWISE = "otherwise"
GRADES = ("bronze", "silver", "gold")
NAME = r"[a-z][a-z0-9_]{0,31}"
_GROUP = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_PATH = re.compile(r"(?:[A-Za-z0-9._~/-]|\{[a-z][a-z0-9_]*\})*")


class _Section(Schema):
    class Meta:
        unknown = RAISE


class _Auth(_Section):
    scheme = fields.String(required=True, validate=validate.OneOf(SCHEMES))
    name = fields.String(load_default="")


class _Option(_Section):
    default = fields.String(load_default="")
    one_of = fields.List(fields.String())
    doc = fields.String(load_default="")


class _Rule(_Section):
    name = fields.String(required=True, validate=validate.Regexp(rf"{NAME}\Z"))
    path = fields.String(required=True)
    method = fields.String(load_default="POST", validate=validate.OneOf(METHODS))
    message = fields.String(validate=validate.OneOf(KINDS))
    when = fields.Raw(load_default=dict)
    ask = fields.String(validate=validate.OneOf(sorted(ASKS)))
    fields_ = fields.Dict(
        keys=fields.String(), values=fields.Raw(allow_none=True), data_key="fields", load_default=dict
    )
    status = fields.Integer(strict=True, load_default=200, validate=validate.Range(200, 599))
    answers = fields.String(validate=validate.OneOf(answers.KINDS))
    answer = fields.Raw(required=True, allow_none=True)
    doc = fields.String(load_default="")


class _Said(_Section):
    status = fields.Integer(strict=True, validate=validate.Range(200, 599))
    body = fields.Raw()


class _Refusals(_Section):
    status = fields.Integer(strict=True, load_default=200, validate=validate.Range(200, 599))
    answers = fields.String(validate=validate.OneOf(answers.KINDS))
    body = fields.Raw(required=True)
    codes = fields.Dict(keys=fields.String(), values=fields.Nested(_Said), load_default=dict)


class _FileRule(_Section):
    name = fields.String(required=True, validate=validate.Regexp(rf"{NAME}\Z"))
    when = fields.Raw(load_default=dict)
    ask = fields.String(required=True, validate=validate.OneOf(sorted(ASKS)))
    fields_ = fields.Dict(keys=fields.String(), values=fields.Raw(), data_key="fields", required=True)
    doc = fields.String(load_default="")


class _Files(_Section):
    names = fields.List(fields.String(validate=validate.Length(1, 100)), required=True, validate=validate.Length(min=1))
    lines = fields.String(required=True, validate=validate.OneOf(files.KINDS))
    encoding = fields.String(load_default="utf-8", validate=validate.OneOf(files.ENCODINGS))
    separator = fields.String(load_default=";", validate=validate.Length(1, 1))
    header = fields.Boolean(load_default=True)
    columns = fields.Raw(load_default=list)
    rules = fields.List(fields.Nested(_FileRule), required=True, validate=validate.Length(min=1))


class DocumentSchema(_Section):
    """The outline; values inside rules and refusals are compiled, not loaded."""

    adapter = fields.String(required=True, validate=validate.Regexp(rf"{NAME}\Z"))
    title = fields.String(required=True)
    grade = fields.String(validate=validate.OneOf(GRADES), load_default="bronze")
    why = fields.String(load_default="")
    missing = fields.List(fields.String(), load_default=list)
    language = fields.String(load_default="ru", validate=validate.OneOf(LANGUAGES))
    message = fields.String(load_default=JSON, validate=validate.OneOf(KINDS))
    answers = fields.String(load_default=JSON, validate=validate.OneOf(answers.KINDS))
    namespaces = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)
    auth = fields.Nested(_Auth)
    max_body = fields.Integer(strict=True, load_default=DEFAULT_MAX_BODY, validate=validate.Range(1, DEFAULT_MAX_BODY))
    options = fields.Dict(
        keys=fields.String(validate=validate.Regexp(rf"{NAME}\Z")), values=fields.Nested(_Option), load_default=dict
    )
    private = fields.List(fields.String(), required=True, validate=validate.Length(min=1))
    volatile = fields.List(fields.String(), load_default=list)
    rules = fields.List(fields.Nested(_Rule), load_default=list)
    refusals = fields.Nested(_Refusals)
    files = fields.Nested(_Files)

    @validates_schema
    def complete(self, data: dict[str, Any], **_: Any) -> None:
        """Messages need an answer to everything, files none. Errors: ValidationError."""
        if not data.get("rules") and "files" not in data:
            raise ValidationError("expected rules for messages, or files", "rules")
        for name in ("auth", "refusals"):
            if data.get("rules") and name not in data:
                raise ValidationError("Missing data for required field.", name)


@dataclass(frozen=True)
class Declared:
    """The adapter, and its rules by address for whoever wants to see why a message went where it did."""

    adapter: Adapter
    routes: Mapping[tuple[str, str], Rules]
    document: Mapping[str, Any]


def build(raw: Mapping[str, Any], converters: tuple[Converter, ...] = ()) -> Declared:
    """The adapter that the document describes. Errors: BadDocument with every mistake."""
    try:
        document: dict[str, Any] = DocumentSchema().load(dict(raw))
    except ValidationError as error:
        raise BadDocument(list(_flat(error.messages, ()))) from None
    return _Building(document, named(converters), Mistakes()).declared()


def _flat(messages: Any, path: Steps) -> list[tuple[Steps, str]]:
    if isinstance(messages, list):
        return [(path, str(message)) for message in messages]
    return [
        each for key, inner in messages.items() for each in _flat(inner, path if key == "_schema" else (*path, key))
    ]


@dataclass(frozen=True)
class _Building:
    document: dict[str, Any]
    converters: Mapping[str, Converter]
    mistakes: Mistakes

    def declared(self) -> Declared:
        told = self.document
        if told["rules"]:
            self._check_auth()
        rules = [self._rule(rule, ("rules", n)) for n, rule in enumerate(told["rules"])]
        refuse = self._refusals() if "refusals" in told else _nobody_calls
        lines = self._files()
        routes = self._routes(rules)
        if self.mistakes.found:
            raise BadDocument(self.mistakes.found)
        auth = Auth(told["auth"]["scheme"], told["auth"]["name"]) if "auth" in told else Auth("open")
        adapter = Adapter(
            name=told["adapter"],
            title=told["title"],
            options=self._options(),
            refuse=refuse,
            routes=tuple(
                Route(_pattern(path), each.handler(), auth, frozenset({method}), told["max_body"])
                for (path, method), each in routes.items()
            ),
            private=frozenset(told["private"]),
            volatile=frozenset(told["volatile"]),
            unit_scale=2,
            files=(lines.face(),) if lines else (),
        )
        return Declared(adapter, routes, told)

    def _check_auth(self) -> None:
        auth = self.document["auth"]
        if (auth["scheme"] in ("header", "query", "body_digest")) != bool(auth["name"]):
            self.mistakes.say(("auth", "name"), "expected one for header, query and body_digest, none for others")

    def _compiler(self, kind: str) -> Compiler:
        names = frozenset({"language", *self.document["options"]})
        return Compiler(kind, self.document["namespaces"], self.converters, names, self.mistakes)

    def _rule(self, told: Mapping[str, Any], path: Steps) -> Rule:
        kind = told.get("message", NOTHING if told["method"] == "GET" else self.document["message"])
        compiler = self._compiler(kind)
        if not _PATH.fullmatch(told["path"]):
            self.mistakes.say(
                (*path, "path"), f"found {shown(told['path'])}, expected a path such as customers/{{id}}/find"
            )
        asked = ASKS.get(told.get("ask", ""))
        kind_of_answer = told.get("answers", self.document["answers"])
        if kind_of_answer in ("xml", "soap"):
            answers.check_names(told["answer"], (*path, "answer"), self.document["namespaces"], self.mistakes)
        result = _result_of(asked) if asked else None
        return Rule(
            name=told["name"],
            path=told["path"].strip("/"),
            method=told["method"],
            kind=kind,
            when=self._conditions(told["when"], compiler, (*path, "when")),
            ask=self._ask(told, asked, compiler, path),
            answer=answers.Answers(compiler, result).tree(told["answer"], (*path, "answer")),
            answers=kind_of_answer,
            status=told["status"],
            otherwise=told["when"] == OTHERWISE,
        )

    def _conditions(self, told: Any, compiler: Compiler, path: Steps) -> tuple[Condition, ...]:
        if told == OTHERWISE:
            return ()
        if not isinstance(told, dict):
            self.mistakes.say(path, f"found {shown(told)}, expected a mapping of paths to texts, or {OTHERWISE}")
            return ()
        return tuple(self._condition(at, each, compiler, (*path, at)) for at, each in told.items())

    def _files(self) -> files.Lines | None:
        told, path = self.document.get("files"), ("files",)
        if told is None:
            return None
        columns = self._columns(told, path)
        kind = JSON if told["lines"] == files.JSON_LINES else FORM
        compiler = self._compiler(kind)
        found = [self._line_rule(each, compiler, (*path, "rules", n)) for n, each in enumerate(told["rules"])]
        rules = next(iter(self._routes(found, path).values()))
        has_header = told["header"] and told["lines"] == files.CSV
        return files.Lines(
            told["lines"], told["encoding"], told["separator"], has_header, columns, rules, tuple(told["names"])
        )

    def _columns(self, told: Mapping[str, Any], path: Steps) -> dict[str, tuple[int, int]]:
        """Names, or names with the places of their first and last characters."""
        columns = told["columns"]
        if told["lines"] == files.FIXED:
            places = columns if isinstance(columns, dict) else {}
            if places and all(isinstance(v, list) and len(v) == 2 and 1 <= v[0] <= v[1] for v in places.values()):
                return {name: (place[0], place[1]) for name, place in places.items()}
            self.mistakes.say((*path, "columns"), "expected {name: [first, last]}, counted from 1")
        elif not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
            self.mistakes.say((*path, "columns"), f"found {shown(columns)}, expected a list of names")
        elif not columns and told["lines"] == files.CSV:
            self.mistakes.say((*path, "columns"), "expected the names of columns")
        else:
            return dict.fromkeys(columns, (0, 0))
        return {}

    def _line_rule(self, told: Mapping[str, Any], compiler: Compiler, path: Steps) -> Rule:
        asked = ASKS[told["ask"]]
        if "fact" in asked.__struct_fields__ and told["fields_"].get("fact") is not True:
            self.mistakes.say((*path, "fields"), "expected fact: true, for what a file tells has happened")
        return Rule(
            name=told["name"],
            path="",
            method="FILE",
            kind=compiler.kind,
            when=self._conditions(told["when"], compiler, (*path, "when")),
            ask=self._ask(told, asked, compiler, path),
            answer=lambda scope: None,
            answers=JSON,
            status=200,
            otherwise=told["when"] == OTHERWISE,
        )

    def _ask(
        self, told: Mapping[str, Any], asked: type[Ask[Any]] | None, compiler: Compiler, path: Steps
    ) -> Look | None:
        if asked is None:
            if told["fields_"]:
                self.mistakes.say((*path, "fields"), "found fields, but the rule asks nothing")
            return None
        given: dict[str, Look] = {"store": lambda scope: scope.link.store} if "store" in asked.__struct_fields__ else {}
        for name in ("store", "actor"):
            if name in told["fields_"]:
                self.mistakes.say((*path, "fields", name), "is the link's, no document says it")
        if issubclass(asked, Command) and _uses(told["fields_"], "received") and "content" not in told["fields_"]:
            text = "received differs in every attempt: expected content: {digest: [...]} of what makes two alike"
            self.mistakes.say((*path, "fields"), text)
        return compiler.struct(told["fields_"], asked, (*path, "fields"), given)

    def _condition(self, at: str, wanted: Any, compiler: Compiler, path: Steps) -> Condition:
        look: Look = lambda scope: None  # noqa: E731
        try:
            look = message_path(at, compiler.kind, self.document["namespaces"])
        except BadPath as error:
            self.mistakes.say(path, f"found {shown(at)}, expected {error}")
        if wanted in ("present", "absent"):
            return Condition(at, look, present=wanted == "present")
        texts = wanted if isinstance(wanted, list) else [wanted]
        if not texts or not all(isinstance(text, str | int) for text in texts):
            self.mistakes.say(path, f"found {shown(wanted)}, expected a text, a list of texts, present or absent")
        return Condition(
            at, look, frozenset(str(text).lower() if isinstance(text, bool) else str(text) for text in texts)
        )

    def _routes(self, rules: list[Rule], at: Steps = ()) -> dict[tuple[str, str], Rules]:
        found: dict[tuple[str, str], list[tuple[int, Rule]]] = {}
        for n, rule in enumerate(rules):
            mine = found.setdefault((rule.path, rule.method), [])
            for _, other in mine:
                if rule.kind != other.kind:
                    self.mistakes.say(
                        (*at, "rules", n, "message"), f"differs from that of {other.name} at the same address"
                    )
                if rule.overlaps(other):
                    text = f"a message may match this and {other.name}: one needs a condition that excludes the other"
                    self.mistakes.say((*at, "rules", n, "when"), text)
            mine.append((n, rule))
        names = [rule.name for rule in rules]
        for n, name in enumerate(names):
            if name in names[:n]:
                self.mistakes.say((*at, "rules", n, "name"), f"found {name!r} again")
        namespaces = self.document["namespaces"]
        return {
            key: Rules(tuple(sorted((rule for _, rule in each), key=lambda rule: rule.otherwise)), namespaces)
            for key, each in found.items()
        }

    def _refusals(self) -> Any:
        told = self.document["refusals"]
        kind, namespaces = told.get("answers", self.document["answers"]), self.document["namespaces"]
        compiler = self._compiler(self.document["message"])
        make = answers.Answers(compiler, None, refusal=True)

        def body(spec: Any, path: Steps) -> Look:
            if kind in ("xml", "soap"):
                answers.check_names(spec, path, namespaces, self.mistakes)
            return make.tree(spec, path)

        common = body(told["body"], ("refusals", "body"))
        for code in told["codes"]:
            if code not in by_code():
                self.mistakes.unknown(("refusals", "codes", code), code, "an error code of docs/errors.md", by_code())
        own = {
            code: (
                each.get("status", told["status"]),
                body(each["body"], ("refusals", "codes", code, "body")) if "body" in each else common,
            )
            for code, each in told["codes"].items()
        }

        def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
            status, tree = own.get(error.code, (told["status"], common))
            scope = Scope(request, link, NOTHING, error=error)
            return answers.respond(kind, tree(scope), namespaces, status, error.code)

        return refuse

    def _options(self) -> type[Schema]:
        made: dict[str, Any] = {
            "language": fields.String(load_default=self.document["language"], validate=validate.OneOf(LANGUAGES))
        }
        for name, told in self.document["options"].items():
            rules = [validate.OneOf(told["one_of"])] if "one_of" in told else [validate.Length(max=255)]
            made[name] = fields.String(load_default=told["default"], validate=rules)
        made["__module__"] = __name__
        return type("Options", (_Section,), made)


def _nobody_calls(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    """Nobody speaks to files; whoever does hears why not."""
    return answers.respond(JSON, {"error": error.code}, {}, 404, error.code)


def _uses(spec: Any, form: str) -> bool:
    """Whether the form stands anywhere in it."""
    if isinstance(spec, dict):
        return form in spec or any(_uses(each, form) for each in spec.values())
    return isinstance(spec, list) and any(_uses(each, form) for each in spec)


def _pattern(path: str) -> str:
    """The path as a regular expression: a group for each name in braces, a slash at its end or none."""
    parts = _GROUP.split(path)
    made = "".join(f"(?P<{part}>[^/]+)" if n % 2 else re.escape(part) for n, part in enumerate(parts))
    return f"{made}/?"


def _result_of(asked: type[Ask[Any]]) -> Any:
    """What it is answered with: the type argument of ``Command[...]`` or ``Query[...]``."""
    return next(told for base in asked.__orig_bases__ for told in get_args(base))  # type: ignore[attr-defined]
