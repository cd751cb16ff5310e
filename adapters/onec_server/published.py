"""A published service in the place of OData: its operations tell cards in pages and take what we tell.

What an operation returns may be a structure of its WSDL, or a text with a JSON or XML document in it, which is read
like any other. docs/adapters/onec_server.md, "Services".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from lxml import etree

from adapters.contract import Calling, Link, SoapCall, soap
from adapters.json_parsing import Node, parse_json
from adapters.onec import queries
from adapters.onec_server.answers import day, flag, text
from adapters.onec_server.catalogues import MAX_NUMBER, MAX_VERSION, Person, block, enrol, is_email
from adapters.onec_server.options import MAX_PAGE, mapping_of
from adapters.parsing import MAX_NAME, bad, parse_xml_text
from processing.commands import Command
from processing.errors import LinkRefused


def cards(listing: Mapping[str, Any], skip: int, top: int) -> Calling[list[Node]]:
    """The next rows; none behind the last one. Errors: LinkDown, LinkRefused, BadReply, BadMessage."""
    call = SoapCall(listing["operation"], {listing["skip"]: skip, listing["top"]: top})
    found = told((yield from soap(call)).value)
    for step in listing["rows"]:
        if not isinstance(found.value, list):  # zeep leaves out a level that has one element in it
            found = found.get(step)
    if isinstance(found.value, dict):  # XML does not tell one row from a list of one
        found = Node([found.value], found.where)
    if found.value is None and not listing["rows"]:
        raise bad("return", None, "rows")
    rows = found.rows(MAX_PAGE)
    for row in rows:
        text(row, listing["row"]["guid"])
    return rows


def card(row: Node, link: Link) -> Iterator[Command[Any]]:
    """What a row asks of the core. Errors: BadMessage."""
    named = mapping_of(link)["service"]["cards"]["row"]

    def of(name: str) -> str:
        return text(row, named[name])[:MAX_NAME] if named[name] else ""

    told, number, version = (
        text(row, named["guid"], MAX_VERSION).lower(),
        text(row, named["number"], MAX_NUMBER),
        text(row, named["version"], MAX_VERSION),
    )
    if not told or not number:
        return
    if named["blocked"] and flag(row, named["blocked"]):
        yield block(told, version, link)
        return
    email = of("email") if is_email(of("email")) else None
    birthday = day(row, named["birthday"]) if named["birthday"] else None
    owner = Person("", of("name") or None, queries.phone(of("phone")) or None, email, birthday)
    yield from enrol(told, version, [number], link.options["product"], owner, link)


def tell(telling: Mapping[str, Any], words: Mapping[str, Any]) -> Calling[None]:
    """Say something under our id, by which the service knows a repeat. Errors: LinkRefused for another answer than
    the one that means that it is done."""
    arguments = {name: words[word] for name, word in telling["parameters"].items()}
    found = told((yield from soap(SoapCall(telling["operation"], arguments, repeatable=False))).value)
    if str(found.value).strip().lower() != telling["done"].lower():
        raise LinkRefused("the service does not say that it is done")


# What services return ---------------------------------------------------------------------------------------------


def told(value: Any) -> Node:
    """What an operation has returned, as a document. Errors: BadMessage for a text that begins one and is none."""
    if isinstance(value, str):
        begin = value.lstrip("\ufeff \r\n\t")
        if begin.startswith(("{", "[")):
            return parse_json(begin.encode("utf-8", "replace"))
        if begin.startswith("<"):
            return Node(_of_xml(parse_xml_text(begin)))
    return Node(_plain(value))


def _of_xml(element: etree._Element) -> Any:
    """Its text, or its children by their names; of several with one name a list."""
    if not len(element):
        return (element.text or "").strip()
    found: dict[str, Any] = {}
    for child in element:
        name, value = etree.QName(child).localname, _of_xml(child)
        if name in found:
            before = found[name] if isinstance(found[name], list) else [found[name]]
            value = [*before, value]
        found[name] = value
    return found


def _plain(value: Any) -> Any:
    """As JSON would have it: numbers and dates as texts."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        return str(value)
    return value
