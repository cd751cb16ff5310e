"""Bodies and query strings as they come in: strict JSON whose numbers stay what was written, and no unknown field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NoReturn

from flask import Request
from marshmallow import RAISE, Schema, ValidationError
from webargs import core
from webargs.flaskparser import FlaskParser

from gateway.errors import Refused, unfit
from processing.errors import BadMessage, TooLarge

MAX_BODY = 1 << 20
# A machine integer; longer ones become Decimal, which has no limit of digits.
_INTEGER_DIGITS = 18


def parse(body: bytes) -> Any:
    """The JSON value; numbers with a point, an exponent or many digits as Decimal, also ``NaN`` and ``Infinity``.

    Errors: Refused (400) for what is not JSON in UTF-8 or names a key twice.
    """
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_float=Decimal,
            parse_int=_integer,
            parse_constant=Decimal,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError, ArithmeticError) as error:
        said = str(error) if isinstance(error, json.JSONDecodeError | _Twice) else "cannot be read"
        raise Refused(BadMessage(f"the body is not valid JSON: {said}", where="body"), 400) from None


class _Twice(ValueError):
    """A key that stands twice: readers would differ about which one counts."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Twice("a key stands twice in an object")
    return found


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _INTEGER_DIGITS else Decimal(text)


class Parser(FlaskParser):
    """webargs with our JSON and our problems."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {  # noqa: RUF012  # webargs declares it so
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "json": None,
        "query": RAISE,
    }

    def load_json(self, req: Request, schema: Schema) -> Any:
        """The body; an empty one is an object without fields, so that what is missing is named."""
        body = req.get_data(cache=True)
        if len(body) > MAX_BODY:
            raise TooLarge(f"the body has more than {MAX_BODY} bytes")
        if not body:
            return {}
        if not core.is_json(req.mimetype):
            raise Refused(BadMessage("the body must be application/json", where="Content-Type"), 415)
        return parse(body)

    def handle_error(
        self,
        error: ValidationError,
        req: Request,
        schema: Schema,
        *,
        error_status_code: int | None,
        error_headers: Mapping[str, str] | None,
    ) -> NoReturn:
        # webargs tells them under the place where they were found: {"json": {"store": [...]}}.
        (messages,) = error.messages_dict.values()
        raise unfit(messages) from None
