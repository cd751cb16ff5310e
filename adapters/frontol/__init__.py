"""ATOL Frontol: docs/adapters/frontol-files.md tells of its report files.

``reports`` reads what a till has written, ``report_options`` what a link may set about it, ``keys`` what names a
receipt, in a file and online.
"""

from __future__ import annotations

import json

from marshmallow import RAISE, Schema, fields

from adapters.contract import Adapter, Link, WireRequest, WireResponse
from adapters.frontol.report_options import ReportOptions
from adapters.frontol.reports import FACE, request
from adapters.texts import text
from processing.errors import LoyaltyError


class FrontolOptions(Schema):
    class Meta:
        unknown = RAISE

    reports = fields.Nested(ReportOptions, load_default=lambda: ReportOptions().load({}))


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    """Nobody speaks to files; whoever does hears why not."""
    told = {"code": 1, "error": text(error, link.options["reports"]["language"])}
    body = json.dumps(told, ensure_ascii=False).encode()
    return WireResponse(body, "application/json; charset=utf-8", refused=error.code)


ADAPTER = Adapter(
    name="frontol",
    title="ATOL Frontol",
    options=FrontolOptions,
    refuse=refuse,
    unit_scale=2,  # sums of a report have two digits
    files=(FACE,),
    pull=request,
)
