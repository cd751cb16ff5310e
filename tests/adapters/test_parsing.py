"""Bytes become a tree or BadMessage, and nothing is fetched, expanded or read past its bound."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import parsing
from adapters.parsing import attributes, parse_xml, parse_xml_text, spelled
from processing.errors import BadMessage, TooLarge

ZONE = ZoneInfo("Europe/Moscow")
BODY = '<a name="Борщ"/>'


@pytest.mark.parametrize(
    "body",
    [
        BODY.encode(),
        b"\xef\xbb\xbf" + BODY.encode(),
        b"\r\n \t" + BODY.encode(),
        b"\n\xef\xbb\xbf\n" + BODY.encode(),
        b'<?xml version="1.0" encoding="UTF-8"?>' + BODY.encode(),
        b'<?xml version="1.0" encoding="windows-1251"?>' + BODY.encode("cp1251"),
        b'<?xml version="1.0" encoding="utf-8"?>' + BODY.encode("cp1251"),
        BODY.encode("cp1251"),
        b"<?xml version='1.0' encoding='cp866'?>" + BODY.encode("cp866"),
        b'<?xml version="1.0" encoding="koi8-r"?>' + BODY.encode("koi8-r"),
        b"<!-- a comment --><?an instruction?>" + BODY.encode(),
    ],
)
def test_the_same_text_is_read_in_every_encoding_a_till_may_use(body: bytes) -> None:
    assert parse_xml(body).get("name") == "Борщ"


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE a [<!ENTITY x "y">]><a name="&x;"/>',
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><a/>',
        b'<?xml version="1.0"?><!DOCTYPE a><a/>',
        b'<a name="&x;"/>',
        b"<a>&x;</a>",
        b"",
        b"   ",
        b"Buf:\n",
        b"<a>",
        b"<a/><b/>",
        b'<a name="\x00"/>',
        b'<a name="\x98\xff"/>',
        b'<?xml version="1.0" encoding="utf-16"?><a/>',
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
        b'<?xml version="1.0" encoding="ibm037"?><a/>',
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a><a/>'.encode("utf-16"),
        "<a/>".encode("utf-16"),
        b"<a>" * (parsing.MAX_DEPTH + 1) + b"</a>" * (parsing.MAX_DEPTH + 1),
    ],
)
def test_a_document_type_an_entity_or_nonsense_is_a_bad_message(body: bytes) -> None:
    with pytest.raises(BadMessage) as caught:
        parse_xml(body)
    assert caught.value.details["where"]


def test_a_file_is_never_read_into_the_tree(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    for body in (
        f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]><a>&x;</a>',
        f'<a xmlns:i="http://www.w3.org/2001/XInclude"><i:include href="{tmp_path}/secret" parse="text"/></a>',
    ):
        with contextlib.suppress(BadMessage):
            assert "secret" not in "".join(parse_xml(body.encode()).itertext())


def test_depth_and_size_are_read_up_to_their_bounds_and_no_further() -> None:
    assert parse_xml(b"<a>" * parsing.MAX_DEPTH + b"</a>" * parsing.MAX_DEPTH) is not None
    fitting = b"<a>" + b"x" * (parsing.MAX_BYTES - 7) + b"</a>"
    assert parse_xml(fitting).text
    with pytest.raises(TooLarge):
        parse_xml(fitting + b" ")


def test_threads_parse_side_by_side() -> None:
    def many(number: int) -> set[str | None]:
        return {parse_xml(f'<a name="{number}"/>'.encode()).get("name") for _ in range(500)}

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(many, range(8))) == [{str(number)} for number in range(8)]


def test_a_document_inside_a_document_may_declare_any_encoding() -> None:
    assert parse_xml_text(' <?xml version="1.0" encoding="windows-1251"?>\n' + BODY).get("name") == "Борщ"


def test_attributes_are_found_in_any_case_the_quick_way_or_the_thorough_one() -> None:
    usual, loud = parse_xml(b'<a Card=" 1 " Kind="2" x="3"/>'), parse_xml(b'<a CARD="1" KIND="2 "/>')
    wanted, optional = spelled("Card", "Kind"), spelled("Vat")
    assert attributes(usual, wanted, optional) == {"card": "1", "kind": "2", "vat": ""}
    assert attributes(loud, wanted, optional) == {"card": "1", "kind": "2"}
    assert attributes(usual) == {"card": "1", "kind": "2", "x": "3"}


READERS = [
    parsing.integer,
    parsing.identifier,
    parsing.minor,
    parsing.thousandths,
    parsing.code,
    parsing.day,
    lambda text, where: parsing.instant(text, where, ZONE),
]


@given(st.sampled_from(READERS), st.none() | st.text() | st.from_regex(r"[-+0-9.T: ]{0,30}", fullmatch=True))
def test_a_reader_gives_a_value_or_a_bad_message_that_says_where(reader, text) -> None:  # type: ignore[no-untyped-def]
    try:
        reader(text, "LINE@sum")
    except BadMessage as error:
        assert error.details["where"] == "LINE@sum"
        assert len(str(error.details["value"])) <= parsing.MAX_QUOTED


@pytest.mark.parametrize(
    ("text", "kopecks"), [("550", 55000), ("3622.88", 362288), ("-77.5", -7750), ("0", 0), ("12.", 1200)]
)
def test_roubles_become_kopecks_exactly(text: str, kopecks: int) -> None:
    assert parsing.minor(text, "x") == kopecks


@pytest.mark.parametrize("text", ["0.001", "1e3", "1,5", "٣", "", "--1", "0x1", "1_0", "inf", "9" * 18])
def test_an_amount_that_is_not_exactly_kopecks_is_refused(text: str) -> None:
    with pytest.raises(BadMessage):
        parsing.minor(text, "x")


@pytest.mark.parametrize(
    ("text", "thousandths"), [("1", 1000), ("0.333333333", 333), ("0", 0), ("2.5", 2500), ("-1", -1000)]
)
def test_a_quantity_is_cut_to_thousandths(text: str, thousandths: int) -> None:
    assert parsing.thousandths(text, "x") == thousandths


@pytest.mark.parametrize("text", ["0.3333x", "", "1.2.3", "0.333٣"])
def test_a_quantity_with_more_than_digits_is_refused(text: str) -> None:
    with pytest.raises(BadMessage):
        parsing.thousandths(text, "x")


def test_card_numbers_reach_to_the_last_int64_and_not_past_it() -> None:
    assert parsing.identifier(str(2**63 - 1), "x") == 2**63 - 1
    for text in (str(2**63), "-1", "", "1.0", "٣", "1" * 5000):
        with pytest.raises(BadMessage):
            parsing.identifier(text, "x")


@pytest.mark.parametrize("text", ["2026-05-04", "2026-05-04T00-00-00", "2026-05-04T00:00:00", "2026-05-04 23:59"])
def test_a_date_is_read_in_every_spelling_seen(text: str) -> None:
    assert parsing.day(text, "x") == date(2026, 5, 4)


@pytest.mark.parametrize(
    "text",
    [
        "2013-08-2116:2316:23:56",
        "2026-13-01",
        "2026-02-30",
        "",
        "today",
        "20260504",
        "2026-W19-1",
        "2026-W19-1T19:52:30",
    ],
)
def test_a_malformed_date_is_refused(text: str) -> None:
    with pytest.raises(BadMessage):
        parsing.day(text, "x")


def test_local_time_becomes_utc_in_the_stores_zone() -> None:
    assert parsing.instant("2026-05-04T19:52:30", "x", ZONE) == datetime(2026, 5, 4, 16, 52, 30, tzinfo=UTC)
    berlin = ZoneInfo("Europe/Berlin")
    assert parsing.instant("2026-10-25T02:30:00", "x", berlin) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    with pytest.raises(BadMessage):
        parsing.instant("0001-01-01T00:00:00", "x", ZONE)
