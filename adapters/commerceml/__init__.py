"""CommerceML 2: the goods that 1C's exchange with sites tells, for whoever only hears their names.

Page: docs/adapters/commerceml.md. ``catalogue`` bytes -> goods and offers, ``goods`` -> what we ask. The way in is the
gateway's (gateway/site_exchange.py), or a folder.
"""

from __future__ import annotations

from marshmallow import RAISE, Schema, fields, validate

from adapters.commerceml.goods import NAMES, names, read
from adapters.contract import Adapter, FileFace, Link, WireRequest, WireResponse
from adapters.texts import reason
from processing.errors import BadCredentials, LoyaltyError

MAX_PATTERNS, MAX_PATTERN = 10, 100
# RFC 7617.
CHALLENGE = {"WWW-Authenticate": 'Basic realm="tillgate", charset="UTF-8"'}


class Options(Schema):
    """``names``: the files of goods, by their names."""

    class Meta:
        unknown = RAISE

    names = fields.List(
        fields.String(validate=validate.Length(1, MAX_PATTERN)),
        load_default=lambda: list(NAMES),
        validate=validate.Length(1, MAX_PATTERNS),
    )
    language = fields.String(validate=validate.OneOf(("ru", "en")), load_default="ru")


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    """Two lines that 1C shows; its status has to be 200 but for a stranger, who is asked for a password."""
    body = f"failure\n{reason(error, link.options['language'])}".encode()
    stranger = isinstance(error, BadCredentials)
    headers = CHALLENGE if stranger else {}
    return WireResponse(body, "text/plain; charset=utf-8", 401 if stranger else 200, headers, refused=error.code)


ADAPTER = Adapter(
    name="commerceml",
    title="1C, exchange with a site (CommerceML 2)",
    options=Options,
    refuse=refuse,
    files=(FileFace(names=names, read=read),),
    site_exchange=True,
)
