"""The WSDLs of our SOAP services keep every rule that 1C's client checks, and what is said and heard keeps to them.

Rules: docs/adapters/onec_soap.md, "What 1C takes" (numbers are those of WS-I Basic Profile 1.1). The discount server's
names are 1C's own and Cyrillic (docs/adapters/onec_discount.md, "The service").
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from adapters import onec_discount, onec_soap
from adapters.contract import Adapter
from adapters.onec_discount import wsdl as discount
from adapters.onec_soap import messages, wsdl
from adapters.testing.samples import Sample, read_samples
from adapters.wsdl import address

ADDRESS = "https://loyalty.example/pos/desk/ws/Loyalty"
NS = {
    "w": "http://schemas.xmlsoap.org/wsdl/",
    "x": "http://www.w3.org/2001/XMLSchema",
    "s11": "http://schemas.xmlsoap.org/wsdl/soap/",
    "s12": "http://schemas.xmlsoap.org/wsdl/soap12/",
}
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


@dataclass(frozen=True)
class Published:
    """A service of ours as its WSDL tells it."""

    title: str
    adapter: Adapter
    document: bytes
    name: str
    namespace: str
    operations: tuple[str, ...]
    names: str

    @cached_property
    def root(self) -> Any:
        return etree.fromstring(self.document)

    def found(self, path: str, root: Any = None) -> list[Any]:
        return list((self.root if root is None else root).xpath(path, namespaces=NS))

    @cached_property
    def schema(self) -> etree.XMLSchema:
        return etree.XMLSchema(etree.fromstring(etree.tostring(self.found("//x:schema")[0])))

    def __str__(self) -> str:
        return self.title


LOYALTY = Published(
    "onec_soap",
    onec_soap.ADAPTER,
    wsdl.document(ADDRESS),
    "Loyalty",
    "http://tillgate/1c/v1",
    tuple(messages.OPERATIONS),
    r"[A-Za-z][A-Za-z0-9_]*",
)
HONEST, DECLARED = (
    Published(
        f"onec_discount_{results}",
        onec_discount.ADAPTER,
        discount.document(results, ADDRESS),
        "ДисконтныйСервер",
        "http://localhost/rt2discountservice",
        tuple(discount.RESULTS),
        r"[А-Яа-яёЁ]+(Soap(12)?(Binding)?|PortType|Request|Response|ResponseType|(Request|Response)Message)?"
        r"|return|parameters",
    )
    for results in (discount.HONEST, discount.DECLARED)
)
SERVICES = (LOYALTY, HONEST, DECLARED)
SAMPLES = {
    adapter.name: read_samples(Path(__file__).parent / adapter.name / "samples", adapter)
    for adapter in (onec_soap.ADAPTER, onec_discount.ADAPTER)
}
each_service = pytest.mark.parametrize("service", SERVICES, ids=str)


@each_service
def test_one_file_with_one_schema_and_nothing_imported(service: Published) -> None:
    found = service.found
    assert service.root.tag == f"{{{NS['w']}}}definitions"
    (schema,) = found("//x:schema")
    assert schema.get("targetNamespace") == service.root.get("targetNamespace") == service.namespace
    assert (schema.get("elementFormDefault"), schema.get("attributeFormDefault")) == ("qualified", "unqualified")
    assert found("//x:import | //x:include | //w:import | //@schemaLocation") == []
    assert service.namespace.isascii()


@each_service
def test_nothing_that_1c_may_not_take_is_used(service: Published) -> None:
    found = service.found
    refused = ("any", "anyAttribute", "attribute", "choice", "all", "group", "attributeGroup", "union", "list", "key")
    for tag in (*refused, "keyref", "simpleType", "restriction", "extension", "complexContent"):
        assert found(f"//x:{tag}") == [], tag


@each_service
def test_all_types_are_named_flat_sequences_of_known_types(service: Published) -> None:
    found = service.found
    own = {f"tns:{name}" for name in found("//x:complexType/@name")}
    assert found("//x:complexType[not(parent::x:schema)]") == []
    assert [each.tag for each in found("//x:complexType/*")] == [f"{{{NS['x']}}}sequence"] * len(own)
    assert set(found("//x:element/@type")) <= own | SIMPLE
    assert found("//x:element[not(@type)]") == []
    for repeated in found("//x:element[@maxOccurs]"):
        assert (repeated.get("maxOccurs"), repeated.get("minOccurs")) == ("unbounded", "0")
        assert len(repeated.getparent()) == 1


@each_service
def test_names_are_those_that_1c_can_say(service: Published) -> None:
    found = service.found
    names = {*found("//@name")}
    assert [name for name in names if not re.fullmatch(service.names, name)] == []
    # `return` is what 1C itself calls a result, and nobody says it: the client unwraps it.
    assert {name for name in names if name.lower() in RESERVED} == {"return"}


@each_service
def test_document_literal_wrapped_in_both_versions(service: Published) -> None:
    found = service.found
    for operation in service.operations:
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
        assert len(bodies) == 2 * len(service.operations)
        assert {(body.get("use"), body.get("namespace")) for body in bodies} == {("literal", None)}  # R2706, R2716
        assert {each.get("style") for each in found(f"//{version}:operation")} == {"document"}
    assert found("//w:fault | //s11:header | //s12:header | //s11:fault | //s12:fault") == []


@each_service
def test_everything_is_named_once_and_leads_somewhere(service: Published) -> None:
    found = service.found
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
        assert [op.get("name") for op in found("w:operation", port_type)] == list(service.operations)
        assert all(
            len(found("w:input", op)) == len(found("w:output", op)) == 1 for op in found("w:operation", port_type)
        )
    for binding in found("//w:binding"):
        assert [op.get("name") for op in found("w:operation", binding)] == list(service.operations)


@each_service
def test_service_and_ports_are_named_as_1c_would_and_have_the_address(service: Published) -> None:
    found = service.found
    assert found("//w:service/@name") == [service.name]
    assert found("//w:port/@name") == [f"{service.name}Soap", f"{service.name}Soap12"]
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
    sample = next(each for each in SAMPLES["onec_soap"] if each.case == "wsdl")
    link = replace(sample.link, options={**sample.link.options, "address": option})
    told = address(replace(sample.request, headers=headers), link, "ws/Loyalty")
    assert told == expected
    assert etree.fromstring(wsdl.document(told)).xpath("//s11:address/@location", namespaces=NS) == [expected]


# 1C's own names -------------------------------------------------------------------------------------------------

# docs/adapters/onec_discount.md, "The service": parameters and fields, in order; a question mark: may be undefined.
OPERATIONS = """
ПолучитьСуммуНакопления: ИдентификаторКарты ДатаНачала ДатаОкончания ИдентификаторСегмента \
    ИдентификаторИсключаемогоДокументта
ПолучитьДанныеПоследнейПокупки: ИдентификаторКарты ДатаРасчета ИдентификаторСегмента \
    ИдентификаторИсключаемогоДокументта
ПолучитьОстатокБонусов: ИдентификаторКарты ДатаЗапроса
ПолучитьОстатокБонусовРасширенный: ИдентификаторКарты ДатаЗапроса
ОбновитьДанныеОПродажах: ТипДокумента ИдентификаторДокумента ТаблицаТоваров
ОбновитьДанныеОБонусах: ТипДокумента ИдентификаторДокумента ТаблицаБонусов
ОбновитьДанныеОКупонах: ТипДокумента ИдентификаторДокумента ТаблицаКупонов?
ПолучитьСкидкиПоКупону: КодКупона ДатаЗапроса
"""
TYPES = """
РезультатЗапросаОНакоплениях: РезультатЗапроса?
СтрокаРезультатаЗапросаОНакоплениях: СуммаНакопления КоличествоНакопления
РезультатЗапросаОПоследнейПокупке: РезультатЗапроса?
СтрокаРезультатаЗапросаОПоследнейПокупке: ДатаПокупки СуммаНакопления КоличествоНакопления
РезультатЗапросаОБонусах: РезультатЗапроса?
СтрокаРезультатаЗапросаОБонусах: ДатаОперации КоличествоБаллов
РезультатЗапросаОБонусахРасширенный: РезультатЗапроса?
СтрокаРезультатаЗапросаОБонусахРасширенного: ПредставлениеПериода КоличествоБаллов Изменение ТекущийОстаток
ТаблицаПродаж: СтрокиТаблицы?
СтрокаТаблицыПродаж: Период ИдентификаторКарты? ИдентификаторНоменклатуры? ИдентификаторХарактеристики? \
    Сумма? Количество?
ТаблицаБонусов: СтрокиТаблицы?
СтрокаТаблицыБонусов: Период ВидДвижения ИдентификаторБонуснойПрограммы? ИдентификаторКарты? Начислено? КСписанию?
ТаблицаКупонов: СтрокиТаблицы?
СтрокаТаблицыКупонов: Период ИдентификаторСкидки? КодКупона? Состояние? ИдентификаторМагазина? ПериодДействия
"""


def table(text: str) -> list[tuple[str, list[str]]]:
    rows = [row.split(":") for row in text.replace("\\\n", "").strip().splitlines()]
    return [(name, fields.split()) for name, fields in rows]


@pytest.mark.parametrize("service", (HONEST, DECLARED), ids=str)
def test_the_discount_server_has_1cs_names_in_1cs_order(service: Published) -> None:
    for name, expected in table(TYPES) + [(f"{name}Request", fields) for name, fields in table(OPERATIONS)]:
        fields = service.found(f"//x:complexType[@name='{name}']/x:sequence/x:element")
        told = [each.get("name") + ("?" if each.get("nillable") else "") for each in fields]
        assert told == expected, name
    assert list(service.operations) == [name for name, _ in table(OPERATIONS)]


# What is said and heard ---------------------------------------------------------------------------------------

SAID = [
    (service, sample)
    for service in (LOYALTY, HONEST)
    for sample in SAMPLES[service.adapter.name]
    if not sample.case.startswith("wsdl") and sample.case not in ("operation_unknown", "identify_nil")
]
# What the schema refuses we refuse as well.
UNFIT = {"sales_bad_amount"}


def contents(sample: Sample) -> list[Any]:
    """What the request's and the answer's bodies carry."""
    envelopes = [etree.fromstring(text) for text in (sample.request.body, sample.answer) if text]
    return [each for root in envelopes for each in root.xpath("/*/*[local-name()='Body']/*[local-name()!='Fault']")]


@pytest.mark.parametrize(("service", "sample"), SAID, ids=lambda each: getattr(each, "case", ""))
def test_requests_and_answers_are_what_the_schema_says(service: Published, sample: Sample) -> None:
    for content in contents(sample):
        assert service.schema.validate(content) == (sample.case not in UNFIT), service.schema.error_log
