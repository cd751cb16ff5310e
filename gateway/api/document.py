"""The OpenAPI document and the page that shows it; everything is served from here, nothing comes from elsewhere."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from flask import Blueprint, Flask, Response, send_from_directory
from flask_smorest import Api
from marshmallow import Schema, fields

from gateway import errors
from gateway.api.section import DOORS, IDEMPOTENCY_KEY, JSON, OPERATOR, PROBLEMS, RATE_HEADERS, REPLAYED, Section
from gateway.auth import SCOPES
from processing.errors import NoSuchRoute

VERSION = "1"
TITLE = "tillgate"
ABOUT = """\
Loyalty and gift cards for the tills you already have. docs/rest.md tells how to use it.

Amounts are decimal strings in major units with the digits of their unit, quantities decimal strings in pieces.
Every write needs an Idempotency-Key header or natural keys in the field `keys`. Cards are named in bodies only,
so that numbers and phones never stand in addresses; in addresses stand our own numbers.

Scopes of API clients:

"""

ASSETS = "flask_swagger_ui"
FILES = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")
# Swagger UI writes style attributes and shows pictures from data: addresses.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE = f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{TITLE}: REST v1</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
</head>
<body>
<div id="document"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
START = """\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#document",
  deepLinking: true,
  docExpansion: "none",
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
"""


class ProblemSchema(Schema):
    """RFC 9457."""

    class Meta:
        unknown = "exclude"

    type = fields.String(required=True, metadata={"description": "/api/errors/<code>", "format": "uri-reference"})
    title = fields.String(required=True, metadata={"examples": ["Card not found"]})
    status = fields.Integer(required=True, metadata={"examples": [404]})
    detail = fields.String(required=True, metadata={"description": "for people, in Russian or English"})
    code = fields.String(required=True, metadata={"description": "stable", "enum": sorted(errors.STATUS)})
    message = fields.String(metadata={"description": "for integrators, in English"})
    details = fields.Dict(metadata={"description": "amounts in major units, and what else is known"})
    errors = fields.List(
        fields.Nested(lambda: FieldErrorSchema()), metadata={"description": "what is wrong, by the path of the field"}
    )


class FieldErrorSchema(Schema):
    class Meta:
        unknown = "exclude"

    field = fields.String(required=True, metadata={"examples": ["receipt.lines.0.sum"]})
    message = fields.String(required=True)


WORDS = {
    400: "The bytes make no sense, or a key is missing",
    401: "The API key is missing, unknown or revoked",
    403: "The client lacks the scope, or does not speak for the store",
    404: "No such card, receipt, hold, unit, page ...",
    405: "The path has other methods; Allow names them",
    409: "The rules say no; sending the same again changes nothing",
    413: "The body is too large",
    415: "The body is not application/json",
    422: "The request does not fit; `errors` names the fields",
    429: "Too many requests or codes; Retry-After tells when to come again",
    500: "A bug of ours; nothing was booked",
    503: "Busy or away; the same request may be repeated after Retry-After seconds",
}


class Document(Api):  # type: ignore[misc]  # flask-smorest has no types
    """flask-smorest's, with our problems in the place of its errors."""

    DEFAULT_ERROR_RESPONSE_NAME = None
    ERROR_SCHEMA = ProblemSchema

    def _register_error_handlers(self) -> None:
        """gateway/errors.py answers: flask-smorest would drop the Allow header of a 405."""

    def _register_responses(self) -> None:
        components = self.spec.components
        components.schema("FieldError", schema=FieldErrorSchema)
        components.schema("Problem", schema=ProblemSchema)
        limits = {name: name for name in RATE_HEADERS}
        for status, name in PROBLEMS.items():
            content = {errors.PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
            components.response(name, {"description": WORDS[status], "content": content, "headers": limits})
        # webargs' name of what does not fit; sections tell their own.
        components.response("UNPROCESSABLE_ENTITY", {"$ref": f"#/components/responses/{PROBLEMS[422]}"}, lazy=True)

    def _register_doc_blueprint(self) -> None:
        """The page has an address of its own."""


@cache
def openapi(sections: tuple[Section, ...]) -> bytes:
    """The document of these sections as JSON. Whoever asks first waits for it, and not every process that starts."""
    scopes = "\n".join(f"- `{scope}`: {words}" for scope, words in SCOPES.items())
    made = Document(
        Flask("document"),
        spec_kwargs={
            "title": TITLE,
            "version": VERSION,
            "openapi_version": "3.1.0",
            "info": {"description": ABOUT + scopes},
        },
    )
    _describe(made.spec.components)
    for section in sections:
        made.register_blueprint(section)
    return _finish(made)


def _describe(components: Any) -> None:
    """Headers, parameters and security schemes that sections refer to."""
    whole = {"type": "string", "pattern": "^[0-9]+$"}
    words = ("requests in a minute", "requests that are left", "seconds until all of them are there again")
    for name, description in zip(RATE_HEADERS, words, strict=True):
        components.header(name, {"description": description, "schema": whole})
    replayed = {"description": "the answer was given before, under the same key", "schema": {"const": "true"}}
    components.header(REPLAYED, replayed)
    printable = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}
    key = "makes the request happen once; needed unless the body has `keys`. In the books it is rest:<its value>"
    # Other letters than those of ASCII come as UTF-8, which a schema of a header cannot tell.
    person = "who asks through the client, for the operation's actor; other letters in UTF-8"
    operator = {"type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[!-.0-~]+$"}
    for name, description, schema, shown in (
        (IDEMPOTENCY_KEY, key, printable, "sale-17"),
        (
            OPERATOR,
            person,
            operator,
            "cashier-5",
        ),
    ):
        components.parameter(
            name, "header", {"name": name, "description": description, "schema": schema, "example": shown}
        )
    components.security_scheme("bearer", {"type": "http", "scheme": "bearer", "description": "the client's API key"})
    components.security_scheme("apiKey", {"type": "apiKey", "in": "header", "name": "X-Api-Key"})


def _finish(made: Document) -> bytes:
    """The document as JSON, once all sections are there."""
    told: dict[str, Any] = made.spec.to_dict()
    item = told["components"]["schemas"]["BatchItem"]["properties"]
    names = sorted(DOORS)
    item["command"]["enum"] = names
    item["body"] = {"description": item["body"]["description"], "anyOf": [_ref(name) for name in names]}
    return msgspec.json.encode(told)


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def pages(sections: tuple[Section, ...]) -> Blueprint:
    """``/api/docs`` and ``/api/openapi.json``, for everybody: there is no secret in them."""
    shown = Blueprint("api-docs", __name__, url_prefix="/api")
    spec = importlib.util.find_spec(ASSETS)
    folder = Path(next(iter(spec.submodule_search_locations or ()))) / "dist" if spec else Path()

    @shown.get("/openapi.json")
    def openapi_json() -> Response:
        return Response(openapi(sections), content_type=JSON)

    @shown.get("/docs")
    def page() -> Response:
        return Response(PAGE, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": POLICY})

    @shown.get("/docs/start.js")
    def start() -> Response:
        return Response(START, content_type="text/javascript; charset=utf-8")

    @shown.get("/docs/<name>")
    def asset(name: str) -> Response:
        if name not in FILES:
            raise NoSuchRoute("no such file")
        return send_from_directory(folder, name)

    return shown
