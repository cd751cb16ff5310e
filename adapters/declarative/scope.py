"""What the values of a document may look at: the message, the link, an element of a list, and what was answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from lxml import etree

from adapters.contract import Link, WireRequest
from adapters.json_parsing import parse_json
from adapters.parsing import bad, parse_xml
from processing.errors import LoyaltyError

MAX_FIELDS = 1_000
JSON, XML, SOAP, FORM, NOTHING = "json", "xml", "soap", "form", "nothing"
KINDS = (JSON, XML, SOAP, FORM, NOTHING)
_SOAP = frozenset({"http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope"})


class Missing:
    """What is not there, as against what is empty."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "nothing"


MISSING = Missing()


@dataclass
class Scope:
    """One message on its way: ``item`` is the element of the list that is being gone through, ``result`` what the core
    answered, ``error`` the refusal. ``seen`` collects each value that is read, as it stood and as it was converted.
    ``secrets`` are the link's, for a login only."""

    request: WireRequest
    link: Link
    kind: str
    item: Any = MISSING
    result: Any = None
    error: LoyaltyError | None = None
    seen: list[tuple[str, Any, Any]] | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    _read: dict[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> Any:
        """The document of the message. Errors: BadMessage."""
        if "body" not in self._read:
            self._read["body"] = read_body(self.request.body, self.kind)
        return self._read["body"]

    @body.setter
    def body(self, document: Any) -> None:
        """Where it was read already."""
        self._read["body"] = document

    def about(self, document: Any) -> Scope:
        """The same place and link, looking at another document: a line of a file, an item of an answer."""
        return Scope(self.request, self.link, self.kind, _read={"body": document})

    @property
    def query(self) -> dict[str, str]:
        if "query" not in self._read:
            self._read["query"] = pairs(self.request.query, "query")
        found: dict[str, str] = self._read["query"]
        return found

    def at(self, item: Any) -> Scope:
        """The same, looking at an element of a list; what was read is shared."""
        return Scope(
            self.request, self.link, self.kind, item, self.result, self.error, self.seen, self.secrets, self._read
        )


def read_body(body: bytes, kind: str) -> Any:
    """Objects and arrays of JSON, the root of XML, the one element inside a SOAP body, the fields of a form.

    A message may be an address and nothing else: of JSON without a body nothing is there.
    """
    if kind == JSON:
        return parse_json(body).value if body else {}
    if kind == FORM:
        try:
            return pairs(body.decode("utf-8"), "body")
        except UnicodeDecodeError as error:
            raise bad("body", f"byte {error.start}", "UTF-8") from None
    if kind == NOTHING:
        return {}
    root = parse_xml(body)
    return root if kind == XML else _inside(root)


def _inside(root: etree._Element) -> etree._Element:
    name = etree.QName(root)
    found = root.find(f"{{{name.namespace}}}Body") if name.namespace in _SOAP else None
    content = None if found is None else next(found.iterchildren(tag=etree.Element), None)
    if content is None:
        raise bad("Envelope/Body", name.text, "an envelope of SOAP 1.1 or 1.2 with one element")
    return content


def pairs(text: str, where: str) -> dict[str, str]:
    """Fields of a form or query by name; the last of several. Errors: BadMessage."""
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise bad(where, "", f"at most {MAX_FIELDS} fields") from None
