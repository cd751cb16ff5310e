"""Calls to 1C's OData interface: pages, look-ups by a filter, objects made, changed and posted.

docs/adapters/onec_server.md, "OData". No call uses ``$inlinecount``, which makes 1C ignore the page, nor ``$expand``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from adapters.contract import Calling, HttpCall, HttpReply, Link, http
from adapters.json_parsing import Node
from adapters.onec_server.answers import rows
from adapters.onec_server.literals import entity, target

JSON = ("$format", "json")
WRITES = {"Content-Type": "application/json; charset=utf-8"}

_encode = msgspec.json.Encoder().encode


def page(
    link: Link, set_name: str, select: Iterable[str], skip: int, top: int, where: str = "", order: str = "Ref_Key"
) -> Calling[list[Node]]:
    """Rows of a set, or of those that a filter is true for, in one order that 1C keeps stable; without names of
    properties whole ones. Errors: LinkDown, LinkRefused, BadMessage."""
    names = ",".join(dict.fromkeys(select))
    asked = (
        JSON,
        *allowed(link),
        *((("$select", names),) if names else ()),
        *((("$filter", where),) if where else ()),
        ("$orderby", order),
        ("$top", str(top)),
        ("$skip", str(skip)),
    )
    return rows((yield from http(HttpCall("GET", _place(link, set_name, asked)))), top)


def find(link: Link, set_name: str, where: str, most: int, select: Sequence[str] = ()) -> Calling[list[Node]]:
    """Rows that a filter is true for, whole or with these properties. Errors: as ``page``."""
    chosen = (("$select", ",".join(dict.fromkeys(select))),) if select else ()
    asked = (JSON, *allowed(link), *chosen, ("$filter", where), ("$top", str(most)))
    return rows((yield from http(HttpCall("GET", _place(link, set_name, asked)))), most)


def create(link: Link, set_name: str, values: Mapping[str, Any]) -> Calling[HttpReply]:
    """Make an object; what 1C says to it. Said once: only a look tells whether it was heard."""
    call = HttpCall("POST", _place(link, set_name, (JSON,)), WRITES, _encode(values), repeatable=False)
    return (yield from http(call))


def change(link: Link, set_name: str, ref: str, version: str, values: Mapping[str, Any]) -> Calling[HttpReply]:
    """Change properties of an object, as long as it has this version."""
    headers = {**WRITES, "If-Match": version}
    return (yield from http(HttpCall("PATCH", _place(link, entity(set_name, ref), (JSON,)), headers, _encode(values))))


def post(link: Link, set_name: str, ref: str) -> Calling[HttpReply]:
    """Post a document: ``Posted`` in its body would not do it. Posting twice is posting once."""
    asked = (("PostingModeOperational", "false"),)
    return (yield from http(HttpCall("POST", _place(link, f"{entity(set_name, ref)}/Post", asked), WRITES)))


def allowed(link: Link) -> tuple[tuple[str, str], ...]:
    """So that rows which the user may not see are left out, instead of an error for all."""
    return (("allowedOnly", "true"),) if link.options["allowed_only"] else ()


def _place(link: Link, path: str, options: Iterable[tuple[str, str]]) -> str:
    return target(f"{link.options['path']}/{path}", options)
