"""1C over real sockets: a published service by its WSDL, in the shape in which 1C publishes one, and OData's addresses.

The WSDL is written after the page: names of operations, types and the action are Cyrillic, ``return`` comes first,
values carry ``xsi:type``, an undefined one is nil, and a document may stand in a text.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from lxml import etree

from adapters.contract import Call, Job, Link, Message, Reply, Session
from adapters.onec_server import ADAPTER
from adapters.onec_server.options import OneCOptions
from adapters.talks import listen
from gateway.transport import FarTransport
from processing.errors import LinkRefused
from processing.results import Result
from tests.adapters.onec_server.bases import ut11
from tests.adapters.onec_server.far_side import AT, SERVICE, Service, Wallets, balance, link, operation, service_rows
from tests.adapters.onec_server.one_c import PASSWORD, USER, OneC, parsed
from tests.gateway.far_sides import PATIENCE, far_side, ok, serving

NAMESPACE = "http://shop.example/cards"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
PARAMETERS = {
    "ПолучитьКарты": {"Начало": "xs:int", "Количество": "xs:int"},
    "ПринятьОперацию": {
        "Ид": "xs:string",
        "Карта": "xs:string",
        "Начислено": "xs:decimal",
        "Списано": "xs:decimal",
        "Дата": "xs:dateTime",
    },
    "ПринятьОстаток": {"Ид": "xs:string", "Карта": "xs:string", "Остаток": "xs:decimal"},
}
RESULTS = {"ПолучитьКарты": "tns:СписокКарт", "ПринятьОперацию": "xs:boolean", "ПринятьОстаток": "xs:string"}


def wsdl() -> str:
    """Definitions as 1C writes them, for the operations above."""
    elements, messages, port, binding = "", "", "", ""
    for name, parameters in PARAMETERS.items():
        inside = "".join(f'<xs:element name="{each}" type="{kind}"/>' for each, kind in parameters.items())
        elements += _element(name, inside)
        elements += _element(f"{name}Response", f'<xs:element name="return" type="{RESULTS[name]}" nillable="true"/>')
        for suffix, element in (("Request", name), ("Response", f"{name}Response")):
            messages += (
                f'<message name="{name}{suffix}Message"><part name="parameters" element="tns:{element}"/></message>'
            )
        inner = f'<input message="tns:{name}RequestMessage"/><output message="tns:{name}ResponseMessage"/>'
        port += f'<operation name="{name}">{inner}</operation>'
        binding += (
            f'<operation name="{name}"><soapbind:operation style="document" soapAction="{NAMESPACE}#Карты:{name}"/>'
            '<input><soapbind:body use="literal"/></input><output><soapbind:body use="literal"/></output></operation>'
        )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soapbind="http://schemas.xmlsoap.org/wsdl/soap/"
 xmlns:tns="{NAMESPACE}" xmlns:xs="http://www.w3.org/2001/XMLSchema" name="Карты" targetNamespace="{NAMESPACE}">
 <types><xs:schema targetNamespace="{NAMESPACE}" elementFormDefault="qualified" attributeFormDefault="unqualified">
  <xs:complexType name="Карта"><xs:sequence>
   <xs:element name="Ссылка" type="xs:string"/><xs:element name="Версия" type="xs:string"/>
   <xs:element name="Номер" type="xs:string"/><xs:element name="Владелец" type="xs:string" nillable="true"/>
   <xs:element name="Телефон" type="xs:string" nillable="true"/><xs:element name="Родился" type="xs:dateTime"/>
   <xs:element name="Заблокирована" type="xs:boolean"/>
  </xs:sequence></xs:complexType>
  <xs:complexType name="СписокКарт"><xs:sequence>
   <xs:element name="Карты" type="tns:Карта" minOccurs="0" maxOccurs="unbounded"/></xs:sequence></xs:complexType>
  {elements}</xs:schema></types>
 {messages}<portType name="КартыPortType">{port}</portType>
 <binding name="КартыSoapBinding" type="tns:КартыPortType">
  <soapbind:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>{binding}</binding>
 <service name="Карты"><port name="КартыSoap" binding="tns:КартыSoapBinding">
  <soapbind:address location="http://inside.example/base/ws/Cards"/></port></service>
</definitions>"""


def _element(name: str, inside: str) -> str:
    return (
        f'<xs:element name="{name}"><xs:complexType><xs:sequence>{inside}</xs:sequence></xs:complexType></xs:element>'
    )


def answered(operation: str, inside: str, attributes: str = "") -> bytes:
    """An answer of 1C."""
    return f"""<soap:Envelope xmlns:soap="{SOAP}"><soap:Body>
<m:{operation}Response xmlns:m="{NAMESPACE}"><m:return xmlns:xs="http://www.w3.org/2001/XMLSchema"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"{attributes}>{inside}</m:return></m:{operation}Response>
</soap:Body></soap:Envelope>""".encode()


def card(row: dict[str, str]) -> str:
    """A row as an element, what nobody knows as nil."""
    told = {**row, "Заблокирована": "true" if row["Заблокирована"] == "Да" else "false"}
    fields = "".join(
        f"<m:{name}>{value}</m:{name}>" if value else f'<m:{name} xsi:nil="true"/>' for name, value in told.items()
    )
    return f'<m:Карты xsi:type="m:Карта">{fields}</m:Карты>'


class Published:
    """The service behind a socket: what came in by operation, and its answers."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes, dict[str, str]]] = []

    def __call__(self, sock: socket.socket, request: bytes) -> None:
        head, _, body = request.partition(b"\r\n\r\n")
        call = next(iter(etree.fromstring(body).find(f"{{{SOAP}}}Body")))
        name = etree.QName(call).localname
        told = {etree.QName(each).localname: each.text or "" for each in call}
        self.heard.append((name, head, told))
        sock.sendall(ok(self.answer(name, told), "Content-Type: text/xml; charset=utf-8"))

    def answer(self, name: str, told: dict[str, str]) -> bytes:
        if name == "ПолучитьКарты":
            rows = service_rows()[int(told["Начало"]) :][: int(told["Количество"])]
            rows = [{**row, "Телефон": "" if n else row["Телефон"]} for n, row in enumerate(rows)]
            return answered(name, "".join(map(card, rows)), ' xsi:type="m:СписокКарт"')
        if name == "ПринятьОперацию":
            return answered(name, "true")
        return answered(name, '<![CDATA[{"result": "ok"}]]>')


def over(transport: FarTransport, link: Link, job: Job, reads: Wallets) -> list[Any]:
    """Lead a talk over the transport, as delivery would; what was found."""
    found: list[Any] = []
    assert ADAPTER.push is not None and ADAPTER.login is not None and ADAPTER.pull is not None
    login: Any = ADAPTER.login({"password": PASSWORD}, link)
    until = time.monotonic() + PATIENCE
    session: Session = listen(login, lambda call: transport.call(call, None, until))

    def answer(told: Any) -> Reply | Result | None:
        if isinstance(told, Call):
            return transport.call(told, session, until)
        if hasattr(told, "asks"):
            found.append(told)
            return None
        return reads.read(told)

    listen((ADAPTER.push.talk if job.messages else ADAPTER.pull)(job, link), answer)
    if session.goodbye is not None:
        transport.call(session.goodbye, session, until)
    return found


def service_link(**changes: Any) -> Link:
    told = {"mapping": SERVICE, "user": USER, "product": "guest", "session": False, "page": 2}
    return Link("office", "bistro", ZoneInfo("Europe/Moscow"), OneCOptions().load(told | changes))


@pytest.fixture
def written(tmp_path: Path) -> str:
    path = tmp_path / "cards.wsdl"
    path.write_text(wsdl(), "utf-8")
    return str(path)


def test_cards_of_a_published_service_are_read_by_its_wsdl(written: str) -> None:
    with serving(Published()) as server:
        transport = FarTransport(far_side(server.port, wsdl=written))
        found = over(transport, service_link(), Job(AT), Service())
        transport.close()
    published: Any = server.script
    asks = [ask for each in found for ask in each.asks]
    assert [type(ask).__name__ for ask in asks] == ["EnrolHolder", "EnrolHolder", "BlockCard"]
    assert [ask.phone for ask in asks[:2]] == ["+79120000001", None]
    assert {ask.birthday for ask in asks[:2]} == {None}, "a date of the year 1 is none"
    name, head, told = published.heard[0]
    assert told == {"Начало": "0", "Количество": "20"}
    assert f'SOAPAction: "{NAMESPACE}#Карты:{name}"'.encode() in head, "the action travels as UTF-8"
    assert b"Authorization: Basic " in head


def test_movements_and_balances_go_to_a_published_service(written: str) -> None:
    with serving(Published()) as server:
        transport = FarTransport(far_side(server.port, wsdl=written))
        over(transport, service_link(), Job(AT, messages=(operation(17),)), Service())
        with pytest.raises(LinkRefused, match="does not say that it is done"):
            over(transport, service_link(), Job(AT, messages=(balance(8, 1),)), Service())
        transport.close()
    published: Any = server.script
    (_, _, told), (_, _, rest) = published.heard
    assert Decimal(told["Списано"]) == Decimal("30.00") and told["Дата"] == "2026-05-04T19:52:31"
    assert told["Ид"] == "tillgate office 17 redemption 1" and rest["Остаток"] == "70.50"


# OData over a socket ----------------------------------------------------------------------------------------------


def over_http(base: OneC) -> Callable[[socket.socket, bytes], None]:
    """The infobase behind a socket, below /base."""

    def script(sock: socket.socket, request: bytes) -> None:
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        method, target, _ = first.split(" ")
        assert target.startswith("/base/")
        headers = dict(line.split(": ", 1) for line in lines)
        status, more, told = base.handle(method, target.removeprefix("/base/"), headers, body)
        sock.sendall(ok(told, *(f"{name}: {value}" for name, value in more.items()), status=f"{status} X"))

    return script


def test_odata_is_spoken_over_http_with_one_session_and_one_encoding() -> None:
    base = ut11(4)
    own = link("ut11", balance_field="БаллыЛояльности")
    with serving(over_http(base)) as server:
        transport = FarTransport(far_side(server.port))
        found = over(transport, own, Job(AT), Service())
        over(transport, own, Job(AT, messages=(operation(7), balance(8, 1))), Service())
        transport.close()
    assert sum(len(each.asks) for each in found) == 4
    assert [document["Posted"] for document in base.sets["Document_НачислениеИСписаниеБонусныхБаллов"]] == [True, True]
    assert not base.sessions and base._count == 2
    assert all("%25" not in call and call.isascii() for call in base.calls)
    assert {parsed(call.split(" ")[1])[0].split("(")[0].rpartition("/")[2] for call in base.calls} >= {
        "Catalog_КартыЛояльности",
        "Catalog_Партнеры",
    }


def test_the_probe_is_asked_first_and_need_not_be_published() -> None:
    base = ut11(3)
    test = Job(AT, messages=(Message(0, "test", {}),))
    with serving(over_http(base)) as server:
        transport = FarTransport(far_side(server.port))
        over(transport, link("ut11"), test, Service())
        transport.close()
    assert base.calls[1] == "POST ws/InterfaceVersion.1cws"
