"""Report files: documents -> lines -> the same documents, in every width and dialect; signs, stornos, traps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from adapters.contract import BROKEN, FileReply, FileWrite, Found, Job, Link, Source
from adapters.frontol import ADAPTER, keys, report_documents
from adapters.frontol.report_journal import Numbers
from adapters.frontol.report_lines import Report
from processing.commands import PostReceipt, ReturnReceipt
from processing.errors import BadMessage
from tests.adapters.frontol.report_till import NOON, USER_DEFINED, Doc, Sold, Till, interleaved

(FACE,) = ADAPTER.files
AT = datetime(2026, 5, 4, 18, tzinfo=UTC)
CARD = "2200000000017"


def link(**reports: Any) -> Link:
    told = {"points": {"unit": "BONUS"}, **reports}
    return Link("frontol-1", "bistro", ZoneInfo("Europe/Moscow"), ADAPTER.options().load({"reports": told}))


def read(content: bytes, state: Any = None, **reports: Any) -> list[Found]:
    return list(FACE.read(Source("report.txt", [content], state, AT), link(**reports)))


def asks(content: bytes, **reports: Any) -> list[Any]:
    return [ask for found in read(content, **reports) for ask in found.asks]


def one(content: bytes, **reports: Any) -> Any:
    (found,) = asks(content, **reports)
    return found


# Documents -> lines -> the same documents --------------------------------------------------------------------------

sold = st.builds(
    lambda goods, price, quantity, back, off: Sold(
        goods, price, quantity, min(back, quantity), 0 if back else min(off, price * quantity // 1000)
    ),
    st.sampled_from(["10021", "А-17", "10044"]),
    st.integers(100, 99_999),
    st.sampled_from([1_000, 2_000, 345, 12_500]),
    st.sampled_from([0, 0, 0, 12_500]),
    st.integers(0, 90),
)
docs = st.builds(
    Doc,
    number=st.just(0),
    items=st.lists(sold, min_size=1, max_size=4, unique_by=lambda each: (each.goods, each.price)).map(tuple),
    cards=st.sampled_from([(), (CARD,), (CARD, "55")]),
    operation=st.sampled_from(["0", "0", "1"]),
    change=st.sampled_from([0, 5_000]),
    how=st.sampled_from(["0", "1"]),
)
tills = st.builds(
    Till,
    width=st.sampled_from([20, 26, 27, 36, 42, 43, 44]),
    comma=st.booleans(),
    newline=st.sampled_from(["\r\n", "\n"]),
    encoding=st.sampled_from(["cp1251", "utf-8", "utf-16-le", "utf-16-be"]),
    trailing=st.booleans(),
    hour_zero=st.booleans(),
    names=st.booleans(),
)


def expected(doc: Doc) -> tuple[Any, ...]:
    """What a document is, as its writer knows it."""
    kind = ReturnReceipt if doc.operation == "1" else PostReceipt
    lines = [(item.goods, item.quantity - item.back, item.left) for item in doc.items]
    return (
        kind,
        doc.total,
        lines,
        list(doc.cards),
        keys.content("refund" if doc.operation == "1" else "sale", doc.total),
    )


def told(ask: Any) -> tuple[Any, ...]:
    lines = [(line.goods, line.quantity_thousandths, line.sum_minor) for line in ask.receipt.lines]
    return type(ask), ask.receipt.total_minor, lines, [use.refs[0].value for use in ask.cards], ask.content


@settings(max_examples=40)
@given(st.lists(docs, min_size=1, max_size=3), tills, st.booleans(), st.integers(20, 4_000))
def test_documents_come_back_in_every_width_and_dialect(
    some: Sequence[Doc], till: Till, several_tills: bool, piece: int
) -> None:
    named = [
        replace(doc, number=4_000 + n, workplace=n % 2 if several_tills else 3, closed_at=NOON + timedelta(minutes=n))
        for n, doc in enumerate(some)
        if doc.total > 0
    ]
    lines = [till.document(doc) for doc in named]
    told_lines = interleaved(*lines[:2]) + [line for some in lines[2:] for line in some]
    content = till.report(told_lines if several_tills else [line for some in lines for line in some])
    pieces = [content[start : start + piece] for start in range(0, len(content), piece)]
    found = [ask for each in FACE.read(Source("r", pieces, None, AT), link()) for ask in each.asks]
    by_number = {ask.receipt.number: ask for ask in found}
    assert len(found) == len(named)
    for doc in named:
        assert told(by_number[str(doc.number)]) == expected(doc)


# Signs, payments, stornos ---------------------------------------------------------------------------------------


def test_a_storno_is_summed_with_its_item_and_the_line_stays() -> None:
    ask = one(Till().of(Doc(1, (Sold("a", 5_000, 3_000, back=1_000), Sold("b", 8_000, back=1_000)))))
    assert [(line.quantity_thousandths, line.sum_minor) for line in ask.receipt.lines] == [(2_000, 10_000), (0, 0)]
    assert ask.notes == ("storno",) and ask.receipt.total_minor == 10_000


def test_items_of_both_types_stay_in_the_order_of_the_file() -> None:
    content = Till().of(Doc(1, (Sold("a"), Sold("b"), Sold("c"))))
    by_hand = b"\r\n".join(
        line.replace(b";11;3;", b";1;3;") if b";b;" in line else line for line in content.split(b"\r\n")
    )
    assert by_hand != content and asks(by_hand) == asks(content)


@pytest.mark.parametrize("told", ["24:00:00", "12:03:1x", "12:60:10", "1203:10", "", "12:03"])
def test_a_document_whose_time_makes_no_sense_is_told_and_not_booked(told: str) -> None:
    found = read(Till().of(Doc(1)).replace(b";12:03:10;", f";{told};".encode()))
    assert [each.kind for each in found if each.raw] == [BROKEN]


def test_a_document_without_any_place_is_told() -> None:
    lines = [line.split(";") for line in Till(width=14, trailing=False).document(Doc(1))]
    placeless = [";".join([*line[:4], "", "", *line[6:13], ""]) for line in lines]
    assert [len(each.raw) for each in read(Till().report(placeless)) if each.raw] == [4]


def test_of_a_document_without_end_a_bounded_part_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_documents, "MAX_ROWS", 5)
    every = read(Till().of(Doc(1, tuple(Sold("10", 100) for _ in range(20)))))
    (found,) = [each for each in every if each.raw]
    assert (found.kind, found.asks, len(found.raw)) == (BROKEN, (), 5)
    assert "more than 5 lines" in found.note


def test_a_storno_of_nothing_is_told_and_not_booked() -> None:
    till = Till()
    lines = till.document(Doc(1))
    lines.insert(2, lines[1].replace("88002;", "88900;").replace(";11;3;", ";12;3;").replace("10021", "999"))
    assert [found.kind for found in read(till.report(lines)) if found.asks or found.kind != "gap"] == [BROKEN, ""]


def test_change_is_a_negative_payment_and_what_repeats_payments_is_not_counted() -> None:
    extra = tuple({4: kind, 12: "100,00"} for kind in ("43", "49", "82", "83", "84"))
    ask = one(Till().of(Doc(1, change=5_000, extra=extra)))
    assert [tender.amount_minor for tender in ask.receipt.tenders] == [15_000, -5_000]
    assert ask.content == keys.content("sale", 10_000) and not ask.notes


@pytest.mark.parametrize("is_negative", [True, False])
def test_a_refund_is_the_same_whatever_signs_its_till_writes(is_negative: bool) -> None:
    content = Till().of(Doc(1, (Sold("a", 4_000, 2_000),), (CARD,), operation="1", bonus=1_000))
    ask = one(content if is_negative else content.replace(b";-", b";"))
    assert (ask.receipt.total_minor, ask.lines[0].quantity_thousandths) == (8_000, 2_000)
    assert [tender.amount_minor for tender in ask.receipt.tenders] == [7_000, 1_000]
    assert ask.content == keys.content("refund", 8_000) and ask.cards[0].redeem[0].amount == 1_000


def test_sums_that_differ_by_more_than_rounding_are_noted() -> None:
    assert one(Till().of(Doc(1, extra=({4: "34", 12: "0,50"},)))).notes == ()
    assert one(Till().of(Doc(1, extra=({4: "34", 12: "5,00"},)))).notes == ("sums_differ",)


def test_field_16_is_less_what_was_paid_of_the_line_and_the_total_is_not() -> None:
    """Pitfall 10: with distributed payments the sums of the lines are shared anew."""
    till = Till()
    lines = till.document(Doc(1, (Sold("a", 30_000), Sold("b", 10_000)), (CARD,), bonus=20_000))
    paid = [
        line.replace(";300,00;300,00;", ";300,00;150,00;").replace(";100,00;100,00;", ";100,00;50,00;")
        for line in lines
    ]
    assert paid != lines
    assert [line.sum_minor for line in one(till.report(paid)).receipt.lines] == [30_000, 10_000]


@pytest.mark.parametrize(
    ("extra", "how", "reports", "total"),
    [
        ({4: "32", 8: CARD, 10: "1", 12: "10,00"}, "0", {}, 10_000),
        ({4: "35", 8: CARD, 10: "10", 12: "10,00"}, "0", {"redeemed_as": ["discount"]}, 11_000),
        (None, USER_DEFINED, {"redeemed_as": ["payment"]}, 10_000),
    ],
    ids=["bonus", "discount", "payment kind"],
)
def test_points_that_paid_are_read_as_the_link_says(
    extra: dict[int, str] | None, how: str, reports: dict[str, Any], total: int
) -> None:
    """Pitfall 9: it depends on how the store is set up."""
    ask = one(Till().of(Doc(1, cards=(CARD,), how=how, extra=(extra,) if extra else ())), **reports)
    assert ask.cards[0].redeem[0].amount == (1_000 if extra else 10_000)
    assert ask.receipt.total_minor == total


def test_old_numbering_reads_mark_ups_where_the_new_one_has_payments() -> None:
    content = Till().of(Doc(1, extra=({4: "36", 10: "6", 12: "5,00"},)))
    assert one(content, numbering="old").receipt.discount_minor == -500
    assert one(content).content == keys.content("sale", 10_500)


def test_gift_cards_pay_where_the_link_names_their_unit() -> None:
    content = Till().of(Doc(1, extra=({4: "36", 8: "990001", 9: "5", 10: "6", 12: "30,00"},)))
    assert one(content).cards == ()
    (use,) = one(content, gift_cards={"unit": "RUB"}).cards
    assert (use.refs[0].value, use.redeem[0].amount, use.earn) == ("990001", 3_000, ())


@pytest.mark.parametrize("told", [f"{CARD}|55", f"{CARD}¦55", f"@{CARD}|#55", f"${CARD}"])
def test_cards_are_joined_by_bars_and_marked_by_how_they_came(told: str) -> None:
    ask = one(Till().of(Doc(1, cards=(told,))))
    assert [use.refs[0].value for use in ask.cards] == [CARD, "55"][: 1 + ("55" in told)]


# What is finished, and what is not --------------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "counts"), [("55", 1), ("58", 1), ("56", 0), (None, 0)])
def test_only_what_was_closed_and_not_cancelled_is_asked(end: str | None, counts: int) -> None:
    assert len(asks(Till().of(Doc(1, end=end)))) == counts


def test_lines_behind_the_closing_one_belong_to_their_document() -> None:
    till = Till()
    first = Doc(1, cards=(CARD,))
    late = [*till.document(first), till.line(first, "9", NOON, {10: "1", 12: "7,00"})]
    told = asks(till.report([*late, *till.document(Doc(2))]), bonus="till")
    assert [ask.cards[0].earn[0].amount if ask.cards else None for ask in told] == [700, None]


def test_a_gap_is_told_and_stops_nothing_and_a_late_line_fills_it() -> None:
    till = Till()
    first = till.document(Doc(1))
    till.number += 3
    lines = first + till.document(Doc(2))
    found = read(till.report(lines))
    assert [each.note for each in found if each.kind == "gap"] == ["88006-88008 of shop-01-db"]
    assert len([each for each in found if each.asks]) == 2
    late = Till(number=88_006).line(Doc(2), "61", NOON, {})
    assert [each.note for each in read(till.report([*lines, late])) if each.kind == "gap"] == [
        "88007-88008 of shop-01-db"
    ]
    # The next file begins where this one ended, or something between is missing.
    state = found[-1].state
    till.number += 1
    assert [each.note for each in read(till.of(Doc(3)), state) if each.kind == "gap"] == ["88014-88014 of shop-01-db"]


@settings(max_examples=30)
@given(st.lists(st.integers(1, 30), max_size=40), st.integers(0, 20), st.integers(1, 9))
def test_gaps_do_not_depend_on_how_many_numbers_are_seen_at_once(told: list[int], last: int, at_once: int) -> None:
    numbers = [number for first in told for number in range(first, first + 3)]
    one_by_one, some = Numbers(last), Numbers(last)
    for number in numbers:
        one_by_one.see([number])
    for start in range(0, len(numbers), at_once):
        some.see(numbers[start : start + at_once])
    assert (some.gaps, some.more_gaps, some.last) == (one_by_one.gaps, one_by_one.more_gaps, one_by_one.last)


def test_gaps_have_a_bound() -> None:
    till, lines = Till(), []
    for _ in range(120):
        lines.append(till.line(Doc(1), "61", NOON, {}))
        till.number += 1
    gaps = [each.note for each in read(till.report(lines)) if each.kind == "gap"]
    assert len(gaps) == 101 and gaps[-1] == "and 19 more"


def test_a_refund_names_its_sale_by_number_where_just_one_may_be_it() -> None:
    refund = Doc(20, operation="1", base="7", closed_at=NOON + timedelta(hours=1))
    sale = one(Till().of(Doc(7))).keys[0]
    assert asks(Till().of(Doc(7), refund))[1].sale == sale
    # Numbers that begin again with each shift: two sales have it.
    told = asks(Till().of(Doc(7), Doc(7, shift=119), refund))[2]
    assert (told.sale, told.notes) == ("", ("base_unknown",))
    assert asks(Till().of(Doc(7), refund), refund_base="none")[1].sale == ""


# Foreign and broken files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"##@@&&\r\n#\r\n$$$ADDQUANTITY\r\n1;2;3\r\n",
        b"<?xml version='1.0'?>\n<a/>\n",
        b"PK\x03\x04" + b"\x00" * 100,
        "1,Чек,100\r\n".encode("cp866"),
        b"#\r\ndb\r\n1\r\nno transaction\r\n",
        b"x" * (70 << 10),
        b"hello",
    ],
)
def test_a_foreign_file_is_refused_before_anything_was_found(content: bytes) -> None:
    with pytest.raises(BadMessage):
        next(iter(FACE.read(Source("r", [content], None, AT), link())))


@pytest.mark.parametrize("content", [b"", b"#", b"#\r\n", b"#\r\nshop", b"@\r\ndb\r\n5\r\n", b"\r\n\r\n#\r\n"])
def test_a_beginning_is_not_foreign(content: bytes) -> None:
    assert not asks(content)


def test_a_report_that_was_read_by_somebody_is_read_all_the_same() -> None:
    content = Till().of(Doc(1)).replace(b"#", b"@", 1)
    assert len(asks(content)) == 1 and read(content)[-1].writes == ()


@pytest.mark.parametrize(("mark", "counts"), [("closed", 0), ("kept", 1), ("never", 0)])
def test_the_mark_waits_for_what_is_open_or_for_what_is_kept(mark: str, counts: int) -> None:
    found = read(Till().of(Doc(1), Doc(2, end=None)), mark=mark)
    assert len(found[-1].writes) == counts


def test_the_reader_holds_little_whatever_the_size_of_the_file() -> None:
    """What is under way and some pieces, not the file: half of it is never made."""
    till, line = Till(), Till().document(Doc(1))
    made = 0

    def pieces() -> Any:
        nonlocal made
        yield till.report([])
        for _ in range(1_000):
            made += 1
            yield till.report(line * 20, head=())

    next(Report(pieces()).rows())
    assert made <= 2


# Keys ------------------------------------------------------------------------------------------------------------


def test_keys_do_not_depend_on_how_numbers_are_written() -> None:
    assert keys.natural("03", 118, "0004120", date(2026, 5, 4)) == "frontol:3:2026-05-04:118:4120"
    assert keys.natural(3, 118, 4120, date(2026, 5, 4), 2) == "frontol:3:2026-05-04:118:4120:2"
    assert keys.by_uid("{0A-1B}") == keys.by_uid("0a-1b") == "frontol:uid:0a-1b"


@settings(max_examples=60)
@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)), st.integers(-300, 300))
def test_clocks_that_differ_by_minutes_share_a_name(at: datetime, seconds: int) -> None:
    other = at + timedelta(seconds=seconds)
    assert set(keys.days(at)) & set(keys.days(other))
    assert keys.days(at)[0] == at.date()


# Options and the request ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reports",
    [
        {"names": ["../a.txt"]},
        {"names": ["*/a.txt"]},
        {"names": []},
        {"bonus": "till", "points": None},
        {"epochs": {"3": 100}},
        {"request": {"flag": "/etc/x"}},
        {"unknown": 1},
    ],
)
def test_options_that_make_no_sense_stop_the_start(reports: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        link(**reports)


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        ({"flag": "out/r.flg"}, b"$$$NEWTRANSACTIONS"),
        (
            {"flag": "r", "scope": "dates", "days": 3},
            b"$$$TRANSACTIONSBYDATERANGE\r\n02.05.2026;04.05.2026\r\n",
        ),
    ],
)
def test_a_report_is_asked_for_by_a_new_flag(request_: dict[str, Any], body: bytes) -> None:
    assert ADAPTER.pull is not None
    talk = ADAPTER.pull(Job(AT), link(request=request_))
    assert next(talk) == FileWrite(request_["flag"], body, new=True)
    with pytest.raises(StopIteration):
        talk.send(FileReply(None))
    assert list(ADAPTER.pull(Job(AT), link())) == []
