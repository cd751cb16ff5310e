"""Receipts of 1C, row by row: what is learned of them in each configuration, and what a link may ask for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from marshmallow import ValidationError

from adapters.json_parsing import Node, parse_json
from adapters.onec_server import receipts
from adapters.onec_server.mapping import Mapping
from processing.commands import LearnReceipt, Ref
from processing.errors import BadMessage
from tests.adapters.onec_server.bases import (
    mapping,
    retail2_receipt,
    retail3_mapping,
    retail3_receipt,
)
from tests.adapters.onec_server.far_side import AT, link
from tests.adapters.onec_server.one_c import ZEROS, Row, ref, said

CARD = Ref("onec", ref(1))


def learned(row: Row, name: str = "retail2", document: int = 0, **options: Any) -> LearnReceipt:
    """What the core is asked for a row as 1C's JSON has it."""
    node = Node(parse_json(said({"row": row})).get("row").value)
    at = link(name, **options)
    (found,) = receipts.learn(node, at.options["mapping"]["receipts"][document], at)
    return found


def test_a_sale_of_retail_2_tells_what_it_took_and_brought() -> None:
    found = learned(retail2_receipt(1, 1))
    assert (found.document, found.keys) == (ref(2_001), (f"onec:receipt:{ref(2_001)}",))
    assert (found.card_ref, found.redeemed, found.earned, found.total_minor) == (CARD, 8_100, 1_095, 30_000)
    assert (found.is_return, found.sale, found.till, found.unit) == (False, "", ref(950), "BONUS")
    assert found.at == datetime(2026, 5, 4, 9, 1, tzinfo=UTC), "the infobase's wall clock"
    assert learned(retail2_receipt(1, 1), zone="Asia/Omsk").at == datetime(2026, 5, 4, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_return_of_retail_2_is_the_same_document_and_undoes(sign: int) -> None:
    payment = {"КоличествоБонусов": 81 * sign}
    row = retail2_receipt(3, 1, ВидОперации="Возврат", ЧекККМПродажа_Key=ref(2_001), Оплата=[payment])
    found = learned(row)
    assert (found.is_return, found.sale, found.redeemed, found.earned) == (True, ref(2_001), 8_100, 1_095)


def ut11_receipt(**changes: Any) -> Row:
    points = {"СуммаБонусныхБалловКСписанию": "40,5"}
    base = {"Ref_Key": ref(2_001), "Date": "2026-05-04T12:01:00", "Posted": True, "DeletionMark": False}
    more = {"КартаЛояльности_Key": ref(1), "Склад_Key": ref(900), "КассаККМ_Key": ref(950), "Товары": [points, points]}
    return {**base, **more, "БонусныеБаллы": [{"СуммаБонусныхБаллов": Decimal("10.95")}], **changes}


def test_ut_11_keeps_points_in_the_goods_and_a_return_in_a_document_of_its_own() -> None:
    sale = learned(ut11_receipt(), "ut11")
    assert (sale.card_ref, sale.redeemed, sale.earned, sale.total_minor) == (CARD, 8_100, 1_095, None)
    back = learned(ut11_receipt(СуммаБонусныхБалловКВозврату=81, ЧекККМ_Key=ref(7)), "ut11", 1)
    assert (back.is_return, back.sale, back.redeemed, back.earned) == (True, ref(7), 8_100, 1_095)


def test_retail_3_with_its_points_looked_up_tells_its_goods_too() -> None:
    found = learned(retail3_receipt(1, 1, "2026-05-04T12:00:00", "81", "10.95"), mapping=retail3_mapping())
    (line,) = found.lines
    assert (found.redeemed, found.earned) == (8_100, 1_095)
    assert (line.goods, line.quantity_thousandths, line.sum_minor) == (ref(701), 2_000, 30_000)


@pytest.mark.parametrize("change", [{"Posted": False}, {"DeletionMark": True}, {"ДисконтнаяКарта_Key": ZEROS}])
def test_what_counts_no_more_is_withdrawn(change: Row) -> None:
    found = learned(retail2_receipt(1, 1, **change))
    assert (found.withdrawn, found.card_ref, found.redeemed) == (True, None, 0)
    assert found.keys == learned(retail2_receipt(1, 1)).keys


@pytest.mark.parametrize(
    "change",
    [
        {"Date": "0001-01-01T00:00:00"},
        {"Date": "вчера"},
        {"Date": None},
        {"Оплата": [{"КоличествоБонусов": -81}]},
        {"Оплата": [{"КоличествоБонусов": "много"}]},
        {"Оплата": [{"КоличествоБонусов": Decimal("0.001")}]},
        {"Оплата": "81"},
        {"ДисконтнаяКарта_Key": "карта"},
        {"СуммаДокумента": {}},
    ],
)
def test_what_nobody_understands_is_told_by_its_name(change: Row) -> None:
    with pytest.raises(BadMessage) as caught:
        learned(retail2_receipt(1, 1, **change))
    assert next(iter(change)).removesuffix("_Key") in str(caught.value.details | {"": caught.value.message})


def test_so_many_days_are_read_and_of_one_shop() -> None:
    document = mapping("retail2")["receipts"][0]
    assert receipts.wanted(AT, AT, document, link("retail2")) == "Date ge datetime'2026-05-01T19:52:31'"
    of_shop = link("retail2", shop=ref(900), receipt_days=1, zone="UTC")
    told = f"Date ge datetime'2026-05-03T16:52:31' and Магазин_Key eq guid'{ref(900)}'"
    assert receipts.wanted(AT, AT, document, of_shop) == told


def test_a_silence_is_read_over_but_not_without_end() -> None:
    document, at = mapping("retail2")["receipts"][0], link("retail2", zone="UTC")
    for silent, since in ((10, "2026-04-21"), (365, "2026-03-03")):
        told = receipts.wanted(AT, AT - timedelta(days=silent), document, at)
        assert told == f"Date ge datetime'{since}T16:52:31'"


def test_a_mapping_without_points_or_shop_is_refused_where_they_are_needed() -> None:
    for name in ("retail3", "unf"):
        assert link(name).options["mapping"]["receipts"], "what the page names is there"
        with pytest.raises(ValidationError, match=r"receipts\.redeemed"):
            link(name, pull=["receipts"])
    assert link("retail3", mapping=retail3_mapping(), pull=["cards", "receipts"])
    with pytest.raises(ValidationError, match=r"receipts\.shop"):
        link("ut11", pull=["receipts"], shop=ref(900))
    with pytest.raises(ValidationError) as caught:
        Mapping().load(mapping("ut11") | {"receipts": [{"set": "Document_ЧекККМ"}]})
    assert "receipts" in caught.value.messages
