"""ATOL Frontol. docs/adapters/frontol-loads.md is about the files that it loads."""

from __future__ import annotations

import json

from marshmallow import RAISE, Schema, fields

from adapters.contract import Adapter, Link, WireRequest, WireResponse
from adapters.frontol.loads.options import LoadOptions
from adapters.frontol.loads.push import PUSH
from processing.errors import LoyaltyError


class Options(Schema):
    class Meta:
        unknown = RAISE

    # marshmallow takes fields out of the class, so that its own ``loads`` stays.
    loads = fields.Nested(LoadOptions, load_default=lambda: LoadOptions().load({}))  # type: ignore[assignment]


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    """Nobody calls this link; whoever does is told so."""
    return WireResponse(json.dumps({"code": 1}).encode(), "application/json", 404, refused=error.code)


ADAPTER = Adapter(name="frontol", title="ATOL Frontol", options=Options, refuse=refuse, push=PUSH)
