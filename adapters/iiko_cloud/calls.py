"""A call of the Cloud API and its answer: JSON whose numbers are exact, and refusals by their codes.

All calls are POST, also those that read (docs/adapters/iiko_cloud.md, "Errors").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from adapters.contract import Calling, HttpCall, HttpReply, Link, checked, http
from adapters.json_parsing import Node, parse_json
from processing.errors import BadMessage, LinkDown, LinkRefused

LOYALTY = "/api/1/loyalty/iiko/"
BAD_REQUEST = 400
MAX_CODE = 64

_encode = msgspec.json.Encoder(decimal_format="number").encode
_CODE = re.compile(rf"[A-Za-z_]{{1,{MAX_CODE}}}\Z")


class Refused(LinkRefused):
    """HTTP 400, which says "not found" as well; ``codes`` tell which, where the far side names them."""

    def __init__(self, path: str, codes: frozenset[str]) -> None:
        super().__init__(f"{path}: {', '.join(sorted(codes)) or 'HTTP 400'}")
        self.codes = codes


def ask(path: str, told: Mapping[str, Any], link: Link) -> Calling[Node]:
    """What the far side answers to what may be asked again. Errors: Refused, LinkDown, LinkRefused, BadMessage."""
    return parse_json(said((yield from http(call(path, told, link))), path).body)


def write(path: str, told: Mapping[str, Any], link: Link) -> Calling[None]:
    """Do what must not be done twice; any yes will do. Errors: Refused, LinkRefused; LinkDown where nobody knows
    whether it was done: then the next try comes when it is done or never will be."""
    try:
        said((yield from http(call(path, told, link, repeatable=False))), path)
    except LinkDown as error:
        wait = 2 * link.options["timeout_seconds"] if error.retry_seconds is None else error.retry_seconds
        raise LinkDown(f"{path}: nobody knows whether it was done: {error.message}", wait) from error


def call(path: str, told: Mapping[str, Any], link: Link, **how: bool) -> HttpCall:
    """``Timeout``: how long the cloud waits for what is behind it."""
    headers = {"content-type": "application/json", "timeout": str(link.options["timeout_seconds"])}
    return HttpCall("POST", path, headers, _encode(told), **how)


def said(reply: HttpReply, path: str) -> HttpReply:
    """The reply, where it is a yes. Errors: Refused, LinkDown, LinkRefused."""
    if reply.status == BAD_REQUEST:
        raise Refused(path.removeprefix(LOYALTY), _codes(reply.body))
    return checked(reply)


def _codes(body: bytes) -> frozenset[str]:
    """``code`` and ``errorCode`` of a refusal; none where it is not one of loyalty."""
    try:
        told = parse_json(body)
        found = [told.get(name).text() for name in ("code", "errorCode")]
    except BadMessage:
        return frozenset()
    return frozenset(code for code in found if _CODE.match(code))
