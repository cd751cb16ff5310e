"""SOAP envelopes, as a server reads and writes them: 1.1 and 1.2, document/literal, no headers of our own.

SOAP 1.1 is W3C NOTE-SOAP-20000508, 1.2 is the W3C Recommendation of 27 April 2007. A caller is answered in the
version in which it spoke. SOAPAction is not read: its bytes are undefined where operations have Cyrillic names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lxml import etree

from adapters.contract import WireRequest, WireResponse
from adapters.parsing import bad, parse_xml
from adapters.texts import reason
from processing.errors import BadCredentials, BadMessage, LoyaltyError, NoSuchRoute

SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
CONTENT_TYPES = {SOAP_11: "text/xml; charset=utf-8", SOAP_12: "application/soap+xml; charset=utf-8"}

# Fault codes of both versions for a message that makes no sense, and for a failure of ours.
SENDER, RECEIVER = "sender", "receiver"
_CODES = {
    (SOAP_11, SENDER): "soap:Client",
    (SOAP_11, RECEIVER): "soap:Server",
    (SOAP_12, SENDER): "soap:Sender",
    (SOAP_12, RECEIVER): "soap:Receiver",
}


# RFC 7617: names and passwords of 1C are Cyrillic.
CHALLENGE = {"WWW-Authenticate": 'Basic realm="tillgate", charset="UTF-8"'}


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message: the version's namespace, and the one element of its body."""

    version: str
    content: etree._Element

    @property
    def operation(self) -> str:
        """The local name of the content, by which the operation is known (WS-I Basic Profile 1.1, R2712)."""
        return str(etree.QName(self.content).localname)


def read_envelope(body: bytes) -> Envelope:
    """Errors: BadMessage."""
    root = parse_xml(body)
    name = etree.QName(root)
    version = name.namespace or ""
    if name.localname != "Envelope" or version not in CONTENT_TYPES:
        raise bad("xml", name.text, "an Envelope of SOAP 1.1 or 1.2")
    found = root.find(f"{{{version}}}Body")
    content = None if found is None else next(found.iterchildren(tag=etree.Element), None)
    if content is None:
        raise bad("Envelope/Body", "", "one element")
    return Envelope(version, content)


def write_envelope(version: str, fill: Callable[[etree._Element], None]) -> bytes:
    """The envelope with what ``fill`` puts into its body."""
    root = etree.Element(f"{{{version}}}Envelope", nsmap={"soap": version})
    fill(etree.SubElement(root, f"{{{version}}}Body"))
    return bytes(etree.tostring(root, xml_declaration=True, encoding="utf-8"))


def envelope_of(request: WireRequest) -> Envelope | None:
    """The message's envelope; ``None`` where there is none."""
    try:
        return read_envelope(request.body)
    except BadMessage:
        return None


def fault(error: LoyaltyError, envelope: Envelope | None, language: str) -> WireResponse:
    """The refusal as a fault in the version of the call. What the door refuses has its own status, all else 500."""
    version = envelope.version if envelope else SOAP_11
    status, headers = 500, {}
    if isinstance(error, BadCredentials):
        status, headers = 401, CHALLENGE
    elif isinstance(error, NoSuchRoute):
        status = 404
    body = write_fault(version, RECEIVER if error.retryable else SENDER, reason(error, language), language)
    return WireResponse(body, CONTENT_TYPES[version], status, headers, refused=error.code)


def write_fault(version: str, side: str, words: str, language: str) -> bytes:
    """A fault that says ``words``, which are valid XML text in this language."""
    code = _CODES[version, side]

    def fill(body: etree._Element) -> None:
        fault = etree.SubElement(body, f"{{{version}}}Fault")
        if version == SOAP_11:
            etree.SubElement(fault, "faultcode").text = code
            etree.SubElement(fault, "faultstring").text = words
            return
        told = etree.SubElement(etree.SubElement(fault, f"{{{version}}}Code"), f"{{{version}}}Value")
        told.text = code
        reason = etree.SubElement(etree.SubElement(fault, f"{{{version}}}Reason"), f"{{{version}}}Text")
        reason.set("{http://www.w3.org/XML/1998/namespace}lang", language)
        reason.text = words

    return write_envelope(version, fill)
