"""What goes to 1C and comes back, piece by piece: literals, addresses, values, errors, rows, mappings."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from adapters.contract import HttpCall, HttpReply, Job
from adapters.json_parsing import Node, parse_json
from adapters.onec_server import ADAPTER, answers, catalogues, documents, literals, published, sessions
from adapters.onec_server.answers import accepted, code_of, document, rows
from adapters.onec_server.catalogues import NOBODY
from adapters.onec_server.mapping import Mapping
from adapters.onec_server.options import OneCOptions
from adapters.onec_server.pull import pull as pull_of
from adapters.talks import listen
from gateway.mask import mask
from gateway.yaml_files import read_yaml
from processing.commands import BlockCard, EnrolHolder, Ref
from processing.errors import BadMessage, LinkDown, LinkRefused, Undelivered
from tests.adapters.onec_server import one_c
from tests.adapters.onec_server.bases import KIND, MAPPINGS, mapping
from tests.adapters.onec_server.far_side import AT, SERVICE, link, operation_told
from tests.adapters.onec_server.one_c import PASSWORD, USER, OneC, parsed, ref

FEW = settings(max_examples=30)
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=40)
WALL = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))


# Literals and addresses -------------------------------------------------------------------------------------------


@FEW
@given(TEXTS)
def test_a_text_is_read_back_as_it_was(told: str) -> None:
    told = literals.plain(told)
    assert one_c.literal(literals.text(told)) == told


@FEW
@given(st.uuids(), WALL)
def test_guids_and_moments_are_read_back(told: UUID, at: datetime) -> None:
    assert one_c.literal(literals.guid(str(told).upper())) == told
    assert one_c.literal(literals.moment(at)) == at.replace(microsecond=0)
    assert not {"Z", "+"} & set(literals.moment(at)[8:])


@FEW
@given(st.lists(TEXTS, min_size=1, max_size=4), TEXTS)
def test_a_filter_finds_what_it_names_whatever_is_in_it(wanted: list[str], other: str) -> None:
    """Encoded once, in Cyrillic too, with no plus for a space; and no text gets out of its quotes."""
    wanted = [literals.plain(each) for each in wanted]
    target = literals.target("Catalog_Карты", [("$filter", literals.any_of("Номер", map(literals.text, wanted)))])
    assert target.isascii() and "+" not in target and " " not in target and "&" not in target.partition("?")[2]
    path, asked = parsed(target)
    assert path == "Catalog_Карты"
    for each in (*wanted, literals.plain(other)):
        assert one_c.true(asked["$filter"], {"Номер": each}, {"Номер"}) == (each in wanted)


def test_what_no_xml_can_carry_is_not_said() -> None:
    assert literals.text("a\x00b\x1fc\ud800'd") == "'abc''d'"
    with pytest.raises(BadMessage):
        literals.guid("6f0c2a4e")


# Errors -----------------------------------------------------------------------------------------------------------


def error(code: str) -> bytes:
    return json.dumps({"odata.error": {"code": code, "message": {"lang": "ru", "value": "Иванов не найден"}}}).encode()


XML = '<m:error xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"><m:code>8</m:code></m:error>'


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"{}", None),
        (201, b"", None),
        (400, error("10"), LinkRefused),
        (400, XML.encode(), LinkRefused),
        (400, b"<html>Bad Request</html>", LinkDown),  # a session that has died
        (400, b"", LinkRefused),
        (401, error("20"), LinkRefused),
        (401, b"", LinkRefused),
        (404, error("9"), LinkRefused),
        (405, error("19"), LinkRefused),
        (406, b"", LinkDown),
        (412, error("0"), LinkRefused),
        (429, b"", LinkDown),
        (500, error("-1"), LinkRefused),
        (500, "\ufeff".encode() + error("-1"), LinkRefused),
        (500, error("18"), LinkDown),
        (500, b"<html>1cws.dll</html>", LinkDown),
        (502, b"", LinkDown),
        (302, b"", LinkRefused),
    ],
)
def test_what_an_answer_means(status: int, body: bytes, expected: type[Undelivered] | None) -> None:
    reply = HttpReply(status, {}, body)
    if expected is None:
        assert accepted(reply) is reply
        return
    with pytest.raises(expected) as caught:
        accepted(reply)
    assert "Иванов" not in caught.value.message


def test_every_code_has_its_meaning_and_others_none() -> None:
    assert {code_of(HttpReply(400, {}, error(code))) for code in answers.MEANINGS} == set(answers.MEANINGS)
    nonsense = (error("99"), error("x" * 100), b"{", b"[]", b'{"odata.error": 5}', b"<code>9<")
    assert [code_of(HttpReply(400, {}, body)) for body in nonsense] == ["", "", "", "", "", "9"]


# Values -----------------------------------------------------------------------------------------------------------


def node(**values: Any) -> Node:
    return parse_json(json.dumps(values).encode())


def test_values_are_read_as_1c_writes_them() -> None:
    row = node(
        key=one_c.ZEROS,
        other="6F0C2A4E-0000-4000-8000-000000000001",
        line="1",
        empty="0001-01-01T00:00:00",
        day="1990-05-04T00:00:00",
        sum="1\u00a0233,05",
        plain=12.5,
        yes="Да",
        no="Ложь",
        true=True,
        none=None,
    )
    assert answers.guid(row, "key") == answers.guid(row, "none") == ""
    assert answers.guid(row, "other") == ref(1)
    assert (answers.text(row, "line"), answers.day(row, "empty")) == ("1", None)
    assert answers.day(row, "day") == date(1990, 5, 4)
    assert (answers.amount(row, "sum"), answers.amount(row, "plain")) == ("1233.05", "12.5")
    assert [answers.flag(row, name) for name in ("yes", "no", "true", "none")] == [True, False, True, False]
    assert answers.shown(row, "true") == "true"
    for read, name in ((answers.guid, "sum"), (answers.amount, "yes"), (answers.flag, "sum"), (answers.day, "line")):
        with pytest.raises(BadMessage):
            read(row, name)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"value": {}}', b'{"value": [{}]}', b'{"value": [1]}'])
def test_a_collection_that_is_none_is_no_empty_one(body: bytes) -> None:
    with pytest.raises(BadMessage):
        rows(HttpReply(200, {}, body), 5)


def test_a_collection_with_more_than_was_asked_for_is_refused() -> None:
    """As ``$inlinecount`` would make of it."""
    body = json.dumps({"value": [{"Ref_Key": ref(n)} for n in range(3)]}).encode()
    assert len(rows(HttpReply(200, {}, b"\xef\xbb\xbf" + body), 3)) == 3
    with pytest.raises(BadMessage):
        rows(HttpReply(200, {}, body), 2)
    with pytest.raises(BadMessage):
        document(HttpReply(200, {}, b"[]"))


# Rows -> asks -----------------------------------------------------------------------------------------------------


def card_row(**changes: Any) -> Node:
    told = {
        "Ref_Key": ref(1),
        "DataVersion": "AAAAAAAAB4A=",
        "DeletionMark": False,
        "Штрихкод": "02700000001234",
        "МагнитныйКод": "",
        "Статус": "Действует",
        "Партнер_Key": ref(9),
        "Owner_Key": KIND,
    }
    return node(**told | changes)


def asked(row: Node, **options: Any) -> list[Any]:
    return list(catalogues.card(row, NOBODY, link("ut11", **options)))


def test_leading_zeros_and_tracks_stay_and_kinds_have_products() -> None:
    (ask,) = asked(card_row(МагнитныйКод=";02700000001234?"), kinds={KIND: "gold"})
    assert isinstance(ask, EnrolHolder)
    assert [(name.scheme, name.value) for name in ask.names] == [
        ("onec", ref(1)),
        ("card", "02700000001234"),
        ("track", ";02700000001234?"),
    ]
    assert ask.product == "gold" and ask.phone is None
    assert asked(card_row(Owner_Key=ref(77)), kinds={KIND: "gold"}, product="") == []
    assert asked(card_row(Штрихкод="")) == []
    assert len(asked(card_row(Штрихкод="", МагнитныйКод=";1?"))[0].names) == 2


def test_a_card_that_is_no_more_is_blocked() -> None:
    for change in ({"Статус": "Аннулирована"}, {"DeletionMark": True}):
        (ask,) = asked(card_row(**change))
        assert isinstance(ask, BlockCard) and ask.card.value == ref(1)


def test_an_ask_is_named_by_object_version_and_how_it_is_read() -> None:
    """A to B and back to A is three asks; the same page again is none; another mapping or product asks again."""
    keys = [asked(card_row(**change))[0].keys[0] for change in ({}, {}, {"DataVersion": "AAAAAAAAB4E="})]
    assert keys[0] == keys[1] != keys[2]
    assert asked(card_row(), product="gold")[0].keys[0] not in keys


def test_contacts_that_are_none_leave_the_holder_as_is() -> None:
    owner = mapping("ut11")["owners"][0] | {"name": "Description"}
    row = node(
        Ref_Key=ref(9),
        DataVersion="1",
        Description="Анна",
        ДатаРождения="0001-01-01T00:00:00",
        КонтактнаяИнформация=[{"НомерТелефона": "доб. 12", "АдресЭП": "@"}, {"НомерТелефона": "", "АдресЭП": ""}],
    )
    told = catalogues.person(row, owner)
    assert (told.name, told.phone, told.email, told.birthday) == ("Анна", None, None, None)


def test_goods_are_called_as_receipts_tell_them_and_named_on_one_line() -> None:
    """The core keeps nothing that does not print, and looks for what receipts tell to the letter."""
    said = mapping("ut11")["goods"]
    at = link("ut11", mapping=mapping("ut11") | {"goods": said | {"names": ["Артикул", "Ref_Key"]}})
    row = {"Ref_Key": ref(7), "IsFolder": False, "DeletionMark": False, "Parent_Key": ref(70)}
    told = [{"Артикул": "АБ-1", "Description": "Соль\u00a01\u00a0кг\n"}, {"Артикул": ref(8).upper(), "Description": ""}]
    asks = [ask for each in told for ask in catalogues.goods(node(**row | each), at)]
    assert [(ask.code, ask.name) for ask in asks] == [("АБ-1", "Соль 1 кг"), (ref(8), "")]
    assert {(ask.names, ask.category) for ask in asks} == {((Ref("code", ref(7)),), ref(70))}


def test_times_are_by_the_clock_of_the_infobase() -> None:
    told = operation_told(17)
    assert documents.local_time(told, link("ut11")) == datetime(2026, 5, 4, 19, 52, 31)
    assert documents.local_time(told, link("ut11", zone="Asia/Vladivostok")) == datetime(2026, 5, 5, 2, 52, 31)


def test_an_operation_is_told_as_what_it_took_and_what_it_brought() -> None:
    """Of our unit and of wallets only: entries of partners balance them."""
    told = operation_told(7)
    own = link("ut11")
    assert documents.movements(told, documents.ACCRUAL, own) == [(1, "30.00")]
    assert documents.movements(told, documents.REDEMPTION, own) == [(1, "10.00")]
    assert documents.movements(told, documents.ACCRUAL, link("ut11", unit="MILES")) == []


# Sessions ---------------------------------------------------------------------------------------------------------


def signed_in(base: OneC, password: str = PASSWORD, **options: Any) -> Any:
    talk = sessions.login({"password": password}, link("ut11", **options))
    return listen(talk, lambda call: HttpReply(*base.handle(call.method, call.path, call.headers, call.body)))


def base() -> OneC:
    return OneC({"Catalog_КартыЛояльности": []})


def test_a_session_is_begun_with_a_name_in_cyrillic_and_finished() -> None:
    far = base()
    session = signed_in(far)
    assert session.for_talk and len(far.sessions) == 1
    bye: HttpCall = session.goodbye
    far.handle(bye.method, bye.path, {**session.headers, **bye.headers}, bye.body)
    assert not far.sessions
    assert far.handle("GET", bye.path, session.headers, b"")[0] == 400


def test_no_licence_is_waited_for_and_a_wrong_password_is_not() -> None:
    far = base()
    far.licences = 0
    with pytest.raises(LinkDown, match="406"):
        signed_in(far)
    with pytest.raises(LinkRefused, match="401"):
        signed_in(base(), "wrong")
    with pytest.raises(LinkRefused, match="password"):
        next(sessions.login({}, link("ut11")))


def test_a_link_may_do_without_sessions() -> None:
    talk = sessions.login({"password": PASSWORD}, link("ut11", session=False))
    with pytest.raises(StopIteration) as end:
        next(talk)
    assert end.value.value.goodbye is None
    assert sessions.credentials(USER, "п:w") == "0J7QsdC80LXQvTrQvzp3"


# Services ---------------------------------------------------------------------------------------------------------


def test_what_a_service_returns_may_be_a_document_in_a_text() -> None:
    row = {"Номер": "1", "Сумма": "1 200,50"}
    of = "<Карты><Номер>{}</Номер></Карты>".format
    xml = f'<?xml version="1.0" encoding="windows-1251"?><a>{of(1)}{of(2)}</a>'
    assert published.told(json.dumps({"Карты": [row]})).get("Карты").rows(5)[0].get("Номер").text() == "1"
    assert [each.get("Номер").text() for each in published.told(xml).get("Карты").rows(5)] == ["1", "2"]
    assert published.told({"Карты": [{"Выпущена": datetime(1, 1, 1), "Владелец": None}]}).get("Карты").rows(1)
    assert published.told("\ufeff [1]").rows(1)[0].text() == "1"
    for broken in ("{", "<a>", "<!DOCTYPE a><a/>"):
        with pytest.raises(BadMessage):
            published.told(broken)


# Mappings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(MAPPINGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_mapping_that_is_shipped_is_sound(path: Any) -> None:
    told = read_yaml(path)
    assert Mapping().load(told)["mapping"] == path.stem
    assert link(path.stem).options["mapping"]["cards"]


def test_only_what_the_mapping_has_is_pulled() -> None:
    assert link("unf", pull=["goods", "cards"]).options["pull"] == ["goods", "cards"]
    for pull in (["stores"], ["cards", "cards"]):
        with pytest.raises(ValidationError, match="each once: cards, goods"):
            link("unf", pull=pull)
    with pytest.raises(ValidationError, match="each once: none"):
        OneCOptions().load({"mapping": {**SERVICE, "service": {}}, "user": USER, "product": "guest"})
    asks = pull_of(Job(AT), link("unf", pull=[]))
    assert list(asks) == [], "a link may only tell"


def test_a_mapping_says_what_is_wrong_with_it() -> None:
    sound = mapping("ut11")
    for change, where in (
        ({"points_of": "firm"}, "points_of"),
        ({"service": SERVICE["service"]}, "service"),
        ({"cards": {"set": "Catalog Карты", "numbers": ["Номер"]}}, "cards"),
        ({"goods": {"set": "Catalog_Номенклатура"}}, "goods"),
    ):
        with pytest.raises(ValidationError) as caught:
            Mapping().load(sound | change)
        assert where in caught.value.messages
    with pytest.raises(ValidationError):
        Mapping().load({"mapping": "x", "title": "x"})


@pytest.mark.parametrize("name", ["retail2", "retail3", "unf", "ut11"])
def test_what_tells_who_people_are_is_private(name: str) -> None:
    """What is kept of a failed call is read by operators, and nobody would look for people there to forget them."""
    told = mapping(name)
    names = {*told["cards"]["numbers"]}
    for owner in told.get("owners", ()):
        contacts = owner.get("contacts") or {}
        names |= {owner.get("name", "Description"), owner.get("birthday", "")}
        names |= {contacts.get(kind, "") for kind in ("phone", "email")}
    assert names - {""} <= ADAPTER.private
    body = '{"value": [{"Description": "Анна Петрова", "ДатаРождения": "1990-05-04T00:00:00"}]}'
    assert mask(body.encode(), ADAPTER.private).count("*") and "Анна" not in mask(body.encode(), ADAPTER.private)
