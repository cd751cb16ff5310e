"""A SOAP operation of the far side, called by its WSDL.

zeep makes the envelope and reads the answer; what travels goes through gateway/transport_http.py with all its bounds.
It reads strictly: broken XML mended by guessing, or an element dropped because the schema does not know it, would be
an answer that nobody has given; where zeep itself is lenient (_Expected, _NoValue), it is made strict. The endpoint is
the link's address, whatever the WSDL says about where it is.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
import zeep
import zeep.exceptions
import zeep.helpers
import zeep.settings
import zeep.transports
import zeep.wsdl
from lxml import etree
from zeep.wsdl.bindings.soap import SoapBinding
from zeep.wsdl.messages import DocumentMessage

from adapters.contract import HttpCall, HttpReply, SoapCall, SoapReply, checked
from gateway.far_side import WEB, FarSide
from gateway.transport_http import Http, origin
from processing.errors import BadReply, LinkDown, LinkRefused, Undelivered

MAX_WSDL = 8 << 20
MAX_DOCUMENTS = 100
MAX_SHOWN = 80
# SOAP 1.1 tells its faults with 500, SOAP 1.2 with 400 and 500.
WITH_ENVELOPE = frozenset({200, 202, 400, 500})

Send = Callable[[HttpCall], HttpReply]


# What WSDLs say, by where they are: read once a process, as the configuration is; read twice it does no harm.
_documents: dict[str, Any] = {}


class Soap:
    """A client of the link's WSDL, which is read at the first call and kept."""

    def __init__(self, far_side: FarSide, http: Http) -> None:
        self._far_side = far_side
        self._transport = _Transport(far_side, http)
        self._client: Any = None

    def exchange(self, call: SoapCall, send: Send, until: float) -> SoapReply:
        """What the operation has returned. ``send`` does the HTTP call. Errors: LinkDown, LinkRefused, BadReply."""
        self._transport.until = until
        binding = self._binding(call.operation)
        headers, envelope = self._envelope(binding, call)
        reply = send(HttpCall("POST", "", headers, envelope, repeatable=call.repeatable))
        return SoapReply(_plain(self._read(binding, call.operation, reply)))

    def _binding(self, operation: str) -> Any:
        """The first SOAP binding that has the operation. Errors: LinkRefused, LinkDown."""
        if self._client is None:
            self._client = self._load()
        for service in self._client.wsdl.services.values():
            for port in service.ports.values():
                if isinstance(port.binding, SoapBinding) and operation in port.binding.all():
                    return port.binding
        raise LinkRefused(f"the WSDL has no operation {operation!r}"[:MAX_SHOWN])

    def _load(self) -> Any:
        settings = zeep.settings.Settings(strict=True, forbid_dtd=True, forbid_entities=True, xml_huge_tree=False)
        if not self._far_side.wsdl:
            raise LinkRefused("the link names no wsdl")
        try:
            return zeep.Client(
                self._document(settings), transport=self._transport, settings=settings, plugins=[_Expected()]
            )
        except Undelivered:
            raise
        except Exception as error:  # whatever zeep and lxml make of a document that is none
            raise LinkDown(f"its WSDL cannot be read ({type(error).__name__})") from None

    def _document(self, settings: Any) -> Any:
        place = self._far_side.wsdl
        if place not in _documents:
            document = zeep.wsdl.Document(place, self._transport, settings=settings)
            if not document.services:
                raise ValueError("no service")
            _documents[place] = document
        return _documents[place]

    def _envelope(self, binding: Any, call: SoapCall) -> tuple[dict[str, str], bytes]:
        """Headers and bytes of the request. Errors: LinkRefused for arguments that the WSDL does not take."""
        try:
            envelope, headers = binding._create(
                call.operation, (), dict(call.arguments), client=self._client, options={}
            )
            told = {name: _on_the_wire(value) for name, value in headers.items()}
            return told, etree.tostring(envelope, encoding="utf-8", xml_declaration=True)
        except Exception as error:  # TypeError, ValueError, zeep's own; their texts may have what was to be said
            path = ".".join(map(str, getattr(error, "path", ())))[:MAX_SHOWN]
            raise LinkRefused(f"the arguments do not fit the WSDL ({type(error).__name__} {path})") from None

    def _read(self, binding: Any, operation: str, reply: HttpReply) -> Any:
        """What zeep reads in the answer. Errors: LinkRefused for a fault, BadReply, those of ``checked``."""
        if reply.status not in WITH_ENVELOPE or (reply.status >= 400 and b"Envelope" not in reply.body):
            checked(reply)
        try:
            return binding.process_reply(self._client, binding.get(operation), _response(reply))
        except zeep.exceptions.Fault as fault:
            raise LinkRefused(f"it answers with the fault {_shown(fault.code)}") from None
        except Undelivered:
            raise
        except Exception as error:  # zeep lets through whatever its parsing of values meets
            raise BadReply(f"it is no answer of this operation ({type(error).__name__})") from None


class _Expected(zeep.Plugin):  # type: ignore[misc]
    """Sees to it that the answer is the element that the WSDL tells: zeep takes any for it, with nothing inside."""

    def ingress(self, envelope: Any, http_headers: Any, operation: Any) -> tuple[Any, Any]:
        output, body = operation.output, envelope.find("{*}Body")
        expected = getattr(getattr(output, "body", None), "qname", None)
        if isinstance(output, DocumentMessage) and not output._is_body_wrapped and expected is not None:
            found = next(iter(body), None) if body is not None else None
            if found is None or found.tag not in (str(expected), etree.QName(envelope, "Fault")):
                raise BadReply("it is not the element that the WSDL tells")
        return envelope, http_headers


class _NoValue(logging.Filter):
    """Makes an error of what zeep only logs: a value that its type does not have, which it then leaves out."""

    def filter(self, record: logging.LogRecord) -> bool:
        raise BadReply("it has a value that its type does not have")


for _name in ("zeep.xsd.types.simple", "zeep.xsd.elements.attribute"):
    logging.getLogger(_name).setLevel(logging.ERROR)
    logging.getLogger(_name).addFilter(_NoValue())


class _Transport(zeep.transports.Transport):  # type: ignore[misc]
    """Where zeep gets documents from: beside the WSDL, or from its host with the bounds of every call."""

    def __init__(self, far_side: FarSide, http: Http) -> None:
        super().__init__()
        self.until = 0.0
        self._far_side = far_side
        self._http = http
        self._documents = 0

    def load(self, url: Any) -> bytes:
        """A WSDL, or a schema that it imports. Errors: LinkDown."""
        self._documents += 1
        if self._documents > MAX_DOCUMENTS:
            raise LinkDown(f"its WSDL imports more than {MAX_DOCUMENTS} documents")
        parts, wsdl = urlsplit(str(url)), urlsplit(self._far_side.wsdl)
        if parts.scheme not in WEB:
            return self._local(Path(unquote(parts.path) if parts.scheme == "file" else str(url)))
        if origin(parts) != origin(wsdl):
            raise LinkDown(f"its WSDL imports from {parts.hostname}: keep copies beside it and name them"[:200])
        reply = self._http.fetch(requests.Request("GET", str(url)).prepare(), self.until)
        if reply.status != 200:
            raise LinkDown(f"its WSDL is answered with HTTP {reply.status}")
        return reply.body

    def _local(self, path: Path) -> bytes:
        """Only what lies in the folder of a local WSDL, or below."""
        wsdl, path = Path(self._far_side.wsdl).resolve(), path.resolve()
        if urlsplit(self._far_side.wsdl).scheme in WEB or not path.is_relative_to(wsdl.parent):
            raise LinkDown("its WSDL imports a file from outside of its folder")
        try:
            with path.open("rb") as file:
                content = file.read(MAX_WSDL + 1)
        except OSError as error:
            raise LinkDown(f"its WSDL cannot be read: {error.strerror}") from None
        if len(content) > MAX_WSDL:
            raise LinkDown(f"its WSDL exceeds {MAX_WSDL} bytes")
        return content


def _response(reply: HttpReply) -> requests.Response:
    response = requests.Response()
    response.status_code = reply.status
    response.headers.update(reply.headers)
    response._content = reply.body
    return response


def _shown(code: Any) -> str:
    """A fault's code, which the far side chose: harmless characters, and not many."""
    return "".join(c for c in str(code) if c.isascii() and (c.isalnum() or c in ":._-"))[:MAX_SHOWN] or "without a code"


def _on_the_wire(value: str) -> str:
    """The header's value as its bytes travel: names of actions may be Cyrillic (1C's are), and go as UTF-8."""
    return value.encode("utf-8").decode("latin-1")


def _plain(value: Any) -> Any:
    """Nothing but dicts, lists and plain values: what the schema leaves open as XML text, no floats."""
    return _leaves(zeep.helpers.serialize_object(value, dict))


def _leaves(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _leaves(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_leaves(inner) for inner in value]
    if isinstance(value, etree._Element):
        return etree.tostring(value, encoding="unicode", with_tail=False)
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        raise BadReply("it has a number that is none")
    return Decimal(repr(value)) if isinstance(value, float) else value
