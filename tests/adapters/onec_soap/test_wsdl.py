"""The WSDL keeps every rule that 1C's client checks, and what is said and heard keeps to the WSDL.

Rules: docs/adapters/onec_soap.md, "What 1C takes" (numbers are those of WS-I Basic Profile 1.1).
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from adapters.onec_soap import ADAPTER
from adapters.onec_soap.messages import OPERATIONS
from adapters.onec_soap.talks import SERVICE_PATH
from adapters.onec_soap.wsdl import NAMESPACE, document
from adapters.testing.samples import Sample, read_samples
from adapters.wsdl import address

ADDRESS = "https://loyalty.example/pos/desk/ws/Loyalty"
NS = {
    "w": "http://schemas.xmlsoap.org/wsdl/",
    "x": "http://www.w3.org/2001/XMLSchema",
    "s11": "http://schemas.xmlsoap.org/wsdl/soap/",
    "s12": "http://schemas.xmlsoap.org/wsdl/soap12/",
}
ROOT = etree.fromstring(document(ADDRESS))
SAMPLES = read_samples(Path(__file__).parent / "samples", ADAPTER)
# What 1C's language keeps for itself, in English; a name behind a dot that is one of them may not parse.
RESERVED = {
    *(
        "if",
        "then",
        "elsif",
        "else",
        "endif",
        "for",
        "each",
        "in",
        "to",
        "while",
        "do",
        "enddo",
        "goto",
        "continue",
        "break",
    ),
    *("procedure", "endprocedure", "function", "endfunction", "var", "export", "return", "val", "async", "await"),
    *("and", "or", "not", "try", "except", "raise", "endtry", "new", "execute", "true", "false", "undefined", "null"),
    *("addhandler", "removehandler"),
}
SIMPLE = {f"xs:{name}" for name in ("string", "boolean", "decimal", "int", "dateTime", "date")}


def found(path: str, root: Any = ROOT) -> list[Any]:
    return list(root.xpath(path, namespaces=NS))


def test_one_file_with_one_schema_and_nothing_imported() -> None:
    assert ROOT.tag == f"{{{NS['w']}}}definitions"
    (schema,) = found("//x:schema")
    assert schema.get("targetNamespace") == ROOT.get("targetNamespace") == NAMESPACE
    assert (schema.get("elementFormDefault"), schema.get("attributeFormDefault")) == ("qualified", "unqualified")
    assert found("//x:import | //x:include | //w:import | //@schemaLocation") == []
    assert NAMESPACE.isascii()


def test_nothing_that_1c_may_not_take_is_used() -> None:
    refused = ("any", "anyAttribute", "attribute", "choice", "all", "group", "attributeGroup", "union", "list", "key")
    for tag in (*refused, "keyref", "simpleType", "restriction", "extension", "complexContent"):
        assert found(f"//x:{tag}") == [], tag


def test_all_types_are_named_flat_sequences_of_known_types() -> None:
    own = {f"tns:{name}" for name in found("//x:complexType/@name")}
    assert found("//x:complexType[not(parent::x:schema)]") == []
    assert [each.tag for each in found("//x:complexType/*")] == [f"{{{NS['x']}}}sequence"] * len(own)
    assert set(found("//x:element/@type")) <= own | SIMPLE
    assert found("//x:element[not(@type)]") == []
    for repeated in found("//x:element[@maxOccurs]"):
        assert (repeated.get("maxOccurs"), repeated.get("minOccurs")) == ("unbounded", "0")
        assert repeated.getparent().getparent().get("name").endswith("List")
        assert len(repeated.getparent()) == 1


def test_names_are_those_that_1c_can_say() -> None:
    names = {*found("//@name")}
    assert [name for name in names if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name)] == []
    # `return` is what 1C itself calls a result, and nobody says it: the client unwraps it.
    assert {name for name in names if name.lower() in RESERVED} == {"return"}


def test_document_literal_wrapped_in_both_versions() -> None:
    for operation in OPERATIONS:
        (asked,) = found(f"//x:schema/x:element[@name='{operation}']")
        (answered,) = found(f"//x:schema/x:element[@name='{operation}Response']")
        assert asked.get("type") and answered.get("type")
        (result,) = found(f"//x:complexType[@name='{answered.get('type')[4:]}']/x:sequence/x:element")
        assert (result.get("name"), result.get("minOccurs")) == ("return", None)
    # R2204: parts of document/literal are elements; one part, named as 1C names it.
    for message in found("//w:message"):
        (part,) = found("w:part", message)
        assert (part.get("name"), part.get("type")) == ("parameters", None)
        assert found(f"//x:schema/x:element[@name='{part.get('element')[4:]}']")
    for version in ("s11", "s12"):
        (binding,) = found(f"//w:binding/{version}:binding")
        assert binding.get("style") == "document"  # R2705
        assert binding.get("transport") == "http://schemas.xmlsoap.org/soap/http"  # R2702, in both
        bodies = found(f"//{version}:body")
        assert len(bodies) == 2 * len(OPERATIONS)
        assert {(body.get("use"), body.get("namespace")) for body in bodies} == {("literal", None)}  # R2706, R2716
        assert {each.get("style") for each in found(f"//{version}:operation")} == {"document"}
    assert found("//w:fault | //s11:header | //s12:header | //s11:fault | //s12:fault") == []


def test_everything_is_named_once_and_leads_somewhere() -> None:
    for kind in ("message", "portType", "binding", "service", "port"):
        names = found(f"//w:{kind}/@name")
        assert names and len(names) == len(set(names))
    for name in ("complexType", "element"):
        names = found(f"//x:schema/x:{name}/@name")
        assert len(names) == len(set(names))
    messages, port_types, bindings = (set(found(f"//w:{kind}/@name")) for kind in ("message", "portType", "binding"))
    assert {each[4:] for each in found("//w:portType//@message")} == messages
    assert {each[4:] for each in found("//w:binding/@type")} == port_types
    assert {each[4:] for each in found("//w:port/@binding")} == bindings
    for port_type in found("//w:portType"):
        assert [op.get("name") for op in found("w:operation", port_type)] == list(OPERATIONS)
        assert all(
            len(found("w:input", op)) == len(found("w:output", op)) == 1 for op in found("w:operation", port_type)
        )
    for binding in found("//w:binding"):
        assert [op.get("name") for op in found("w:operation", binding)] == list(OPERATIONS)


def test_service_and_ports_are_named_as_1c_would_and_have_the_address() -> None:
    assert found("//w:service/@name") == ["Loyalty"]
    assert found("//w:port/@name") == ["LoyaltySoap", "LoyaltySoap12"]
    assert found("//@location") == [ADDRESS, ADDRESS]  # R2711


@pytest.mark.parametrize(
    ("headers", "option", "expected"),
    [
        ({"host": "shop.example:8080"}, "", "http://shop.example:8080/pos/link-under-test/ws/Loyalty"),
        (
            {"host": "10.0.0.1", "x-forwarded-host": "shop.example", "x-forwarded-proto": "https"},
            "",
            "https://shop.example/pos/link-under-test/ws/Loyalty",
        ),
        ({"host": "10.0.0.1"}, "https://shop.example/x/Loyalty", "https://shop.example/x/Loyalty"),
        ({"host": '"><evil/>'}, "", 'http://"><evil/>/pos/link-under-test/ws/Loyalty'),
    ],
)
def test_the_address_is_the_one_under_which_the_desk_came(headers: dict[str, str], option: str, expected: str) -> None:
    sample = next(each for each in SAMPLES if each.case == "wsdl")
    link = replace(sample.link, options={**sample.link.options, "address": option})
    told = address(replace(sample.request, headers=headers), link, SERVICE_PATH)
    assert told == expected
    assert etree.fromstring(document(told)).xpath("//s11:address/@location", namespaces=NS) == [expected]


# What is said and heard ---------------------------------------------------------------------------------------

SCHEMA = etree.XMLSchema(etree.fromstring(etree.tostring(found("//x:schema")[0])))


def contents(sample: Sample) -> list[Any]:
    """What the request's and the answer's bodies carry."""
    envelopes = [etree.fromstring(text) for text in (sample.request.body, sample.answer) if text]
    return [each for root in envelopes for each in root.xpath("/*/*[local-name()='Body']/*[local-name()!='Fault']")]


@pytest.mark.parametrize("sample", [each for each in SAMPLES if each.case != "wsdl"], ids=lambda each: each.case)
def test_requests_and_answers_are_what_the_schema_says(sample: Sample) -> None:
    for content in contents(sample):
        if sample.case not in ("operation_unknown", "identify_nil"):
            SCHEMA.assertValid(content)
