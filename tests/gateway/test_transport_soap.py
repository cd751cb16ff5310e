"""SOAP calls: what the WSDL says goes out and comes in, exactly; anything else is an error of its kind."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from structlog.testing import capture_logs

from adapters.contract import HttpCall, Session, SoapCall, SoapReply
from gateway.transport import FarTransport
from processing.errors import BadReply, LinkDown, LinkRefused
from tests.gateway.far_sides import PATIENCE, call, far_side, ok, says, serving

SCHEMA = """
  <xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:discounts" elementFormDefault="qualified">
    {include}
    <xs:complexType name="Line"><xs:sequence>
      <xs:element name="Goods" type="xs:string"/>
      <xs:element name="Sum" type="xs:decimal"/>
      <xs:element name="Share" type="xs:double" minOccurs="0"/>
    </xs:sequence></xs:complexType>
    <xs:element name="Discounts"><xs:complexType><xs:sequence>
      <xs:element name="Card" type="xs:string"/>
      <xs:element name="Total" type="xs:decimal" minOccurs="0"/>
    </xs:sequence></xs:complexType></xs:element>
    <xs:element name="DiscountsResponse"><xs:complexType><xs:sequence>
      <xs:element name="At" type="xs:dateTime"/>
      <xs:element name="Day" type="xs:date"/>
      <xs:element name="Line" type="tns:Line" minOccurs="0" maxOccurs="unbounded" xmlns:tns="urn:discounts"/>
      <xs:any minOccurs="0" maxOccurs="1" processContents="lax" namespace="##other"/>
    </xs:sequence></xs:complexType></xs:element>
  </xs:schema>"""

WSDL = """<?xml version="1.0"?>{doctype}
<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
 xmlns:tns="urn:discounts" targetNamespace="urn:discounts" name="Discounts">
 <types>{schema}</types>
 <message name="In"><part name="parameters" element="tns:Discounts"/></message>
 <message name="Out"><part name="parameters" element="tns:DiscountsResponse"/></message>
 <portType name="Port"><operation name="Discounts">
  <input message="tns:In"/><output message="tns:Out"/></operation></portType>
 <binding name="Binding" type="tns:Port">
  <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
  <operation name="Discounts"><soap:operation soapAction="urn:discounts#Discounts"/>
   <input><soap:body use="literal"/></input><output><soap:body use="literal"/></output></operation>
 </binding>
 <service name="Service"><port name="Port" binding="tns:Binding">
  <soap:address location="http://somewhere.inside.example:8080/elsewhere"/></port></service>
</definitions>"""

ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>{doctype}'
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>{body}</s:Body></s:Envelope>'
)
ANSWER = """<DiscountsResponse xmlns="urn:discounts"><At>2026-05-04T12:00:00Z</At><Day>2026-05-04</Day>
 <Line><Goods>Борщ</Goods><Sum>199.90</Sum><Share>0.1</Share></Line>
 <Line><Goods>Чай</Goods><Sum>0.10</Sum></Line></DiscountsResponse>"""
FAULT = "<s:Fault><faultcode>s:Client.Wrong</faultcode><faultstring>{text}</faultstring></s:Fault>"

ASK = SoapCall("Discounts", {"Card": "29", "Total": Decimal("100.00")})

Written = Callable[..., str]


def wsdl(schema: str = "", doctype: str = "", include: str = "") -> str:
    return WSDL.format(schema=schema or SCHEMA.format(include=include), doctype=doctype)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(text: str = "", name: str = "far/discounts.wsdl") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or wsdl())
        return str(path)

    return write


def envelope(body: str = ANSWER, doctype: str = "", status: str = "200 OK", kind: str = "text/xml") -> bytes:
    content = ENVELOPE.format(body=body, doctype=doctype).encode()
    return ok(content, f"Content-Type: {kind}; charset=utf-8", status=status)


def asked(answer: bytes, path: str, what: SoapCall = ASK, **told: Any) -> Any:
    with serving(says(answer, close=True)) as server:
        reply = call(far_side(server.port, wsdl=path, **told), what)
    assert isinstance(reply, SoapReply)
    return reply.value


def test_an_operation_is_called_at_the_address_of_the_link(written: Written) -> None:
    with serving(says(envelope())) as server:
        far = FarTransport(far_side(server.port, wsdl=written()))
        session = Session({"Authorization": "Basic x"}, 60, sign=lambda what, now: {"X-Size": str(len(what.body))})
        replies = [far.call(ASK, session, time.monotonic() + PATIENCE) for _ in range(2)]
        far.close()
    assert replies[0] == replies[1]
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /base HTTP/1.1")
    for header in (
        b"Authorization: Basic x",
        b'SOAPAction: "urn:discounts#Discounts"',
        f"X-Size: {len(body)}".encode(),
    ):
        assert header in head
    sent = etree.fromstring(body)
    assert [each.text for each in sent.iter("{urn:discounts}Card", "{urn:discounts}Total")] == ["29", "100.00"]


def test_what_comes_back_is_plain_and_exact(written: Written) -> None:
    value = asked(envelope(), written())
    lines = value["Line"]
    assert (value["At"], value["Day"]) == (datetime(2026, 5, 4, 12, tzinfo=UTC), date(2026, 5, 4))
    assert [line["Sum"] for line in lines] == [Decimal("199.90"), Decimal("0.10")]
    assert str(lines[0]["Sum"]) == "199.90"
    assert (lines[0]["Goods"], lines[0]["Share"], lines[1]["Share"]) == ("Борщ", Decimal("0.1"), None)
    assert type(value) is dict
    assert {type(each) for each in leaves(value)} <= {str, Decimal, datetime, date, type(None)}


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict | list):
        return [leaf for each in (value.values() if isinstance(value, dict) else value) for leaf in leaves(each)]
    return [value]


def test_what_the_schema_leaves_open_comes_as_text(written: Written) -> None:
    body = ANSWER.replace("</DiscountsResponse>", '<x:More xmlns:x="urn:x">a</x:More></DiscountsResponse>')
    (text,) = (each for each in leaves(asked(envelope(body), written())) if str(each).startswith("<"))
    more = etree.fromstring(text)
    assert (more.tag, more.text) == ("{urn:x}More", "a")


@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error", "400 Bad Request"])
def test_a_fault_is_a_no_that_tells_its_code_only(written: Written, status: str) -> None:
    body = FAULT.format(text="no card +79210000001")
    with pytest.raises(LinkRefused, match=r"Client\.Wrong") as caught:
        asked(envelope(body, status=status), written())
    assert "7921" not in str(caught.value)


def test_a_fault_cannot_flood_the_log(written: Written) -> None:
    body = FAULT.replace("s:Client.Wrong", "\n\x1b[31m".replace("\x1b", "&#9;") + "x" * 9000).format(text="")
    with pytest.raises(LinkRefused) as caught:
        asked(envelope(body), written())
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


WHOLE = ENVELOPE.format(body=ANSWER, doctype="")
NO_ANSWERS = {
    "half XML": ok(WHOLE[: len(WHOLE) // 2].encode()),
    "no XML": ok(b"OK"),
    "nothing": ok(b""),
    "HTML": ok(b"<html><body>Welcome</body></html>"),
    "another element": envelope('<Other xmlns="urn:discounts"/>'),
    "unknown element": envelope(ANSWER.replace("<Day>", "<Extra>1</Extra><Day>")),
    "missing element": envelope(ANSWER.replace("<Day>2026-05-04</Day>", "")),
    "another namespace": envelope(ANSWER.replace("urn:discounts", "urn:others")),
    "no decimal": envelope(ANSWER.replace("199.90", "much")),
    "no date": envelope(ANSWER.replace("2026-05-04</Day>", "yesterday</Day>")),
    "no optional number": envelope(ANSWER.replace("<Share>0.1", "<Share>many")),
    "a decimal that is none": envelope(ANSWER.replace("199.90", "Infinity")),
    "no number": envelope(ANSWER.replace("<Share>0.1", "<Share>NaN")),
    "infinite": envelope(ANSWER.replace("<Share>0.1", "<Share>INF")),
    "empty body": envelope(""),
    "a DTD": envelope(doctype="<!DOCTYPE a>"),
    "an entity": envelope(ANSWER.replace("Чай", "&e;"), '<!DOCTYPE a [<!ENTITY e "x">]>'),
    "a file": envelope(ANSWER.replace("Чай", "&e;"), '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>'),
    "deep": envelope("<a>" * 5000 + "</a>" * 5000),
    "compressed": ok(b"x", "Content-Encoding: gzip"),
    "error with half XML": ok(b"<s:Envelope>", status="500 Oops"),
}


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_is_not_the_answer_of_the_wsdl_is_a_bad_reply(written: Written, answer: bytes) -> None:
    with pytest.raises(BadReply):
        asked(answer, written())


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FarTransport, list[bytes]]]:
    """A transport whose far side answers with the envelope that is in the list."""
    said = [b""]
    path = tmp_path_factory.mktemp("fuzzed") / "far.wsdl"
    path.write_text(wsdl())
    with serving(lambda sock, _: sock.sendall(ok(said[0]))) as server:
        far = FarTransport(far_side(server.port, wsdl=str(path)))
        yield far, said
        far.close()


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_mutated_answer_is_read_or_a_bad_reply(fuzzed: tuple[FarTransport, list[bytes]], data: st.DataObject) -> None:
    far, said = fuzzed
    whole = WHOLE.encode()
    at = data.draw(st.integers(0, len(whole)))
    put = data.draw(
        st.binary(max_size=3) | st.sampled_from([b"<", b"/>", b"&#0;", b"</", b'xsi:nil="true"', b"<!--", b"<a/>"])
    )
    said[0] = whole[:at] + put + whole[at + data.draw(st.integers(0, 12)) :]
    with suppress(BadReply), capture_logs():
        reply = far.call(ASK, None, time.monotonic() + PATIENCE)
        assert isinstance(reply, SoapReply)
        assert not any(isinstance(leaf, float | etree._Element) for leaf in leaves(reply.value))


def test_an_entity_is_never_expanded_nor_fetched(written: Written) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>'
    with serving(says(ok(b"<x/>"))) as other:
        remote = f'<!DOCTYPE a SYSTEM "http://127.0.0.1:{other.port}/a.dtd">'
        for doctype in (bomb, remote):
            with pytest.raises(BadReply):
                asked(envelope(ANSWER.replace("Чай", "&c;"), doctype), written())
    assert other.requests == []


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Later", "500 Oops", "429 Slowly"])
def test_an_error_of_http_is_one(written: Written, status: str) -> None:
    with pytest.raises(LinkDown) as caught:
        asked(ok(b"<html/>", "Retry-After: 7", "Content-Type: text/html", status=status), written())
    assert caught.value.retry_seconds == 7


@pytest.mark.parametrize("status", ["401 Who", "404 Nowhere", "301 Elsewhere"])
def test_a_no_of_http_is_one(written: Written, status: str) -> None:
    with pytest.raises(LinkRefused, match=status[:3]):
        asked(ok(b"", status=status), written())


def test_an_answer_beyond_the_bound_is_refused(written: Written) -> None:
    with pytest.raises(BadReply, match="2000"):
        asked(envelope(ANSWER + " " * 2000), written(), max_answer_bytes=2000)


@pytest.mark.parametrize(
    "what",
    [
        SoapCall("Other", {}),
        SoapCall("Discounts", {}),
        SoapCall("Discounts", {"Card": "29", "Secret": "+79210000001"}),
        SoapCall("Discounts", {"Card": "29", "Total": ["+79210000001"]}),
        SoapCall("Discounts", {"Card": "\x00+79210000001"}),
    ],
)
def test_what_the_wsdl_does_not_take_is_not_sent(written: Written, what: SoapCall) -> None:
    with serving(says(envelope())) as server, pytest.raises(LinkRefused) as caught:
        call(far_side(server.port, wsdl=written()), what)
    assert server.requests == []
    assert "7921" not in str(caught.value)


def test_a_link_without_wsdl_makes_no_soap_calls() -> None:
    with pytest.raises(LinkRefused, match="wsdl"):
        call(far_side(9), ASK)


# The WSDL ---------------------------------------------------------------------------------------------------------


def test_schemas_lie_beside_a_local_wsdl(written: Written) -> None:
    inner = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:include schemaLocation="{}"/></xs:schema>'
    written(SCHEMA.format(include="").strip(), "far/discounts.xsd")
    path = written(
        wsdl(inner.format("discounts.xsd").replace("<xs:schema ", '<xs:schema targetNamespace="urn:discounts" '))
    )
    assert asked(envelope(), path)["Line"]


@pytest.mark.parametrize("place", ["../secret.xsd", "/etc/passwd", "file:///etc/passwd", "link.xsd"])
def test_a_local_wsdl_imports_nothing_from_outside_of_its_folder(written: Written, tmp_path: Path, place: str) -> None:
    written(SCHEMA.format(include="").strip(), "secret.xsd")
    path = written(wsdl(include=f'<xs:include schemaLocation="{place}"/>'))
    (tmp_path / "far" / "link.xsd").symlink_to(tmp_path / "secret.xsd")
    with serving(says(envelope())) as server, pytest.raises(LinkDown, match="outside of its folder"):
        call(far_side(server.port, wsdl=path), ASK)
    assert server.requests == []


def test_a_local_wsdl_imports_nothing_from_the_network(written: Written) -> None:
    with serving(says(ok(SCHEMA.format(include="").encode()))) as server:
        path = written(wsdl(include=f'<xs:include schemaLocation="http://127.0.0.1:{server.port}/base/a.xsd"/>'))
        with pytest.raises(LinkDown, match="imports from"):
            call(far_side(server.port, wsdl=path), ASK)
    assert server.requests == []


def served(documents: dict[str, bytes]) -> Any:
    """A script that answers GET by path, anything else with the answer of the operation."""

    def script(sock: Any, request: bytes) -> None:
        method, path = request.split(b" ")[:2]
        found = documents.get(path.decode(), b"")
        sock.sendall(envelope() if method == b"POST" else ok(found) if found else ok(status="404 No"))

    return script


def test_a_wsdl_is_read_once_a_process(written: Written) -> None:
    path = written()
    assert asked(envelope(), path) == asked(envelope(), path)
    Path(path).unlink()
    assert asked(envelope(), path)["Line"]


def test_threads_share_a_wsdl(written: Written) -> None:
    """Each with a transport of its own, as delivery has them."""
    path, found = written(), list[Any]()
    with serving(says(envelope())) as server:
        told = far_side(server.port, wsdl=path)
        threads = [threading.Thread(target=lambda: found.append(call(told, ASK))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 8
    assert all(each == found[0] for each in found)


def test_a_wsdl_comes_from_its_host_once_with_what_it_imports_there() -> None:
    documents = {
        "/ws?wsdl": wsdl(include='<xs:include schemaLocation="/ws?xsd=1"/>').encode(),
        "/ws?xsd=1": b'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:discounts"/>',
    }
    with serving(served(documents)) as server:
        far = FarTransport(far_side(server.port, wsdl=f"http://127.0.0.1:{server.port}/ws?wsdl"))
        for _ in range(2):
            reply = far.call(ASK, None, time.monotonic() + PATIENCE)
            assert isinstance(reply, SoapReply)
            assert reply.value["Line"]
        far.close()
    assert [request.split(b" ")[1] for request in server.requests] == [b"/ws?wsdl", b"/ws?xsd=1", b"/base", b"/base"]


def test_a_wsdl_from_the_network_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "secret.xsd").write_text(SCHEMA.format(include=""))
    with serving(says(ok(b"<x/>"))) as other:
        for place in (f"http://127.0.0.1:{other.port}/a.xsd", f"file://{tmp_path}/secret.xsd"):
            documents = {"/ws?wsdl": wsdl(include=f'<xs:include schemaLocation="{place}"/>').encode()}
            with serving(served(documents)) as server, pytest.raises(LinkDown, match="imports"):
                call(far_side(server.port, wsdl=f"http://127.0.0.1:{server.port}/ws?wsdl"), ASK)
    assert other.requests == []


NO_WSDLS = {
    "nothing": b"",
    "half": wsdl()[:900].encode(),
    "HTML": b"<html/>",
    "entities": wsdl(doctype='<!DOCTYPE a [<!ENTITY e "x">]>').encode(),
    "endless": b"<a>" + b" " * 20_000,
}


@pytest.mark.parametrize("content", NO_WSDLS.values(), ids=NO_WSDLS)
def test_a_wsdl_that_is_none_keeps_the_link_down(content: bytes) -> None:
    with serving(served({"/ws?wsdl": content})) as server, pytest.raises((LinkDown, BadReply)):
        call(far_side(server.port, wsdl=f"http://127.0.0.1:{server.port}/ws?wsdl", max_answer_bytes=16_384), ASK)


def test_a_wsdl_comes_from_no_inner_address() -> None:
    with serving(served({"/ws?wsdl": wsdl().encode()})) as server, pytest.raises(LinkDown, match="inner"):
        told = far_side(server.port, "https", wsdl=f"http://127.0.0.1:{server.port}/ws?wsdl", inner_addresses=())
        call(told, ASK)
    assert server.connections == 0


def test_a_chain_of_imports_has_an_end() -> None:
    def script(sock: Any, request: bytes) -> None:
        path = request.split(b" ")[1].decode()
        number = int(path.partition("=")[2] or 0)
        nested = f'<xs:include schemaLocation="/ws?x={number + 1}"/>'
        sock.sendall(ok((wsdl(include=nested) if not number else SCHEMA.format(include=nested).strip()).encode()))

    with serving(script) as server, pytest.raises(LinkDown):
        call(far_side(server.port, wsdl=f"http://127.0.0.1:{server.port}/ws"), ASK)
    assert len(server.requests) <= 100


def test_an_http_call_may_go_beside_soap(written: Written) -> None:
    with serving(says(ok(json.dumps({"a": 1}).encode()))) as server:
        call(far_side(server.port, wsdl=written()), HttpCall("GET", "/ping"))
    assert server.requests[0].startswith(b"GET /base/ping ")
