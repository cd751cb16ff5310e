"""What no file of samples can hold: an item that would fill the memory."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from adapters.commerceml.catalogue import BARCODE, MAX_TEXTS, items
from adapters.commerceml.goods import MAX_BARCODES, read
from adapters.contract import BROKEN, Link, Source

AT = datetime(2026, 5, 4, 18, tzinfo=UTC)
LINK = Link("site", "bistro", ZoneInfo("Europe/Moscow"), {})
FILE = "<КоммерческаяИнформация><Каталог><Товары>{}</Товары></Каталог></КоммерческаяИнформация>"
ITEM = "<Товар><Ид>a1</Ид><Наименование>Соль</Наименование>{}</Товар>"


def chunks(*barcodes: str) -> list[bytes]:
    told = "".join(f"<Штрихкод>{barcode}</Штрихкод>" for barcode in barcodes)
    return [FILE.format(ITEM.format(told) + ITEM.format("<Штрихкод>1</Штрихкод>")).encode()]


@pytest.mark.parametrize("barcodes", [[str(n) for n in range(1_000)], ["1"] * 1_000], ids=["many", "one, again"])
def test_an_item_with_texts_without_end_is_broken_and_keeps_few_of_them(barcodes: list[str]) -> None:
    assert [len(item.texts[BARCODE]) for item in items(chunks(*barcodes))] == [MAX_TEXTS, 1]
    found = list(read(Source("import0_1.xml", chunks(*barcodes), None, AT), LINK))
    assert [each.kind == BROKEN for each in found] == [True, False]


def test_an_item_may_have_as_many_barcodes_as_are_told() -> None:
    told = [str(n) for n in range(MAX_BARCODES)]
    (first, _) = read(Source("import0_1.xml", chunks(*told), None, AT), LINK)
    assert [each.value for each in first.asks[0].names] == told  # type: ignore[attr-defined]
